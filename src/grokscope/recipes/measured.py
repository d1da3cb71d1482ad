"""Every measured key as a curve, for runs that no paper has figures for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from grokscope.recipes.curves import curve_of, modules_of, phase_bands
from grokscope.report.figures import Curve, lines
from grokscope.report.runs import Run

Figure = tuple[str, str, str, dict[str, Any]]
MOST_MODULES = 12
"""Lines in a figure; of more modules so many are drawn, evenly spread."""
SPREAD = 30
"""Largest over least positive value from which values are drawn on a log axis."""
TOGETHER = ("loss", "accuracy")
"""What is measured of several probes and drawn in one figure."""
FIRST = {"train": 0, "test": 1}
NAMES = {"step/loss": "training batch"}


def measured_figures(runs: Sequence[Run], phases: Sequence[dict[str, Any]]) -> list[Figure]:
    """Return (id, title, caption, figure) of all that was measured: losses, accuracies, then a figure a key.

    A key that was measured module by module has a line for each, and one of several runs a ribbon over them.
    """
    keys = list(dict.fromkeys(key.partition("@")[0] for run in runs for key in _keys(run)))
    figures: list[Figure] = []
    for metric in TOGETHER:
        own = [key for key in keys if key.partition("/")[2] == metric and not modules_of(runs, key)]
        own.sort(key=lambda key: (FIRST.get(key.partition("/")[0], len(FIRST)), key))
        curves = [curve for key in own for curve in curve_of(runs, key, NAMES.get(key, key.partition("/")[0]))]
        figures += _figure(metric, metric.capitalize(), "", curves, metric, phases)
        keys = [key for key in keys if key not in own]
    for key in keys:
        modules = modules_of(runs, key)
        places = sorted({round(place) for place in np.linspace(0, len(modules) - 1, min(len(modules), MOST_MODULES))})
        shown = [modules[place] for place in places]
        left = f"{len(shown)} of {len(modules)} modules, evenly spread." if len(shown) < len(modules) else ""
        curves = curve_of(runs, key, "all" if shown else key)
        curves += [curve for module in shown for curve in curve_of(runs, key, module, module=module)]
        figures += _figure(key, key, left, curves, key.rpartition("/")[2].replace("_", " "), phases)
    return figures


def told_phases(run: Run) -> list[dict[str, Any]]:
    """Return the phases that were told while a run was monitored, as bands; what was not known is left out."""
    told = [(int(event["step"]), str(event["phase"])) for event in run.events("phase")]
    ends = [step for step, _ in told[1:]] + [None]
    bands = [{"name": name, "start": step, "end": end} for (step, name), end in zip(told, ends, strict=True)]
    return [band for band in bands if band["name"] != "unknown"]


def _keys(run: Any) -> list[str]:
    return run.keys()


def _figure(
    name: str, title: str, caption: str, curves: Sequence[Curve], unit: str, phases: Sequence[dict[str, Any]]
) -> list[Figure]:
    kept = [curve for curve in curves if np.isfinite(curve.values).any()]
    if not kept:
        return []
    values = np.concatenate([curve.values[np.isfinite(curve.values)] for curve in kept])
    log = bool((values > 0).all() and values.max() >= SPREAD * values.min())
    drawn = lines(title, kept, y_title=unit, log_y=log, bands=phase_bands(phases))
    return [(re.sub(r"\W+", "-", name).strip("-"), title, caption, drawn)]
