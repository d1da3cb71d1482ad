"""Power laws in the tail of a spectrum, p(λ) ∝ λ^(−α) for λ ≥ xmin, fitted at every possible xmin in one pass.

Clauset, Shalizi and Newman 2009, with the choices of WeightWatcher 0.7.5.5 (Martin, Peng and Mahoney 2021), so that
α, D and xmin are comparable with published ones: continuous maximum likelihood without bias correction, the left
limit of the empirical distribution, every value but the largest as xmin, the first minimum of D.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.errors import UsageError

WW_THRESHOLD = 1e-5
"""Eigenvalues at most this large are dropped by WeightWatcher, whatever the scale of the weights."""
BLOCK = 2**20
"""Numbers held at once while D is computed (8 bytes each)."""
WHOLE = 300
"""Up to so many values D of every candidate costs less than finding out which candidates need it."""
COARSE = 24
"""Points of the tail at which D is bounded from below before a candidate is looked at in full."""


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


def exponents(values: Float[Tensor, "*batch n"]) -> Float[Tensor, "*batch candidates"]:
    """Return α of the tail from each value on but the last: α_i = 1 + n_i / Σ_{j≥i} ln(x_j/x_i), n_i = n − i.

    Args:
        values: ascending and positive, (…, n).

    Returns:
        (…, n − 1) in float64; infinite where all values of the tail are equal.

    Example:
        >>> [round(alpha, 7) for alpha in exponents(torch.tensor([1.0, 2.0, 4.0, 8.0])).tolist()]
        [1.9617967, 2.442695, 3.8853901]
    """
    return _exponents(values.to(torch.float64).log())


def _exponents(logs: Tensor) -> Tensor:
    count = logs.shape[-1]
    sizes = torch.arange(count, 0, -1, dtype=torch.float64, device=logs.device)
    # Relative to the largest value: sums of small numbers, without a difference of two large ones.
    below = logs - logs[..., -1:]
    sums = below.flip(-1).cumsum(-1).flip(-1) - sizes * below
    found = sizes / sums.clamp_min(0)
    return 1 + found[..., :-1]


def distances(
    values: Float[Tensor, "*batch n"], *, block: int = BLOCK
) -> tuple[Float[Tensor, "*batch candidates"], Float[Tensor, "*batch candidates"]]:
    """Return α and D for every candidate xmin: D_i = max_{j≥i} |1 − (x_j/x_i)^(1−α_i) − (j−i)/n_i|.

    D_i = 1 where there is no power law with α_i > 1.

    Args:
        values: ascending and positive, (…, n).
        block: numbers held at once; memory is about 16 bytes × block, whatever n is.

    Example:
        >>> [round(d, 7) for d in distances(torch.tensor([1.0, 2.0, 4.0, 8.0]))[1].tolist()]
        [0.2365829, 0.2987872, 0.3646647]
    """
    logs = values.to(torch.float64).log()
    alphas = _exponents(logs)
    rows = logs.reshape(-1, logs.shape[-1])
    flat = alphas.reshape(len(rows), -1)
    found = torch.stack([_every_distance(row, alpha, block) for row, alpha in zip(rows, flat, strict=True)])
    return alphas, found.reshape(alphas.shape)


def _every_distance(logs: Tensor, alphas: Tensor, block: int) -> Tensor:
    candidates = torch.arange(len(alphas), device=logs.device)
    parts = [_distances_at(logs, alphas, part) for part in _blocks(candidates, len(logs), block)]
    return torch.cat(parts)


def _blocks(candidates: Tensor, count: int, block: int) -> Iterator[Tensor]:
    return iter(candidates.split(max(1, block // count)))


def _distances_at(logs: Tensor, alphas: Tensor, candidates: Tensor) -> Tensor:
    """Return D of some candidates, ascending; everything before the first of them is left out of the work."""
    count = len(logs)
    first = int(candidates[0])
    inside = logs[first:]
    chosen = alphas[candidates]
    # empirical minus fitted: 1 − (j−i)/n_i = (n−j)/n_i
    left = torch.arange(count - first, 0, -1, dtype=torch.float64, device=logs.device)
    gap = inside[None, :] - logs[candidates][:, None]
    gap.mul_((1 - chosen)[:, None]).exp_()
    gap.sub_(left[None, :] / (count - candidates)[:, None])
    gap.abs_()
    positions = torch.arange(first, count, device=logs.device)
    gap.masked_fill_(positions[None, :] < candidates[:, None], 0.0)
    found = gap.amax(-1)
    return torch.where(chosen.isfinite() & (chosen > 1), found, 1.0)


def _best(logs: Tensor, alphas: Tensor, block: int) -> tuple[int, float]:
    """Return the first candidate with the smallest D, and that D, looking in full only at those that can be it.

    D at some points of a tail is a lower bound of its D. A candidate whose bound exceeds the D of another is not the
    minimum: exact.
    """
    count = len(logs)
    if count <= WHOLE:
        found = _every_distance(logs, alphas, block)
        index = int(found.argmin())
        return index, float(found[index])
    candidates = torch.arange(len(alphas), device=logs.device)
    sizes = (count - candidates).to(torch.float64)
    fractions = torch.linspace(0, 1, COARSE, dtype=torch.float64, device=logs.device)
    jumps = (fractions[None, :] * (sizes - 1)[:, None]).long()
    gap = logs[candidates[:, None] + jumps] - logs[:-1, None]
    gap.mul_((1 - alphas)[:, None]).exp_().sub_(1 - jumps / sizes[:, None])
    bounds = torch.where(alphas.isfinite() & (alphas > 1), gap.abs_().amax(-1), 1.0)
    guess = bounds.argmin()[None]
    limit = _distances_at(logs, alphas, guess)[0]
    # what the two ways of rounding may differ by must not decide
    left = (bounds <= limit + 1e-12).nonzero()[:, 0]
    found = torch.cat([_distances_at(logs, alphas, part) for part in _blocks(left, count, block)])
    index = int(found.argmin())
    return int(left[index]), float(found[index])


def tail_values(eigenvalues: Float[Tensor, " n"], *, threshold: float) -> Float[Tensor, " kept"]:
    """Return the eigenvalues above a threshold, ascending, in float64.

    Raises:
        UsageError: they are not a vector of finite numbers, or fewer than two exceed the threshold.
    """
    if eigenvalues.ndim != 1:
        raise UsageError(f"eigenvalues of shape {tuple(eigenvalues.shape)} were given: give one vector.")
    found = eigenvalues.detach().to(torch.float64)
    if not bool(found.isfinite().all()):
        raise UsageError("eigenvalues that are NaN or infinite were given: a power law needs finite ones.")
    kept = found[found > threshold].sort().values
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
    values = tail_values(eigenvalues, threshold=threshold)
    logs = values.log()
    alphas = _exponents(logs)
    index, distance = _best(logs, alphas, block)
    return law_at(values, float(alphas[index]), distance, index)


def law_at(values: Tensor, alpha: float, distance: float, index: int) -> PowerLaw:
    """Return the power law of ascending ``values`` from ``index`` on."""
    if not math.isfinite(alpha):
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
    alphas, found = distances(values, block=block)
    edge = found.new_full((1,), math.inf)
    local = (found < torch.cat([edge, found[:-1]])) & (found <= torch.cat([found[1:], edge]))
    local &= alphas.isfinite()
    chosen = local.nonzero()[:, 0]
    order = found[chosen].argsort(stable=True)[:most]
    if len(order) == 0:
        return [law_at(values, math.inf, 1.0, 0)]
    return [law_at(values, float(alphas[index]), float(found[index]), int(index)) for index in chosen[order]]


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
    raw = power_law(eigenvalues, threshold=threshold, block=block)
    values = tail_values(eigenvalues, threshold=threshold)
    for dropped in range(2, min(most, len(values) - 2) + 1):
        found = power_law(values[:-dropped], block=block)
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
    values = tail_values(eigenvalues, threshold=threshold)
    count = len(values)
    found = []
    for _ in range(resamples):
        drawn = torch.randint(count, (count,), generator=generator).sort().values
        logs = values[drawn.to(values.device)].log()
        alphas = _exponents(logs)
        index, _ = _best(logs, alphas, block)
        found.append(alphas[index])
    known = torch.stack(found)
    known = known[known.isfinite()]
    if len(known) == 0:
        raise UsageError(f"{count} eigenvalues were given: their resamples follow no power law.")
    edge = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64, device=known.device)
    low, high = known.quantile(edge).tolist()
    return low, high
