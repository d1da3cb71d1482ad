"""The claims of the paper, as statistics of a seed's runs with criteria for each scale.

Criteria of the paper scale are those of the project's specification of this system; criteria of the
cpu scale were fixed on seeds 100-102 before seeds 0-2 were looked at (``LAB.md``, 2026-11-22).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from grokscope.analysis.phases import running_median
from grokscope.analysis.transitions import crossing
from grokscope.claims import Claim, Criterion

Runs = Mapping[str, Any]
MAIN = "modular-addition"
WITHOUT = "no-weight-decay"
CALIBRATION = (100, 101, 102)


def _first(run: Any, key: str, level: float, *, sustain: int = 1) -> float:
    """Return the step at which ``key`` reaches ``level``; infinity if it never does."""
    steps, values = run.series(key)
    found = crossing(steps, values, level, sustain=sustain)
    return math.inf if found is None else found


def delayed_generalisation(runs: Runs) -> dict[str, float | None]:
    """Return when train accuracy passes 0.999 and test accuracy 0.9 and 0.99 for good."""
    run = runs[MAIN]
    return {
        "train_step": _first(run, "train/accuracy", 0.999),
        "test_90_step": _first(run, "test/accuracy", 0.9, sustain=3),
        "test_99_step": _first(run, "test/accuracy", 0.99, sustain=3),
    }


def restricted_leads(runs: Runs) -> dict[str, float | None]:
    """Return by how many steps restricted accuracy passes 0.5 and 0.9 before test accuracy does."""
    run = runs[MAIN]
    leads: dict[str, float | None] = {}
    for level, name in ((0.9, "lead_90"), (0.5, "lead_50")):
        test = _first(run, "test/accuracy", level, sustain=3)
        circuit = _first(run, "fourier/restricted_accuracy", level, sustain=3)
        leads[name] = test - circuit if math.isfinite(test) else None
    return leads


def excluded_rises(runs: Runs) -> dict[str, float | None]:
    """Return where excluded loss is lowest, and how many times higher it is when test accuracy passes 0.9.

    The loss is smoothed by a running median of 3 observations; the lowest point is sought from the step
    at which train accuracy passes 0.99.
    """
    run = runs[MAIN]
    fit = _first(run, "train/accuracy", 0.99)
    generalised = _first(run, "test/accuracy", 0.9, sustain=3)
    steps, values = run.series("fourier/excluded_loss")
    smooth = running_median(values)
    after = steps >= fit
    if not after.any() or not math.isfinite(generalised):
        return {"minimum_step": None, "rise": None}
    lowest = int(np.argmin(np.where(after, smooth, np.inf)))
    then = float(np.interp(generalised, steps, smooth))
    return {"minimum_step": float(steps[lowest]), "rise": then / float(smooth[lowest])}


def never_without_decay(runs: Runs) -> dict[str, float | None]:
    """Return how well the run without weight decay ever did, and how long it was given.

    ``leak_free_accuracy`` is the largest accuracy on test pairs whose mirror image was not trained on,
    ``test_accuracy`` the largest on all, ``budget`` its steps over those at which the same seed with
    weight decay passes test accuracy 0.9, ``excluded_loss`` the largest after train accuracy 0.99.
    """
    run, decayed = runs[WITHOUT], runs[MAIN]
    generalised = _first(decayed, "test/accuracy", 0.9, sustain=3)
    last = float(run.series("test/accuracy")[0][-1])
    steps, excluded = run.series("fourier/excluded_loss")
    after = steps >= _first(run, "train/accuracy", 0.99)
    return {
        "leak_free_accuracy": float(run.series("leak_free/accuracy")[1].max()),
        "test_accuracy": float(run.series("test/accuracy")[1].max()),
        "budget": last / generalised if math.isfinite(generalised) else None,
        "excluded_loss": float(excluded[after].max()) if after.any() else None,
    }


HERE = "grokscope.papers.nanda2023.claims"

CLAIMS = (
    Claim(
        id="C1.1",
        statement="Generalisation is delayed: train accuracy is complete long before test accuracy rises.",
        figure="accuracy",
        experiments=(MAIN,),
        statistic=f"{HERE}:delayed_generalisation",
        criterion={
            "paper": Criterion({"test_99_step": (5000, 20_000), "train_step": (None, 500)}, source="sheet"),
            "cpu": Criterion(
                {"test_90_step": (1000, 5000), "train_step": (None, 400)},
                source="ours",
                calibration=CALIBRATION,
                reason="the specification's 1000 to 3000 is for weight decay 2; at weight decay 1, twice as slow, "
                "seeds 100-102 pass 0.9 at 2681, 3683 and 1330, and the run is 5000 steps long",
            ),
        },
        source="Nanda et al. 2023, Fig. 2",
    ),
    Claim(
        id="C1.6a",
        statement="Restricted loss leads: the circuit alone generalises long before the network does.",
        figure="progress",
        experiments=(MAIN,),
        statistic=f"{HERE}:restricted_leads",
        criterion={
            "paper": Criterion({"lead_50": (3000, None)}, source="sheet"),
            "cpu": Criterion({"lead_90": (400, None)}, source="sheet"),
        },
        source="Nanda et al. 2023, Fig. 7",
    ),
    Claim(
        id="C1.6b",
        statement="Excluded loss rises during circuit formation: without the circuit the network forgets its data.",
        figure="progress",
        experiments=(MAIN,),
        statistic=f"{HERE}:excluded_rises",
        criterion={
            "paper": Criterion(
                {"minimum_step": (None, 2500), "rise": (2, None)},
                source="ours",
                reason="the specification asks for the minimum before 2500; that the loss then rises, which the claim "
                "says, is asked for as well: on the paper's reference curve 40-fold",
            ),
            "cpu": Criterion(
                {"minimum_step": (150, 600), "rise": (2, None)},
                source="ours",
                calibration=CALIBRATION,
                reason="the specification's 200 to 600, widened by one interval of observation, since seeds 100-102 "
                "have the minimum at 250, 200 and 200; they rise 5.1, 5.5 and 3.2 times",
            ),
        },
        source="Nanda et al. 2023, Fig. 7",
    ),
    Claim(
        id="C1.10",
        statement="Weight decay is necessary: without it the network never generalises, given three times as long.",
        figure="accuracy",
        experiments=(MAIN, WITHOUT),
        statistic=f"{HERE}:never_without_decay",
        criterion={
            "paper": Criterion(
                {"test_accuracy": (None, 0.2), "excluded_loss": (None, 1.0), "budget": (2, None)},
                source="ours",
                reason="the specification asks for test accuracy below 0.2 and an excluded loss that stays low: at "
                "most 1 nat, where the reference run with weight decay rises to 13; and the same seed with weight "
                "decay must have generalised within half of the steps, or nothing is shown",
            ),
            "cpu": Criterion(
                {
                    "leak_free_accuracy": (None, 0.2),
                    "test_accuracy": (None, 0.9),
                    "excluded_loss": (None, 1.0),
                    "budget": (3, None),
                },
                source="ours",
                calibration=CALIBRATION,
                reason="the specification's 0.2 is asked of the test pairs whose mirror image is not trained on: half "
                "of the table is trained on here, and a network that has only learned that addition commutes answers "
                "about half of the test pairs (seeds 100-102: 0.46, 0.39, 0.48 of all, 0.02, 0.03, 0.02 leak-free)",
            ),
        },
        source="Nanda et al. 2023, App. D.1",
    ),
)
