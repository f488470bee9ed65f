"""`holdfast check` and the commit hooks: what passes, what is refused, and that nothing heavy is loaded for it."""

import hashlib
import pathlib
import pickle
import shlex
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch
import yaml

from holdfast.cli.main import main
from holdfast.models.pinned import CODE, content, pickled

ROOT = pathlib.Path(__file__).parents[2]
HOOKS = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
RULES = '[[gate]]\nmetric = "empirical_robust_accuracy"\nmax_regression = 0.02\nthreat = "linf:0.1"\n'


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def pinned(*names):
    return "".join(f"{hashlib.sha256(pathlib.Path(name).read_bytes()).hexdigest()}  {name}\n" for name in names)


def check(capsys, *words):
    code = main(["check", *words])
    return code, capsys.readouterr().out


def test_a_policy_passes_and_one_with_a_wrong_key_or_threat_does_not(capsys, here):
    (here / "holdfast.toml").write_text(RULES)
    assert check(capsys, "policy") == (0, "policy: 1 of 1 file passed\n")
    (here / "a.toml").write_text(RULES.replace("threat", "thret"))
    (here / "b.toml").write_text(RULES.replace("linf", "lif"))
    code, out = check(capsys, "policy", "a.toml", "holdfast.toml", "b.toml", "none.toml")
    assert code == 1
    assert [line[:5] for line in out.splitlines()] == ["HF823", "HF823", "HF822", "polic"]
    assert out.endswith("policy: 1 of 4 files passed\n")
    assert check(capsys, "policy", "a.toml", "-qq") == (1, "")


def test_a_model_passes_where_it_is_data_and_its_hash_is_pinned(capsys, here):
    (here / "sub").mkdir()
    for name in ("a.safetensors", "sub/b.onnx", "c.onnx"):
        (here / name).write_bytes(name.encode())
    (here / "SHA256SUMS").write_text(pinned("a.safetensors", "sub/b.onnx"))
    assert check(capsys, "model", "a.safetensors", "sub/b.onnx")[0] == 0
    code, out = check(capsys, "model", "c.onnx", "-q")
    assert (code, "HF288 No SHA256SUMS pins 'c.onnx'" in out) == (1, True)
    (here / "a.safetensors").write_bytes(b"another")
    code, out = check(capsys, "model", "a.safetensors", "-q")
    assert (code, "another file than the one that is pinned" in out) == (1, True)
    assert check(capsys, "model", "SHA256SUMS", "-q")[0] == 1, "a change of the pins looks at what they name"
    (here / "sub" / "SHA256SUMS").write_text(f"{'0' * 64} *b.onnx\n")
    assert check(capsys, "model", "sub/b.onnx", "-q")[0] == 1, "the nearest pins count"
    assert "HF212" in check(capsys, "model", "gone.onnx")[1]


def test_pins_above_the_current_folder_are_not_looked_at(capsys, here, monkeypatch):
    (here / "in").mkdir()
    (here / "in" / "a.onnx").write_bytes(b"a")
    (here / "SHA256SUMS").write_text(pinned("in/a.onnx"))
    monkeypatch.chdir(here / "in")
    assert check(capsys, "model", "a.onnx")[0] == 1


def test_pins_that_cannot_be_read_do_not_pass_as_nothing_to_look_at(capsys, here):
    code, out = check(capsys, "model")
    assert (code, out[:5]) == (1, "HF212")
    (here / "a.onnx").write_bytes(b"a")
    (here / "SHA256SUMS").write_text("# pins\n\n" + pinned("a.onnx"))
    assert check(capsys, "model") == (0, "model: 2 of 2 files passed\n")
    for line in ("0" * 63 + "  a.onnx", "0" * 64 + "  a\0.onnx", "a.onnx"):
        (here / "SHA256SUMS").write_text(f"{pinned('a.onnx')}{line}\n")
        code, out = check(capsys, "model", "SHA256SUMS", "-q")
        assert (code, out[:5], "line 2" in out) == (1, "HF288", True)
        assert check(capsys, "model", "a.onnx", "-q")[0] == 0
    (here / "SHA256SUMS").write_text(f"{'0' * 64}  circle\n{pinned('a.onnx')}")
    (here / "circle").symlink_to("circle")
    assert check(capsys, "model", "a.onnx", "-q")[0] == 0
    assert check(capsys, "model", "-q")[1].startswith("HF212 'circle'")


