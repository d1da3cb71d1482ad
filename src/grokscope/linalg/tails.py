"""Power laws in the tail of a spectrum, p(λ) ∝ λ^(−α) for λ ≥ xmin, fitted at every possible xmin in one pass.

Clauset, Shalizi and Newman 2009, with the choices of WeightWatcher 0.7.5.5 (Martin, Peng and Mahoney 2021), so that
α, D and xmin are comparable with published ones: continuous maximum likelihood without bias correction, the left
limit of the empirical distribution, every value but the largest as xmin, the first minimum of D.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from grokscope.errors import UsageError

Array = NDArray[Any]

WW_THRESHOLD = 1e-5
"""Eigenvalues at most this large are dropped by WeightWatcher, whatever the scale of the weights."""
BLOCK = 2**16
"""Numbers held at once while D is computed, 8 bytes each: more do not fit the processor's cache."""
STEEPEST = -1e12
"""1 − α of values that are equal but for rounding: no power law."""
FEW_POINTS, MORE_POINTS = np.linspace(0, 1, 7)[1:], np.linspace(0, 1, 41)[1:]
"""Fractions of a tail at which D is bounded from below: of all candidates, then of those that are left."""
WORTHWHILE = 2**13
"""Numbers whose work exceeds that of bounding the candidates once more."""
GUESSES = 4
"""Candidates with the smallest bounds whose D then limits that of the best."""


@dataclass(frozen=True)
class PowerLaw:
    """A fitted tail.

    Attributes:
        alpha: exponent of the density.
        distance: D, the largest distance between fitted and empirical distribution of the tail.
        xmin: where the tail begins.
        xmax: the largest value.
        sigma: standard error (α − 1)/√tail_count.
        tail_count: values that are at least xmin. With fewer than about 50, α is rough.
        count: values that were given.
    """

    alpha: float
    distance: float
    xmin: float
    xmax: float
    sigma: float
    tail_count: int
    count: int


def distances(
    eigenvalues: Float[Tensor, " n"], *, block: int = BLOCK
) -> tuple[Float[Tensor, " candidates"], Float[Tensor, " candidates"]]:
    """Return α_i = 1 + n_i / Σ_{j≥i} ln(x_j/x_i) and D_i = max_{j≥i} |1 − (x_j/x_i)^(1−α_i) − (j−i)/n_i| for all i.

    Every ascending value x_0 … x_{n−2} but the largest is a candidate xmin, with the n_i = n − i values of its tail.
    α is infinite and D = 1 where all values of the tail are equal.

    Args:
        eigenvalues: positive, in any order, (n).
        block: numbers held at once; memory is about 10 bytes × block, whatever n is.

    Returns:
        two vectors (n − 1) in float64, on the CPU.

    Raises:
        UsageError: as :func:`power_law`.

    Example:
        >>> alphas, found = distances(torch.tensor([1.0, 2.0, 4.0, 8.0]))
        >>> [round(alpha, 7) for alpha in alphas.tolist()], [round(d, 7) for d in found.tolist()]
        ([1.9617967, 2.442695, 3.8853901], [0.2365829, 0.2987872, 0.3646647])
    """
    logs = np.log(tail_values(eigenvalues, threshold=0.0))
    slopes = _slopes(logs)
    alphas = np.where(slopes > STEEPEST, 1 - slopes, math.inf)
    return torch.from_numpy(alphas), torch.from_numpy(_every_distance(logs, slopes, block))


def _slopes(logs: Array) -> Array:
    """Return 1 − α of the tail from each value on, but the last; :data:`STEEPEST` where its values are equal."""
    sizes = _down_to(len(logs), 1)
    # relative to the largest value: sums of small numbers, exactly 0 where all are equal to it
    below = logs - logs[-1]
    sums = (below[::-1].cumsum()[::-1] - sizes * below)[:-1]
    return np.maximum(-sizes[:-1] / np.maximum(sums, 1 / -STEEPEST), STEEPEST)


@lru_cache(maxsize=32)
def _down_to(first: int, last: int) -> Array:
    """Return first, first − 1, …, last, which nobody may change."""
    return _frozen(np.arange(first, last - 1, -1, dtype=np.float64))


def _frozen(array: Array) -> Array:
    array.flags.writeable = False
    return array


def _every_distance(logs: Array, slopes: Array, block: int) -> Array:
    with np.errstate(over="ignore"):
        return _distances_at(logs, slopes, np.arange(len(slopes)), block)


