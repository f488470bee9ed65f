"""`holdfast audit` and the verbs that look at its run, in this process."""

import dataclasses
import json
import pathlib
import shlex
import shutil
import subprocess

import numpy as np
import pytest

from holdfast.cli import audit, result
from holdfast.cli.main import VERBS, main
from holdfast.cli.schema import error as error_schema
from holdfast.evaluation.store import Folder

QUICK = ("--suite", "pgd(steps=5)", "--threat", "linf:0.1")
HOSTILE = "\x1b[2J[bold]\u202ex"


def files(folder):
    return sorted(str(path) for path in pathlib.Path(folder).rglob("*"))


def test_a_dry_run_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["audit", "digits-mlp", "digits", "-n", "20", "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert "20 samples" in text
    assert "holdfast audit digits-mlp digits" in text
    assert main(["audit", "digits-mlp", "digits", "-n", "20", "--dry-run", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["samples"] == 20
    assert plan["stages"]
    assert files(tmp_path) == []


def test_the_same_command_has_the_same_folder_and_a_changed_model_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    request = audit.Request(model="m.safetensors", data="digits")
    pathlib.Path("m.safetensors").write_bytes(b"weights")
    first = audit.folder_of(request)
    assert first == audit.folder_of(request)
    assert first.parent == pathlib.Path("runs")
    assert audit.folder_of(dataclasses.replace(request, threat=("l2:1",), seed=1, limit=5)) == first, (
        "these amend a run"
    )
    assert audit.folder_of(dataclasses.replace(request, split="train")) != first
    pathlib.Path("m.safetensors").write_bytes(b"other weights")
    assert audit.folder_of(request) != first


def test_a_name_never_leads_out_of_the_folder():
    for name in ("../../etc/passwd", "/etc/passwd", "..", "a b;rm -rf", HOSTILE, "."):
        folder = audit.folder_of(audit.Request(model=name, data=name))
        assert len(folder.parts) == 2
        assert folder.parts[0] == "runs"
        assert folder.name.isascii()
        assert shlex.quote(str(folder)) == str(folder)


def test_the_printed_command_reproduces_the_request():
    request = audit.Request(
        model="a b.pt",
        data="d",
        threat=("linf:1/10", "l2:1"),
        bounds="0,1",
        limit=7,
        expect_accuracy=0.9,
        transfer_to=("x", "y"),
        trust="f.py",
        replay="runs/old one",
        out="runs/a",
    )
    words = shlex.split(audit.reproducing(request))
    assert words[:4] == ["holdfast", "audit", "a b.pt", "d"]
    for pair in (
        ("--threat", "l2:1"),
        ("--suite", "standard"),
        ("--limit", "7"),
        ("--transfer-to", "y"),
        ("--expect-accuracy", "0.9"),
        ("--replay", "runs/old one"),
    ):
        assert any(tuple(words[i : i + 2]) == pair for i in range(len(words)))


def test_a_finished_run_is_read_not_repeated(run, capsys):
    before = files(run), (run / "journal.jsonl").read_bytes()
    words = ["audit", "digits-mlp", "digits", "-n", "24", *QUICK, "--threat", "linf:0.05", "-o", str(run), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["complete"]
    assert files(run) == before[0]
    after = (run / "journal.jsonl").read_bytes()
    new = after[len(before[1]) :].decode().splitlines()
    assert after.startswith(before[1])
    assert all('"event":"session"' in line for line in new), "nothing was computed again"


def test_the_document_is_of_the_published_schema(run, capsys):
    jsonschema = pytest.importorskip("jsonschema")
    assert main(["schema", "summary"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert main(["show", str(run), "--json"]) == 0
    jsonschema.validate(json.loads(capsys.readouterr().out), schema)


def test_quiet_prints_the_verdict_and_very_quiet_nothing(run, capsys):
    text = Folder(run).summary.verdict.text
    assert main(["show", str(run), "-q"]) == 0
    assert capsys.readouterr() == (text + "\n", "")
    assert main(["show", str(run), "-qq"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_line_for_each_sample_and_threat(run, capsys):
    words = [
        "audit",
        "digits-mlp",
        "digits",
        "-n",
        "24",
        *QUICK,
        "--threat",
        "linf:0.05",
        "-o",
        str(run),
        "--jsonl",
        "-q",
    ]
    assert main(words) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == 48
    assert {row["threat"] for row in rows} == {"linf:1/10", "linf:1/20"}


def test_three_next_commands_that_exist(run):
    folder = Folder(run)
    found = result.following(folder, folder.summary.provenance.command)
    assert len(found) == 3
    for words, why in found:
        assert shlex.split(words)[0] == "holdfast"
        assert shlex.split(words)[1] in VERBS
        assert why
    assert any("--limit" not in words and words.startswith("holdfast audit") for words, _ in found), (
        "the run was limited"
    )


def test_the_audits_of_another_verb_ask_nothing_more_of_it(run):
    """A hardening is refused under another threat in its folder, so it is not led there."""
    found = result.following(Folder(run), "holdfast harden digits-mlp digits --threat linf:0.1 -o h")
    assert found
    assert not [words for words, _ in found if words.startswith("holdfast harden")]


def changed(summary, *, state="measured", **fields):
    return dataclasses.replace(summary, verdict=dataclasses.replace(summary.verdict, state=state), **fields)


@pytest.mark.parametrize("status", ["wrong", "invalid"])
def test_a_run_that_shows_nothing_leads_to_the_samples_that_say_why(run, status):
    folder = Folder(run)
    folder.__dict__["summary"] = changed(
        folder.summary, state="empty", coverage=dataclasses.replace(folder.summary.coverage, statuses={status: 24})
    )
    words = [line for line, _ in result.following(folder, "")]
    assert words[0].endswith(f"--status {status}")
    assert words[-1] == f"holdfast explain {status}"


def test_the_exit_code_follows_the_verdict(run):
    summary = Folder(run).summary
    errors = dataclasses.replace(summary.coverage, statuses={"error": 2, "unbroken": 22})
    assert result.exit_code(summary) == 0
    assert result.exit_code(changed(summary, complete=False, stopped="interrupted")) == 130
    assert result.exit_code(changed(summary, complete=False, stopped="stopped by the listener")) == 3
    assert result.exit_code(changed(summary, state="doubtful")) == 4
    assert result.exit_code(changed(summary, coverage=errors)) == 4
    assert result.exit_code(changed(summary, coverage=errors), max_errors=0.1) == 0
    assert result.exit_code(changed(summary, state="empty")) == 5


@pytest.mark.parametrize("state", ["measured", "doubtful", "empty"])
@pytest.mark.parametrize(("broken", "suite"), [(0, "quick"), (20, "standard")])
def test_every_finding_leads_on(run, state, broken, suite):
    folder = Folder(run)
    summary = folder.summary
    coverage = dataclasses.replace(summary.coverage, statuses={"broken": broken, "unbroken": 24 - broken})
    provenance = dataclasses.replace(summary.provenance, suite=suite)
    folder.__dict__["summary"] = changed(summary, state=state, coverage=coverage, provenance=provenance, findings=())
    found = [words for words, _ in result.following(folder, summary.provenance.command)]
    assert len(found) == len(set(found)) == 3
    assert all(shlex.split(words)[1] in VERBS for words in found)


def test_samples_in_the_terminal(run, capsys):
    assert main(["show", str(run), "--status", "broken", "--threat", "linf:0.1", "-n", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["sample", "label", "predicted", "status"]
    assert all("broken" in line for line in lines[1:3])
    sample = lines[1].split()[0]
    assert main(["show", str(run), sample]) == 0
    assert "linf:1/20" in capsys.readouterr().out, "under every threat"
    assert main(["show", str(run), sample, "--json"]) == 0
    assert {row["sample"] for row in json.loads(capsys.readouterr().out)} == {int(sample)}


@pytest.mark.parametrize(
    ("words", "code", "number"),
    [
        (["show", "RUN", "99999"], 2, "HF809"),
        (["show", "RUN", "--threat", "l2:7"], 2, "HF809"),
        (["show", "RUN", "--status", "brken"], 2, "HF807"),
        (["show", "nowhere"], 3, "HF407"),
        (["report", "nowhere"], 3, "HF407"),
        (["report", "RUN", "--format", "pdf"], 2, "HF807"),
        (["report", "RUN", "--format", "md", "-o", "a.html"], 2, "HF805"),
        (["replay", "RUN", "99999"], 3, "HF410"),
        (["recheck", "RUN", "digits-mlp", "wine"], 3, "HF412"),
    ],
)
def test_a_question_the_run_cannot_answer(run, capsys, words, code, number):
    found = main([str(run) if word == "RUN" else word for word in words])
    err = capsys.readouterr().err
    assert (found, err[:5]) == (code, number)
    assert "Traceback" not in err


def test_replay_and_recheck_remember_the_model(run, capsys):
    sample = next(row["sample"] for row in Folder(run).samples.to_pylist() if row["status"] == "broken")
    assert main(["replay", str(run), str(sample)]) == 0
    text = capsys.readouterr().out
    assert "breaks the model" in text
    assert "to the last bit" in text
    assert main(["replay", str(run), str(sample), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"] is True
    assert main(["recheck", str(run)]) == 0
    assert "hold" in capsys.readouterr().out
    assert main(["recheck", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["holds"] is True


def test_a_command_that_no_shell_can_read_is_one_that_says_nothing(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "copy")
    summary = json.loads((copy / "summary.json").read_text())
    summary["provenance"]["command"] = "holdfast audit 'digits-mlp digits"
    (copy / "summary.json").write_text(json.dumps(summary))
    assert main(["show", str(copy)]) == 0
    assert main(["recheck", str(copy)]) == 2
    assert capsys.readouterr().err.startswith("HF804")


def test_reports_where_they_are_wanted(run, tmp_path, capsys):
    assert main(["report", str(run), "--format", "html,md,json,csv,txt", "-o", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"report.{x}" for x in ("csv", "html", "json", "md", "txt")
    ]
    assert capsys.readouterr().out.count("report.") == 5
    assert main(["report", str(run), "-o", str(tmp_path / "x.md")]) == 0
    assert (tmp_path / "x.md").read_text().startswith("#")


def test_a_list_of_runs(run, capsys):
    assert main(["ls", str(run.parent), "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [(e["state"], e["samples"]) for e in entries] == [("done", 24)]
    assert main(["ls", str(run)]) == 0
    assert "not broken" in capsys.readouterr().out
    assert main(["ls", str(run / "parts")]) == 0
    assert capsys.readouterr().out == ""


def test_another_model_in_the_same_folder_is_refused_and_new_makes_a_sibling(run, tmp_path, capsys):
    from holdfast.data import load
    from holdfast.models.files import save_model
    from holdfast.models.networks import build

    run = shutil.copytree(run, tmp_path / "runs" / "a run")
    net = build("mlp", shape=(1, 8, 8), classes=10, width=8)
    with_card = {"network": "mlp", "width": 8, "shape": (1, 8, 8), "classes": 10, "bounds": (0.0, 1.0)}
    save_model(net, tmp_path / "m.safetensors", with_card)
    test = load("digits").test
    np.savez(tmp_path / "d.npz", x=test.x[:9].numpy(), y=test.y[:9].numpy())
    words = [
        "audit",
        str(tmp_path / "m.safetensors"),
        str(tmp_path / "d.npz"),
        "--bounds",
        "0,1",
        *QUICK,
        "-o",
        str(run),
        "--json",
    ]
    assert main(words) == 3
    assert json.loads(capsys.readouterr().out)["code"] == "HF402"
    assert main([*words, "--new"]) in (0, 4, 5)
    assert (run.parent / "a run-2" / "summary.json").is_file()
    assert main(["audit", "digits-mlp", "digits", "-n", "5", "-o", str(tmp_path), "--json"]) == 3
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["code"] == "HF406", "other files are in the way"


def test_hostile_names_reach_no_terminal(tmp_path, capsys, monkeypatch):
    from holdfast.data import load

    monkeypatch.setenv("FORCE_COLOR", "1")
    test = load("digits").test
    x, y = test.x[:12].numpy(), test.y[:12].numpy()
    file = tmp_path / f"{HOSTILE.replace('/', '')}.npz"
    np.savez(file, x=x, y=y, class_names=np.array([f"{HOSTILE}{i}" for i in range(10)]))
    folder = tmp_path / HOSTILE
    words = ["audit", "digits-mlp", str(file), "--bounds", "0,1", *QUICK, "-o", str(folder)]
    for again in (
        words,
        ["show", str(folder)],
        ["show", str(folder), "--status", "broken"],
        ["ls", str(tmp_path)],
        ["doctor", "digits-mlp", str(file)],
    ):
        monkeypatch.setenv("NO_COLOR", "" if "audit" in again or len(again) == 2 else "1")
        assert main(again) in (0, 4)
        out, err = capsys.readouterr()
        assert "\x1b[2J" not in out + err
        assert "\u202e" not in out + err
        assert "[bold]" in out, "shown as it is, not as markup"


@pytest.mark.parametrize("option", ["--json", "--jsonl"])
@pytest.mark.parametrize(
    "words",
    [
        ["audit", "digits-mlp", "nothing"],
        ["audit", "nothing.pt", "digits"],
        ["audit", "os:path", "digits"],
        ["audit", "digits-mlp", "digits", "--threat", "l3:1"],
        ["audit", "digits-mlp", "digits", "--threat", "linf:-1"],
        ["audit", "digits-mlp", "digits", "--suite", "pdg"],
        ["audit", "digits-mlp", "digits", "--suite", "pgd(steps=0)"],
        ["audit", "digits-mlp", "digits", "--split", "tset"],
        ["audit", "digits-mlp", "wine", "--threat", "linf:1"],
        ["audit", "digits-mlp", "digits", "-n", "20", "--expect-accuracy", "0.2", "-o", "RUN"],
        ["audit", "digits-mlp", "digits", "--bounds", "2,1"],
        ["audit", "digits-mlp", "digits", "-o", "FILE/x"],
    ],
    ids=lambda words: " ".join(words[1:]),
)
def test_every_error_of_an_audit_is_a_document(tmp_path, monkeypatch, capsys, words, option):
    jsonschema = pytest.importorskip("jsonschema")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "FILE").touch()
    code = main([*words, option])
    out, err = capsys.readouterr()
    document = json.loads(out)
    jsonschema.validate(document, error_schema())
    assert document["exit"] == code != 0
    assert document["code"] != "HF899", err
    assert err.splitlines()[-1].startswith(document["code"])


def test_a_table_needs_a_threat(capsys):
    assert main(["audit", "digits-mlp", "wine", "--dry-run"]) in (2, 3)
    assert capsys.readouterr().err.startswith("HF")


def test_a_log_receives_every_batch(tmp_path, capsys):
    log = tmp_path / "log"
    assert (
        main(["audit", "digits-mlp", "digits", "-n", "12", *QUICK, "-o", str(tmp_path / "a"), "-qq", "--log", str(log)])
        == 0
    )
    assert capsys.readouterr() == ("", "")
    text = log.read_text()
    for event in ("RunStarted", "BatchDone", "StageDone", "RunDone"):
        assert event in text


def test_the_demonstration_writes_a_report(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("holdfast.cli.demo.SAMPLES", 12)
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert (tmp_path / "runs" / "demo-digits" / "report.html").read_text().startswith("<!")
    assert "runs/demo-digits/report.html" in out
    assert out.count("\n  holdfast ") == 3
    assert err.startswith("audit: 12 samples")


def test_completion_in_a_real_shell(capsys):
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    ask = "\nCOMP_WORDS=(holdfast {0}); COMP_CWORD={1}; _holdfast; printf '%s ' \"${{COMPREPLY[@]}}\"\n"

    def complete(words, position):
        done = subprocess.run(
            ["bash", "-c", script + ask.format(words, position)], capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    assert complete("au", 1) == ["audit"]
    assert "--threat" in complete("audit --thr", 2)
    assert complete("list atta", 2)[0] == "attacks"
    for shell in ("zsh", "fish"):
        assert main(["completion", shell]) == 0
        assert "audit" in capsys.readouterr().out


def test_a_deadline_that_has_passed_gives_a_partial_report_and_exit_code_3(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["audit", "digits-mlp", "digits", "-n", "20", *QUICK, "-o", "a"]
    assert main([*words, "--deadline", "0.001s"]) == 3
    told = capsys.readouterr()
    assert "stopped by clock after 0.001s" in told.out
    assert "resume: same command" in told.err
    assert (tmp_path / "a" / "report.html").exists()
    assert main([*words, "-q"]) == 0


def test_a_deadline_is_read_before_anything_is_loaded(tmp_path, capsys):
    assert main(["audit", "no-such-model", "digits", "--deadline", "soon", "-o", str(tmp_path / "a")]) == 2
    assert "HF827" in capsys.readouterr().err
    assert main(["audit", "digits-mlp", "digits", "--deadline", "1m", "--seeds", "2"]) == 2
    assert "--deadline" in capsys.readouterr().err


def test_recheck_tells_what_is_damaged(run, tmp_path, capsys):
    copy = shutil.copytree(run, tmp_path / "copy")
    next((copy / "parts").glob("clean-*.parquet")).unlink()
    assert main(["recheck", str(copy)]) == 4
    first, damaged, *lines = capsys.readouterr().out.splitlines()
    assert "files unchanged" not in first
    assert damaged.startswith("What the folder says does not hold, ")
    assert lines[0].startswith("  parts/clean-")
    assert lines[-1].startswith("Not verified: numbers that rest on damaged parts; ")
    assert len(lines) <= 22
    assert main(["recheck", str(copy), "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["damage"][0] == lines[0].strip()
