"""The figures of diagonal networks, over the time of the flow, from stored numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.papers.lyu2024.diagonal_statistics import ONSET, RATIO, TIME, decay_of
from grokscope.papers.lyu2024.diagonal_statistics import onset as measured_onset
from grokscope.recipes.curves import curve_of, level, phase_bands, stored_level, stored_moment
from grokscope.recipes.readings import last
from grokscope.report.figures import Curve, Figure, Vertical, lines
from grokscope.report.runs import Run

TRAIN, TEST, EARLY, LATE = "#0072B2", "#D55E00", "#56B4E9", "#009E73"
FLOW = "time t of the gradient flow"
Phases = Sequence[dict[str, Any]]


def forecast(runs: Sequence[Run]) -> list[Vertical]:
    """Return the forecast onset as a vertical line over the time of the flow."""
    return stored_moment(runs, "transition_forecast/onset_time", "onset, forecast")


def accuracy(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test accuracy with the accuracies of both oracles (Lyu et al. 2024, Fig. 1)."""
    curves = [
        *curve_of(runs, "train/accuracy", "train", clock=TIME, colour=TRAIN),
        *curve_of(runs, "test/accuracy", "test", clock=TIME, colour=TEST),
        *stored_level(
            runs, "max_margin/early_accuracy", "maximal L2 margin, test", clock=TIME, colour=EARLY, dash="dashdot"
        ),
        *stored_level(
            runs, "max_margin/late_accuracy", "maximal L1 margin, test", clock=TIME, colour=LATE, dash="dash"
        ),
        level(runs, 0.5, "chance", clock=TIME),
    ]
    bands = phase_bands(phases, runs, clock=TIME)
    return lines(
        "Accuracy", curves, x_title=FLOW, y_title="accuracy", bands=bands, y_range=(0.4, 1.03), verticals=forecast(runs)
    )


def loss(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test loss."""
    curves = [
        *curve_of(runs, "train/loss", "train", clock=TIME, colour=TRAIN),
        *curve_of(runs, "test/loss", "test", clock=TIME, colour=TEST),
    ]
    bands = phase_bands(phases, runs, clock=TIME)
    y = "logistic loss (nats)"
    return lines("Loss", curves, x_title=FLOW, y_title=y, log_y=True, bands=bands, verticals=forecast(runs))


def cosines(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the cosines to the classifiers of maximal L2 and L1 margin."""
    curves = [
        *curve_of(runs, "max_margin/cosine_l2", "maximal L2 margin (early)", clock=TIME, colour=EARLY),
        *curve_of(runs, "max_margin/cosine_l1", "maximal L1 margin (late)", clock=TIME, colour=LATE),
    ]
    bands = phase_bands(phases, runs, clock=TIME)
    y = "cosine to the network's weights"
    return lines(
        "Which classifier it is", curves, x_title=FLOW, y_title=y, bands=bands, y_range=(-0.03, 1.03),
        verticals=forecast(runs),
    )  # fmt: skip


def norm(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the norm of the parameters over that of pure decay."""
    curves = [
        *curve_of(runs, RATIO, "‖θ(t)‖ over ‖θ(0)‖ e^{−λt}", clock=TIME, colour=TEST),
        level(runs, ONSET, "1.05", clock=TIME),
    ]
    bands = phase_bands(phases, runs, clock=TIME)
    return lines(
        "Norm against pure decay", curves, x_title=FLOW, y_title="norm over that of pure decay", log_y=True,
        y_range=(0.9, 30), bands=bands, verticals=forecast(runs),
    )  # fmt: skip


def margins(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return both margins, each with the largest one possible."""
    curves = [
        *curve_of(runs, "max_margin/margin_l2", "over the L2 norm", clock=TIME, colour=EARLY),
        *stored_level(
            runs, "max_margin/best_margin_l2", "largest over the L2 norm", clock=TIME, colour=EARLY, dash="dash"
        ),
        *curve_of(runs, "max_margin/margin_l1", "over the L1 norm", clock=TIME, colour=LATE),
        *stored_level(
            runs, "max_margin/best_margin_l1", "largest over the L1 norm", clock=TIME, colour=LATE, dash="dash"
        ),
    ]
    bands = phase_bands(phases, runs, clock=TIME)
    return lines(
        "Margins", curves, x_title=FLOW, y_title="least margin on the training data", log_y=True, bands=bands,
        verticals=forecast(runs),
    )  # fmt: skip


def stationarity(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the KKT residual over time."""
    curves = curve_of(runs, "stationarity/residual", "‖λθ + ∇L‖ over λ‖θ‖", clock=TIME, colour=TEST)
    bands = phase_bands(phases, runs, clock=TIME)
    y = "KKT residual"
    title = "Distance from a stationary point"
    return lines(title, curves, x_title=FLOW, y_title=y, log_y=True, bands=bands, verticals=forecast(runs))


def onset(by_experiment: Mapping[str, Sequence[Run]]) -> Figure:
    """Return λ times the onset over the initial norm (weight decay 1e-3) and over 1/λ (norm 128), with forecasts."""
    cells = [runs for runs in by_experiment.values() if runs]
    by_norm = [runs for runs in cells if decay_of(runs[0]) == 1e-3]
    by_decay = [runs for runs in cells if runs[0].spec["model"]["initial_norm"] == 128]
    curves = [
        *_swept(by_norm, lambda run: run.spec["model"]["initial_norm"], "initial norm ‖θ(0)‖", TEST),
        *_swept(by_decay, lambda run: 1 / decay_of(run), "1/λ, at norm 128", TRAIN),
    ]
    title = "Onset against the initial scale and against weight decay"
    return lines(title, curves, x_title="initial norm, or inverse weight decay", y_title="λ times the onset")


def _swept(cells: Sequence[Sequence[Run]], place: Any, name: str, colour: str) -> list[Curve]:
    cells = sorted(cells, key=lambda runs: place(runs[0]))
    if not cells:
        return []
    at = np.array([float(place(runs[0])) for runs in cells])
    found = [[decay_of(run) * measured_onset(run) for run in runs] for runs in cells]
    found = [[value if math.isfinite(value) else math.nan for value in values] for values in found]
    middle, low, high = (np.array([function(values) for values in found]) for function in (np.median, np.min, np.max))
    curves = [Curve(f"measured, over {name}", at, middle, colour, None, "left", low, high)]
    key = "transition_forecast/onset_scaled"
    if all(run.has(key) for runs in cells for run in runs):
        predicted = np.array([np.median([last(run, key) for run in runs]) for runs in cells])
        curves.append(Curve(f"forecast, over {name}", at, predicted, colour, "dash"))
    return curves
