import dataclasses

import pytest

from evaluation.documents import SUMMARY, THREAT
from holdfast.evaluation.metrics.findings import Hit, findings
from holdfast.evaluation.statistics import rate
from holdfast.evaluation.summary import ClassFacts, Confusion, CurvePoint, Rates, Transfer
from holdfast.evaluation.verdict import percent, verdict


def rates(clean, robust, n=200):
    return Rates(clean_accuracy=rate(clean, n, "samples"), empirical_robust_accuracy=rate(robust, n, "samples"))


def test_the_sentence():
    found = verdict(rates(195, 101), [THREAT], "", [])
    assert found.state == "measured"
    assert found.text == (
        "101 of 200 samples (50.5 %, 95 % interval 43.4 to 57.6 %) were not broken under linf:8/255 by these attacks "
        "within these budgets (pgd); clean accuracy is 97.5 %. A stronger attack can only lower this: it is an upper "
        "bound, and the interval is a sampling interval of that bound."
    )


@pytest.mark.parametrize("robust", [0, 1, 199, 200])
def test_it_never_claims_robustness(robust):
    text = verdict(rates(200, robust), [THREAT], "", []).text
    assert "by these attacks within these budgets" in text
    assert "upper bound" in text
    assert not {"safe", "secure", "guaranteed", "proven"} & set(text.lower().split())


def test_partial_doubtful_and_empty():
    assert verdict(rates(195, 101), [THREAT], "interrupted", ["x"]).state == "partial"
    assert verdict(rates(195, 101), [THREAT], "interrupted", []).text.startswith("Not finished (interrupted)")
    doubtful = verdict(rates(195, 101), [THREAT], "", ["3 of 5 gradients were zero"])
    assert doubtful.state == "doubtful"
    assert doubtful.text.endswith("Doubtful: 3 of 5 gradients were zero.")
    assert verdict(Rates(clean_accuracy=None, empirical_robust_accuracy=None), [THREAT], "", []).state == "empty"
    assert verdict(rates(0, 0), [THREAT], "", []).state == "empty"


def test_rounding_never_reaches_zero_or_hundred():
    assert [percent(v) for v in (0.0, 0.0001, 0.505, 0.9999, 1.0)] == ["0.0", "under 0.1", "50.5", "over 99.9", "100.0"]


def attack(**more):
    return dataclasses.replace(THREAT.attacks[0], **more)


def threat(**more):
    quiet = {
        "success_rate": rate(0, 100, "right"),
        "curve": (),
        "per_class": (),
        "confusions": (),
        "control": rate(0, 100, "right"),
    }
    return dataclasses.replace(THREAT, **{**quiet, "empirical_robust_accuracy": rate(50, 100, "samples"), **more})


def classes(*robust):
    """Classes with 25 samples each, so many of them not broken."""
    label, whole = "label", rate(25, 25, "label")
    return tuple(
        ClassFacts(label=k, name=f"c{k}", clean=whole, robust=rate(r, 25, label)) for k, r in enumerate(robust)
    )


def points(*pairs):
    return tuple(CurvePoint(radius=radius, rate=rate(k, 100, "samples")) for radius, k in pairs)


LOUD = {
    "many_break": threat(success_rate=rate(60, 100, "right")),
    "noise_breaks": threat(control=rate(30, 100, "right")),
    "useless_gradients": threat(attacks=(attack(zero_gradients=90, nonfinite_gradients=5, gradients=100),)),
    "weak_class": threat(per_class=classes(16, 16, 16, 0)),
    "small_change": threat(
        success_rate=rate(10, 100, "right"), curve=points((0.0, 100), (0.25, 95), (0.5, 93), (1.0, 90))
    ),
    "one_way": threat(
        per_class=classes(16, 16, 16),
        confusions=(Confusion(source=1, into=2, count=8), Confusion(source=2, into=1, count=4)),
    ),
}


@pytest.mark.parametrize("rule", LOUD)
def test_each_rule_fires_alone_on_its_numbers(rule):
    found = findings("line", [LOUD[rule]], (), {})
    assert len(found) == 1
    assert found[0].text
    assert found[0].next
    assert found[0].rate.n > 0


def test_nothing_fires_on_quiet_numbers():
    assert findings("line", [threat()], (), {}) == ()


def test_at_most_five_worst_first_with_ids_of_their_own():
    everything = findings("line", list(LOUD.values()), (), {})
    assert len(everything) == 5
    assert len({f.id for f in everything}) == 5
    assert everything[0].title == "Gradients are hidden"


def test_ids_survive_other_numbers_and_training_but_not_another_threat():
    def first(t, lineage="line"):
        return findings(lineage, [t], (), {})[0].id

    base = threat(success_rate=rate(60, 100, "right"))
    assert first(base) == first(threat(success_rate=rate(70, 100, "right")))
    assert first(base) != first(dataclasses.replace(base, literal="l2:1"))
    assert first(base) != first(base, "another")


def test_samples_of_a_finding_are_the_smallest_changes_of_its_slice():
    hits = {THREAT.literal: [Hit(7, 0.3, 1, 2), Hit(8, 0.1, 1, 2), Hit(9, 0.2, 1, 0), Hit(5, 0.2, 2, 1)]}
    assert findings("line", [LOUD["many_break"]], (), hits)[0].samples == (8, 5, 9, 7)
    assert findings("line", [LOUD["one_way"]], (), hits)[0].samples == (8, 7)


def test_transfer_is_a_finding():
    moved = Transfer(model="other", threat="linf:8/255", rate=rate(30, 50, "broken"))
    assert findings("line", [], (moved,), {})[0].title == "Attacks carry over"
    assert findings("line", [], (Transfer(model="o", threat="t", rate=rate(0, 50, "broken")),), {}) == ()


def test_the_fixture_document_agrees_with_itself():
    assert sum(SUMMARY.coverage.statuses.values()) == SUMMARY.data.n


def test_attacks_that_did_not_run_are_named_where_they_are_few(monkeypatch):
    from holdfast.evaluation.metrics import coverage

    def told(names):
        monkeypatch.setattr(coverage, "catalog", lambda *where: names)
        return [line for line in coverage.not_tested([], transferred=True) if "did not run" in line]

    assert told(["Pgd", "FabT"]) == ["attacks of the catalog that did not run: pgd, fab_t"]
    assert told([f"A{i}" for i in range(9)]) == [
        "attacks of the catalog that did not run: 9 of 9, see holdfast list attacks"
    ]
    assert told([]) == []
