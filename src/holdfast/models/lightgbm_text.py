"""LightGBM's text files, looked through before the library reads them: it trusts every length and every number."""

import pathlib
from typing import Any

import numpy as np

from holdfast.core.errors import ModelError

WIDEST = 1 << 22
PER_SPLIT = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
END = "end of trees"


def looked_through(file: pathlib.Path) -> int:
    """How many numbers there are in a row.

    Raises:
        ModelError: HF212 for a file that is no LightGBM model or cut off, HF277 for trees that are none.
    """
    from holdfast.models.onnx.files import unreadable
    from holdfast.models.trials import unsound

    content = file.read_bytes()
    try:
        text = content.decode("utf-8")
        if text.startswith("tree\r\n"):
            raise unreadable(file, r"lines that end in \r\n, where LightGBM writes \n; write it anew with save_model")
        head, mark, rest = text.partition("\nTree=0\n")
        said = _pairs(head)
        if not text.startswith("tree\n") or "max_feature_idx" not in said:
            raise unreadable(file, "no LightGBM model: it does not begin with 'tree'")
        features, sizes = int(said["max_feature_idx"]) + 1, [int(size) for size in said["tree_sizes"].split()]
        classes = int(said["num_class"]) * int(said["num_tree_per_iteration"])
        if not (0 < features <= WIDEST and 0 < classes <= WIDEST):
            raise unsound(file, f"{features} numbers in a row, {said['num_class']} classes")
        if len(said["feature_names"].split()) != features or len(said["feature_infos"].split()) != features:
            raise unsound(file, f"other names than {features} numbers in a row")
        if f"\n{END}" not in rest:
            raise unreadable(file, f"a file that ends before '{END}'")
        at = len(head.encode()) + 1
        for number, size in enumerate(sizes):
            block = content[at : at + size].decode("utf-8") if size > 0 else ""
            if not block.startswith(f"Tree={number}\n"):
                raise unsound(file, f"no tree {number} where the file says it is")
            if wrong := _wrong(_pairs(block), features):
                raise unsound(file, f"tree {number}: {wrong}")
            at += size
        if not content[at:].lstrip(b"\n").startswith(END.encode()) or not mark:
            raise unsound(file, "more trees than sizes of trees")
    except ModelError:
        raise
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise unreadable(file, f"no LightGBM model ({type(error).__name__}: {str(error)[:80]})") from error
    return features


def _pairs(text: str) -> dict[str, str]:
    found = (line.partition("=") for line in text.split("\n"))
    return {key: value for key, mark, value in found if mark}


def _wrong(said: dict[str, str], features: int) -> str:
    """What is wrong with a tree; empty where nothing is."""
    leaves, named = int(said["num_leaves"]), int(said["num_cat"])
    if leaves < 1 or int(said.get("is_linear", 0)):
        return f"{leaves} leaves, or linear ones"
    if len(_floats(said, "leaf_value")) != leaves:
        return f"other values than {leaves} leaves"
    if leaves == 1:
        return ""
    lists = {key: _floats(said, key) for key in PER_SPLIT}
    if any(len(one) != leaves - 1 for one in lists.values()):
        return f"other splits than {leaves} leaves need"
    split = lists["split_feature"]
    if not 0 <= split.min() <= split.max() < features:
        return "a split on a number that is not in a row"
    ends = np.concatenate([lists["left_child"], lists["right_child"]]).astype(np.int64)
    if not -leaves <= ends.min() <= ends.max() < leaves - 1:
        return "a node that points outside its tree"
    if len(np.unique(ends)) != len(ends) or 0 in ends:
        return "nodes that go in circles"
    return _wrong_sets(said, named, lists)


def _wrong_sets(said: dict[str, str], named: int, lists: dict[str, Any]) -> str:
    """What is wrong with the sets of categories."""
    at = lists["threshold"][(lists["decision_type"].astype(int) & 1) == 1]
    if not named:
        return "a set of categories that is not there" if len(at) else ""
    edges, words = _floats(said, "cat_boundaries"), _floats(said, "cat_threshold")
    if len(edges) != named + 1 or edges[0] != 0 or (np.diff(edges) < 0).any() or edges[-1] != len(words):
        return "sets of categories of no length"
    return "" if len(at) == 0 or 0 <= at.min() <= at.max() < named else "a set of categories that is not there"


def _floats(said: dict[str, str], key: str) -> Any:
    return np.array([float(word) for word in said[key].split()])
