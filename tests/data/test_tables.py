"""Tables: from frames, files and the shelf; what columns seem to be; rows that are in both parts."""

import csv
import dataclasses
import gzip
import io
import os
import pathlib

import numpy as np
import pandas
import polars
import pyarrow
import pyarrow.parquet
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import holdfast as hf
from holdfast.core.errors import DataError
from holdfast.data.tables import files, separated, unquoted
from holdfast.data.tables.guessing import infer
from holdfast.data.tables.inspecting import inspect
from holdfast.data.tables.loading import repeated, table
from holdfast.threats.tables.feature import Feature
from holdfast.threats.tables.raw import columns
from holdfast.threats.tables.schema import Schema

SHELF = pathlib.Path(os.environ.get("HOLDFAST_DATA", "/nonexistent"))
needs_shelf = pytest.mark.skipif(not SHELF.is_dir(), reason="HOLDFAST_DATA names no folder of data sets")

CELLS = {
    "age": [23, 45, 31, 52, 23],
    "income": [31.5, 80.0, None, 64.25, 31.5],
    "job": ["clerk", "sales", None, "chief", "clerk"],
    "owner": [True, False, False, True, True],
    "rate": [0.07, 0.12, 0.5, 0.3, 0.07],
    "color_red": [1, 0, 0, 1, 1],
    "color_blue": [0, 1, 0, 0, 0],
    "color_green": [0, 0, 1, 0, 0],
    "risk": ["good", "bad", "good", "bad", "good"],
    "split": ["train", "train", "train", "test", "test"],
}
TEXT = "\n".join(
    [",".join(CELLS)] + [",".join("" if c is None else f"{c:d}" if c in (True, False) else str(c) for c in row)
                         for row in zip(*CELLS.values(), strict=True)]
)  # fmt: skip


def records():
    return [dict(zip(CELLS, row, strict=True)) for row in zip(*CELLS.values(), strict=True)]


def written(folder, form):
    frame = pyarrow.table(CELLS)
    if form == "parquet":
        pyarrow.parquet.write_table(frame, folder / "loans.parquet")
        return folder / "loans.parquet"
    if form == "csv.gz":
        (folder / "loans.csv.gz").write_bytes(gzip.compress(TEXT.encode()))
    else:
        text = {"csv": TEXT, "tsv": TEXT.replace(",", "\t"), "semicolon.csv": "\ufeff" + TEXT.replace(",", ";")}[form]
        (folder / f"loans.{form}").write_text(text)
    return folder / f"loans.{form}"


FORMS = {
    "columns": lambda: CELLS,
    "records": records,
    "pandas": lambda: pandas.DataFrame(CELLS),
    "categories": lambda: pandas.DataFrame(CELLS).astype({"job": "category", "risk": "category"}),
    "arrow": lambda: pyarrow.table(CELLS),
    "arrow-dictionaries": lambda: coded(pyarrow.string_view()),
    "arrow-large-dictionaries": lambda: coded(pyarrow.large_string()),
    "polars": lambda: polars.DataFrame(CELLS),
    "polars-categories": lambda: polars.DataFrame(CELLS).with_columns(
        polars.col("risk", "split").cast(polars.Categorical),
        polars.col("job").cast(polars.Enum(["sales", "unseen", "clerk", "chief"])),
    ),
    "polars-pieces": lambda: polars.concat([polars.DataFrame(CELLS)[:2], polars.DataFrame(CELLS)[2:]], rechunk=False),
}


def coded(kind):
    """The rows as an Arrow table whose words are places in a list of them, another list in each piece."""
    frame = pyarrow.table(CELLS)
    for name in ("job", "risk"):
        i = frame.column_names.index(name)
        pieces = [frame[name].slice(0, 2), frame[name].slice(2)]
        parts = [
            pyarrow.DictionaryArray.from_arrays(
                piece.combine_chunks().dictionary_encode().indices,
                piece.combine_chunks().dictionary_encode().dictionary.cast(kind),
            )
            for piece in pieces
        ]
        frame = frame.set_column(i, name, pyarrow.chunked_array(parts))
    return frame


