"""The tree ensembles of ONNX as its attributes list them, checked to be trees before anything walks them."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import ModelError
from holdfast.core.extras import need
from holdfast.models.trees.planting import refused

LIBRARY = "ONNX"
LEAF = "LEAF"
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
"""As TreeEnsemble numbers them."""

AFTER = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")
Said = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Flat:
    """Nodes of all trees in one list.

    Args:
        roots: First node of each tree.
        feature: `(nodes,)`.
        threshold: `(nodes,)`.
        mode: `(nodes,)`, one of MODES or LEAF.
        true: Where a node goes when its comparison holds, `(nodes,)`.
        false: And when not.
        tracks: Whether a missing value goes where the comparison holds, `(nodes,)`.
        values: What leaves add, `(nodes, outputs)`.
        base: Added at the end, `(outputs,)`.
        after: The transform of the sums.
        average: Whether the sums are divided by the number of trees.
        labels: Number of classes of a classifier; None for the others.
        shares: Whether a classifier of two classes speaks for one of them, without a negative weight.
        members: Node -> the values that it asks for, for BRANCH_MEMBER.
    """

    roots: list[int]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    mode: NDArray[np.str_]
    true: NDArray[np.int64]
    false: NDArray[np.int64]
    tracks: NDArray[np.bool_]
    values: NDArray[np.float64]
    base: NDArray[np.float64]
    after: str
    average: bool = False
    labels: int | None = None
    shares: bool = False
    members: Mapping[int, Sequence[float]] = dataclasses.field(default_factory=dict)


def classifier(said: Said) -> Flat:
    """TreeEnsembleClassifier, versions 1 and 3.

    Where all weights of two classes are of number 0, onnxruntime takes them for the second class and makes the first
    one's of them; it decides at a half where no weight is below 0, even behind a logistic function.

    Raises:
        ModelError: HF270 for nodes that make no trees, for one class, and for that logistic function; also for base
            values of two classes that both have weights, which onnxruntime takes for those of one.
    """
    classes = len(said.get("classlabels_int64s") or said.get("classlabels_strings") or ())
    ids, weights = _numbers(said, "class_ids").astype(int), _numbers(said, "class_weights")
    if classes < 2:
        raise refused(LIBRARY, f"{classes} classes", "two or more")
    single = classes == 2 and set(ids.tolist()) == {0}
    outputs = 1 if single else classes
    base, shares = _base(said, outputs), single and bool((weights >= 0).all())
    if classes == 2 and not single and base.any():
        raise refused(LIBRARY, "base values of two classes that both have weights", "none, or weights of one class")
    if shares and said.get("post_transform", "NONE") != "NONE":
        raise refused(LIBRARY, "a logistic function over sums that are cut at a half", "a weight below 0")
    return _flat(
        said,
        "class",
        ids,
        weights,
        outputs,
        base=base,
        labels=classes,
        shares=shares,
    )


def regressor(said: Said) -> Flat:
    """TreeEnsembleRegressor, versions 1 and 3.

    Raises:
        ModelError: HF270 for nodes that make no trees, and for the least or greatest of the trees.
    """
    outputs = max(int(said.get("n_targets", 1)), 1)
    ids, weights = _numbers(said, "target_ids").astype(int), _numbers(said, "target_weights")
    how = said.get("aggregate_function", "SUM")
    if how not in ("SUM", "AVERAGE"):
        raise refused(LIBRARY, f"the aggregate {how}", "SUM or AVERAGE")
    return _flat(said, "target", ids, weights, outputs, base=_base(said, outputs), average=how == "AVERAGE")


def ensemble(said: Said) -> Flat:
    """TreeEnsemble, version 5: leaves have a list of their own, sets stand beside the thresholds.

    Raises:
        ModelError: HF270 for nodes that make no trees, and for the least or greatest of the trees.
    """
    how = ("AVERAGE", "SUM", "MIN", "MAX")[int(said.get("aggregate_function", 1))]
    if how not in ("SUM", "AVERAGE"):
        raise refused(LIBRARY, f"the aggregate {how}", "SUM or AVERAGE")
    split = _numbers(said, "nodes_splits")
    inner, outputs = len(split), max(int(said.get("n_targets", 1)), 1)
    ids, weights = _numbers(said, "leaf_targetids").astype(int), _numbers(said, "leaf_weights")
    codes = _numbers(said, "nodes_modes").astype(int)
    if len(codes) != inner or (len(codes) and not 0 <= codes.min() <= codes.max() < len(MODES)):
        raise _broken("modes that are none")
    mode = np.concatenate([np.array(MODES)[codes], np.full(len(ids), LEAF)])
    ends = []
    for side in ("true", "false"):
        at, leaf = (_numbers(said, f"nodes_{side}{kind}").astype(int) for kind in ("nodeids", "leafs"))
        if not len(at) == len(leaf) == inner:
            raise _broken(f"{len(at)} ends for {inner} nodes")
        _within(at, np.where(leaf > 0, len(ids), inner))
        ends.append(np.concatenate([np.where(leaf > 0, at + inner, at), np.full(len(ids), -1)]))
    feature = _numbers(said, "nodes_featureids").astype(int)
    if len(feature) != inner:
        raise _broken(f"{len(feature)} features for {inner} nodes")
    _within(ids, outputs)
    values = np.zeros((inner + len(ids), outputs))
    values[inner + np.arange(len(ids)), ids] = weights
    pad = np.zeros(len(ids))
    made = Flat(
        roots=_numbers(said, "tree_roots").astype(int).tolist(),
        feature=np.concatenate([feature, pad.astype(int)]),
        threshold=np.concatenate([split, pad]),
        mode=mode,
        true=ends[0],
        false=ends[1],
        tracks=np.concatenate([_flags(said, inner), pad.astype(bool)]),
        values=values,
        base=np.zeros(outputs),
        after=AFTER[int(said.get("post_transform", 0))],
        average=how == "AVERAGE",
        members=_sets(said, mode),
    )
    return _trees(made)


def _flat(
    said: Said, kind: str, ids: NDArray[Any], weights: NDArray[Any], outputs: int, *, base: NDArray[Any], **rest: Any
) -> Flat:
    """Nodes that are named by a tree and a number, and weights that name their leaves."""
    tree, number = (_numbers(said, f"nodes_{name}ids").astype(int) for name in ("tree", "node"))
    mode = np.asarray(said.get("nodes_modes", ()), dtype=str)
    count = len(tree)
    true, false = (_numbers(said, f"nodes_{name}nodeids").astype(int) for name in ("true", "false"))
    feature, threshold = _numbers(said, "nodes_featureids").astype(int), _numbers(said, "nodes_values")
    if {len(number), len(mode), len(true), len(false), len(feature), len(threshold)} != {count}:
        raise _broken("lists of nodes of different lengths")
    place = {pair: at for at, pair in enumerate(zip(tree.tolist(), number.tolist(), strict=True))}
    if len(place) != count:
        raise _broken("two nodes with one number")
    leaf = mode == LEAF
    try:
        ends = [_ends(tree, side, leaf, place) for side in (true, false)]
        named = [_numbers(said, f"{kind}_{name}ids").astype(int).tolist() for name in ("tree", "node")]
        at = np.array([place[pair] for pair in zip(*named, strict=True)], int)
    except (KeyError, ValueError) as error:
        raise _broken("a node that is not there") from error
    if not len(at) == len(ids) == len(weights) or not leaf[at].all():
        raise _broken("weights of nodes that are no leaves")
    _within(ids, outputs)
    values = np.zeros((count, outputs))
    np.add.at(values, (at, ids), weights)
    children = {int(end) for side in ends for end in side if end >= 0}
    made = Flat(
        roots=[node for node in range(count) if node not in children],
        feature=np.where(leaf, 0, feature),
        threshold=threshold,
        mode=mode,
        true=ends[0],
        false=ends[1],
        tracks=_flags(said, count),
        values=values,
        base=base,
        after=said.get("post_transform", "NONE"),
        **rest,
    )
    return _trees(made)


def _ends(
    tree: NDArray[Any], side: NDArray[Any], leaf: NDArray[Any], place: Mapping[tuple[int, int], int]
) -> NDArray[Any]:
    pairs = zip(tree.tolist(), side.tolist(), strict=True)
    return np.array([-1 if ends else place[pair] for pair, ends in zip(pairs, leaf.tolist(), strict=True)], int)


def _trees(flat: Flat) -> Flat:
    """The ensemble, if all modes are known and no node comes behind itself; a node may be reached in several ways.

    Raises:
        ModelError: HF270.
    """
    strange = sorted({str(mode) for mode in flat.mode} - {*MODES, LEAF})
    if strange:
        raise refused(LIBRARY, f"the mode {strange[0]}", ", ".join(MODES))
    if len(flat.feature) and int(flat.feature.min()) < 0:
        raise _broken("a feature below 0")
    if not np.isfinite(flat.values).all() or np.isnan(flat.threshold).any():
        raise _broken("weights that are not finite, or thresholds that are no numbers")
    _within(np.asarray(flat.roots, int), len(flat.mode))
    ends = np.stack([flat.true, flat.false], 1)
    coming = np.bincount(ends[ends >= 0], minlength=len(ends))
    live, done = np.flatnonzero(coming == 0).tolist(), 0
    while live:
        done += 1
        for end in ends[live.pop()].tolist():
            if end >= 0:
                coming[end] -= 1
                if not coming[end]:
                    live.append(end)
    if done < len(ends):
        raise _broken("nodes that go in circles")
    return flat


def _sets(said: Said, mode: NDArray[Any]) -> dict[int, list[float]]:
    """The values that each node of BRANCH_MEMBER asks for; NaN ends a set."""
    listed, found = list[list[float]]([[]]), np.flatnonzero(mode == "BRANCH_MEMBER").tolist()
    for value in _numbers(said, "membership_values").tolist():
        if value != value:
            listed.append([])
        else:
            listed[-1].append(value)
    if found and len(listed) - (not listed[-1]) != len(found):
        raise _broken(f"{len(listed)} sets for {len(found)} nodes")
    return dict(zip(found, listed, strict=False))


def _base(said: Said, outputs: int) -> NDArray[np.float64]:
    base = _numbers(said, "base_values")
    if not len(base):
        return np.zeros(outputs)
    if outputs == 1 and len(base) == 2:
        base = base[1:]
    if len(base) != outputs:
        raise _broken(f"{len(base)} base values for {outputs} outputs")
    return base


def _numbers(said: Said, key: str) -> NDArray[Any]:
    """A list of numbers, or the tensor that stands for it in later versions."""
    value = said.get(f"{key}_as_tensor", said.get(key, ()))
    if hasattr(value, "data_type"):
        value = need("onnx.numpy_helper", "onnx").to_array(value)
    return np.asarray(value, np.float64).reshape(-1)


def _flags(said: Said, count: int) -> NDArray[np.bool_]:
    found = _numbers(said, "nodes_missing_value_tracks_true").astype(bool)
    return found if len(found) == count else np.zeros(count, bool)


def _within(values: NDArray[Any], limit: Any) -> None:
    if len(values) and not bool(((values >= 0) & (values < limit)).all()):
        raise _broken("numbers of nodes, leaves or outputs that are not there")


def _broken(seen: str) -> ModelError:
    return refused(LIBRARY, seen, "trees")
