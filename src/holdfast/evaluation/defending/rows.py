"""From run folders to the rows of a comparison; no model is needed, so it can be told again at any time."""

import json
import pathlib
from collections.abc import Mapping, Sequence

from holdfast.evaluation import clusters, provenance
from holdfast.evaluation.bench import machine as here
from holdfast.evaluation.bench.records import Machine
from holdfast.evaluation.comparable import read
from holdfast.evaluation.defending.advice import advise, blind
from holdfast.evaluation.defending.place import Place, finished, name_of
from holdfast.evaluation.defending.protocol import Protocol
from holdfast.evaluation.defending.records import Against, DefenseComparison, Refused, Row
from holdfast.evaluation.paired import over_groups
from holdfast.evaluation.plan import CLEAN
from holdfast.evaluation.rows import CleanRow, SearchRow
from holdfast.evaluation.statistics import Rate
from holdfast.evaluation.store import Folder
from holdfast.models.cuts import decisions

BARE = "undefended"
DENOMINATOR = "samples that are not invalid"


def comparison(protocol: Protocol, folder: pathlib.Path, machine: Machine) -> DefenseComparison:
    """Everything that is finished in a folder."""
    bare = Place(folder / BARE)
    chains, rows, left, refused = protocol.chains(), list[Row](), list[str](), list[Refused]()
    if bare.facts is not None and finished(bare.run):
        rows.append(_row(folder, bare, None, protocol, finished(bare.others)))
        for chain in chains:
            place = Place(folder / name_of(str(chain)))
            more = bool(protocol.other_threats) and chain.kind == "learner"
            if place.done(more):
                rows.append(_row(folder, place, bare, protocol, more))
            elif place.reason:
                refused.append(Refused(defense=str(chain), reason=place.reason))
            else:
                left.append(str(chain))
    else:
        left = [BARE, *map(str, chains)]
    summary = Folder(bare.run).summary if rows else None
    return DefenseComparison(
        holdfast=provenance.version(),
        complete=not left and not refused,
        title=protocol.title,
        folder=str(folder),
        data=protocol.data if summary is None else summary.data.name,
        split="test",
        samples=0 if summary is None else summary.data.n,
        threat=protocol.threat,
        words=protocol.under.words(),
        other_threats=protocol.other_threats,
        suite=protocol.suite,
        seed=protocol.seed,
        subset_seed=protocol.subset_seed,
        protocol=protocol.digest(),
        machine=machine,
        rows=tuple(rows),
        left=tuple(left),
        refused=tuple(refused),
        advice=advise(tuple(rows), protocol.under.literal),
        notes=(*(() if summary is None else decisions(summary.model.notes)), *_notes(rows, left, refused, machine)),
    )


def _row(folder: pathlib.Path, place: Place, bare: Place | None, protocol: Protocol, others: bool) -> Row:
    """One defense from its folder, its differences from the undefended one's."""
    facts = place.facts
    if facts is None:
        raise FileNotFoundError(place.path)
    run, literal = Folder(place.run), protocol.threat
    own = _Seen(run, literal)
    first = None if bare is None else _Seen(Folder(bare.run), literal)
    unseen = [_against(place, bare, t.literal) for t in protocol.unseen] if others else []
    return Row(
        facts=facts,
        run=str(place.run.relative_to(folder)),
        clean=own.rate(own.clean),
        clean_difference=None if first is None else over_groups(*own.beside(first, "clean")),
        oblivious=own.rate(own.held if bare is None else own.oblivious),
        aware=own.rate(own.held),
        aware_difference=None if first is None else over_groups(*own.beside(first, "held")),
        others=tuple(unseen),
        state=run.summary.verdict.state,
        masking="not checked" if run.summary.masking is None else run.summary.masking.state,
        agreement=_agreement(run, literal),
        audited=run.summary.cost.seconds + (Folder(place.others).summary.cost.seconds if others else 0.0),
    )