@pytest.mark.parametrize("form", FORMS)
def test_frames_of_every_library_say_the_same(form):
    splits = table(FORMS[form](), label="risk", name="loans")
    wanted = table(CELLS, label="risk", name="loans")
    assert splits.train.schema == wanted.train.schema
    assert torch.equal(splits.train.x.nan_to_num(-1), wanted.train.x.nan_to_num(-1))
    assert splits.test.y.tolist() == [0, 1]
    assert splits.train.classes == ("bad", "good")


def test_frames_of_polars_are_encoded_by_name_and_what_is_no_frame_is_told():
    frame = polars.DataFrame(CELLS)
    space = hf.Tabular(infer(frame, label="risk").schema)
    wanted = space.encode(CELLS)
    mixed = frame.select(reversed(frame.columns)).with_columns(polars.col("job").cast(polars.Categorical))
    assert torch.equal(space.encode(mixed).nan_to_num(-1), wanted.nan_to_num(-1))
    assert wanted[2, 2].isnan()
    with pytest.raises(DataError, match=r"HF145 .*LazyFrame.*frame\.collect\(\)"):
        space.encode(frame.lazy())
    with pytest.raises(DataError, match=r"HF145 Row 1 has 'sails' in the column 'job'.*did you mean sales"):
        space.encode(frame.with_columns(job=polars.Series(["clerk", "sails", None, "chief", "clerk"])))
    with pytest.raises(DataError, match=r"HF145 .*polars \.cast"):
        table(frame["age"])


@pytest.mark.parametrize("form", ["csv", "csv.gz", "tsv", "semicolon.csv", "parquet"])
def test_files_say_what_frames_say(tmp_path, form):
    splits, wanted = hf.data.load(written(tmp_path, form), label="risk"), table(CELLS, label="risk", name="loans")
    assert splits.train.schema == wanted.train.schema
    assert torch.equal(splits.test.x, wanted.test.x)
    assert splits.train.name == "loans"


def test_kinds_ranges_and_reasons():
    found = infer(CELLS, label="risk", name="loans")
    said = {
        guess.feature.name: (guess.feature.kind, guess.missing, guess.distinct, guess.why) for guess in found.guesses
    }
    assert said == {
        "age": ("integer", 0, 4, "whole, 4 values"),
        "income": ("real", 1, 3, "steps of 0.01"),
        "job": ("categorical", 1, 3, "words"),
        "owner": ("binary", 0, 2, "0 and 1"),
        "rate": ("real", 0, 4, "steps of 0.01"),
        **{f"color_{name}": ("one-hot", 0, 2, "one 1 a row") for name in ("red", "blue", "green")},
    }
    income = found.schema.by_name["income"]
    assert (income.low, income.high, income.missing) == (31.5, 80, True)
    assert income.scale == pytest.approx(np.nanstd([31.5, 80, 64.25, 31.5]))
    assert found.schema.groups == ((5, 6, 7),)
    assert (found.schema.label, found.schema.classes) == ("risk", ("bad", "good"))


