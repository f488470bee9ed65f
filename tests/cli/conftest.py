import os
import pathlib
import subprocess
import sys

import pytest

from holdfast.cli.main import main

SOURCE = pathlib.Path(__file__).parents[2] / "src"
QUICK = ("--suite", "pgd(steps=5)", "--threat", "linf:0.1")


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A finished run of 24 digits under two threats."""
    folder = tmp_path_factory.mktemp("cli") / "a run"
    words = ["audit", "digits-mlp", "digits", "-n", "24", *QUICK, "--threat", "linf:0.05", "-o", str(folder), "-qq"]
    assert main(words) == 0
    return folder


@pytest.fixture(scope="session")
def weakened(tmp_path_factory):
    """The bundled network with noise on its weights."""
    import torch
    from safetensors.torch import load_file, save_file

    import holdfast.models

    bundled = next(pathlib.Path(holdfast.models.__file__).parent.rglob("digits-mlp.safetensors"))
    path = tmp_path_factory.mktemp("models") / "weak.safetensors"
    noise = torch.Generator().manual_seed(0)
    weights = load_file(bundled)
    for name, value in weights.items():
        if value.dim() > 1:
            weights[name] = value + 0.5 * value.std() * torch.randn(value.shape, generator=noise)
    save_file(weights, path)
    path.with_suffix(".card.json").write_text(bundled.with_suffix(".card.json").read_text())
    return path


@pytest.fixture(scope="session")
def pair(tmp_path_factory, weakened):
    """Two runs over the same 60 samples."""
    folder = tmp_path_factory.mktemp("pair")
    for name, model in (("good", "digits-mlp"), ("weak", str(weakened))):
        assert main(["audit", model, "digits", "-n", "60", *QUICK, "-o", str(folder / name), "-qq"]) == 0
    return str(folder / "good"), str(folder / "weak")


@pytest.fixture
def environment(tmp_path):
    """Variables for a process of its own, without what the tests' own terminal says."""
    kept = {k: v for k, v in os.environ.items() if k not in ("CI", "FORCE_COLOR", "NO_COLOR", "TERM", "COLUMNS")}
    return kept | {
        "PYTHONPATH": str(SOURCE),
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(tmp_path),
        "PYTHONWARNINGS": "error",
    }


@pytest.fixture
def holdfast(environment, tmp_path):
    """Call holdfast as a person does: in a process, in an empty folder."""

    def call(*words, **more):
        command = [
            sys.executable,
            "-c",
            "import sys; from holdfast.cli.main import main; sys.exit(main())",
            *map(str, words),
        ]
        env = environment | more.pop("env", {})
        return subprocess.run(
            command, capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path, env=env, **more
        )

    return call
