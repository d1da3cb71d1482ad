"""The progress display: a live line on a terminal, plain lines without one."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace

import pytest

from commands import NAME, TINY
from grokscope.cli import live
from grokscope.execution.plan import experiment_spec
from grokscope.execution.progress import Moment
from grokscope.spec import Spec, parse_assignment


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


def specs(*seeds: int) -> list[Spec]:
    changes = dict(parse_assignment(word) for word in TINY if "=" in word)
    return [experiment_spec(NAME, scale="smoke", seed=seed, changes=changes) for seed in seeds]


def moment(step: int, *phases: str) -> Moment:
    latest = {"train/loss": 0.125, "train/accuracy": 0.75, "test/accuracy": 0.25}
    return Moment(step, 1000, [latest] * len(phases), phases)


def test_plain_lines_tell_everything(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    display = live.Plain()
    display.start(specs(0), 0, 1000)
    title = f"{NAME} smoke seed 0"
    assert capsys.readouterr().err == f"{title}: steps 0 to 1000, float32, fast path, cpu, 1 thread\n"
    for step in range(0, 110, 10):
        display.update(moment(step, "memorising"))
        clock.now += 1
    # ten seconds have passed since the line of the start: one line, at 10 steps a second
    (line,) = capsys.readouterr().err.splitlines()
    words = "loss 0.125, train 0.75, test 0.25, memorising, 10 steps/s, 1:30 left"
    assert line == f"{title}: step 100/1000, {words}"
    display.note("a sentence")
    display.close()
    assert capsys.readouterr().err.splitlines() == [
        "a sentence",
        f"{title}: ended at step 100/1000, loss 0.125, train 0.75, test 0.25, memorising",
    ]
    display.close()
    assert capsys.readouterr().err == ""


def test_members_are_shown_by_median_and_count(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    display = live.Plain()
    display.start(specs(0, 1, 2), 0, 1000)
    latest = [{"train/loss": loss} for loss in (3.0, 1.0, 2.0)]
    display.update(Moment(5, 1000, latest, ["memorising", "generalised", "memorising"]))
    display.close()
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{NAME} smoke seeds 0,1,2: ")
    assert last.endswith("step 5/1000, loss 2, 2 memorising 1 generalised")


def test_speed_is_of_the_last_seconds(clock: Clock) -> None:
    speed = live.Speed()
    assert speed.at(0, 1000) == (None, None)
    clock.now += 100
    speed.at(10, 1000)
    clock.now += 2
    speed.at(110, 1000)
    clock.now += 2
    # the slow stretch at the beginning is forgotten
    assert speed.at(210, 1000) == (pytest.approx(50), pytest.approx(790 / 50))


def test_no_speed_while_nothing_moves(clock: Clock) -> None:
    speed = live.Speed()
    for _ in range(3):
        clock.now += 1
        assert speed.at(7, 1000) == (None, None)
    assert live.duration(None) == "?"
    assert (live.duration(3599), live.duration(3661)) == ("59:59", "1 h 1 min")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_live_line(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    display = live.progress()
    assert isinstance(display, live.Live)
    display.note("before the start")
    display.start(specs(0), 0, 1000)
    for step in (0, 100):
        display.update(moment(step, "[memorising]"))
        clock.now += 1
    display.update(moment(200, "[memorising]"))
    display.note("[a sentence]")
    display.close()
    display.close()
    shown = screen.getvalue()
    assert "before the start" in shown
    assert "[a sentence]" in shown
    assert "float32, fast path, cpu, 1 thread" in shown
    assert "step 200/1000  loss 0.125  train 0.75  test 0.25  [memorising]  100 steps/s  0:08 left" in shown


def test_without_a_terminal_lines_are_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(live.progress(), live.Plain)
