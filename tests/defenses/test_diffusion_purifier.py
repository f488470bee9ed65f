"""Diffusion purification: what `fit` learns, the laws of stages, exact gradients, and networks of diffusers."""

import dataclasses
import types

import pytest
import torch

import holdfast as hf
from cases.preprocessing import Case
from holdfast.attacks.eot import Eot
from holdfast.core.errors import ModelError
from holdfast.core.progress import BatchDone
from holdfast.defenses.preprocessing import _diffusion, _pictures
from holdfast.defenses.preprocessing.diffusion_purifier import DiffusionPurifier
from holdfast.models.files import load_model
from holdfast.models.settle import fingerprint, settle
from holdfast.threats.tables.feature import Feature
from laws import test_stages as laws

QUICK = DiffusionPurifier(width=4, updates=5, batch=16, steps=3)


@pytest.fixture(scope="module")
def digits():
    return hf.data.load("digits")


@pytest.fixture(scope="module")
def model(digits):
    return settle(load_model("digits-mlp"), digits.test.x)


@pytest.fixture(scope="module")
def stage(digits, model):
    return DiffusionPurifier(width=8, updates=120, rate=0.005, average=0.98, until=0.1, steps=3).fit(
        model, digits.train
    )


def asked(ask, x, space, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return ask(x, space)


def test_what_is_below_the_noise_is_guessed_better_than_by_linear_rules_for_single_pixels(model):
    """Pictures of one brightness: who looks around beats what the best of those leaves, var (1-a) / (a var + 1 - a)."""
    bright = torch.rand(200, 1, 1, 1, generator=torch.Generator().manual_seed(1)).expand(200, 1, 8, 8)
    data = hf.Dataset(bright, torch.arange(200) % 2)
    stage = dataclasses.replace(QUICK, updates=100, rate=0.01, average=0.9).fit(model, data)
    v, a = 2 * data.x - 1, stage.left[199]
    noise = torch.randn(v.shape, generator=torch.Generator().manual_seed(0))
    found = (stage.guess(_diffusion.noised(v, a, noise), 199) - v).square().mean()
    variance = 1 / 3
    assert found < 0.8 * variance * (1 - a) / (a * variance + 1 - a)


def test_clean_accuracy_stays(digits, model, stage):
    test, behind = digits.test, settle(model | stage, digits.test.x)
    plain, found = ((m.predict(test.x) == test.y).double().mean() for m in (model, behind))
    assert found > plain - 0.08


@pytest.mark.parametrize("surrogate", [0, 2])
@pytest.mark.parametrize("shape", [(3, 9, 7), (1, 5, 6), (11,)], ids=str)
def test_the_laws_of_stages_hold(shape, surrogate, model):
    data = hf.Dataset(torch.rand(64, *shape, generator=torch.Generator().manual_seed(0)), torch.arange(64) % 2)
    made = Case(dataclasses.replace(QUICK, surrogate=surrogate).fit(model, data), shape=shape)
    assert made.stage.gradient == ("straight-through" if surrogate else "exact")
    laws.test_what_it_declares_is_so(made)
    for dtype in (torch.float32, torch.float64):
        for bounds in ((0.0, 1.0), (-3.0, 255.0)):
            laws.test_outputs_lie_in_the_box_and_keep_their_type(made, dtype, bounds)


def test_rows_do_not_see_each_other(digits, stage):
    """With the same noise: what stands in the other rows changes nothing."""
    x, space = digits.test.x[:6], digits.test.space
    other = torch.cat([x[:1], torch.zeros_like(x[1:])])
    first, second = (asked(stage.apply, rows, space)[0] for rows in (x, other))
    torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-6)


def test_gradients_are_finite_differences_with_the_noise_held_still(digits, stage):
    draw = torch.Generator().manual_seed(1)
    x = (0.25 + 0.5 * digits.test.x[:3]).double()
    weights, away = (torch.randn(x.shape, generator=draw, dtype=torch.float64) for _ in range(2))
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad((asked(stage.apply, leaf, digits.test.space) * weights).sum(), leaf)
    up, down = (asked(stage.apply, x + step * away, digits.test.space) for step in (1e-6, -1e-6))
    want = ((up - down) * weights).sum() / 2e-6
    assert float((slope * away).sum()) == pytest.approx(float(want), rel=1e-4)


