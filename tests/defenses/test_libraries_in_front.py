"""What stands in front of a model beside libraries of other people: scikit-image, SciPy, scikit-learn and others."""

import jsonschema
import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.distance import cdist
from scipy.special import expit
from scipy.stats import norm
from scipy.stats.mstats import mquantiles
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import MinMaxScaler

import holdfast as hf
from holdfast.data.dataset import Dataset
from holdfast.defenses.preprocessing._wavelet import shrunk
from holdfast.defenses.preprocessing.bilateral_filter import BilateralFilter
from holdfast.defenses.preprocessing.median_smoothing import MedianSmoothing
from holdfast.defenses.preprocessing.rescale import Rescale
from holdfast.defenses.validation import _statistics as statistics
from holdfast.models.files import load_model
from holdfast.models.settle import settle
from holdfast.models.wrap import wrap
from holdfast.threats.space import Box, space_of


def pictures(*shape):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture(scope="module")
def digits():
    found = hf.data.load("digits")
    return settle(load_model("digits-mlp"), found.test.x), found


# Smoothing

FAR = 1e6  # a deviation that makes all pixels of a window near, or all shades alike


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("size", "tone"), [(5, 0.2), (3, 0.05), (7, 1.0)])
def test_similar_pixels_weigh_as_in_scikit_image(size, tone, channels):
    """With all near pixels equal. Its nearness is not compared: a table of `size` + 1 read as one of `size` (0.26)."""
    restoration = pytest.importorskip("skimage.restoration")
    x = pictures(2, channels, 9, 11)
    ours = BilateralFilter(size=size, sigma=FAR, tone=tone).apply(x, space_of(x))
    for row, picture in zip(ours, x, strict=True):
        theirs = restoration.denoise_bilateral(
            picture.permute(1, 2, 0).numpy() if channels == 3 else picture[0].numpy(),
            win_size=size,
            sigma_color=tone / channels**0.5,  # it divides the distance of colors by their number
            sigma_spatial=FAR,
            bins=1_000_000,
            mode="reflect",
            channel_axis=-1 if channels == 3 else None,
        )
        theirs = torch.from_numpy(theirs.reshape(9, 11, channels)).permute(2, 0, 1)
        torch.testing.assert_close(row, theirs, rtol=0, atol=1e-5)
    assert (ours - x).abs().max() > 0.01


@pytest.mark.parametrize(("size", "sigma"), [(5, 1.5), (3, 0.7), (7, 3.0)])
def test_near_pixels_weigh_as_in_scipy_where_all_are_alike(size, sigma):
    x = pictures(2, 3, 9, 11)
    ours = BilateralFilter(size=size, sigma=sigma, tone=FAR).apply(x, space_of(x))
    theirs = ndimage.gaussian_filter(x.numpy(), sigma, radius=size // 2, mode="mirror", axes=(2, 3))
    torch.testing.assert_close(ours, torch.from_numpy(theirs), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("factor", "shift"), [(1.5, -0.1), (-1.0, 1.0), (0.4, 0.5)])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-3.0, 255.0)], ids=str)
