"""What the test loss of a quadratic network is made of, exactly: variance, misalignment, linear power."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from grokscope.batch import weighted_mean
from grokscope.linalg.quadratic_student import population_loss
from grokscope.measures.base import DoesNotApply, Key, Measure
from grokscope.measures.performance import examples
from grokscope.measures.quadratic import predictor

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

NAME = "sufficient_statistics"


def measure(snapshot: Snapshot) -> dict[str, float]:
    """Return the expected test loss and its parts, and their ratio to the loss measured on the test probe."""
    found = predictor(snapshot, NAME)
    known = snapshot.facts.quadratic if snapshot.facts is not None else None
    if known is None:
        raise DoesNotApply(f"{NAME} compares with a target that is a square, (β·x)²; this task is not known to be one.")
    # a copy: what the facts hold is not ours to share with torch
    parts = population_loss(found.effective, torch.tensor(known.direction), scale=known.scale)
    total = math.fsum(parts.values()) if all(map(math.isfinite, parts.values())) else math.nan
    result = {**parts, "population_loss": total}
    test = snapshot.probes.get("test")
    if test is not None and test.targets is not None and len(test):
        measured = float(weighted_mean(examples(snapshot, "test")[0], test.weights))
        result["loss_ratio"] = total / measured if measured > 0 else math.nan
    return result


SUFFICIENT_STATISTICS = Measure(
    name=NAME,
    version=1,
    keys={
        "variance": Key("(tr Q/D)²/4 with Q = αεM − 2cββᵀ", "squared units", low=0),
        "misalignment": Key(
            "‖Q‖²/(2D²)", "squared units", low=0, direction="flat in memorisation, falls in generalisation"
        ),
        "linear_power": Key(
            "α²‖w̄‖²/D", "squared units", low=0, direction="rises in memorisation, falls in generalisation"
        ),
        "population_loss": Key("their sum: the test loss on infinitely many inputs", "squared units", low=0),
        "loss_ratio": Key("the same over the measured test loss", low=0),
    },
    reference="Kumar et al. 2024, Eq. 4; exact form ours",
    cites=("kumar2024",),
    compute=measure,
    needs=("module",),
)
