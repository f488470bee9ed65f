"""What `import holdfast` and `holdfast --help` load: an allow-list, compared in a fresh process."""

import json
import subprocess
import sys

import pytest

FEATHER = {
    "holdfast", "holdfast.core", "holdfast.core.lazy",
}  # fmt: skip
STANDARD = {
    "abc", "collections", "contextlib", "copyreg", "enum", "errno", "fnmatch", "functools", "genericpath", "glob",
    "importlib", "ipaddress", "itertools", "keyword", "math", "ntpath", "operator", "os", "pathlib", "posixpath", "re",
    "reprlib", "stat", "sys", "types", "typing", "urllib", "warnings",
}  # fmt: skip
HEAVY = {
    "PIL", "altair", "jinja2", "matplotlib", "numpy", "pandas", "pyarrow", "safetensors", "scipy", "sklearn", "torch",
    "vl_convert",
}  # fmt: skip

REPORT = """
import json, sys
before = set(sys.modules)
{code}
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded(code):
    """Names of the modules that a piece of code loads in a fresh process."""
    command = [sys.executable, "-I", "-W", "error", "-c", REPORT.format(code=code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_importing_holdfast_loads_next_to_nothing():
    names = loaded("import holdfast")
    assert {name for name in names if name.startswith("holdfast")} == FEATHER
    public = {name.partition(".")[0] for name in names if not name.startswith("_")}
    assert public - {"holdfast"} <= STANDARD, "a heavier import is a decision: change this list with a reason"


@pytest.mark.parametrize(
    "module",
    [
        "core.errors",
        "core.files",
        "core.pages",
        "core.params",
        "core.progress",
        "core.records",
        "core.extras",
        "core.trial",
        "core.confined",
    ],
)
def test_the_core_is_standard_library_only(module):
    names = loaded(f"import holdfast.{module}")
    tops = {name.partition(".")[0] for name in names} - {"holdfast"}
    assert {top for top in tops if not top.startswith("_")} <= sys.stdlib_module_names


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["list", "--help"], ["explain", "HF001"]])
def test_help_loads_nothing_heavy(words):
    code = (
        f"import contextlib, io\nfrom holdfast.cli.main import main\n"
        f"with contextlib.redirect_stdout(io.StringIO()):\n    code = main({words!r})\n"
        f"if code: raise SystemExit(f'exit code {{code}}')"
    )
    tops = {name.partition(".")[0] for name in loaded(code)}
    assert not tops & HEAVY


def test_what_is_read_from_a_run_loads_no_torch(tmp_path):
    run = finished(tmp_path / "runs" / "a")
    for words in (["show", run], ["show", run, "--status", "broken"], ["ls", str(tmp_path / "runs")]):
        code = (
            "import contextlib, io\nfrom holdfast.cli.main import main\n"
            f"with contextlib.redirect_stdout(io.StringIO()) as out:\n    main({words!r})\n"
            "assert out.getvalue()"
        )
        assert "torch" not in {name.partition(".")[0] for name in loaded(code)}, words


def finished(path):
    """A run of the command line, some of whose samples broke."""
    import holdfast as hf
    from holdfast.cli.main import main

    command = ["audit", "digits-mlp", "digits", "--suite", "pgd(steps=2)", "-n", "8", "-o", str(path), "-qq"]
    assert main([*command, "--threat", "linf:0.3"]) == 0
    assert hf.open_run(path).complete
    return str(path)


def test_a_name_brings_what_it_needs():
    assert "torch" in loaded("import holdfast\nholdfast.Linf")


def test_an_audit_does_not_wait_for_a_compiler(tmp_path):
    words = ["audit", "digits-mlp", "digits", "-n", "20", "--suite", "pgd(steps=2)", "-o", str(tmp_path / "run"), "-qq"]
    names = loaded(f"from holdfast.cli.main import main\nassert main({[*words, '--threat', 'linf:0.1']!r}) == 0")
    assert "torch" in names
    assert not {"torch._dynamo", "sympy"} & set(names), "two seconds of every command that opens a model"