def test_what_is_no_feature_and_what_looks_like_numbers():
    rows = {
        "id": [f"u{i}" for i in range(60)],
        "zip": ["01234", "02345"] * 30,
        "none": [None] * 60,
        "same": [7] * 60,
        "code": ["1", "2", "NA"] * 20,
        "huge": [float("inf"), 1.0] * 30,
        "wide": [1e308, -1e308] * 30,
        "far": [1e308, 2.0, 3.5] * 20,
        "id64": ["9007199254740993", "9007199254740992", "5"] * 20,
        "y": [0, 1] * 30,
    }
    found = infer(rows)
    assert dict(found.left) == {
        "id": "60 different words in 60 rows are no levels",
        "none": "it is empty",
        "huge": "it has infinite values, the first in row 0",
        "wide": "its range is wider than float64 can tell",
    }
    features = found.schema.by_name
    assert (features["zip"].kind, features["zip"].levels) == ("binary", ("01234", "02345"))
    assert features["same"].immutable
    assert (features["far"].kind, features["far"].high) == ("real", 1e308)
    assert (features["id64"].kind, len(features["id64"].levels)) == ("categorical", 3), "no two of them are one float"
    assert (features["code"].kind, features["code"].missing) == ("integer", True)
    assert found.schema.label == "y"


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e999"])
@pytest.mark.parametrize("form", ["csv", "quoted", "parquet", "frame"])
def test_an_infinite_number_is_named_with_its_row_alike_wherever_it_comes_from(tmp_path, form, cell):
    rows = {"age": list(range(60)), "income": [i / 2 for i in range(60)], "risk": ["good", "bad"] * 30}
    schema = infer(rows, label="risk").schema
    rows["income"][3] = float(cell)
    text = "\n".join(["age,income,risk", *(",".join(map(str, row)) for row in zip(*rows.values(), strict=True))])
    text = text.replace(str(float(cell)), f'"{cell}"' if form == "quoted" else cell)
    path = tmp_path / ("t.parquet" if form == "parquet" else "t.csv")
    if form == "parquet":
        pyarrow.parquet.write_table(pyarrow.table(rows), path)
    else:
        path.write_text(text)
    why = "it has infinite values, the first in row 3"
    if form != "frame":
        assert inspect(str(path), label="risk").left == (("income", why),)
    data = table(rows, label="risk") if form == "frame" else hf.data.load(path, label="risk")
    assert data.test.notes == (f"left out: income: {why}",)
    assert data.test.features == ("age",)
    with pytest.raises(DataError, match=r"HF145 Row 3 has '.*' in the column 'income'.*finite.*leave the row out"):
        table(rows, schema) if form == "frame" else hf.data.load(path, schema=schema)


def test_what_only_looks_infinite_and_decimal_commas(tmp_path):
    words = {"mood": ["inf", "sup"] * 3, "y": [0, 1] * 3}
    assert infer(words).schema.by_name["mood"].levels == ("inf", "sup")
    rows = [f"{i},125;{i % 3},125;1,2,3;{i % 2}" for i in range(1, 61)]
    (tmp_path / "t.csv").write_text("a;b;c;y\n" + "\n".join(rows))
    found = inspect(str(tmp_path / "t.csv"))
    commas = "numbers with a decimal comma? write points"
    assert found.left == (("a", f"60 different words in 60 rows are no levels: {commas}"),), "or are they thousands?"
    assert [guess.why for guess in found.guesses] == ["steps of 0.001, decimal commas read as points", "constant"]


@pytest.mark.parametrize("form", ["a;b;c;y", '"a","b","c",y'])
def test_decimal_commas_are_read_where_they_can_be_nothing_else_and_told(form, tmp_path):
    cells = [("12,5", "-0,125", "1,234"), ("7", "2,5", "5,678"), ("", "3,75", "1,000"), ("1e3", "NA", "2,000")]
    sign = ";" if ";" in form else ","
    rows = [
        sign.join([*(f'"{cell}"' if sign == "," and "," in cell else cell for cell in row), str(i % 2)])
        for i, row in enumerate(cells)
    ]
    (tmp_path / "t.csv").write_text("\n".join([form, *rows]))
    data = hf.data.load(tmp_path / "t.csv").test
    assert data.notes == ("decimal commas read as points: a, b",)
    want = torch.tensor([[12.5, -0.125], [7, 2.5], [float("nan"), 3.75], [1000, float("nan")]]).double()
    assert torch.equal(data.x[:, :2].nan_to_num(-9), want.nan_to_num(-9))
    assert data.schema.by_name["c"].levels, "thousands, or thousandths"
    again = hf.data.load(tmp_path / "t.csv", schema=data.schema).test
    assert again.notes == data.notes
    assert torch.equal(again.x.nan_to_num(-9), data.x.nan_to_num(-9))


@pytest.mark.parametrize("cells", [("1.234", "0,5"), ("1,234", "999.5", "0,5"), ("2.5", "3,75")])
def test_points_beside_decimal_commas_may_be_thousands_and_are_not_read(cells, tmp_path):
    (tmp_path / "t.csv").write_text("a;y\n" + "\n".join(f"{cell};{i % 2}" for i, cell in enumerate(cells * 2)))
    data = hf.data.load(tmp_path / "t.csv").test
    assert data.notes == ()
    assert set(data.schema.by_name["a"].levels) == set(cells), "words, never 1.234 for 1234"


