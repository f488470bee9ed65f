"""Names that are imported when they are first used."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.lazy import ATTACHED, camel, catalog, snake


@given(st.lists(st.from_regex(r"[a-z][a-z0-9]{0,6}[a-z]", fullmatch=True), min_size=1, max_size=4).map("_".join))
def test_camel_and_snake_are_inverse(name):
    assert snake(camel(name)) == name


def test_the_names_of_papers():
    assert [camel(name) for name in ("pgd", "fab_t", "hop_skip_jump")] == ["Pgd", "FabT", "HopSkipJump"]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of two lazy names and a catalog."""
    root = tmp_path / "lazy_example"
    (root / "methods").mkdir(parents=True)
    (root / "__init__.py").write_text(
        "from holdfast.core.lazy import attach, catalog\n"
        "NAMES = {'VALUE': 'lazy_example.part', 'part': 'lazy_example.part',\n"
        "    'wrap': 'lazy_example.wrap', **catalog('lazy_example', 'methods')}\n"
        "__getattr__, __dir__, __all__ = attach('lazy_example', NAMES)\n"
    )
    (root / "part.py").write_text("VALUE = 3\n")
    (root / "wrap.py").write_text("def wrap(): return 'wrapped'\n")
    (root / "methods" / "__init__.py").write_text("")
    (root / "methods" / "_private.py").write_text("")
    (root / "methods" / "hop_skip.py").write_text("class HopSkip: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import lazy_example

    yield lazy_example
    for name in [name for name in sys.modules if name.startswith("lazy_example")]:
        del sys.modules[name]
    del ATTACHED["lazy_example"]


def test_names_are_imported_on_first_use(package):
    assert package.__all__ == dir(package) == ["HopSkip", "VALUE", "part", "wrap"]
    assert "lazy_example.part" not in sys.modules
    assert package.VALUE == 3
    assert package.part is sys.modules["lazy_example.part"]
    assert package.wrap() == "wrapped"
    assert "VALUE" in vars(package)
    assert "lazy_example.methods.hop_skip" not in sys.modules
    assert package.HopSkip.__name__ == "HopSkip"


def test_an_unknown_name_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match="module 'lazy_example' has no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_the_catalog_is_read_from_the_folder(package):
    assert catalog("lazy_example", "methods") == {"HopSkip": "lazy_example.methods.hop_skip"}
    assert ATTACHED["lazy_example"]["HopSkip"] == "lazy_example.methods.hop_skip"
