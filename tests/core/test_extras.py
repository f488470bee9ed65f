"""Optional packages that are there, missing, or broken."""

import pytest

from holdfast.core.errors import MissingExtra
from holdfast.core.extras import need


def test_a_module_that_is_there():
    import json.decoder

    assert need("json.decoder", extra="none") is json.decoder


def test_a_package_that_is_missing():
    with pytest.raises(MissingExtra, match=r'HF701 .*\'no_such_package\'.*Fix: pip install "holdfast\[boosting\]"'):
        need("no_such_package.part", extra="boosting")


@pytest.mark.parametrize("source", ["import no_such_dependency", "from json import no_such_name"])
def test_a_package_that_does_not_import(tmp_path, monkeypatch, source):
    (tmp_path / "broken_package.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingExtra, match="HF702 'broken_package' does not import"):
        need("broken_package", extra="boosting")