def test_columns_that_are_left_out_are_in_the_notes():
    rows = {f"e{i}": [None] * 2 for i in range(5)} | {"a": [1, 2], "y": [0, 1]}
    notes = ("left out: e0: it is empty; e1: it is empty; e2: it is empty and 2 more",)
    splits = table(rows)
    assert splits.test.notes == notes
    assert table(rows, splits.test.schema).test.notes == ()


def test_rows_of_both_parts_are_counted_or_taken_out():
    kept, cleaned = table(CELLS, label="risk"), table(CELLS, label="risk", repeats=False)
    assert kept.test.notes == ("1 of 2 rows (50.0%) are in train too",)
    assert "1 of 2 rows (50.0%) are in train too" in repr(kept.test)
    assert cleaned.test.notes == ("1 of 2 rows (50.0%) are in train too and were taken out",)
    assert (len(kept.test), len(cleaned.test)) == (2, 1)
    assert kept.train.notes == ()
    x = torch.tensor([[0.0, float("nan")], [1, 2]]).double()
    assert repeated(-x, torch.cat([x, x + 9])).tolist() == [True, False]


def test_rows_that_break_the_schema_are_counted():
    schema = infer(CELLS, label="risk").schema
    other = {**CELLS, "age": [23, 99, 31, 52, 23]}
    splits = table(other, schema)
    assert splits.train.notes == ("1 of 3 rows break the schema, first age = 99 is outside [23, 52]",)


def test_classes_that_are_numbers_stand_in_their_order_and_not_in_that_of_their_letters():
    numbers = list(range(11, -1, -1))
    for labels in (numbers, [str(n) for n in numbers], np.array(numbers)):
        data = table({"a": numbers, "y": labels}).test
        assert data.classes == tuple(map(str, range(12)))
        assert data.y.tolist() == numbers
    assert table({"a": numbers[:3], "y": ["2", "NA", "10"]}).test.classes == ("10", "2", "NA")
    again = table({"a": [1, 2], "y": ["11.0", "2.0"]}, data.schema).test
    assert again.y.tolist() == [11, 2]


def test_the_index_of_a_frame_is_no_column_and_no_column_is_lost():
    frame = pandas.DataFrame(CELLS)[[True, False, True, True, True]]
    assert list(columns(frame)) == list(CELLS)
    assert list(columns(frame.set_index("job"))) == [name for name in CELLS if name != "job"]
    one = pyarrow.array([1])
    for rows in (
        {1: [1], "1": [2]},
        [{1: 1, "1": 2}],
        pandas.DataFrame([[1, 2]], columns=["1", "1"]),
        pandas.DataFrame([[1, 2]], columns=[1, "1"]),
        pyarrow.table([one, one], names=["1", "1"]),
    ):
        with pytest.raises(DataError, match="HF145 Two columns are called '1'"):
            columns(rows)


def test_cells_of_every_kind_are_read_or_refused_in_one_line():
    na = pandas.NA
    for cells, numbers in (
        ([1, na, 2], [1, np.nan, 2]),
        (pandas.Series([True, None], dtype="boolean"), [1, np.nan]),
        (torch.tensor([1.5, 2]), [1.5, 2]),
        ((i for i in range(2)), [0, 1]),
        ([2**70, 1], [2.0**70, 1]),
    ):
        assert np.array_equal(columns({"a": cells})["a"].numbers, numbers, equal_nan=True)
    assert columns({"a": pandas.Series(["x", None, ""], dtype="string")})["a"].texts == ("x", None, None)
    for cells in ([[1], [1, 2]], np.zeros((2, 2)), 5, "abc", [10**400, 1], [b"x"], [1j], np.array(["2020"], "M8[D]")):
        with pytest.raises(DataError, match="HF145 The column 'a' holds"):
            columns({"a": cells})


