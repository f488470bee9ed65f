"""One vocabulary, one spelling."""

import ast
import pathlib
import re
import subprocess

import pytest

from house.house import MODULES, ROOT, label, tree

SYNONYMS = re.compile(
    r"(eps|epsilon|eps_\w+|\w+_eps|iters?|iterations?|max_iter|max_iterations|\w*_iter|step_?size|rel_step\w*|"
    r"nb_\w+|(num|n|max)_(steps?|restarts?|samples?|queries|query|iters?|iterations?|trials?)|"
    r"random_state|random_seed|rng_seed|targeted)"
)
"""What others call `radius`, `steps`, `step`, `restarts`, `samples`, `queries`, `seed`, and a Goal."""

BRITISH = re.compile(
    r"\b(defences?|offences?|licences?|pretences?|(?:de|un)?colou?red|colours?|behaviours?|favours?|favourite|honours?|"
    r"neighbours?\w*|labours?|centres?|centred|metres?|grey|analys(?:e|ed|es|ing)|catalogues?|artefacts?|"
    r"(?:label|model|cancel|travel|signal|channel|level)l(?:ed|ing)|whilst|programmes?|judgement|"
    r"(?:normal|optim|initial|serial|general|regular|maxim|minim|random|summar|visual|recogn|organ|special|real|"
    r"author|util|penal|emphas|parametr|vector|token|categor|character|custom|local|global|stabil|quant|"
    r"binar|standard|factor|discret|linear|diagonal|symmetr|synthes)is(?:e|ed|es|er|ers|ing|ation|ations))\b",
    re.IGNORECASE,
)
AMERICAN_TOO = {"colored", "uncolored", "decolored"}


def parameters(module):
    """Names of arguments and of class fields, with their lines."""
    for node in ast.walk(module):
        if isinstance(node, ast.arguments):
            for argument in (*node.posonlyargs, *node.args, *node.kwonlyargs):
                yield argument.arg, argument.lineno
        elif isinstance(node, ast.ClassDef):
            for part in node.body:
                if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                    yield part.target.id, part.lineno


def british(text):
    """Words of a text that are spelled the British way; what others have named so is named as it is."""
    ours = text.replace("from art.defences.", "").replace("cancelled()", "")
    return [found.group() for found in BRITISH.finditer(ours) if found.group().lower() not in AMERICAN_TOO]


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_parameters_are_called_by_the_one_name(path):
    assert [(name, line) for name, line in parameters(tree(path)) if SYNONYMS.fullmatch(name)] == []


def texts():
    """Every text file of the project that git knows or would add."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    names = done.stdout.splitlines() or [str(p.relative_to(ROOT)) for p in (ROOT / "src").rglob("*")]
    kinds = {".py", ".md", ".toml", ".html", ".css", ".j2", ".pyi", ".yaml", ".yml", ".txt", ""}
    paths = [ROOT / name for name in names if pathlib.PurePath(name).suffix in kinds]
    skipped = {pathlib.Path(__file__), ROOT / "LICENSE"}
    return [path for path in paths if path.is_file() and path not in skipped and path.stat().st_size < 500_000]


def test_the_spelling_is_american():
    slips = {}
    for path in texts():
        found = british(path.read_text(encoding="utf-8", errors="ignore"))
        if found:
            slips[str(path.relative_to(ROOT))] = sorted(set(found))
    assert slips == {}


def test_the_spelling_check_knows_what_it_looks_for():
    wrong = (
        "defence normalise optimisation colour behaviour centred grey neighbours labelled catalogue randomised analyse"
    )
    assert british(wrong) == wrong.split()
    right = "defense normalize optimization color behavior centered gray neighbors labeled catalog analysis precise"
    assert british(right) == []
    assert british("if: ${{ !cancelled() }}") == [], "a function of GitHub's"
    assert british("the job was cancelled") == ["cancelled"]
    assert SYNONYMS.fullmatch("max_iter")
    assert SYNONYMS.fullmatch("n_queries")
    assert not SYNONYMS.fullmatch("steps")
