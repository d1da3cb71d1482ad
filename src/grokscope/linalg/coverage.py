"""Which ceiling the choice of training pairs sets: held-out pairs that lie near a training pair of the same answer."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokscope.errors import UsageError


def nearest_training_pair(
    train: Bool[Tensor, "rows columns"],
    table: Int[Tensor, "rows columns"],
    *,
    wrap: bool = True,
    chunk: int = 4096,
) -> Float[Tensor, "rows columns"]:
    """Return, for each pair (i, j) of a table, the Manhattan distance to the nearest training pair of the same answer.

    min over training pairs (a, b) with table[a, b] = table[i, j] of |i − a| + |j − b|; with ``wrap`` each term is the
    shorter way round. 0 at training pairs, inf where the answer has none. (rows, columns) to the same, float64; at most
    ``chunk`` pairs of an answer are compared with all its training pairs at a time. Raises UsageError where masks are
    not 2-D booleans of one shape. Source: Gu et al. 2025, theorem 3.10.

    Example:
        >>> train = torch.tensor([[True, False], [False, False]])
        >>> nearest_training_pair(train, torch.tensor([[0, 1], [1, 0]])).tolist()  # the pair (1, 1) is 1 + 1 away
        [[0.0, inf], [inf, 2.0]]
    """
    _check("train", train, table)
    rows, columns = table.shape
    found = torch.full(table.shape, math.inf, dtype=torch.float64, device=table.device)
    for answer in table.unique():
        pairs = (table == answer).nonzero()
        known = ((table == answer) & train).nonzero()
        if not len(known):
            continue
        for part in pairs.split(chunk):
            across = _apart(part[:, :1], known[:, 0], rows, wrap)
            along = _apart(part[:, 1:], known[:, 1], columns, wrap)
            found[part[:, 0], part[:, 1]] = (across + along).min(1).values.double()
    return found


def coverage_ceiling(
    train: Bool[Tensor, "rows columns"],
    test: Bool[Tensor, "rows columns"],
    table: Int[Tensor, "rows columns"],
    *,
    distance: float,
    wrap: bool = True,
) -> float:
    """Return the share of held-out pairs with a training pair of the same answer within a Manhattan distance.

    It predicts how high the test accuracy can rise on a table with holes; the distance is fitted on one hole and held
    against others. A share, 0 to 1; nan without held-out pairs. Raises UsageError where masks are not booleans of the
    table's shape, or the distance is negative. Source: Gu et al. 2025, theorems 3.10 and 3.12.

    Example:
        >>> train = torch.tensor([[True, False], [False, False]])
        >>> coverage_ceiling(train, ~train, torch.tensor([[0, 1], [1, 0]]), distance=2)  # one of three
        0.3333333333333333
    """
    _check("train", train, table)
    _check("test", test, table)
    if not distance >= 0:
        raise UsageError(f"distance = {distance} was given: give 0 or more.")
    if not bool(test.any()):
        return math.nan
    near = nearest_training_pair(train, table, wrap=wrap) <= distance
    return float(near[test].double().mean())


def _apart(here: Tensor, there: Tensor, size: int, wrap: bool) -> Tensor:
    straight = (here - there).abs()
    return torch.minimum(straight, size - straight) if wrap else straight


def _check(name: str, mask: Tensor, table: Tensor) -> None:
    if table.ndim != 2 or mask.shape != table.shape or mask.dtype != torch.bool:
        kind = str(mask.dtype).removeprefix("torch.")
        raise UsageError(
            f"{name} is {kind} of shape {tuple(mask.shape)}, the table of shape {tuple(table.shape)}: "
            "give a boolean mask (rows, columns) of the table's shape."
        )
