"""Schemas of tables: the grammar of relations, files, which rows are possible, and repair onto them."""

import contextlib
import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cases.random_tables import tables
from holdfast.core.errors import DataError
from holdfast.threats.tables import document, repairing
from holdfast.threats.tables.evaluating import truth
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.grammar import (
    Arithmetic,
    Comparison,
    Determines,
    Logic,
    Name,
    Negative,
    Not,
    Number,
    Text,
    names,
    parse,
)
from holdfast.threats.tables.schema import Schema
from holdfast.threats.tables.tabular import Tabular

NAN = math.nan
FEW = settings(max_examples=12)


def loan(**more):
    features = (
        Feature("age", "integer", low=17, high=90, immutable=True),
        Feature("job", "categorical", levels=("clerk", "sales", "?")),
        Feature("school", "categorical", levels=("10th", "BSc", "MSc")),
        Feature("years", "integer", low=1, high=16),
        Feature("rate", low=0, high=1, step=0.01, direction="up"),
        Feature("gain", low=0, high=1e5, scale=30.0),
        Feature("loss", low=0, high=1e5, missing=True),
        Feature("red", "one-hot", group="color"),
        Feature("blue", "one-hot", group="color"),
        Feature("green", "one-hot", group="color"),
        Feature("grade", "ordinal", levels=("-1", "0", "1"), direction="down"),
        Feature("owner", "binary", levels=("no", "yes")),
    )
    relations = (
        "school determines years",
        "not (gain > 0 and loss > 0)",
        "gain <= 1000 * age",
        "job == 'clerk' -> rate >= 0.5 or owner == 'yes'",
    )
    schema = Schema(features, relations, name="loan", label="risk", classes=("bad", "good"))
    return dataclasses.replace(schema.learned(ROWS), **more)


ROWS = torch.tensor(
    [
        [30, 1, 0, 6, 0.07, 10, 0, 1, 0, 0, 2, 1],
        [40, 0, 1, 13, 0.5, 0, 3, 0, 1, 0, 1, 0],
        [52, 2, 2, 14, 1.0, 0, NAN, 0, 0, 1, 0, 1],
    ],
    dtype=torch.float64,
)


# The grammar

NAMES = st.sampled_from(["a", "b2", "src_bytes", "x.y", "char ;`", "and", "Ünï"])
TEXTS = st.text(max_size=6).map(Text)
VALUES = st.recursive(
    st.one_of(NAMES.map(Name), st.floats(0, 1e300).map(Number), st.integers(0, 99).map(float).map(Number)),
    lambda inner: st.one_of(inner.map(Negative), st.builds(Arithmetic, st.sampled_from("+-*/"), inner, inner)),
    max_leaves=8,
)
SIGNS = st.sampled_from(["<", "<=", "==", "!=", ">=", ">"])
CONDITIONS = st.recursive(
    st.one_of(
        st.builds(Comparison, SIGNS, VALUES, VALUES),
        st.builds(Comparison, SIGNS, NAMES.map(Name), TEXTS),
        st.builds(Comparison, SIGNS, TEXTS, NAMES.map(Name)),
    ),
    lambda inner: st.one_of(inner.map(Not), st.builds(Logic, st.sampled_from(["and", "or", "->"]), inner, inner)),
    max_leaves=8,
)


@given(CONDITIONS)
def test_what_is_printed_is_read_again(node):
    assert parse(str(node)) == node


@given(st.lists(NAMES, min_size=2, max_size=4, unique=True))
def test_dependences_are_read_again(words):
    node = Determines(tuple(words[:-1]), words[-1])
    assert parse(str(node)) == node


@given(st.one_of(st.text(max_size=60), st.text("ab1.()<>=-+*/ \"'`,!&^and or not", max_size=60)))
@settings(max_examples=150)
def test_any_text_is_read_or_refused_in_one_way(text):
    with contextlib.suppress(DataError):
        node = parse(text)
        assert parse(str(node)) == node


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a<=b", "a <= b"),
        ("(a) < ((b))", "a < b"),
        ("a<1->b<2->c<3", "a < 1 -> b < 2 -> c < 3"),
        ("(a<1->b<2)->c<3", "(a < 1 -> b < 2) -> c < 3"),
        ("not a<b and c<d or e<f", "not a < b and c < d or e < f"),
        ("not (a<b and c<d)", "not (a < b and c < d)"),
        ("a-(b-c)*-d>=.5", "a - (b - c) * -d >= 0.5"),
        ('`a b`=="it\'s"', '`a b` == "it\'s"'),
    ],
)
def test_printing_uses_few_parentheses(text, shown):
    assert str(parse(text)) == shown