def test_steps_that_are_passed_twice_give_the_same_gradient(digits, model, stage, monkeypatch):
    x, space = digits.test.x[:4], digits.test.space

    def slope():
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(asked(stage.apply, leaf, space).square().sum(), leaf)[0]

    def passes():
        count, guess = [], stage.guess
        counted = dataclasses.replace(stage, guess=lambda z, now: count.append(now) or guess(z, now))
        asked(counted.apply, x.clone().requires_grad_(), space).sum().backward()
        return len(count)

    kept, few = slope(), passes()
    monkeypatch.setattr(_diffusion, "LONG", 2)
    assert torch.equal(slope(), kept)
    assert passes() == 2 * few


def test_a_surrogate_gives_its_gradient_to_the_deployed_value_from_the_same_noise(digits, model):
    x, space = digits.test.x[:4], digits.test.space
    part = digits.train.sample(100)
    given = [{"steps": 6}, {"steps": 2}, {"steps": 6, "surrogate": 2}]
    plain, short, made = (dataclasses.replace(QUICK, method="ddim", **each).fit(model, part) for each in given)
    assert torch.equal(asked(made.passed, x, space), asked(plain.apply, x, space))
    slopes = []
    for ask in (made.passed, short.apply, plain.apply):
        leaf = x.clone().requires_grad_()
        slopes.append(torch.autograd.grad(asked(ask, leaf, space).sum(), leaf)[0])
    assert torch.equal(slopes[0], slopes[1])
    assert not torch.equal(slopes[0], slopes[2])


