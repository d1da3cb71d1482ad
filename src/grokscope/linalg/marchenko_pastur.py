"""The spectrum of a matrix of independent entries (Marchenko and Pastur 1967), and what sticks out of it.

For a matrix of M × N entries of variance s², N ≥ M, ratio c = M/N, the eigenvalues of W Wᵀ/N have the density
√((λ₊ − λ)(λ − λ₋)) / (2π c s² λ) between λ± = s² (1 ± √c)².
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.errors import UsageError

GRID = 1000
"""Points of the density that WeightWatcher fits to."""
BANDWIDTH = 0.1
LEAST_DENSITY = 0.01
LEAST_SIGMA, MOST_SIGMA, SIGMA_STEP = 0.05, 2.0, 0.01
"""Of the grid of σ, as multiples of the σ whose upper edge is the largest eigenvalue."""
OUT_OF_RANGE = 1000.0
TW_SCORE = 3.27
"""Score that the largest eigenvalue of a matrix of independent entries exceeds with p = 1e-3 (Tracy–Widom, β = 1)."""


def _ratio(ratio: float, sigma: float) -> None:
    if not 0 < ratio <= 1:
        raise UsageError(f"ratio = {ratio:g}: give c = rows/columns of the matrix laid with rows ≤ columns, in (0, 1].")
    if not 0 < sigma < math.inf:
        raise UsageError(f"sigma = {sigma:g}: give a positive standard deviation of the entries.")


def edges(ratio: float, sigma: float = 1.0) -> tuple[float, float]:
    """Return λ₋ and λ₊ = σ² (1 ± √c)².

    Raises:
        UsageError: the ratio is not in (0, 1], or sigma is not positive.

    Example:
        >>> [round(edge, 7) for edge in edges(0.5)]
        [0.0857864, 2.9142136]
    """
    _ratio(ratio, sigma)
    root = math.sqrt(ratio)
    return (sigma * (1 - root)) ** 2, (sigma * (1 + root)) ** 2


def density(points: Float[Tensor, "*points"], ratio: float, sigma: float = 1.0) -> Float[Tensor, "*points"]:
    """Return the density √((λ₊ − λ)(λ − λ₋)) / (2π c σ² λ), 0 outside [λ₋, λ₊] and at 0; integrates to 1.

    Raises:
        UsageError: the ratio is not in (0, 1], or sigma is not positive.

    Example:
        >>> round(float(density(torch.tensor(1.0), 1.0)), 7)  # √3/2π
        0.2756644
    """
    low, high = edges(ratio, sigma)
    x = points.to(torch.float64)
    inside = ((high - x) * (x - low)).clamp_min(0).sqrt()
    return torch.where(inside > 0, inside / (2 * math.pi * ratio * sigma**2 * x), 0.0)


def distribution(points: Float[Tensor, "*points"], ratio: float, sigma: float = 1.0) -> Float[Tensor, "*points"]:
    """Return the cumulative distribution F(λ) in closed form, 0 below λ₋ and 1 above λ₊.

    With r = √((λ₊ − λ)/(λ − λ₋)): F = [πc + √((λ₊−λ)(λ−λ₋))/σ² − (1+c) atan((r²−1)/2r)
    + (1−c) atan((λ₋r² − λ₊)/(2σ²(1−c)r))] / 2πc; the last term is absent for c = 1.

    Raises:
        UsageError: the ratio is not in (0, 1], or sigma is not positive.

    Example:
        >>> round(float(distribution(torch.tensor(1.0), 0.5)), 7)
        0.5760042
    """
    low, high = edges(ratio, sigma)
    x = points.to(torch.float64)
    above, below = high - x, x - low
    inside = (above > 0) & (below > 0)
    above, below = above.where(inside, 1.0), below.where(inside, 1.0)
    # atan of a ratio whose denominator is positive: atan2 keeps what r = 0 and r = ∞ would lose
    product = (above * below).sqrt()
    found = math.pi * ratio + product / sigma**2 - (1 + ratio) * torch.atan2(above - below, 2 * product)
    if ratio < 1:
        last = torch.atan2(low * above - high * below, 2 * sigma**2 * (1 - ratio) * product)
        found = found + (1 - ratio) * last
    found = (found / (2 * math.pi * ratio)).clamp(0, 1)
    return torch.where(inside, found, (x >= high).to(torch.float64))


def ks_test(values: Float[Tensor, " n"], ratio: float, sigma: float = 1.0) -> tuple[float, float]:
    """Return the Kolmogorov–Smirnov statistic of values against :func:`distribution`, and its two-sided p-value.

    The p-value is that of n independent values; eigenvalues repel each other and lie closer to F than such, so p
    near 1 is what a random matrix gives.

    Raises:
        UsageError: there are no values, the ratio is not in (0, 1], or sigma is not positive.

    Example:
        >>> statistic, p = ks_test(torch.tensor([0.5, 1.0, 1.5]), 0.5)
        >>> round(statistic, 3), p > 0.5
        (0.318, True)
    """
    from scipy import stats

    if values.ndim != 1 or len(values) == 0:
        raise UsageError(f"values of shape {tuple(values.shape)} were given: give a vector of at least one.")
    expected = distribution(values.to(torch.float64).sort().values, ratio, sigma)
    count = len(expected)
    steps = torch.arange(count + 1, dtype=torch.float64, device=expected.device) / count
    statistic = float(torch.maximum((steps[1:] - expected).max(), (expected - steps[:-1]).max()))
    return statistic, float(np.clip(stats.kstwo.sf(statistic, count), 0, 1))


@dataclass(frozen=True)
class BulkFit:
    """A Marchenko–Pastur law fitted to eigenvalues as WeightWatcher 0.7.5.5 does.

    Attributes:
        sigma: fitted σ of the eigenvalues rescaled to mean 1; without spikes near 1.
        scale: √(n/Σλ): the rescaled eigenvalues are λ scale².
        lower, upper: edges of the bulk, of the eigenvalues as given.
        spikes: eigenvalues above the upper edge and its Tracy–Widom allowance.
        threshold: that sum, of the eigenvalues as given.
        softrank: upper edge over largest eigenvalue: small where the spectrum has a long tail.
        statistic: Kolmogorov–Smirnov distance of the rescaled eigenvalues from the fitted law.
        p_value: of that distance.
    """

    sigma: float
    scale: float
    lower: float
    upper: float
    spikes: int
    threshold: float
    softrank: float
    statistic: float
    p_value: float


def fit(eigenvalues: Float[Tensor, " n"], shape: tuple[int, int]) -> BulkFit:
    """Return the Marchenko–Pastur law whose density is nearest a kernel estimate of the spectrum (least squares in σ).

    The eigenvalues are rescaled to mean 1. Their density is estimated once, with a triangular kernel of width 0.1 at
    1000 points up to the largest plus 0.5; σ is searched on a grid and polished by Nelder and Mead. For square
    matrices the roots are fitted by a quarter circle of radius 2 (not 2σ), as WeightWatcher does. Where the largest
    eigenvalue is hundreds of times the mean the points lie too far apart, and σ sticks to the lowest of the grid.

    Args:
        eigenvalues: λ = σ² of the matrix, in any order; of several matrices of one shape together too.
        shape: (rows, columns) of the matrix, in any order.

    Raises:
        UsageError: they are not finite, negative or all 0.

    Example:
        >>> values = torch.linalg.svdvals(torch.randn(60, 120, generator=torch.Generator().manual_seed(0))) ** 2
        >>> found = fit(values, (60, 120))
        >>> abs(found.sigma - 1) < 0.05, found.spikes
        (True, 0)
    """
    values = _checked(eigenvalues)
    rows, columns = min(shape), max(shape)
    aspect = columns / rows
    total = float(values.sum())
    rescaled = values * (len(values) / total)
    largest = float(rescaled.max())
    root = math.sqrt(1 / aspect)
    sigma = _fitted_sigma(rescaled, aspect, math.sqrt(largest) / (1 + root))
    upper, lower = (sigma * (1 + root)) ** 2, (sigma * (1 - root)) ** 2
    allowance = math.sqrt(root * upper ** (2 / 3) * rows ** (-2 / 3))
    back = total / len(values)
    statistic, p_value = ks_test(torch.from_numpy(rescaled), 1 / aspect, sigma)
    return BulkFit(
        sigma=sigma,
        scale=math.sqrt(1 / back),
        lower=lower * back,
        upper=upper * back,
        spikes=int((rescaled > upper + allowance).sum()),
        threshold=(upper + allowance) * back,
        softrank=upper / largest,
        statistic=statistic,
        p_value=p_value,
    )


def _checked(eigenvalues: Tensor) -> np.ndarray:
    if eigenvalues.ndim != 1 or len(eigenvalues) == 0:
        raise UsageError(f"eigenvalues of shape {tuple(eigenvalues.shape)} were given: give a vector of at least one.")
    values = eigenvalues.detach().to("cpu", torch.float64).numpy()
    if not np.isfinite(values).all() or (values < 0).any():
        raise UsageError("eigenvalues that are negative, NaN or infinite were given: give squares of singular values.")
    if not values.any():
        raise UsageError("eigenvalues that are all 0 were given: a zero matrix has no bulk.")
    return values


def kernel_density(values: np.ndarray, points: np.ndarray, width: float) -> np.ndarray:
    """Return the density estimate Σ_i (1 − |x − x_i|/h)₊ / nh at each point, by sums over sorted values.

    Example:
        >>> kernel_density(np.array([1.0]), np.array([1.0, 1.05, 2.0]), 0.1).round(9).tolist()
        [10.0, 5.0, 0.0]
    """
    ordered = np.sort(values)
    sums = np.concatenate([[0.0], ordered.cumsum()])
    left, middle, right = (np.searchsorted(ordered, points + shift) for shift in (-width, 0.0, width))
    before = (middle - left) * (width - points) + (sums[middle] - sums[left])
    after = (right - middle) * (width + points) - (sums[right] - sums[middle])
    return np.maximum(before + after, 0) / (len(ordered) * width**2)


def _fitted_sigma(rescaled: np.ndarray, aspect: float, unit: float) -> float:
    from scipy import optimize

    square = aspect == 1
    fitted = np.sqrt(rescaled) if square else rescaled
    points = np.linspace(0, fitted.max() + 0.5, GRID)
    heights = kernel_density(fitted, points, BANDWIDTH)
    kept = heights >= LEAST_DENSITY
    points, heights = points[kept], heights[kept]
    peak, last = points[heights.argmax()], points[-1]
    root = math.sqrt(1 / aspect)
    inverse = np.divide(1.0, points, where=points > 0, out=np.zeros_like(points))
    circle = np.sqrt(np.maximum(4 - points**2, 0)) / math.pi

    def misfit(sigmas: np.ndarray) -> np.ndarray:
        """Return Σ (density − heights)² for each σ, (k) to (k)."""
        if square:
            # Σ (circle/σ² − heights)², multiplied out
            inverses = sigmas**-2.0
            return circle @ circle * inverses**2 - 2 * (circle @ heights) * inverses + heights @ heights
        high, low = (sigmas * (1 + root)) ** 2, (sigmas * (1 - root)) ** 2
        found = np.full(len(sigmas), OUT_OF_RANGE**2 * len(points))
        allowed = ~((high < peak) | (high > last) | (low > peak))
        if allowed.any():
            inside = (high[allowed, None] - points) * (points - low[allowed, None])
            law = np.sqrt(np.maximum(inside, 0, out=inside), out=inside)
            law *= aspect / (2 * math.pi * sigmas[allowed, None] ** 2) * inverse
            law -= heights
            found[allowed] = np.einsum("ij,ij->i", law, law)
        return found

    grid = np.arange(LEAST_SIGMA * unit, MOST_SIGMA * unit, SIGMA_STEP * unit)
    start = grid[misfit(grid).argmin()]
    found = optimize.fmin(lambda sigma: float(misfit(sigma)[0]), start, disp=False)
    return float(found[0])


def outlier_scores(eigenvalues: Float[Tensor, " n"], shape: tuple[int, int], variance: float) -> Float[Tensor, " n"]:
    """Return how far each eigenvalue is beyond the edge for independent entries of a variance v, in Tracy–Widom units.

    z = (λ/v − μ)/τ with μ = (√(N−1) + √M)², τ = (√(N−1) + √M)(1/√(N−1) + 1/√M)^⅓ (Johnstone 2001). For the largest
    eigenvalue of independent entries z follows the Tracy–Widom law with β = 1: mean −1.21, z > 3.27 once in 1000.

    Args:
        eigenvalues: λ = σ² of the matrix.
        shape: its (rows, columns), in any order.
        variance: of its entries.

    Raises:
        UsageError: the variance is not positive, or the longer side has a length of 1.

    Example:
        >>> edge = (99**0.5 + 50**0.5) ** 2
        >>> outlier_scores(torch.tensor([edge]), (50, 100), 1.0).abs().item() < 1e-4
        True
    """
    rows, columns = min(shape), max(shape)
    if not 0 < variance < math.inf:
        raise UsageError(f"variance = {variance:g}: give the positive variance of the entries.")
    if columns < 2:
        raise UsageError(f"shape = {tuple(shape)}: a single entry has no bulk.")
    first, second = math.sqrt(columns - 1), math.sqrt(rows)
    centre = (first + second) ** 2
    spread = (first + second) * (1 / first + 1 / second) ** (1 / 3)
    return (eigenvalues.to(torch.float64) / variance - centre) / spread
