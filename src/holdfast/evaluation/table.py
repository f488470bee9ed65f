"""`samples.parquet`: one row for each threat and sample, everything that was found about it in numbers."""

import math
from collections.abc import Mapping

import pyarrow as pa

from holdfast.evaluation.finals import Final, View
from holdfast.evaluation.manifest import Samples
from holdfast.evaluation.suites import stage_of

SCHEMA = pa.schema(
    [
        ("sample", pa.int64()),
        ("label", pa.int64()),
        ("predicted", pa.int64()),
        ("threat", pa.string()),
        ("status", pa.string()),
        ("broken_by", pa.string()),
        ("adversarial_label", pa.int64()),
        ("margin", pa.float64()),
        ("linf", pa.float64()),
        ("l2", pa.float64()),
        ("l1", pa.float64()),
        ("l0", pa.float64()),
        ("queries", pa.int64()),
        ("gradients", pa.int64()),
        ("eight_bit", pa.bool_()),
        ("psnr", pa.float64()),
        ("ssim", pa.float64()),
        ("confidence", pa.float64()),
        ("adversarial_confidence", pa.float64()),
        ("group", pa.int64()),
        ("reason", pa.string()),
        ("origin", pa.string()),
        ("knows_defense", pa.string()),
        ("cost", pa.float64()),
        ("valid", pa.bool_()),
        ("change", pa.string()),
    ]
)


def table(
    view: View,
    found: Mapping[str, Mapping[str, Final]],
    samples: Samples,
    guarded: bool = False,
    changes: Mapping[tuple[str, str], str] | None = None,
) -> pa.Table:
    """Threats in the order asked for, samples in the data's order.

    Args:
        view: What was asked for and committed.
        found: Threat literal -> key -> verdict.
        samples: As the manifest numbers them.
        guarded: Whether stages stand before the model.
        changes: Threat and sample -> what changed, in words, where that may be told.
    """
    place = {key: i for i, key in enumerate(samples.keys)}
    rows = []
    for threat in view.threats:
        names = {asked: name for asked, name in _names(view)}
        for key in view.keys:
            final = found[threat.literal][key]
            known: dict[str, str | None] = {"knows_defense": (view.knows(final) or None) if guarded else None}
            known["change"] = (changes or {}).get((threat.literal, key))
            rows.append({**row_of(final, threat.literal, samples, place[key], names), **known})
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _names(view: View) -> list[tuple[str, str]]:
    """Canonical configuration -> name of every attack of the suite."""
    from holdfast.core.records import canonical, config

    return [(canonical(config(a)), stage_of(a).name) for t in view.threats for a in view.attacks(t)]


def row_of(final: Final, literal: str, samples: Samples, i: int, names: Mapping[str, str]) -> dict[str, object]:
    """A verdict as a row, without what was known of the defense and what changed.

    Args:
        final: The verdict.
        literal: The threat.
        samples: As the manifest numbers them.
        i: The sample's place there.
        names: Canonical configuration of every attack -> its name.
    """
    row, clean, broken = final.row, final.clean, final.status == "broken"
    hit = row if broken else None
    return {
        "sample": samples.ids[i],
        "label": samples.labels[i],
        "predicted": clean.predicted if clean and clean.predicted >= 0 and clean.status != "rejected" else None,
        "threat": literal,
        "status": final.status,
        "broken_by": names[final.asked.attack] if hit and final.asked else None,
        "adversarial_label": hit and hit.adversarial_label,
        "margin": None if math.isnan(final.margin) else final.margin,
        "linf": hit and hit.linf,
        "l2": hit and hit.l2,
        "l1": hit and hit.l1,
        "l0": hit and hit.l0,
        "queries": final.queries,
        "gradients": final.gradients,
        "eight_bit": hit and hit.eight_bit,
        "psnr": hit and hit.psnr,
        "ssim": hit and hit.ssim,
        "confidence": clean and clean.confidence,
        "adversarial_confidence": hit and hit.adversarial_confidence,
        "group": None if samples.source[i] < 0 else samples.source[i],
        "reason": final.reason or None,
        "origin": final.asked.digest if hit and final.asked else None,
        "cost": hit and hit.cost,
        "valid": hit and hit.valid,
    }
