"""JUnit XML and SARIF against the schemas of others, with strangers' names in every field."""

import dataclasses
import json
import pathlib
import xml.etree.ElementTree as Xml

import pytest
import xmlschema
from jsonschema import Draft4Validator, FormatChecker

from evaluation.documents import SUMMARY
from holdfast.evaluation.gate import Check, Gate
from holdfast.evaluation.statistics import rate
from holdfast.evaluation.summary import Finding
from holdfast.report import gate, junit, sarif
from report import hostile
from report.test_views import hidden

SCHEMAS = pathlib.Path(__file__).parents[1] / "schemas"
JUNIT = xmlschema.XMLSchema(SCHEMAS / "junit-10.xsd")
SARIF = Draft4Validator(json.loads((SCHEMAS / "sarif-2.1.0.json").read_text()), format_checker=FormatChecker())

STATES = {"passed": "error", "failed": "error", "warned": "warn", "off": "off", "unjudged": "error"}
CHECKS = tuple(
    Check(
        id=f"{place:016x}",
        name=f"rule {place}",
        line=3 * place + 1,
        level=level,
        state=state,
        wanted="at least 60.0 %",
        seen="50.5 % [43.4, 57.6] (101/200)",
        rate=rate(101, 200, "samples") if state in ("passed", "failed", "warned") else None,
    )
    for place, (state, level) in enumerate(STATES.items())
)
FINDINGS = tuple(
    Finding(
        id=f"{place:016x}",
        title=f"finding {place}",
        text="1 of 4 break.",
        rate=rate(1, 4, "right samples"),
        threat=threat,
        samples=(3, 9),
        next="train",
    )
    for place, threat in enumerate(("linf:0.1", "l2:1", ""))
)
GATE = Gate(
    holdfast="0.1.0",
    run="runs/a",
    model="net",
    finished="2026-01-01T00:00:01+00:00",
    policy="holdfast.toml",
    baseline="runs/b",
    state="failed",
    advisory=False,
    checks=CHECKS,
    notes=("A note.",),
    text="Failed: 1 of 3 rules not met: rule 1.",
)
names = pytest.mark.parametrize("name", hostile.CORPUS, ids=range(len(hostile.CORPUS)))


def named(name):
    """The gate with the text in every field that can hold one."""
    checks = tuple(dataclasses.replace(c, name=name, wanted=name, seen=name) for c in CHECKS)
    findings = tuple(dataclasses.replace(f, title=name, text=name, threat=name, next=name) for f in FINDINGS)
    fields = dict.fromkeys(("holdfast", "run", "model", "finished", "policy", "baseline", "text"), name)
    return dataclasses.replace(GATE, checks=checks, notes=(name,), findings=findings, **fields)


def variants(found):
    yield found
    yield dataclasses.replace(found, findings=FINDINGS)
    yield dataclasses.replace(found, advisory=True)
    yield from (dataclasses.replace(found, state=state) for state in ("passed", "empty", "incomplete", "untrustworthy"))


def cases(found):
    root = Xml.fromstring(junit.render(found))
    return {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")}, root.find("testsuite")


def test_junit_says_what_became_of_each_rule():
    found, suite = cases(GATE)
    assert found == {
        "rule 0": ["system-out"],
        "rule 1": ["failure"],
        "rule 2": ["system-out"],
        "rule 3": ["skipped"],
        "rule 4": ["skipped"],
    }
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "5",
        "failures": "1",
        "errors": "0",
        "skipped": "2",
    }
    message = suite.find(".//failure").get("message")
    assert message == "50.5 % [43.4, 57.6] (101/200); wanted: at least 60.0 %"


def test_junit_tells_rules_of_one_name_apart():
    same = [dataclasses.replace(check, name="rule") for check in CHECKS[:2]]
    found, _ = cases(dataclasses.replace(GATE, checks=(*same, *CHECKS[2:])))
    assert [name for name in found if name.startswith("rule, line ")] == [f"rule, line {c.line}" for c in same]


def test_junit_of_an_advisory_gate_fails_nothing():
    found, suite = cases(dataclasses.replace(GATE, advisory=True))
    assert found["rule 1"] == ["skipped"]
    assert suite.get("failures") == "0"


@pytest.mark.parametrize("state", ["empty", "incomplete", "untrustworthy"])
def test_junit_of_a_run_that_cannot_be_judged_is_an_error(state):
    found, suite = cases(dataclasses.replace(GATE, state=state))
    assert found["the run can be judged"] == ["error"]
    assert suite.get("errors") == "1"


