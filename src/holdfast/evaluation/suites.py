"""Suites: named lists of attacks in the order they run, cheap first; what one stage broke, the next need not try.

A suite is a name, a list of attacks, or a text such as `pgd(steps=10)+square`, whose names and parameters are looked up
in the catalog and read as numbers and words, never run.
"""

import dataclasses
import functools
from collections.abc import Sequence

from torch import Tensor

from holdfast import attacks
from holdfast.attacks.attack import Attack
from holdfast.attacks.eot import Eot
from holdfast.attacks.trees.field import decisive
from holdfast.core.errors import ModelError, UsageError
from holdfast.core.lazy import camel, catalog, snake
from holdfast.core.params import told
from holdfast.core.records import config
from holdfast.evaluation.literals import call, known_names, split, unknown
from holdfast.evaluation.manifest import Stage
from holdfast.models.ensemble import Together
from holdfast.models.model import Model
from holdfast.models.source import source_of
from holdfast.models.stage import Stage as Guard
from holdfast.threats.tables.threat import Table
from holdfast.threats.threats import Threat

PASSES = 20  # for each gradient of a model that draws random numbers
SEEN = 64  # samples on which arrays and model are compared before anything walks
LEAVES = 300_000  # of an ensemble that is walked: a start takes a second for each million of them


@dataclasses.dataclass(frozen=True)
class Suite:
    """Attacks in the order they run.

    Args:
        name: What reports call it.
        attacks: The stages.
        note: What a reader must know about it, empty if nothing.
        substitutes: Attacks that step in under a threat that none of the stages serves.
        adapts: Whether stages that cannot ask the model give way silently for the note; a suite that was written out
            runs as it is written, or is refused.
        plans: Exponent of a norm -> the stages that run under it instead of `attacks`.
        tables: The stages that run under a table threat instead of `attacks`, those of them that may ask what they
            need: gradients first where there are some.
        unscored: The stages that run after `tables` where decisions are all that is seen.
        trees: The stages that run before all others where a tree ensemble shows its leaves.
        curve: What searches the smaller radii of a threat; None for its first stage.
        critics: Literal of a threat -> attacks that were published against what stands in front of the model; they run
            after the stages.
    """

    name: str
    attacks: tuple[Attack, ...]
    note: str = ""
    substitutes: tuple[Attack, ...] = ()
    adapts: bool = False
    plans: tuple[tuple[float, tuple[Attack, ...]], ...] = ()
    curve: Attack | None = None
    critics: tuple[tuple[str, tuple[Attack, ...]], ...] = ()
    tables: tuple[Attack, ...] = ()
    unscored: tuple[Attack, ...] = ()
    trees: tuple[Attack, ...] = ()

    def planned(self, threat: Threat) -> tuple[Attack, ...]:
        """The stages that are meant for what the threat allows, whether or not they serve it."""
        if isinstance(threat, Table) and self.tables:
            stages = (*self.tables, *(self.unscored if threat.knowledge == "labels" else ()))
            return tuple(a for a in dict.fromkeys(stages) if _serves(a, threat))
        return dict(self.plans).get(threat.p, self.attacks)

    def curve_of(self, threat: Threat) -> Attack:
        """What searches the smaller radii of a threat: the suite's own choice where it serves, else the first stage.

        Under a table threat it is the first one that follows no gradient, which alone would see less.
        """
        serving = self.serving(threat)
        blind = [a for a in serving.attacks if isinstance(threat, Table) and "module" not in a.needs]
        return serving.curve or (blind or serving.attacks)[0]

    def stages(self) -> tuple[Stage, ...]:
        """Names and parameters, as the manifest keeps them."""
        return tuple(stage_of(attack) for attack in self.attacks)

    def serving(self, threat: Threat) -> "Suite":
        """The suite with the stages that are written for the threat.

        Raises:
            UsageError: HF810 where none is.
        """
        fitting = tuple(a for a in self.planned(threat) if _serves(a, threat))
        if all("trees" in a.needs for a in fitting):
            fitting += tuple(a for a in self.substitutes if _serves(a, threat))
        against = [a for a in dict(self.critics).get(threat.literal, ()) if a not in fitting]
        if not fitting and not against:
            raise UsageError(
                "HF810",
                f"No attack of the suite '{self.name}' serves {threat.literal}",
                seen=", ".join(describe(a) for a in self.planned(threat)),
                fix="holdfast list attacks; --suite 'name+name'",
            )
        curve = self.curve if self.curve is not None and _serves(self.curve, threat) else None
        return dataclasses.replace(
            self, attacks=(*fitting, *against), plans=(), curve=curve, critics=(), tables=(), unscored=()
        )


