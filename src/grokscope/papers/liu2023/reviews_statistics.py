"""What the claim on reviews is judged by, from the runs of a seed; imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from grokscope.analysis.transitions import crossing
from grokscope.papers.liu2023.reviews import FITTED, LARGE, STANDARD
from grokscope.recipes.readings import first, over, value_at

HALF_A_DECADE = math.sqrt(10)


def late_rises(runs: Mapping[str, Any]) -> dict[str, float | None]:
    """Return how far test accuracy rises after the fit, from the large start and from the standard one.

    ``rise_large`` and ``rise_standard`` are the rises of :func:`late_rise`, ``lateness``, ``fit_step`` and
    ``test_at_fit`` those of the large start, ``end_large`` and ``end_standard`` the test accuracies at the end.
    """
    large, standard = (late_rise(runs[name]) for name in (LARGE, STANDARD))
    return {
        "rise_large": large["rise"],
        "rise_standard": standard["rise"],
        **{name: large[name] for name in ("lateness", "fit_step", "test_at_fit")},
        "end_large": large["end"],
        "end_standard": standard["end"],
    }


def late_rise(run: Any) -> dict[str, float | None]:
    """Return how far and how late the test accuracy of a run rises after its fit.

    It has fitted where train accuracy first is 0.95, at ``fit_step``. ``rise`` is the test accuracy at the ``end``, the
    median over the last half decade of steps, less that at the fit; ``lateness`` the step at which half of it is made
    over the step of the fit, 0 where it does not rise. All is None where the run never fits.
    """
    fit = first(run, "train/accuracy", FITTED)
    if not math.isfinite(fit):
        return dict.fromkeys(("rise", "lateness", "fit_step", "test_at_fit", "end"))
    fit = max(fit, 1.0)
    at, test = over(run, "test/accuracy")
    begin = value_at(run, "test/accuracy", fit)
    end = float(np.median(test[at >= at[-1] / HALF_A_DECADE]))
    after = at >= fit
    half = crossing(at[after], test[after], (begin + end) / 2) if end > begin else None
    return {
        "rise": end - begin,
        "lateness": 0.0 if half is None else half / fit,
        "fit_step": fit,
        "test_at_fit": begin,
        "end": end,
    }
