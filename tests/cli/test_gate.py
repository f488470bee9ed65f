"""`holdfast gate`: a policy, a good run, a weakened model, every exit code."""

import dataclasses
import json
import shutil

import pytest

from holdfast.cli.main import main
from holdfast.evaluation.document import to_json
from holdfast.evaluation.summary import read_file

RULE = '[[gate]]\nmetric = "empirical_robust_accuracy"\n'
LOOSE = "[policy]\nrequire = []\n"


@pytest.fixture
def policy(tmp_path, monkeypatch):
    """Write a policy where the command looks for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)

    def write(text):
        (tmp_path / "holdfast.toml").write_text(LOOSE + text)

    return write


def gate(capsys, *words):
    code = main(["gate", *words])
    return code, capsys.readouterr().out


def test_a_weakened_model_fails_and_the_good_one_passes(capsys, policy, pair):
    good, weak = pair
    policy(RULE + 'threat = "linf:0.1"\nmax_regression = 0.02\n' + RULE + "at_least = 0.1\n")
    code, out = gate(capsys, good, "--baseline", good)
    assert code == 0
    assert "Passed: 2 of 2 rules met." in out
    code, out = gate(capsys, weak, "--baseline", good)
    assert code == 1
    assert "Failed: 1 of 2 rules not met: not broken under linf:1/10 (against the baseline)." in out
    assert max(map(len, out.splitlines())) <= 100
    assert gate(capsys, good, "--baseline", weak)[0] == 0, "a gain is no regression"


def test_files_are_written_also_when_the_gate_fails(capsys, policy, pair, tmp_path):
    policy(RULE + "at_least = 1\n")
    files = [f"out/gate.{form}" for form in ("xml", "sarif", "md", "html", "json", "txt")]
    files += ["out/gate.svg", "out/Gate.Badge.JSON"]
    code, out = gate(capsys, pair[0], *(word for file in files for word in ("-o", file)), "--json")
    assert code == 1
    assert json.loads(out) == json.loads((tmp_path / "out" / "gate.json").read_text())
    assert all("not broken (lower end)" in (tmp_path / file).read_text() for file in files[:6])
    assert (tmp_path / "out" / "gate.svg").read_text().startswith("<svg ")
    assert set(json.loads((tmp_path / "out" / "Gate.Badge.JSON").read_text())) >= {"schemaVersion", "message"}


def test_two_categories_share_no_rule(capsys, policy, pair, tmp_path):
    policy(RULE + "at_least = 1\n")
    ids = []
    for name in ("small", "large"):
        assert gate(capsys, pair[0], "--category", name, "-o", f"{name}.sarif")[0] == 1
        (run,) = json.loads((tmp_path / f"{name}.sarif").read_text())["runs"]
        assert run["automationDetails"]["id"] == f"holdfast/gate/{name}/"
        ids.append(run["results"][0]["ruleId"])
    assert len(set(ids)) == 2


def test_an_alert_leads_to_the_file_of_the_model(capsys, policy, pair, tmp_path):
    """The run's command says where it lies; a bundled model, and a file that is gone, lie nowhere."""
    policy(RULE + "at_least = 1\n")
    copy = shutil.copytree(pair[0], tmp_path / "run")
    summary = json.loads((copy / "summary.json").read_text())
    uris = []
    for command in ("holdfast audit net.safetensors digits", "holdfast audit digits-mlp digits", "holdfast audit 'a"):
        summary["provenance"]["command"] = command
        (copy / "summary.json").write_text(json.dumps(summary))
        for there in (False, True):
            (tmp_path / "net.safetensors").touch() if there else (tmp_path / "net.safetensors").unlink(missing_ok=True)
            assert gate(capsys, str(copy), "-o", "gate.sarif")[0] == 1
            (result,) = json.loads((tmp_path / "gate.sarif").read_text())["runs"][0]["results"]
            related = result.get("relatedLocations", [])
            uris.append([place["physicalLocation"]["artifactLocation"]["uri"] for place in related])
    assert uris == [[], ["net.safetensors"], [], [], [], []]


def test_the_junit_file_holds_rules_findings_and_lost_samples(capsys, policy, pair, tmp_path):
    import xml.etree.ElementTree as Xml

    policy(RULE + "max_regression = 0.02\n")
    assert gate(capsys, pair[1], "--baseline", pair[0], "-o", "gate.xml")[0] == 1
    found = {case.get("name"): case[0] for case in Xml.parse(tmp_path / "gate.xml").iter("testcase")}
    lost = found.pop("not broken (against the baseline)")
    assert "samples that the baseline held: " in lost.text
    assert found
    assert {child.tag for child in found.values()} == {"failure"}
    assert main(["report", pair[1], "-o", "run.xml", "-qq"]) == 0
    told = {case.get("name"): case[0].tag for case in Xml.parse(tmp_path / "run.xml").iter("testcase")}
    assert {name for name, tag in told.items() if tag == "skipped"} == set(found)


