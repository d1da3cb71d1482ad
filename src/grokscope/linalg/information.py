"""Mutual information of a representation with the input and the label, by the estimators of the literature, in nats.

A layer is a deterministic function of the input, so that I(T;X) is infinite, or the constant ln N of N examples: every
other number is that of an estimator, of T + noise or of T in bins. Take one estimator, and compare over time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokscope.errors import UsageError, unknown
from grokscope.linalg.moments import checked_samples

RULES = ("median", "fixed", "variance", "dimension")
BOUNDS = {"upper": 2.0, "lower": 8.0}
"""Divisors of the squared distance, in units of σ² (Kolchinsky and Tracey 2017)."""

_EQUAL = 1e-13
"""Points whose squared distance is below this × (|x|² + |y|²) are taken as equal: it is rounding."""


@dataclass(frozen=True)
class Noise:
    """The noise that an estimator adds.

    Attributes:
        variance: σ² for each dimension, in squared units of the representation.
        degenerate: whether more than half of all pairs coincide, so that the median of the others was taken.
    """

    variance: float
    degenerate: bool


@dataclass(frozen=True)
class Information:
    """Estimates in nats: ``input`` = I(T;X) in [0, ln N]; ``label`` = I(T;Y) ≤ H(Y), NaN without labels."""

    input: float
    label: float = math.nan


def squared_distances(samples: Float[Tensor, "n d"], *, chunk: int = 256) -> Float[Tensor, "n n"]:
    """Return the squared distances of all pairs of samples, (n, n), in float64; exactly 0 for equal ones.

    Memory: n² numbers, and ``chunk`` × n more.

    Raises:
        UsageError: the samples are not a matrix of finite real numbers.

    Example:
        >>> squared_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]])).tolist()
        [[0.0, 25.0], [25.0, 0.0]]
    """
    values = checked_samples(samples)
    # close to the origin no digits are lost
    values = values - values.mean(0)
    squares = values.square().sum(1)
    found = values.new_empty(len(values), len(values))
    for first in range(0, len(values), chunk):
        rows = slice(first, first + chunk)
        sums = squares[rows, None] + squares
        part = sums - 2 * values[rows] @ values.T
        found[rows] = torch.where(part > _EQUAL * sums, part, 0.0)
    return found.fill_diagonal_(0)


def median_square(distances: Float[Tensor, "n n"]) -> tuple[float, bool]:
    """Return the median of the squared distances of different samples, and whether it is that of those not 0.

    That is where more than half of the pairs coincide. 0 if all do.

    Raises:
        UsageError: there are fewer than two samples.

    Example:
        >>> median_square(squared_distances(torch.tensor([[0.0], [1.0], [3.0]])))
        (4.0, False)
    """
    count = len(distances)
    if count < 2:
        raise UsageError(f"{count} samples were given: a distance needs two.")
    pairs = distances[torch.ones(count, count, dtype=torch.bool, device=distances.device).triu(1)]
    found = _median(pairs)
    if found > 0:
        return found, False
    apart = pairs[pairs > 0]
    return (_median(apart), True) if len(apart) else (0.0, True)


def noise_of(distances: Float[Tensor, "n n"], *, rule: str = "median", bandwidth: float = 0.1, units: int = 1) -> Noise:
    """Return the noise by a rule: σ² = c × a scale of the representation, or fixed.

    Args:
        distances: from :func:`squared_distances`.
        rule: ``median``: c × median of the squared distances of different samples. ``variance``: c × the total
            variance. ``dimension``: c × the total variance / d. ``fixed``: σ² itself.
        bandwidth: c, or σ².
        units: d.

    Raises:
        UsageError: there is no such rule, or the bandwidth is not positive.

    Example:
        >>> noise_of(squared_distances(torch.tensor([[0.0], [2.0]])), bandwidth=0.5)
        Noise(variance=2.0, degenerate=False)
    """
    if rule not in RULES:
        raise unknown("rule of the noise", rule, RULES)
    if not (bandwidth > 0 and math.isfinite(bandwidth)):
        raise UsageError(f"bandwidth = {bandwidth:g} was given: noise has a positive variance.")
    if rule == "fixed":
        return Noise(bandwidth, False)
    if rule == "median":
        median, degenerate = median_square(distances)
        return Noise(bandwidth * median, degenerate)
    total = float(distances.mean()) / 2
    return Noise(bandwidth * total / (units if rule == "dimension" else 1), False)


def kernel_information(
    distances: Float[Tensor, "n n"],
    variance: float,
    classes: Int[Tensor, " n"] | None = None,
    *,
    bound: str = "upper",
    chunk: int = 256,
) -> Information:
    """Return what T + N(0, σ²) tells about the input and the label, by pairwise distances.

    I(T;X) = −(1/N) Σ_i ln (1/N) Σ_j exp(−d²_ij / 2σ²), with 8σ² for the lower bound; I(T;Y) = I(T;X) − Σ_y p_y I_y,
    where I_y is the same within a class. Kolchinsky and Tracey 2017; Saxe et al. 2018.

    Args:
        distances: (N, N), squared, from :func:`squared_distances`.
        variance: σ².
        classes: (N,), the label of each sample, or None.
        bound: ``upper`` or ``lower``.
        chunk: rows that are exponentiated at once.

    Raises:
        UsageError: there is no such bound, the variance is negative, or the labels are not those of the samples.

    Example:
        >>> far = squared_distances(torch.tensor([[0.0], [0.0], [100.0], [100.0]]))
        >>> found = kernel_information(far, 1.0, torch.tensor([0, 0, 1, 1]))
        >>> round(found.input, 6), round(found.label, 6)  # ln 2
        (0.693147, 0.693147)
    """
    if bound not in BOUNDS:
        raise unknown("bound", bound, BOUNDS)
    if not variance >= 0:
        raise UsageError(f"a variance of {variance:g} was given: it cannot be negative.")
    whole = _one(distances, BOUNDS[bound] * variance, chunk)
    if classes is None:
        return Information(whole)
    _check(classes, len(distances))
    inside = 0.0
    for label in classes.unique().tolist():
        rows = (classes == label).nonzero().flatten()
        part = distances[rows][:, rows]
        inside += len(rows) / len(distances) * _one(part, BOUNDS[bound] * variance, chunk)
    return Information(whole, whole - inside)


def binned_information(
    samples: Float[Tensor, "n d"], classes: Int[Tensor, " n"] | None = None, *, bins: int = 30
) -> Information:
    """Return what T in equal-width bins tells: I(T;X) = H(T), I(T;Y) = H(T) − Σ_y p_y H(T | y).

    The bins of each unit lie between its smallest and largest value. With many units every sample is alone in its
    bin: I(T;X) is then ln N. Saxe et al. 2018.

    Raises:
        UsageError: the samples are not a matrix of finite real numbers, there are no bins, or the labels are not
            those of the samples.

    Example:
        >>> found = binned_information(torch.tensor([[0.0], [0.1], [9.0], [9.1]]), bins=2)
        >>> round(found.input, 6)
        0.693147
    """
    if bins < 1:
        raise UsageError(f"bins = {bins} was given: at least one is needed.")
    values = checked_samples(samples)
    low, high = values.amin(0), values.amax(0)
    width = torch.where(high > low, high - low, 1.0)
    codes = ((values - low) / width * bins).floor().clamp(max=bins - 1).to(torch.int32)
    _, inverse = codes.unique(dim=0, return_inverse=True)
    whole = _entropy(inverse)
    if classes is None:
        return Information(whole)
    _check(classes, len(values))
    inside = sum(
        float((classes == label).to(torch.float64).mean()) * _entropy(inverse[classes == label])
        for label in classes.unique().tolist()
    )
    return Information(whole, whole - inside)


def _one(distances: Tensor, scale: float, chunk: int) -> float:
    count = len(distances)
    total = 0.0
    for first in range(0, count, chunk):
        part = distances[first : first + chunk]
        # without noise only equal samples look alike
        alike = (-part / scale).exp() if scale > 0 else (part == 0).to(torch.float64)
        # a sample is like itself: the sum is at least 1, and neither it nor its logarithm overflows
        total += float(alike.sum(1).log().sum())
    return max(0.0, math.log(count) - total / count)


def _entropy(labels: Tensor) -> float:
    shares = torch.bincount(labels).to(torch.float64) / len(labels)
    return float(-torch.special.xlogy(shares, shares).sum())


def _median(values: Tensor) -> float:
    ordered = values.sort().values
    middle = len(ordered) // 2
    return float(ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)


def _check(classes: Tensor, count: int) -> None:
    if classes.shape != (count,) or classes.is_floating_point():
        raise UsageError(
            f"labels of shape {tuple(classes.shape)} and dtype {classes.dtype} were given for {count} samples: "
            "give one whole number a sample."
        )
