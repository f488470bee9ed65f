"""Audits of one direction: fraud that shall pass for legitimate. What such an attacker can do is what counts."""

import dataclasses
import difflib

from holdfast.core.errors import ThreatError
from holdfast.data.dataset import Dataset


def of_source(data: Dataset, evade: str) -> Dataset:
    """The samples of the class that shall be hidden; all samples where `evade` is empty.

    With two classes, wrong is what the other class is, so that clean accuracy of these samples is the recall of the
    class, empirical robust accuracy its recall under attack, and the success rate the evasion rate.

    Args:
        data: Samples.
        evade: `SOURCE:INTO`, names or numbers of classes: "fraud:legitimate".

    Raises:
        ThreatError: HF309 for what is no such pair, classes that do not exist, or more than two of them.
    """
    if not evade:
        return data
    if not isinstance(evade, str):
        raise _refused(str(evade), data, None)
    source, colon, into = (word.strip() for word in evade.partition(":"))
    known = {**{str(i): i for i in range(data.n_classes)}, **{name: i for i, name in enumerate(data.classes)}}
    for word in (source, into):
        if not colon or word not in known:
            near = difflib.get_close_matches(word, data.classes, 1)
            raise _refused(evade, data, f"did you mean {near[0]}?" if near else None)
    if data.n_classes != 2 or known[source] == known[into]:
        fix = "hf.run(attack, model, x, hf.Evade(y, source, into), threat) serves any number of classes"
        raise _refused(evade, data, fix)
    chosen = data.take(data.y == known[source])
    names = [data.classes[known[word]] for word in (source, into)] if data.classes else [source, into]
    way = f"{names[0]} to be taken for {names[1]}"
    part = f"{data.split}, {way}" if data.split else way
    return dataclasses.replace(chosen, split=part)


def _refused(evade: str, data: Dataset, fix: str | None) -> ThreatError:
    return ThreatError(
        "HF309",
        "What shall be taken for what cannot be told",
        seen=repr(evade),
        expected=f"SOURCE:INTO, two classes of {', '.join(data.classes[:8])}, where there are two",
        fix=fix or f"{data.classes[-1]}:{data.classes[0]}",
    )
