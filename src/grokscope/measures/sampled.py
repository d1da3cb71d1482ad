"""A few rows of a probe in float64, the same at every step, with targets as real numbers: what kernels are taken on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from grokscope.errors import UsageError
from grokscope.measures.base import DoesNotApply
from grokscope.measures.performance import IGNORED

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

EXACT_OUTPUTS = 256
"""Outputs of an example (positions × classes) up to which all are differentiated; of more, random directions are."""

DIRECTIONS = 64
"""How many random directions of more outputs are differentiated, unless said otherwise."""

Outputs = Callable[[Mapping[str, Tensor], Tensor], Tensor]


@dataclass(frozen=True)
class Sampled:
    """Rows of a probe.

    Attributes:
        inputs: (n, ...), in float64 where they are real numbers.
        targets: (n, outputs) in float64, classes one-hot; None where there are none that fit the outputs.
        classes: (n,) class targets of one position, or None.
    """

    inputs: Tensor
    targets: Tensor | None
    classes: Tensor | None


def outputs_of(snapshot: Snapshot, positions: str) -> Outputs:
    """Return the model in float64 as a function of parameters and inputs, with all positions or the last.

    Raises:
        UsageError: the positions are called otherwise.
    """
    if positions not in ("all", "last"):
        raise UsageError(f"positions = {positions!r}: it is 'all' or 'last'.")
    double = snapshot.in_double()

    def function(tensors: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        # a fast path multiplies parameters with each other, which costs more derivatives than it saves
        found = double.predict_plainly(inputs, tensors)
        return found[:, -1] if positions == "last" and found.ndim > 2 else found

    return function


def sampled(
    snapshot: Snapshot, probe: str, *, examples: int, generator: torch.Generator, outputs: Outputs, name: str
) -> Sampled:
    """Return at most ``examples`` rows of a probe that count, chosen by the generator, in their order.

    Raises:
        DoesNotApply: there are no such rows.
        UsageError: fewer than one is asked for.
    """
    if examples < 1:
        raise UsageError(f"examples = {examples} was given: give 1 or more.")
    if probe not in snapshot.probes:
        raise DoesNotApply(f"{name} needs {probe} data; this snapshot has none.")
    batch = snapshot.in_double().probe(probe)
    counted = torch.ones(len(batch)) if batch.weights is None else batch.weights.cpu()
    able = counted.nonzero().flatten()
    if not len(able):
        raise DoesNotApply(f"{name} needs examples; the {probe} data has none that count.")
    rows = able[torch.randperm(len(able), generator=generator)[:examples]].sort().values.to(batch.inputs.device)
    inputs = batch.inputs[rows]
    if batch.targets is None:
        return Sampled(inputs, None, None)
    with torch.no_grad():
        shape = outputs({}, inputs[:1]).shape[1:]
    targets = batch.targets[rows]
    if len(shape) < 2 and targets.ndim > 1 and not targets.is_floating_point():
        targets = targets[:, -1]  # of the last position, whose outputs are looked at alone
    single = not targets.is_floating_point() and targets.ndim == 1
    return Sampled(inputs, real_targets(targets, shape), targets if single else None)


def real_targets(targets: Tensor, outputs: torch.Size) -> Tensor | None:
    """Return targets as (n, outputs) in float64 with classes one-hot, or None if they do not fit the outputs.

    Example:
        >>> real_targets(torch.tensor([1, 0]), torch.Size([2])).tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """
    count = outputs.numel()
    if not targets.is_floating_point() and count > 1:
        classes = outputs[-1]
        if targets.shape[1:] != outputs[:-1] or int(targets.max()) >= classes:
            return None
        counted = targets != IGNORED
        if bool((targets[counted] < 0).any()):
            return None
        hot = functional.one_hot(torch.where(counted, targets, 0).long(), classes) * counted[..., None]
        return hot.double().reshape(len(targets), count)
    if targets.numel() != len(targets) * count:
        return None
    return targets.double().reshape(len(targets), count)
