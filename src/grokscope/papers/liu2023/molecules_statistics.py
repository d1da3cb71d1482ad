"""What the claim on molecules is judged by, from the runs of a seed; imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from grokscope.analysis.transitions import crossing, plateau
from grokscope.papers.liu2023.molecules import LARGE, USUAL, named
from grokscope.recipes.readings import first, over, value_at

FITTED = 1e-4
"""Of the train loss at the start: from here down the run has fitted."""
STILL_FITTED = 0.5
"""Train loss up to which a run that has fitted fits still, in units of the targets' variance."""
HALF_A_DECADE = math.sqrt(10)


def late_drops(runs: Mapping[str, Any]) -> dict[str, float | None]:
    """Return how far the test loss falls after the fit, from the large start and from the usual one.

    ``drop_large`` and ``drop_usual`` are the drops of :func:`late_drop`, ``lateness``, ``sharpness``, ``fit_step`` and
    ``fitted_until`` those of the large start; ``end_large`` and ``end_usual`` the test losses at the end in units of
    the targets' variance, where 1 is the loss of their mean.
    """
    large, usual = (late_drop(runs[named(scale)]) for scale in (LARGE, USUAL))
    return {
        "drop_large": large["drop"],
        "drop_usual": usual["drop"],
        **{name: large[name] for name in ("lateness", "sharpness", "fit_step", "fitted_until")},
        "end_large": large["end"],
        "end_usual": usual["end"],
    }


def late_drop(run: Any) -> dict[str, float | None]:
    """Return how far, how late and how sharply the test loss of a run falls while it fits.

    It has fitted where the train loss is down to 1e-4 of its start, at ``fit_step``, and fits until the last step at
    which that loss is at most half the targets' variance, ``fitted_until``: a network that dies predicts their mean,
    and what its test loss does then is no generalisation. ``drop`` is log10 of the test loss at the fit over that at
    the end, the median of the last tenth of observations until then. ``lateness`` is the step at which half of the
    drop is made, over the step of the fit; ``sharpness`` the largest share of it within half a decade of steps. Where
    the test loss does not fall ``lateness`` and ``sharpness`` are 0; all is None where the run never fits.
    """
    nothing: dict[str, float | None] = dict.fromkeys(
        ("drop", "lateness", "sharpness", "fit_step", "fitted_until", "end")
    )
    seen, train = over(run, "train/loss")
    fit = max(first(run, "train/loss", FITTED * float(train[0]), falling=True), 1.0)
    until = max(seen[train <= STILL_FITTED], default=0.0)
    if not fit <= until:
        return nothing
    at, test = over(run, "test/loss")
    fitted = at <= until
    at, test = at[fitted], test[fitted]
    end = plateau(test)
    begin = value_at(run, "test/loss", fit)
    drop = math.log10(begin / end)
    found = {**nothing, "drop": drop, "fit_step": fit, "fitted_until": float(until), "end": end}
    if drop <= 0:
        return {**found, "lateness": 0.0, "sharpness": 0.0}
    after = at >= fit
    steps, logs = at[after], np.log10(test[after])
    half = crossing(steps, logs, math.log10(begin) - drop / 2, direction="falling")
    earlier = np.interp(np.log(steps / HALF_A_DECADE), np.log(steps), logs)
    return {
        **found,
        "lateness": 0.0 if half is None else half / fit,
        "sharpness": float((earlier - logs).max()) / drop,
    }
