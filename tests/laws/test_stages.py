"""Laws of stages: what they declare is so, they stay in the box, switched off they change no bit."""

import dataclasses
import inspect

import pytest
import torch

import holdfast
import holdfast.defenses
from cases.stages import STAGES
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import run
from holdfast.core.errors import ModelError
from holdfast.data.dataset import Dataset
from holdfast.defenses.detection.mahalanobis import Mahalanobis
from holdfast.models.settle import fingerprint, settle
from holdfast.models.stage import Stage, checked, guarded
from holdfast.models.wrap import wrap
from holdfast.threats.space import space_of

every = pytest.mark.parametrize("case", STAGES, ids=str)


def inputs(case, n=6, dtype=torch.float32):
    draw = torch.Generator().manual_seed(1)
    return torch.rand(n, *case.shape, generator=draw, dtype=torch.float64).to(dtype)


def network(shape, classes=3):
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(torch.Size(shape).numel(), classes)).eval()


def test_every_stage_of_the_catalog_has_a_row():
    kinds = {getattr(holdfast.defenses, name) for name in holdfast.defenses.__all__}
    stages = {kind for kind in kinds if issubclass(kind, Stage) and not inspect.isabstract(kind)}
    assert stages == {type(case.stage) for case in STAGES}


@every
def test_what_it_declares_is_so(case):
    x = inputs(case)
    checked(case.stage, x, space_of(x))


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-3.0, 255.0)], ids=str)
def test_outputs_lie_in_the_box_and_keep_their_type(case, dtype, bounds):
    x = inputs(case, dtype=dtype) * (bounds[1] - bounds[0]) + bounds[0]
    x[0], x[1] = bounds[0], bounds[1]
    out = case.stage.apply(x, space_of(x, bounds))
    assert out.dtype == dtype
    assert len(out) == len(x)
    assert torch.isfinite(out).all()
    assert (out >= bounds[0] - 1e-5 * (bounds[1] - bounds[0])).all()
    assert (out <= bounds[1] + 1e-5 * (bounds[1] - bounds[0])).all()


@every
def test_rows_do_not_see_each_other(case):
    if case.stage.random:
        pytest.skip("random stages draw anew")
    x = inputs(case)
    space = space_of(x)
    together = case.stage.apply(x, space)
    alone = torch.cat([case.stage.apply(row[None], space) for row in x])
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)


@every
def test_switched_off_it_returns_the_bits_of_the_base(case):
    if case.off is None:
        pytest.skip("no parameters switch it off")
    x = inputs(case)
    base = settle(wrap(network(case.shape)), x)
    assert torch.equal((base | case.off).answer(x).scores, base.answer(x).scores)


@every
def test_the_value_that_gradient_attacks_see_is_the_deployed_one(case):
    if case.stage.random or case.stage.gradient == "none":
        pytest.skip("no such value")
    x = inputs(case)
    model = settle(wrap(network(case.shape)) | case.stage, x)
    with torch.no_grad():
        assert torch.equal(model.answer(x).scores, model.answer(x, gradient=True).scores)


@every
def test_a_guarded_model_is_attacked_by_gradients_and_left_as_it_was(case):
    x = inputs(case)
    base = settle(wrap(network(case.shape)), x)
    model = settle(case.stage.guard(base), x)
    assert (model.module is None) == (case.stage.gradient == "none")
    assert model.random == case.stage.random
    assert model.stages[0] == str(case.stage)
    assert fingerprint(model, case.shape) != fingerprint(base, case.shape)
    if model.module is None:
        return
    state = torch.get_rng_state()
    out = run(Pgd(steps=5), model, x, base.predict(x), "linf:0.9")
    assert torch.equal(torch.get_rng_state(), state)
    assert out.gradients.sum() > 0
    assert "broken" in out.status or model.suspicion is not None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hidden(Stage):
    """A stage that says nothing true."""

    claim: str = "exact"
    draws: bool = False

    @property
    def gradient(self):
        return self.claim

    def apply(self, x, space):
        return (x + 0.01 * torch.rand_like(x)) if self.draws else (x * 4).round() / 4

    def twin(self, x, space):
        return x[:, :1] if self.claim == "straight-through" and x.dim() == 4 else x


@dataclasses.dataclass(frozen=True, kw_only=True)
class Swaying(Stage):
    """A random stage whose gradient is exact, or a constant in disguise."""

    honest: bool = True

    @property
    def random(self):
        return True

    def apply(self, x, space):
        return (x if self.honest else (x * 8).round() / 8) * (0.5 + 0.5 * torch.rand(len(x), 1, 1, 1, dtype=x.dtype))


