"""The snippets for build servers: of the right form, and every line of them runs, on a good and on a weakened model."""

import json
import os
import pathlib
import re
import shutil
import subprocess

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


def action():
    """The composite action, as its steps run with the inputs of the example."""
    return yaml.safe_load((ROOT / "action.yml").read_text())


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("github-workflow.yml", "github-workflow"),
        ("github-action.yml", "github-workflow"),
        ("github-nightly.yml", "github-workflow"),
        ("github-two-models.yml", "github-workflow"),
        ("../../action.yml", "github-action"),
        ("gitlab-ci.yml", "gitlab-ci"),
    ],
)
def test_a_snippet_is_of_the_form_its_server_reads(name, schema):
    schema = json.loads((SCHEMAS / f"{schema}.json").read_text())
    found = parsed(name)
    assert list(Draft7Validator(schema).iter_errors(found)) == []
    broken = found | {"robustness": {"script": 3}, "jobs": 3, "runs": 3}
    assert list(Draft7Validator(schema).iter_errors(broken)), "the schema sees what is wrong"


def test_the_policies_are_some():
    assert len(read(EXAMPLES / "holdfast.toml").rules) == 3
    assert len(read(EXAMPLES / "pull-request.toml").rules) == 2


def test_both_snippets_install_what_is_documented():
    lines = [line for steps, _ in (github(), gitlab()) for line, _ in steps.values() if " pip " in line]
    assert len(lines) == 2
    assert all(line.startswith("python -m pip install holdfast ") for line in lines)


def filled(folder):
    """The folder with a model and the policies, as a repository holds them."""
    bundled = next(pathlib.Path(holdfast.models.__file__).parent.rglob("digits-mlp.safetensors"))
    shutil.copy(bundled, folder / "model.safetensors")
    shutil.copy(bundled.with_suffix(".card.json"), folder / "model.card.json")
    shutil.copy(EXAMPLES / "holdfast.toml", folder)
    shutil.copy(EXAMPLES / "pull-request.toml", folder)
    return folder


@pytest.fixture(scope="module")
def repository(tmp_path_factory, path):
    """A repository with a model, its policy, and the baseline of the model that was merged last."""
    folder = filled(tmp_path_factory.mktemp("repository"))
    audit = github()[0]["Audit"][0]
    assert step(audit, folder, path, {**github()[1], **SMALL}).returncode == 0
    assert step("holdfast baseline update runs/now", folder, path, {}).returncode == 0
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


