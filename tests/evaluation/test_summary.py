import copy
import dataclasses
import json
import pathlib
import typing

import pytest

from evaluation.documents import SUMMARY
from holdfast.core.errors import IntegrityError
from holdfast.evaluation import summary
from holdfast.evaluation.document import dump, schema, to_json
from holdfast.evaluation.summary import Confusion, Summary, read

PUBLISHED = pathlib.Path(summary.__file__).parent / "schema" / "summary-1.json"


def test_the_published_schema_is_the_generated_one():
    """After a change of the records: write the file anew from `schema`, and raise SCHEMA_VERSION where needed."""
    assert json.loads(PUBLISHED.read_text()) == schema(Summary)


def test_a_document_fits_the_schema():
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(schema(Summary))
    jsonschema.validate(dump(SUMMARY), schema(Summary))


def test_there_and_back():
    assert read(to_json(SUMMARY)) == SUMMARY
    assert read(to_json(SUMMARY).encode()) == SUMMARY
    assert read(dump(SUMMARY)) == SUMMARY


def test_the_schema_id_comes_first_and_confusions_are_named_in_plain_words():
    document = json.loads(to_json(SUMMARY))
    assert next(iter(document)) == "schema"
    assert document["threats"][0]["confusions"] == [{"from": 1, "to": 2, "count": 1}]


def test_a_newer_major_version_is_refused_and_a_newer_minor_is_read():
    document = dump(SUMMARY)
    with pytest.raises(IntegrityError, match="HF403"):
        read({**document, "schema_version": "2.0.0"})
    later = read({**document, "schema_version": "1.99.0", "something_new": {"a": 1}})
    assert later.rates == SUMMARY.rates


def test_documents_of_older_minor_versions_stay_readable():
    """A field that an early document does not have takes its default."""
    for stored in sorted((pathlib.Path(__file__).parent / "stored").glob("summary-*.json")):
        assert read(stored.read_bytes()).verdict.text


@pytest.mark.parametrize("lost", ["k", "n", "point", "low", "high", "denominator"])
def test_a_share_without_its_parts_cannot_be_read(lost):
    document = copy.deepcopy(dump(SUMMARY))
    del document["rates"]["clean_accuracy"][lost]
    with pytest.raises(IntegrityError, match="HF404"):
        read(document)


def test_a_share_that_is_not_its_quotient_cannot_be_read():
    document = copy.deepcopy(dump(SUMMARY))
    document["rates"]["clean_accuracy"]["point"] = 0.5
    with pytest.raises(IntegrityError, match="HF404"):
        read(document)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "null", '{"schema_version": "x"}', '{"schema_version": "1.0.0"}', b"\xff"]
)
def test_other_texts_are_refused(text):
    with pytest.raises(IntegrityError, match="HF404"):
        read(text)


def test_no_field_is_a_bare_share():
    """Fields whose name promises a share hold a Rate; floats that remain are sizes, times and losses."""
    floats = {}
    for kind in vars(summary).values():
        if dataclasses.is_dataclass(kind) and kind.__module__ == summary.__name__:
            hints = typing.get_type_hints(kind)
            floats |= {
                f"{kind.__name__}.{name}": hint
                for name, hint in hints.items()
                if float in (hint, *typing.get_args(hint))
            }
    allowed = {
        "Spread.min",
        "Spread.median",
        "Spread.max",
        "AttackFacts.seconds",
        "AttackFacts.queries_median",
        "AttackFacts.gradients_median",
        "CurvePoint.radius",
        "Loss.clean",
        "Loss.adversarial",
        "Masking.seconds",
        "Cost.seconds",
        "DataFacts.bounds",
    }
    assert set(floats) == allowed


def test_every_record_is_frozen():
    kinds = [k for k in vars(summary).values() if dataclasses.is_dataclass(k)]
    assert Summary in kinds
    assert Confusion in kinds
    assert all(k.__dataclass_params__.frozen for k in kinds)
