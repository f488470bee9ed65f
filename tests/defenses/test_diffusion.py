"""The diffusion process against closed forms: how noise is added, and what taking it off makes of a distribution."""

import math
import types

import pytest
import torch

import holdfast as hf
from holdfast.defenses.preprocessing._diffusion import kept, latest, noised, stops
from holdfast.defenses.preprocessing.diffusion_purifier import DiffusionPurifier
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap

MEAN, SPREAD = 0.1, 0.15  # of the known distribution, in -1 ... 1: its tails end inside
POINT = 0.6  # an input, far from it
MANY = 20_000


def test_the_linear_schedule_is_the_product_of_its_steps():
    shares, left = kept("linear"), 1.0
    for time in range(1000):
        left *= 1 - (1e-4 + (0.02 - 1e-4) * time / 999)
        assert shares[time] == pytest.approx(left, rel=1e-12)


def test_the_cosine_schedule_is_a_squared_cosine_until_its_steps_are_cut():
    def cosine(share):
        return math.cos((share + 0.008) / 1.008 * math.pi / 2) ** 2

    shares = kept("cosine")
    for time in (0, 1, 100, 500, 990):
        assert shares[time] == pytest.approx(cosine((time + 1) / 1000) / cosine(0), rel=1e-9)
    assert shares[-1] == pytest.approx(shares[-2] * 0.001, rel=1e-9)


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_noise_has_the_mean_and_the_variance_that_the_schedule_says(schedule):
    share = kept(schedule)[199]
    noise = torch.randn(MANY, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = noised(torch.tensor([-1.0, 0.2, 1.0], dtype=torch.float64).expand(MANY, 3), share, noise)
    want = math.sqrt(share) * torch.tensor([-1.0, 0.2, 1.0], dtype=torch.float64)
    error = 4 * math.sqrt((1 - share) / MANY)
    torch.testing.assert_close(found.mean(0), want, rtol=0, atol=error)
    torch.testing.assert_close(found.var(0), torch.full((3,), 1 - share).double(), rtol=4 * math.sqrt(2 / MANY), atol=0)


@pytest.mark.parametrize(
    ("last", "steps", "want"),
    [(199, 5, [199, 159, 119, 79, 39]), (199, 1, [199]), (3, 4, [3, 2, 1, 0]), (3, 9, [3, 2, 1, 0]), (0, 5, [0])],
)
def test_steps_are_evenly_apart_and_no_more_than_there_are(last, steps, want):
    assert stops(last, steps) == want


@pytest.mark.parametrize(("until", "want"), [(0.2, 199), (0.9999, 999), (1e-9, 0)])
def test_where_the_forward_process_ends(until, want):
    assert latest(until, 1000) == want


class Known:
    """The best denoiser of a normal distribution, which is linear, as one of the three things that networks predict."""

    def __init__(self, left, kind):
        self.left, self.kind = left, kind

    def __call__(self, z, time):
        a = self.left[int(time)]
        clean = MEAN + math.sqrt(a) * SPREAD**2 / (a * SPREAD**2 + 1 - a) * (z - math.sqrt(a) * MEAN)
        noise = (z - math.sqrt(a) * clean) / math.sqrt(1 - a)
        found = {"sample": clean, "epsilon": noise, "v_prediction": math.sqrt(a) * noise - math.sqrt(1 - a) * clean}
        return types.SimpleNamespace(sample=found[self.kind]) if self.kind == "epsilon" else found[self.kind]


def purified(at, kind="epsilon", seed=0, **settings):
    """Many passes of one input, in -1 ... 1: `(MANY,)`."""
    left = kept("linear")
    scheduler = types.SimpleNamespace(
        alphas_cumprod=torch.tensor(left), config=types.SimpleNamespace(prediction_type=kind)
    )
    x = torch.full((MANY, 1), at / 2 + 0.5, dtype=torch.float64)
    data = hf.Dataset(torch.rand(4, 1), torch.tensor([0, 1, 0, 1]))
    behind = wrap(torch.nn.Linear(1, 2))
    stage = DiffusionPurifier(unet=Known(left, kind), scheduler=scheduler, **settings).fit(behind, data)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return 2 * stage.apply(x, data.space)[:, 0] - 1


def check_moments(found, mean, variance):
    assert float(found.mean()) == pytest.approx(mean, abs=4 * math.sqrt(variance / MANY))
    assert float(found.var()) == pytest.approx(variance, rel=4 * math.sqrt(2 / MANY))


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("method", ["ddpm", "ddim"])
def test_steps_between_distant_times_carry_mean_and_variance_as_the_closed_form_does(method, kind):
    """The posterior of Ho et al., eq. 7, between any two times; without its noise the deterministic map of DDIM."""
    left, at = kept("linear"), stops(199, 4)
    mean, variance = math.sqrt(left[199]) * POINT, 1 - left[199]
    for now, then in zip(at, [*at[1:], -1], strict=True):
        a, b = left[now], left[then] if then >= 0 else 1.0
        gain = math.sqrt(a) * SPREAD**2 / (a * SPREAD**2 + 1 - a)
        if method == "ddpm":
            of_clean = math.sqrt(b) * (1 - a / b) / (1 - a)
            of_noisy, fresh = math.sqrt(a / b) * (1 - b) / (1 - a), (1 - b) * (1 - a / b) / (1 - a)
        else:
            of_noisy, fresh = math.sqrt((1 - b) / (1 - a)), 0.0
            of_clean = math.sqrt(b) - of_noisy * math.sqrt(a)
        slope, offset = of_clean * gain + of_noisy, of_clean * MEAN * (1 - gain * math.sqrt(a))
        mean, variance = slope * mean + offset, slope**2 * variance + fresh
    check_moments(purified(POINT, kind, method=method, until=0.2, steps=4), mean, variance)


def test_all_small_steps_draw_from_the_posterior():
    """In the limit an input becomes a draw from what clean data could have been below its noise."""
    a = kept("linear")[199]
    gain = math.sqrt(a) * SPREAD**2 / (a * SPREAD**2 + 1 - a)
    mean = MEAN + gain * math.sqrt(a) * (POINT - MEAN)
    variance = gain**2 * (1 - a) + SPREAD**2 * (1 - a) / (a * SPREAD**2 + 1 - a)
    found = purified(POINT, until=0.2, steps=200)
    assert float(found.mean()) == pytest.approx(mean, abs=0.01 * abs(mean - MEAN) + 4 * math.sqrt(variance / MANY))
    assert float(found.var()) == pytest.approx(variance, rel=0.06)


def test_all_small_steps_without_noise_stretch_one_normal_distribution_to_the_other():
    """The flow of DDIM from N(sqrt(a) m, a s^2 + 1 - a) to N(m, s^2) is the linear map between them."""
    a = kept("linear")[199]
    stretch = SPREAD / math.sqrt(a * SPREAD**2 + 1 - a)
    found = purified(POINT, method="ddim", until=0.2, steps=200)
    assert float(found.mean()) == pytest.approx(MEAN + stretch * math.sqrt(a) * (POINT - MEAN), abs=0.005)
    assert float(found.std()) == pytest.approx(stretch * math.sqrt(1 - a), rel=0.05)


def test_more_noise_forgets_more_of_the_input():
    kept_of_input = [float(purified(POINT, until=until).mean()) - MEAN for until in (0.02, 0.1, 0.4)]
    assert kept_of_input == sorted(kept_of_input, reverse=True)
    assert abs(kept_of_input[-1]) < 0.1 * (POINT - MEAN)


def test_behind_a_known_denoiser_a_model_is_settled_as_it_declares():
    left = kept("cosine")
    scheduler = types.SimpleNamespace(alphas_cumprod=left)
    data = hf.Dataset(torch.rand(8, 5, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 2)
    behind = wrap(torch.nn.Linear(5, 2))
    stage = DiffusionPurifier(unet=Known(left, "epsilon"), scheduler=scheduler).fit(behind, data)
    assert (str(stage), stage.gradient, stage.random) == ("diffusion_purifier(unet=Known)", "exact", True)
    model = settle(behind | stage, data.x)
    assert model.random
    assert model.module is not None
