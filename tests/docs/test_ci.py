"""The snippets for build servers: of the right form, and every line of them runs, on a good and on a weakened model."""

import json
import os
import pathlib
import re
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


# `gh` as the action calls it, over a file of comments: [id, whether the token wrote it, body].
GH = """#!{python}
import json, pathlib, shutil, subprocess, sys

file, words = pathlib.Path({file!r}), sys.argv[1:]
comments = json.loads(file.read_text())
given = dict(w.split("=", 1) for flag, w in zip(words, words[1:]) if flag in ("-f", "-F"))
if words[:2] == ["pr", "comment"]:
    assert words[2:] == ["https://example.org/own/repo/pull/7", "--body-file", "-"]
    comments.append([f"IC_{{len(comments)}}", True, sys.stdin.read()])
elif "updateIssueComment" in given["query"]:
    assert given["body"] == "@-"
    (one,) = (c for c in comments if c[0] == given["id"])
    one[2] = sys.stdin.read()
else:
    assert words[:4] == ["api", "graphql", "--hostname", "example.org"]
    assert (given["owner"], given["repo"], given["number"]) == ("own", "repo", "7")
    nodes = [dict(zip(("id", "viewerDidAuthor", "body"), c)) for c in comments]
    page = {{"data": {{"repository": {{"pullRequest": {{"comments": {{"nodes": nodes}}}}}}}}}}
    query = words[words.index("--jq") + 1]
    subprocess.run([{jq!r}, "-r", query], input=json.dumps(page), text=True, check=True)
file.write_text(json.dumps(comments))
"""


@pytest.fixture
def comments(tmp_path, path):
    """The file of comments, with others' and a later one of the same bot, and a path with a `gh` that edits it."""
    jq = shutil.which("jq")
    if jq is None:
        pytest.skip("gh has jq built in, its stand-in needs the program")
    file, tools = tmp_path / "comments.json", tmp_path / "tools"
    tools.mkdir()
    (tools / "gh").write_text(GH.format(python=sys.executable, file=str(file), jq=jq))
    (tools / "gh").chmod(0o755)
    forged = [["IC_0", False, f"<!-- holdfast gate{suffix} -->\n\nPassed."] for suffix in ("", "-small", "-large")]
    file.write_text(json.dumps([*forged, ["IC_1", True, "The bot's own, of another workflow."]]))
    return file, os.pathsep.join([str(tools), path])


def use(given, folder, path, tmp_path):
    """One use of the action: its outputs by step, the steps that ran, whether it failed, and its inputs."""
    found = action()
    assert set(given) <= set(found["inputs"])
    defaults = {key: str(value.get("default", "")) for key, value in found["inputs"].items()}
    inputs = {**defaults, **given, "suite": SMALL["SUITE"], "limit": SMALL["LIMIT"], "install": ""}
    known = {"github.event.pull_request.html_url": "https://example.org/own/repo/pull/7", "github.token": "t"}
    failed, ran = False, []
    for each in found["runs"]["steps"]:
        if "run" not in each or not wanted(each.get("if", "success()"), failed, inputs):
            continue
        told = {key: resolved(value, inputs, **known) for key, value in each.get("env", {}).items()}
        output = tmp_path / "output"
        output.write_text("")
        done = step(each["run"], folder, path, {**told, "GITHUB_OUTPUT": str(output)}, True)
        ran.append(each["name"])
        assert done.returncode in ((0, 1) if each["name"] == "Gate" else (0,)), done.stderr
        failed = failed or done.returncode != 0
        if "id" in each:
            pairs = (line.split("=", 1) for line in output.read_text().splitlines())
            known |= {f"steps.{each['id']}.outputs.{key}": value for key, value in pairs}
    return known, ran, failed, inputs


@pytest.mark.parametrize("name", ["good", "weakened"])
def test_every_line_of_the_action_runs_and_its_exit_code_is_that_of_the_gate(name, repository, tmp_path, comments):
    folder, (file, path) = changed(name, repository, tmp_path / "work"), comments
    before = json.loads(file.read_text())
    example = parsed("github-action.yml")["jobs"]["gate"]["steps"][-1]["with"]
    known, ran, failed, inputs = use(example, folder, path, tmp_path)
    assert ran == ["Names", "Audit", "Gate", "Summary of the job", "Comment on the pull request"]
    assert failed == (name == "weakened")
    assert known["steps.gate.outputs.code"] == str(int(failed))
    text = (folder / "gate.md").read_text()
    assert (folder / "step-summary.md").read_text() == text
    assert json.loads(file.read_text()) == [*before, ["IC_4", True, f"<!-- holdfast gate -->\n\n{text}"]]
    assert resolved(action()["outputs"]["report"]["value"], inputs, **known) == "runs/now/report.html"
    assert (folder / "runs" / "now" / "report.html").is_file()


def uploads(known, inputs):
    """What the action hands to the actions of others, under the names that must differ."""
    steps = {each["name"]: each["with"] for each in action()["runs"]["steps"] if "uses" in each}
    artifact, alerts = steps["Report"], steps["Alerts"]
    keys = (artifact["name"], artifact["path"], alerts["sarif_file"])
    return [resolved(key, inputs, **known) for key in keys]


