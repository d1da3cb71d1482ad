"""Examples that travel together."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Inputs ``(n, ...)``, targets ``(n, ...)`` and, where examples count unequally, weights ``(n,)``.

    A data mask is a weight of 0. In an ensemble each tensor has a leading member axis. A probe that is
    part of another names it in ``parent`` and its rows there in ``rows``, so that predictions are made once.
    """

    inputs: Tensor
    targets: Tensor | None = None
    weights: Tensor | None = None
    parent: str | None = None
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def to(self, device: str | torch.device, dtype: torch.dtype | None = None, *, copy: bool = False) -> Batch:
        """Return the batch on ``device``; floating inputs and targets in ``dtype``; its own tensors if ``copy``."""

        def move(tensor: Tensor | None) -> Tensor | None:
            if tensor is None:
                return None
            floating = tensor.is_floating_point() and dtype is not None
            return tensor.to(device=device, dtype=dtype if floating else None, copy=copy)

        moved = move(self.inputs)
        assert moved is not None
        return Batch(moved, move(self.targets), move(self.weights), self.parent, move(self.rows))


def stack(batches: list[Batch]) -> Batch:
    """Return one batch with a leading member axis; shorter ones are padded with examples of weight 0.

    Example:
        >>> two = stack([Batch(torch.zeros(3, 2)), Batch(torch.zeros(1, 2))])
        >>> two.inputs.shape, two.weights.sum(1).tolist()
        (torch.Size([2, 3, 2]), [3.0, 1.0])
    """
    longest = max(len(batch) for batch in batches)
    ragged = any(len(batch) != longest for batch in batches)
    weighted = ragged or any(batch.weights is not None for batch in batches)

    def padded(tensor: Tensor) -> Tensor:
        missing = longest - len(tensor)
        return tensor if not missing else torch.cat([tensor, tensor[:1].expand(missing, *tensor.shape[1:])])

    def weights_of(batch: Batch) -> Tensor:
        given = torch.ones(len(batch)) if batch.weights is None else batch.weights
        return torch.cat([given, given.new_zeros(longest - len(batch))])

    targets = None
    if all(batch.targets is not None for batch in batches):
        targets = torch.stack([padded(batch.targets) for batch in batches if batch.targets is not None])
    return Batch(
        inputs=torch.stack([padded(batch.inputs) for batch in batches]),
        targets=targets,
        weights=torch.stack([weights_of(batch) for batch in batches]) if weighted else None,
    )


def shared(batches: list[Batch]) -> tuple[list[Batch], int]:
    """Return batches without those equal to the one before, and how many there were of each.

    Where these numbers differ, each batch is repeated as often as their greatest common divisor leaves.

    Example:
        >>> one, other = Batch(torch.zeros(3, 2)), Batch(torch.ones(3, 2))
        >>> [len(shared(given)[0]) for given in ([one, one, other, other], [one, one, other], [one, other])]
        [2, 3, 2]
    """
    counts: list[int] = []
    for before, batch in zip([None, *batches], batches, strict=False):
        if before is not None and _equal(before, batch):
            counts[-1] += 1
        else:
            counts.append(1)
    each = math.gcd(*counts)
    return batches[::each], each


def _equal(one: Batch, other: Batch) -> bool:
    pairs = ((one.inputs, other.inputs), (one.targets, other.targets), (one.weights, other.weights))
    return all(a is b or (a is not None and b is not None and torch.equal(a, b)) for a, b in pairs)


def weighted_mean(values: Tensor, weights: Tensor | None) -> Tensor:
    """Return Σ w x / Σ w over examples, shape () for (examples,), or the plain mean without weights."""
    if weights is None:
        return values.mean()
    weights = weights.to(values.dtype)
    return (weights * values).sum() / weights.sum()