def test_the_same_seed_learns_the_same_and_disturbs_nothing(digits, model):
    part = digits.train.sample(200)
    state, heard = torch.get_rng_state(), []
    one, two, other = (QUICK.fit(model, part, seed, heard.append) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert one.learned() == two.learned() != other.learned()
    assert [e.done for e in heard if isinstance(e, BatchDone)] == [1, 2, 3, 4, 5] * 3
    prints = {fingerprint(settle(m, part.x), (1, 8, 8)) for m in (model | one, model | two, model | other, model)}
    assert len(prints) == 3


def test_averaged_gradients_through_all_steps_break_it(digits, model, stage):
    part = digits.test.sample(16)
    attack = Eot(hf.attacks.Pgd(steps=6, step=0.4), samples=3)
    out = hf.run(attack, settle(model | stage, part.x), part.x, part.y, "linf:0.3")
    assert out.status.count("broken") > 8


def test_one_that_diverges_or_has_nothing_to_learn_is_refused(digits, model):
    wrong = digits.train.sample(50)
    object.__setattr__(wrong, "x", wrong.x / 0 * 0)
    with pytest.raises(ModelError, match="HF248 .*50 of 50 inputs with gaps"):
        QUICK.fit(model, wrong)
    with pytest.raises(ModelError, match="HF251 The denoiser diverged in step 2"):
        dataclasses.replace(QUICK, rate=1e30).fit(model, digits.train.sample(50))
    with pytest.raises(ModelError, match="HF220"):
        QUICK.fit(model, digits.train.take([]))


def test_constant_columns_and_rounding_lead_beyond_no_bound():
    draw = torch.Generator().manual_seed(0)
    low = torch.randn(500, generator=draw)
    high = low + 3 * torch.rand(500, generator=draw)
    low[0] = high[0]
    ends = zip(low.tolist(), high.tolist(), strict=True)
    space = hf.Tabular(hf.Schema([Feature(str(j), low=a, high=b) for j, (a, b) in enumerate(ends)]))
    x = torch.stack([low, high])
    shares = _pictures.shares(x, space)
    assert torch.equal(shares[1], (high > low).float())
    u = shares.clone().requires_grad_()
    back = _pictures.values(u, x, space)
    assert torch.equal(back, x)
    back.sum().backward()
    assert torch.equal(u.grad, (high - low).expand(2, -1)), "where rounding was taken back too"
    rows = {"a": range(40), "same": [7] * 40, "y": ["u", "v"] * 20}
    data = hf.data.table({name: list(cells) for name, cells in rows.items()}).test
    plain = settle(hf.wrap(torch.nn.Linear(2, 2).double(), data.schema), data.x)
    guarded = settle(plain | QUICK.fit(plain, data), data.x)
    assert bool(torch.isfinite(guarded.scores(data.x)).all())


def scheduler(betas=(1e-4, 0.01, 0.02), kind="epsilon"):
    return types.SimpleNamespace(betas=betas, config=types.SimpleNamespace(prediction_type=kind))


def still(z, now):
    return torch.zeros_like(z)


@pytest.mark.parametrize(
    ("unet", "told", "said"),
    [
        (still, None, "Nothing tells the noise"),
        (None, scheduler(), "a scheduler and no network"),
        (still, scheduler(kind="score"), "prediction_type='score'"),
        (still, scheduler(betas=(0.1, 1.0)), "shares of the signal"),
        (lambda z, now: z[:, :, :4], scheduler(), "returns something else"),
        (lambda z, now: z / 0, scheduler(), "not finite"),
        (lambda z: z, scheduler(), "cannot take these inputs and a time"),
        (torch.nn.Conv2d(3, 3, 1), scheduler(), "cannot take these inputs and a time"),
        (still, scheduler(betas=()), "shares of the signal"),
    ],
    ids=["no scheduler", "no network", "kind", "shares", "shape", "nan", "call", "channels", "none"],
)
def test_a_denoiser_that_cannot_be_used_is_refused(unet, told, said, digits, model):
    with pytest.raises(ModelError, match="HF263") as caught:
        DiffusionPurifier(unet=unet, scheduler=told).fit(model, digits.train.sample(8))
    assert said in str(caught.value)


def unet_of_diffusers():
    diffusers = pytest.importorskip("diffusers")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = diffusers.UNet2DModel(
            sample_size=8,
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=(8, 8),
            norm_num_groups=4,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        )
    return diffusers, net


@pytest.mark.parametrize("method", ["ddpm", "ddim"])
def test_a_network_of_diffusers_is_asked_as_its_own_scheduler_does(method, digits, model):
    """Second implementation: the steps of diffusers' own schedulers, over the whole process, from the same noise."""
    diffusers, net = unet_of_diffusers()
    kind = {"ddpm": diffusers.DDPMScheduler, "ddim": diffusers.DDIMScheduler}[method]
    steps = kind(num_train_timesteps=40, clip_sample=False, timestep_spacing="trailing", beta_end=0.1)
    settings = {"until": 0.999, "steps": 5, "method": method}
    stage = DiffusionPurifier(unet=net, scheduler=steps, **settings).fit(model, digits.train.sample(8))
    x, space = digits.test.x[:3], digits.test.space
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(3)
        z = steps.add_noise(2 * x - 1, torch.randn_like(x), torch.full((3,), 39))
        steps.set_timesteps(5)
        for now in steps.timesteps:
            z = steps.step(net(z, now).sample, now, z).prev_sample
    torch.testing.assert_close(asked(stage.apply, x, space, 3), (z / 2 + 0.5).clamp(0, 1), rtol=1e-4, atol=1e-5)


def test_a_network_of_diffusers_stays_as_it_was_and_its_weights_count(digits, model):
    diffusers, net = unet_of_diffusers()
    net.train()
    told = diffusers.DDPMScheduler(num_train_timesteps=40)
    stage = DiffusionPurifier(unet=net, scheduler=told, steps=2).fit(model, digits.train.sample(8))
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    assert str(stage) == "diffusion_purifier(steps=2, unet=UNet2DModel)"
    settle(model | stage, digits.test.x)
    before = stage.learned()
    with torch.no_grad():
        next(net.parameters()).add_(1)
    assert stage.learned() == before
    changed = DiffusionPurifier(unet=net, scheduler=told, steps=2).fit(model, digits.train.sample(8))
    assert changed.learned() != before