@pytest.mark.parametrize(
    ("text", "place", "why"),
    [
        ("a && b", "a ^&& b", "'&' means nothing"),
        ("a < b < c", "a < b ^< c", "chained"),
        ("a = 1", "a ^= 1", "written =="),
        ("__import__('os')", "__import__^('os')", "operator is missing"),
        ("a.b(1) < 2", "a.b^(1) < 2", "operator is missing"),
        ("[a < 1]", "^[a < 1]", "means nothing"),
        ("a < 1e999", "a < ^1e999", "too large"),
        ("a <", "a <^", "is missing"),
        ("a + 1", "^a + 1", "condition is missing"),
        ("(a < b", "(a < b^", "not closed"),
        ("a < 'x", "a < ^'x", "quote is not closed"),
        ("a < b determines c", "a ^< b determines c", "alone"),
        ("lambda: 1", "lambda^: 1", "means nothing"),
        ("", "^", "is missing"),
        ("a ** 2 < 3", "a *^* 2 < 3", "is missing"),
        ("1 + 'x' < a", "1 ^+ 'x' < a", "number"),
        ("not a", "^not a", "condition"),
        ("(" * 90 + "a", None, "around each other"),
        ("a + " * 300 + "1 < 2", None, "more than 400"),
        ("a < b" + " " * 5000, None, "characters"),
    ],
)
def test_anything_else_is_refused_at_its_place(text, place, why):
    with pytest.raises(DataError, match=why) as caught:
        parse(text)
    assert caught.value.code == "HF141"
    assert place is None or f"{place} (character" in str(caught.value)


def test_the_names_of_a_relation():
    assert names(parse("a + b < 2 * c -> not (`d e` == 'x' or b < 1)")) == ("a", "b", "c", "d e")


# Evaluation against Python's own arithmetic and three-valued logic


def told(node, row):
    """What a node says about a row of plain numbers: True, False, None where a missing value leaves it open."""
    if isinstance(node, Not):
        inner = told(node.of, row)
        return None if inner is None else not inner
    if isinstance(node, Logic):
        a, b = told(node.left, row), told(node.right, row)
        if node.word == "->":
            a, word = None if a is None else not a, "or"
        else:
            word = node.word
        strong = word == "or"
        return strong if strong in (a, b) else None if None in (a, b) else not strong
    a, b = number(node.left, row), number(node.right, row)
    if math.isnan(a) or math.isnan(b):
        return None
    return {"<": a < b, "<=": a <= b, "==": a == b, "!=": a != b, ">=": a >= b, ">": a > b}[node.sign]


def number(node, row):
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Name):
        return row[node.name]
    if isinstance(node, Negative):
        return -number(node.of, row)
    with np.errstate(all="ignore"):
        a, b = np.float64(number(node.left, row)), np.float64(number(node.right, row))
        return float({"+": a + b, "-": a - b, "*": a * b, "/": a / b}[node.sign])


SMALL = st.recursive(
    st.one_of(st.sampled_from("abc").map(Name), st.integers(0, 3).map(float).map(Number)),
    lambda inner: st.one_of(inner.map(Negative), st.builds(Arithmetic, st.sampled_from("+-*/"), inner, inner)),
    max_leaves=4,
)
RULES = st.recursive(
    st.builds(Comparison, SIGNS, SMALL, SMALL),
    lambda inner: st.one_of(inner.map(Not), st.builds(Logic, st.sampled_from(["and", "or", "->"]), inner, inner)),
    max_leaves=5,
)
CELLS = st.one_of(st.integers(-3, 3).map(float), st.just(NAN))


@given(RULES, st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6))
@settings(max_examples=60)
def test_a_batch_is_judged_as_python_judges_each_row(node, rows):
    columns = dict(zip("abc", torch.tensor(rows, dtype=torch.float64).unbind(1), strict=True))
    features = {name: Feature(name, low=-3, high=3) for name in "abc"}
    found = truth(node, columns, features)
    wanted = [told(node, dict(zip("abc", row, strict=True))) for row in rows]
    assert found.yes.tolist() == [value is True for value in wanted]
    assert found.no.tolist() == [value is False for value in wanted]


