"""Every defense says how it was checked, and the test or the benchmark that it names exists."""

import pathlib
import re

import pytest

import holdfast.defenses
from holdfast.cli.catalog import defenses
from holdfast.core.lazy import snake
from holdfast.defenses.evidence import EVIDENCE

ROOT = pathlib.Path(__file__).parents[2]
LIBRARIES = {
    "ART": "art",
    "jsonschema": "jsonschema",
    "Keras": "keras",
    "OpenCV": "cv2",
    "SciPy": "scipy",
    "Pillow": "PIL",
    "scikit-dimension": "skdim",
    "scikit-image": "skimage",
    "scikit-learn": "sklearn",
    "PyTorch": "torch",
    "PyOD": "pyod",
    "diffusers": "diffusers",
}


def test_every_defense_stands_in_the_table():
    assert set(EVIDENCE) == set(holdfast.defenses.__all__)
    kinds = {snake(name): evidence.kind for name, evidence in EVIDENCE.items()}
    assert {row["name"]: row["evidence"] for row in defenses()} == kinds


def test_the_architecture_counts_them_right():
    text = " ".join((ROOT / "docs" / "architecture.md").read_text().split())
    said = re.search(
        r"(\d+) are reproduced, (\d+) cross-checked, (\d+) have a second implementation, (\d+) closed forms only", text
    )
    kinds = [evidence.kind for evidence in EVIDENCE.values()]
    order = "reproduced", "cross-checked", "second implementation", "closed forms"
    assert [int(number) for number in said.groups()] == [kinds.count(kind) for kind in order]


@pytest.mark.parametrize("name", EVIDENCE)
def test_the_command_exists(name):
    evidence = EVIDENCE[name]
    file, _, test = evidence.command.removeprefix("pytest ").partition("::")
    text = (ROOT / file).read_text()
    assert evidence.command.startswith("pytest ") == bool(test), "a test is named, not a file of tests"
    assert re.search(rf"^def {test}\(", text, re.MULTILINE) if test else file.startswith("benchmarks/")
    if evidence.kind == "cross-checked":
        library = next(module for word, module in LIBRARIES.items() if evidence.text.startswith(word))
        asked = rf"^\s*(from|import) {library}\b|importorskip\(\"{library}\b"
        assert re.search(asked, text, re.MULTILINE), "the test does not run the library"
    if file.startswith("benchmarks/"):
        stated = re.search(
            rf"\b({name}|{snake(name)})\b", text + (ROOT / "docs/explanation/broken-defenses.md").read_text()
        )
        assert stated, "neither the script nor the page of its figures names it"
