"""The gradients of dense layers written out, for many members that share their inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Slope = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From ∂L/∂(what comes out of an activation), what went in and what came out to ∂L/∂(what went in)."""

SLOPES: dict[str, Slope] = {
    "relu": lambda moved, before, after: torch.ops.aten.threshold_backward(moved, before, 0),
    "tanh": lambda moved, before, after: moved * (1 - after.square()),
    "quadratic": lambda moved, before, after: moved * (2 * before),
    "gelu": lambda moved, before, after: (
        moved * (torch.special.ndtr(before) + before * torch.exp(-before.square() / 2) / math.sqrt(2 * math.pi))
    ),
}
"""How activations pull a gradient back, by name."""


def dense(
    inputs: Tensor,
    weights: Sequence[Tensor],
    biases: Sequence[Tensor | None],
    activation: Callable[[Tensor], Tensor],
    slope: Slope,
) -> tuple[Tensor, Callable[[Tensor], tuple[list[Tensor], list[Tensor | None]]]]:
    """Return the outputs of a perceptron and what pulls their gradient back to its weights and biases.

    Args:
        inputs: (groups, examples, fan-in), which all members of a group share.
        weights: of each layer, (groups, members, fan-out, fan-in).
        biases: of each layer, (groups, members, fan-out) or None.
        activation: between layers.
        slope: how it pulls a gradient back, one of :data:`SLOPES`.
    """
    members = weights[0].shape[1]
    # features stand before examples, so that the members of a group are rows of one matrix
    before: list[Tensor] = []
    after: list[Tensor] = []
    found = inputs.mT
    for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        if number == 0:
            found = (weight.flatten(1, 2) @ found).unflatten(1, (members, -1))
        else:
            found = weight @ found
        if bias is not None:
            found = found.add_(bias[..., None])
        if number < len(weights) - 1:
            before.append(found)
            found = activation(found)
            after.append(found)

    def pull(slopes: Tensor) -> tuple[list[Tensor], list[Tensor | None]]:
        by_weight: list[Tensor] = []
        by_bias: list[Tensor | None] = []
        moved = slopes.mT
        for number in reversed(range(len(weights))):
            by_bias.append(None if biases[number] is None else moved.sum(-1))
            if number == 0:
                by_weight.append((moved.flatten(1, 2) @ inputs).unflatten(1, (members, -1)))
            else:
                by_weight.append(moved @ after[number - 1].mT)
                moved = slope(weights[number].mT @ moved, before[number - 1], after[number - 1])
        return by_weight[::-1], by_bias[::-1]

    return found.mT, pull
