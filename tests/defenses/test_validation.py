"""Validators keep their rate of false alarms, name what is wrong, and give way to an attack that knows them."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import torch
from scipy.stats import betabinom

import holdfast as hf
from cases.validation import VALIDATION
from holdfast.attacks.evasion.apgd import Apgd
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import run
from holdfast.core.errors import DataError, ParameterError
from holdfast.data.dataset import Dataset
from holdfast.defenses.fitting import Detector, threshold, values
from holdfast.defenses.validation import _statistics as statistics
from holdfast.defenses.validation.camera_realism import CameraRealism
from holdfast.defenses.validation.range_check import RangeCheck
from holdfast.models.files import load_model
from holdfast.models.settle import settle
from holdfast.models.stage import checked, why
from holdfast.models.wrap import wrap
from holdfast.threats.space import Box, Image

every = pytest.mark.parametrize("case", VALIDATION, ids=str)
HELD = 300
FILL = torch.linspace(-1, 1, 18, dtype=torch.float64)


def photos(n, seed, channels=1):
    """Smooth scenes with a little noise that the channels share, brighter on the left or on the right."""
    g = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    waves = torch.zeros(n, 1, 18, 18, dtype=torch.float64)
    for _ in range(4):
        a, b, phase, size = torch.rand(4, n, 1, 1, generator=g, dtype=torch.float64)
        waves[:, 0] += 0.12 * size * torch.cos(4 * (a - 0.5) * FILL[:, None] + 4 * (b - 0.5) * FILL + 6.28 * phase)
    side = (0.05 * (2 * y - 1))[:, None, None, None] * FILL
    grain = 0.01 * (1 + torch.rand(n, 1, 1, 1, generator=g, dtype=torch.float64))
    x = 0.5 + waves + side + grain * torch.randn(n, 1, 18, 18, generator=g, dtype=torch.float64)
    tint = 1 + 0.2 * torch.rand(n, channels, 1, 1, generator=g, dtype=torch.float64)
    return Dataset((x * tint).clamp(0, 1), y)


def table(n, seed):
    """A real number, a count, a kind of three, a constant."""
    g = torch.Generator().manual_seed(seed)
    columns = [
        torch.randn(n, generator=g).clamp(-4, 4),
        torch.randint(17, 80, (n,), generator=g).float(),
        2.0 * torch.randint(0, 3, (n,), generator=g),
        torch.full((n,), 3.0),
    ]
    x = torch.stack(columns, 1)
    return Dataset(x, (x[:, 0] > 0).long(), ((-10, 0, 0, 0), (10, 200, 10, 10)), features=("a", "age", "kind", "same"))


@functools.cache
def base(channels=1):
    """Compares the left with the right half."""
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(channels * 324, 2, bias=False)).double()
    with torch.no_grad():
        net[1].weight[1] = FILL.expand(channels, 18, 18).flatten() / channels
        net[1].weight[0] = -net[1].weight[1]
    return settle(wrap(net.eval()), photos(32, 0, channels).x)


@functools.cache
def fitted(detector, channels=1):
    return detector.fit(base(channels), photos(2 * HELD, 1, channels))


def at(detector, fpr):
    """The same at another rate, without learning anew."""
    stage, (_, held) = fitted(detector), photos(2 * HELD, 1).divide(1 - detector.held_out, 0)
    return dataclasses.replace(stage, threshold=threshold(values(stage.score, held.x), fpr))


def flagged(stage, x):
    return stage.suspicion(x, Image()) > 0


# Rates


@every
def test_false_alarms_on_fresh_clean_data_come_at_the_stated_rate(case):
    n, fpr = 800, 0.1
    alarms = int(flagged(at(case.detector, fpr), photos(n, 2).x).sum())
    rank = math.ceil((HELD + 1) * (1 - fpr) - 1e-9)
    law = betabinom(n, HELD + 1 - rank, rank)
    assert law.ppf(0.0005) <= alarms <= law.ppf(0.9995)


@every
def test_a_higher_rate_never_rejects_less(case):
    x = torch.cat([photos(150, 3).x, torch.rand(20, 1, 18, 18, generator=torch.Generator().manual_seed(0))])
    flags = [flagged(at(case.detector, fpr), x) for fpr in (0.02, 0.1, 0.3)]
    assert (flags[0] <= flags[1]).all()
    assert (flags[1] <= flags[2]).all()
    assert flags[2].sum() > flags[0].sum()


@every
def test_it_keeps_its_word_and_gives_a_reason_where_it_rejects(case):
    stage, x = fitted(case.detector), torch.cat([photos(6, 4).x, torch.rand(4, 1, 18, 18, dtype=torch.float64)])
    checked(stage, x, Image())
    reasons = stage.reasons(x, Image())
    assert [bool(text) for text in reasons] == flagged(stage, x).tolist()
    assert all(text.startswith(str(stage)) and "usually" in text for text in reasons if text)
    assert why(settle(base() | stage, x), x) == reasons
    assert isinstance(case.detector, Detector)
    assert case.detector.slope == "exact"


@every
def test_the_gradient_of_the_score_is_its_finite_difference(case):
    stage, x = fitted(case.detector), photos(12, 6).x.clamp(0.01, 0.99)
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(stage.score(leaf).sum(), leaf)
    assert torch.isfinite(slope).all()
    assert (slope != 0).flatten(1).any(1).all()
    for k in range(3):
        away = 1e-6 * torch.randn(x.shape, generator=torch.Generator().manual_seed(k), dtype=x.dtype).sign()
        seen = (stage.score(x + away) - stage.score(x - away)) / 2
        said = (slope * away).flatten(1).sum(1)
        close = (said - seen).abs() <= 0.02 * (slope * away).flatten(1).norm(dim=1)
        assert close.double().mean() > 0.9


# Cameras


def doctored(kind, x):
    """Pictures with one thing wrong, and the statistics that may notice it."""
    g = torch.Generator().manual_seed(3)
    if kind == "speck":
        return x.index_put((torch.arange(len(x)), torch.tensor(0), torch.tensor(9), torch.tensor(9)), 1 - x[:, 0, 9, 9])
    if kind == "added":
        return (x + 0.1 * (2 * torch.rand(x.shape, generator=g, dtype=x.dtype) - 1).sign()).clamp(0, 1)
    if kind == "blurred":
        return torch.nn.functional.avg_pool2d(torch.nn.functional.pad(x, (2, 2, 2, 2), mode="replicate"), 5, 1)
    if kind == "overexposed":
        return (x + 0.45).clamp(0, 1)
    tiles = torch.rand(len(x), 1, 3, 3, generator=g, dtype=x.dtype).repeat_interleave(8, 2).repeat_interleave(8, 3)
    return (x + 0.08 * (tiles[:, :, :18, :18] - 0.5)).clamp(0, 1)


WRONG = {
    "speck": {"contrast"},
    "added": {"contrast", "variation", "noise", "quiet"},
    "blurred": {"contrast", "variation", "noise", "quiet"},
    "overexposed": {"saturation", "quiet"},
    "blocks": {"grid"},
}


@pytest.mark.parametrize("kind", WRONG)
def test_the_reason_names_the_statistic_that_is_wrong(kind):
    stage, x = fitted(CameraRealism()), photos(60, 5).x
    reasons = [text for text in stage.reasons(doctored(kind, x), Image()) if text]
    assert len(reasons) > (30 if kind != "blocks" else 15)
    named = [text.split(": ")[1].split()[0] for text in reasons]
    assert sum(name in WRONG[kind] for name in named) > 0.7 * len(named)


def test_channels_whose_fine_detail_differs_have_the_wrong_color():
    stage, x = fitted(CameraRealism(), 3), photos(40, 5, 3).x
    noise = 0.02 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=x.dtype)
    reasons = stage.reasons((x + noise).clamp(0, 1), Image())
    assert sum("color" in text for text in reasons) > 30


def test_noise_and_large_changes_are_rejected():
    stage, clean = fitted(CameraRealism()), photos(60, 7)
    assert flagged(stage, torch.rand(40, 1, 18, 18, generator=torch.Generator().manual_seed(1))).all()
    out = run(Pgd(steps=10), base(), clean.x, clean.y, "linf:0.25")
    assert int(out.success.sum()) > 40
    assert flagged(stage, out.adversarial[out.success]).double().mean() > 0.9


def test_who_knows_it_gets_through_more_often_than_who_does_not():
    """The defense-aware attack climbs wrong and accepted; the oblivious one only wrong."""
    stage, clean = fitted(CameraRealism()), photos(40, 8)
    guarded = settle(base() | stage, clean.x)
    kept = ~flagged(stage, clean.x) & (base().predict(clean.x) == clean.y)
    x, y = clean.x[kept], clean.y[kept]
    blind = run(Pgd(steps=20), base(), x, y, "linf:0.15")
    through = int((blind.success & ~flagged(stage, blind.adversarial)).sum())
    knowing = int(run(Apgd(steps=60), guarded, x, y, "linf:0.15").success.sum())
    assert int(blind.success.sum()) > 0.8 * len(x)
    assert knowing > through + 3


def test_statistics_against_closed_forms():
    """White noise of a known deviation, a ramp of a known slope, tiles, and a count of saturated values."""
    g = torch.Generator().manual_seed(0)
    x = 0.5 + 0.04 * torch.randn(4, 1, 64, 64, generator=g, dtype=torch.float64)
    assert statistics.noise(x).exp().sub(statistics.LEAST).numpy() == pytest.approx(0.04, rel=0.05)
    ramp = (torch.arange(16, dtype=torch.float64) / 32).expand(1, 1, 16, 16)
    assert float(statistics.variation(ramp).exp()) - statistics.LEAST == pytest.approx(1 / 32, rel=1e-3)
    assert float(statistics.noise(ramp).exp()) < 2 * statistics.LEAST
    tiles = torch.rand(1, 1, 2, 2, generator=g, dtype=torch.float64).repeat_interleave(8, 2).repeat_interleave(8, 3)
    assert float(statistics.grid(tiles)) > 3
    assert float(statistics.grid(torch.roll(tiles, (4, 4), (2, 3)))) < -3
    half = torch.cat([torch.full((1, 1, 4, 8), 0.5), torch.ones(1, 1, 2, 8), torch.zeros(1, 1, 2, 8)], 2).double()
    assert float(statistics.saturation(half).exp()) == pytest.approx(0.5 * 0.881, rel=0.01), "soft at the bound itself"


def test_statistics_against_plain_numpy():
    x = photos(5, 9, 3).x
    for row, picture in enumerate(x.numpy()):
        gray = picture.mean(0)
        mask = np.array(statistics.STENCIL)
        fine = np.array([[(gray[i : i + 3, j : j + 3] * mask).sum() for j in range(16)] for i in range(16)])
        level = np.sqrt(np.pi / 2) / 6 * np.sqrt(fine**2 + statistics.SMOOTH**2)
        assert float(statistics.noise(x)[row]) == pytest.approx(np.log(level.mean() + statistics.LEAST))
        blocks = level.reshape(4, 4, 4, 4).mean((1, 3)).ravel() + statistics.LEAST
        assert float(statistics.quiet(x)[row]) == pytest.approx(np.log(np.mean(blocks**-8.0) ** (-1 / 8)))
        bend = 4 * gray[1:-1, 1:-1] - gray[:-2, 1:-1] - gray[2:, 1:-1] - gray[1:-1, :-2] - gray[1:-1, 2:]
        top = np.mean((bend**2 + statistics.SMOOTH**2) ** 4) ** (1 / 8)
        assert float(statistics.contrast(x)[row]) == pytest.approx(np.log(top + statistics.LEAST))


def test_the_scores_of_clean_pictures_are_ranks():
    """At the quantile of a level stands the normal quantile of that level, between them a line, and on beyond them."""
    score, x = fitted(CameraRealism()).score, photos(2 * HELD, 1).divide(0.5, 0)[0].x
    known = statistics.applying((1, 18, 18))
    found = torch.stack([known[name](x) for name in score.names], 1)
    assert set(score.names) == set(known)
    assert torch.equal(score(x), score.unusual(found).amax(1))
    assert score.ranks[[0, 16, 32]].tolist() == pytest.approx([-2.5758, 0, 2.5758], abs=1e-4)
    torch.testing.assert_close(score.unusual(score.knots.T), score.ranks.abs()[:, None].expand(-1, len(score.names)))
    between = (score.knots[:, 20] + score.knots[:, 21]) / 2
    torch.testing.assert_close(score.unusual(between[None])[0], score.ranks[20:22].mean().expand(len(score.names)))
    beyond = score.unusual((2 * score.knots[:, -1] - score.knots[:, -2])[None])[0]
    torch.testing.assert_close(beyond, (2 * score.ranks[-1] - score.ranks[-2]).expand(len(score.names)))
    raw = score.knots - 0.05 * score.ranks
    torch.testing.assert_close(raw[:, 16], torch.quantile(found, 0.5, dim=0))


class Brightness(torch.nn.Module):
    def forward(self, x):
        found = x.flatten(1).mean(1)
        return torch.stack([found, -found], 1)


def test_only_pictures_have_a_camera():
    anything = settle(wrap(Brightness().eval()), photos(32, 0).x)
    with pytest.raises(DataError, match="HF134"):
        CameraRealism().fit(anything, table(60, 0))
    small = Dataset(torch.rand(60, 1, 4, 9), torch.arange(60) % 2)
    with pytest.raises(DataError, match="HF134"):
        CameraRealism().fit(anything, small)


@pytest.mark.parametrize("name", ["pneumoniamnist"])
def test_on_real_pictures_the_rate_holds_and_noise_is_rejected(name):
    try:
        train = hf.data.load(name).train
    except hf.HoldfastError:
        pytest.skip("the data are not here")
    part = train.sample(1800, 0)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(part.x[0].numel(), train.n_classes))
    stage = CameraRealism(fpr=0.1).fit(settle(wrap(net), part.x), part.take(slice(0, 1000)))
    fresh = part.take(slice(1000, 1800)).x
    alarms, rank = int((stage.suspicion(fresh, train.space) > 0).sum()), math.ceil(501 * 0.9)
    law = betabinom(800, 501 - rank, rank)
    assert law.ppf(0.0005) <= alarms <= law.ppf(0.9995)
    assert (stage.suspicion(torch.rand(fresh[:20].shape), train.space) > 0).all()


# Schemas


@functools.cache
def schema(**more):
    part = table(400, 1)
    return RangeCheck(**more).fit(settle(wrap(torch.nn.Linear(4, 2), part.bounds), part.x), part)


def said(row, **more):
    x = torch.tensor([row])
    return schema(**more).reasons(x, Box(table(1, 0).bounds))[0]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ((0.5, 40.0, 2.0, 3.0), ""),
        ((9.0, 40.0, 2.0, 3.0), "'a' is 9, usually -"),
        ((0.5, 150.0, 2.0, 3.0), "'age' is 150, usually 17 to 79"),
        ((0.5, 40.5, 2.0, 3.0), "'age' is 40.5, usually a whole number"),
        ((0.5, 40.0, 3.0, 3.0), "'kind' is 3, usually one of 0, 2, 4"),
        ((0.5, 40.0, 2.0, 5.0), "'same' is 5, usually 3 to 3"),
        ((math.nan, 40.0, 2.0, 3.0), "'a' is nan, which is no finite number"),
        ((0.5, 40.0, 2.0, math.inf), "'same' is inf, which is no finite number"),
    ],
    ids=str,
)
def test_every_rule_rejects_and_says_so(row, words):
    assert words in said(row)
    assert bool(said(row)) == bool(words)


def test_options_switch_rules():
    assert said((0.5, 40.0, 3.0, 3.0), levels=0) == "", "whole, and inside the range"
    assert "whole number" in said((0.5, 40.0, 2.5, 3.0), levels=0)
    assert said((0.5, 150.0, 2.0, 3.0), ranges="declared") == ""
    assert "usually 0 to 200" in said((0.5, 201.0, 2.0, 3.0), ranges="declared")
    assert said((0.5, 82.0, 2.0, 3.0)) != ""
    assert said((0.5, 82.0, 2.0, 3.0), tolerance=0.1) == ""
    assert said((0.5, 92.0, 2.0, 3.0), tolerance=0.1) != ""
    with pytest.raises(ParameterError, match="HF001"):
        RangeCheck(ranges="guessed")


def test_what_keeps_every_rule_is_accepted_whatever_the_rate():
    """A schema that all held-out data keep rejects none of them, though the stated rate would allow it."""
    x = torch.rand(400, 3, generator=torch.Generator().manual_seed(0))
    part = Dataset(x, torch.arange(400) % 2, (-1, 2))
    stage = RangeCheck(ranges="declared", fpr=0.3).fit(settle(wrap(torch.nn.Linear(3, 2), (-1, 2)), x), part)
    assert threshold(values(stage.score, x), 0.3) < 0
    assert stage.threshold == 0.0
    assert not (stage.suspicion(x, Box(part.bounds)) > 0).any()


def test_the_score_against_a_plain_reading_of_the_rules():
    learned, _ = table(400, 1).divide(0.5, 0)
    score, g = schema(tolerance=0.05).score, torch.Generator().manual_seed(2)
    x = table(60, 3).x + 0.4 * torch.randn(60, 4, generator=g) * (torch.rand(60, 4, generator=g) < 0.4)
    for row, found in zip(x.tolist(), score(x).tolist(), strict=True):
        out = []
        for j, value in enumerate(row):
            clean = sorted(set(learned.x[:, j].tolist()))
            width = clean[-1] - clean[0] or 10
            far = max(clean[0] - value, value - clean[-1]) / width - 0.05
            if j == 1:
                far = max(far, (abs(value - round(value)) - 1e-4) / 0.01)
            if j == 2:
                far = max(
                    far,
                    (abs(value - round(value)) - 1e-4) / 0.01,
                    (min(abs(value - c) for c in clean) / 2 - 1e-4) / 0.01,
                )
            out.append(far)
        total = sum(max(far, 0) for far in out)
        assert found == pytest.approx(total if total > 0 else max(out) - 0.01, rel=1e-4, abs=1e-5)


def test_an_attack_inside_the_ranges_passes_and_one_outside_does_not():
    g = torch.Generator().manual_seed(0)
    x = torch.rand(400, 3, generator=g)
    part = Dataset(x, (x[:, 0] > 0.5).long(), (-4, 5))
    net = torch.nn.Linear(3, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.2, 0.0]]))
        net.bias.copy_(torch.tensor([0.6, 0.0]))
    model = settle(wrap(net, part.bounds), x)
    stage = RangeCheck().fit(model, part)
    right = model.predict(x) == part.y
    x, y = x[right][:60], part.y[right][:60]
    blind = run(Pgd(steps=10), model, x, y, "linf:2")
    knowing = run(Apgd(steps=40), settle(model | stage, x), x, y, "linf:2")
    through = (stage.suspicion(blind.adversarial, Box(part.bounds)) <= 0) & blind.success
    assert int(blind.success.sum()) > 50
    assert int(through.sum()) < 10
    assert int(knowing.success.sum()) > int(through.sum()) + 20
    assert (stage.suspicion(knowing.adversarial[knowing.success], Box(part.bounds)) <= 0).all()


def test_a_schema_of_nothing_is_refused():
    part = table(10, 0)
    with pytest.raises(DataError, match="HF135"):
        RangeCheck().learn(base(), part.take(slice(0, 0)), 0)


def test_pixels_are_named_by_their_place():
    stage = fitted(RangeCheck())
    x = photos(1, 2).x
    x[0, 0, 3, 5] = math.nan
    assert "'(0, 3, 5)' is nan" in stage.reasons(x, Image())[0]


def test_what_keeps_every_rule_is_clearly_accepted_though_a_feature_never_varies_and_so_an_attack_passes():
    digits = hf.data.load("digits")
    model, part = settle(load_model("digits-mlp"), digits.test.x), digits.part("train")
    assert bool((part.x.flatten(1).amin(0) == part.x.flatten(1).amax(0)).any())
    guarded = model | RangeCheck().fit(model, part)
    test = digits.test.sample(60, 0)
    found = run(Apgd(steps=20), guarded, test.x, test.y, "linf:0.2", seed=0)
    assert found.status.count("broken") > 45  # 28 where the attack does not keep to the rules
    assert float(guarded.suspicion(found.adversarial[[s == "broken" for s in found.status]]).max()) < 0


def test_a_mended_input_keeps_every_rule_and_stays_where_it_kept_them():
    part = table(2000, 0)
    stage = RangeCheck().fit(settle(wrap(torch.nn.Linear(4, 2), part.bounds), part.x), part)
    low, high = part.space.limits(part.x[:500])
    asked = low + (high - low) * torch.rand(500, 4, generator=torch.Generator().manual_seed(1))
    mended = stage.mended(asked, part.space)
    assert float(stage.score(asked).min()) > 0 > float(stage.score(mended).max())
    clean = part.x[stage.score(part.x) < 0]
    assert len(clean) > 1900
    assert torch.equal(stage.mended(clean, part.space), clean)
    assert float((mended - asked)[:, 1].abs().max()) > 40
    fine = (asked[:, 1] >= 17) & (asked[:, 1] <= 79)
    assert float((mended - asked)[fine, 1].abs().max()) <= 0.5
