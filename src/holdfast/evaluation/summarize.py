"""From verdicts to the document: every number of `summary.json` is computed here and in `metrics/`."""

import dataclasses
import pathlib
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from holdfast.attacks.attack import Attack
from holdfast.evaluation.attribution import Together
from holdfast.evaluation.before import EarlierRun
from holdfast.evaluation.clusters import share
from holdfast.evaluation.earlier import AWARE, OBLIVIOUS
from holdfast.evaluation.finals import Final, View, broken_at
from holdfast.evaluation.metrics.confusions import confusions
from holdfast.evaluation.metrics.curve import curve, from_distances
from holdfast.evaluation.metrics.distances import DISTANCES, spread
from holdfast.evaluation.metrics.per_class import per_class
from holdfast.evaluation.metrics.union import union
from holdfast.evaluation.parts import Question
from holdfast.evaluation.plan import CLEAN, control_question, question, radii, smaller
from holdfast.evaluation.rows import HELD, ControlRow, SearchRow
from holdfast.evaluation.statistics import Rate, rate
from holdfast.evaluation.suites import stage_of
from holdfast.evaluation.summary import (
    AttackFacts,
    Cost,
    CurvePoint,
    Failure,
    Loss,
    Rates,
    ThreatFacts,
)
from holdfast.threats.space import Box
from holdfast.threats.tables.tabular import Tabular
from holdfast.threats.threats import Threat

Found = Mapping[str, Mapping[str, Final]]
ALL = "samples that are not invalid"
SUCCESSES = "successes of the attacks, possible rows or not"
ORDER = (
    "invalid",
    "broken",
    "wrong",
    "rejected",
    "error",
    "undecided",
    "unbroken",
    "certified",
)  # worst first, over threats


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """What the numbers are computed from.

    Args:
        view: What was asked for.
        found: Threat literal -> key -> verdict.
        labels: Key -> label.
        names: Class names, empty where there are none.
        space: Of the inputs.
        image: Whether inputs are images.
        groups: Key -> group of the sample, negative or missing for none.
        rejects: Whether the model can reject an input.
        kinds: Key -> finer class of the sample, whose rates are told apart instead of the label's; empty for none.
        kind_names: Names of those.
        evading: Whether only one direction counts, so that what is broken has evaded.
    """

    view: View
    found: Found
    labels: Mapping[str, int]
    names: Sequence[str]
    space: Box
    image: bool
    groups: Mapping[str, int] = dataclasses.field(default_factory=dict)
    rejects: bool = False
    kinds: Mapping[str, int] = dataclasses.field(default_factory=dict)
    kind_names: Sequence[str] = ()
    evading: bool = False

    @property
    def judged(self) -> list[str]:
        """Keys of the samples that are not invalid."""
        clean = self.view.clean()
        return [key for key in self.view.keys if key not in clean or clean[key].status != "invalid"]

    def right(self, key: str) -> bool:
        """Whether the sample is accepted and right before any attack."""
        row = self.view.clean().get(key)
        return row is not None and row.status == "right"

    def rejected(self, key: str) -> bool:
        """Whether the model rejects the sample before any attack."""
        row = self.view.clean().get(key)
        return row is not None and row.status == "rejected"

    def stands(self, key: str) -> bool:
        """Whether no threat breaks the sample."""
        return all(members[key].status in HELD for members in self.found.values())


def headline(case: Case) -> Rates:
    """Clean accuracy, the union over threats, and what a model that rejects inputs rejects without an attack."""
    refused = {key: case.rejected(key) for key in case.judged} if case.rejects else {}
    return Rates(
        clean_accuracy=_over_groups(case, {key: case.right(key) for key in case.judged}, ALL),
        empirical_robust_accuracy=_over_groups(case, {key: case.stands(key) for key in case.judged}, ALL),
        benign_reject_rate=_over_groups(case, refused, ALL),
    )