def test_levels_that_name_numbers_count_as_these_and_words_by_their_place():
    grade = Feature("grade", "ordinal", levels=("-1", "0", "5"))
    size = Feature("size", "ordinal", levels=("S", "M", "L"))
    schema = Schema((grade, size), ("grade >= 3 -> size >= 'M'", "'L' != size or grade < 5"))
    x = [[0, 0], [2, 0], [2, 1], [2, 2], [1, 2]]
    assert schema.validate(x).valid.tolist() == [True, False, True, False, True]


# Features and relations that cannot be


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"kind": "real"}, "needs a range"),
        ({"kind": "real", "low": 2, "high": 1}, "low <= high"),
        ({"kind": "number", "low": 0, "high": 1}, "its kind"),
        ({"kind": "integer", "low": 0, "high": 1, "step": 0.5}, "no possible step"),
        ({"kind": "real", "low": 0.1, "high": 0.2, "step": 1}, "no multiple"),
        ({"kind": "real", "low": 0, "high": NAN}, "no finite number"),
        ({"kind": "binary", "cost": -5}, "a cost not negative"),
        ({"kind": "categorical", "levels": ("x", "y"), "scale": -1}, "a scale is positive"),
        ({"kind": "ordinal", "levels": ("x", "y"), "scale": 0}, "a scale is positive"),
        ({"kind": "one-hot", "group": "g", "cost": -0.1}, "a cost not negative"),
        ({"kind": "integer", "low": 0, "high": 2.0**60}, "2\\*\\*53"),
        ({"kind": "real", "low": -1e308, "high": 1e308}, "finite width"),
        ({"kind": "real", "low": 0, "high": 1, "step": 1e-320}, "possible step"),
        ({"kind": "categorical"}, "no levels"),
        ({"kind": "categorical", "levels": ("a", "a")}, "twice"),
        ({"kind": "categorical", "levels": ("a", "b"), "direction": "up"}, "needs an order"),
        ({"kind": "binary", "levels": ("a",)}, "has 1 levels"),
        ({"kind": "one-hot"}, "group"),
        ({"kind": "one-hot", "group": "g", "missing": True}, "missing"),
        ({"kind": "real", "low": 0, "high": 1, "cost": -1}, "not negative"),
        ({"kind": "real", "low": 0, "high": 1, "scale": 0}, "positive"),
        ({"kind": "real", "low": 0, "high": 1, "immutable": "yes"}, "neither true"),
    ],
)
def test_contradictions_of_a_column_are_refused(values, why):
    with pytest.raises(DataError, match=why) as caught:
        Feature("x", **values)
    assert caught.value.code == "HF143"


def test_contradictions_between_columns_are_refused():
    a, lone = Feature("a", low=0, high=1), Feature("b", "one-hot", group="g")
    for features, more, why in (
        ((), {}, "none"),
        ((a, a), {}, "twice"),
        ((a,), {"label": "a"}, "label"),
        ((a, lone), {}, "single column"),
        ((lone, Feature("c", "one-hot", group="g", immutable=True)), {}, "in part"),
    ):
        with pytest.raises(DataError, match=why) as caught:
            Schema(features, **more)
        assert caught.value.code == "HF143"


@pytest.mark.parametrize(
    ("relation", "why"),
    [
        ("gian < 1", "did you mean gain"),
        ("job == 'clark'", 'did you mean "clerk"'),
        ("job < 'sales'", "no order"),
        ("job + 1 < 2", "words, not numbers"),
        ("1 < 2", "speaks of no column"),
        ("rate determines years", "real"),
    ],
)
def test_relations_that_do_not_fit_are_refused(relation, why):
    with pytest.raises(DataError, match=why) as caught:
        loan(relations=(relation,), pairs=())
    assert caught.value.code == "HF142"


def test_a_dependence_must_be_learned_and_true():
    schema = loan()
    with pytest.raises(DataError, match="learned"):
        dataclasses.replace(schema, pairs=()).validate(ROWS)
    other = ROWS.clone()
    other[1, 2] = 0
    with pytest.raises(DataError, match="10th with 6 and 13"):
        schema.learned(torch.cat([ROWS, other]))


# Which rows are possible


def test_steps_are_exact_where_decimals_are_not():
    rate = Feature("rate", low=0, high=1, step=0.01)
    hundredths = torch.tensor([float(f"{i / 100:.2f}") for i in range(101)], dtype=torch.float64)
    assert bool(rate.possible(hundredths).all())
    assert not bool(rate.possible(torch.nextafter(hundredths, torch.tensor(9.0).double())).any())
    assert torch.equal(rate.read(hundredths + 1e-13), hundredths)