def step(line, folder, path, variables, on_github=False):
    """One line as the server's shell runs it, with the programs of `path`."""
    environment = {
        **os.environ,
        "PATH": path,
        **variables,
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
def test_every_line_runs_and_only_the_gate_of_the_weakened_model_fails(name, server, repository, path, tmp_path):
    folder = changed(name, repository, tmp_path / "work")
    steps, variables = server()
    codes, failed = {}, False
    for title, (line, condition) in steps.items():
        if " pip " in line or (failed and "always()" not in condition):
            continue
        done = step(line, folder, path, {**variables, **SMALL}, server is github)
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


def resolved(text, inputs, **more):
    """`${{ inputs.model }}` and the few other expressions of the action, as the server fills them in."""
    known = {**{f"inputs.{name}": value for name, value in inputs.items()}, **more}
    return re.sub(r"\$\{\{ (\S+) \}\}", lambda found: known[found[1]], text)


def wanted(condition, failed, inputs):
    """Whether a step of the action runs; every condition that it has is listed here."""
    if failed and "always()" not in condition:
        return False
    asked = {"install": inputs["install"] != "", "comment": inputs["comment"] == "true"}
    return all(asked[name] for name in asked if f"inputs.{name}" in condition)


PULL = {"github.repository": "o/r", "github.event.pull_request.number": "7", "github.token": "t"}


def comments(tools, folder):
    """A `gh` that keeps comments as numbered files in a folder, and knows the calls that the action makes."""
    (tools / "gh").write_text(
        f"""#!/bin/bash
cd "{folder}" && shift
body="${{@: -1}}"; body="${{body#body=@}}"
case "$*" in
  "--paginate repos/o/r/issues/7/comments --jq "*)
    [ "$4" = '.[] | select((.body | split("\\n")[0]) == env.MARKER) | .id' ] || exit 9
    for id in [0-9]*; do if [ -f "$id" ] && [ "$(head -n 1 "$id")" = "$MARKER" ]; then echo "$id"; fi; done ;;
  "--silent --method PATCH repos/o/r/issues/comments/"*) cp "$OLDPWD/$body" "${{4##*/}}" ;;
  "--silent --method POST repos/o/r/issues/7/comments "*) 
    cp "$OLDPWD/$body" "$(( $(ls [0-9]* 2>/dev/null | wc -l) + 1 ))" ;;
  *) echo "$*" >&2; exit 9 ;;
esac
"""
    )
    (tools / "gh").chmod(0o755)


def test_two_models_of_one_workflow_keep_their_files_and_comments_apart(tmp_path):
    """Each twice: the second time renews its own comment. Artifact and alerts have names of their own, too."""
    steps = {each["name"]: each for each in action()["runs"]["steps"]}
    tools, work = tmp_path / "tools", tmp_path / "work"
    tools.mkdir()
    work.mkdir()
    comments(tools, tmp_path)
    (tools / "holdfast").write_text(
        '#!/bin/sh\nfor word; do case $word in *.md|*.xml|*.sarif) echo "$2" > "$word";; esac; done\n'
    )
    (tools / "holdfast").chmod(0o755)
    (tmp_path / "1").write_text("<!-- holdfast gate signs --> said by somebody in passing\n")
    path = os.pathsep.join([str(tools), os.environ["PATH"]])
    for name, text in [("", "plain"), ("signs", "a"), ("x-rays", "b"), ("signs", "c")]:
        inputs = {"name": name, "out": text, "policy": "p", "baseline": "", "token": "t"}
        for title in ("Gate", "Comment on the pull request"):
            told = {key: resolved(value, inputs, **PULL) for key, value in steps[title]["env"].items()}
            done = step(steps[title]["run"], work, path, {**told, "GITHUB_OUTPUT": str(tmp_path / "output")}, True)
            assert done.returncode == 0, done.stderr
    found = {f"gate{name}.{end}" for name in ("", "-signs", "-x-rays") for end in ("md", "xml", "sarif", "comment")}
    assert {file.name for file in work.iterdir()} - {"step-summary.md"} == found
    marks = [(tmp_path / str(i)).read_text().splitlines() for i in (2, 3, 4)]
    assert marks == [
        ["<!-- holdfast gate -->", "plain"],
        ["<!-- holdfast gate signs -->", "c"],
        ["<!-- holdfast gate x-rays -->", "b"],
    ]
    assert not (tmp_path / "5").exists()
    example = parsed("github-two-models.yml")["jobs"]["gate"]["steps"][2:]
    assert all(set(each["with"]) <= set(action()["inputs"]) for each in example)
    assert [len({each["with"][key] for each in example}) for key in ("name", "out")] == [2, 2]
    named = steps["Report"]["with"]["name"], steps["Report"]["with"]["path"], steps["Alerts"]["with"]["sarif_file"]
    assert all("inputs.name" in text for text in named)
    told = {key: resolved(value, inputs | {"name": "a/../b"}) for key, value in steps["Gate"]["env"].items()}
    assert step(steps["Gate"]["run"], work, path, {**told, "GITHUB_OUTPUT": str(tmp_path / "output")}).returncode == 2


@pytest.mark.parametrize("name", ["good", "weakened"])
def test_every_line_of_the_action_runs_and_its_exit_code_is_that_of_the_gate(name, repository, path, tmp_path):
    folder, found = changed(name, repository, tmp_path / "work"), action()
    example = parsed("github-action.yml")["jobs"]["gate"]["steps"][-1]["with"]
    assert set(example) <= set(found["inputs"])
    given = {key: str(value.get("default", "")) for key, value in found["inputs"].items()} | example
    inputs = given | {"suite": SMALL["SUITE"], "limit": SMALL["LIMIT"], "install": ""}
    tools = tmp_path / "tools"
    tools.mkdir()
    comments(tools, tmp_path)
    failed, ran = False, []
    for each in found["runs"]["steps"]:
        if "run" not in each or not wanted(each.get("if", "success()"), failed, inputs):
            continue
        told = {key: resolved(value, inputs, **PULL) for key, value in each.get("env", {}).items()}
        assert "${{" not in each["run"], "what strangers write reaches a shell only as a variable"
        given_path = os.pathsep.join([str(tools), path])
        done = step(each["run"], folder, given_path, {**told, "GITHUB_OUTPUT": str(tmp_path / "output")}, True)
        ran.append(each["name"])
        assert done.returncode in ((0, 1) if each["name"] == "Gate" else (0,)), done.stderr
        failed = failed or done.returncode != 0
    assert ran == ["Audit", "Gate", "Summary of the job", "Comment on the pull request"]
    assert failed == (name == "weakened")
    assert (tmp_path / "output").read_text() == f"code={int(failed)}\n"
    assert (folder / "step-summary.md").read_text() == (folder / "gate.md").read_text()
    assert (tmp_path / "1").read_text() == "<!-- holdfast gate -->\n" + (folder / "gate.md").read_text()
    assert (folder / resolved(found["outputs"]["report"]["value"], inputs)).is_file()


def test_the_action_goes_on_where_a_run_is_doubtful_and_stops_at_a_wrong_option(tmp_path):
    line = next(s["run"] for s in action()["runs"]["steps"] if s["name"] == "Audit")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "holdfast").write_text('#!/bin/sh\nexit "$CODE"\n')
    (tools / "holdfast").chmod(0o755)
    given = dict.fromkeys(("MODEL", "DATA", "THREATS", "SUITE", "LIMIT", "BUDGET", "MORE", "OUT"), "x")
    path = os.pathsep.join([str(tools), os.environ["PATH"]])
    codes = {code: step(line, tmp_path, path, {**given, "CODE": str(code)}).returncode for code in (0, 2, 3, 4)}
    assert {code: done != 0 for code, done in codes.items()} == {0: False, 2: True, 3: False, 4: False}


