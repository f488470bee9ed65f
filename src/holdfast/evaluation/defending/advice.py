"""A recommendation in words, from the numbers alone: what each kind of reader should take, and when nothing.

All rules stand here. A defense *helps* where the exact paired test finds that more samples withstand a defense-aware
audit than without it; it *costs accuracy* where the same test finds fewer right answers. Two shares whose intervals
overlap cannot be told apart, and are said so. Numbers in doubt are never recommended, nor what hardly looks at its
input: a model that gives one answer to everything withstands every attack.
"""

from collections.abc import Callable, Sequence

from holdfast.evaluation.defending.records import Advice, Reader, Row
from holdfast.evaluation.paired import Paired
from holdfast.evaluation.statistics import Rate

SAME = 1.1  # a pass that takes up to so many times that of the undefended model costs no time that counts
DRIVING = 1.5  # the most times that a car may wait longer
REFUSALS = 0.01  # share of clean inputs that a car may refuse: nobody is there to look
BLIND = 0.1  # agreement with the labels beyond chance below which answers hardly depend on the input
LARGE = 0.05  # a gap between the oblivious and the defense-aware share that is worth a warning
READERS: tuple[Reader, ...] = (
    "accuracy first",
    "robustness first",
    "latency first",
    "health",
    "driving",
    "security",
)
WANTS: dict[Reader, str] = {
    "accuracy first": "no measurable loss of clean accuracy, then the most robust",
    "robustness first": "the most robust, whatever it costs",
    "latency first": f"at most {SAME:g} times the time of a pass, then the most robust",
    "health": "no measurable loss of clean accuracy, or refused inputs that a person looks at; then the most robust",
    "driving": f"at most {DRIVING:g} times the time of a pass and {100 * REFUSALS:g} % refused; then the most robust "
    "under the worst of all threats measured",
    "security": "attackers know the defense: the most robust under the worst of all threats measured",
}
Score = Callable[[Row], Rate]


def advise(rows: Sequence[Row], threat: str) -> tuple[Advice, ...]:
    """One recommendation for each reader; none where there is nothing but the undefended model.

    Args:
        rows: The undefended model first.
        threat: Literal.
    """
    if len(rows) < 2:
        return ()
    useful = [row for row in rows[1:] if helps(row)]
    if not useful:
        return tuple(_nothing(reader, rows, threat) for reader in READERS)
    return tuple(_for(reader, rows, useful, threat) for reader in READERS)


def helps(row: Row) -> bool:
    """Whether it is clearly more robust than no defense, by numbers that are not in doubt."""
    found = row.aware_difference
    return trusted(row) and not blind(row) and found is not None and found.significant and found.difference > 0


def trusted(row: Row) -> bool:
    """Whether its audit's numbers are not in doubt."""
    return row.state == "measured" and row.masking != "suspect"


def blind(row: Row) -> bool:
    """Whether its right answers on clean inputs are hardly more than its answers' shares of the labels make by chance.

    Below 0.1 of Cohen's kappa, "A coefficient of agreement for nominal scales", 1960; up to 0.2 agreement is called
    slight (Landis and Koch 1977).
    """
    return row.agreement is not None and row.agreement < BLIND


def loses(row: Row) -> bool:
    """Whether it measurably costs clean accuracy."""
    found = row.clean_difference
    return found is not None and found.significant and found.difference < 0


def alike(one: Rate, other: Rate) -> bool:
    """Whether the intervals of two shares overlap."""
    return one.low <= other.high and other.low <= one.high


def worst(row: Row) -> Rate:
    """The lowest share over all threats that it was audited under."""
    return min((row.aware, *(each.withstood for each in row.others)), key=lambda rate: rate.point)


def slower(row: Row) -> float:
    """How many times the time of an undefended pass it takes."""
    return 1.0 if row.facts.passes is None else row.facts.passes.ratio


def _refuses(row: Row) -> float:
    return 0.0 if row.facts.rejected is None else row.facts.rejected.point


def _for(reader: Reader, rows: Sequence[Row], useful: Sequence[Row], threat: str) -> Advice:
    """Those of the useful ones that meet the reader's condition; where none does, the one that comes nearest."""
    meets: dict[Reader, Callable[[Row], bool]] = {
        "accuracy first": lambda row: not loses(row),
        "latency first": lambda row: slower(row) <= SAME,
        "health": lambda row: not loses(row) or (row.facts.rejected is not None and _refuses(row) > 0),
        "driving": lambda row: slower(row) <= DRIVING and _refuses(row) <= REFUSALS,
    }
    nearest: dict[Reader, Callable[[Row], float]] = {
        "accuracy first": lambda row: row.clean.point,
        "latency first": lambda row: -slower(row),
        "health": lambda row: row.clean.point,
        "driving": lambda row: -slower(row) - 100 * max(0.0, _refuses(row) - REFUSALS),
    }
    broadly = reader in ("driving", "security")
    score: Score = worst if broadly else (lambda row: row.aware)
    fits = [row for row in useful if reader not in meets or meets[reader](row)]
    if broadly:  # the worst of several threats is lower than one: only rows that faced the same are compared
        fits = [row for row in fits if row.others] or fits
    if fits:
        best, others = _best(fits, score)
        return _told(reader, best, others, score, rows, threat, "")
    best = max(useful, key=nearest[reader])
    lead = f"No defense that helps has {WANTS[reader].partition(',')[0].partition(';')[0]}; nearest to it is "
    return _told(reader, best, (), score, rows, threat, lead)


