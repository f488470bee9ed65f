"""Ways side by side: the same results as one way after the other, in any company, at honest costs."""

import dataclasses

import pytest
import torch

import holdfast as hf
from holdfast.attacks import repeat
from holdfast.attacks.eot import Eot
from holdfast.attacks.evasion import apgd, local_search, square
from holdfast.attacks.evasion.apgd import Apgd
from holdfast.attacks.evasion.fab_t import FabT
from holdfast.attacks.evasion.local_search import LocalSearch
from holdfast.attacks.evasion.noise import Noise
from holdfast.attacks.evasion.square import Square
from holdfast.attacks.first_of import FirstOf
from holdfast.attacks.outcome import TENSORS
from holdfast.attacks.probe import Probe
from holdfast.attacks.repeat import Repeat
from holdfast.attacks.run import run
from holdfast.attacks.side_by_side import side_by_side, starts
from holdfast.geometry.draw import Draw
from holdfast.models.files import load_model
from holdfast.models.model import Swift
from holdfast.threats.goals import Answer, Wrong
from holdfast.threats.threats import L2, Linf
from laws.oracles import Poisoned, alone, linear, torch_model

ATTACKS = [
    (Apgd(steps=8, loss="dlr", targets=9), "linf:0.13"),
    (Apgd(steps=8, targets=5, restarts=2), "l2:0.6"),
    (Apgd(steps=12, loss="dlr", targets=4), "l1:1.5"),
    (FabT(steps=12), "linf:0.08"),
    (FabT(steps=12, hope=1.5), "linf:0.08"),
    (FabT(steps=8, targets=4, restarts=2), "l1:1.5"),
    (LocalSearch(steps=8, rounds=3, short=4, hope=2.0), "linf:0.13"),
    (LocalSearch(steps=8, rounds=2, short=4, hope=0.3), "l2:0.6"),
    (Apgd(steps=2, restarts=7), "l2:0.6"),
    (Square(steps=20, restarts=11), "l2:1"),
    (Repeat(FirstOf((Noise(samples=3), Apgd(steps=3, targets=3, restarts=3))), 4), "linf:0.12"),
]
ROWS = torch.tensor([2, 5, 6, 9, 15, 16, 21, 26, 34, 37, 60])  # of 64 digits some that break on a later way, and others
met = pytest.mark.parametrize(("attack", "threat"), ATTACKS, ids=str)


def digits():
    """The bundled network, asked row by row so that answers are the same bits in any company, and digits."""
    part = hf.data.load("digits").test.sample(64, 0)
    return alone(load_model("digits-mlp")), part.x[ROWS], part.y[ROWS]


def one_after_the_other(probe, order, start=None):
    """What the attacks did before: all rows climb one way before the next one begins."""
    for way in order.T:
        yield probe, way, probe.x0 if start is None else start()


def one_start_after_the_other(probe, count):
    """All rows take one start before the next one begins."""
    for turn in probe.restarts(count):
        yield turn, probe


def walked(attack, probe):
    """FabT's ways before: rows that lie far from every boundary leave before the next way."""
    order = probe.clean.argsort(dim=1, stable=True)[:, : attack.targets]
    for restart in probe.restarts(attack.restarts):
        for k, way in enumerate(order.T):
            if k and attack.hope is not None:
                probe.finish(torch.isfinite(probe.distance) & (probe.distance > attack.hope * probe.limit.radius))
            attack._approach(probe, way, attack._start(probe) if restart else probe.x0)
        attack._draw_in(probe)


def attacked(attack, *args, ids=ROWS, **named):
    """The outcome, with the random numbers that these rows have among 64."""
    return run(attack, *args, ids=ids, **named)


