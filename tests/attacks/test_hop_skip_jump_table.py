"""HopSkipJump on tables beside nearest rows that are known: in closed form, and by asking about every row."""

import pytest
import torch

import holdfast as hf
from cases.tables import SCHEMA, SPACE, possible_rows
from holdfast.attacks.evasion.hop_skip_jump_table import HopSkipJumpTable
from holdfast.attacks.run import run
from holdfast.geometry.projections import fill
from holdfast.models.model import Model
from holdfast.threats.literals import parse

W = torch.tensor([3.0, -2.0, 1.0, 0.5, -0.2], dtype=torch.float64)
NUMBERS = hf.Schema(tuple(hf.Feature(f"n{j}", "real", low=-9, high=9, scale=0.5 + j / 4) for j in range(5)))


def test_the_nearest_row_of_a_straight_boundary_among_numbers():
    """Decisions alone; the closed form is the projection onto the boundary in standardized units."""
    model = Model(hf.Tabular(NUMBERS), 2, lambda z: (z @ W > 4).long())
    x = torch.rand((6, 5), generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 0.5
    out = run(HopSkipJumpTable(steps=8), model, x, torch.zeros(6), "table:l2=inf")
    w = W * NUMBERS.scales
    best = fill(w.abs().expand(6, -1), w.abs(), torch.full_like(x, torch.inf), 4 - x @ W).norm(dim=1)
    far = NUMBERS.ruler.distance(out.adversarial, x, "l2")
    assert out.success.all()
    assert (far >= best * (1 - 1e-9)).all()
    assert float((far / best).median()) < 1.1


@pytest.mark.parametrize("literal", ["table:features=inf", "table:cost=inf"])
def test_the_nearest_of_all_rows_with_columns_of_every_kind(literal):
    """Wherever a row in fifty is another class a start is found, and the way back ends at the nearest row."""
    w = torch.tensor([[1, -2, 1, 0.5, 3, 1, -1, 0], [-1, 3, 0, -1, 1, 0, 2, -2]]).double()
    model = Model(SPACE, 2, lambda z: (z.nan_to_num(-1) @ w.T).argmax(1))
    every = possible_rows()
    x, said = every[::101], model.labels(every)
    labels, measure = model.labels(x), parse(literal).limits[0][0]
    out = run(HopSkipJumpTable(steps=6, samples=20), model, x, labels, literal)
    far, common = torch.full((len(x),), torch.inf, dtype=torch.float64), []
    for i in range(len(x)):
        region = parse(literal).around(x[i : i + 1].expand(len(every), -1), SPACE)
        inside = region.contains(every)
        may = inside & (said != labels[i])
        common.append(bool(may.sum() > inside.sum() / 50))
        far[i] = SCHEMA.ruler.distance(every[may], x[i : i + 1], measure).min() if may.any() else torch.inf
    found = torch.where(out.success, SCHEMA.ruler.distance(out.adversarial, x, measure), torch.inf)
    assert (found >= far - 1e-9).all()
    assert sum(common) == 7
    assert out.success[torch.tensor(common)].all()
    assert (found <= far + 1e-9)[out.success].double().mean() > 0.9
