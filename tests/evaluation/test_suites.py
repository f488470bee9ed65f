import pytest

from holdfast.attacks.evasion.pgd import Pgd
from holdfast.core.errors import ParameterError, UsageError
from holdfast.evaluation.plan import families, radii, smaller
from holdfast.evaluation.suites import Suite, describe, resolve
from holdfast.threats.literals import parse


def test_names_and_texts():
    assert resolve("quick").name == "quick"
    assert len(resolve("standard").attacks) >= 1
    assert resolve("pgd").attacks == (Pgd(),)
    assert resolve("pgd(steps=10, step=1/8) + pgd(momentum=1.0, random_start=False)").attacks == (
        Pgd(steps=10, step=0.125),
        Pgd(momentum=1.0, random_start=False),
    )


def test_attacks_and_lists():
    assert resolve(Pgd(steps=3)).attacks == (Pgd(steps=3),)
    assert resolve([Pgd(), Pgd(steps=3)]).name == "pgd+pgd(steps=3)"
    suite = Suite("mine", (Pgd(),))
    assert resolve(suite) is suite
    assert resolve(describe(Pgd(steps=3, step=0.5))).attacks == (Pgd(steps=3, step=0.5),)


UNREADABLE = (
    *("", "pgd(", "pgd(10)", "pgd+", "pgd; pgd", "pgd.steps", "lambda: 0", "(" * 500),
    *("pgd(steps=print(1))", "__import__('os')", "pgd(**{})", "pgd(steps=[x])", "pgd(steps=1/0)", "pgd(stepz=3)"),
)


@pytest.mark.parametrize("text", UNREADABLE)
def test_texts_that_cannot_be_read_are_refused(text):
    with pytest.raises(UsageError, match="HF812"):
        resolve(text)


def test_unknown_names_get_a_suggestion():
    with pytest.raises(UsageError, match="HF812.*'frugal' is a suite of its own"):
        resolve("pgd+frugal")
    with pytest.raises(UsageError, match="HF811.*did you mean pgd"):
        resolve("pgdd")
    with pytest.raises(UsageError, match="HF811"):
        resolve("standart")
    with pytest.raises(UsageError, match="HF812"):
        resolve([])


def test_values_outside_their_range_are_refused_by_the_attack():
    with pytest.raises(ParameterError, match="'steps' parameter of Pgd"):
        resolve("pgd(steps=0)")


def test_only_what_serves_the_threat_runs():
    with pytest.raises(UsageError, match="HF810"):
        resolve("pgd").serving(parse("l2:inf"))
    with pytest.raises(UsageError, match="HF810"):
        resolve("pgd").serving(parse("l2:1,knowledge=scores"))
    assert resolve("pgd").serving(parse("l2:1")).attacks == (Pgd(),)


def test_families():
    threats = [parse(t) for t in ("linf:8/255", "l2:1", "linf:2/255", "linf:4/255,knowledge=scores", "linf:2/255")]
    assert [t.literal for t in families(threats)] == ["linf:2/255", "linf:8/255", "l2:1", "linf:4/255,knowledge=scores"]
    assert [t.literal for t in smaller(threats[0], threats)] == ["linf:2/255"]
    assert smaller(parse("l2:inf"), [parse("l2:1"), parse("l2:inf")]) == []


def test_radii_of_the_curve():
    """Fractions stay what is meant, so that a threat of that radius is the same question; own threats are left out."""
    threat = parse("linf:8/255")
    assert [parse(f"linf:{k}/255").radius for k in (4, 2, 1, 6)] == radii(threat, [threat])
    assert radii(threat, [threat, parse("linf:4/255")]) == [parse(f"linf:{k}/255").radius for k in (2, 1, 6)]
    assert radii(parse("l0:5"), []) == [2.0, 1.0, 3.0]
    assert radii(parse("l2:inf"), []) == []
    assert radii(parse("linf:0.1"), []) == [0.05, 0.025, 0.0125, 0.075]
