"""Figures over the time of a gradient flow: axis, forecast end of the kernel regime, colours of early and late."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from grokscope.recipes.curves import curve_of, phase_bands, stored_moment
from grokscope.recipes.readings import TIME as TIME
from grokscope.recipes.readings import last
from grokscope.report.figures import Curve, Figure, Vertical, band, lines
from grokscope.report.runs import Run

FLOW = "time t of the gradient flow"
TRAIN, TEST, EARLY, LATE = "#0072B2", "#D55E00", "#56B4E9", "#009E73"


def forecast(runs: Sequence[Run]) -> list[Vertical]:
    """Return the end of the kernel regime, as forecast at the start, as a vertical line over time."""
    return stored_moment(runs, "transition_forecast/onset_time", "onset, forecast")


def over_time(
    title: str, curves: Sequence[Curve], runs: Sequence[Run], phases: Sequence[dict[str, Any]], **more: Any
) -> Figure:
    """Return curves over the time of the flow with the phases and the forecast; ``more`` goes to ``lines``."""
    bands = phase_bands(phases, runs, clock=TIME)
    return lines(title, curves, **{"x_title": FLOW, "bands": bands, "verticals": forecast(runs), **more})


def train_and_test(runs: Sequence[Run], metric: str) -> list[Curve]:
    """Return a metric (``loss``, ``accuracy``) on the training and the test data over time."""
    return [
        *curve_of(runs, f"train/{metric}", "train", clock=TIME, colour=TRAIN),
        *curve_of(runs, f"test/{metric}", "test", clock=TIME, colour=TEST),
    ]


def stationarity(runs: Sequence[Run], phases: Sequence[dict[str, Any]]) -> Figure:
    """Return the KKT residual of the regularised loss over time."""
    curves = curve_of(runs, "stationarity/residual", "‖λθ + ∇L‖ over λ‖θ‖", clock=TIME, colour=TEST)
    return over_time("Distance from a stationary point", curves, runs, phases, y_title="KKT residual", log_y=True)


def swept(
    cells: Sequence[Sequence[Run]],
    place: Callable[[Run], float],
    value: Callable[[Run], float],
    names: tuple[str, str],
    colour: str,
) -> list[Curve]:
    """Return a value over the cells of a sweep, its median and range over seeds, and dashed λ times the forecast.

    Args:
        cells: the runs of each cell.
        place: where a cell stands.
        value: of a run; one that is not finite leaves a gap.
        names: of the measured curve and of the forecast.
        colour: of both.
    """
    cells = sorted(cells, key=lambda runs: place(runs[0]))
    if not cells:
        return []
    at = np.array([float(place(runs[0])) for runs in cells])
    found = [[each if math.isfinite(each := value(run)) else math.nan for run in runs] for runs in cells]
    middle, low, high = (np.array([function(values) for values in found]) for function in (np.median, np.min, np.max))
    curves = [band(names[0], at, low, middle, high, colour=colour)]
    key = "transition_forecast/onset_scaled"
    if all(run.has(key) for runs in cells for run in runs):
        predicted = np.array([np.median([last(run, key) for run in runs]) for runs in cells])
        curves.append(Curve(names[1], at, predicted, colour, "dash"))
    return curves
