"""The gradients of dense layers written out, for many members that share their inputs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Slope = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From ∂L/∂(what comes out of an activation), what went in and what came out to ∂L/∂(what went in)."""

LEAK = 0.2
"""Slope of the leaky rectifier below 0."""

SLOPES: dict[str, Slope] = {
    "relu": lambda moved, before, after: torch.ops.aten.threshold_backward(moved, after, 0),
    "leaky-relu": lambda moved, before, after: torch.ops.aten.leaky_relu_backward(moved, after, LEAK, True),
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
    groups, members = weights[0].shape[:2]
    # features stand before examples, so that the members of a group are rows of one matrix; products of three axes at
    # most are one call each, where those of four are six
    flat = [weight.flatten(0, 1) for weight in weights]
    first = weights[0].flatten(1, 2)
    before: list[Tensor] = []
    after: list[Tensor] = []
    found = inputs.mT
    for number, (weight, bias) in enumerate(zip(flat, biases, strict=True)):
        if number == 0:
            found = torch.bmm(first, found).view(groups * members, -1, inputs.shape[1])
        else:
            found = torch.bmm(weight, found)
        if bias is not None:
            found = found.add_(bias.flatten(0, 1)[..., None])
        if number < len(weights) - 1:
            before.append(found)
            # what goes into a ReLU is not asked for again
            found = found.relu_() if isinstance(activation, nn.ReLU) else activation(found)
            after.append(found)

    def pull(slopes: Tensor) -> tuple[list[Tensor], list[Tensor | None]]:
        by_weight: list[Tensor] = []
        by_bias: list[Tensor | None] = []
        moved = slopes.flatten(0, 1).mT
        for number in reversed(range(len(weights))):
            by_bias.append(None if biases[number] is None else moved.sum(-1).unflatten(0, (groups, members)))
            if number == 0:
                rows = moved.reshape(groups, -1, inputs.shape[1])
                by_weight.append(torch.bmm(rows, inputs).view(weights[0].shape))
            else:
                by_weight.append(torch.bmm(moved, after[number - 1].mT).view(weights[number].shape))
                moved = slope(torch.bmm(flat[number].mT, moved), before[number - 1], after[number - 1])
        return by_weight[::-1], by_bias[::-1]

    return found.mT.unflatten(0, (groups, members)), pull