def judged_under(threat, state="failed", metric="empirical_robust_accuracy", **more):
    """The gate with findings, and one rule under a threat."""
    check = dataclasses.replace(CHECKS[1], state=state, metric=metric, threat=threat, **more)
    return dataclasses.replace(GATE, checks=(check,), findings=FINDINGS)


@pytest.mark.parametrize(
    ("found", "kinds"),
    [
        (judged_under("linf:0.1"), ["failure", "skipped", "failure"]),
        (judged_under("l2:1"), ["skipped", "failure", "failure"]),
        (judged_under(""), ["failure", "failure", "failure"]),
        (judged_under("", "passed"), ["skipped"] * 3),
        (judged_under("", "warned"), ["skipped"] * 3),
        (judged_under("", metric="clean_accuracy"), ["skipped"] * 3),
        (judged_under("", metric="hardest_lost"), ["skipped"] * 3),
        (dataclasses.replace(judged_under(""), advisory=True), ["skipped"] * 3),
    ],
)
def test_a_finding_fails_where_a_rule_about_its_threat_does(found, kinds):
    root = Xml.fromstring(junit.render(found))
    told = [case for case in root.iter("testcase") if case.get("classname") == "holdfast.findings"]
    assert [case.get("name") for case in told] == ["finding 0 under linf:0.1", "finding 1 under l2:1", "finding 2"]
    assert [[child.tag for child in case] for case in told] == [[kind] for kind in kinds]
    assert told[0][0].get("message") == "1 of 4 break."
    assert all(text in told[0][0].text for text in ("(1/4)", "samples: 3, 9", "next: train", "holdfast show runs/a"))
    suites = root.findall("testsuite")
    assert [suite.get("tests") for suite in suites] == ["1", "3"]
    assert root.get("failures") == str(sum(int(suite.get("failures")) for suite in suites))
    assert suites[1].get("failures") == str(kinds.count("failure"))
    JUNIT.validate(junit.render(found))


def test_a_rule_that_fails_names_its_line_and_the_samples_that_were_lost():
    (failure,) = Xml.fromstring(junit.render(judged_under("", samples=(5, 8)))).iterfind(".//failure[@type='policy']")
    assert failure.text == "line 4 of the policy\nsamples that the baseline held: 5, 8"


def test_a_run_without_a_policy_says_its_findings_and_fails_nothing():
    text = junit.of_run(SUMMARY, "runs/a b")
    JUNIT.validate(text)
    root = Xml.fromstring(text)
    assert {case.get("name"): [child.tag for child in case] for case in root.iter("testcase")} == {
        "the run can be judged": ["system-out"],
        "attacked under linf:8/255": ["system-out"],
        "Right answers break under linf:8/255": ["skipped"],
    }
    assert "holdfast show 'runs/a b'" in root.find(".//skipped").text
    assert (root.get("failures"), root.get("errors")) == ("0", "0")
    doubtful = dataclasses.replace(SUMMARY, verdict=dataclasses.replace(SUMMARY.verdict, state="doubtful"), findings=())
    root = Xml.fromstring(junit.of_run(doubtful, "a"))
    assert (root.get("errors"), len(root)) == ("1", 1)


@names
def test_hostile_names_in_the_junit_of_a_run(name):
    text = junit.of_run(hostile.everywhere(SUMMARY, name), name)
    JUNIT.validate(text.encode("utf-8").decode())
    assert not hidden(text)


def test_sarif_points_at_the_lines_of_the_policy():
    (run,) = json.loads(sarif.render(GATE))["runs"]
    told = [(r["ruleIndex"], r["level"], r["kind"]) for r in run["results"]]
    assert told == [(1, "error", "fail"), (2, "warning", "fail")]
    rules = run["tool"]["driver"]["rules"]
    assert [r["id"] for r in rules] == [f"holdfast.gate.{c.id}" for c in CHECKS if c.state != "off"]
    for result, check in zip(run["results"], CHECKS[1:3], strict=True):
        place = result["locations"][0]["physicalLocation"]
        assert place == {"artifactLocation": {"uri": "holdfast.toml"}, "region": {"startLine": check.line}}
        assert result["ruleId"] == rules[result["ruleIndex"]]["id"]
        assert list(result["partialFingerprints"]) == ["holdfastRule/v2"]
        assert "[" not in result["message"]["text"], "a SARIF viewer makes links of brackets"
    assert rules[1]["properties"]["security-severity"] == "5.7", "10 (1 - 0.434)"
    assert run["invocations"] == [{"executionSuccessful": True}]
    advisory = json.loads(sarif.render(dataclasses.replace(GATE, advisory=True)))
    assert {r["level"] for r in advisory["runs"][0]["results"]} == {"note"}


