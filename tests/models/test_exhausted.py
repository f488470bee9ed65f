import pytest
import torch

from holdfast.core.errors import ModelError
from holdfast.models.exhausted import in_parts, out_of_memory


def torch_on_a_processor():
    torch.empty(10**15)


def through_another_error():
    try:
        torch_on_a_processor()
    except RuntimeError as error:
        raise ModelError("HF221", "The model cannot take these inputs") from error


@pytest.mark.parametrize("fails", [torch_on_a_processor, through_another_error])
def test_memory_that_runs_out_is_known_by_what_is_said(fails):
    with pytest.raises(Exception) as raised:  # noqa: PT011
        fails()
    assert out_of_memory(raised.value)


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("memory"), None])
def test_other_errors_say_nothing_about_memory(error):
    assert not out_of_memory(error)


def test_parts_are_halved_until_they_fit_and_come_in_order():
    asked = []

    def ask(rows):
        asked.append(len(rows))
        if len(rows) > 3:
            raise MemoryError
        return rows * 2

    x = torch.arange(11)
    parts = in_parts(ask, x)
    assert asked == [11, 6, 3, 3, 3, 2]
    assert torch.equal(torch.cat(parts), x * 2)


@pytest.mark.parametrize("error", [MemoryError, ValueError])
def test_what_one_row_says_and_other_errors_are_raised(error):
    def ask(rows):
        if error is MemoryError or len(rows) == 8:
            raise error
        return rows

    with pytest.raises(error):
        in_parts(ask, torch.arange(8))
