"""Whether two run folders ask the same question, and what each says about every sample."""

import dataclasses
import json
from collections.abc import Mapping, Sequence

import pyarrow as pa

from holdfast.core.errors import IntegrityError
from holdfast.core.records import digest
from holdfast.evaluation.rows import HELD
from holdfast.evaluation.store import Folder
from holdfast.evaluation.summary import ThreatFacts

COLUMNS = ["sample", "label", "predicted", "threat", "status", "queries"]


@dataclasses.dataclass(frozen=True, eq=False)
class Seen:
    """What a run says about each sample, by the sample's key.

    Args:
        ids: Key -> number.
        clean: Key -> whether the model is right before any attack.
        held: Threat literal -> key -> whether no attack broke it.
        groups: Key -> the sample's group, negative for none.
    """

    ids: Mapping[str, int]
    clean: Mapping[str, bool]
    held: Mapping[str, Mapping[str, bool]]
    groups: Mapping[str, int]


def refuse(first: Folder, other: Folder, common: bool) -> None:
    """Refuse two runs whose difference would not be a difference of the models.

    Raises:
        IntegrityError: HF413.
    """
    a, b = first.summary, other.summary
    refuse_partial(first)
    refuse_partial(other)
    if a.result_version != b.result_version:
        versions = f"result versions {a.result_version} and {b.result_version}"
        raise _incomparable("they were made by versions that count differently", versions, "one", "audit both again")
    threats = [{t.literal: t for t in s.threats} for s in (a, b)]
    shared = [t for t in threats[0] if t in threats[1]]
    if not shared or (not common and set(threats[0]) != set(threats[1])):
        raise _incomparable(
            "they have other threats",
            f"{', '.join(threats[0])} and {', '.join(threats[1])}",
            "the same",
            f"--common compares under {', '.join(shared)} alone" if shared else "audit both under one threat",
        )
    if a.data.bounds != b.data.bounds:
        bounds = f"{a.data.bounds} and {b.data.bounds}"
        raise _incomparable("their inputs have other bounds", bounds, "the same", "audit both with one --bounds")
    for literal in shared:
        if _plan(threats[0][literal]) != _plan(threats[1][literal]):
            raise _incomparable(
                f"they were attacked in other ways under {literal}",
                " and ".join(_told(threats[i][literal], threats[1 - i][literal]) for i in (0, 1)),
                "the same attacks with the same parameters",
                "audit both with one --suite" + (", and the same --replay, or none" if a.replay or b.replay else ""),
            )


def refuse_partial(folder: Folder) -> None:
    """Refuse a run in which work is left: samples not yet tried would count as held.

    Raises:
        IntegrityError: HF413.
    """
    if not folder.summary.complete:
        raise _incomparable(
            f"'{folder.path}' is not complete", folder.summary.stopped, "", "run its command again; it continues"
        )


def question(folder: Folder, seen: Seen, threats: Sequence[str]) -> str:
    """A digest of what the run asked: equal for runs that `refuse` and `refuse_samples` let pass as they are.

    Args:
        folder: The run.
        seen: What it says about each sample.
        threats: Literals of those that count.
    """
    summary = folder.summary
    plans = sorted((t.literal, _plan(t)) for t in summary.threats if t.literal in threats)
    return digest([sorted(seen.ids), plans, list(summary.data.bounds), summary.result_version])


def refuse_samples(first: Seen, other: Seen, common: bool) -> None:
    """Refuse two runs over other samples.

    Raises:
        IntegrityError: HF413.
    """
    keys = [set(seen.ids) for seen in (first, other)]
    shared = len(keys[0] & keys[1])
    if not shared or (not common and keys[0] != keys[1]):
        raise _incomparable(
            "they have other samples",
            f"{len(keys[0])} and {len(keys[1])} samples, {shared} in common",
            "the same",
            "--common compares those alone"
            if shared
            else "audit both on the same data, with the same --limit and --seed",
        )


def _incomparable(why: str, seen: str, expected: str, fix: str) -> IntegrityError:
    wanted = {"expected": expected} if expected else {}
    return IntegrityError("HF413", f"These runs cannot be compared: {why}", seen=seen, fix=fix, **wanted)


def _plan(threat: ThreatFacts) -> list[tuple[str, str]]:
    """The attacks with their parameters, as text that is equal where they are."""
    return [(a.name, json.dumps(a.config, sort_keys=True, default=str)) for a in threat.attacks]


def _told(threat: ThreatFacts, other: ThreatFacts) -> str:
    """The attacks of one, with the parameters that the other's attack in the same place has not."""
    there = [*other.attacks, *[None] * len(threat.attacks)]
    told = []
    for a, b in zip(threat.attacks, there, strict=False):
        differ = [k for k in a.config if b and b.name == a.name and b.config.get(k) != a.config[k]]
        told.append(a.name + (f"({', '.join(f'{k}={a.config[k]}' for k in differ)})" if differ else ""))
    return "+".join(told) or "nothing"


def read(folder: Folder) -> Seen:
    """The samples of a run; counted again and compared with its summary.

    Raises:
        IntegrityError: HF414 where the files of the run do not belong together.
    """
    samples, summary = folder.manifest.samples, folder.summary
    try:
        rows = folder.samples.select(COLUMNS).to_pylist()
    except (pa.ArrowException, KeyError, OSError) as error:
        raise _torn(folder, f"samples.parquet cannot be read ({type(error).__name__})") from error
    key_of = dict(zip(samples.ids, samples.keys, strict=True))
    if len(key_of) < len(samples.ids):
        raise _incomparable(
            "the data have the same number for two samples", str(folder.path), "", "give every sample its own"
        )
    clean: dict[str, bool] = {}
    held: dict[str, dict[str, bool]] = {t.literal: {} for t in summary.threats}
    ids: dict[str, int] = {}
    for row in rows:
        key = key_of.get(row["sample"])
        if key is None or row["threat"] not in held:
            raise _torn(folder, f"sample {row['sample']} under {row['threat']} is not of this run")
        if row["status"] == "invalid":
            continue
        ids[key] = row["sample"]
        clean[key] = row["predicted"] is not None and row["predicted"] == row["label"]
        held[row["threat"]][key] = row["status"] in HELD
    for threat in summary.threats:
        rate = threat.empirical_robust_accuracy
        counted, stated = (
            (sum(held[threat.literal].values()), len(held[threat.literal])),
            (rate.k, rate.n) if rate else (0, 0),
        )
        if counted != stated or set(held[threat.literal]) != set(ids):
            raise _torn(folder, f"samples.parquet counts {counted}, summary.json says {stated} under {threat.literal}")
    return Seen(ids, clean, held, dict(zip(samples.keys, samples.source, strict=True)))


def _torn(folder: Folder, why: str) -> IntegrityError:
    return IntegrityError(
        "HF414",
        f"The files in '{folder.path}' do not belong together",
        seen=why,
        fix="run the same audit command again",
    )
