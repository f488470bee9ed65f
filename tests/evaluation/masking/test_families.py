"""A few of the models that `make masking` judges, and the table it prints; the whole table is slow."""

import pathlib
import sys

import pytest

from evaluation.masking.families import HONEST, case
from evaluation.masking.masks import MASKS
from holdfast.attacks.evasion.pgd import Pgd
from holdfast.evaluation.audit import audit

sys.path.append(str(pathlib.Path(__file__).parents[3] / "tools"))

import masking_table  # noqa: E402


def judged(number, masked, folder):
    made = case(number, masked)
    return audit(made.model, made.data, threat=made.threat, suite=Pgd(steps=4), out=folder, limit=80).summary.masking


@pytest.mark.parametrize("number", [1, 4, 6, 10])
def test_a_masked_model_is_suspect(tmp_path, number):
    assert judged(number, True, tmp_path / "a").state == "suspect"


@pytest.mark.parametrize("number", [2, 4, 14, 18])
def test_an_honest_model_is_not(tmp_path, number):
    assert judged(number, False, tmp_path / "a").state == "no sign of masking"


def test_a_case_is_the_same_whenever_it_is_made():
    one, two = (case(4, True) for _ in range(2))
    assert (one.name, one.threat) == (two.name, two.threat)
    assert one.name == "quantized-4"
    assert (one.model.scores(one.data.x) == two.model.scores(two.data.x)).all()


def test_each_half_has_every_kind_and_the_halves_share_no_model():
    assert len(MASKS) >= 16
    for half in masking_table.HALVES.values():
        assert len(half[0]) >= 24
        assert len(half[1]) >= 24
        assert {n % len(MASKS) for n in half[0]} == set(range(len(MASKS)))
        assert {n % len(HONEST) for n in half[1]} == set(range(len(HONEST)))
    tuned, unseen = masking_table.HALVES["tuned"], masking_table.HALVES["unseen"]
    assert not set(tuned[0]) & set(unseen[0])
    assert not set(tuned[1]) & set(unseen[1])


def row(masked, state, fired=(), hidden=0.0):
    counts = {name: [5, 20, 2, "suspect" if name in fired else "passed"] for name in ("slope", "reach")}
    return {
        "kind": "cut" if masked else "linear",
        "masked": masked,
        "state": state,
        "counts": counts,
        "hidden": hidden,
        "seconds": [1.0, 4.0],
    }


def test_the_table_counts_misses_and_alarms():
    rows = [row(True, "suspect", ("slope",)), row(True, "no sign of masking", hidden=0.2), row(True, "not checked")]
    rows += [row(False, "no sign of masking")] * 3 + [row(False, "suspect", ("reach",))]
    told = masking_table.table(rows)
    assert "missed masks:  2 of 3 (66.7 %" in told
    assert "1 of 1 (100.0 %" in told
    assert "false alarms:  1 of 4 (25.0 %" in told
    assert "slope                         1          0      1" in told
    assert "25.0 % of the seconds" in told


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_misses_and_false_alarms_on_the_unseen_half():
    masked, honest = masking_table.HALVES["unseen"]
    rows = masking_table.results(masked, True, "quick") + masking_table.results(honest, False, "quick")
    print(masking_table.table(rows))
    assert sum(r["state"] != "suspect" for r in rows if r["masked"]) <= 0.1 * len(masked)
    assert sum(r["state"] == "suspect" for r in rows if not r["masked"]) <= 0.1 * len(honest)
