"""What the parts of a run say, derived again without the model, and where its table and summary say something else."""

import math
from collections.abc import Mapping
from typing import Any

from holdfast.core.lazy import camel
from holdfast.core.records import canonical
from holdfast.evaluation import integrity
from holdfast.evaluation.finals import Final, inherited, judge
from holdfast.evaluation.parts import Question
from holdfast.evaluation.plan import CLEAN, control_question, families, smaller
from holdfast.evaluation.rows import CleanRow, ControlRow, SearchRow
from holdfast.evaluation.store import Folder
from holdfast.evaluation.summary import AttackFacts, ThreatFacts
from holdfast.evaluation.table import row_of
from holdfast.threats.literals import parse

Verdicts = Mapping[str, Mapping[str, Final]]  # literal of the threat -> key of the sample -> verdict


def underived(folder: Folder) -> tuple[str, ...]:
    """What `samples.parquet` and `summary.json` say and the parts do not, a line each: the counts, then the samples.

    Raises:
        IntegrityError: HF405 no manifest, HF408 no summary.
    """
    rows, unreadable = integrity.table(folder)
    if unreadable:
        return ()
    verdicts, told, seen = _verdicts(folder), list[str](), dict[str, list[Final]]()
    samples, names = folder.manifest.samples, dict[str, str]()
    places: dict[int, list[int]] = {}
    for i, number in enumerate(samples.ids):
        places.setdefault(number, []).append(i)
    for threat in folder.summary.threats:
        names |= {_asked(threat, a, folder.summary.provenance.seed).attack: a.name for a in threat.attacks}
    for row in (r for r in rows if r["threat"] in verdicts and r["sample"] in places):
        found = [verdicts[row["threat"]][samples.keys[i]] for i in places[row["sample"]]]
        whys = [
            _differs(folder, row, final, row_of(final, row["threat"], samples, i, names))
            for final, i in zip(found, places[row["sample"]], strict=True)
        ]
        best = whys.index("") if "" in whys else 0  # numbers that come twice: any sample of that number may be meant
        seen.setdefault(row["threat"], []).append(found[best])
        if whys[best]:
            told.append(f"sample {row['sample']} under {row['threat']}: {whys[best]}")
    return (*_uncounted(folder, seen), *told)


def _asked(threat: ThreatFacts, attack: AttackFacts, seed: int) -> Question:
    """The question of a stage, from the summary alone."""
    return Question("search", threat.literal, canonical({"name": camel(attack.name), **attack.config}), seed)


def _verdicts(folder: Folder) -> Verdicts:
    """One for each threat of the summary and each sample of the manifest, from the parts."""
    summary, parts, found = folder.summary, folder.parts, dict[str, dict[str, Final]]()
    clean, stated = parts.rows(CLEAN, CleanRow), {t.literal: t for t in summary.threats}
    threats = [parse(literal) for literal in stated]
    for threat in families(threats):
        below = [found[t.literal] for t in smaller(threat, threats)]
        facts = stated[threat.literal]
        asked = [_asked(facts, a, summary.provenance.seed) for a in facts.attacks]
        searched = [(a.stage, a.name, q, parts.rows(q, SearchRow)) for a, q in zip(facts.attacks, asked, strict=True)]
        found[threat.literal] = {
            key: inherited(key, below)
            or judge(
                key,
                clean.get(key),
                [(stage, q, rows) for stage, name, q, rows in searched if name != "replay" or key in rows],
            )
            for key in folder.manifest.samples.keys
        }
    return found


def _differs(folder: Folder, row: Mapping[str, Any], final: Final, derived: Mapping[str, Any]) -> str:
    """What a row of the table says and the parts do not, empty where they agree."""
    summary = folder.summary
    if row["status"] == "undecided" and summary.replay is not None and not summary.complete:
        return ""  # whether it had an input to try first is written nowhere
    for name in (name for name in derived if name in row):
        if not _same(row[name], derived[name]):
            return f"samples.parquet says {name} {row[name]}, the parts say {derived[name]}"
    if final.status == "broken" and final.asked is not None:
        stored = folder.parts.arrays(final.asked, "adversarial")
        return "" if final.key in stored else "it is broken, and no part holds its input"
    return ""


def _same(a: Any, b: Any) -> bool:
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def _uncounted(folder: Folder, seen: Mapping[str, list[Final]]) -> list[str]:
    """The counts of the summary that are not those of the verdicts."""
    summary, told = folder.summary, list[str]()
    for threat in summary.threats:
        members = seen.get(threat.literal, [])
        right = [f for f in members if f.clean is not None and f.clean.status == "right"]
        broken = [f for f in right if f.status == "broken"]
        told += integrity.differing(f"broken under {threat.literal}", threat.success_rate, len(broken), len(right))
        for attack in threat.attacks:
            won = sum(f.asked == _asked(threat, attack, summary.provenance.seed) for f in broken)
            if won != attack.broken:
                told.append(
                    f"summary.json says {attack.name} broke {attack.broken} under {threat.literal}, the parts say {won}"
                )
        told += _control(folder, threat, right)
    first = next(iter(seen.values()), [])
    judged = [f for f in first if f.clean is None or f.clean.status != "invalid"]
    for what, status, stated in (
        ("right before any attack", "right", summary.rates.clean_accuracy),
        ("rejected before any attack", "rejected", summary.rates.benign_reject_rate),
    ):
        count = sum(f.clean is not None and f.clean.status == status for f in judged)
        told += integrity.differing(what, stated, count, len(judged))
    return told


def _control(folder: Folder, threat: ThreatFacts, right: list[Final]) -> list[str]:
    """The count of the noise control, where it is not that of its part."""
    asked = control_question(parse(threat.literal), folder.summary.provenance.seed)
    rows = folder.parts.rows(asked, ControlRow)
    tried = [rows[f.key] for f in right if f.key in rows and rows[f.key].status != "error"]
    what = f"broken by noise under {threat.literal}"
    return integrity.differing(what, threat.control, sum(row.status == "broken" for row in tried), len(tried))
