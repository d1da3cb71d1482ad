"""Losses of one member: outputs and a batch to one number, weighted by the batch's weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from grokscope.batch import Batch, weighted_mean
from grokscope.errors import unknown

Loss = Callable[[Tensor, Batch], Tensor]


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return -log softmax(outputs)[target] of each example, in nats, shape (examples,)."""
    return functional.cross_entropy(outputs, targets, reduction="none")


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the squared distance of each example, averaged over outputs; class targets are one-hot."""
    if not targets.is_floating_point():
        targets = functional.one_hot(targets, outputs.shape[-1]).to(outputs.dtype)
    return (outputs - targets.view_as(outputs)).square().flatten(1).mean(1)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": cross_entropy,
    "mean-squared-error": mean_squared_error,
}


def loss_function(name: str, dtype: torch.dtype) -> Loss:
    """Return the loss called ``name``, computed in ``dtype``.

    Raises:
        UsageError: there is no such loss.
    """
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)
    each = LOSSES[name]

    def loss(outputs: Tensor, batch: Batch) -> Tensor:
        if batch.targets is None:
            raise TypeError("this loss needs targets; the batch has none")
        return weighted_mean(each(outputs.to(dtype), batch.targets), batch.weights)

    return loss