def test_texts_of_arrow_that_are_no_utf8_are_one_line():
    ends = pyarrow.py_buffer(np.array([0, 2], dtype=np.int32).tobytes())
    cells = pyarrow.Array.from_buffers(pyarrow.string(), 1, [None, ends, pyarrow.py_buffer(b"\xff\xfe")])
    with pytest.raises(DataError, match="HF145 .*decode"):
        columns(pyarrow.table({"a": cells}))


def test_a_schema_file_decides(tmp_path):
    path = written(tmp_path, "csv")
    schema = infer(CELLS, label="risk").schema
    schema.write(tmp_path / "s.toml")
    by_file = hf.data.load(path, schema=tmp_path / "s.toml", split="train")
    assert by_file.schema == schema
    assert by_file.take([0]).schema == schema
    assert by_file.space == hf.Tabular(schema)


@pytest.mark.parametrize(
    ("change", "code", "why"),
    [
        ({"job": ["clerk", "sails", None, "chief", "clerk"]}, "HF145", "Row 1 has 'sails'.*did you mean sales"),
        ({"age": ["x", 1, 2, 3, 4]}, "HF145", "Row 0 has 'x' in the column 'age'"),
        ({"age": [[1], [2], [3], [4], [5]]}, "HF145", "neither numbers nor texts"),
        ({"age": [1]}, "HF145", "different lengths"),
        ({"risk": ["good", "bad", None, "bad", "bad"]}, "HF147", "Row 2 has no known class"),
        ({"risk": ["good", "bad", "ugly", "bad", "bad"]}, "HF147", "'ugly'"),
    ],
)
def test_rows_that_do_not_fit_are_refused(change, code, why):
    schema = infer(CELLS, label="risk").schema
    with pytest.raises(DataError, match=why) as caught:
        table({**CELLS, **change}, schema)
    assert caught.value.code == code


def test_columns_and_labels_that_are_not_there():
    schema = infer(CELLS, label="risk").schema
    for rows, more, code, why in (
        ({k: v for k, v in CELLS.items() if k != "rate"}, {"schema": schema}, "HF145", "no column 'rate'"),
        (CELLS, {}, "HF147", "Nobody says"),
        (CELLS, {"label": "rsik"}, "HF147", "no column 'rsik'"),
        ([1, 2], {}, "HF145", "no rows"),
        (pandas.DataFrame({"t": pandas.to_datetime(["2020-01-01"]), "y": [1]}), {}, "HF145", "timestamp"),
        ({"y": [0, 1]}, {}, "HF145", "no column that could be a feature"),
    ):
        with pytest.raises(DataError, match=why) as caught:
            table(rows, **more)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.csv", b"a,b\n1,2\n3\n", "1 cells in line 3"),
        ("a.csv", b"a,a\n1,2\n", "each once"),
        ("a.csv", b"a,b\n", "no rows"),
        ("a.csv", b"", "names of the columns"),
        ("a.csv", b"\xff\xfe\x00a,b\n1,2\n", "decode"),
        ("a.csv", b'a,b\n1,"x\n2,y\n3,z\n', "unexpected end"),
        ("a.csv", b'a,b\n1,"x"y\n', "expected after"),
        ("a.csv", b"a," * 20_000 + b"b\n1\n", "each once"),
        ("a.csv", ",".join(map(str, range(11_000))).encode() + b"\n1\n", "11000 columns"),
        ("a.csv", b"a,b\n" + b"1," * 600_000 + b"2\n", "characters, expected shorter lines"),
        ("a.csv.gz", b"not gzip", "gzip"),
        ("a.csv.gz", gzip.compress(b"a,b\n" * 9000, mtime=0)[:-20], "end-of-stream"),
        ("a.csv.gz", gzip.compress(b"a,b\n", mtime=0)[:10] + b"\xff" * 40, "decompressing"),
        ("a.parquet", b"PAR1 and nothing else PAR1", "Parquet"),
        ("a.parquet", b"", "Parquet"),
    ],
)
def test_files_that_are_no_tables(tmp_path, name, content, why):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=why) as caught:
        hf.data.load(tmp_path / name)
    assert caught.value.code == "HF146"


