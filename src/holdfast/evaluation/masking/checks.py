"""The checks of the masking battery: each turns committed rows into a count of samples that show one sign.

Every function says what the sign means, what the evidence cost, and the paper; the tolerated shares are explained in
`limits`.
"""

from collections.abc import Callable, Sequence

from holdfast.evaluation.masking import surrogate
from holdfast.evaluation.masking.battery import lessons
from holdfast.evaluation.masking.evidence import LATER, SILENT, Evidence, Sort
from holdfast.evaluation.masking.limits import (
    ASIDE,
    CLEARER,
    HIDDEN,
    HONEST,
    MOVED,
    NEVER,
    SATURATED,
    SELDOM,
    SOMETIMES,
)
from holdfast.evaluation.masking.trials import trials
from holdfast.evaluation.rows import DirectionRow, R, Row, SlopeRow, TrialRow
from holdfast.evaluation.summary import MaskingCheck
from holdfast.threats.tables.threat import Table

ATHALYE = "Athalye, Carlini, Wagner, ICML 2018, arXiv:1802.00420"
CARLINI = "Carlini et al. 2019, arXiv:1902.06705"
PINTOR = "Pintor et al., NeurIPS 2022, arXiv:2106.09947"
TRAMER = "Tramer et al., NeurIPS 2020, arXiv:2002.08347"

DETERMINISM = Sort("determinism", "get another answer in a second pass", NEVER, ATHALYE, True)
COMPANY = Sort("company", "get another answer in other company", NEVER, CARLINI, True)
SATURATION = Sort("saturation", "are so sure that cross-entropy has no gradient in 32 bits", SOMETIMES, CARLINI, True)
GRADIENTS = Sort("gradients", "have a zero or non-finite gradient at or near them", SELDOM, ATHALYE, True)
SLOPE = Sort("slope", "do not follow their gradient", SOMETIMES, PINTOR, True)
DIRECTION = Sort("direction", "give way more to a random direction than to the gradient", SELDOM, TRAMER)
DOUBLING = Sort("doubling", "break only with twice the steps and restarts", SOMETIMES, CARLINI)
LARGER = Sort("larger", "hold at twice the radius and break at the radius", SELDOM, CARLINI)
REACH = Sort("reach", "hold when the gradient may lead anywhere in the box", SELDOM, ATHALYE)
BLACK_BOX = Sort("black_box", "give way more to an attack without gradients than to the gradient", SOMETIMES, ATHALYE)
TRANSFER = Sort("transfer", "give way more to inputs made on a substitute than to the gradient", SELDOM, ATHALYE)
NOISE = Sort("noise", "give way more to plain noise than to the attack", SELDOM, CARLINI)

BLIND = "the attacker sees no gradient"
ENDLESS = "the threat has no radius"
NORM = "the battery has no such attack for this norm"
ROWS = "between the rows of a table no gradient leads anywhere"
NARROW = "memory does not hold a sample and three strangers at once"
RANDOM = "the answers move from pass to pass, see determinism"


def determinism(e: Evidence) -> MaskingCheck:
    """Two passes over the same batch give the same answers. Cost: 2 forward passes. Athalye et al. 2018."""
    rows = [e.answers[key] for key in e.keys if key in e.answers]
    return _of_rows(DETERMINISM, e, rows, lambda r: r.passes is not None and r.passes > MOVED)


def company(e: Evidence) -> MaskingCheck:
    """A sample among strangers is answered as it is alone. Cost: 5 forward passes. Carlini et al. 2019."""
    rows = [e.answers[key] for key in e.keys if key in e.answers]
    if determinism(e).state == "suspect":
        return COMPANY.absent(e, RANDOM)
    if any(row.status != "error" and row.company is None for row in rows):
        return COMPANY.absent(e, NARROW)
    return _of_rows(COMPANY, e, rows, lambda r: r.company is not None and r.company > MOVED)


