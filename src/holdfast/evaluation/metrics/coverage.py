"""What was not tested, told from the catalog: norms, knowledge, attacks that exist and did not run."""

from collections.abc import Sequence

from holdfast.core.lazy import catalog, snake
from holdfast.evaluation.summary import NORMS, ThreatFacts
from holdfast.threats.tables.threat import Table

WORDS = {
    "linf": "small changes everywhere (linf)",
    "l2": "changes of small Euclidean length (l2)",
    "l1": "sparse changes (l1)",
    "l0": "few coordinates changed freely (l0)",
}
KNOWLEDGE = {
    "gradients": "an attacker who sees gradients",
    "scores": "an attacker who sees only scores",
    "labels": "an attacker who sees only labels",
}
SHOWN = 8  # names of attacks at most
UNNORMED = (
    "changes that no norm describes: rotation, blur, weather, patches, physical objects (holdfast corrupt, hf.spatial "
    "and hf.crafted try some)"
)
TREES = "made of trees: hf.exact_distance measures it exactly"
EXACT = "the nearest other decision of these trees, which hf.exact_distance finds exactly where attacks search"
UNWRITTEN = "rows that the schema forbids: it is as right as whoever wrote it"
ALWAYS = (
    "poisoned training data",
    "model extraction and privacy",
    "an attacker who designs an attack for this model by hand",
)


def not_tested(threats: Sequence[ThreatFacts], transferred: bool, trees: bool = False) -> tuple[str, ...]:
    """One line each, the nearest first.

    Args:
        threats: What was.
        transferred: Whether inputs made for another model were tried.
        trees: Whether the model is made of trees that can be read.
    """
    norms = {t.literal.partition(":")[0] for t in threats}
    knowledge = {t.knowledge for t in threats}
    ran = {a.name for t in threats for a in t.attacks if a.attempted}
    known = [snake(name) for name in catalog("holdfast.attacks", "evasion")]
    left = [name for name in known if name not in ran]
    which = ", ".join(left) if len(left) <= SHOWN else f"{len(left)} of {len(known)}, see holdfast list attacks"
    rows = norms == {Table.norm}  # what is written for balls does not run on tables, what is asks for scores alone
    blind = not any(a.gradients for t in threats for a in t.attacks)  # the model showed none: only scores were seen
    knowledge |= {"scores"} if "gradients" in knowledge and (rows or blind) else set()
    lines = [EXACT] if trees and not rows else []
    lines += [WORDS[norm] for norm in NORMS if norm not in norms and not rows]
    lines += [words for level, words in KNOWLEDGE.items() if level not in knowledge]
    lines += [f"attacks of the catalog that did not run: {which}"] if left and not rows else []
    lines += [] if transferred else ["adversarial inputs made on another model (transfer)"]
    return (*lines, UNWRITTEN if rows else UNNORMED, *ALWAYS)
