"""The snippets for build servers: of the right form, and every line of them runs, on a good and on a weakened model."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
import torch
import yaml
from jsonschema import Draft7Validator
from safetensors.torch import load_file, save_file

import holdfast.models
from holdfast.evaluation.policy import read

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES, SCHEMAS = ROOT / "examples" / "ci", ROOT / "tests" / "schemas"
SMALL = {"SUITE": "pgd(steps=10)", "LIMIT": "60"}


def parsed(name):
    """The file as YAML 1.2 would read it: `on` is a word."""
    found = yaml.safe_load((EXAMPLES / name).read_text())
    return {"on" if key is True else key: value for key, value in found.items()}


def github():
    """Name -> (line, condition, environment) of every step that runs a line."""
    job = parsed("github-workflow.yml")["jobs"]["gate"]
    return {s["name"]: (s["run"], s.get("if", "success()")) for s in job["steps"] if "run" in s}, job["env"]


def gitlab():
    job = parsed("gitlab-ci.yml")["robustness"]
    lines = job["before_script"] + job["script"]
    return {f"line {i}": (line, "success()") for i, line in enumerate(lines)}, job["variables"]


@pytest.mark.parametrize("name", ["github-workflow", "gitlab-ci"])
def test_a_snippet_is_of_the_form_its_server_reads(name):
    schema = json.loads((SCHEMAS / f"{name}.json").read_text())
    found = parsed(f"{name}.yml")
    assert list(Draft7Validator(schema).iter_errors(found)) == []
    broken = found | {"robustness": {"script": 3}, "jobs": 3}
    assert list(Draft7Validator(schema).iter_errors(broken)), "the schema sees what is wrong"


def test_the_policy_is_one():
    assert len(read(EXAMPLES / "holdfast.toml").rules) == 3


def test_both_snippets_install_what_is_documented():
    lines = [line for steps, _ in (github(), gitlab()) for line, _ in steps.values() if " pip " in line]
    assert len(lines) == 2
    assert all(line.startswith("python -m pip install holdfast ") for line in lines)


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A repository with a model, its policy, and the baseline of the model that was merged last."""
    folder = tmp_path_factory.mktemp("repository")
    bundled = next(pathlib.Path(holdfast.models.__file__).parent.rglob("digits-mlp.safetensors"))
    shutil.copy(bundled, folder / "model.safetensors")
    shutil.copy(bundled.with_suffix(".card.json"), folder / "model.card.json")
    shutil.copy(EXAMPLES / "holdfast.toml", folder)
    audit = github()[0]["Audit"][0]
    assert step(audit, folder, {**github()[1], **SMALL}).returncode == 0
    assert step("holdfast baseline update runs/now", folder, {}).returncode == 0
    shutil.rmtree(folder / "runs")
    return folder


def changed(name, repository, work):
    """The repository after a change: the same model, or one whose weights got noise."""
    shutil.copytree(repository, work)
    path = work / "model.safetensors"
    if name == "weakened":
        noise, weights = torch.Generator().manual_seed(0), load_file(path)
        for name, value in weights.items():
            if value.dim() > 1:
                weights[name] = value + 0.5 * value.std() * torch.randn(value.shape, generator=noise)
        save_file(weights, path)
    return work


def step(line, folder, variables, on_github=False):
    """One line as the server's shell runs it."""
    environment = {
        **os.environ,
        **variables,
        "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(folder / "step-summary.md"),
        "CI": "true",
        "GITHUB_ACTIONS": "true" if on_github else "",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", line],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


# Every step is a process of its own: GitLab's, which are a part of GitHub's, see the change that fails alone.
RUNS = [("good", github), ("weakened", github), ("weakened", gitlab)]


@pytest.mark.parametrize(("name", "server"), RUNS, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_every_line_runs_and_only_the_gate_of_the_weakened_model_fails(name, server, repository, tmp_path):
    folder = changed(name, repository, tmp_path / "work")
    steps, variables = server()
    codes, failed = {}, False
    for title, (line, condition) in steps.items():
        if " pip " in line or (failed and "always()" not in condition):
            continue
        done = step(line, folder, {**variables, **SMALL}, server is github)
        codes[line.split()[1] if line.startswith("holdfast") else title] = done.returncode
        failed = failed or done.returncode != 0
        if line.startswith("holdfast gate"):
            said = done.stdout
    assert codes.pop("audit") == 0
    assert codes.pop("gate") == (1 if name == "weakened" else 0), said
    assert set(codes.values()) <= {0}
    assert ("Failed" in said) == (name == "weakened")
    assert "(against the baseline)" in said
    assert (folder / "runs" / "now" / "report.html").is_file()
    assert (folder / "gate.xml").is_file()
    assert (folder / "next" / "baseline" / "summary.json").is_file() == (name == "good")
    if server is github:
        assert (folder / "step-summary.md").read_text() == (folder / "gate.md").read_text()
        marked = [line for line in said.splitlines() if line.startswith("::error file=holdfast.toml,line=")]
        assert bool(marked) == (name == "weakened")
        log = json.loads((folder / "gate.sarif").read_text())
        assert bool(log["runs"][0]["results"]) == (name == "weakened")