def nightly(job):
    """Name -> line of every step of a job that runs one, beside the installation, and the environment."""
    found = parsed("github-nightly.yml")
    steps = found["jobs"][job]["steps"]
    return {s["name"]: s["run"] for s in steps if " pip " not in s.get("run", " pip ")}, found["env"]


@pytest.fixture(scope="module")
def night(tmp_path_factory, path):
    """A repository after a night: every line of that job ran, and its baseline of all samples was committed."""
    folder = filled(tmp_path_factory.mktemp("night"))
    lines, variables = nightly("night")
    codes, told = {}, {**variables, "SUITE": SMALL["SUITE"]}
    codes["Audit"] = step(lines.pop("Audit"), folder, path, told).returncode
    assert step("holdfast baseline update runs/night", folder, path, told).returncode == 0
    codes |= {name: step(line, folder, path, told).returncode for name, line in lines.items()}
    assert set(codes.values()) == {0}, codes
    assert (folder / "next" / "baseline" / "samples.parquet").is_file()
    return folder


@pytest.mark.parametrize("name", ["good", "weakened"])
def test_five_minutes_for_a_change_find_the_weakened_model_by_the_hardest_samples(name, night, path, tmp_path):
    folder = changed(name, night, tmp_path / "work")
    lines, variables = nightly("change")
    told = {**variables, "SUITE": SMALL["SUITE"]}
    done = {title: step(line, folder, path, told) for title, line in lines.items()}
    codes = {title: one.returncode for title, one in done.items()}
    assert codes == {"Audit": 0, "Gate": int(name == "weakened"), "Summary of the job": 0}, done["Audit"].stderr
    summary = json.loads((folder / "runs" / "now" / "summary.json").read_text())
    lost, tried = (summary["hardest"][key] for key in ("broken", "tried"))
    assert (lost > tried / 2) == (name == "weakened")
    assert "hardest samples of the baseline, lost" in done["Gate"].stdout