def _best(fits: Sequence[Row], score: Score) -> tuple[Row, tuple[Row, ...]]:
    """The highest; of those that cannot be told apart from it the cheapest, and the others.

    Cheapest: no measurable loss of accuracy, the fastest pass to a tenth, no training, then the higher share.
    """
    top = max(fits, key=lambda row: score(row).point)
    equal = [row for row in fits if alike(score(row), score(top))]
    best = min(equal, key=lambda row: (_price(row), -score(row).point))
    return best, tuple(row for row in equal if row is not best)


def _price(row: Row) -> tuple[bool, float, bool]:
    """What it costs, coarsely: accuracy, time of a pass, training."""
    return loses(row), round(max(slower(row), 1.0), 1), row.facts.kind == "learner"


def _training(row: Row) -> float:
    return 0.0 if row.facts.trained is None else row.facts.trained.processor_seconds


def _why(row: Row, equal: Sequence[Row]) -> str:
    """Why this one and none of the others that cannot be told apart from it."""
    same = [other for other in equal if _price(other) == _price(row)]
    if not same:
        return "it is the cheaper"
    least = min(same, key=_training)
    shorter = f"; {least.facts.defense} trains in {_training(least):.0f} s" if _training(least) < _training(row) else ""
    return f"none is cheaper in accuracy or a pass, and its share is the highest{shorter}"


def _told(
    reader: Reader, row: Row, equal: Sequence[Row], score: Score, rows: Sequence[Row], threat: str, lead: str
) -> Advice:
    """The sentences, each with the run that its numbers come from."""
    name = row.facts.defense
    text = [f"{lead}{name} [{row.run}]."]
    text.append(
        f"Under {threat}, known to the attacker, it withstands {row.aware}, {_points(row.aware_difference)} beside no "
        f"defense [{row.run}]."
    )
    if score is worst and row.others:
        text.append(_beyond(row))
    elif score is worst and any(other.others for other in rows[1:]):
        text.append(f"It was not audited under the other threats [{row.run}].")
    text.append(f"{_changes(row)}{_balance(row)}It costs {_cost(row)} [{row.run}].")
    if equal:
        named = ", ".join(f"{other.facts.defense} ({score(other)}) [{other.run}]" for other in equal)
        text.append(
            f"On robustness it cannot be told apart from {named}: their intervals overlap; {_why(row, equal)} "
            f"[{row.run}]."
        )
    if reader == "security" and row.gap > LARGE:
        text.append(
            f"Against attackers who do not know it the share is {row.oblivious.point:.1%}: do not count on that "
            f"[{row.run}]."
        )
    runs = dict.fromkeys([row.run, *(other.run for other in equal)])
    return Advice(reader=reader, wants=WANTS[reader], defense=name, text=" ".join(text), runs=tuple(runs))


def _balance(row: Row) -> str:
    """From which share of attacked inputs on it gives more right answers than no defense, where it loses accuracy."""
    lost, gained = row.clean_difference, row.aware_difference
    if lost is None or gained is None or not loses(row):
        return ""
    share = -lost.difference / (gained.difference - lost.difference)
    return f"In all it is right more often than no defense where over {share:.0%} of inputs are attacked [{row.run}]. "


def _beyond(row: Row) -> str:
    each = ", ".join(f"{other.threat} {other.withstood}" for other in row.others)
    folder = row.run.rpartition("/")[0]
    return f"Under threats it was not trained for: {each} [{folder}/other-threats]."


def _nothing(reader: Reader, rows: Sequence[Row], threat: str) -> Advice:
    """No defense is clearly better."""
    bare, best = rows[0], max(rows[1:], key=lambda row: row.aware.point)
    text = [f"No defense is clearly better than none under {threat}; without one {bare.aware} withstand [{bare.run}]."]
    found = best.aware_difference
    if found is not None and not trusted(best):
        text.append(f"The highest number, {best.aware} of {best.facts.defense}, is in doubt [{best.run}].")
    elif found is not None and blind(best):
        text.append(
            f"{best.facts.defense} gives nearly the same answer to all inputs, so its number says nothing [{best.run}]."
        )
    elif found is not None:
        drop = (
            "" if found.detectable is None else f"; a difference of {100 * found.detectable:.1f} points would be found"
        )
        text.append(f"Highest is {best.facts.defense}, {_points(found)}, which may be chance{drop} [{best.run}].")
    return Advice(reader=reader, wants=WANTS[reader], defense="", text=" ".join(text), runs=(bare.run, best.run))


def _points(found: Paired | None) -> str:
    """`+12.0 points [+6.1, +18.0]`."""
    if found is None:
        return "0 points"
    return f"{100 * found.difference:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"


def _changes(row: Row) -> str:
    """A sentence on clean accuracy, with a space behind it; empty where it was not compared."""
    clean = row.clean_difference
    if clean is None:
        return ""
    known = "" if clean.significant else ", which may be chance"
    return f"Clean accuracy changes by {_points(clean)}{known} [{row.run}]. "


def _cost(row: Row) -> str:
    """Time of a pass, memory, refusals, training."""
    facts, told = row.facts, []
    if facts.passes is not None:
        told.append(f"{facts.passes.ratio:.2f} times the time of a pass and {facts.passes.bytes_ratio:.2f} the memory")
    if facts.rejected is not None:
        told.append(f"{facts.rejected} clean inputs refused")
    if facts.trained is not None:
        told.append(f"{facts.trained.processor_seconds:.0f} s of training")
    if facts.fitted is not None:
        told.append(f"{facts.fitted.processor_seconds:.0f} s of fitting")
    return ", ".join(told) or "nothing that was measured"
