"""Progress on a terminal (one live line a training) and without one (a plain line now and then)."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from grokscope.report.text import number

if TYPE_CHECKING:
    from grokscope.execution.progress import Moment, Progress
    from grokscope.spec import Spec

SHOWN = (("loss", "train/loss"), ("train", "train/accuracy"), ("test", "test/accuracy"))
PLAIN_SECONDS = 10.0
SPEED_SECONDS = 5.0


def progress() -> Progress:
    """Return the progress display that fits where stderr goes."""
    return Live() if sys.stderr.isatty() else Plain()


class Speed:
    """Steps per second over the last few seconds, and the time that is left."""

    def __init__(self) -> None:
        self._marks: list[tuple[float, int]] = []

    def at(self, step: int, limit: int) -> tuple[float | None, float | None]:
        """Return (steps per second, seconds left), None while they are not known."""
        now = time.monotonic()
        self._marks = [mark for mark in self._marks if now - mark[0] < SPEED_SECONDS or mark is self._marks[-1]]
        self._marks.append((now, step))
        (begun, first) = self._marks[0]
        if now - begun < 0.2 or step <= first:
            return None, None
        speed = (step - first) / (now - begun)
        return speed, (limit - step) / speed


def title_of(specs: Sequence[Spec]) -> str:
    """Return what is trained: the experiment, its scale and seeds."""
    seeds = list(dict.fromkeys(str(spec.seed.base) for spec in specs))
    names = list(dict.fromkeys(spec.name for spec in specs))
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    cells = f", {len(specs)} members" if len(specs) > len(seeds) else ""
    return f"{names[0]}{more} {specs[0].scale} seed{'s' if len(seeds) > 1 else ''} {','.join(seeds)}{cells}"


def fields(moment: Moment) -> list[str]:
    """Return the latest loss, accuracies and phase; of several members the median and the phases' counts."""
    parts = []
    for label, key in SHOWN:
        values = sorted(latest[key] for latest in moment.latest if key in latest)
        if values:
            parts.append(f"{label} {values[len(values) // 2]:.3g}")
    counts = {phase: moment.phases.count(phase) for phase in dict.fromkeys(moment.phases)}
    parts.append(" ".join(p if len(moment.phases) == 1 else f"{n} {p}" for p, n in counts.items()))
    return parts


def duration(seconds: float | None) -> str:
    """Return seconds as minutes and seconds, from an hour on as hours and minutes.

    Example:
        >>> duration(75), duration(5.5 * 3600), duration(None)
        ('1:15', '5 h 30 min', '?')
    """
    if seconds is None:
        return "?"
    if seconds >= 3600:
        return f"{int(seconds) // 3600} h {int(seconds) % 3600 // 60} min"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Plain:
    """A line at the start, one every ten seconds, one at the end."""

    def __init__(self) -> None:
        self._title = ""
        self._shown = 0.0
        self._speed = Speed()
        self._last: Moment | None = None

    def start(self, specs: Sequence[Spec], step: int, limit: int) -> None:
        """Say what is trained and how."""
        self._title = title_of(specs)
        self._speed = Speed()
        self._shown = time.monotonic()
        numerics = specs[0].numerics
        self._write(
            f"{self._title}: steps {step} to {limit}, {numerics.dtype}, {numerics.path} path, {numerics.device}, "
            f"{numerics.threads} thread{'s' if numerics.threads > 1 else ''}"
        )

    def update(self, moment: Moment) -> None:
        """Write a line if the last one is old enough."""
        self._last = moment
        speed, left = self._speed.at(moment.step, moment.limit)
        if time.monotonic() - self._shown >= PLAIN_SECONDS:
            self._shown = time.monotonic()
            self._write(self._line(moment, speed, left))

    def note(self, text: str) -> None:
        """Write a sentence."""
        self._write(text)

    def close(self) -> None:
        """Write where it ended."""
        if self._last is not None:
            self._write(f"{self._title}: ended at " + self._line(self._last, None, None).partition(": ")[2])
            self._last = None

    def _line(self, moment: Moment, speed: float | None, left: float | None) -> str:
        parts = [f"step {moment.step}/{moment.limit}", *fields(moment)]
        if speed is not None:
            parts += [f"{number(speed)} steps/s", f"{duration(left)} left"]
        return f"{self._title}: " + ", ".join(parts)

    def _write(self, text: str) -> None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


class Live:
    """A bar that is redrawn: step, loss, accuracies, phase, steps per second, time left."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._task: Any = None
        self._speed = Speed()

    def start(self, specs: Sequence[Spec], step: int, limit: int) -> None:
        """Begin to draw."""
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        numerics = specs[0].numerics
        console = Console(stderr=True)
        console.print(
            f"{title_of(specs)}: {numerics.dtype}, {numerics.path} path, {numerics.device}, "
            f"{numerics.threads} thread{'s' if numerics.threads > 1 else ''}",
            highlight=False,
        )
        columns = (BarColumn(24), TextColumn("{task.fields[text]}", markup=False))
        self._bar = Progress(*columns, console=console, transient=False)
        self._speed = Speed()
        self._task = self._bar.add_task("", total=limit, completed=step, text=f"step {step}/{limit}")
        self._bar.start()

    def update(self, moment: Moment) -> None:
        """Redraw."""
        speed, left = self._speed.at(moment.step, moment.limit)
        parts = [f"step {moment.step}/{moment.limit}", *fields(moment)]
        if speed is not None:
            parts += [f"{number(speed)} steps/s", f"{duration(left)} left"]
        self._bar.update(self._task, completed=moment.step, text="  ".join(parts))

    def note(self, text: str) -> None:
        """Show a sentence above the bar."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            sys.stderr.write(text + "\n")

    def close(self) -> None:
        """Stop drawing; the last state stays."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