def test_a_failure_may_be_told_without_the_exit_code(capsys, policy, pair):
    policy(RULE + "at_least = 1\n")
    assert gate(capsys, pair[0], "--exit-zero")[0] == 0
    policy("advisory = true\n" + RULE + "at_least = 1\n")
    code, out = gate(capsys, pair[0], "-q")
    assert (code, out) == (0, "Failed, advisory: 1 of 1 rule not met: not broken (lower end).\n")


@pytest.mark.parametrize(
    ("fields", "state", "code"),
    [
        ({"complete": False, "stopped": "interrupted"}, "partial", 3),
        ({}, "doubtful", 4),
        ({"rates": "none"}, "empty", 5),
    ],
)
def test_a_run_that_cannot_be_judged(capsys, pair, tmp_path, fields, state, code):
    shutil.copytree(pair[0], tmp_path / "run")
    summary = read_file(tmp_path / "run" / "summary.json")
    if "rates" in fields:
        fields = {"rates": dataclasses.replace(summary.rates, clean_accuracy=None, empirical_robust_accuracy=None)}
    told = dataclasses.replace(summary, verdict=dataclasses.replace(summary.verdict, state=state), **fields)
    (tmp_path / "run" / "summary.json").write_text(to_json(told))
    (tmp_path / "p.toml").write_text(RULE + "at_least = 0.01\n")
    found, out = gate(capsys, str(tmp_path / "run"), "--policy", str(tmp_path / "p.toml"), "--exit-zero", "-q")
    assert (found, out[:12]) == (code, "Not decided:"), "--exit-zero turns 1 into 0 only"


@pytest.mark.parametrize(
    ("text", "words", "code", "number"),
    [
        (RULE + "at_leest = 1", [], 2, "HF823"),
        ("[[gate", [], 2, "HF822"),
        (RULE + "at_least = 1", ["--policy", "nowhere.toml"], 2, "HF822"),
        (RULE + "max_regression = 0", [], 2, "HF824"),
        (RULE + "at_least = 1", ["-o", "gate.pdf"], 2, "HF820"),
        (RULE + "at_least = 1", ["--category", ""], 2, "HF805"),
        (RULE + "at_least = 1", ["--category", "a/b"], 2, "HF805"),
        (RULE + "at_least = 1", ["--category", "a\nb"], 2, "HF805"),
        (RULE + "at_least = 1", ["--category", "-a"], 2, "HF805"),
        (RULE + "max_regression = 0", ["--baseline", "nowhere"], 3, "HF407"),
    ],
)
def test_what_is_wrong_is_one_line(capsys, policy, pair, text, words, code, number):
    policy(text)
    assert main(["gate", pair[0], *words, "--json"]) == code
    out, err = capsys.readouterr()
    assert json.loads(out)["code"] == number
    assert len(err.splitlines()) == 1


def test_the_verb_in_python(policy, pair):
    import holdfast as hf

    policy(RULE + "max_regression = 0\n")
    assert hf.gate(pair[0], baseline=hf.open_run(pair[0])).state == "passed"
    assert str(hf.gate(pair[1], baseline=pair[0])).startswith("Failed: 1 of 1 rule not met")


def test_on_github_the_rules_that_are_not_met_are_marked(capsys, policy, pair, monkeypatch, tmp_path):
    policy(RULE + "at_least = 1\n" + RULE + 'at_least = 1\nlevel = "warn"\n' + RULE + "at_least = 0.01\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(tmp_path.parent))
    code, out = gate(capsys, pair[0], "--exit-zero")
    begin, *told, end, first, second = out.splitlines()
    assert code == 0
    assert begin == "::stop-commands::" + end.strip(":")
    assert any("FAILED" in line for line in told)
    file = f"{tmp_path.name}/holdfast.toml"
    assert first.startswith(f"::error file={file},line=3,title=holdfast gate::digits-mlp: not broken (lower end): ")
    assert second.startswith(f"::warning file={file},line=6,title=holdfast gate::")
    assert gate(capsys, pair[0], "-qq") == (1, "")
    json.loads(gate(capsys, pair[0], "--json")[1])
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    assert "::" not in gate(capsys, pair[0])[1]