def test_a_truncated_parquet_file_is_one_line(tmp_path):
    whole = written(tmp_path, "parquet").read_bytes()
    for cut in (10, len(whole) // 2, len(whole) - 5):
        (tmp_path / "cut.parquet").write_bytes(whole[:cut])
        with pytest.raises(DataError) as caught:
            files.read(tmp_path / "cut.parquet")
        assert caught.value.code == "HF146"
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_csv_that_unpacks_to_too_much(tmp_path, monkeypatch, quote):
    (tmp_path / "bomb.csv.gz").write_bytes(gzip.compress(f"{quote}a{quote},b\n".encode() + b"1,2\n" * 30_000))
    monkeypatch.setattr(separated, "LARGEST", 1000)
    with pytest.raises(DataError, match="HF146 .*more than 0 MiB of text"):
        files.read(tmp_path / "bomb.csv.gz")
    monkeypatch.undo()
    monkeypatch.setattr(separated, "MOST", 20_000)
    with pytest.raises(DataError, match="HF146 .*more than 20000 cells"):
        files.read(tmp_path / "bomb.csv.gz")


def by_hand(text):
    """Columns as the csv module alone reads them; None for no table."""
    try:
        names, *rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    except (csv.Error, ValueError):
        return None
    rows = [row for row in rows if row]
    if not rows or len(set(names)) < len(names) or not all(names) or any(len(row) != len(names) for row in rows):
        return None
    return dict(zip(names, (tuple(cell or None for cell in cells) for cells in zip(*rows, strict=True)), strict=True))


PIECES = st.lists(st.sampled_from([*"abé1 ,,,\n\n\r\0\ufeff", "\r\n", '"', '""', '"a,\n"']), max_size=14).map("".join)


@given(st.sampled_from(["a,b\n1,", "a\n1", "", "a,b\r\n"]), PIECES)
@settings(max_examples=150)
def test_a_csv_file_means_what_the_csv_module_says(tmp_path_factory, head, rest):
    path, text = tmp_path_factory.getbasetemp() / "any.csv", head + rest
    path.write_bytes(text.encode())
    wanted = by_hand(text)
    if wanted is None:
        with pytest.raises(DataError, match="^HF146"):
            files.read(path)
    else:
        assert {name: column.texts for name, column in files.read(path).items()} == wanted


def test_a_file_without_quotes_is_read_by_arrow_and_says_the_same(tmp_path, monkeypatch):
    path = tmp_path / "any.csv"
    monkeypatch.setattr(unquoted, "BLOCK", 4096)
    monkeypatch.setattr(separated, "TOGETHER", 256)
    path.write_text("a,b\n" + "".join(f"{i % 7},{i % 3 or ''}\n" for i in range(9_000)))
    swift = unquoted.read(path)
    with path.open() as text:
        slow = separated.read(text, path.name)
    assert {name: column.texts for name, column in swift.items()} == {name: c.texts for name, c in slow.items()}
    assert all(np.array_equal(swift[name].numbers, slow[name].numbers, equal_nan=True) for name in "ab")
    path.write_text(path.read_text() + '"1",2\n')
    assert unquoted.read(path) is None
    assert len(files.read(path)["a"]) == 9_001


def test_columns_read_twice_stay_as_they_are():
    once = columns(CELLS)
    assert columns(once) == once


# The shelf


@needs_shelf
def test_a_named_table_takes_another_schema_than_its_own(tmp_path):
    own = hf.data.load("pima", split="train")
    fixed = [dataclasses.replace(f, immutable=f.name != "glucose") for f in own.schema.features]
    dataclasses.replace(own.schema, features=fixed, label="", classes=()).write(tmp_path / "s.toml")
    other = hf.data.load("pima", schema=tmp_path / "s.toml", split="train")
    assert other.schema.features == tuple(fixed)
    assert (other.classes, other.shared, other.license) == (own.classes, own.shared, own.license)
    assert torch.equal(other.x.nan_to_num(-1), own.x.nan_to_num(-1))
    assert inspect("pima", schema=str(tmp_path / "s.toml"), label=own.schema.label).schema.features == tuple(fixed)


@pytest.mark.parametrize("told", [{"schema": "s.toml"}, {"label": "y"}])
def test_what_is_no_file_of_a_table_takes_no_schema_and_no_label(tmp_path, told):
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 3)), y=[0, 1])
    for source in ("digits", tmp_path, tmp_path / "a.npz"):
        with pytest.raises(
            DataError, match=f"HF112 A {next(iter(told))} is said of data .*leave {next(iter(told))} away"
        ):
            hf.data.load(source, (0, 1) if source != "digits" else None, **told)
    with pytest.raises(DataError, match="HF107"):
        hf.data.load(tmp_path / "none", **told)


