"""Absolute weight entropy, and its form that does not know the scale (Golechha 2024)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grokscope.linalg import entropies
from grokscope.measures.base import Key, Measure, Result
from grokscope.measures.by_matrix import by_matrix, some_matrices

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def measure(snapshot: Snapshot) -> Result:
    """Return the entropies of each weight matrix, the absolute one of the first, and its sum over all."""
    matrices = some_matrices(snapshot, "weight_entropy")
    found = by_matrix(matrices, ("absolute", "normalised", "used_share"), lambda m: entropies.summary(m.tensor))
    each = found["absolute"]
    return {**found, "first": each[matrices[0].name], "sum": math.fsum(each.values())}


_DIRECTION = "flat while the network memorises, falls as it generalises; also falls because weights grow"

WEIGHT_ENTROPY = Measure(
    name="weight_entropy",
    version=1,
    keys={
        "absolute": Key("−Σ|w| ln|w| of one matrix", "nats × weight", direction=_DIRECTION),
        "first": Key("that of the first matrix", "nats × weight", direction=_DIRECTION),
        "sum": Key("its sum over the matrices", "nats × weight", direction=_DIRECTION),
        "normalised": Key("−Σ p ln p of one matrix, p = |w|/Σ|w|", "nats", low=0),
        "used_share": Key("exp of that over the number of entries", low=0, high=1),
    },
    reference="Golechha 2024",
    cites=("golechha2024",),
    compute=measure,
)
