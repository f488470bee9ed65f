import math

import numpy as np
import pytest
import torch

from holdfast.evaluation.metrics.confusions import confusions
from holdfast.evaluation.metrics.coverage import not_tested
from holdfast.evaluation.metrics.curve import curve, from_distances
from holdfast.evaluation.metrics.distances import spread
from holdfast.evaluation.metrics.eight_bit import stored
from holdfast.evaluation.metrics.loss import confidence, cross_entropy
from holdfast.evaluation.metrics.per_class import per_class
from holdfast.evaluation.metrics.psnr import psnr
from holdfast.evaluation.metrics.ssim import ssim
from holdfast.evaluation.metrics.transfer import transfer_rate


def test_psnr_by_hand():
    """Every pixel moved by 1/10 of the range: 20 dB; by the whole range: 0 dB; not at all: infinite."""
    x = torch.zeros(3, 1, 4, 4)
    y = torch.stack([x[0] + 25.5, x[1] + 255, x[2]])
    assert psnr(x, y, 255.0).tolist() == pytest.approx([20.0, 0.0, math.inf])


def wang(x, y, span, side):
    """Wang et al. 2004, equation 13, written out: loops, float64, no convolution."""
    at = np.arange(side) - side // 2
    window = np.exp(-(at[:, None] ** 2 + at[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2, values = (0.01 * span) ** 2, (0.03 * span) ** 2, []
    for a, b in zip(x, y, strict=True):
        for i in range(a.shape[0] - side + 1):
            for j in range(a.shape[1] - side + 1):
                p, q = a[i : i + side, j : j + side], b[i : i + side, j : j + side]
                m, n = (window * p).sum(), (window * q).sum()
                vp, vq = (window * (p - m) ** 2).sum(), (window * (q - n) ** 2).sum()
                both = (window * (p - m) * (q - n)).sum()
                values.append((2 * m * n + c1) * (2 * both + c2) / ((m * m + n * n + c1) * (vp + vq + c2)))
    return np.mean(values)


@pytest.mark.parametrize(
    ("shape", "side"), [((3, 16, 13), 11), ((1, 8, 8), 7), ((3, 5, 20), 5), ((1, 1, 4), 1), ((2, 11, 11), 11)]
)
@pytest.mark.parametrize("span", [1.0, 255.0])
def test_ssim_against_the_formula(shape, side, span):
    draw = np.random.default_rng(3)
    x = draw.random(shape) * span
    y = np.clip(x + draw.normal(0, 0.1 * span, shape), 0, span)
    found = ssim(torch.tensor(x)[None], torch.tensor(y)[None], span)
    assert found.item() == pytest.approx(wang(x, y, span, side), abs=1e-10)


def test_ssim_of_equal_and_of_inverted_images():
    x = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert ssim(x, x, 1.0).tolist() == pytest.approx([1.0, 1.0])
    assert (ssim(x, 1 - x, 1.0) < 0.5).all()


def test_eight_bit_levels():
    """Between 0 and 255 the levels are the whole numbers; in [-1, 1] they are 2/255 apart; bounds stay bounds."""
    assert stored(torch.tensor([[0.4, 254.6, 17.0]]), 0.0, 255.0).tolist() == [[0.0, 255.0, 17.0]]
    x = torch.rand(5, 7, generator=torch.Generator().manual_seed(1)) * 2 - 1
    levels = (stored(x, -1.0, 1.0).double() + 1) / 2 * 255
    assert torch.allclose(levels, levels.round(), atol=1e-4)
    assert (stored(x, -1.0, 1.0) - x).abs().max() <= 1 / 255 + 1e-6
    again = stored(x, -1.0, 1.0)
    assert torch.equal(stored(again, -1.0, 1.0), again)


def test_eight_bit_with_bounds_of_each_feature():
    low, high = torch.tensor([0.0, -10.0]), torch.tensor([1.0, 10.0])
    assert stored(torch.tensor([[1.0, -10.0]]), low, high).tolist() == [[1.0, -10.0]]


def test_cross_entropy_and_confidence_by_hand():
    """Two classes with scores 0 and log 3: probabilities 1/4 and 3/4."""
    scores = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    assert cross_entropy(scores, torch.tensor([0, 1])).tolist() == pytest.approx(
        [math.log(4), math.log(4 / 3)], rel=1e-6
    )
    assert confidence(scores).tolist() == pytest.approx([0.75, 0.75], rel=1e-6)


def test_spread():
    found = spread([3.0, None, 1.0, math.inf, 2.0, math.nan])
    assert (found.min, found.median, found.max, found.n) == (1.0, 2.0, 3.0, 3)
    assert spread([None]) is None


def test_curve_never_rises():
    """A radius where a weaker search found less than a smaller one did counts what the smaller one broke."""
    points = curve({0.1: 3, 0.2: 2, 0.4: 5}, base=9, n=10, words="samples")
    assert [(p.radius, p.rate.k) for p in points] == [(0.0, 9), (0.1, 6), (0.2, 6), (0.4, 4)]


def test_curve_from_distances():
    points = from_distances([0.5, 0.25, 1.0], base=4, n=5, words="samples")
    assert [(p.radius, p.rate.k) for p in points] == [(0.0, 4), (0.25, 3), (0.5, 2), (1.0, 1)]
    assert len(from_distances(list(range(1, 500)), 500, 500, "samples")) == 13


def test_per_class():
    labels = {"a": 0, "b": 0, "c": 2}
    first, second = per_class(
        labels, {"a": True, "b": True, "c": False}, {"a": True, "b": False, "c": False}, ("cat", "dog", "owl")
    )
    assert (first.name, first.clean.k, first.clean.n, first.robust.k) == ("cat", 2, 2, 1)
    assert (second.name, second.clean.k, second.robust.k, second.robust.n) == ("owl", 0, 0, 1)


def test_confusions_most_frequent_first():
    found = confusions([(1, 2), (0, 1), (1, 2), (0, 2)])
    assert [(c.source, c.into, c.count) for c in found] == [(1, 2, 2), (0, 1, 1), (0, 2, 1)]


def test_transfer_counts_only_what_the_second_model_gets_right():
    found = transfer_rate(["broken", "unbroken", "wrong", "broken", "error"])
    assert (found.k, found.n) == (2, 3)
    assert transfer_rate(["wrong"]) is None


def test_not_tested_names_norms_and_knowledge_when_nothing_ran():
    lines = not_tested((), False)
    assert any("linf" in line for line in lines)
    assert any("only labels" in line for line in lines)
    assert any("see holdfast list attacks" in line for line in lines)


def test_trees_are_told_of_the_exact_distance():
    assert not any("exact_distance" in line for line in not_tested((), False))
    assert "exact_distance" in not_tested((), False, trees=True)[0]
