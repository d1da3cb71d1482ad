"""The figures of the graph network on molecules, from stored numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grokscope.recipes.curves import chance_line, curve_of, phase_bands
from grokscope.report.figures import Figure, lines
from grokscope.report.runs import Run

TRAIN, TEST = "#0072B2", "#D55E00"
PALETTE = ("#D55E00", "#009E73", "#0072B2", "#CC79A7")
UNIT = "squared error / variance of the targets"


def losses(runs: Sequence[Run], phases: Sequence[dict[str, Any]]) -> Figure:
    """Return train and test loss over log-steps, and the loss of the mean (Liu et al. 2023, Fig. 5)."""
    curves = [
        *curve_of(runs, "train/loss", "train", colour=TRAIN),
        *curve_of(runs, "test/loss", "test", colour=TEST),
        chance_line(runs, 1.0, "the mean of the targets"),
    ]
    return lines("Loss on molecules", curves, y_title=UNIT, log_y=True, bands=phase_bands(phases))


def starts(runs: Mapping[str, Sequence[Run]]) -> Figure:
    """Return train and test loss from every start (Liu et al. 2023, Fig. 5)."""
    curves = []
    for colour, (_, some) in zip(PALETTE, runs.items(), strict=False):
        scale = f"α = {some[0].spec['model']['initial_scale']:g}"
        curves += curve_of(some, "train/loss", f"{scale}, train", colour=colour, dash="dash")
        curves += curve_of(some, "test/loss", f"{scale}, test", colour=colour)
    if curves:
        curves.append(chance_line(next(iter(runs.values())), 1.0, "the mean of the targets"))
    return lines("Loss from two starts", curves, y_title=UNIT, log_y=True)