def _against(place: Place, bare: Place | None, literal: str) -> Against:
    own = _Seen(Folder(place.others), literal)
    first = None if bare is None else _Seen(Folder(bare.others), literal)
    difference = None if first is None else over_groups(*own.beside(first, "held"))
    return Against(threat=literal, withstood=own.rate(own.held), difference=difference)


class _Seen:
    """What a run says about every sample under one threat, by the sample's key."""

    def __init__(self, run: Folder, literal: str):
        seen = read(run)
        answers = run.parts.rows(CLEAN, CleanRow)
        self.groups: Mapping[str, int] = seen.groups
        self.held: Mapping[str, bool] = seen.held[literal]
        self.clean = {key: answers[key].status == "right" for key in self.held}
        shown = _shown(run, literal)
        self.oblivious = {key: held or (self.clean[key] and key not in shown) for key, held in self.held.items()}

    def rate(self, held: Mapping[str, bool]) -> Rate:
        """The share that holds, groups respected."""
        keys = list(held)
        return clusters.share([held[k] for k in keys], [self.groups[k] for k in keys], DENOMINATOR)

    def beside(self, first: "_Seen", what: str) -> tuple[Sequence[bool], Sequence[bool], Sequence[int]]:
        """Both runs on the samples that both judged: the first, this one, their groups."""
        mine, theirs = getattr(self, what), getattr(first, what)
        keys = [key for key in theirs if key in mine]
        return [theirs[k] for k in keys], [mine[k] for k in keys], [self.groups[k] for k in keys]


def _agreement(run: Folder, literal: str) -> float | None:
    """Cohen's kappa of accepted answers to clean inputs with the labels; None where all labels are one."""
    from sklearn.metrics import cohen_kappa_score

    rows = run.samples.select(["threat", "predicted", "label"]).to_pylist()
    pairs = [(row["label"], row["predicted"]) for row in rows if row["threat"] == literal]
    known = [pair for pair in pairs if pair[1] is not None]
    if len({label for label, _ in known}) < 2:
        return None
    return float(cohen_kappa_score(*zip(*known, strict=True)))


def _shown(run: Folder, literal: str) -> frozenset[str]:
    """Samples that the inputs made for the undefended model broke."""
    earlier = run.summary.replay
    found: set[str] = set()
    for asked in run.parts.questions():
        if earlier is None or asked.kind != "search" or asked.threat != literal:
            continue
        attack = json.loads(asked.attack)
        if attack.get("name") == "Replay" and attack.get("inputs") == earlier.inputs:
            rows = run.parts.rows(asked, SearchRow)
            found |= {key for key, row in rows.items() if row.status == "broken"}
    return frozenset(found)


def _notes(rows: Sequence[Row], left: Sequence[str], refused: Sequence[Refused], machine: Machine) -> list[str]:
    """What to know before believing the table."""
    notes = []
    if left:
        notes.append(f"Not finished: {', '.join(left)}. The same command continues.")
    notes += [f"{each.defense} could not be made, and is left out: {each.reason}" for each in refused]
    for row in rows:
        if row.aware.k and (row.state != "measured" or row.masking == "suspect"):
            notes.append(
                f"{row.facts.defense}: the audit's numbers are {row.state}, masking: {row.masking}. They may be too "
                f"high, and the defense is not recommended on them ({row.run})."
            )
        if row.aware.k and blind(row):
            notes.append(
                f"{row.facts.defense}: its answers to clean inputs hardly depend on the input (Cohen's kappa "
                f"{row.agreement:.2f}). Such a model withstands every attack, and is not recommended ({row.run})."
            )
        if row.facts.random:
            notes.append(
                f"{row.facts.defense} draws random numbers: a success counts where most of ten passes repeat it."
            )
        notes += [f"{row.facts.defense}: {note}" for note in row.facts.notes]
    notes.append(here.busy(machine))
    return [note for note in notes if note]