def test_rescaling_is_the_scaler_of_scikit_learn_that_clips(factor, shift, bounds):
    """Fitted on the shares that go to 0 and 1; a negative factor is a positive one on the shares from above."""
    low, width = bounds[0], bounds[1] - bounds[0]
    x = pictures(5, 7)
    ours = (Rescale(factor=factor, shift=shift).apply(x * width + low, Box(bounds)) - low) / width
    ends = sorted([-shift / factor, (1 - shift) / factor])
    scaler = MinMaxScaler(clip=True).fit(np.tile(np.array(ends)[:, None], 7))
    theirs = scaler.transform(x.numpy())
    np.testing.assert_allclose(ours, theirs if factor > 0 else 1 - theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_wavelets_are_shrunk_as_in_scikit_image(depth):
    restoration = pytest.importorskip("skimage.restoration")
    x = 0.5 + 0.2 * pictures(2, 1, 16, 24)
    ours = shrunk(x, 0.05, depth)
    for row, picture in zip(ours, x, strict=True):
        options = {"wavelet": "haar", "mode": "soft", "method": "BayesShrink", "rescale_sigma": False}
        theirs = restoration.denoise_wavelet(picture[0].numpy(), sigma=0.05, wavelet_levels=depth, **options)
        torch.testing.assert_close(row[0], torch.from_numpy(theirs), rtol=0, atol=1e-10)
    assert (ours - x).abs().max() > 0.02


# Detectors


def test_squeezing_is_the_cityblock_of_scipy_after_its_median(digits):
    model, data = digits
    stage = hf.defenses.FeatureSqueezing(squeezers=(MedianSmoothing(size=2), MedianSmoothing(size=3)))
    x = data.test.x[:40]
    found = stage.fit(model, data.train, 0).score(x).detach()
    ask = [x.numpy()] + [ndimage.median_filter(x.numpy(), size=(1, 1, n, n)) for n in (2, 3)]
    plain, *squeezed = (np.exp(z - np.logaddexp.reduce(z, axis=1, keepdims=True)) for z in map(scores_of(model), ask))
    changes = [np.diag(cdist(plain, one, "cityblock")) for one in squeezed]
    np.testing.assert_allclose(found, np.maximum(*changes), rtol=0, atol=1e-6)
    assert (changes[0] > changes[1]).any()
    assert (changes[0] < changes[1]).any()


def scores_of(model):
    return lambda x: model.scores(torch.from_numpy(x)).double().numpy()


@pytest.mark.parametrize("neighbors", [5, 20])
def test_the_local_dimension_is_that_of_scikit_dimension(digits, neighbors):
    """Up to k / (k - 1): Ma et al. take the mean over all k neighbors, Levina and Bickel leave the last one out."""
    estimators = pytest.importorskip("skdim.id")
    model, data = digits
    train, x = data.train.sample(600, 0), data.test.x[:30]
    detector = hf.defenses.LocalDimensionality(layer="inputs", neighbors=neighbors, samples=200, held_out=0.5)
    found = detector.fit(model, train, 0).score(x)
    learned, _ = train.divide(0.5, 0)
    kept = learned.sample(200, 0).x.flatten(1).double().numpy()
    near = NearestNeighbors(n_neighbors=neighbors).fit(kept).kneighbors(x.flatten(1).double().numpy())
    theirs = estimators.MLE().fit(kept, precomputed_knn_arrays=near, n_neighbors=neighbors).dimension_pw_
    np.testing.assert_allclose(found, theirs * neighbors / (neighbors - 1), rtol=1e-5)


# Validators


def table(n, seed):
    """A real number, a count, a kind of three."""
    g = torch.Generator().manual_seed(seed)
    columns = [
        torch.randn(n, generator=g, dtype=torch.float64).clamp(-3, 3),
        torch.randint(17, 80, (n,), generator=g).double(),
        2.0 * torch.randint(0, 3, (n,), generator=g).double(),
    ]
    return torch.stack(columns, 1)


def test_a_schema_accepts_what_a_json_schema_accepts():
    x = table(400, 1)
    data = Dataset(x, (x[:, 0] > 0).long(), ((-10, 0, 0), (10, 200, 10)), features=("a", "age", "kind"))
    learned, _ = data.divide(0.5, 0)
    stage = hf.defenses.RangeCheck(fpr=0.05, levels=3).fit(settle(wrap(torch.nn.Linear(3, 2), data.bounds), x), data)
    low, high = learned.x.amin(0).tolist(), learned.x.amax(0).tolist()
    rules = [{"type": "number", "minimum": a, "maximum": b} for a, b in zip(low, high, strict=True)]
    rules[1]["multipleOf"] = 1
    rules[2]["enum"] = sorted(set(learned.x[:, 2].tolist()))
    judge = jsonschema.Draft202012Validator({"type": "array", "prefixItems": rules, "minItems": 3, "maxItems": 3})
    g = torch.Generator().manual_seed(2)
    some = torch.rand(300, 3, generator=g) < 0.25
    away = torch.tensor([4.0, 30.0, 3.0]) * torch.randn(300, 3, generator=g, dtype=torch.float64)
    away[::2] = away[::2].round()
    asked = torch.cat([table(300, 3) + some * away, learned.x])
    accepted = [judge.is_valid(row) for row in asked.tolist()]
    assert (stage.score(asked) <= 0).tolist() == accepted
    assert 100 < sum(accepted[:300]) < 250
    named = [stage.reasons(row[None], data.space)[0] for row in asked[:300]]
    for row, words in zip(asked[:300].tolist(), named, strict=True):
        wrong = {("a", "age", "kind")[error.path[0]] for error in judge.iter_errors(row)}
        assert not words or words.split("'")[1] in wrong


def camera(n, channels):
    """Smooth scenes with noise, some of them cut off at white."""
    g = torch.Generator().manual_seed(4)
    ramp = torch.linspace(0, 1, 25, dtype=torch.float64)
    scene = 0.3 + torch.rand(n, channels, 1, 1, generator=g, dtype=torch.float64) * (ramp[:, None] + ramp) / 2
    return (scene + 0.02 * torch.randn(n, channels, 25, 25, generator=g, dtype=torch.float64)).clamp(0, 1)


def test_the_traces_of_a_camera_by_the_filters_of_scipy():
    x = camera(4, 3)
    mask = np.outer([1, -2, 1], [1, -2, 1])  # Immerkaer's
    for k, picture in enumerate(x.numpy()):
        gray = picture.mean(0)
        bends = rounded(ndimage.laplace(gray)[1:-1, 1:-1])
        fine = np.stack([ndimage.convolve(plane, mask)[1:-1, 1:-1] for plane in picture])
        level = rounded(fine.mean(0)) * np.sqrt(np.pi / 2) / 6
        ends = expit((0.02 - picture) / 0.01) + expit((picture - 0.98) / 0.01)
        detail = rounded(fine - fine.mean(0)).mean() + 1 / 2048, rounded(fine.mean(0)).mean() + 1 / 2048
        theirs = {
            "contrast": np.log((bends**8).mean() ** (1 / 8) + 1 / 2048),
            "noise": np.log(level.mean() + 1 / 2048),
            "saturation": np.log(ends.mean() + 1e-3),
            "color": np.log(detail[0] / detail[1]),
        }
        for name, wanted in theirs.items():
            assert float(getattr(statistics, name)(x[k : k + 1])) == pytest.approx(wanted, abs=1e-9), name


def rounded(x):
    return np.sqrt(x**2 + 1e-8)


@pytest.mark.parametrize("sigma", [0.02, 0.05, 0.1])
def test_the_noise_level_is_the_one_that_scikit_image_finds_by_wavelets(sigma):
    restoration = pytest.importorskip("skimage.restoration")
    g = torch.Generator().manual_seed(5)
    x = 0.5 + sigma * torch.randn(6, 1, 96, 96, generator=g, dtype=torch.float64)
    ours = statistics.noise(x).exp() - statistics.LEAST
    theirs = np.mean([restoration.estimate_sigma(row[0].numpy()) for row in x])
    assert float(ours.mean()) == pytest.approx(theirs, rel=0.03)
    assert theirs == pytest.approx(sigma, rel=0.03)


def test_suspicion_is_the_largest_normal_quantile_of_scipy_at_a_rank():
    """By 33 quantiles of clean pictures, each moved by a spread of 0.05; beyond the outermost ours goes on."""
    x = camera(400, 1)
    data = Dataset(x, torch.arange(400) % 2)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(625, 2)).double()
    stage = hf.defenses.CameraRealism().fit(settle(wrap(net.eval()), x), data, 0)
    learned, held = data.divide(0.5, 0)
    levels = np.linspace(0.005, 0.995, 33)
    z = []
    for statistic in statistics.applying((1, 25, 25)).values():
        clean, seen = statistic(learned.x).numpy(), statistic(held.x).numpy()
        places = mquantiles(clean, levels, alphap=1, betap=1) + 0.05 * norm.ppf(levels)
        z.append(np.abs(np.interp(seen, places, norm.ppf(levels), left=np.nan, right=np.nan)))
    wanted = np.max(z, axis=0)
    inside = ~np.isnan(wanted)
    assert inside.sum() > 150
    np.testing.assert_allclose(stage.score(held.x).numpy()[inside], wanted[inside], rtol=0, atol=1e-9)