def test_rows_and_reasons():
    schema = loan()
    assert schema.validate(ROWS).valid.all()
    assert schema.validate(ROWS).reasons == ((), (), ())
    bad = ROWS.clone()
    bad[0, 3], bad[0, 4], bad[0, 7] = 7, 0.061, 0
    bad[1, 0], bad[1, 4], bad[1, 5] = 41, 0.4, 5
    bad[2, 1], bad[2, 10] = NAN, 1
    found = schema.validate(bad, ROWS)
    assert not found.valid.any()
    assert found.reasons[0] == (
        "rate = 0.061 is no multiple of 0.01",
        "of the group color exactly one is 1, here none",
        "rate may only go up, here 0.07 -> 0.061",
        "school determines years does not hold: school = 10th, years = 7",
    )
    assert found.reasons[1] == (
        "age must not change, here 40 -> 41",
        "rate may only go up, here 0.5 -> 0.4",
        "not (gain > 0 and loss > 0) does not hold: gain = 5, loss = 3",
        'job == "clerk" -> rate >= 0.5 or owner == "yes" does not hold: job = clerk, rate = 0.4, owner = no',
    )
    assert found.reasons[2] == ("job is missing", "grade may only go down, here -1 -> 0")
    assert schema.validate(bad).moves.all()


def test_a_combination_that_no_row_showed_is_not_possible():
    schema = Schema(
        (Feature("a", "integer", low=0, high=3), Feature("b", "integer", low=0, high=9)), ("a determines b",)
    ).learned([[0, 5], [1, 6]])
    assert schema.validate([[0, 5], [1, 6], [0, 6], [2, 5]]).valid.tolist() == [True, True, False, False]


def test_combinations_of_several_columns_are_looked_up_as_in_a_dictionary():
    wide = tuple(Feature(name, "integer", low=0, high=9, missing=True) for name in "abc")
    rows = [[i % 3, i % 2, (i % 6) * 7 % 9] for i in range(6)]
    schema = Schema(wide, ("b, a determines c",)).learned(rows)
    known = {(b, a): c for a, b, c in rows}
    asked = [[a, b, c] for a in (0, 1, 2, 3, NAN) for b in (0, 1, 4, NAN) for c in (0, 5, 7, NAN)]
    wanted = [NAN in row or known.get((row[1], row[0])) == row[2] for row in asked]
    assert schema.validate(asked).valid.tolist() == wanted


def test_rows_of_another_shape_are_refused():
    with pytest.raises(DataError) as caught:
        loan().validate(ROWS[:, :5])
    assert caught.value.code == "HF148"


# Repair


@given(tables())
@FEW
def test_every_repaired_row_is_possible_and_possible_rows_stay(found):
    schema, x, made = found
    if not len(made):
        return
    x0 = made[torch.arange(len(x)) % len(made)]
    repaired = schema.repair(x, x0)
    assert repaired.done.all(), "the original is possible, so some row is"
    assert schema.validate(repaired.rows, x0).valid.all()
    again = schema.repair(repaired.rows, x0)
    assert torch.equal(again.rows.nan_to_num(-99), repaired.rows.nan_to_num(-99))
    assert torch.equal(schema.repair(made, made).rows.nan_to_num(-99), made.nan_to_num(-99))


def test_how_many_rows_are_mended_at_once_changes_none(monkeypatch):
    """Integers up to 40, tried at each of their levels, and an edge between two columns: 600 rows, most broken."""
    schema = Schema((Feature("n", "integer", low=0, high=40), Feature("r", low=0, high=100)), ("n >= r / 2", "n != 7"))
    x = torch.stack([torch.arange(600.0) % 41, torch.arange(600.0) % 97], 1).double()
    origin = torch.tensor([[30.0, 3.0]]).double().expand(600, -1)
    whole = schema.repair(x, origin)
    assert not schema.validate(x, origin).valid.all()
    assert whole.done.all()
    assert int((whole.rows != x).any(1).sum()) > repairing.TOGETHER
    monkeypatch.setattr(repairing, "TOGETHER", 1)
    assert torch.equal(schema.repair(x, origin).rows, whole.rows)


@given(tables())
@FEW
def test_from_an_impossible_original_repair_finds_a_possible_row_or_says_that_it_did_not(found):
    schema, x, _ = found
    repaired = schema.repair(x, x)
    good = schema.validate(repaired.rows, x).valid
    assert bool((good | ~repaired.done).all())
    for done, reasons, row, origin in zip(repaired.done, repaired.reasons, repaired.rows, x, strict=True):
        assert bool(done) == (not reasons)
        assert bool(done) or torch.equal(row.nan_to_num(-99), origin.nan_to_num(-99))