def threat_facts(case: Case, threat: Threat) -> ThreatFacts:
    """Everything about one threat."""
    members = case.found[threat.literal]
    judged, right = case.judged, [key for key in case.judged if case.right(key)]
    broken = [members[key] for key in case.view.keys if members[key].status == "broken"]
    hits = [f.row for f in broken if f.row is not None]
    stands = {key: members[key].status in HELD for key in judged}
    eight = [row.eight_bit for row in hits if row.eight_bit is not None]
    return ThreatFacts(
        literal=threat.literal,
        words=threat.words(case.space),
        nist=threat.taxonomy.nist,
        atlas=", ".join(threat.taxonomy.atlas),
        knowledge=threat.knowledge,
        queries=threat.queries,
        empirical_robust_accuracy=_over_groups(case, stands, ALL),
        success_rate=_over_groups(
            case, {key: members[key].status == "broken" for key in right}, "samples right before the attack"
        ),
        attacks=tuple(_attack_facts(case, threat, a, stage) for stage, a in enumerate(case.view.attacks(threat))),
        distances={norm: s for norm in DISTANCES if (s := spread(getattr(row, norm) for row in hits)) is not None},
        curve=_curve(case, threat),
        confusions=confusions(
            (case.labels[f.key], f.row.adversarial_label)
            for f in broken
            if f.row is not None and f.row.adversarial_label is not None and not case.kinds
        ),
        per_class=per_class(
            {key: (case.kinds or case.labels)[key] for key in judged},
            {key: case.right(key) for key in judged},
            stands,
            case.kind_names if case.kinds else case.names,
            {key: members[key].status == "broken" for key in judged} if case.evading else None,
        ),
        eight_bit=_share(sum(eight), len(eight), "broken samples") if eight else None,
        valid=_valid(case, threat, hits),
        psnr=spread(row.psnr for row in hits),
        ssim=spread(row.ssim for row in hits),
        loss=_loss(members, judged),
        control=_control(case, threat),
        statuses=dict(sorted(Counter(f.status for f in members.values()).items())),
        **_knowing(case, threat, right),
    )


def _valid(case: Case, threat: Threat, hits: Sequence[SearchRow]) -> Rate | None:
    """How many successes are possible rows, in a table: of those that broke and those for which one was claimed."""
    if not isinstance(case.space, Tabular):
        return None
    searched = [case.view.searched(threat, attack) for attack in case.view.attacks(threat)]
    stand = [key for key in case.view.keys if case.found[threat.literal][key].status != "broken"]
    claimed = sum(any(key in rows and rows[key].valid is False for rows in searched) for key in stand)
    return _share(sum(row.valid is True for row in hits), len(hits) + claimed, SUCCESSES)


def _knowing(case: Case, threat: Threat, right: Sequence[str]) -> dict[str, Rate | None]:
    """What inputs break that know nothing of the defense, and what only the attacks that know it; where both ran."""
    found = case.view.earlier
    if found is None or found.knows != OBLIVIOUS or not threat.bounded or not right:
        return {}
    knew = [case.view.knows(case.found[threat.literal][key]) for key in right]
    words = "samples right before the attack"
    return {
        "oblivious": rate(knew.count(OBLIVIOUS), len(right), words),
        "defense_aware": rate(knew.count(AWARE), len(right), words),
    }


def _over_groups(case: Case, flags: Mapping[str, bool], words: str) -> Rate | None:
    """The share of samples that are flagged, with an interval over groups where the data have some."""
    source = [case.groups.get(key, -1) for key in flags]
    return share(list(flags.values()), source, words, seed=case.view.seed) if flags else None


def _share(k: int, n: int, words: str) -> Rate | None:
    return rate(k, n, words) if n else None


def _attack_facts(case: Case, threat: Threat, attack: Attack, stage: int) -> AttackFacts:
    asked, rows = question(threat, attack, case.view.seed), case.view.searched(threat, attack)
    members, chain = (
        case.found[threat.literal],
        [question(threat, a, case.view.seed) for a in case.view.attacks(threat)[: stage + 1]],
    )
    tried = [rows[key] for key in case.view.keys if key in rows and _reached(case, threat, members[key], chain)]
    won = [row for row in tried if row.status == "broken"]
    commits = case.view.parts.commits_of(asked)
    told = stage_of(attack)
    return AttackFacts(
        name=told.name,
        config=told.config,
        stage=stage,
        attempted=len(tried),
        broken=len(won),
        seconds=sum(c.seconds for c in commits),
        queries_median=float(statistics.median(row.queries for row in won)) if won else None,
        gradients_median=float(statistics.median(row.gradients for row in won)) if won else None,
        forwards=sum(c.forwards for c in commits),
        zero_gradients=sum(row.zero_gradients for row in tried),
        nonfinite_gradients=sum(row.bad_gradients for row in tried),
        gradients=sum(row.gradients for row in tried),
    )


def _reached(case: Case, threat: Threat, final: Final, chain: Sequence[Question]) -> bool:
    """Whether the last attack of the chain was this sample's turn: broken neither before it nor at a smaller radius."""
    if not case.right(final.key):
        return False
    if any(case.found[t.literal][final.key].status == "broken" for t in smaller(threat, case.view.threats)):
        return False
    return final.status not in ("broken", "wrong") or final.asked not in chain[:-1]


