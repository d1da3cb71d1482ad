"""Curves of one run, or of several seeds as their median in a ribbon from the lowest to the highest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from grokscope.analysis.seeds import envelope
from grokscope.report.figures import Band, Curve, band
from grokscope.report.runs import Run, curve


def curve_of(runs: Sequence[Run], key: str, name: str, *, module: str | None = None, **style: Any) -> list[Curve]:
    """Return the curve of ``key`` over ``runs``, or nothing if none of them has it.

    Args:
        runs: one run, or the seeds of one experiment.
        key: ``measure/key``.
        name: what the legend says; with several seeds their number is added.
        module: the module path, where the key has one.
        style: ``colour``, ``dash``, ``axis`` of the curve.
    """
    having = [run for run in runs if run.has(key, module)]
    if not having:
        return []
    if len(having) == 1:
        return [curve(having[0], key, module, name=name, **style)]
    steps, low, middle, high = envelope([run.series(key, module) for run in having])
    return [band(f"{name} ({len(having)} seeds: median, range)", steps, low, middle, high, **style)]


def modules_of(runs: Sequence[Run], key: str) -> list[str]:
    """Return the modules with which any of the runs stored ``key``, sorted."""
    return sorted({module for run in runs for module in run.modules(key) if module is not None})


def phase_bands(phases: Sequence[dict[str, Any]]) -> list[Band]:
    """Return stored phases as the bands of a figure."""
    return [Band(phase["name"], phase["start"], phase["end"]) for phase in phases]


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
    ends = np.array([0, runs[0].last_step or 1])
    return Curve(name, ends, np.full(2, value), colour="#888888", dash="dot")
