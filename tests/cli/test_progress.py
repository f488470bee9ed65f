"""Progress: few plain lines where nobody watches, one live line a stage where somebody does."""

import io

import pytest
from rich.console import Console

from holdfast.cli import progress
from holdfast.core.progress import BatchDone, Note, RunDone, RunStarted, StageDone


def batch(done, total=100, held=80, judged=100, seconds=130.0, stage="pgd"):
    return BatchDone(stage=stage, done=done, total=total, held=held, judged=judged, seconds=seconds)


class Clock:
    def __init__(self):
        self.time = 0.0

    def __call__(self):
        return self.time


def test_the_rate_comes_with_its_interval():
    assert progress.live(batch(1, held=83, judged=124)) == "broken 41/124 → not broken 66.9 % [57.9, 75.1]"
    assert progress.live(batch(1, held=0, judged=0)) == ""
    for stage in ("curve linf:1/20", "masking slope linf:1/10"):
        assert progress.live(batch(1, stage=stage)) == "", "a share of a part of the samples is not the rate"


def test_time_left_is_a_range_until_a_tenth_is_done():
    assert progress.left(100, 0.05) == "0:50–3:20 left"
    assert progress.left(130, 0.5) == "2:10 left"
    assert progress.left(3723, 0.5) == "1:02:03 left"
    assert progress.left(None, 0.5) == ""


def test_plain_lines_come_every_thirty_seconds_and_at_stage_ends():
    clock, lines = Clock(), []
    plain = progress.Plain(clock, write=lines.append)
    plain(RunStarted("audit", "runs/a", 100, ("pgd",), 60.0))
    for second in range(1, 62):
        clock.time = float(second)
        plain(batch(second))
    plain(StageDone("pgd", 100, 20, 61.0, 5))
    assert len(lines) == 4
    assert lines[0] == "audit: 100 samples, 1 stage → runs/a, up to 1:00"
    assert lines[1].startswith("pgd: 30/100 (30 %)  broken 20/100")
    assert lines[3] == "pgd: broke 20 of 100 in 1:01, 5 from an earlier run"


@pytest.mark.parametrize("stages", [1, 500])
def test_a_run_of_a_week_writes_at_most_200_lines(stages):
    clock, lines = Clock(), []
    plain = progress.Plain(clock, write=lines.append)
    for stage in range(stages):
        for done in range(20000 // stages):
            clock.time += 30.0
            plain(batch(done, 20000, stage=str(stage)))
        plain(StageDone(str(stage), 100, 1, 60.0))
    assert 50 < len(lines) <= 200


def test_verbosity_decides_what_is_shown(monkeypatch):
    lines = []
    monkeypatch.setattr(progress, "say", lines.append)
    monkeypatch.setattr(progress.Plain.__init__, "__defaults__", (Clock(), False, lines.append))
    for verbosity, expected in ((-1, 0), (0, 1), (1, 2), (2, 3)):
        lines.clear()
        with progress.Show(verbosity, now=Clock()) as show:
            show(Note("skipped Square: all samples already broken"))
            show(Note("the journal was damaged", "HF409"))
            show(batch(1))
        assert len(lines) == expected, (verbosity, lines)


def test_a_log_receives_everything_even_when_quiet():
    log = io.StringIO()
    with progress.Show(-1, log, Clock()) as show:
        show(Note("decided"))
        show(batch(1))
        show(RunDone("runs/a", True, 1.0))
    assert len(log.getvalue().splitlines()) == 3
    assert "BatchDone(stage='pgd', done=1" in log.getvalue()


def test_the_live_view_draws_a_line_for_each_stage_and_no_markup():
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=120, markup=False, highlight=False)
    lines = progress.Lines(console)
    stage = "[red]pgd[/red] \x1b[2J"
    lines(RunStarted("audit", "runs/[bold]", 100, (stage, "square"), 60.0))
    lines(batch(50, stage=stage))
    lines(Note("[blink]look\x1b[2J", "HF409"))
    lines(StageDone(stage, 100, 20, 61.0))
    lines(batch(1, stage="square"))
    lines(batch(1, stage="noise control linf:1/10"))
    lines(RunDone("", True, 1.0))
    text = file.getvalue()
    assert "[red]pgd[/red] \\x1b[2J" in text
    assert "broke 20 of 100 in 1:01" in text
    assert "[blink]look\\x1b[2J" in text
    assert "\x1b[2J" not in text
    assert "noise control" not in text.rpartition("square")[2]
    assert text.rstrip().endswith("\x1b[?25h"), "the cursor is shown again"