def prints(found, category=""):
    """Category, ids of the rules and fingerprints of a log that follows the schema."""
    log = json.loads(gate.render(found, ".sarif", category))
    assert list(SARIF.iter_errors(log)) == []
    (run,) = log["runs"]
    assert all(r["ruleId"] == run["tool"]["driver"]["rules"][r["ruleIndex"]]["id"] for r in run["results"])
    rules = {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    return run["automationDetails"]["id"], rules, {r["partialFingerprints"]["holdfastRule/v2"] for r in run["results"]}


def test_sarif_keeps_categories_and_models_apart():
    assert prints(GATE)[0] == "holdfast/gate/net/"
    assert prints(dataclasses.replace(GATE, model="a/b"))[0] == "holdfast/gate/a%2Fb/"
    assert prints(GATE, "small")[0] == "holdfast/gate/small/", "the category of a code host ends at the last slash"
    (_, rules, mine), (_, named, theirs) = prints(GATE), prints(GATE, "small")
    assert not rules & named
    assert not mine & theirs
    other = dataclasses.replace(GATE, model="other")
    assert prints(other)[:2] == ("holdfast/gate/other/", rules)
    assert prints(other, "small")[:2] == prints(GATE, "small")[:2], "a model under a new name is the same gate"
    assert not mine & prints(other)[2]
    later = dataclasses.replace(GATE, finished="2027-01-01T00:00:01+00:00", run="runs/later", text="later")
    assert prints(later) == prints(GATE), "alerts are found again"
    assert len(mine) == 2


def test_sarif_of_a_run_that_cannot_be_judged_says_so():
    (run,) = json.loads(sarif.render(dataclasses.replace(GATE, state="incomplete", text="why")))["runs"]
    assert run["invocations"][0]["executionSuccessful"] is False
    assert run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"] == "why"


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("ci/a b.toml", "ci/a%20b.toml"),
        ("a:b.toml", "a%3Ab.toml"),
        ("ü.toml", "%C3%BC.toml"),
        ("\udcff.toml", "%FF.toml"),
        ("../up.toml", "up.toml"),
        ("/etc/p.toml", "p.toml"),
        ("ci/../p.toml", "p.toml"),
    ],
)
def test_sarif_names_the_policy_as_a_relative_reference(tmp_path, monkeypatch, path, uri):
    monkeypatch.chdir(tmp_path)
    log = json.loads(sarif.render(dataclasses.replace(GATE, policy=path)))
    assert log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == uri


def test_sarif_leads_to_the_model_where_it_lies_in_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, uri in (("models/a b.onnx", "models/a%20b.onnx"), (str(tmp_path / "m.pt"), "m.pt")):
        log = json.loads(sarif.render(dataclasses.replace(GATE, model_file=path)))
        assert list(SARIF.iter_errors(log)) == []
        for result in log["runs"][0]["results"]:
            (place,) = result["relatedLocations"]
            assert place["physicalLocation"]["artifactLocation"]["uri"] == uri
    for path in ("", "../elsewhere.pt", "/etc/model.pt"):
        assert "relatedLocations" not in sarif.render(dataclasses.replace(GATE, model_file=path))


def test_both_follow_the_schemas_of_others():
    for found in variants(GATE):
        JUNIT.validate(junit.render(found))
        assert list(SARIF.iter_errors(json.loads(sarif.render(found)))) == []


def test_the_schemas_are_not_empty():
    wrong = junit.render(GATE).replace("<failure ", '<failure line="1" ')
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        JUNIT.validate(wrong)
    log = json.loads(sarif.render(GATE))
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert list(SARIF.iter_errors(log))


@names
def test_hostile_names_in_junit_and_sarif(name):
    for found in variants(named(name)):
        text = junit.render(found).encode("utf-8").decode()
        JUNIT.validate(text)
        assert not hidden(text)
        root = Xml.fromstring(text)
        tags = {"testsuites", "testsuite", "properties", "property", "testcase", "failure", "skipped", "error"}
        assert {element.tag for element in root.iter()} <= tags | {"system-out"}
        log = sarif.render(found).encode("utf-8").decode()
        assert not hidden(log)
        assert list(SARIF.iter_errors(json.loads(log))) == []
        for result in json.loads(log)["runs"][0]["results"]:
            assert not set("[]\\") & set(result["message"]["text"])


def test_characters_that_xml_forbids():
    JUNIT.validate(junit.render(named("a\ufffe\uffff\x0b\x1b\ud800b")))


@names
def test_hostile_names_in_pages(name):
    for form in (".md", ".html", ".txt", ".json"):
        page = gate.render(named(name), form)
        if form != ".json":
            assert not hidden(page)
            assert form == ".txt" or "<script" not in page