def saturation(e: Evidence) -> MaskingCheck:
    """Scores leave cross-entropy a gradient. Cost: none of its own. Carlini et al. 2019, Carlini and Wagner 2017."""
    rows = [e.answers[key] for key in e.keys if key in e.answers]
    if "module" not in e.sees:
        return SATURATION.absent(e, BLIND)
    return _of_rows(SATURATION, e, rows, lambda r: r.margin is None or r.margin > SATURATED)


def gradients(e: Evidence) -> MaskingCheck:
    """Gradients at and near the samples are neither zero nor NaN. Cost: 3 forward and backward passes. Athalye 2018."""
    rows = [e.slopes[key] for key in e.keys if key in e.slopes]
    if "module" not in e.sees:
        return GRADIENTS.absent(e, BLIND)
    return _of_rows(GRADIENTS, e, rows, lambda r: 2 * (r.zero + r.bad) > 3)


def slope(e: Evidence) -> MaskingCheck:
    """A short step brings what the gradient promised. Cost: 4 forward passes. Pintor et al. 2022."""
    rows = [e.slopes[key] for key in e.keys if key in e.slopes]
    if "module" not in e.sees:
        return SLOPE.absent(e, BLIND)
    if determinism(e).state == "suspect":
        return SLOPE.absent(e, RANDOM)
    return _of_rows(SLOPE, e, rows, _lies)


def direction(e: Evidence) -> MaskingCheck:
    """The gradient beats random directions. Cost: 1 backward and 12 forward passes. Tramer et al. 2020."""
    why = _without_gradient(e)
    if why:
        return DIRECTION.absent(e, why)
    rows = [e.directions[key] for key in e.keys if key in e.directions]
    return _of_rows(DIRECTION, e, rows, _lost)


def doubling(e: Evidence) -> MaskingCheck:
    """Twice the steps and restarts break hardly more. Cost: 100 forward and backward passes. Carlini et al. 2019."""
    return _ended(e, DOUBLING, "doubled", "broken", _without_gradient(e))


def larger(e: Evidence) -> MaskingCheck:
    """A larger radius never helps the defender. Cost: at most 20 forward and backward passes. Carlini et al. 2019."""
    return _ended(e, LARGER, "larger", "unbroken", _without_trial(e, "larger"))


def reach(e: Evidence) -> MaskingCheck:
    """The gradient leads to another class that the box holds. Cost: 20 forward and backward passes. Athalye 2018."""
    if "module" not in e.sees or isinstance(e.threat, Table):
        return REACH.absent(e, ROWS if isinstance(e.threat, Table) else BLIND)
    if determinism(e).state == "suspect":
        return REACH.absent(e, RANDOM)
    clean = e.view.clean()
    if len({clean[key].predicted for key in e.keys}) < 2:
        return REACH.absent(e, "the samples are all of one class, so another one may lie nowhere")
    rows = _rows(e, "reach")
    return REACH.absent(e, rows) if isinstance(rows, str) else REACH.counted(e, [r.status == "unbroken" for r in rows])


def black_box(e: Evidence) -> MaskingCheck:
    """Square finds nothing that the gradient did not. Cost: 200 forward passes on what held. Athalye et al. 2018."""
    return _against(e, BLACK_BOX, "black_box", _without_gradient(e) or _without_trial(e, "black_box"))


def transfer(e: Evidence) -> MaskingCheck:
    """A substitute's inputs break nothing that the gradient did not. Cost: 1 forward pass. Papernot et al. 2017."""
    why = _without_gradient(e)
    if not why and e.size > surrogate.LARGEST:
        why = "the inputs are too large to teach a substitute"
    if not why and len(set(lessons(e.view)[1])) < 2:
        why = "the model decides for one class alone, so there is nothing to teach"
    return _against(e, TRANSFER, "transfer", why)


def noise(e: Evidence) -> MaskingCheck:
    """Plain noise breaks nothing that the attack did not. Cost: 20 forward passes on what held. Carlini et al. 2019."""
    return _against(e, NOISE, "noise", _without_trial(e, "noise"))


GENERAL: Sequence[Callable[[Evidence], MaskingCheck]] = (determinism, company, saturation, gradients, slope)
UNDER_A_THREAT: Sequence[Callable[[Evidence], MaskingCheck]] = (
    direction,
    doubling,
    larger,
    reach,
    black_box,
    transfer,
    noise,
)


