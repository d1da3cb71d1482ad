"""Similarity of representations: linear CKA with the start of the training, and between layers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.cka import cka_of_grams, gram
from grokscope.measures.activations import CHUNK, COLUMNS, chosen_inputs
from grokscope.measures.base import DoesNotApply, Key, Measure, Result
from grokscope.measures.features import features

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

LEAST = 4
"""Examples that the unbiased estimate needs."""


def grams(
    snapshot: Snapshot, inputs: Tensor, *, where: str, positions: str, columns: int, chunk: int
) -> dict[str, Tensor | None]:
    """Return the centred Gram matrix of each site over inputs, (n, n); None where it is not finite; by site."""
    found = features(snapshot, inputs, where=where, positions=positions, columns=columns, chunk=chunk)
    return {name: gram(layer) if bool(layer.isfinite().all()) else None for name, layer in found.items()}


def measure(
    snapshot: Snapshot,
    *,
    probe: str = "train",
    where: str = "layers",
    positions: str = "all",
    unbiased: bool = False,
    examples: int = 500,
    columns: int = COLUMNS,
    chunk: int = CHUNK,
) -> Result:
    """Return the CKA of each layer with itself at the start, and with the layer before it; and of all pairs."""
    inputs = chosen_inputs(snapshot, probe, examples)
    if examples < LEAST:
        raise UsageError(f"examples = {examples} was given: CKA needs at least {LEAST}.")
    if len(inputs) < LEAST:
        raise DoesNotApply(f"CKA needs at least {LEAST} examples; there are {len(inputs)} in the {probe} data.")

    def of(moment: Snapshot) -> dict[str, Tensor | None]:
        key = ("grams", probe, where, positions, examples, columns, chunk)
        return moment.memo(
            key,
            lambda: grams(moment, inputs, where=where, positions=positions, columns=columns, chunk=chunk),
        )

    def alike(one: Tensor | None, other: Tensor | None) -> float:
        return math.nan if one is None or other is None else cka_of_grams(one, other, unbiased=unbiased)

    layers = of(snapshot)
    names = list(layers)
    between = torch.eye(len(names), dtype=torch.float64)
    for i, name in enumerate(names):
        for j in range(i + 1):
            between[i, j] = between[j, i] = alike(layers[name], layers[names[j]])
    result: dict[str, object] = {
        "previous": {name: float(between[i, i - 1]) for i, name in enumerate(names) if i},
        "between": between,
    }
    if snapshot.initial is not None:
        start = of(snapshot.initial)
        result["initial"] = {name: alike(layers[name], start.get(name)) for name in names}
    return result


CKA = Measure(
    name="cka",
    version=1,
    keys={
        "initial": Key("with the same layer at the start", high=1, direction="falls as features are learned"),
        "previous": Key("with the layer before it", high=1, direction="rises in the layers of a tunnel"),
    },
    reference="Kornblith et al. 2019, eq. 3 and 4",
    compute=measure,
    needs=("module", "train"),
    cost="normal",
    cites=("kornblith2019", "song2012"),
)
