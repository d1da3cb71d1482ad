"""What the claims on the transformer are judged by, from the runs of a seed; imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from grokscope.papers.liu2023.transformer import CLAMPED, FREE, LEVEL
from grokscope.recipes.readings import first, over

Runs = Mapping[str, Any]
Values = dict[str, float | None]


def _times(run: Any) -> tuple[float, float]:
    """Return the steps of fitting and of generalising, 1 at least; infinity for never."""
    fit, generalise = (max(first(run, f"{probe}/accuracy", LEVEL), 1.0) for probe in ("train", "test"))
    return fit, generalise


def clamped_delay(runs: Runs) -> Values:
    """Return how many times later than it fits a transformer generalises, its norm held and its norm free.

    None where a run never fits, infinity where it fits and never generalises.
    """
    times = {"clamped": _times(runs[CLAMPED]), "free": _times(runs[FREE])}
    ratios = {
        f"{name}_ratio": generalise / fit if math.isfinite(fit) else None for name, (fit, generalise) in times.items()
    }
    fits = {f"{name}_fit_step": fit for name, (fit, _) in times.items()}
    return {**ratios, **fits, **{f"{name}_generalise_step": late for name, (_, late) in times.items()}}


def norm_peak(runs: Runs) -> Values:
    """Return how high the norm of the weights peaks and where it ends, both over that at the start.

    ``peak_before`` is the step of the peak over that of generalising, None where it never does, ``peak_step`` the step
    itself, ``peak_loss`` the test loss at the peak over that at the start: above 1 while the run overfits.
    """
    run = runs[FREE]
    steps, squares = over(run, "weights/sum_of_squares")
    norms = np.sqrt(squares / squares[0])
    top = int(np.argmax(norms))
    at, loss = over(run, "test/loss")
    late = _times(run)[1]
    return {
        "peak": float(norms[top]),
        "peak_before": float(steps[top]) / late if math.isfinite(late) else None,
        "final": float(norms[-1]),
        "peak_step": float(steps[top]),
        "peak_loss": float(np.interp(steps[top], at, loss) / loss[0]),
        "fit_step": _times(run)[0],
        "generalise_step": late,
    }
