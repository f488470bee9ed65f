"""Every block of code in the documentation runs; a language that nobody runs has to say so."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

from docs import page

ROOT = pathlib.Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if not {"_build", "generated"} & set(path.relative_to(ROOT).parts)
)
RUN = {"python", "console"}
READ = {"text", "json"}
"""`text` and `json` blocks are shown, not run: figures, output, files."""


def label(path):
    """The page as a test's name."""
    return str(path.relative_to(ROOT))


@pytest.fixture
def run(programs, path):
    """Run a page in an empty folder."""
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1", "GITHUB_ACTIONS": ""}
    command = [str(programs[0] / "page")] if programs else [sys.executable, "-W", "error", page.__file__]

    def call(name, folder):
        return subprocess.run(
            [*command, str(name)], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )

    return call


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_every_block_is_of_a_known_language(path):
    strange = [b for b in page.blocks(path) if b.language not in RUN | READ and not b.language.startswith("{")]
    assert strange == []
    text = path.read_text(encoding="utf-8")
    assert text.count("\n```") + text.startswith("```") == 2 * len(list(page.blocks(path))), "a fence is left open"


@pytest.mark.parametrize("markdown", [p for p in PAGES if any(b.language in RUN for b in page.blocks(p))], ids=label)
def test_every_block_runs(markdown, tmp_path, run):
    done = run(markdown, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", PAGES, ids=label)
def test_every_make_target_that_a_page_names_exists(path):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ {4}|^)make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize(
    "text",
    [
        "```python\nassert 1 == 2\n```\n",
        "```python\nx = 1\n```\n```python\n>>> x\n2\n```\n",
        "```console\n$ exit 3\n```\n",
        "```console\n$ echo one\ntwo\n```\n",
    ],
)
def test_a_page_that_is_wrong_fails(text, tmp_path, run):
    (tmp_path / "page.md").write_text(text)
    assert run(tmp_path / "page.md", tmp_path).returncode != 0


def test_a_page_that_is_right_passes(tmp_path, run):
    (tmp_path / "page.md").write_text(
        "```python\nx = 1\n```\n```python\n>>> x + 1\n2\n```\n```console\n$ echo a b\na ...\n```\n"
    )
    assert run(tmp_path / "page.md", tmp_path).returncode == 0