@needs_shelf
@pytest.mark.parametrize(
    ("name", "train", "test", "features", "note"),
    [
        ("phishing", 8292, 2763, 30, "1753 of 2763 rows (63.4%) are in train too"),
        ("german-credit", 700, 300, 20, None),
        ("heart", 665, 255, 13, None),
        pytest.param("spambase", 3451, 1150, 57, "124 of 1150 rows (10.8%) are in train too", marks=pytest.mark.slow),
        pytest.param("nsl-kdd", 25192, 22544, 41, "118 of 22544 rows (0.5%) are in train too", marks=pytest.mark.slow),
        pytest.param("adult", 32561, 16281, 14, "26 of 16281 rows (0.2%) are in train too", marks=pytest.mark.slow),
        pytest.param("clamp", 3908, 1302, 69, "1 of 1302 rows (0.1%) are in train too", marks=pytest.mark.slow),
    ],
)
def test_real_tables(name, train, test, features, note):
    data = hf.data.load(name)
    assert (len(data.train), len(data.test)) == (train, test)
    assert data.train.x.shape[1] == len(data.train.schema.features) == features
    assert data.train.n_classes == 2
    assert data.test.notes == (() if note is None else (note,))
    for part in (data.train, data.test):
        assert bool(part.space.validate(part.x).all()), "what really happened is possible"
    assert Schema.from_toml(data.train.schema.to_toml()) == data.train.schema


@needs_shelf
@pytest.mark.slow
def test_education_follows_its_years():
    schema = hf.data.load("adult", split="test").schema
    education = schema.by_name["education"]
    assert (education.kind, education.direction) == ("ordinal", "up")
    assert education.levels[:2] + education.levels[-2:] == ("Preschool", "1st-4th", "Prof-school", "Doctorate")
    assert "education determines education_num" in schema.relations
    assert "education_num determines education" in schema.relations


@needs_shelf
def test_a_named_table_is_inspected_as_it_was_described():
    found = inspect("german-credit")
    assert found.classes == (("bad", 300), ("good", 700))
    assert {guess.why for guess in found.guesses} == {"given, fixed", "given, free"}
    assert [part[:2] for part in found.parts] == [("train", 700), ("test", 300)]


# The command


def test_the_command_shows_and_writes_the_schema(tmp_path, capsys):
    from holdfast.cli import main

    path, out = written(tmp_path, "csv"), tmp_path / "s.toml"
    assert main.main(["data", "inspect", str(path), "--label", "risk", "-o", str(out)]) == 0
    shown = capsys.readouterr()
    assert max(map(len, shown.out.splitlines())) <= 80
    assert shown.out.splitlines()[:3] == [
        "feature      kind         range         missing  values  why",
        "age          integer      23 ... 52              4       whole, 4 values",
        "income       real         31.5 ... 80   1        3       steps of 0.01",
    ]
    assert "label: risk: bad 2, good 3" in shown.out
    assert "rows: test 2; 1 of 2 rows (50.0%) are in train too" in shown.out
    assert "review it" in shown.err
    assert Schema.read(out) == infer(CELLS, label="risk", name="loans").schema
    assert main.main(["data", "inspect", str(path), "--schema", str(out), "--json"]) == 0
    assert '"why": "given, free"' in capsys.readouterr().out


