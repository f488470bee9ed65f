"""The pages behind the error codes."""

import pytest

from holdfast.core.errors import UsageError
from holdfast.core.pages import codes, page


def test_codes_are_sorted_and_read():
    assert list(codes()) == sorted(set(codes()))
    assert "HF001" in codes()


@pytest.mark.parametrize("code", codes())
def test_each_page_has_a_title_and_says_what_to_do(code):
    found = page(code.lower())
    assert found.code == code
    assert found.title
    assert found.text.startswith(f"# {code} {found.title}\n\n")
    assert 5 <= len(found.text.splitlines()) <= 20
    assert found.text.count("\n\n") >= 2, "what it means, then what to do"
    assert max(map(len, found.text.splitlines())) <= 140


def test_an_unknown_code_is_refused_with_what_is_near():
    with pytest.raises(UsageError, match=r"HF801 .*'HF00'.*HF001"):
        page("HF00")