def test_the_gradient_of_a_random_stage_is_checked_with_its_numbers_held_still():
    x = torch.rand(4, 3, 8, 8)
    state = torch.get_rng_state()
    settle(guarded(wrap(network((3, 8, 8))), Swaying()), x)
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(ModelError, match="HF250") as caught:
        settle(guarded(wrap(network((3, 8, 8))), Swaying(honest=False)), x)
    assert "finite differences" in str(caught.value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Watch(Stage):
    """Rejects bright pictures, and is not always honest about how its suspicion changes.

    Args:
        how: "honest", or what is wrong with it.
        claim: What it says of its slope.
    """

    how: str = "honest"
    claim: str = "exact"

    @property
    def slope(self):
        return self.claim

    def suspicion(self, x, space):
        found = 10 * (x.flatten(1).square().mean(1) - 0.4)
        if self.how == "detached":
            return found.detach()
        if self.how == "steps":
            return (4 * found).round() / 4
        if self.how == "turned":
            return found.detach() * 2 - found
        if self.how == "moody":
            return found + 0.01 * torch.rand(len(x), dtype=x.dtype)
        if self.how == "counted":
            return (x.flatten(1) > 0.6).sum(1) - 0.4 * x[0].numel()
        return found


@pytest.mark.parametrize(
    ("how", "claim", "said"),
    [
        ("detached", "exact", "its suspicion"),
        ("steps", "exact", "its suspicion over longer steps where its gradient is zero"),
        ("counted", "exact", "its suspicion"),
        ("turned", "exact", "finite differences of its suspicion agree"),
        ("moody", "exact", "two passes differ"),
        ("detached", "straight-through", "a suspicion without a gradient"),
    ],
)
def test_a_suspicion_that_lies_about_its_slope_is_refused(how, claim, said):
    x = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    model = guarded(wrap(network((3, 8, 8))), Watch(how=how, claim=claim))
    with pytest.raises(ModelError, match="HF250") as caught:
        settle(model, x)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="HF250"):
        holdfast.audit(model, Dataset(x, torch.zeros(6, dtype=torch.int64)), threat="linf:0.1", suite="quick")


@pytest.mark.parametrize(
    ("how", "claim"),
    [("honest", "exact"), ("detached", "none"), ("steps", "none"), ("counted", "none"), ("turned", "straight-through")],
)
def test_a_suspicion_that_is_what_it_says_passes(how, claim):
    x = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert settle(guarded(wrap(network((3, 8, 8))), Watch(how=how, claim=claim)), x).suspicion is not None


def test_a_suspicion_behind_something_random_says_so():
    """A detector whose score goes through a stage that draws: two scores of one input differ, and it declares that."""
    x = torch.rand(60, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    model = settle(guarded(wrap(network((3, 8, 8))), Swaying()), x)
    data = Dataset(x, model.predict(x))
    seen = Mahalanobis(layer="scores").fit(model, data)
    assert seen.random
    assert settle(model | seen, x).random
    assert not Mahalanobis(layer="inputs").fit(model, data).random


def test_a_suspicion_behind_a_staircase_says_so_and_one_in_half_precision_is_no_lie():
    x = torch.rand(60, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    model = settle(guarded(wrap(network((3, 8, 8))), holdfast.defenses.BitDepth(bits=2)), x)
    seen = Mahalanobis(layer="scores").fit(model, Dataset(x, model.predict(x)))
    assert seen.slope == "straight-through"
    settle(model | seen, x)
    half = settle(wrap(network((3, 8, 8)).half()), x)
    seen = Mahalanobis(layer="scores").fit(half, Dataset(x, half.predict(x)))
    assert seen.slope == "exact"
    settle(half | seen, x)


class Outside(Stage):
    """Suspicious only far from where clean inputs lie, by an honest hinge."""

    def suspicion(self, x, space):
        return (0.02 - x).relu().flatten(1).sum(1) - 0.01


def test_a_rule_that_is_flat_on_clean_inputs_is_no_lie():
    x = 0.1 + 0.6 * torch.rand(8, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    settle(guarded(wrap(network((1, 6, 6))), Outside()), x)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_a_median_of_flat_pictures_is_no_lie(size):
    """Where all neighbors are equal a median has no derivative: the check moves them apart first."""
    x = torch.zeros(4, 1, 12, 12)
    x[:, :, 4:8, 3:9] = 1.0
    settle(guarded(wrap(network((1, 12, 12))), holdfast.defenses.MedianSmoothing(size=size)), x)


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (Hidden(), "finite differences"),
        (Hidden(draws=True), "two passes differ"),
        (Hidden(claim="straight-through"), "twin of shape"),
    ],
    ids=["gradient", "randomness", "twin"],
)
def test_a_lying_declaration_is_refused(stage, said):
    x = torch.rand(4, 3, 8, 8)
    model = guarded(wrap(network((3, 8, 8))), stage)
    with pytest.raises(ModelError, match="HF250") as caught:
        settle(model, x)
    assert said in str(caught.value)
