"""The attacks that ask for the arrays of a tree ensemble, with their threats, and small ensembles to try them on."""

import dataclasses
import functools
import math

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier

from cases.evasion import Case
from cases.tables import TableCase
from holdfast.attacks.evasion.leaf_tuple import LeafTuple
from holdfast.models.model import Model
from holdfast.models.trees.form import Trees
from holdfast.models.trees.sklearn import read
from holdfast.threats.space import Box
from holdfast.threats.tables.threat import Table
from holdfast.threats.threats import L0, L1, L2, Linf

FEW = LeafTuple(restarts=6)
TREES = [
    Case(FEW, Linf(), 0.25, why="a walk from the better of few starts", scale_free=True),
    Case(FEW, L2(), 0.25, why="a walk from the better of few starts", scale_free=True),
    Case(FEW, L1(), 0.25, why="a walk from the better of few starts", scale_free=True),
    Case(FEW, L0(), 1.0, why="one column more where the least is one", scale_free=True),
]
"""`within` is the promise of the median, beside the exact distance."""

WALK = LeafTuple(restarts=9)
TREE_TABLES = [
    TableCase(WALK, Table(features=math.inf)),
    TableCase(WALK, Table(cost=math.inf)),
    TableCase(WALK, Table(l2=math.inf)),
    TableCase(WALK, Table(linf=math.inf)),
]


@functools.cache
def form_of(classes: int = 3, features: int = 6) -> Trees:
    """A forest over [0, 1] with probabilities for each class, or one output for two."""
    draw = np.random.default_rng(0)
    x = draw.random((400, features)).astype(np.float32)
    scores = x @ draw.normal(size=(features, max(classes, 2))) + np.sin(6 * x[:, :1]) * draw.normal(
        size=max(classes, 2)
    )
    found = RandomForestClassifier(12, max_depth=5, random_state=0).fit(x, (scores - scores.mean(0)).argmax(1))
    form = read(found)
    if classes > 1:
        return form
    lead = form.values[:, 1:] - form.values[:, :1]
    return dataclasses.replace(form, classes=2, values=lead, base=np.zeros(1), shift=np.zeros(1))


def model_of(form: Trees, space: Box | None = None, spy=None, **fields) -> Model:
    """Sums of the arrays, row by row the same in any company."""

    def scores(x: torch.Tensor) -> torch.Tensor:
        if spy is not None:
            spy(x.detach().clone())
        sums = torch.from_numpy(form.sums(x.detach().numpy().reshape(len(x), -1)))
        return torch.cat([torch.zeros_like(sums), sums], 1) if sums.shape[1] == 1 else sums

    return Model(space or Box(), form.classes, lambda x: scores(x).argmax(1), scores, trees=lambda: form, **fields)


def inputs(n: int = 12, *shape: int, seed: int = 1) -> torch.Tensor:
    """Inputs in [0, 1], float64 values that float32 holds: `(n, ...)`."""
    return torch.rand((n, *(shape or (6,))), generator=torch.Generator().manual_seed(seed)).double()