def _curve(case: Case, threat: Threat) -> tuple[CurvePoint, ...]:
    members, n = case.found[threat.literal], len(case.judged)
    base = sum(members[key].status not in ("wrong", "invalid") for key in case.judged)
    if not n:
        return ()
    if not threat.bounded:
        far = [getattr(f.row, threat.measure) for f in members.values() if f.status == "broken" and f.row is not None]
        return from_distances([d for d in far if d is not None], base, n, ALL)
    broken = {threat.radius: sum(f.status == "broken" for f in members.values())}
    for t in smaller(threat, case.view.threats):
        broken[t.radius] = sum(f.status == "broken" for f in case.found[t.literal].values())
    for radius in radii(threat, case.view.threats):
        broken[radius] = sum(broken_at(case.view, threat, radius, case.found).values())
    return curve(broken, base, n, ALL)


def _loss(members: Mapping[str, Final], judged: Sequence[str]) -> Loss | None:
    pairs = [(f.clean.loss, f.loss) for f in (members[key] for key in judged) if f.clean is not None]
    both = [(a, b) for a, b in pairs if a is not None and b is not None]
    if not both:
        return None
    return Loss(
        clean=statistics.fmean(a for a, _ in both), adversarial=statistics.fmean(b for _, b in both), n=len(both)
    )


def _control(case: Case, threat: Threat) -> Rate | None:
    if not threat.bounded:
        return None
    rows = case.view.parts.rows(control_question(threat, case.view.seed), ControlRow)
    tried = [rows[key] for key in case.judged if case.right(key) and key in rows and rows[key].status != "error"]
    return _share(sum(row.status == "broken" for row in tried), len(tried), "samples right before the noise")


def together(case: Case) -> Together | None:
    """What breaks under any of several threats, and what broke it; None for a single threat."""
    right = [key for key in case.judged if case.right(key)]
    flags = {key: any(members[key].status == "broken" for members in case.found.values()) for key in right}
    return union(case.found, right, _over_groups(case, flags, "samples right before the attack"))


def earlier_run(case: Case) -> EarlierRun | None:
    """The run that was replayed, and what came of it."""
    found = case.view.earlier
    if found is None:
        return None
    asked = {question(threat, found.stage, case.view.seed) for threat in case.view.threats}
    broke = {
        key
        for members in case.found.values()
        for key, final in members.items()
        if final.status == "broken" and final.asked in asked
    }
    return EarlierRun(
        run=pathlib.Path(found.run).resolve().name,
        model=found.stage.model,
        inputs=found.stage.inputs,
        stored=found.stored,
        tried=found.tried,
        broken=len(broke),
        knows=found.knows,
    )


def statuses(case: Case) -> dict[str, int]:
    """Samples by their worst status over the threats."""
    worst = [min((members[key].status for members in case.found.values()), key=ORDER.index) for key in case.view.keys]
    return dict(sorted(Counter(worst).items()))


def failures(case: Case, ids: Mapping[str, int]) -> tuple[Failure, ...]:
    """The samples that could not be judged, each once."""
    reasons = {
        key: members[key].reason
        for members in case.found.values()
        for key in case.view.keys
        if members[key].status == "error"
    }
    return tuple(Failure(sample=ids[key], reason=reasons[key]) for key in case.view.keys if key in reasons)


def cost(case: Case, others: Sequence[Question]) -> Cost:
    """What every part that answers the view's questions took."""
    asked = [CLEAN, *others]
    searches: list[SearchRow] = []
    for threat in case.view.threats:
        attacks = case.view.attacks(threat)
        curve = case.view.curve(threat)
        pairs = [(threat, a) for a in attacks] + [(threat.at(r), curve) for r in radii(threat, case.view.threats)]
        for t, a in pairs:
            rows = case.view.searched(t, a)
            searches += [rows[key] for key in case.view.keys if key in rows]
            asked.append(question(t, a, case.view.seed))
        asked.append(control_question(threat, case.view.seed))
    commits = {c.part: c for q in asked for c in case.view.parts.commits_of(q)}.values()
    return Cost(
        seconds=sum(c.seconds for c in commits),
        forwards=sum(c.forwards for c in commits),
        asked=sum(c.asked for c in commits),
        remembered=sum(c.remembered for c in commits),
        queries=sum(r.queries for r in searches),
        gradients=sum(r.gradients for r in searches),
        checks=sum(r.checks for r in searches),
    )