def left_out(suite: Suite, threat: Threat) -> str:
    """A sentence about the stages that do not serve a threat, empty where all do."""
    serving = suite.serving(threat).attacks
    planned = suite.planned(threat)
    absent = [describe(a) for a in planned if a not in serving]
    instead = [describe(a) for a in serving if a not in planned]
    line = f"Under {threat.literal} the suite ran without {', '.join(absent)}, not made for it"
    return line + (f"; instead: {', '.join(instead)}." if instead else ".") if absent else ""


def adapted(suite: Suite, model: Model, threats: Sequence[Threat] = (), x: Tensor | None = None) -> Suite:
    """A suite by name, as this model can be asked: what was left out or replaced is said in its note.

    Args:
        suite: As `resolve` gives it.
        model: Settled.
        threats: Whose stages the note speaks of; all there are where none is given.
        x: Samples on which the arrays of a tree ensemble must decide as the model does; without them that is not seen.
    """
    if not suite.adapts:
        return suite
    blind = suite.unscored if model.scores is None and model.module is None else ()
    suite, untold = _walking(dataclasses.replace(suite, tables=(*_shown(suite.tables, model), *blind)), model, x)
    notes = [note for note in (suite.note, untold) if note]
    planned = [suite.planned(t) for t in threats] or [suite.attacks, *(plan for _, plan in suite.plans)]
    rows = bool(threats) and all(isinstance(t, Table) for t in threats)
    every = tuple(dict.fromkeys(a for plan in planned for a in plan))

    shown = functools.partial(_shown, model=model)
    if shown(every) != every:
        names = ", ".join(describe(a) for a in every if a not in shown(every))
        notes.append(f"The model does not show what these stages ask for: {names}.")
    stages, plans, curve = shown(suite.attacks), [(p, shown(plan)) for p, plan in suite.plans], suite.curve
    tables = suite.tables
    if (model.classes or 0) < 4 and any(getattr(a, "loss", "") == "dlr" for a in stages) and not rows:
        notes.append("With fewer than 4 classes the targeted difference of logits ratio is undefined: plain margins.")
    if model.random:
        stages, plans = _averaged(stages), [(p, _averaged(plan)) for p, plan in plans]
        curve, tables = None if curve is None else _averaged([curve])[0], _averaged(tables)
        sloping = not rows or any("module" in a.needs for a in tables)
        notes += [f"The model draws random numbers: gradients are means of {PASSES} passes."] if sloping else []
    substitutes = shown(suite.substitutes)
    if not stages:
        stages, substitutes, plans = substitutes, (), [(p, plan) for p, plan in plans if plan]
    critics = {t.literal: published(model, t) for t in threats}
    notes += aware(model, tuple(dict.fromkeys(a for found in critics.values() for a in found)))
    return dataclasses.replace(
        suite,
        attacks=stages,
        substitutes=substitutes,
        note=" ".join(notes),
        plans=tuple(plans),
        curve=curve if suite.curve is not None and shown([suite.curve]) else None,
        critics=tuple((literal, found) for literal, found in critics.items() if found),
        tables=tables,
    )


def _walking(suite: Suite, model: Model, x: Tensor | None) -> tuple[Suite, str]:
    """The suite with walks over the leaves of a tree ensemble before all else; why it goes without, where it does."""
    if not suite.trees or model.trees is None:
        return suite, ""
    first, names = suite.trees, ", ".join(map(describe, suite.trees))
    try:
        leaves = int((model.trees().feature < 0).sum())
        if x is not None and len(x):
            decisive(model, x[:SEEN])
    except ModelError as error:
        return suite, f"No walk over leaves ({names}): {error.line()}"
    if leaves > LEAVES:
        return suite, f"No walk over leaves ({names}): there are {leaves:,}, more than {LEAVES:,}."
    return dataclasses.replace(
        suite,
        attacks=(*first, *suite.attacks),
        plans=tuple((p, (*first, *plan)) for p, plan in suite.plans),
        tables=(*first, *suite.tables),
        trees=(),
    ), ""


