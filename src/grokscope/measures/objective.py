"""The training loss as a function of the parameters alone, on fixed rows of a probe: what curvature is taken of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.hessian import Composed, Tensors
from grokscope.measures.base import DoesNotApply
from grokscope.measures.derivatives import trained
from grokscope.measures.performance import example_weights, losses

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


@dataclass(frozen=True)
class Objective:
    """The mean loss on some rows, in float64, as a sum of parts with at most ``chunk`` rows each.

    Attributes:
        parts: functions of the parameters whose sum is the mean loss.
        parameters: those that are trained, by name, in float64.
        examples: how many rows there are.
    """

    parts: list[Composed]
    parameters: Tensors
    examples: int


def objective(
    snapshot: Snapshot, *, examples: int, chunk: int, generator: torch.Generator, probe: str = "train"
) -> Objective:
    """Return the loss on at most ``examples`` rows of a probe, the same rows for the same generator.

    It is the loss trained on, weights of examples included, but without weight decay; the model is in evaluation
    mode. Parameters that do not ask for a gradient are held fixed, unless none does.

    Raises:
        DoesNotApply: the probe has no labelled rows that count.
        UsageError: fewer than one row is asked for, or fewer than one a chunk.
    """
    if examples < 1 or chunk < 1:
        raise UsageError(f"examples = {examples} and chunk = {chunk} were given: give 1 or more.")
    batch = snapshot.probe(probe)
    if batch.targets is None:
        raise DoesNotApply(f"the loss cannot be differentiated without labels; the {probe} data has none.")
    weights = example_weights(batch)
    counted = torch.ones(len(batch)) if weights is None else weights.cpu()
    able = counted.nonzero().flatten()
    if not len(able):
        raise DoesNotApply(f"the loss cannot be differentiated without examples; the {probe} data has none that count.")
    chosen = able[torch.randperm(len(able), generator=generator)[:examples]].sort().values
    double = snapshot.in_double()
    data = double.probe(probe)
    assert data.targets is not None
    shares = counted[chosen].double()
    shares = shares / shares.sum()
    kind = snapshot.loss or "cross-entropy"

    def part(rows: Tensor, weights: Tensor) -> Composed:
        assert data.targets is not None
        rows = rows.to(data.inputs.device)
        inputs, targets, weights = data.inputs[rows], data.targets[rows], weights.to(data.inputs.device)
        return Composed(
            lambda tensors: double.predict_with(tensors, inputs),
            lambda outputs: (losses(outputs, targets, kind=kind) * weights).sum(),
        )

    parameters = trained(snapshot)
    if not parameters:
        raise DoesNotApply("the loss cannot be differentiated: the model has no parameters that are real numbers.")
    pieces = zip(chosen.split(chunk), shares.split(chunk), strict=True)
    return Objective([part(rows, weights) for rows, weights in pieces], parameters, len(chosen))
