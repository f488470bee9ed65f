"""Laws 7, 8, 11, 13: shapes, what stays untouched, ranges, budgets; and that every attack stands in the table."""

import contextlib
import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

import holdfast.attacks
from cases.evasion import CASES, FULL
from cases.tables import TABLES
from cases.trees import TREE_TABLES, TREES
from holdfast.attacks.run import run
from holdfast.core.errors import ParameterError, ThreatError
from holdfast.core.params import parameters
from holdfast.models.wrap import wrap
from holdfast.threats.space import Box
from holdfast.threats.threats import L0, L1, L2, Linf
from laws.oracles import corners, setting, torch_model

every = pytest.mark.parametrize("case", [c.brief for c in CASES], ids=map(str, CASES))
ATTACKS = [a for _, a in sorted({type(c.attack).__name__: c.attack for c in reversed(CASES)}.items())]
one_of_each = pytest.mark.parametrize("attack", ATTACKS, ids=lambda a: type(a).__name__)


CLASSES, SHAPES, DTYPES = [1, 2, 3, 4, 10], [(20,), (1, 4, 8), (1, 32, 8), (1, 1, 1)], [torch.float32, torch.float64]
PRODUCT = list(itertools.product(CLASSES, SHAPES, DTYPES))
COVERING = [(k, s, DTYPES[(i + j) % 2]) for i, k in enumerate(CLASSES) for j, s in enumerate(SHAPES)]  # every pair
SURFACES = PRODUCT if FULL else COVERING


MET = [(c.brief, *s) for i, c in enumerate(CASES) for j, s in enumerate(SURFACES) if FULL or (i + j) % 2 == 0]


@pytest.mark.parametrize(("case", "classes", "shape", "dtype"), MET, ids=str)
def test_07_shapes_and_dtypes(case, classes, shape, dtype):
    model, x, y = setting(classes, shape, n=3, dtype=dtype)
    threat = dataclasses.replace(case.threat, queries=30)
    for rows in (slice(0, 1), slice(None)):
        out = run(case.attack, model, x[rows], y[rows], threat)
        assert out.adversarial.shape == x[rows].shape == out.strongest.shape
        assert out.adversarial.dtype == dtype == out.strongest.dtype
        assert len(out.status) == len(x[rows])