def test_an_archive_with_torn_members_is_one_line(capsys, here):
    for name, kind in (("a.npz", zipfile.ZIP_DEFLATED), ("b.npz", zipfile.ZIP_LZMA), ("c.npz", zipfile.ZIP_BZIP2)):
        with zipfile.ZipFile(here / name, "w", kind) as archive:
            archive.writestr("x.npy", bytes(range(256)) * 200)
        whole = bytearray((here / name).read_bytes())
        whole[60:120] = bytes(byte ^ 0x5A for byte in whole[60:120])
        (here / name).write_bytes(whole)
        code, out = check(capsys, "model", name, "-q")
        assert (code, out.startswith(f"HF213 '{name}' is refused: it is an archive that cannot be read")) == (1, True)


def files(folder):
    """Name -> whether it may run code."""
    torch.save({"w": torch.zeros(2)}, folder / "new.pt")
    torch.save({"w": torch.zeros(2)}, folder / "old.bin", _use_new_zipfile_serialization=False)
    (folder / "plain.weights").write_bytes(pickle.dumps({"w": 1}))
    np.savez(folder / "objects.npz", a=np.zeros(2), b=np.array([{}], dtype=object))
    np.save(folder / "objects.npy", np.array([{}], dtype=object))
    np.save(folder / "fields.npy", np.zeros(2, dtype=[("a", "f4"), ("b", "O")]))
    (folder / "quoted.npy").write_bytes((folder / "objects.npy").read_bytes().replace(b"'|O'", b'"O" '))
    np.savez(folder / "numbers.npz", a=np.zeros(2), b=np.arange(3))
    np.save(folder / "O.npy", np.zeros(2, dtype=[("O", "f4")]))
    (folder / "a.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    (folder / "empty.onnx").write_bytes(b"")
    with zipfile.ZipFile(folder / "a.skops", "w") as archive:
        archive.writestr("schema.json", "{}")
    (folder / "torn.npz").write_bytes((folder / "numbers.npz").read_bytes()[:-30] + b"PK\x05\x06" + b"\0" * 18)
    code = {"new.pt", "old.bin", "plain.weights", "objects.npz", "objects.npy", "quoted.npy", "fields.npy"}
    for ending in CODE:
        (folder / f"x{ending}").write_bytes(b"anything")
        code.add(f"x{ending}")
    return {path.name: path.name in code for path in folder.iterdir() if path.name != "torn.npz"}


def test_pickles_are_told_by_their_bytes(capsys, here):
    found = files(here)
    assert {name: bool(pickled(here / name)) for name in found} == found
    code, out = check(capsys, "model", "new.pt", "-q")
    assert (code, out.startswith("HF213 'new.pt' is refused: it holds a pickle")) == (1, True)


def test_a_file_that_git_lfs_keeps_is_pinned_by_what_it_stands_for(here):
    mark = "ab" * 32
    (here / "a.onnx").write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{mark}\nsize 12\n")
    assert content(here / "a.onnx") == mark


def test_a_baseline_passes_where_it_serves_the_policy(capsys, here, pair):
    assert main(["baseline", "update", pair[0], "-qq"]) == 0
    (here / "holdfast.toml").write_text(RULES)
    assert check(capsys, "baseline")[0] == 0, "linf:0.1 is linf:1/10"
    (here / "other.toml").write_text(RULES.replace("0.1", "0.2"))
    code, out = check(capsys, "baseline", "--policy", "other.toml", "-q")
    assert (code, out[:5]) == (1, "HF824")
    (here / "other.toml").write_text(RULES.replace("0.1", "0.2") + 'level = "off"\n' + RULES)
    assert check(capsys, "baseline", "--policy", "other.toml")[0] == 0
    assert "HF407" in check(capsys, "baseline", "nowhere")[1]
    summary = here / "baseline" / "summary.json"
    text = summary.read_text()
    for old, new, said in (
        ('"complete": true', '"complete": false', "HF415"),
        ('"result_version": ', '"result_version": 1', "HF415"),
        ('"empirical_robust_accuracy": {\n    "k": ', '"empirical_robust_accuracy": {\n    "k": 1', "HF4"),
    ):
        assert old in text
        summary.write_text(text.replace(old, new))
        assert check(capsys, "baseline", "-q")[1].startswith(said)


def test_an_unknown_kind_is_one_line(capsys):
    assert main(["check", "modle"]) == 2
    assert "HF807" in capsys.readouterr().err


def test_nothing_heavy_is_loaded(here, pair, environment):
    assert main(["baseline", "update", pair[0], "-qq"]) == 0
    (here / "holdfast.toml").write_text(RULES)
    (here / "a.onnx").write_bytes(b"a")
    (here / "SHA256SUMS").write_text(pinned("a.onnx"))
    words = [shlex.split(hook["entry"])[1:] for hook in HOOKS.values()]
    words[1].append("a.onnx")
    code = (
        "import sys\nfrom holdfast.cli.main import main\n"
        f"assert [main(words) for words in {words!r}] == [0, 0, 0]\n"
        "assert not {'torch', 'sklearn', 'pandas'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def repository(folder, run):
    """A git repository whose files pass, with the hooks as pre-commit would run them from an installed holdfast."""
    for words in (["init", "-q"], ["config", "user.email", "a@example.org"], ["config", "user.name", "a"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    hooks = [{**hook, "language": "system", "verbose": True} for hook in HOOKS.values()]
    (folder / ".pre-commit-config.yaml").write_text(yaml.safe_dump({"repos": [{"repo": "local", "hooks": hooks}]}))
    assert main(["baseline", "update", run, "-o", str(folder / "baseline"), "-qq"]) == 0
    (folder / "holdfast.toml").write_text(RULES)
    (folder / "model.safetensors").write_bytes(b"numbers")
    (folder / "SHA256SUMS").write_text(f"{hashlib.sha256(b'numbers').hexdigest()}  model.safetensors\n")


def test_the_hooks_run_under_pre_commit_and_each_stops_its_bad_file(here, pair, environment):
    pytest.importorskip("pre_commit")
    tools = here / "tools"
    tools.mkdir()
    line = "import sys; from holdfast.cli.main import main; sys.exit(main())"
    (tools / "holdfast").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(line)} "$@"\n')
    (tools / "holdfast").chmod(0o755)
    work = here / "work"
    work.mkdir()
    repository(work, pair[0])
    kept = environment | {"PATH": f"{tools}:{environment['PATH']}", "PRE_COMMIT_HOME": str(here / "cache")}
    kept.pop("PYTHONWARNINGS")  # pre-commit's own

    def run(*names):
        subprocess.run(["git", "add", "-A"], cwd=work, check=True)
        command = [sys.executable, "-m", "pre_commit", "run", *(("--files", *names) if names else ("--all-files",))]
        return subprocess.run(command, cwd=work, env=kept, capture_output=True, text=True, check=False)

    done = run()
    assert (done.returncode, done.stdout.count("Passed")) == (0, 3), done.stdout + done.stderr
    (work / "holdfast.toml").write_text(RULES.replace("0.1", "0.3").replace("metric", "metrik", 1))
    (work / "model.safetensors").write_bytes(pickle.dumps([1]))
    done = run()
    assert (done.returncode, done.stdout.count("Failed")) == (1, 3), done.stdout + done.stderr
    assert all(code in done.stdout for code in ("HF823", "HF213"))


def test_the_example_names_every_hook():
    found = yaml.safe_load((ROOT / "examples" / "ci" / "pre-commit-config.yaml").read_text())
    assert [hook["id"] for hook in found["repos"][0]["hooks"]] == list(HOOKS)


def test_the_manifest_is_one_that_pre_commit_reads():
    library = pytest.importorskip("pre_commit.clientlib")
    assert {hook["id"] for hook in library.load_manifest(ROOT / ".pre-commit-hooks.yaml")} == set(HOOKS)
