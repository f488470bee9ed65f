"""Help, lists, pages, schemas, the doctor: what a person looks up."""

import json
import re

import numpy as np
import pytest

from holdfast.attacks.evidence import OTHERS
from holdfast.cli import catalog, explain, main, schema
from holdfast.core import pages

LISTS = list(catalog.LISTS)


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_the_overview_names_every_verb_in_plain_text(capsys, words):
    assert main.main(words) == 0
    out = capsys.readouterr().out
    for verb, (_, text) in main.VERBS.items():
        assert f"  {verb:<18}{text}" in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 100


def test_no_word_at_all_shows_the_overview_and_is_a_mistake(capsys):
    assert main.main([]) == 2
    assert "holdfast demo" in capsys.readouterr().out


def test_every_verb_is_in_a_group_once():
    assert sorted(verb for verbs in main.GROUPS.values() for verb in verbs) == sorted(main.VERBS)


@pytest.mark.parametrize("verb", list(main.VERBS))
@pytest.mark.parametrize("form", ["VERB --help", "help VERB", "VERB -h"])
def test_every_verb_has_help(capsys, verb, form):
    assert main.main(form.replace("VERB", verb).split()) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: holdfast {verb}")
    assert "\x1b" not in out


def test_the_version(capsys):
    import holdfast

    assert main.main(["--version"]) == 0
    assert capsys.readouterr().out == f"holdfast {holdfast.__version__}\n"


@pytest.mark.parametrize("what", LISTS)
def test_a_list_is_a_table_and_a_document(capsys, what):
    assert main.main(["list", what, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert main.main(["list", what]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == list(rows[0])
    assert len(lines) == len(rows) + 1


def test_the_list_of_attacks_is_the_catalog():
    import holdfast.attacks
    from holdfast.attacks.attack import Attack

    rows = {row["name"]: row for row in catalog.attacks()}
    kinds = {name: getattr(holdfast.attacks, name) for name in holdfast.attacks.__all__}
    assert set(rows) == {name for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Attack)}
    for name, row in rows.items():
        assert row["paper"], name
        tables = ["table"] * bool(kinds[name].tables)
        assert row["norms"] == [catalog.norm_name(p) for p in kinds[name].norms] + tables
        assert row["cost"], f"the docstring of {name} has a line that begins with Cost:"


@pytest.mark.parametrize("code", pages.codes())
def test_every_code_has_a_page_that_can_be_read_offline(capsys, code):
    assert main.main(["explain", code.lower()]) == 0
    assert capsys.readouterr().out.startswith(f"# {code} ")


def test_every_attack_and_every_word_is_explained(capsys):
    for name in (*explain.attack_names().values(), *explain.words()):
        assert main.main(["explain", name]) == 0
        assert len(capsys.readouterr().out.splitlines()) >= 3


def test_every_status_is_a_word():
    from holdfast.evaluation.summary import STATUSES

    assert set(STATUSES) <= set(explain.words())


@pytest.mark.parametrize("spelling", ["clean accuracy", "clean_accuracy", "Clean-Accuracy", "CLEANACCURACY"])
def test_a_word_may_be_spelled_as_it_comes(capsys, spelling):
    assert main.main(["explain", spelling]) == 0
    assert "clean accuracy" in capsys.readouterr().out


def test_schemas_are_schemas(capsys):
    jsonschema = pytest.importorskip("jsonschema")
    for name in schema.DOCUMENTS:
        assert main.main(["schema", name]) == 0
        jsonschema.Draft202012Validator.check_schema(json.loads(capsys.readouterr().out))


def checks(capsys, *words):
    code = main.main(["doctor", *map(str, words), "--json"])
    return code, {check["name"]: check for check in json.loads(capsys.readouterr().out)}


def test_the_doctor_looks_at_machine_model_and_data(capsys, monkeypatch):
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)
    code, found = checks(capsys, "digits-mlp", "digits", "--strict")
    assert code == 0
    assert found["clean accuracy"]["state"] == "ok"
    assert "digits" in found["data"]["seen"]
    assert found["HOLDFAST_DATA"]["state"] == "note"
    assert main.main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ready"


def test_the_doctor_sees_what_is_wrong(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOLDFAST_DATA", str(tmp_path / "nowhere"))
    code, found = checks(capsys, "--strict")
    assert (code, found["HOLDFAST_DATA"]["state"]) == (3, "warn")
    assert checks(capsys)[0] == 0, "only --strict makes a code of it"

    from holdfast.data import load

    test = load("digits").test
    x = test.x[:64].numpy()
    np.savez(
        tmp_path / "normalized.npz", x=(x - x.mean()) / x.std(), y=test.y[:64].numpy(), bounds=np.array([-3.0, 5.0])
    )
    code, found = checks(capsys, "digits-mlp", tmp_path / "normalized.npz", "--strict")
    assert code == 3
    assert "normalized" in json.dumps(found)
    np.savez(tmp_path / "twice.npz", x=x / 255, y=test.y[:64].numpy(), bounds=np.array([0.0, 1.0]))
    code, found = checks(capsys, "digits-mlp", tmp_path / "twice.npz", "--strict")
    assert (code, found["range"]["state"], found["clean accuracy"]["state"]) == (3, "warn", "warn")
    code, found = checks(capsys, "digits-mlp", "wine", "--strict")
    assert code == 3


def test_the_doctor_names_the_likely_cause_of_wrong_answers(capsys, tmp_path):
    from holdfast.data import load

    test = load("digits").test
    np.savez(tmp_path / "moved.npz", x=test.x.numpy(), y=(test.y.numpy() + 3) % 10, bounds=np.array([0.0, 1.0]))
    found = checks(capsys, "digits-mlp", tmp_path / "moved.npz")[1]["clean accuracy"]
    assert found["state"] == "warn"
    assert "in another order (the model's 0 is 3, 1 is 4" in found["fix"]


def test_the_doctor_hides_the_home_folder(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    main.main(["doctor"])
    assert str(tmp_path) not in capsys.readouterr().out


@pytest.mark.parametrize("name", OTHERS)
def test_what_attacks_and_is_no_stage_has_a_page(capsys, name):
    plain = name.partition("(")[0].split(".")[-1]
    assert main.main(["explain", plain]) == 0
    page = capsys.readouterr().out
    assert f"# hf.{name.partition('(')[0]}\n" in page
    assert OTHERS[name].text in page
    row = next(row for row in catalog.others() if row["name"] == name)
    assert row["paper"] in page
    assert re.search(r"20[012]\d", row["paper"]), "the source is named"
