"""What a stranger's text may do to a terminal: nothing."""

import io
import sys

import pytest

from holdfast.cli import terminal

HOSTILE = [
    "\x1b[2J\x1b[31mred",
    "a\rb",
    "title\x1b]0;pwned\x07",
    "\u202egnp.exe",
    "zero\u200bwidth",
    "line\u2028break",
    "\x9b31m",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_clean_lets_nothing_through_that_acts_on_the_terminal(text):
    cleaned = terminal.clean(text)
    assert all(c.isprintable() for c in cleaned)
    assert cleaned != text


def test_clean_keeps_what_can_be_seen():
    text = "straße 停止 stop [bold]x[/bold] é 🛑"
    assert terminal.clean(text) == text
    assert terminal.clean("two\nlines") == "two\nlines"
    assert terminal.clean("two\nlines", "") == "two\\x0alines"


def test_a_table_with_hostile_cells_keeps_its_lines():
    text = terminal.table([("a\nb", "x"), ("\x1b[2J", "y")], ("name", "value"))
    assert len(text.splitlines()) == 3
    assert "\x1b" not in text


def test_a_path_in_the_home_folder_is_shortened(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert terminal.home("/home/me/runs/a") == "~/runs/a"
    assert terminal.home("/home/mean/a") == "/home/mean/a"
    assert terminal.home("/home/me") == "~"


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("setting", "live"), [({}, True), ({"CI": "true"}, False), ({"TERM": "dumb"}, False), ({"CI": "false"}, True)]
)
def test_lines_are_redrawn_only_on_a_real_terminal(monkeypatch, setting, live):
    for name in ("CI", "TERM", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert terminal.interactive() is live


def test_force_color_makes_no_terminal_of_a_pipe(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert terminal.interactive() is False


def test_no_color_beats_force_color(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert terminal.strong("x") == "\x1b[1mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert terminal.strong("x") == "x"


def test_a_long_cell_pushes_only_its_own_line():
    first, second = terminal.table([("a", "b" * 300, "c"), ("a", "b", "c")]).splitlines()
    assert first == f"a  {'b' * 300}  c"
    assert second == "a  b" + " " * 61 + "c"