def busy_net():
    """A network with all that an attack could disturb: batch norm, dropout, a hook, gradients, a frozen parameter."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        net = torch.nn.Sequential(
            torch.nn.Flatten(),
            torch.nn.Linear(12, 16),
            torch.nn.BatchNorm1d(16),
            torch.nn.Dropout(0.5),
            torch.nn.ReLU(),
            torch.nn.Linear(16, 3),
        )
        net.train()
        net[2].eval()
        torch.nn.functional.cross_entropy(net(torch.rand(8, 12)), torch.arange(8) % 3).backward()
    net[1].bias.requires_grad_(False)
    net[5].weight.grad = None
    return net


def state(net, x):
    """Everything law 8 speaks of, as comparable values."""
    tensors = [*net.state_dict().values(), *(p.grad for p in net.parameters() if p.grad is not None), x]
    return (
        [t.detach().clone() for t in tensors],
        [m.training for m in net.modules()],
        [p.requires_grad for p in net.parameters()],
        [p.grad is None for p in net.parameters()],
        [len(m._forward_hooks) for m in net.modules()],
        torch.is_grad_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_num_threads(),
        torch.get_rng_state(),
        np.random.get_state()[1].copy(),
    )


def unchanged(before, after):
    for a, b in zip(before, after, strict=True):
        if isinstance(a, list):
            assert len(a) == len(b)
            assert all(torch.equal(u, v) if isinstance(u, torch.Tensor) else u == v for u, v in zip(a, b, strict=True))
        else:
            assert np.array_equal(a, b)


ACCIDENTS, MODES = (None, ValueError, KeyboardInterrupt), ("plain", "no_grad", "autocast")
ENDS = list(itertools.product(enumerate(ACCIDENTS), enumerate(MODES)))
DISTURBED = [
    (case, accident, mode)
    for i, case in enumerate(CASES)
    for (j, accident), (k, mode) in ENDS
    if FULL or (i + j + k) % 3 == 0
]
"""Each attack meets every accident and every mode, in one of three pairings; in all of them with `make laws`."""


@pytest.mark.parametrize(
    ("case", "accident", "mode"),
    [(case.brief, *rest) for case, *rest in DISTURBED],
    ids=[f"{mode}-{getattr(accident, '__name__', accident)}-{case}" for case, accident, mode in DISTURBED],
)
def test_08_b12_untouched(case, accident, mode):
    net, calls = busy_net(), []

    def trip(module, inputs, output):
        calls.append(1)
        if accident and len(calls) > 3:
            raise accident("on purpose")

    net[1].register_forward_hook(trip)
    x = corners(4, 12).float()
    y = torch.zeros(4, dtype=torch.long)
    context = {"plain": torch.enable_grad, "no_grad": torch.no_grad, "autocast": lambda: torch.autocast("cpu")}[mode]
    with context():
        before = state(net, x)
        model = wrap(net, bounds=(0, 1))
        expected = contextlib.nullcontext() if accident is None else pytest.raises(accident, match="on purpose")
        with expected:
            run(case.attack, model, x, y, dataclasses.replace(case.threat, queries=60))
        unchanged(before, state(net, x))


@one_of_each
def test_11_values_outside_their_range_are_refused(attack):
    for p in parameters(type(attack)):
        if p.range is None:
            continue
        below = [p.range.low - 1] + ([p.range.low] if p.range.open_low else [])
        above = (
            [p.range.high + 1, *([p.range.high] if p.range.open_high else [])] if math.isfinite(p.range.high) else []
        )
        for value in [*below, *above, "many", True, math.nan]:
            value = int(value) if p.kind is int and isinstance(value, float) and math.isfinite(value) else value
            with pytest.raises(
                ParameterError,
                match=rf"HF001 The '{p.name}' parameter of {type(attack).__name__} must be {p.kind.__name__} in ",
            ):
                dataclasses.replace(attack, **{p.name: value})


@one_of_each
def test_11_every_number_declares_its_range(attack):
    assert all(p.range is not None for p in parameters(type(attack)) if p.kind in (int, float))
    assert all(p.meaning for p in parameters(type(attack)))


@every
@pytest.mark.parametrize("budget", [1, 7, 61])
def test_13_budget_is_exact(case, budget):
    """A model that counts who asked: row i carries its number in the first coordinate, whose box is a point wide."""
    count = torch.zeros(16, dtype=torch.long)

    def counting(z):
        for i in range(16):
            count[i] += ((z.detach()[:, 0] - i).abs() < 0.5).sum()
        return torch.tensor([1.0, 0.0, 0.5]).to(z).expand(len(z), 3)

    first = torch.arange(16)[:, None].double()
    inputs = torch.cat([first, corners(16, 12)], 1)

    class Numbered(Box):
        def limits(self, x):
            who = x[:, :1].round().clamp(0, 15)
            return torch.cat([who, x[:, 1:] * 0], 1), torch.cat([who, x[:, 1:] * 0 + 1], 1)

    out = run(
        case.attack,
        torch_model(counting, 3, Numbered((0.0, 16.0))),
        inputs,
        torch.zeros(16, dtype=torch.long),
        dataclasses.replace(case.bounded, queries=budget),
    )
    assert (out.queries <= budget).all()
    assert torch.equal(count - 1, out.queries)  # less the one pass over the originals
    assert set(out.status) == {"unbroken"}


@one_of_each
def test_refusals_are_one_line(attack):
    model, x, y = setting()
    known = {c.threat.p: c.threat for c in CASES if isinstance(c.attack, type(attack))}
    for threat in (Linf(0.1), L2(0.1), L1(0.1), L0(1)):
        if threat.p not in attack.norms:
            with pytest.raises(ThreatError, match=f"HF303 {type(attack).__name__} is not written for this norm"):
                run(attack, model, x, y, threat)
    threat = next(iter(known.values()))
    if not attack.minimal:
        with pytest.raises(ThreatError, match=f"HF303 {type(attack).__name__} fills a ball and needs a radius"):
            run(attack, model, x, y, threat.at(math.inf))
    if "module" in attack.needs:
        with pytest.raises(ThreatError, match=f"HF304 {type(attack).__name__} needs a model that shows its module"):
            run(attack, model, x, y, dataclasses.replace(threat.at(0.1), knowledge="labels"))


def test_every_attack_has_a_case_for_every_norm_it_is_written_for():
    for name in holdfast.attacks.__all__:
        attack = getattr(holdfast.attacks, name)
        tested = {c.threat.p for c in (*CASES, *TREES) if isinstance(c.attack, attack)}
        rows = any(isinstance(c.attack, attack) for c in (*TABLES, *TREE_TABLES))
        assert tested == set(attack.norms) if attack.norms else tested or rows, name  # a wrapper's are those it wraps
        assert rows or not isinstance(attack.tables, bool) or not attack.tables, name