def test_two_uses_in_one_workflow_overwrite_nothing(repository, tmp_path, comments):
    folder, (file, path) = changed("weakened", repository, tmp_path / "work"), comments
    for model, kept in (("small", repository), ("large", folder)):
        shutil.copy(kept / "model.safetensors", folder / f"{model}.safetensors")
        shutil.copy(folder / "model.card.json", folder / f"{model}.card.json")
    shutil.copytree(folder / "baseline", folder / "kept")
    shutil.rmtree(folder / "baseline")
    for model in ("small", "large"):
        shutil.copytree(folder / "kept", folder / "baseline" / model)
    before = json.loads(file.read_text())
    examples = [s for s in parsed("github-two-models.yml")["jobs"]["gate"]["steps"] if "OWNER" in s["uses"]]
    assert "cancelled()" in examples[1]["if"], "the gate of the first may fail"
    handed, files = [], {}
    for example in examples:
        name = example["with"]["name"]
        known, _, failed, inputs = use(example["with"], folder, path, tmp_path)
        assert failed == (name == "large")
        handed.append(uploads(known, inputs))
        for earlier, content in files.items():
            assert earlier.read_bytes() == content, "what the first wrote stays"
        new = [f"gate-{name}.{form}" for form in ("xml", "sarif", "md")] + [f"runs/now-{name}/report.html"]
        files |= {folder / one: (folder / one).read_bytes() for one in new}
    assert handed[0] == ["robustness-small", "runs/now-small/report.html\ngate-small.xml\n", "gate-small.sarif"]
    assert not set(handed[0]) & set(handed[1])
    assert not list(folder.glob("gate.*"))
    logs = [json.loads((folder / one[2]).read_text())["runs"][0] for one in handed]
    assert [log["automationDetails"]["id"] for log in logs] == ["holdfast/gate/small/", "holdfast/gate/large/"]
    ids = [{rule["id"] for rule in log["tool"]["driver"]["rules"]} for log in logs]
    assert not ids[0] & ids[1]
    told = json.loads(file.read_text())
    assert told[:4] == before
    assert [(own, body.splitlines()[0]) for _, own, body in told[4:]] == [
        (True, f"<!-- holdfast gate-{name} -->") for name in ("small", "large")
    ]


def test_a_comment_is_found_again_by_its_marker(tmp_path, comments):
    (file, path), line = comments, next(s["run"] for s in action()["runs"]["steps"] if "Comment" in s["name"])
    before = json.loads(file.read_text())
    for turn, suffix in enumerate(("-a", "", "-a-b", "-a", "", "-a-b")):
        (tmp_path / f"gate{suffix}.md").write_text(f"{turn} $(touch hit) `touch hit`")
        told = {"FILE": f"gate{suffix}", "MARKER": f"<!-- holdfast gate{suffix} -->"}
        done = step(line, tmp_path, path, {**told, "PULL": "https://example.org/own/repo/pull/7"})
        assert done.returncode == 0, done.stderr
    told = json.loads(file.read_text())
    assert told[:4] == before
    assert [body.split("\n\n")[1][0] for _, _, body in told[4:]] == ["3", "4", "5"]
    assert not (tmp_path / "hit").exists()
    (tmp_path / "gate.md").unlink()
    assert step(line, tmp_path, path, {"FILE": "gate", "MARKER": "", "PULL": ""}).returncode == 0, "nothing to tell"


@pytest.mark.parametrize(
    ("name", "out", "told"),
    [
        ("", "", {"suffix": "", "out": "runs/now"}),
        ("", "runs/b", {"suffix": "", "out": "runs/b"}),
        ("v1.2_x-y", "", {"suffix": "-v1.2_x-y", "out": "runs/now-v1.2_x-y"}),
        ("a", "runs/b", {"suffix": "-a", "out": "runs/b"}),
        *((name, "", {}) for name in ("a/b", "../a", "-a", "a b", "a\nout=/etc", "$(touch hit)", "ä", "a" * 65)),
        ("a", "b\nsuffix=c", {}),
    ],
)
def test_a_name_is_one_that_files_artifacts_and_categories_can_have(name, out, told, tmp_path):
    line = next(s["run"] for s in action()["runs"]["steps"] if s.get("id") == "names")
    output = tmp_path / "output"
    output.write_text("")
    done = step(line, tmp_path, os.environ["PATH"], {"NAME": name, "OUT": out, "GITHUB_OUTPUT": str(output)})
    assert done.returncode == (0 if told else 2)
    assert dict(line.split("=", 1) for line in output.read_text().splitlines()) == told
    assert done.stdout.startswith("::error::") == (not told)
    assert not (tmp_path / "hit").exists()


def test_the_action_takes_nothing_from_strangers_into_a_script_and_fixes_no_name():
    steps = action()["runs"]["steps"]
    assert steps[0]["id"] == "names", "a name is looked at before anything is done with it"
    assert action()["inputs"]["name"]["default"] == ""
    for each in steps:
        assert "${{" not in each.get("run", ""), "what strangers write reaches a shell only as a variable"
        if "always()" in each.get("if", ""):
            assert "steps.names.outcome == 'success'" in each["if"], "no wrong name writes the files of no name"
        if each.get("uses", "").startswith("actions/cache"):
            assert "steps.names.outputs.out" in each["with"]["key"]
    text = (ROOT / "action.yml").read_text()
    assert text.count("inputs.out ") == 1
    assert not re.search(r"\bgate\.(xml|sarif|md)\b|--edit-last", text)
    assert "steps.names.outputs.suffix" in next(s["if"] for s in steps if s["name"] == "Alerts")


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
