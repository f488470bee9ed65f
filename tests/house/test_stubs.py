"""The stubs say what the lazy names are, and every lazy name can be imported."""

import importlib
import importlib.util
import pathlib

import pytest

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "stubs.py"


@pytest.fixture(scope="module")
def stubs():
    """File -> text, as the tool would write it."""
    found = importlib.util.spec_from_file_location("stubs", TOOL)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module.stubs()


def test_every_stub_is_fresh(stubs):
    old = [str(path) for path, text in stubs.items() if not path.exists() or path.read_text() != text]
    assert not old, f"run `make stubs`: {old}"


def test_no_stub_is_left_behind(stubs):
    assert set(stubs) == set((TOOL.parents[1] / "src").rglob("*.pyi"))


def test_every_lazy_name_is_there(stubs):
    from holdfast.core.lazy import ATTACHED

    assert "holdfast" in ATTACHED
    for package, names in ATTACHED.items():
        module = importlib.import_module(package)
        assert list(module.__all__) == sorted(names)
        for name in names:
            assert getattr(module, name) is not None
            assert getattr(module, name) is getattr(module, name)


def test_lazy_names_lead_into_their_own_folder(stubs):
    from holdfast.core.lazy import ATTACHED

    for package, names in ATTACHED.items():
        for name, module in names.items():
            assert f"{module}.".startswith(f"{package}."), f"{package}.{name} leads to {module}"