def in_turn(attack, *args, **named):
    """The same with ways and starts one after the other."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (apgd, square, repeat):
            patch.setattr(module, "starts", one_start_after_the_other)
        patch.setattr(apgd, "side_by_side", one_after_the_other)
        patch.setattr(local_search, "side_by_side", one_after_the_other)
        patch.setattr(FabT, "search", walked)
        return attacked(attack, *args, **named)


def same(a, b, rows, fields=TENSORS):
    """Bit for bit on some rows."""
    return all(torch.equal(getattr(a, f)[rows].nan_to_num(-1), getattr(b, f)[rows].nan_to_num(-1)) for f in fields)


@met
def test_statuses_and_survivors_are_those_of_one_way_after_the_other(attack, threat):
    model, x, y = digits()
    ours, theirs = attacked(attack, model, x, y, threat), in_turn(attack, model, x, y, threat)
    held = ~theirs.success
    assert ours.status == theirs.status
    assert {"broken", "unbroken"} <= set(ours.status)
    assert same(ours, theirs, held), "every way of a survivor begins where it began, and goes where it went"
    assert (ours.queries[~held] - theirs.queries[~held]).abs().sum() > 0, "some row breaks on a later way"


@met
def test_with_rows_taken_to_the_end_nothing_differs(attack, threat):
    if isinstance(attack, FabT):
        attack = dataclasses.replace(attack, restarts=1)  # later starts depend on what is known when they are drawn
    model, x, y = digits()
    ours, theirs = (f(attack, model, x, y, threat, perturb=True) for f in (attacked, in_turn))
    assert ours.status == theirs.status
    assert same(ours, theirs, slice(None))


@met
def test_batch_order_and_company_change_nothing(attack, threat):
    model, x, y = digits()
    turned = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    for perturb in (False, True):
        some = turned[: 4 if perturb else len(x)]  # who stays to the end takes long
        whole = attacked(attack, model, x, y, threat, batch=64, perturb=perturb)
        for batch, rows in ((1, some.sort().values[:4]), (7, some)):
            other = attacked(attack, model, x[rows], y[rows], threat, batch=batch, ids=ROWS[rows], perturb=perturb)
            assert [whole.status[i] for i in rows] == list(other.status)
            assert all(
                torch.equal(getattr(whole, f)[rows].nan_to_num(-1), getattr(other, f).nan_to_num(-1)) for f in TENSORS
            )


@met
def test_answers_for_clones_that_have_ended_are_never_used(attack, threat):
    model, x, y = digits()
    clean, dirty = (attacked(attack, model, x, y, threat, probe=p) for p in (Probe, Poisoned))
    assert clean.status == dirty.status
    assert same(clean, dirty, slice(None))


@met
def test_every_row_that_goes_through_the_model_is_counted(attack, threat):
    """One pass over the originals and no second one; the passes of all clones are their row's."""
    model, x, y = digits()
    passed = []
    asked = torch_model(lambda z: passed.append(len(z)) or model.module(z), model.classes, model.space)
    out = attacked(attack, asked, x, y, threat, batch=12)
    assert sum(passed) == len(x) + int(out.queries.sum() + out.checks.sum())
    assert max(passed) <= 12, "memory does not grow"


@met
def test_a_query_budget_is_spent_one_way_after_the_other(attack, threat):
    model, x, y = digits()
    ours, theirs = (f(attack, model, x, y, f"{threat},queries=19") for f in (attacked, in_turn))
    assert ours.status == theirs.status
    assert same(ours, theirs, slice(None))
    assert ours.queries.max() == 19


def test_parts_are_as_full_as_the_batch_allows():
    """A few rows fill a batch with their ways; many rows go in parts; a row's ways are never parted."""
    model, x, y = digits()
    x, y = x[-6:], y[-6:]  # all of them are right
    for batch, most in ((100, [48]), (12, [8] * 6), (20, [16] * 3), (5, []), (1, [])):
        passed = []
        asked = torch_model(lambda z, seen=passed: seen.append(len(z)) or model.module(z), 10, model.space)
        run(Apgd(steps=1, targets=9), asked, x, y, Linf(1e-6), batch=batch)
        assert [n for n in passed if n > 6] == [n for n in most for _ in range(2)]  # a step and a last look
        assert max(passed) <= batch, "one row's ways go through the model in turn where the batch has no room for them"


def probe(stop=True, **named):
    """Three classes besides the true one, whose scores are entries of the input; the goal is 0.5 away."""
    model = torch_model(lambda z: torch.cat([torch.full_like(z[:, :1], 0.5), z], 1), 4)
    x = torch.zeros(2, 3, dtype=torch.float64)
    region, draw = Linf(1.0).around(x, model.space), Draw(0, "ways", range(2), x)
    return Probe(model, x, Wrong(torch.zeros(2, dtype=torch.long)), region, draw, stop=stop, room=6, **named)


ORDER = torch.tensor([[2, 0, 1], [2, 0, 1]])
POINTS = torch.eye(3, dtype=torch.float64)[[2, 0, 1, 2, 0, 1]]  # where each clone goes: its own way


def test_all_ways_of_a_row_end_at_the_success_of_one():
    p = probe()
    for part, way, x in side_by_side(p, ORDER):
        assert way.tolist() == [2, 0, 1, 2, 0, 1]
        assert x is part.x0
        reach = torch.tensor([0.1, 0.6, 0.7, 0.1, 0.2, 0.3], dtype=torch.float64)[:, None]
        part.margin(reach * POINTS)
        assert part.alive.tolist() == [False] * 3 + [True] * 3
        part.slope(reach * POINTS)
    assert p.alive.tolist() == [False, True] == (~p.won).tolist()
    assert p.queries.tolist() == [3, 6]
    assert p.gradients.tolist() == [0, 3]
    assert p.distance.tolist() == [0.6, torch.inf], "of two successes in one step the nearer"
    assert p.nearest.tolist() == [[0.6, 0.0, 0.0], [0.0, 0.0, 0.0]]
    assert p.lowest.tolist() == pytest.approx([-0.2, 0.2])
    assert p.strongest.tolist() == [[0.0, 0.7, 0.0], [0.0, 0.3, 0.0]]


