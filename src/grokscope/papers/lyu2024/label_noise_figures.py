"""The figures of label noise, from stored numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.analysis.seeds import envelope_between
from grokscope.papers.lyu2024.label_noise import HALF
from grokscope.papers.lyu2024.label_noise_statistics import RATIO, rate_of, steps_to_half
from grokscope.recipes.curves import curve_of, level, stored_level
from grokscope.recipes.flow import EARLY, LATE, TEST, TIME, TRAIN, over_time, train_and_test
from grokscope.report.figures import Curve, Figure, band, lines
from grokscope.report.runs import Run

CLOCK = "time t = η · steps"
Phases = Sequence[dict[str, Any]]


def loss(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test loss over time."""
    curves = [
        *train_and_test(runs, "loss"),
        *stored_level(
            runs, "early_predictor/loss", "minimum-norm interpolation, test", clock=TIME, colour=EARLY, dash="dash"
        ),
    ]
    return over_time("Loss", curves, runs, phases, x_title=CLOCK, y_title="squared error", log_y=True)


def norm(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the norm of the parameters over that of the decay that the noise amounts to."""
    curves = [
        *curve_of(runs, RATIO, "‖θ(t)‖ over ‖θ(0)‖ e^{−λt}", clock=TIME, colour=TEST),
        level(runs, 1.0, "weight decay of this λ", clock=TIME),
    ]
    title = "Norm against the decay by label noise"
    return over_time(title, curves, runs, phases, x_title=CLOCK, y_title="norm over that of the decay", log_y=True)


def early(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the cosine of the outputs with those of minimum-norm interpolation."""
    curves = curve_of(runs, "early_predictor/cosine", "to minimum-norm interpolation", clock=TIME, colour=EARLY)
    title = "Is it minimum-norm interpolation"
    return over_time(title, curves, runs, phases, x_title=CLOCK, y_title="cosine on test data")


def collapse(by_experiment: Mapping[str, Sequence[Run]]) -> Figure:
    """Return the test loss at each learning rate over η² times the number of steps."""
    curves = []
    for runs, colour in zip(_by_rate(by_experiment), (EARLY, LATE, TEST), strict=False):
        rate = rate_of(runs[0])
        series = [(steps * rate**2, values) for steps, values in (run.series("test/loss") for run in runs)]
        at, low, middle, high = envelope_between(series)
        name = f"η = {rate:g}" if len(runs) == 1 else f"η = {rate:g} ({len(runs)} seeds: median, range)"
        curves.append(band(name, at, low, middle, high, colour=colour))
    ends = np.array([0.0, max((curve.steps[-1] for curve in curves), default=1.0)])
    curves.append(Curve("half of minimum-norm interpolation, on average", ends, np.full(2, HALF), "#888888", "dot"))
    return lines("Test loss at three learning rates", curves, x_title="η² · steps", y_title="squared error", log_y=True)


def steps(by_experiment: Mapping[str, Sequence[Run]]) -> Figure:
    """Return the number of steps to generalisation over the learning rate, with the line of slope −2."""
    cells = _by_rate(by_experiment)
    rates = np.array([rate_of(runs[0]) for runs in cells])
    found = [[value if math.isfinite(value := steps_to_half(run)) else math.nan for run in runs] for runs in cells]
    curves = []
    if cells:
        middle, low, high = (np.array([function(each) for each in found]) for function in (np.median, np.min, np.max))
        curves.append(band("measured: median, range over seeds", rates, low, middle, high, colour=TEST))
        centre = len(cells) // 2
        curves.append(Curve("∝ η^−2", rates, middle[centre] * (rates / rates[centre]) ** -2.0, TRAIN, "dash"))
    title = "Steps to generalisation"
    return lines(title, curves, x_title="learning rate η", y_title="steps", log_y=True)


def _by_rate(by_experiment: Mapping[str, Sequence[Run]]) -> list[list[Run]]:
    """Return the runs of each experiment that have a test loss, by their rate."""
    cells = [[run for run in runs if run.has("test/loss")] for runs in by_experiment.values()]
    return sorted((runs for runs in cells if runs), key=lambda runs: rate_of(runs[0]))