def test_repair_takes_the_nearest_code_of_each_column():
    schema = loan(relations=(), pairs=())
    x = torch.tensor([[99, 1.4, -3, 2.5, 0.012, -1, 4.25, 0.2, 0.9, 0.8, 9, 0.6]], dtype=torch.float64)
    wanted = [30, 1, 0, 2, 0.07, 0, 4.25, 0, 1, 0, 2, 1]
    assert schema.repair(x, ROWS[:1]).rows.tolist() == [wanted]


@pytest.mark.parametrize(
    ("relation", "x", "wanted"),
    [
        ("n <= r", [9, 4.5, 0], [4, 4.5, 0]),  # the integer falls to the next whole number below
        ("r >= 2 * n", [3, 5.95, 0], [3, 6, 0]),  # the real number rises to the edge
        ("n + 3 < r", [2, 5, 0], [2, 5, 0]),  # strictly more is a hair more
        ("n != 7 or r < 1", [7, 5, 0], [6, 5, 0]),
        ("n == 4 -> s == 'l'", [4, 5, 0], [3, 5, 0]),
        ("n * r <= 12", [4, 8, 0], [1, 8, 0]),  # r = 3 would do as well, and is farther in standardized units
    ],
)
def test_relations_are_mended_by_the_least_change_of_one_column(relation, x, wanted):
    schema = Schema(
        (
            Feature("n", "integer", low=0, high=100, scale=10),
            Feature("r", low=0, high=100, scale=1),
            Feature("s", "categorical", levels=("s", "l")),
        ),
        (relation,),
    )
    found = schema.repair([x], [[0, 50, 1]])
    assert found.done.all()
    assert found.rows[0].tolist() == pytest.approx(wanted, rel=1e-8)
    assert schema.validate(found.rows).valid.all()


def test_what_no_single_column_mends_is_taken_back_and_the_rest_stays():
    names = ("p", "q", "r", "s", "t")
    rule = ("p == q and r == s", "t <= 9")
    schema = Schema(tuple(Feature(name, "integer", low=0, high=500) for name in names), rule)
    found = schema.repair([[1, 2, 3, 4, 7], [1, 2, 3, 3, 300]], [[5, 5, 6, 6, 8]] * 2)
    assert found.done.all()
    assert found.rows.tolist() == [[5, 5, 6, 6, 7], [2, 2, 3, 3, 9]]


def test_what_is_determined_follows():
    x = ROWS.clone()
    x[0, 2] = 2.2
    assert loan().repair(x, ROWS).rows[0].tolist() == [30, 1, 2, 14, 0.07, 10, 0, 1, 0, 0, 2, 1]


# Files


@pytest.mark.parametrize("schema", [loan(), Schema((Feature('q"\n', low=-0.25, high=1e300),))], ids=repr)
def test_a_schema_is_read_as_it_was_written(schema, tmp_path):
    assert Schema.from_toml(schema.to_toml()) == schema
    schema.write(tmp_path / "s.toml")
    assert Schema.read(tmp_path / "s.toml") == schema


@given(tables())
@settings(max_examples=20)
def test_schemas_of_any_kind_are_read_as_they_were_written(found):
    assert Schema.from_toml(found[0].to_toml()) == found[0]


@pytest.mark.parametrize(
    ("change", "code", "line", "why"),
    [
        (("immutable = true", "imutable = true"), "HF144", 17, "did you mean immutable"),
        (("low = 17", 'low = "17"'), "HF144", 15, "not a number"),
        (("high = 90", "high = 9"), "HF143", 12, "low <= high"),
        (("schema = 1", "schema = 2"), "HF144", 1, "reads schema = 1"),
        (('name = "loan"', "name = "), "HF144", 2, "Invalid value"),
        (('kind = "integer"\nlow = 17', 'kind = "binary"\nlow = 17'), "HF144", 15, "have no low"),
        (('    ["10th", 6],', '    ["11th", 6],'), "HF144", None, "not values of the columns"),
        (('    ["10th", 6],', '    ["10th"],'), "HF144", None, "not one for each of 2"),
        (("gain <= 1000 * age", "gain <= 1000 age"), "HF141", None, "^age"),
        (("classes = [", "classes = [1, "), "HF144", 4, "not all texts"),
    ],
)
def test_mistakes_in_a_file_are_named_with_their_line(change, code, line, why):
    text = loan().to_toml()
    assert change[0] in text
    with pytest.raises(DataError) as caught:
        Schema.from_toml(text.replace(*change, 1), "loan.toml")
    assert caught.value.code == code
    assert why in str(caught.value)
    if line is not None:
        assert f"line {line}" in str(caught.value)