def _distances_at(logs: Array, slopes: Array, candidates: Array, block: int) -> Array:
    """Return D of some candidates, ascending, ``block`` numbers at a time."""
    count = len(logs)
    rows = max(1, block // count)
    found = []
    for begin in range(0, len(candidates), rows):
        chosen = candidates[begin : begin + rows]
        # everything before the first candidate of the block is left out of the work
        first = int(chosen[0])
        gap = logs[first:] - logs[chosen, None]
        left = _down_to(count - first, 1) / (count - chosen)[:, None]
        gap = _against_the_fit(gap, slopes[chosen, None], left)
        for row, outside in enumerate((chosen - first).tolist()):
            gap[row, :outside] = 0.0  # values before the tail, where the law may overflow
        found.append(gap.max(1))
    return np.where(slopes[candidates] > STEEPEST, np.concatenate(found), 1.0)


def _against_the_fit(gap: Array, slopes: Array, left: Array) -> Array:
    """Turn ln(x_j/x_i) in place into |fitted − empirical|, 1 − (j−i)/n_i = ``left``; return it."""
    gap *= slopes
    np.exp(gap, out=gap)
    gap -= left
    return np.abs(gap, out=gap)


def _bounds(logs: Array, slopes: Array, candidates: Array, jumps: Array, left: Array) -> Array:
    """Return the largest distance of each candidate at some points of its tail, which D is not below."""
    gap = logs[candidates + jumps]
    gap -= logs[candidates]
    chosen = slopes[candidates]
    return np.where(chosen > STEEPEST, _against_the_fit(gap, chosen, left).max(0), 1.0)


def _points(sizes: Array, fractions: Array) -> tuple[Array, Array]:
    """Return where in tails of these sizes values at some fractions lie, and what is left, (fractions, sizes)."""
    jumps = (fractions[:, None] * (sizes - 1)).astype(np.int64)
    return jumps, 1 - jumps / sizes


@lru_cache(maxsize=32)
def _few_points(count: int) -> tuple[Array, Array, Array]:
    """Return all candidates of ``count`` values and :func:`_points` of each; nobody may change them."""
    jumps, left = _points(_down_to(count, 2), FEW_POINTS)
    return _frozen(np.arange(count - 1)), _frozen(jumps), _frozen(left)


def _best(logs: Array, slopes: Array, block: int) -> tuple[int, float]:
    """Return the first candidate with the smallest D, and that D, looking in full only at those that can be it.

    D at some points of a tail is a lower bound of its D. A candidate whose bound exceeds the D of another is not the
    minimum: exact.
    """
    count = len(logs)
    candidates, jumps, left = _few_points(count)
    bounds = _bounds(logs, slopes, candidates, jumps, left)
    with np.errstate(over="ignore"):
        candidates = _left_over(logs, slopes, candidates, bounds, block)
        if len(candidates) * count > WORTHWHILE:
            jumps, left = _points((count - candidates).astype(np.float64), MORE_POINTS)
            bounds = _bounds(logs, slopes, candidates, jumps, left)
            candidates = _left_over(logs, slopes, candidates, bounds, block)
        found = _distances_at(logs, slopes, candidates, block)
    index = int(found.argmin())
    return int(candidates[index]), float(found[index])


def _left_over(logs: Array, slopes: Array, candidates: Array, bounds: Array, block: int) -> Array:
    """Return the candidates whose bound does not exceed the D of those with the smallest bounds."""
    if len(candidates) <= GUESSES:
        return candidates
    guesses = np.sort(bounds.argpartition(GUESSES)[:GUESSES])
    limit = _distances_at(logs, slopes, candidates[guesses], block).min()
    return candidates[bounds <= limit + 1e-12]  # what two ways of rounding may differ by must not decide


def tail_values(eigenvalues: Float[Tensor, " n"], *, threshold: float) -> Array:
    """Return the eigenvalues above a threshold, ascending, in float64, on the CPU.

    Raises:
        UsageError: they are not a vector of finite numbers, or fewer than two exceed the threshold.
    """
    if eigenvalues.ndim != 1:
        raise UsageError(f"eigenvalues of shape {tuple(eigenvalues.shape)} were given: give one vector.")
    found = eigenvalues.detach().to("cpu", torch.float64).numpy()
    if not np.isfinite(found).all():
        raise UsageError("eigenvalues that are NaN or infinite were given: a power law needs finite ones.")
    kept = np.sort(found[found > threshold])
    if len(kept) < 2:
        raise UsageError(f"{len(kept)} of {len(found)} eigenvalues exceed {threshold:g}: a power law needs at least 2.")
    return kept


def power_law(eigenvalues: Float[Tensor, " n"], *, threshold: float = 0.0, block: int = BLOCK) -> PowerLaw:
    """Return the power law of the tail that fits best: the first xmin with the smallest D.

    Args:
        eigenvalues: in any order.
        threshold: those at most this large are left out.
        block: numbers held at once.

    Raises:
        UsageError: fewer than two values exceed the threshold, all of them are equal, or some are not finite.

    Example:
        >>> law = power_law(torch.tensor([1.0, 2.0, 4.0, 8.0]))
        >>> round(law.alpha, 7), round(law.distance, 7), law.xmin, round(law.sigma, 7), law.tail_count
        (1.9617967, 0.2365829, 1.0, 0.4808983, 4)
    """
    return _fitted(tail_values(eigenvalues, threshold=threshold), block)


def _fitted(values: Array, block: int) -> PowerLaw:
    logs = np.log(values)
    slopes = _slopes(logs)
    index, distance = _best(logs, slopes, block)
    return _law_at(values, 1 - float(slopes[index]), distance, index)


def _law_at(values: Array, alpha: float, distance: float, index: int) -> PowerLaw:
    """Return the power law of ascending ``values`` from ``index`` on."""
    if alpha >= 1 - STEEPEST:
        raise UsageError(f"all {len(values)} eigenvalues are {float(values[0]):g}: equal values follow no power law.")
    size = len(values) - index
    xmin = float(values[index])
    return PowerLaw(
        alpha=alpha,
        distance=distance,
        xmin=xmin,
        xmax=float(values[-1]),
        sigma=(alpha - 1) / math.sqrt(size),
        tail_count=int((values >= xmin).sum()),
        count=len(values),
    )


def minima(
    eigenvalues: Float[Tensor, " n"], *, threshold: float = 0.0, most: int = 3, block: int = BLOCK
) -> list[PowerLaw]:
    """Return the power laws at the local minima of D over xmin, best first: where α jumps to when the best moves.

    The first is that of :func:`power_law`. D of every candidate is computed.

    Args:
        eigenvalues: in any order.
        threshold: those at most this large are left out.
        most: how many to return.
        block: numbers held at once.

    Raises:
        UsageError: as :func:`power_law`.

    Example:
        >>> [law.xmin for law in minima(torch.tensor([1.0, 2.0, 4.0, 8.0, 9.0, 30.0]))]
        [1.0, 8.0]
    """
    values = tail_values(eigenvalues, threshold=threshold)
    logs = np.log(values)
    slopes = _slopes(logs)
    found = _every_distance(logs, slopes, block)
    local = slopes > STEEPEST
    local[1:] &= found[1:] < found[:-1]
    local[:-1] &= found[:-1] <= found[1:]
    chosen = np.flatnonzero(local)
    chosen = chosen[found[chosen].argsort(kind="stable")][:most]
    if len(chosen) == 0:
        return [_law_at(values, 1 - STEEPEST, 1.0, 0)]
    return [_law_at(values, 1 - float(slopes[index]), float(found[index]), int(index)) for index in chosen]


def without_fingers(
    eigenvalues: Float[Tensor, " n"], *, threshold: float = 0.0, gain: float = 1.0, most: int = 9, block: int = BLOCK
) -> tuple[PowerLaw, int]:
    """Return the power law after dropping a few largest eigenvalues that alone make α large, and how many they are.

    2, 3, … ``most`` of them are dropped, until α is smaller than that of all by more than ``gain``: that fit, with one
    less than the dropped as the number of fingers. Where that does not happen, or α reaches 2 first, the fit of
    all values and 0. As ``fix_fingers='clip_xmax'`` of WeightWatcher 0.7.5.5, its count included.

    Args:
        eigenvalues: in any order.
        threshold: those at most this large are left out.
        gain: by how much α must fall.
        most: how many may be dropped.
        block: numbers held at once.

    Raises:
        UsageError: as :func:`power_law`.

    Example:
        >>> without_fingers(torch.linspace(0.01, 1, 100) ** -0.5)[1]  # α = 3, no fingers
        0
    """
    values = tail_values(eigenvalues, threshold=threshold)
    raw = _fitted(values, block)
    for dropped in range(2, min(most, len(values) - 2) + 1):
        found = _fitted(values[:-dropped], block)
        if found.alpha + gain < raw.alpha:
            return found, dropped - 1
        if found.alpha <= 2:
            break
    return raw, 0


def bootstrap(
    eigenvalues: Float[Tensor, " n"],
    *,
    generator: torch.Generator,
    resamples: int = 200,
    level: float = 0.95,
    threshold: float = 0.0,
    block: int = BLOCK,
) -> tuple[float, float]:
    """Return the percentile interval of α over resamples of the eigenvalues, xmin chosen anew in each.

    It contains the hops of xmin, which the standard error does not. Eigenvalues of one matrix repel each other and
    are not independent draws; the interval is wider than that of repeated matrices.

    Args:
        eigenvalues: in any order.
        generator: of the resamples, on the CPU.
        resamples: how many.
        level: share of the resampled α inside the interval.
        threshold: those at most this large are left out.
        block: numbers held at once.

    Raises:
        UsageError: as :func:`power_law`; the level is not in (0, 1), or there is no resample.

    Example:
        >>> values = torch.linspace(0.01, 1, 100) ** -0.5  # α = 3
        >>> low, high = bootstrap(values, generator=torch.Generator().manual_seed(0))
        >>> low < 3 < high
        True
    """
    if resamples < 1 or not 0 < level < 1:
        raise UsageError(f"resamples = {resamples}, level = {level:g}: give at least 1, and a level between 0 and 1.")
    logs = np.log(tail_values(eigenvalues, threshold=threshold))
    found = []
    for _ in range(resamples):
        # in the order of the values, so that what is drawn is sorted
        drawn = torch.randint(len(logs), (len(logs),), generator=generator).sort().values.numpy()
        resample = logs[drawn]
        slopes = _slopes(resample)
        index, _ = _best(resample, slopes, block)
        found.append(1 - slopes[index])
    known = [alpha for alpha in found if alpha < 1 - STEEPEST]
    if not known:
        raise UsageError(f"{len(logs)} eigenvalues were given: their resamples follow no power law.")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
