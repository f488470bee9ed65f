"""What model cards claim, read from their heads, and held beside what was measured."""

import pytest

from holdfast.core.errors import UsageError
from holdfast.evaluation.claims import Claim, read, verified
from holdfast.evaluation.statistics import rate

CARD = """\
---
license: mit
model-index:
- name: net
  results:
  - dataset: {name: CIFAR-10, type: cifar10}
    metrics:
    - {type: accuracy, value: 94.2}
    - {type: robust_accuracy, value: 0.56, args: {norm: Linf, eps: 8/255}}
    - {type: adversarial accuracy, value: 30, args: {threat: "l2:0.5"}}
    - {type: robust_accuracy, value: 0.7}
    - {type: robust_accuracy, value: 0.7, args: {norm: lif, eps: 1}}
    - {type: f1, value: 0.9}
    - {type: accuracy, value: .nan}
    - {type: accuracy, value: yes}
    - {type: accuracy, value: 940}
    - nonsense
- name: other
  results:
  - metrics: [{type: accuracy, value: 0.5}]
---
# A card
"""


def told(tmp_path, text):
    path = tmp_path / "card.md"
    path.write_text(text)
    return read(path)


@pytest.mark.parametrize("change", [lambda t: t, lambda t: t.replace("\n", "\r\n"), lambda t: "\ufeff" + t])
def test_numbers_of_a_card_that_can_be_measured(tmp_path, change):
    path = tmp_path / "card.md"
    path.write_bytes(change(CARD).encode())
    found = [(claim.model, claim.data, claim.threat, claim.value) for claim in read(path)]
    assert found == [
        ("net", ("CIFAR-10", "cifar10"), "", 0.942),
        ("net", ("CIFAR-10", "cifar10"), "linf:8/255", 0.56),
        ("net", ("CIFAR-10", "cifar10"), "l2:1/2", 0.3),
        ("other", (), "", 0.5),
    ]


def test_what_is_exported_is_read(tmp_path):
    from holdfast.report.card import render
    from report import fixture

    summary = fixture.summary()
    claims = told(tmp_path, render(summary))
    rates = summary.rates
    assert [(c.threat, c.value) for c in claims] == [
        ("", rates.clean_accuracy.point),
        (fixture.LITERAL, rates.empirical_robust_accuracy.point),
    ]
    found = verified(claims, summary.model.name, summary.data.name, fixture.LITERAL, rates.empirical_robust_accuracy)
    assert found.state == "agrees"


@pytest.mark.parametrize(
    "text", ["", "# no head\n", "---\n[1, 2\n---\n", "---\n- a\n---\n", "---\na: " + "x" * (1 << 20)]
)
def test_no_card_is_one_line(tmp_path, text):
    with pytest.raises(UsageError, match="HF837"):
        told(tmp_path, text)


def test_a_missing_card_is_one_line(tmp_path):
    with pytest.raises(UsageError, match="HF837"):
        read(tmp_path / "none.md")


@pytest.mark.parametrize("value", ["!!bool x", "!!int ''", "!!timestamp x", "!!float ''", "2020-13-45"])
def test_a_value_that_is_not_of_its_tag_is_one_line(tmp_path, value):
    with pytest.raises(UsageError, match="HF837"):
        told(tmp_path, f"---\nmodel-index: {value}\n---\n")


@pytest.mark.parametrize("value", ["1" + "0" * 400, ".nan", ".inf", "-1", "100.1", "true", "'0.5'", "[0.5]"])
def test_a_number_that_is_no_share_claims_nothing(tmp_path, value):
    index = f"- name: a\n  results:\n  - metrics:\n    - {{type: accuracy, value: {value}}}\n"
    assert told(tmp_path, f"---\nmodel-index:\n{index}---\n") == ()


def test_a_name_of_nested_aliases_is_not_written_out(tmp_path):
    nested = "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 6))
    index = "- name: *a5\n  results:\n  - metrics:\n    - {type: accuracy, value: 0.5}\n    - {type: *a5, value: 0.5}\n"
    (claim,) = told(tmp_path, f"---\n{nested}model-index:\n{index}---\n")
    assert (claim.model, claim.value) == ("", 0.5)


def test_a_name_of_more_digits_than_python_writes_is_none(tmp_path):
    index = f"- name: 0x{'f' * 5000}\n  results:\n  - metrics:\n    - {{type: accuracy, value: 0.5}}\n"
    (claim,) = told(tmp_path, f"---\nmodel-index:\n{index}---\n")
    assert claim.model == ""


@pytest.mark.parametrize("index", ["", "model-index: 3", "model-index: [{name: a}]", "model-index: [{results: [3]}]"])
def test_a_head_without_numbers_claims_nothing(tmp_path, index):
    assert told(tmp_path, f"---\nlicense: mit\n{index}\n---\n") == ()


@pytest.mark.parametrize(("value", "state"), [(0.93, "refuted"), (0.5, "agrees"), (0.1, "lower")])
def test_a_claim_is_held_against_the_interval(value, state):
    measured = rate(30, 60, "samples")
    claim = Claim(card="c", model="net", data=("CIFAR-10", "cifar10"), threat="linf:1/10", value=value)
    assert verified((claim,), "net", "cifar10", "linf:1/10", measured).state == state
    for model, data, threat in (
        ("net", "digits", "linf:1/10"),
        ("ten", "cifar10", "linf:1/10"),
        ("net", "cifar10", ""),
    ):
        assert verified((claim,), model, data, threat, measured) is None