def _shown(given: Sequence[Attack], model: Model) -> tuple[Attack, ...]:
    """The attacks that ask for nothing that the model does not show."""
    return tuple(a for a in given if all(getattr(model, f) is not None for f in a.needs))


def published(model: Model, threat: Threat) -> tuple[Attack, ...]:
    """The attacks that critics of the stages before a model, or before members of it, have published.

    As far as threat and model allow them.
    """
    found: list[Attack] = []
    base, behind = model, model.guarded
    while behind is not None:
        found += [a for a in behind.stage.attacks(threat) if _serves(a, threat)]
        base, behind = behind.base, behind.base.guarded
    source = source_of(base)
    for member in source.ask.members if source is not None and isinstance(source.ask, Together) else ():
        found += published(member, threat)
    fit = _shown(tuple(dict.fromkeys(found)), model)
    return _averaged(fit) if model.random else fit


def aware(model: Model, critics: Sequence[Attack] = ()) -> list[str]:
    """What is done about each stage in front of a model, a sentence each; empty without stages.

    Called automatic because it follows from what the stages declare. Nobody has looked for their weak spot, so it is no
    adaptive attack in the sense of Tramer et al., NeurIPS 2020, arXiv:2002.08347.
    """
    told: list[str] = []
    base, behind, straight = model, model.guarded, True
    while behind is not None:
        told += [_way(behind.stage)]
        if type(behind.stage).suspicion is not Guard.suspicion:
            keeps = " and keeps to its rules" if behind.stage.mends and straight else ""
            blind = ", whose suspicion shows no gradient" if behind.stage.slope == "none" else ""
            told.append(f"must be accepted by {behind.stage}{keeps}{blind}")
        straight = straight and type(behind.stage).apply is Guard.apply
        base, behind = behind.base, behind.base.guarded
    told += _members(base)
    told += [f"runs what was published against them: {', '.join(describe(a) for a in critics)}"] if critics else []
    return [f"Defense-aware (automatic): the attack {way}." for way in told if way]


def _members(model: Model) -> list[str]:
    """What is done about stages in front of the members of an ensemble."""
    source = source_of(model)
    if source is None or not isinstance(source.ask, Together):
        return []
    told: list[str] = []
    for member in source.ask.members:
        behind = member.guarded
        while behind is not None:
            told += [f"{way}, in front of a member" for way in [_way(behind.stage)] if way]
            behind = behind.base.guarded
    accepted = [f"must be accepted by the {source.ask.rule}"] if source.ask.rejects else []
    return [*dict.fromkeys(told), *accepted]


def _way(stage: Guard) -> str:
    """How an attack gets through a stage, after what the stage declares."""
    if stage.gradient == "none":
        return f"asks scores only because of {stage}"
    ways = [f"passes straight through {stage}"] if stage.gradient == "straight-through" else []
    ways += [f"averages {PASSES} passes over {stage}"] if stage.random else []
    changes = type(stage).apply is not Guard.apply
    return " and ".join(ways) or (f"follows the gradient through {stage}" if changes else "")


def _averaged(stages: Sequence[Attack]) -> tuple[Attack, ...]:
    """Those that follow gradients, with means of many passes."""
    return tuple(Eot(a, PASSES) if "module" in a.needs and not isinstance(a, Eot) else a for a in stages)


def stage_of(attack: Attack) -> Stage:
    """An attack as the manifest keeps it."""
    values = config(attack)
    return Stage(name=snake(values.pop("name")), config=values)


def describe(attack: Attack) -> str:
    """`pgd(steps=10)`: the name and the parameters that are not at their defaults, digests left out."""
    return told(attack)


def resolve(suite: "str | Suite | Attack | Sequence[Attack]") -> Suite:
    """A suite from its name, a text, an attack or a list of attacks.

    Raises:
        UsageError: HF811 for a name that is not in the catalog, HF812 for a text that cannot be read.
    """
    if isinstance(suite, Suite):
        return suite
    if isinstance(suite, Attack):
        return Suite(describe(suite), (suite,))
    if isinstance(suite, str):
        return _named()[suite] if suite in _named() else Suite(suite, tuple(_parse(part) for part in split(suite)))
    if not suite:
        raise UsageError("HF812", "A suite needs at least one attack", seen=repr(suite), fix="suite='standard'")
    return Suite("+".join(describe(attack) for attack in suite), tuple(suite))


