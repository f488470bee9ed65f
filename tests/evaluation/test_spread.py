"""Several seeds side by side: rates, the union, the samples that depend on the seed, the command."""

import json
import signal

import pytest

from evaluation.world import data, model
from holdfast.attacks.evasion.noise import Noise
from holdfast.cli.main import main
from holdfast.core.errors import IntegrityError, UsageError
from holdfast.evaluation import work
from holdfast.evaluation.audit import audit
from holdfast.evaluation.document import schema, to_json
from holdfast.evaluation.spread import Spread, spread
from holdfast.evaluation.store import Folder
from holdfast.report.sheet import text
from holdfast.report.spread import page

ASKED = {"threat": "linf:0.3", "suite": Noise(samples=2)}


def runs(tmp_path, seeds=3, **more):
    return [audit(model()[0], data(40), out=tmp_path / f"seed-{k}", seed=k, **{**ASKED, **more}) for k in range(seeds)]


def test_the_union_is_what_no_seed_broke(tmp_path):
    folders = runs(tmp_path)
    (found,) = spread(folders).threats
    status = [{r["sample"]: r["status"] for r in f.samples.to_pylist()} for f in folders]
    held = [{k for k, s in one.items() if s == "unbroken"} for one in status]
    assert [e.held.k for e in found.each] == [len(h) for h in held]
    assert [e.seed for e in found.each] == [0, 1, 2]
    assert found.union.k == len(set.intersection(*held)) < max(len(h) for h in held)
    assert set(found.unsteady) == set.union(*held) - set.intersection(*held)
    assert (found.low, found.high) == (min(len(h) for h in held) / 40, max(len(h) for h in held) / 40)


def test_the_document_and_the_page(tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    found = spread(runs(tmp_path, 2))
    jsonschema.validate(json.loads(to_json(found)), schema(Spread))
    shown = text(page(found))
    assert "broken by no seed" in shown
    assert "samples that depend on the seed" in shown


def test_what_is_no_spread(tmp_path):
    folders = runs(tmp_path, 1)
    with pytest.raises(UsageError, match="HF821"):
        spread(folders)
    other = audit(model()[0], data(39), out=tmp_path / "other", seed=1, **ASKED)
    with pytest.raises(IntegrityError, match="HF413"):
        spread([*folders, other])


def test_the_command_attacks_one_subset_with_every_seed(tmp_path, capsys):
    words = ["audit", "digits-mlp", "digits", "--threat", "linf:0.1", "--suite", "pgd(steps=3)", "--limit", "40"]
    words += ["-o", str(tmp_path / "runs")]
    assert main([*words, "--seeds", "2", "--json"]) in (0, 4)
    found = json.loads(capsys.readouterr().out)
    assert found["samples"] == 40
    assert [one["seed"] for one in found["threats"][0]["each"]] == [0, 1]
    told = [json.loads((tmp_path / "runs" / f"seed-{k}" / "summary.json").read_text()) for k in range(2)]
    assert [(one["data"]["seed"], one["data"]["subset_seed"], one["data"]["total"]) for one in told] == [
        (0, 0, 359),
        (1, 0, 359),
    ]
    assert "--subset-seed 0" in told[1]["provenance"]["command"]
    assert "(seed 0) was used" in " ".join(told[1]["limits"])
    kept = json.loads((tmp_path / "runs" / "spread.json").read_text())
    assert kept["schema"] == "urn:holdfast:spread:1"
    assert [each["seed"] for each in kept["threats"][0]["each"]] == [0, 1]
    with pytest.raises(IntegrityError, match="HF407 .*one for each of several seeds.* Fix: give one of them: .*seed-0"):
        Folder(tmp_path / "runs")
    assert main([*words, "--seeds", "2", "-q"]) in (0, 4)  # reused
    assert "over 2 seeds" in capsys.readouterr().out


@pytest.mark.parametrize("option", [["--decide", "clean_accuracy >= 0.5"], ["--budget", "10s"], ["--seed", "3"]])
def test_what_does_not_go_together(option, tmp_path, capsys):
    words = ["audit", "digits-mlp", "digits", "--seeds", "2", "-o", str(tmp_path / "runs"), *option]
    assert main(words) == 2
    assert "--seeds cannot be combined" in capsys.readouterr().err


def test_ctrl_c_keeps_what_is_there_and_the_same_command_goes_on(tmp_path, capsys, monkeypatch):
    words = ["audit", "digits-mlp", "digits", "--threat", "linf:0.1", "--suite", "pgd(steps=3)", "--limit", "40"]
    words += ["-o", str(tmp_path / "runs"), "--seeds", "3"]
    search, calls = work.search, []

    def interrupted(*asked):
        calls.append(asked)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGINT)
        return search(*asked)

    monkeypatch.setattr(work, "search", interrupted)
    assert main(words) == 130
    told = capsys.readouterr()
    assert "seed 0 of 0 to 2" in told.err
    assert "resume: same command" in told.err
    assert not told.out
    assert not (tmp_path / "runs" / "seed-2").exists()
    monkeypatch.undo()
    assert main(words) in (0, 4)
    told = capsys.readouterr()
    assert "over 3 seeds" in " ".join(told.out.split())
    assert told.out.count("seeds:") <= 1
