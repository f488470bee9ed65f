"""The checks of the masking battery: each turns committed rows into a count of samples that show one sign.

Every function says what the sign means, what the evidence cost, and the paper; the tolerated shares are explained in
`limits`.
"""

from collections.abc import Callable, Sequence

from holdfast.evaluation.masking import surrogate
from holdfast.evaluation.masking.battery import lessons
from holdfast.evaluation.masking.evidence import LATER, Evidence, Sort
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
from holdfast.evaluation.rows import TrialRow
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
NORM = "there is no such attack for this norm"
ROWS = "between the rows of a table no gradient leads anywhere"
RANDOM = "the answers move from pass to pass, see determinism"


def determinism(e: Evidence) -> MaskingCheck:
    """Two passes over the same batch give the same answers. Cost: 2 forward passes. Athalye et al. 2018."""
    rows = [e.answers[key] for key in e.keys if key in e.answers]
    return _of_rows(DETERMINISM, e, len(rows), [r.passes is not None and r.passes > MOVED for r in rows])


def company(e: Evidence) -> MaskingCheck:
    """A sample among strangers is answered as it is alone. Cost: 5 forward passes. Carlini et al. 2019."""
    rows = [e.answers[key] for key in e.keys if key in e.answers]
    if determinism(e).state == "suspect":
        return COMPANY.absent(e, RANDOM)
    return _of_rows(COMPANY, e, len(rows), [r.company is not None and r.company > MOVED for r in rows])


def saturation(e: Evidence) -> MaskingCheck:
    """Scores leave cross-entropy a gradient. Cost: none of its own. Carlini et al. 2019, Carlini and Wagner 2017."""
    rows = [e.answers[key] for key in e.keys if key in e.answers]
    if "module" not in e.sees:
        return SATURATION.absent(e, BLIND)
    return _of_rows(SATURATION, e, len(rows), [r.margin is None or r.margin > SATURATED for r in rows])


def gradients(e: Evidence) -> MaskingCheck:
    """Gradients at and near the samples are neither zero nor NaN. Cost: 3 forward and backward passes. Athalye 2018."""
    rows = [e.slopes[key] for key in e.keys if key in e.slopes]
    if "module" not in e.sees:
        return GRADIENTS.absent(e, BLIND)
    return _of_rows(GRADIENTS, e, len(rows), [2 * (r.zero + r.bad) > 3 for r in rows])


def slope(e: Evidence) -> MaskingCheck:
    """A short step brings what the gradient promised. Cost: 4 forward passes. Pintor et al. 2022."""
    rows = [e.slopes[key] for key in e.keys if key in e.slopes]
    if "module" not in e.sees:
        return SLOPE.absent(e, BLIND)
    if determinism(e).state == "suspect":
        return SLOPE.absent(e, RANDOM)
    lies = [
        (r.near is not None and not HONEST[0] <= r.near <= HONEST[1])
        or (r.far is not None and r.far > HIDDEN)
        or (r.aside is not None and r.aside > ASIDE)
        for r in rows
    ]
    return _of_rows(SLOPE, e, len(rows), lies)


def direction(e: Evidence) -> MaskingCheck:
    """The gradient beats random directions. Cost: 1 backward and 12 forward passes. Tramer et al. 2020."""
    why = _without_gradient(e)
    if why:
        return DIRECTION.absent(e, why)
    rows = [e.directions[key] for key in e.keys if key in e.directions]
    lost = [
        r.gradient is not None and r.random is not None and r.random > r.gradient + CLEARER * abs(r.margin or 0.0)
        for r in rows
    ]
    return _of_rows(DIRECTION, e, len(rows), lost)


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
    return REACH.absent(e, LATER) if rows is None else REACH.counted(e, [r.status == "unbroken" for r in rows])


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
    return sort.absent(e, LATER) if rows is None else sort.counted(e, [r.status == sign for r in rows], _asked(e))


def _against(e: Evidence, sort: Sort, name: str, why: str) -> MaskingCheck:
    """Samples on which another attack broke what the gradient left, or came clearly nearer."""
    if why:
        return sort.absent(e, why)
    rows = _rows(e, name)
    if rows is None:
        return sort.absent(e, LATER)
    found = []
    for row in rows:
        own, start = e.margin(row.key), e.answers[row.key].margin
        slack = CLEARER * abs(start or 0.0)
        nearer = own is not None and row.margin is not None and row.margin < own - slack
        found.append(row.status == "broken" or nearer)
    return sort.counted(e, found, _asked(e))


def _asked(e: Evidence) -> int:
    """Samples that the first trial judged: what broke there needs no second look, and counts as without a sign."""
    first = e.trial("first")
    return sum(key in first and first[key].status in ("broken", "unbroken") for key in e.keys)


def _rows(e: Evidence, name: str) -> list[TrialRow] | None:
    """What a trial said about its samples; None where some are missing."""
    found, needed = e.trial(name), e.needed(name)
    if any(key not in found for key in needed) or (name != "reach" and any(k not in e.trial("first") for k in e.keys)):
        return None
    return [found[key] for key in needed if found[key].status in ("broken", "unbroken")]


def _of_rows(sort: Sort, e: Evidence, n: int, signs: Sequence[bool]) -> MaskingCheck:
    return sort.absent(e, LATER) if n < len(e.keys) else sort.counted(e, signs)


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
