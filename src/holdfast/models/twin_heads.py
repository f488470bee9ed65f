"""What fitted scikit-learn classifiers compute from their features, in torch: `(batch, features)` -> decisions.

Sources: Cox 1958 (linear), Rumelhart, Hinton and Williams, "Learning representations by back-propagating errors", 1986
(layers), Cortes and Vapnik, "Support-vector networks", 1995 (kernels), Duda and Hart 1973 (Gaussian Bayes).
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from sklearn import discriminant_analysis, linear_model, naive_bayes, neural_network, svm
from torch import Tensor

Head = Callable[[Tensor], Tensor]
BENDS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda z: z,
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}


@dataclasses.dataclass(frozen=True, eq=False)
class Linear:
    """`x @ weight + bias`.

    Args:
        weight: `(features, rows)` float64.
        bias: `(rows,)`.
    """

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """`(batch, rows)`."""
        z: Tensor = x @ near(self.weight, x) + near(self.bias, x)
        return z


@dataclasses.dataclass(frozen=True, eq=False)
class Layers:
    """A network of dense layers, without its last nonlinearity.

    Args:
        layers: In order.
        bend: Between them.
    """

    layers: tuple[Linear, ...]
    bend: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        """`(batch, rows)`."""
        for layer in self.layers[:-1]:
            x = self.bend(layer(x))
        return self.layers[-1](x)


@dataclasses.dataclass(frozen=True, eq=False)
class Bayes:
    """Logarithms of the joint densities of Gaussians with independent features.

    Args:
        mean, variance: `(classes, features)`.
        prior: `(classes,)`, logarithms.
    """

    mean: Tensor
    variance: Tensor
    prior: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """`(batch, classes)`."""
        mean, variance = near(self.mean, x), near(self.variance, x)
        far = ((x[:, None] - mean) ** 2 / variance + (2 * torch.pi * variance).log()).sum(2)
        joint: Tensor = near(self.prior, x) - 0.5 * far
        return joint


@dataclasses.dataclass(frozen=True, eq=False)
class Kernel:
    """A support vector machine: one decision for two classes, one for each pair of several.

        z_ij(x) = sum over support vectors s of classes i and j of a_s k(s, x), + b_ij

    Args:
        kind: Of the kernel.
        support: Support vectors `(n, features)`.
        weight: Of each in each decision, `(n, decisions)`.
        bias: `(decisions,)`.
        gamma, shift, degree: Of the kernel.
    """

    kind: Literal["linear", "poly", "rbf", "sigmoid"]
    support: Tensor
    weight: Tensor
    bias: Tensor
    gamma: float
    shift: float
    degree: int

    def __call__(self, x: Tensor) -> Tensor:
        """`(batch, decisions)`."""
        support = near(self.support, x)
        alike = x @ support.T
        if self.kind == "rbf":
            alike = (-self.gamma * ((x * x).sum(1)[:, None] + (support * support).sum(1) - 2 * alike)).exp()
        elif self.kind == "poly":
            alike = (self.gamma * alike + self.shift) ** self.degree
        elif self.kind == "sigmoid":
            alike = torch.tanh(self.gamma * alike + self.shift)
        z: Tensor = alike @ near(self.weight, x) + near(self.bias, x)
        return z


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Scores of classes from a vote of all pairs: the votes, and within a vote the sum of the decisions.

        score_i = votes_i + s_i / (3 (|s_i| + 1)),   s_i = sum over j of z_ij

    As in scikit-learn's `decision_function`, where no tie is broken by the order of the classes. Backward, a vote is a
    ramp from -1 to 1, the margin of the machine; forward it is the vote.

    Args:
        of: The decisions of pairs (0, 1), (0, 2), ..., positive for the first.
        classes: How many.
        first: Whether the first of the classes with most votes wins, as libsvm decides.
    """

    of: Head
    classes: int
    first: bool

    def __call__(self, x: Tensor) -> Tensor:
        """`(batch, classes)`."""
        z = self.of(x)
        ramp = ((z + 1) / 2).clamp(0, 1)
        won = ramp + ((z > 0).to(z) - ramp).detach()
        into = torch.zeros(z.shape[1], self.classes, dtype=z.dtype, device=z.device)
        back = torch.zeros_like(into)
        for k, (i, j) in enumerate(itertools.combinations(range(self.classes), 2)):
            into[k, i], back[k, j] = 1, 1
        votes, total = won @ into + (1 - won) @ back, z @ (into - back)
        score = votes + total / (3 * (total.abs() + 1))
        if self.first:
            best = votes.detach().round() == votes.detach().round().amax(1, keepdim=True)
            leader = torch.nn.functional.one_hot(best.int().argmax(1), self.classes)
            score = score + leader * 2 / 3  # more than two sums can differ by within a vote, less than a vote
        return score


