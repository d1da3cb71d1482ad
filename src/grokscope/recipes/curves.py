"""Curves of one run, or of several seeds as their median in a ribbon from the lowest to the highest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from grokscope.analysis.seeds import envelope, envelope_between
from grokscope.analysis.series import on_clock
from grokscope.report.figures import Band, Curve, Vertical, band
from grokscope.report.runs import Run, curve


def curve_of(
    runs: Sequence[Run], key: str, name: str, *, module: str | None = None, clock: str | None = None, **style: Any
) -> list[Curve]:
    """Return the curve of ``key`` over ``runs``, or nothing if none of them has it.

    Args:
        runs: one run, or the seeds of one experiment.
        key: ``measure/key``.
        name: what the legend says; with several seeds their number is added.
        module: the module path, where the key has one.
        clock: the key of the clock it is drawn over (``clock/time``), the step if None.
        style: ``colour``, ``dash``, ``axis`` of the curve.
    """
    having = [run for run in runs if run.has(key, module) and (clock is None or run.has(clock))]
    if not having:
        return []
    if clock is None and len(having) == 1:
        return [curve(having[0], key, module, name=name, **style)]
    series = [run.series(key, module) for run in having]
    if clock is not None:
        series = [_over(run, clock, *one) for run, one in zip(having, series, strict=True)]
    if len(having) == 1:
        return [Curve(name, *series[0], **style)]
    steps, low, middle, high = (envelope if clock is None else envelope_between)(series)
    return [band(f"{name} ({len(having)} seeds: median, range)", steps, low, middle, high, **style)]


def _over(run: Run, clock: str, steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    times = on_clock(run.series(clock), steps)
    seen = np.isfinite(times)
    return times[seen], values[seen]


def modules_of(runs: Sequence[Run], key: str) -> list[str]:
    """Return the modules with which any of the runs stored ``key``, sorted."""
    return sorted({module for run in runs for module in run.modules(key) if module is not None})


def phase_bands(phases: Sequence[dict[str, Any]], runs: Sequence[Run] = (), *, clock: str | None = None) -> list[Band]:
    """Return stored phases as the bands of a figure, over the ``clock`` of the first run if one is named."""
    if clock is None:
        return [Band(phase["name"], phase["start"], phase["end"]) for phase in phases]
    if not runs or not runs[0].has(clock):
        return []
    steps, times = runs[0].series(clock)

    def at(step: float | None) -> float | None:
        return None if step is None else float(np.interp(step, steps, times))

    return [Band(phase["name"], at(phase["start"]), at(phase["end"])) for phase in phases]


def moment_labels(steps: Sequence[int], phases: Sequence[dict[str, Any]]) -> list[str]:
    """Return each step as a label, with the phase it lies in.

    Example:
        >>> moment_labels([0, 1500], [{"name": "memorisation", "start": 0, "end": 100}])
        ['0 · memorisation', '1,500']
    """
    labels = []
    for step in steps:
        # one phase ends where the next one starts
        inside = [phase["name"] for phase in phases if _within(step, phase)]
        labels.append(" · ".join([f"{step:,}", *inside[-1:]]))
    return labels


def _within(step: int, phase: dict[str, Any]) -> bool:
    start, end = phase["start"], phase["end"]
    return (start is None or step >= start) and (end is None or step <= end)


def whose(runs: Sequence[Run]) -> str:
    """Return what a figure of the first run alone must say where there are several; empty for one run."""
    return f"seed {runs[0].spec['seed']['base']}, the first of {len(runs)} runs" if len(runs) > 1 else ""


def chance_line(runs: Sequence[Run], value: float, name: str) -> Curve:
    """Return a dotted level from the first step to the last one of the first run."""
    return level(runs, value, name)


def level(
    runs: Sequence[Run],
    value: float,
    name: str,
    *,
    clock: str | None = None,
    colour: str = "#888888",
    dash: Any = "dot",
) -> Curve:
    """Return a level from the beginning to the end of the first run, over its step or a clock of it."""
    last = runs[0].last_step or 1 if clock is None else runs[0].series(clock)[1].max()
    return Curve(name, np.array([0, last]), np.full(2, value), colour=colour, dash=dash)


def stored_level(runs: Sequence[Run], key: str, name: str, **style: Any) -> list[Curve]:
    """Return the last stored value of ``key``, the median over runs, as a level; nothing where none has it."""
    values = _last_values(runs, key)
    return [level(runs, float(np.median(values)), name, **style)] if values else []


def stored_moment(runs: Sequence[Run], key: str, name: str, **style: Any) -> list[Vertical]:
    """Return the moment that ``key`` forecasts as a vertical line, its median and range over runs' last values."""
    values = _last_values(runs, key)
    if not values:
        return []
    return [Vertical(name, float(np.median(values)), low=min(values), high=max(values), **style)]


def _last_values(runs: Sequence[Run], key: str) -> list[float]:
    last = [float(run.series(key)[1][-1]) for run in runs if run.has(key)]
    return [value for value in last if np.isfinite(value)]
