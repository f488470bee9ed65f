"""Table threats as values and as text, how changes are counted, and what rows may become."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import holdfast as hf
from cases.tables import SCHEMA, SPACE, possible_rows
from holdfast.core.errors import ParameterError, ThreatError
from holdfast.geometry.draw import Draw
from holdfast.threats.literals import parse
from holdfast.threats.tables.measuring import MEASURES
from holdfast.threats.written import measure_of

ROWS = possible_rows()


@given(
    limits=st.dictionaries(st.sampled_from(MEASURES), st.floats(0, 1e6) | st.just(math.inf), min_size=1),
    knowledge=st.sampled_from(["gradients", "scores", "labels"]),
    queries=st.none() | st.integers(1, 10**9),
)
def test_literals_round_trip(limits, knowledge, queries):
    limits = {name: math.floor(at) if name == "features" and at < math.inf else at for name, at in limits.items()}
    threat = hf.Table(**limits, knowledge=knowledge, queries=queries)
    assert parse(threat.literal) == threat
    assert threat.at(2).radius == 2
    assert threat.at(2).limits[1:] == threat.limits[1:]


def test_radii_are_scaled_to_whole_columns_and_to_any_distance():
    three = hf.Table(features=3, linf=0.5)
    assert [three.scaled(share).radius for share in (0.5, 0.2, 1.5, 2)] == [1, 0, 5, 6]
    assert hf.Table(cost=3).scaled(0.5).radius == 1.5
    with pytest.raises(ParameterError, match="HF001 .*'features' .* must be a whole number. Got 1.5"):
        hf.Table(features=1.5)


def test_literals_are_read():
    assert parse("table") == hf.Table() == hf.Table(features=math.inf)
    assert parse(" TABLE: linf=1/2 , features=3 ") == hf.Table(features=3, linf=0.5)
    assert hf.Table(features=3, linf=0.5).literal == "table:features=3,linf=1/2"
    assert not hf.Table(linf=math.inf).bounded
    assert hf.Table(features=3).measure == "l0"
    assert hf.Table(cost=2).words(SPACE) == "the changes may cost at most 2, to rows that the schema allows"
    for text, why in (
        ("table:3", "'3' is no limit"),
        ("table:feature=3", "did you mean features"),
        ("table:features=3,features=2", "features stands twice"),
        ("table:features=-1", "must be float in"),
        ("table:features=1.5", "must be a whole number"),
        ("table:linf=x", "'x' is no number"),
        ("table:linf=", "'' is no number"),
        ("table:linf=1/0", "'1/0' is no number"),
        ("table:linf=1e400", "'1e400' is no number"),
        ("linf:1e400", "'1e400' is no number"),
    ):
        with pytest.raises(ThreatError, match=f"^HF302 A threat that cannot be read: [^:]*{why}") as caught:
            parse(text)
        assert f"for example {text.partition(':')[0]}:" in str(caught.value)
    with pytest.raises(ThreatError, match="did you mean table:"):
        parse("tabel:features=3")
    assert [measure_of(text) for text in ("table:features=3", "l2:1", "later:9")] == ["l0", "l2", "later"]
    with pytest.raises(ParameterError, match="HF001"):
        hf.Table(cost=-1)


def test_changes_are_counted_by_hand():
    """Age of 0 to 4, rate by halves, a grade that may be missing, a job, a one-hot color."""
    a = torch.tensor([[1, 0.25, math.nan, 0, 1, 1, 0, 0], [1, 0.25, math.nan, 0, 1, 1, 0, 0]]).double()
    b = torch.tensor([[3, 0.50, math.nan, 2, 1, 1, 0, 0], [1, 0.25, 2, 0, 1, 0, 0, 1]]).double()
    assert SCHEMA.ruler.changes(b, a).tolist() == [[0.5, 0.5, 0, 1, 0, 0], [0, 0, 1, 0, 0, 1]]
    told = {m: SCHEMA.ruler.distance(b, a, m).tolist() for m in MEASURES}
    assert told.pop("l2") == pytest.approx([1.5**0.5, 2**0.5], rel=1e-15)
    assert told == {"features": [3, 2], "cost": [2, 2], "l1": [2, 2], "linf": [1, 1]}
    wide = hf.Schema(
        (
            hf.Feature("job", "categorical", levels=("a", "b"), scale=2),
            hf.Feature("red", "one-hot", group="color", scale=4),
            hf.Feature("blue", "one-hot", group="color", scale=4),
        )
    )
    moved = wide.ruler.changes(torch.tensor([[1.0, 0, 1]]).double(), torch.tensor([[0.0, 1, 0]]).double())
    assert moved.tolist() == [[0.5, 0.25]]
    dear = hf.Schema((hf.Feature("n", "integer", low=0, high=8, cost=3), hf.Feature("w", "binary", cost=5)))
    assert dear.ruler.distance(torch.tensor([[2.0, 1.0]]), torch.zeros(1, 2), "cost").tolist() == [11]


@pytest.mark.parametrize(
    "literal", ["table:features=2", "table:linf=0.5", "table:l1=1", "table:l2=1,features=3", "table:cost=0.7"]
)
def test_what_is_projected_and_drawn_lies_inside(literal):
    threat, x0 = parse(literal), ROWS[::23]
    region = threat.around(x0, SPACE)
    asked = SPACE.sample(x0, torch.Generator().manual_seed(0))
    drawn = region.sample(Draw(0, "test", list(range(len(x0))), x0))
    for x in (region.project(asked), drawn, x0):
        assert region.contains(x).all()
        assert SCHEMA.validate(x, x0).valid.all()
        assert region.within(x).all()
    assert ((drawn != x0) & ~drawn.isnan()).any(1).double().mean() > 0.3
    inside = region.contains(ROWS[1::23][: len(x0)])
    kept = region.project(ROWS[1::23][: len(x0)])
    assert torch.equal(kept[inside].nan_to_num(-1), ROWS[1::23][: len(x0)][inside].nan_to_num(-1))


@pytest.mark.parametrize(
    "limits",
    [{"features": 2, "linf": 0.5}, {"cost": 1, "l2": 0.8}, {"features": 1, "l1": 0.75}, {"l2": 0.8, "linf": 0.5}],
    ids=str,
)
def test_what_lies_inside_keeps_every_limit_that_was_given(limits):
    """All pairs of possible rows, beside the limits asked one by one; each limit alone keeps others out."""
    x0 = ROWS[::97].repeat_interleave(len(ROWS), 0)
    x = ROWS.repeat(len(ROWS[::97]), 1)
    region = hf.Table(**limits).around(x0, SPACE)
    keeps = {name: SCHEMA.ruler.distance(x, x0, name) <= limit * (1 + 1e-12) for name, limit in limits.items()}
    allowed = SCHEMA.validate(x, x0).valid
    wanted = allowed & torch.stack(list(keeps.values())).all(0)
    assert torch.equal(region.contains(x), wanted)
    for name in limits:
        others = torch.stack([keep for other, keep in keeps.items() if other != name]).all(0)
        assert (allowed & others & ~keeps[name]).any(), f"{name} binds nowhere"


def test_the_original_is_inside_even_where_it_cannot_be():
    x0 = ROWS[:3].clone()
    x0[0, 0] = 1.5
    region = hf.Table(features=2).around(x0, SPACE)
    assert region.contains(x0).all()
    assert torch.equal(region.project(x0).nan_to_num(-1), x0.nan_to_num(-1))
    assert not SCHEMA.validate(x0).valid[0]


def test_rounding_of_decimals_does_not_cross_a_limit():
    schema = hf.Schema((hf.Feature("r", "real", low=0, high=1, step=0.01, scale=0.1),))
    region = hf.Table(linf=1).around(torch.tensor([[0.2]], dtype=torch.float64), hf.Tabular(schema))
    assert region.contains(torch.tensor([[0.3]], dtype=torch.float64)).all()
    assert not region.contains(torch.tensor([[0.31]], dtype=torch.float64)).any()
    smooth = hf.Tabular(hf.Schema((hf.Feature("r", "real", low=0, high=1, scale=0.1),)))
    region = hf.Table(linf=1).around(torch.tensor([[0.2]], dtype=torch.float64), smooth)
    assert not region.contains(torch.tensor([[0.3 + 1e-6]], dtype=torch.float64)).any()
