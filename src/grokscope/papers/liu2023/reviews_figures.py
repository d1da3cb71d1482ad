"""The figures of the long short-term memory on reviews, from stored numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.papers.liu2023.mnist_figures import norm_of
from grokscope.recipes.curves import chance_line, curve_of, phase_bands
from grokscope.report.figures import Curve, Figure, lines
from grokscope.report.runs import Run

TRAIN, TEST, NORM = "#0072B2", "#D55E00", "#009E73"
PALETTE = ("#D55E00", "#0072B2", "#009E73", "#CC79A7")
Phases = Sequence[dict[str, Any]]


def accuracy(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test accuracy over log-steps (Liu et al. 2023, Fig. 4)."""
    curves = [
        *curve_of(runs, "train/accuracy", "train", colour=TRAIN),
        *curve_of(runs, "test/accuracy", "test", colour=TEST),
        chance_line(runs, 0.5, "a guess"),
    ]
    return lines("Accuracy on reviews", curves, y_title="accuracy", bands=phase_bands(phases), y_range=(0.4, 1.02))


def loss(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return train and test loss over log-steps (Liu et al. 2023, Fig. 4)."""
    curves = [
        *curve_of(runs, "train/loss", "train", colour=TRAIN),
        *curve_of(runs, "test/loss", "test", colour=TEST),
        chance_line(runs, float(np.log(2)), "a guess"),
    ]
    return lines("Loss on reviews", curves, y_title="cross-entropy, nats", log_y=True, bands=phase_bands(phases))


def norm(runs: Sequence[Run], phases: Phases) -> Figure:
    """Return the norm of all parameters over log-steps."""
    curves = norm_of(runs, "‖θ‖", colour=NORM)
    return lines("Weight norm on reviews", curves, y_title="‖θ‖", log_y=True, bands=phase_bands(phases))


def starts(runs: Mapping[str, Sequence[Run]]) -> Figure:
    """Return train and test accuracy from every start (Liu et al. 2023, Fig. 4)."""
    curves: list[Curve] = []
    for colour, some in zip(PALETTE, runs.values(), strict=False):
        scale = f"α = {some[0].spec['model']['initial_scale']:g}"
        curves += curve_of(some, "train/accuracy", f"{scale}, train", colour=colour, dash="dash")
        curves += curve_of(some, "test/accuracy", f"{scale}, test", colour=colour)
    return lines("Accuracy from two starts", curves, y_title="accuracy", y_range=(0.4, 1.02))
