"""The test of a batch beside loops and a count of all relabelings; its rate of false alarms; what it sees."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import binom

import holdfast as hf
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.attacks.run import run
from holdfast.core.errors import DataError, ModelError, ParameterError
from holdfast.data.dataset import Dataset
from holdfast.defenses.detection._looks import squared
from holdfast.evaluation.monitor import BatchMonitor
from holdfast.evaluation.two_sample import discrepancy, median, permuted
from holdfast.models.files import load_model
from holdfast.models.settle import settle


def kernel(a, b, width):
    return np.exp(-((a - b) ** 2).sum() / (2 * width**2))


def literal(x, z, width):
    """The unbiased estimate as it is written, by loops."""
    n, m = len(x), len(z)
    within = sum(kernel(x[i], x[j], width) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    others = sum(kernel(z[i], z[j], width) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    between = sum(kernel(a, b, width) for a in x for b in z) / (n * m)
    return within + others - 2 * between


def two(n, m, d=3, shift=0.0, seed=0):
    """Normal points in the box, the second set with another mean: shift in deviations."""
    draw = torch.Generator().manual_seed(seed)
    x, z = (0.5 + 0.1 * torch.randn(k, d, generator=draw, dtype=torch.float64) for k in (n, m))
    return x.clamp(0, 1), (z + 0.1 * shift).clamp(0, 1)


def pooled(x, z, width):
    both = torch.cat([x, z])
    return torch.exp(-squared(both, both) / (2 * width**2))


@pytest.mark.parametrize(("n", "m"), [(2, 2), (5, 9), (12, 4)])
@pytest.mark.parametrize("width", [0.05, 0.2])
def test_the_estimate_is_the_literal_one(n, m, width):
    x, z = two(n, m, shift=0.5)
    expected = literal(x.numpy(), z.numpy(), width)
    assert permuted(pooled(x, z, width), n, 1, 0)[1] == pytest.approx(expected, abs=1e-12)
    monitor = BatchMonitor(bandwidth=width, permutations=1).watch(Dataset(x, torch.zeros(n, dtype=torch.long)))
    found = monitor.test(z)
    assert found.mmd == pytest.approx(literal(monitor.kept.numpy(), z.numpy(), width), abs=1e-12)
    assert (found.reference, found.batch, found.bandwidth) == (n, m, width)


def test_the_bandwidth_is_the_median_distance_of_both_sets():
    x, z = two(7, 5)
    both = torch.cat([x, z]).numpy()
    far = [np.linalg.norm(a - b) for a, b in itertools.combinations(both, 2)]
    assert BatchMonitor(permutations=1).watch(Dataset(x, torch.zeros(7, dtype=torch.long))).test(
        z
    ).bandwidth == pytest.approx(float(torch.tensor(far).median()))
    assert median(torch.zeros(4, 4)) == 1.0


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_p_is_the_share_of_all_relabelings(shift):
    x, z = two(4, 4, shift=shift, seed=3)
    k = pooled(x, z, 0.15)
    both = torch.cat([x, z]).numpy()
    every = []
    for chosen in itertools.combinations(range(8), 4):
        rest = [i for i in range(8) if i not in chosen]
        every.append(literal(both[list(chosen)], both[rest], 0.15))
    exact = np.mean(np.array(every) >= every[0] - 1e-12)
    p, _ = permuted(k, 4, 20_000, 1)
    assert p == pytest.approx(exact, abs=0.02)
    mine = torch.zeros(1, 8, dtype=torch.float64)
    mine[0, :4] = 1
    assert float(discrepancy(k, mine, 4)) == pytest.approx(float(discrepancy(k, 1 - mine, 4)), abs=1e-12)


def test_without_a_shift_it_alarms_at_the_stated_level():
    """300 tests of reference and batch of one source: the count of alarms at 10 % is binomial, or below it."""
    level, tests = 0.1, 300
    values = []
    for k in range(tests):
        x, z = two(12, 8, seed=100 + k)
        monitor = BatchMonitor(level=level, permutations=99).watch(Dataset(x, torch.zeros(12, dtype=torch.long)))
        values.append(monitor.test(z, seed=k).p)
    alarms = sum(p <= level for p in values)
    assert binom.ppf(0.0005, tests, level) <= alarms <= binom.ppf(0.9995, tests, level)
    assert np.mean(values) == pytest.approx(0.5, abs=0.07)


def test_equal_inputs_are_no_shift():
    x = torch.ones(10, 3)
    found = BatchMonitor(permutations=50).watch(Dataset(x, torch.zeros(10, dtype=torch.long))).test(x[:4])
    assert found.p == 1.0
    assert not found.found
    assert str(found).startswith("no shift found: p 1 at level 0.05")


def test_attacked_digits_are_a_shift_and_clean_ones_are_none():
    digits = hf.data.load("digits")
    model = load_model("digits-mlp")
    reference, test = digits.test.take(slice(0, 250)), digits.test.take(slice(250, 310))
    out = run(Pgd(steps=10), model, test.x, test.y, "linf:0.2", perturb=True)
    state = torch.get_rng_state()
    for layer in ("inputs", "features"):
        watch = BatchMonitor(layer=layer, samples=200, permutations=199).watch(reference, model)
        assert watch.test(out.strongest).p <= 0.005 + 1e-12
        assert watch.test(test.x).p > 0.02
        assert watch.test(test.x) == watch.test(test.x)
    few = torch.cat([test.x[:58], out.strongest[58:]])
    assert watch.test(few).p > 0.02, "two attacked inputs of sixty move no mean"
    assert torch.equal(torch.get_rng_state(), state)
    assert str(watch).startswith("batch_monitor(")


def test_what_cannot_be_tested_is_refused_in_one_line():
    x, _ = two(6, 2)
    data = Dataset(x, torch.zeros(6, dtype=torch.long))
    watch = BatchMonitor().watch(data)
    for batch in (x[:1], x[:0], x[:4, :2]):
        with pytest.raises(DataError, match="HF140") as caught:
            watch.test(batch)
        assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="HF256"):
        BatchMonitor(layer="features").watch(data)
    with pytest.raises(ModelError, match="HF256"):
        BatchMonitor(layer="features").watch(data, settle(hf.wrap(lambda x: x), x))
    with pytest.raises(DataError, match="HF139"):
        BatchMonitor().watch(data.take(slice(0, 1)))
    with pytest.raises(ParameterError, match="HF001"):
        BatchMonitor(level=0.0)