def _ended(e: Evidence, sort: Sort, name: str, sign: str, why: str) -> MaskingCheck:
    """Samples on which a trial ended with the status that is a sign."""
    if why:
        return sort.absent(e, why)
    rows = _rows(e, name)
    if isinstance(rows, str):
        return sort.absent(e, rows)
    return sort.counted(e, [r.status == sign for r in rows], _asked(e, name))


def _against(e: Evidence, sort: Sort, name: str, why: str) -> MaskingCheck:
    """Samples on which another attack broke what the gradient left, or came clearly nearer."""
    if why:
        return sort.absent(e, why)
    rows = _rows(e, name)
    if isinstance(rows, str):
        return sort.absent(e, rows)
    found = []
    for row in rows:
        own, start = e.margin(row.key), e.answers[row.key]
        slack = CLEARER * abs(start.margin or 0.0)
        known = own is not None and row.margin is not None and start.status != "error"
        nearer = known and row.margin < own - slack  # type: ignore[operator]
        found.append(row.status == "broken" or nearer)
    return sort.counted(e, found, _asked(e, name))


def _asked(e: Evidence, name: str) -> int:
    """Samples that the first trial judged, but for those on which the model failed later.

    What broke in the first needs no second look, and counts as without a sign.
    """
    first = e.trial("first")
    lost = {key for key in e.needed(name) if e.trial(name)[key].status == "error"}
    if name not in ("doubled", "larger") and "doubled" in trials(e.threat, e.sees):
        lost |= {key for key, row in e.trial("doubled").items() if row.status == "error"}
    return sum(key not in lost and key in first and first[key].status in ("broken", "unbroken") for key in e.keys)


def _rows(e: Evidence, name: str) -> list[TrialRow] | str:
    """What a trial said about its samples; why there is nothing where some are missing or the model always failed."""
    found, needed = e.trial(name), e.needed(name)
    first = {} if name == "reach" else e.trial("first")
    if any(key not in found for key in needed) or (name != "reach" and any(key not in first for key in e.keys)):
        return LATER
    if _silent([found[key] for key in needed]) or _silent(list(first.values())):
        return SILENT
    return [found[key] for key in needed if found[key].status in ("broken", "unbroken")]


def _silent(rows: Sequence[Row]) -> bool:
    """Whether the model failed on all of them."""
    return bool(rows) and all(row.status == "error" for row in rows)


def _of_rows(sort: Sort, e: Evidence, rows: Sequence[R], sign: Callable[[R], bool]) -> MaskingCheck:
    """Over the samples on which the model answered."""
    if len(rows) < len(e.keys):
        return sort.absent(e, LATER)
    return sort.absent(e, SILENT) if _silent(rows) else sort.counted(e, [sign(r) for r in rows if r.status != "error"])


def _lies(row: SlopeRow) -> bool:
    """Whether a step brings what the gradient did not promise."""
    return (
        (row.near is not None and not HONEST[0] <= row.near <= HONEST[1])
        or (row.far is not None and row.far > HIDDEN)
        or (row.aside is not None and row.aside > ASIDE)
    )


def _lost(row: DirectionRow) -> bool:
    """Whether a random direction beat the gradient."""
    if row.gradient is None or row.random is None:
        return False
    return row.random > row.gradient + CLEARER * abs(row.margin or 0.0)


def _without_gradient(e: Evidence) -> str:
    if isinstance(e.threat, Table):
        return ROWS
    if "module" not in e.sees:
        return BLIND
    return _without_ball(e)


def _without_ball(e: Evidence) -> str:
    if not e.ball:
        return ENDLESS
    return RANDOM if determinism(e).state == "suspect" else ""


def _without_trial(e: Evidence, name: str) -> str:
    if "scores" not in e.sees and "module" not in e.sees:
        return "the attacker sees labels alone"
    return _without_ball(e) or ("" if name in trials(e.threat, e.sees) else NORM)
