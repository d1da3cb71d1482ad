"""Means with their errors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def mean_and_error(values: Sequence[float] | Tensor) -> tuple[float, float]:
    """Return the mean of values and its standard error s/√n, NaN of one value alone.

    Example:
        >>> mean_and_error([1.0, 3.0])
        (2.0, 1.0)
    """
    found = torch.as_tensor(values, dtype=torch.float64)
    count = len(found)
    return float(found.mean()), float(found.std()) / math.sqrt(count) if count > 1 else math.nan