@functools.cache
def _named() -> dict[str, Suite]:
    """The suites that have a name: quick, our own plan, and AutoAttack as published (Croce and Hein, ICML 2020)."""
    quick = (
        attacks.Apgd(steps=20),
        attacks.Apgd(steps=20, loss="dlr", targets=3),
        attacks.Square(steps=200),
    )
    standard = (
        attacks.Apgd(steps=100),
        attacks.Apgd(steps=100, loss="dlr", targets=9),
        attacks.FabT(steps=100, targets=9),
        attacks.Square(steps=5000),
    )
    checked = attacks.Square(steps=2000, hope=4.0)
    frugal = (attacks.LocalSearch(), checked)
    # Under L2 walks on the boundary find what a descent in the ball misses: a short one, and a long one where a row is
    # known to come near.
    search = attacks.LocalSearch(rounds=60, short=5, hope=1.5)
    frugal_l2 = (attacks.Ddn(steps=50), search, attacks.FabT(steps=60, hope=1.3), checked)
    # Under L1 and L0 nothing is disturbed: short climbs, nearest points by other ways, then a check without gradients.
    climb = attacks.Apgd(steps=20, loss="dlr", targets=3)
    frugal_l1 = (climb, attacks.Pdpgd(steps=150), attacks.FabT(steps=60, hope=1.3), checked)
    corners = attacks.Pgd(step=1.0, random_start=False)
    frugal_l0 = (corners, attacks.SigmaZero(), attacks.Pdpgd(), attacks.Pointwise(restarts=2))
    greedy = attacks.GraphSearch(steps=6, width=1, samples=300)
    beam = attacks.GraphSearch(steps=10, width=8, samples=1000)
    glance = attacks.Capgd(steps=10, restarts=1)
    sparse = (corners, attacks.Jsma())
    return {
        "quick": Suite(
            "quick",
            quick,
            substitutes=(*sparse, attacks.HopSkipJump(steps=5)),
            adapts=True,
            tables=(glance, greedy),
            unscored=(attacks.HopSkipJumpTable(steps=3),),
            trees=(attacks.LeafTuple(restarts=3),),
        ),
        "frugal": Suite(
            "frugal",
            frugal,
            substitutes=(attacks.HopSkipJump(steps=5),),
            adapts=True,
            plans=((2.0, frugal_l2), (1.0, frugal_l1), (0.0, frugal_l0)),
            curve=attacks.LocalSearch(targets=1, ways=1, rounds=0),
            tables=(glance, greedy, dataclasses.replace(greedy, width=4)),
            unscored=(attacks.HopSkipJumpTable(steps=3),),
            trees=(attacks.LeafTuple(restarts=5),),
        ),
        "standard": Suite(
            "standard",
            standard,
            substitutes=(*sparse, attacks.SigmaZero(steps=1000), attacks.Pointwise(), attacks.HopSkipJump()),
            adapts=True,
            tables=(attacks.Capgd(), attacks.CarliniWagnerTable(), greedy, beam),
            unscored=(attacks.HopSkipJumpTable(),),
            trees=(attacks.LeafTuple(),),
        ),
    }


def _serves(attack: Attack, threat: Threat) -> bool:
    """Whether the attack is written for the threat, and asks no more than may be seen under it."""
    return attack.serves(threat) and (attack.minimal or threat.bounded) and _sees(attack, threat)


def _sees(attack: Attack, threat: Threat) -> bool:
    """Whether what the attack needs may be seen under the threat."""
    inside = {"module", "trees"}
    return not attack.needs & {"gradients": set(), "scores": inside, "labels": {"scores", *inside}}[threat.knowledge]


def _parse(text: str) -> Attack:
    """`pgd(steps=10)` or `pgd`."""
    read = call(text, "The suite cannot be read", "HF812", "--suite 'pgd(steps=10)+square'")
    known = {snake(name): name for name in catalog("holdfast.attacks", "evasion")}
    if read.name in _named():
        raise UsageError(
            "HF812",
            f"'{read.name}' is a suite of its own and joins no other stage",
            seen=repr(text),
            expected=f"{read.name} alone, or attacks by name",
            fix=f"--suite {read.name}",
        )
    if snake(camel(read.name)) not in known:
        raise unknown("attack or suite", read.name, [*_named(), *known], "HF811", "holdfast list attacks")
    kind = getattr(attacks, known[snake(camel(read.name))])
    known_names(kind, read, "HF812", f"holdfast list attacks {read.name}")
    attack: Attack = kind(**read.values)
    return attack
