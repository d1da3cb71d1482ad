"""Losses of one member: outputs and a batch to one number, weighted by the batch's weights."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from grokscope.batch import Batch, weighted_mean
from grokscope.errors import UsageError, unknown

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


def check_targets(name: str, targets: Tensor | None) -> None:
    """Refuse cross-entropy of targets that are neither classes nor shares of several.

    Raises:
        UsageError: they are real numbers.

    Example:
        >>> check_targets("cross-entropy", torch.tensor([2, 0]))
    """
    if name != "cross-entropy" or targets is None or not targets.is_floating_point():
        return
    if targets.ndim < 2 or targets.shape[1] < 2:
        raise UsageError(
            "learner.loss = 'cross-entropy' needs classes, and the targets of this task are real numbers: set "
            "learner.loss = 'mean-squared-error'."
        )


SMALL = -30.0
"""Where log(1 + e^x) and e^x are the same number in float64: from here down log softplus(x) is x."""


def log_cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the logarithm of each example's cross-entropy, (examples,): finite however small the loss is.

    Example:
        >>> log_cross_entropy(torch.tensor([[0.0, 1000.0]], dtype=torch.float64), torch.tensor([1])).tolist()
        [-1000.0]
    """
    others = torch.ones_like(outputs, dtype=torch.bool).scatter(1, targets[:, None], False)
    behind = outputs - outputs.gather(1, targets[:, None])
    shift = torch.logsumexp(behind.masked_fill(~others, -torch.inf), 1)
    # each branch sees only values it is exact for, so that no gradient is NaN
    exact = functional.softplus(shift.clamp(min=SMALL)).log()
    return torch.where(shift < SMALL, shift, exact)


def log_loss_function(name: str, dtype: torch.dtype) -> Loss:
    """Return the logarithm of the loss called ``name``, computed in ``dtype`` without passing through the loss.

    Raises:
        UsageError: there is no such loss.
    """
    if name not in LOSSES:
        raise unknown("loss", name, LOSSES)

    def loss(outputs: Tensor, batch: Batch) -> Tensor:
        if batch.targets is None:
            raise TypeError("this loss needs targets; the batch has none")
        outputs = outputs.to(dtype)
        if name == "cross-entropy":
            each = log_cross_entropy(outputs, batch.targets)
        else:
            each = LOSSES[name](outputs, batch.targets).log()
        if batch.weights is None:
            return torch.logsumexp(each, 0) - math.log(len(each))
        weights = batch.weights.to(dtype)
        return torch.logsumexp(each + weights.log(), 0) - weights.sum().log()

    return loss