def probable(last: Any) -> Head | None:
    """Decisions of a classifier whose `predict_proba` is made of them; None for a kind that is not known."""
    if type(last) in (linear_model.LogisticRegression, linear_model.LogisticRegressionCV, linear_model.SGDClassifier):
        return _linear(last)
    if type(last) is discriminant_analysis.LinearDiscriminantAnalysis:
        return _linear(last)
    if type(last) is neural_network.MLPClassifier:
        weights = zip(last.coefs_, last.intercepts_, strict=True)
        return Layers(tuple(Linear(tensor(w), tensor(b)) for w, b in weights), BENDS[last.activation])
    if type(last) is naive_bayes.GaussianNB:
        return Bayes(tensor(last.theta_), tensor(last.var_), tensor(last.class_prior_).log())
    return None


def deciding(last: Any) -> Head | None:
    """The `decision_function` of a classifier whose decision it is; None for a kind that is not known."""
    if isinstance(last, svm.SVC | svm.NuSVC):
        return _kernel(last) if type(last) in (svm.SVC, svm.NuSVC) else None
    lines = (
        svm.LinearSVC,
        linear_model.RidgeClassifier,
        linear_model.RidgeClassifierCV,
        linear_model.Perceptron,
        linear_model.PassiveAggressiveClassifier,
        linear_model.SGDClassifier,
    )
    return _linear(last) if type(last) in lines else None


def _linear(last: Any) -> Linear:
    weight, bias = tensor(last.coef_), tensor(last.intercept_).reshape(-1)
    weight = weight.reshape(1, -1) if weight.dim() == 1 else weight
    return Linear(weight.T.contiguous(), bias.expand(len(weight)).clone() if len(bias) == 1 else bias)


def _kernel(last: Any) -> Head | None:
    """`_gamma`, the number that "scale" and "auto" stand for, is not public; without it there is no twin."""
    gamma = getattr(last, "_gamma", None)
    support, dual = dense(last.support_vectors_), dense(last.dual_coef_)
    if last.kernel not in ("linear", "poly", "rbf", "sigmoid") or gamma is None:
        return None
    kernel = Kernel(
        kind=last.kernel,
        support=tensor(support),
        weight=tensor(_each_pair(dual, last.n_support_)),
        bias=tensor(last.intercept_),
        gamma=float(gamma),
        shift=float(last.coef0),
        degree=int(last.degree),
    )
    classes = len(last.classes_)
    return kernel if classes == 2 else Pairs(kernel, classes, not last.break_ties)


def _each_pair(dual: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Coefficients of libsvm `(classes - 1, n)` as weights of every vector in every pair, `(n, pairs)`."""
    classes = len(dual) + 1
    if classes == 2:
        return dual.T
    ends = np.cumsum(sizes)
    parts = [slice(end - size, end) for end, size in zip(ends, sizes, strict=True)]
    found = np.zeros((dual.shape[1], classes * (classes - 1) // 2))
    for k, (i, j) in enumerate(itertools.combinations(range(classes), 2)):
        found[parts[i], k], found[parts[j], k] = dual[j - 1, parts[i]], dual[i, parts[j]]
    return found


def tensor(values: Any) -> Tensor:
    """Numbers of scikit-learn's as float64."""
    return torch.from_numpy(np.array(dense(values), dtype=np.float64))


def dense(values: Any) -> Any:
    """An array, also of a sparse matrix."""
    return values.toarray() if hasattr(values, "toarray") else values


def near(value: Tensor | float, x: Tensor) -> Any:
    """On the device of `x`."""
    return value.to(x.device) if isinstance(value, Tensor) else value
