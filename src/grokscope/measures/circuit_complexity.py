"""Approximate local circuit complexity: what the predictions lose with a random tenth of the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.differentiation import twice_differentiable
from grokscope.errors import UsageError
from grokscope.linalg import masking
from grokscope.linalg.averages import mean_and_error
from grokscope.measures.activations import chosen_rows
from grokscope.measures.base import DoesNotApply, Key, Measure

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

VERSION = 1


def measure(
    snapshot: Snapshot,
    *,
    scope: str = "all",
    layer: str = "",
    share: float = 0.1,
    mask: str = "exact",
    masks: int = 8,
    reduction: str = "sum",
    temperature: float = 1.0,
    standardise: bool = False,
    embeddings: bool = True,
    second_order: bool = False,
    probe: str = "train",
    examples: int = 1000,
    chunk: int = 256,
) -> dict[str, float | dict[str, float]]:
    """Return Λ and the change of the outputs, with standard errors over masks, of all weights or of each matrix.

    Args:
        snapshot: a moment of any model.
        scope: ``all`` takes the share from every weight matrix at once, ``pool`` from all of them together,
            ``layer`` from one matrix at a time.
        layer: the one matrix that ``layer`` is about; empty is each in turn.
        share: of the weights that is set to zero.
        mask: ``exact`` or ``bernoulli``.
        masks: how many masks there are, the same at every step.
        reduction: over samples, ``sum`` or ``mean``.
        temperature: of the softmax.
        standardise: whether outputs are divided by the root mean square of those of the whole network, before the
            softmax: Λ then does not know their scale.
        embeddings: whether embedding tables are among the weights.
        second_order: whether what Fisher's information expects is computed too.
        probe: the data.
        examples: how many are looked at, at most.
        chunk: how many go through at a time.

    Raises:
        DoesNotApply: there are no data, weight matrices or finite outputs.
        UsageError: an option is out of range, or the layer unknown.
    """
    if scope not in ("all", "pool", "layer"):
        raise UsageError(f"scope = {scope!r} was given: it is all, pool or layer.")
    inputs = snapshot.probe(probe).inputs[chosen_rows(snapshot, probe, examples)]
    weights = _weights(snapshot, embeddings)
    if layer and layer not in weights:
        raise UsageError(f"layer = {layer!r} was given: the weight matrices are {', '.join(weights)}.")
    parts: dict[str, Mapping[str, Tensor]] = {"": weights}
    if scope == "layer":
        parts = {name: {name: tensor} for name, tensor in weights.items() if layer in ("", name)}
    if not bool(torch.isfinite(snapshot.predict(inputs[:1])).all()):
        raise DoesNotApply("circuit_complexity compares outputs: those of this model are not finite.")
    if standardise:
        temperature *= _size(snapshot, inputs, chunk)
    found: dict[str, dict[str, float]] = {}
    for name, chosen in parts.items():
        for key, value in _one(
            snapshot,
            inputs,
            chosen,
            share=share,
            mask=mask,
            masks=masks,
            reduction=reduction,
            temperature=temperature,
            pooled=scope == "pool",
            second=second_order,
            chunk=chunk,
        ).items():
            found.setdefault(key, {})[name] = value
    return {key: values if scope == "layer" else values[""] for key, values in found.items()}


def _size(snapshot: Snapshot, inputs: Tensor, chunk: int) -> float:
    """Return the root mean square of the outputs over samples and classes."""
    parts = [snapshot.predict(part).double() for part in inputs.split(max(chunk, 1))]
    size = float(torch.cat([part.flatten() for part in parts]).square().mean().sqrt())
    if not 0 < size < math.inf:
        raise DoesNotApply(f"standardise divides by the size of the outputs, which is {size} for this model.")
    return size


def _weights(snapshot: Snapshot, embeddings: bool) -> dict[str, Tensor]:
    """Return the parameters that hold weight matrices: fused projections whole, ties once, no biases."""
    names = {part.name.partition("[")[0] for part in snapshot.matrices() if embeddings or part.kind != "embedding"}
    weights = {name: tensor for name, tensor in snapshot.parameters.items() if name in names}
    if not weights:
        raise DoesNotApply("circuit_complexity sets weights to zero: this model has no weight matrix.")
    return weights


def _one(
    snapshot: Snapshot,
    inputs: Tensor,
    weights: Mapping[str, Tensor],
    *,
    share: float,
    mask: str,
    masks: int,
    reduction: str,
    temperature: float,
    pooled: bool,
    second: bool,
    chunk: int,
) -> dict[str, float]:
    def draw(name: str, index: int) -> torch.Generator:
        return snapshot.generator(f"circuit_complexity/{name}/{index}", VERSION)

    change = masking.change_under_masks(
        snapshot.predict_with,
        inputs,
        weights,
        share=share,
        masks=masks,
        mask=mask,  # type: ignore[arg-type]
        pooled=pooled,
        reduction=reduction,  # type: ignore[arg-type]
        temperature=temperature,
        draw=draw,
        chunk=chunk,
    )
    found: dict[str, float] = {}
    found["output_change"], found["output_change_error"] = mean_and_error(change.distances)
    if change.divergences is None:
        return found
    found["complexity"], found["complexity_error"] = mean_and_error(change.divergences)
    if second:
        double = snapshot.in_double()
        with twice_differentiable():
            expected = masking.second_order(
                double.predict_with,
                inputs.double() if inputs.is_floating_point() else inputs,
                {name: tensor.double() for name, tensor in weights.items()},
                share=share,
                probes=masks,
                reduction=reduction,  # type: ignore[arg-type]
                temperature=temperature,
                draw=draw,
                chunk=chunk,
            )
        found["second_order"], found["second_order_error"] = mean_and_error(expected)
        found["second_order_ratio"] = found["second_order"] / found["complexity"] if found["complexity"] else torch.nan
    return found


_FALLS = "falls as the network generalises"

CIRCUIT_COMPLEXITY = Measure(
    name="circuit_complexity",
    version=VERSION,
    keys={
        "complexity": Key(
            "divergence of the predictions with a tenth of the weights at 0", "nats", 0, direction=_FALLS
        ),
        "complexity_error": Key("its standard error over masks", "nats", low=0),
        "output_change": Key("distance of the outputs with a tenth of the weights at 0, relative", low=0),
        "output_change_error": Key("its standard error over masks", low=0),
        "second_order": Key("what the Fisher information expects of the divergence", "nats", low=0, direction=_FALLS),
        "second_order_error": Key("its standard error over random signs", "nats", low=0),
        "second_order_ratio": Key("the expected over the measured divergence", low=0),
    },
    reference="Golechha 2024, section 3.3",
    compute=measure,
    needs=("train",),
    cost="normal",
    cites=("golechha2024",),
)
