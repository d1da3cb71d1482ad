"""Linear classifiers trained for a few epochs instead of solved: as papers that probe layers do it."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.ridge import Probe

RATE, BETAS, EPSILON = 1e-3, (0.9, 0.999), 1e-8
"""Of Adam (Kingma and Ba 2015), with its usual values."""
EPOCHS, BATCH, KEPT = 30, 512, 0.8
"""Passes, examples of an update, and the share of examples trained on; the others only chose weights nobody used."""


def trained_probe(
    features: Float[Tensor, "n d"],
    classes: Int[Tensor, " n"],
    number: int,
    penalty: float,
    generator: torch.Generator,
) -> Probe:
    """Return the linear classifier that 30 epochs of Adam make of features as they are, in float64.

    The mean cross-entropy of batches of 512 plus penalty · ‖W‖ (the norm, not its square), learning rate 1e-3, on a
    random 80 % of the examples in a new order each epoch; from W and b uniform in ±1/√d. What it is after the last
    epoch is returned (the code of Fan et al. 2024 keeps the best weights by the other 20 % and does not load them). On
    features that are large so few steps do not converge.

    Args:
        features: (n, d).
        classes: (n,), 0 … ``number`` − 1.
        number: how many classes there are.
        penalty: not negative.
        generator: decides on the split, the start and the orders.

    Raises:
        UsageError: the penalty is negative or there are fewer than two examples.

    Example:
        >>> z, y = torch.tensor([[-3.0], [3.0]]).repeat(500, 1), torch.tensor([0, 1]).repeat(500)
        >>> found = trained_probe(z, y, 2, 1e-3, torch.Generator().manual_seed(0))
        >>> found.weights.shape, bool(found.weights[0, 1] > found.weights[0, 0])
        (torch.Size([1, 2]), True)
    """
    if not penalty >= 0:
        raise UsageError(f"a penalty of {penalty:g} was given: it cannot be negative.")
    if len(features) < 2:
        raise UsageError(f"{len(features)} examples were given to a probe: it needs two, to leave one out.")
    values = features.to(torch.float64)
    rows = torch.randperm(len(values), generator=generator)[: max(1, int(KEPT * len(values)))]
    width = values.shape[1]
    start = (2 * torch.rand(width + 1, number, generator=generator, dtype=torch.float64) - 1) / math.sqrt(width)
    parameters = start.to(values.device)
    first, second = torch.zeros_like(parameters), torch.zeros_like(parameters)
    step = 0
    for _ in range(EPOCHS):
        order = rows[torch.randperm(len(rows), generator=generator)].to(values.device)
        for part in order.split(BATCH):
            step += 1
            slope = _slope(parameters, values[part], classes[part], penalty)
            first = BETAS[0] * first + (1 - BETAS[0]) * slope
            second = BETAS[1] * second + (1 - BETAS[1]) * slope.square()
            root = (second / (1 - BETAS[1] ** step)).sqrt() + EPSILON
            parameters = parameters - RATE / (1 - BETAS[0] ** step) * first / root
    return Probe(parameters[:-1], parameters[-1])


def _slope(parameters: Tensor, inputs: Tensor, classes: Tensor, penalty: float) -> Tensor:
    """Return the gradient of the mean cross-entropy and penalty · ‖W‖ by (weights, bias), stacked (d + 1, K)."""
    weights = parameters[:-1]
    error = (inputs @ weights + parameters[-1]).softmax(1)
    error[torch.arange(len(classes), device=error.device), classes] -= 1
    error /= len(classes)
    norm = weights.norm()
    pull = penalty * weights / norm if norm > 0 else torch.zeros_like(weights)
    return torch.cat([inputs.T @ error + pull, error.sum(0, keepdim=True)])
