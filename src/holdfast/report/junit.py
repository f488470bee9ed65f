"""What a gate says as JUnit XML, the form that every build server shows: one test case for each rule."""

import re
import xml.etree.ElementTree as Xml

from holdfast.evaluation.gate import Check, Gate
from holdfast.report.visible import cleaned

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # by XML 1.0, section 2.2


def render(found: Gate) -> str:
    """The document; a failure that is only advisory is a skipped test case."""
    found = cleaned(found)
    cases = [_case(check, found.advisory) for check in found.checks]
    if found.state in ("empty", "incomplete", "untrustworthy"):
        case = Xml.Element("testcase", classname="holdfast.gate", name=legal("the run can be judged"))
        Xml.SubElement(case, "error", type=found.state, message=legal(found.text))
        cases.append(case)
    counts = {
        "tests": len(cases),
        "failures": sum(case.find("failure") is not None for case in cases),
        "errors": sum(case.find("error") is not None for case in cases),
        "skipped": sum(case.find("skipped") is not None for case in cases),
    }
    whole = {"name": "holdfast", **{k: str(v) for k, v in counts.items() if k != "skipped"}}
    root = Xml.Element("testsuites", whole)
    suite = Xml.SubElement(root, "testsuite", {"name": "holdfast.gate", **{k: str(v) for k, v in counts.items()}})
    facts = Xml.SubElement(suite, "properties")
    for name in ("run", "model", "policy", "baseline", "finished"):
        Xml.SubElement(facts, "property", name=name, value=legal(getattr(found, name)))
    suite.extend(cases)
    Xml.SubElement(suite, "system-out").text = legal(found.text)
    Xml.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _case(check: Check, advisory: bool) -> Xml.Element:
    case = Xml.Element("testcase", classname="holdfast.gate", name=legal(check.name))
    told = legal(f"{check.seen}; wanted: {check.wanted}")
    if check.state == "failed":
        kind = "skipped" if advisory else "failure"
        Xml.SubElement(case, kind, type="policy", message=f"advisory: {told}" if advisory else told)
    elif check.state in ("off", "unjudged"):
        Xml.SubElement(case, "skipped", type=check.state, message=told)
    else:
        Xml.SubElement(case, "system-out").text = f"{'warning: ' if check.state == 'warned' else ''}{told}"
    return case


def legal(text: str) -> str:
    """The text without the characters that no XML document may hold, not even escaped."""
    return _FORBIDDEN.sub("\ufffd", text)