def test_of_equals_the_first_way_is_kept_and_what_was_known_stays():
    p = probe(stop=False)
    known = torch.tensor([[0.0, 0.0, 0.55], [0.0, 0.0, 0.0]], dtype=torch.float64)
    p.margin(known)
    for part, _, _ in side_by_side(p, ORDER):
        part.margin(0.6 * POINTS)
        part.finish(torch.tensor([True, False, False, True, True, True]))
        part.margin(0.9 * POINTS, only=torch.tensor([True, True, False, True, True, True]))
    assert p.alive.tolist() == [True, True], "a way that was given up is no row that was given up"
    assert p.queries.tolist() == [1 + 3 + 1, 1 + 3]
    assert p.distance.tolist() == [0.55, 0.6]
    assert torch.equal(p.nearest, torch.stack([known[0], 0.6 * POINTS[0]]))
    assert torch.equal(p.strongest, torch.stack([0.9 * POINTS[1], 0.6 * POINTS[0]]))


def test_flat_and_broken_slopes_of_all_clones_add_up():
    p = probe(stop=False)
    for part, _, _ in side_by_side(p, ORDER):
        part.slope(part.x0, lambda margins, _: 0 * margins.sum((1, 2)))
    for part, _, _ in side_by_side(p, ORDER):
        part.slope(part.x0, lambda margins, _: torch.nan * margins.sum((1, 2)))
    assert p.zero_gradients.tolist() == [3, 3]
    assert p.bad_gradients.tolist() == [3, 3]


def test_the_body_draws_no_numbers():
    for part, _, _ in side_by_side(probe(), ORDER):
        with pytest.raises(IndexError):
            part.draw.uniform(3)


def test_a_row_that_has_left_costs_nothing_and_draws_nothing():
    p = probe()
    p.finish(torch.tensor([True, False]))
    other = Draw(0, "ways", range(2), p.x0)
    drawn = [other.uniform(3) for _ in range(4)]
    for part, way, x in side_by_side(p, ORDER, lambda: p.draw.uniform(3)):
        assert len(way) == 3
        assert torch.equal(x, torch.stack(drawn[:3], 1)[1])
        part.margin(0.1 * x)
    assert p.queries.tolist() == [0, 3]
    p.resume(torch.tensor([True, True]))
    assert torch.equal(p.draw.uniform(3), torch.stack([drawn[0][0], drawn[3][1]]))
    p.finish(p.alive)
    assert list(side_by_side(p, ORDER)) == []


@pytest.mark.parametrize("threat", ["linf:0.13", "l2:0.6"])
def test_behind_a_detector_and_with_rules_to_mend(threat):
    model, x, y = digits()
    watched = dataclasses.replace(
        model,
        suspicion=lambda z: z.flatten(1)[:, ::3].mean(1) - x.mean() - 0.05,
        mended=lambda z: torch.where(z > 0.9, 1.0, z),
    )
    for attack in (Apgd(steps=12, loss="dlr", targets=9), LocalSearch(steps=8, rounds=2)):
        ours, theirs = attacked(attack, watched, x, y, threat), in_turn(attack, watched, x, y, threat)
        assert ours.status == theirs.status
        assert {"broken", "unbroken"} <= set(ours.status)
        assert same(ours, theirs, ~theirs.success)


def test_means_of_several_passes_are_means_for_clones():
    model, x, y = digits()
    attack = Apgd(steps=6, loss="dlr", targets=4)
    plain, mean = (attacked(a, model, x, y, "linf:0.1") for a in (attack, Eot(attack, 3)))
    assert mean.status == plain.status
    held = torch.tensor([s == "unbroken" for s in plain.status])
    assert held.any()
    assert (mean.gradients[held] == 3 * plain.gradients[held]).all()
    assert (plain.gradients[held] == 24).all()


def test_on_a_random_model_the_success_that_most_passes_repeat_is_kept():
    """Every third pass asks for 0.6 where the others ask for 0.5: one point passes always, a nearer one not."""
    passes = []

    def scores(z):
        passes.append(len(z))
        return torch.cat([torch.full_like(z[:, :1], 0.5 + 0.1 * (len(passes) % 3 == 0)), z], 1)

    model = dataclasses.replace(torch_model(scores, 4), random=True)
    x = torch.zeros(1, 3, dtype=torch.float64)
    p = Probe(model, x, Wrong(torch.tensor([0])), Linf(1.0).around(x, model.space), Draw(0, "ways", [0], x), room=3)
    for part, _, _ in side_by_side(p, ORDER[:1]):
        part.margin(torch.tensor([[0.1], [0.7], [0.55]], dtype=torch.float64) * POINTS[:3])
        assert part.votes.tolist() == [0, 24, 10]
    assert p.won.tolist() == [True]
    assert p.votes.tolist() == [24]
    assert p.nearest.tolist() == p.judged.tolist() == [[0.7, 0.0, 0.0]]
    assert p.distance.tolist() == [0.7]
    assert p.checks.tolist() == [24 + 16]