def test_the_command_says_what_it_cannot_do(tmp_path, capsys):
    from holdfast.cli import main

    assert main.main(["data", "inspekt", "x.csv"]) == 2
    assert "HF807" in capsys.readouterr().err
    assert main.main(["data", "inspect", str(tmp_path / "absent.csv")]) != 0
    assert "HF107" in capsys.readouterr().err


def test_raw_rows_and_other_things_where_codes_belong_are_one_line():
    data = table(CELLS, label="risk").test
    schema, frame, codes = data.schema, pandas.DataFrame(CELLS)[list(data.features)], data.x
    space = hf.Tabular(schema)
    model = hf.wrap(lambda rows: (rows["age"] > 30).astype(int).to_numpy(), space=space, output="labels", classes=2)
    swapped = pandas.DataFrame(codes.numpy(), columns=list(data.features)[::-1])
    others = (
        None,
        "rows",
        {"age": [1]},
        [{"age": 1}],
        [[1], [1, 2]],
        codes.to(torch.complex64),
        polars.DataFrame(CELLS),
    )
    for rows in (frame, swapped, *others):
        with pytest.raises(DataError, match=r"^HF148 .*Tabular\(schema\)\.encode\(frame\)"):
            schema.codes(rows)
    with pytest.raises(DataError, match="^HF148"):
        hf.audit(model, (frame, [0] * 5), threat="table:features=1")
    with pytest.raises(DataError, match="^HF148"):
        hf.run(hf.attacks.GraphSearch(), model, frame, [0] * 5, "table:features=1")
    with pytest.raises(DataError, match="^HF148"):
        model.predict(frame)
    for call in (schema.validate, schema.repair):
        with pytest.raises(DataError, match="^HF148 .*2 and 1"):
            call(codes, codes[:1])
    assert torch.equal(model.predict(codes.tolist()), model.predict(codes))
    named = pandas.DataFrame(codes.numpy(), columns=list(data.features))
    assert torch.equal(schema.codes(named), codes), "the codes of each column under its name"


def test_what_is_no_data_set_and_labels_that_are_names_are_one_line():
    data = table({"a": range(8), "b": [1.5, 2.5] * 4, "y": [0, 1] * 4}).test
    model = hf.wrap(lambda rows: (rows["a"] > 3).astype(int).to_numpy(), space=data.space, output="labels", classes=2)
    for strange, fix in ((polars.DataFrame(CELLS), "hf.data.table"), (None, "a Dataset"), ("digits", "hf.data.load")):
        with pytest.raises(DataError, match=f"^HF102 These data are neither.*{fix}"):
            hf.audit(model, strange, threat="table:features=1")
    with pytest.raises(hf.ThreatError, match=r"^HF305 Labels that are no numbers.*'good'.*classes\.index"):
        hf.exact_distance(model, data.x[:2], ["good", "bad"])
    boxed = hf.wrap(lambda x: x[:, :2], bounds=(0, 1), output="probabilities")
    assert boxed.predict([[0.0, 1.0], [1.0, 0.0]]).tolist() == [1, 0]
    with pytest.raises(DataError, match="^HF106 The inputs are no numbers"):
        boxed.predict([["a", "b"]])


def test_a_frame_of_numbers_that_may_be_raw_rows_or_codes_is_not_guessed_at():
    """Grades 1, 2, 5 have the codes 0, 1, 2: a frame with both columns may hold either."""
    pandas = pytest.importorskip("pandas")
    grade = Feature("grade", "ordinal", levels=("1", "2", "5"))
    schema = Schema((Feature("age", low=0, high=99), grade))
    frame = pandas.DataFrame({"age": [30.0, 40.0], "grade": [1, 2]})
    with pytest.raises(DataError, match=r"^HF148 .*'grade', whose levels 1, 2, 5 have the codes.*to_numpy"):
        schema.validate(frame)
    assert schema.validate(frame.to_numpy()).valid.tolist() == [True, True]
    same = Schema((schema.features[0], dataclasses.replace(grade, levels=("0", "1", "2"))))
    assert same.validate(frame).valid.tolist() == [True, True]