@given(st.text(max_size=80))
@FEW
def test_any_text_is_a_schema_or_refused(text):
    with pytest.raises(DataError):
        Schema.from_toml(text)


HEAD = 'schema = 1\nrelations = ["a determines b"]\n'
TWO = "".join(f'[[features]]\nname = "{name}"\nkind = "integer"\nlow = 0\nhigh = 9\n' for name in "ab")


@pytest.mark.parametrize(
    ("text", "code", "why"),
    [
        ("x = " + "[" * 100_000, "HF144", "recursion"),
        (f"schema = 1\n{TWO}cost = {'9' * 400}", "HF144", "too large"),
        (f"schema = 1\n{TWO}cost = 0x{'f' * 6000}", "HF144", "too large"),
        (f"schema = 1\n{TWO}cost = {'9' * 5000}", "HF144", "Exceeds"),
        (f"schema = 0x{'f' * 6000}", "HF144", "too large"),
        (HEAD + TWO + '[[pairs]]\nrelation = "a determines b"\nvalues = [[nan, 1]]', "HF144", "not values"),
        (HEAD + TWO + '[[pairs]]\nrelation = "a determines b"\nvalues = [[true, 1]]', "HF144", "not values"),
        (HEAD + TWO + '[[pairs]]\nrelation = "a determines b"\nvalues = [[1, 2], [1, 3]]', "HF142", "twice"),
        (HEAD + TWO + '[[pairs]]\nrelation = "a determines b"\nvalues = [[1, 2]]\n' * 2, "HF142", "given twice"),
        ('classes = ["x", "y", "x"]\n' + HEAD + TWO, "HF143", "'x' stands twice"),
        (HEAD + TWO.replace("high = 9", "low = 0"), "HF144", "overwrite"),
        ('schema = 1\n[[features]]\nname = "a\\u001b"', "HF143", r"\\x1b"),
        (f'schema = 1\n[[features]]\nname = "{"x" * 90_000}"', "HF143", "xxx"),
    ],
    ids=range(13),
)
def test_a_hostile_schema_is_one_clear_line(text, code, why):
    with pytest.raises(DataError, match=why) as caught:
        Schema.from_toml(text)
    assert caught.value.code == code
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 6000


def test_the_lines_of_a_schema_without_mistakes_are_not_looked_for(monkeypatch):
    """Each of 3,000 columns once went through the whole file: 160 s."""
    monkeypatch.setattr(document._Place, "line", lambda *_: pytest.fail("no mistake, no line"))
    assert Schema.from_toml(loan(relations=(), pairs=()).to_toml()) == loan(relations=(), pairs=())


def test_a_number_that_is_no_float_is_no_number_of_a_column():
    with pytest.raises(DataError, match="HF143 .*too large"):
        Feature("a", low=0, high=10**400)


def test_what_a_model_is_shown_of_a_row_does_not_hang_on_other_rows():
    schema = Schema(
        (
            Feature("a", "integer", low=0, high=9, missing=True),
            Feature("b", "integer", low=0, high=9),
            Feature("c", "ordinal", levels=("0.5", "1")),
            Feature("d", "categorical", levels=("x", "y")),
        )
    )
    space, rows = Tabular(schema), [[1, 2, 1, 0], [NAN, 3, 0, 1]]
    for batch in (rows, rows[:1], rows[1:]):
        assert [str(c.dtype) for c in space.decode(batch).values()] == ["float64", "int64", "float64", "object"]
    assert space.decode([[1, 2, 1, 0.7]])["d"].tolist() == ["y"]
    for code in (-1, 2, math.inf):
        with pytest.raises(DataError, match="HF150 .*'d'"):
            space.decode([[1, 2, 1, code]])


def test_files_that_are_none(tmp_path):
    (tmp_path / "marked.toml").write_text("\ufeff" + loan().to_toml(), encoding="utf-8")
    assert Schema.read(tmp_path / "marked.toml") == loan()
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name in ("absent.toml", "binary.toml"):
        with pytest.raises(DataError, match=name) as caught:
            Schema.read(tmp_path / name)
        assert caught.value.code == "HF144"