def test_the_swift_copy_is_asked_and_the_network_decides():
    """A copy that takes five rows at once: the same as one way after the other."""
    model, x, y = digits()
    quick = dataclasses.replace(model, swift=Swift(model.module, 1e-6, piece=5))
    attack = Apgd(steps=8, loss="dlr", targets=9)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("holdfast.attacks.run.prepared", lambda *_: quick)
        ours, theirs = attacked(attack, model, x, y, "linf:0.13"), in_turn(attack, model, x, y, "linf:0.13")
    assert ours.status == theirs.status
    assert same(ours, theirs, ~theirs.success, ("strongest", "margin", "queries", "gradients"))


def test_with_hope_a_row_takes_all_ways_at_once_when_it_has_come_near_and_one_at_a_time_before():
    """Toward the first two classes there is no slope; the next one lies at 0.5, the last at 0.3."""
    w = torch.tensor([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    model = linear(w, torch.tensor([0.0, -0.1, -0.2, -0.5, -0.3]))
    model = dataclasses.replace(model, classes=5)
    x, y = torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0])
    for hope, ways in ((1.0, 3), (2.5, 4), (None, 4)):
        attack = FabT(steps=20, hope=hope, secants=0)
        out = attacked(attack, model, x, y, L2(0.21), ids=None)
        assert out.gradients.tolist() == [20 * ways]
        assert same(out, in_turn(attack, model, x, y, L2(0.21), ids=None), slice(None))


def test_answers_of_the_originals_are_handed_over():
    p = probe()
    part = p.clones(torch.tensor([1]), 2)
    assert isinstance(part.last, Answer)
    assert torch.equal(part.last.scores, p.last.scores[[1, 1]])
    assert torch.equal(part.clean, p.clean[[1, 1]])
    assert part.queries.tolist() == [0, 0]


def test_later_starts_share_parts_and_begin_with_what_was_known_after_the_first():
    """Eight later starts abreast, one row's at a time where there is no room for more; each draws its own numbers."""
    p, seen = probe(stop=False), []
    for turn, part in starts(p, 10):
        rows, turns = ([0, 1], [turn]) if len(part.alive) == 2 else ([len(seen) - 1], range(turn, turn + 8))
        alone_ = [Draw(0, f"ways/{r}", [i], p.x0).uniform(3)[0] for i in rows for r in turns]
        assert torch.equal(part.draw.uniform(3), torch.stack(alone_))
        seen.append((turn, len(part.alive), set(part.distance.tolist())))
        part.margin(torch.tensor([0.9 - 0.02 * turn, 0.0, 0.0], dtype=torch.float64).expand(len(part.alive), 3))
    assert seen == [(0, 2, {torch.inf}), (1, 8, {0.9}), (1, 8, {0.9}), (9, 2, {0.9})]
    assert p.queries.tolist() == [10, 10]
    assert p.distance.tolist() == [0.9 - 0.02 * 9] * 2
    assert p.draw.names == ["ways"] * 2


def test_what_ended_by_the_success_of_a_clone_is_not_resumed():
    p = probe()
    for turn, part in starts(p, 3):
        part.finish(part.alive)
        part.resume(torch.ones_like(part.alive))
        assert part.alive.all()
        if turn:
            part.margin(torch.tensor([[0.6, 0.0, 0.0]] + [[0.1, 0.0, 0.0]] * 3, dtype=torch.float64))
            part.resume(torch.ones_like(part.alive))
            assert part.alive.tolist() == [False, False, True, True]
    assert p.alive.tolist() == [False, True]


def test_a_later_start_that_finds_less_takes_nothing_away():
    """Eight starts share what the first one knew, the ninth does too: the books keep the best of all."""
    p = probe(stop=False)
    for turn, part in starts(p, 10):
        reach = 0.95 if turn == 0 else 0.6 if turn == 1 else 0.7
        part.margin(torch.tensor([reach, 0.0, 0.0], dtype=torch.float64).expand(len(part.alive), 3))
    assert p.distance.tolist() == [0.6, 0.6]
    assert p.lowest.tolist() == pytest.approx([0.5 - 0.95] * 2)
    assert p.strongest.tolist() == [[0.95, 0.0, 0.0]] * 2
