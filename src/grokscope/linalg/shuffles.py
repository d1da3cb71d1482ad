"""A weight against itself with its entries in random places: what only the size of the entries can explain.

A shuffle keeps every entry and destroys every pattern. Eigenvalues that stick out of the bulk afterwards are
correlation traps (Prakash and Martin 2025): a few entries are so large that no place of theirs hides them. A pattern
that is spread over many entries, such as a component of rank one, is gone after it and is no trap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import marchenko_pastur
from grokscope.linalg.marchenko_pastur import BulkFit
from grokscope.linalg.spectra import Layout, as_slices, slice_values


@dataclass(frozen=True)
class Shuffled:
    """The spectra of a weight's shuffles.

    Attributes:
        spectra: λ of each shuffle and matrix, descending, (replicas, positions, n).
        variances: mean square of the entries of each matrix, (positions,); the same in every shuffle.
        shape: rows and columns of each matrix, rows ≤ columns.
    """

    spectra: Tensor
    variances: Tensor
    shape: tuple[int, int]


def orders(entries: int, replicas: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield random orders of ``entries`` entries, each drawn when it is asked for.

    Example:
        >>> [sorted(order.tolist()) for order in orders(3, 2, torch.Generator().manual_seed(0))]
        [[0, 1, 2], [0, 1, 2]]
    """
    for _ in range(replicas):
        yield torch.randperm(entries, generator=generator)


def shuffled(
    weight: Tensor,
    *,
    generator: torch.Generator,
    replicas: int = 3,
    layout: Layout = "pooled",
    trim: float = 0.0,
) -> Shuffled:
    """Return the spectra of a weight whose entries are put into random places, ``replicas`` times.

    Args:
        weight: (rows, columns) or (out, in, *kernel). Each matrix of a pooled kernel is shuffled within itself.
        generator: of the orders, on the CPU; all matrices of a kernel are shuffled alike.
        replicas: how many shuffles.
        layout: see :func:`grokscope.linalg.spectra.as_slices`.
        trim: see :func:`entry_variance`.

    Raises:
        UsageError: the weight has no spectrum, ``replicas`` is below 1, or ``trim`` is out of range.

    Example:
        >>> found = shuffled(torch.ones(4, 6), generator=torch.Generator().manual_seed(0), replicas=2)
        >>> tuple(found.spectra.shape), found.shape, round(float(found.spectra.max()), 9)
        ((2, 1, 4), (4, 6), 24.0)
    """
    if replicas < 1:
        raise UsageError(f"replicas = {replicas}: give at least one shuffle.")
    slices = as_slices(weight, layout=layout)
    positions, rows, columns = slices.shape
    entries = slices.flatten(1)
    found = [
        slice_values(entries[:, order.to(entries.device)].view(positions, rows, columns)).square()
        for order in orders(rows * columns, replicas, generator)
    ]
    return Shuffled(torch.stack(found), entry_variance(entries, trim=trim), (rows, columns))


def entry_variance(entries: Float[Tensor, "*batch n"], *, trim: float = 0.0) -> Float[Tensor, "*batch"]:
    """Return the mean square of entries, (…, n) to (…), or an estimate of it that the largest ones do not move.

    Args:
        entries: of a matrix.
        trim: share of the entries, the largest, that are left out; the mean of the others is corrected by what
            it would be for normal entries.

    Raises:
        UsageError: ``trim`` is not in [0, 0.5].

    Example:
        >>> float(entry_variance(torch.tensor([1.0, -3.0])))
        5.0
    """
    if not 0 <= trim <= 0.5:
        raise UsageError(f"trim = {trim:g}: give the share of entries to leave out, from 0 to 0.5.")
    squares = entries.to(torch.float64).square()
    dropped = math.floor(trim * squares.shape[-1])
    if dropped == 0:
        return squares.mean(-1)
    kept = squares.sort(-1).values[..., :-dropped].mean(-1)
    share = dropped / squares.shape[-1]
    cut = math.sqrt(2) * float(torch.special.erfinv(torch.tensor(1 - share, dtype=torch.float64)))
    height = math.exp(-(cut**2) / 2) / math.sqrt(2 * math.pi)
    return kept / (1 - 2 * cut * height / (1 - share))


def trap_counts(found: Shuffled, *, score: float = marchenko_pastur.TW_SCORE) -> Float[Tensor, " replicas"]:
    """Return how many eigenvalues of each shuffle lie beyond the edge for independent entries of that variance.

    Those with z > ``score``; see :func:`grokscope.linalg.marchenko_pastur.outlier_scores`. Nothing is fitted. A
    matrix with one row, or a single distinct place for its entries, has none.

    Example:
        >>> weight = torch.randn(40, 60, generator=torch.Generator().manual_seed(0))
        >>> weight[3, 5] = 40.0
        >>> trap_counts(shuffled(weight, generator=torch.Generator().manual_seed(0))).tolist()
        [1.0, 1.0, 1.0]
    """
    counts = torch.zeros(len(found.spectra), dtype=torch.float64, device=found.spectra.device)
    if min(found.shape) < 2:
        return counts
    for position, variance in enumerate(found.variances.tolist()):
        if variance > 0:
            scores = marchenko_pastur.outlier_scores(found.spectra[:, position], found.shape, variance)
            counts += (scores > score).sum(-1)
    return counts


def bulk_fits(found: Shuffled) -> list[BulkFit]:
    """Return the Marchenko–Pastur law fitted to each shuffle; see :func:`grokscope.linalg.marchenko_pastur.fit`.

    Their ``spikes`` are the correlation traps that WeightWatcher 0.7.5.5 counts (``rand_num_spikes``), of one shuffle
    each; WeightWatcher itself adds up five shuffles where there are fewer than 100 eigenvalues. The statistic and
    p-value are the test of Prakash and Martin 2025.

    Raises:
        UsageError: all entries are 0.
    """
    return [marchenko_pastur.fit(spectrum.flatten(), found.shape) for spectrum in found.spectra]


def largest_entry(weight: Tensor, *, layout: Layout = "pooled") -> float:
    """Return max |w| / (s (√N + √M)), s² = mean w²: above 1 an eigenvalue leaves the bulk after any shuffle.

    No SVD is needed: a matrix's largest singular value is at least its largest entry. Of a pooled kernel the largest
    over its matrices; NaN for a zero weight. Reference: Prakash and Martin 2026 (arXiv 2602.02859), appendix F.

    Raises:
        UsageError: the weight has no spectrum.

    Example:
        >>> weight = torch.ones(4, 9)
        >>> weight[0, 0] = 30.0
        >>> largest_entry(weight) > 1, largest_entry(torch.ones(4, 9))
        (True, 0.2)
    """
    slices = as_slices(weight, layout=layout)
    rows, columns = slices.shape[-2:]
    entries = slices.flatten(1)
    bounds = entries.square().mean(-1).sqrt() * (math.sqrt(rows) + math.sqrt(columns))
    ratios = entries.abs().amax(-1) / bounds
    kept = ratios[ratios.isfinite()]
    return float(kept.max()) if len(kept) else math.nan


def spectrum_distance(first: Float[Tensor, " n"], second: Float[Tensor, " n"]) -> float:
    """Return the Jensen–Shannon distance of two spectra, each sorted and divided by its sum: in [0, √ln 2].

    √(½ KL(p‖m) + ½ KL(q‖m)), m = (p + q)/2, natural logarithm; WeightWatcher's ``rand_distance`` where the second is
    of a shuffle. NaN where one is all 0.

    Raises:
        UsageError: they have different lengths.

    Example:
        >>> round(spectrum_distance(torch.tensor([1.0, 0.0]), torch.tensor([1.0, 1.0])), 6)
        0.464501
    """
    if first.shape != second.shape or first.ndim != 1:
        raise UsageError(f"spectra of shapes {tuple(first.shape)} and {tuple(second.shape)} were given: give alike.")
    p, q = (x.to(torch.float64).sort().values for x in (first, second))
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    parts = [torch.special.xlogy(x, x) - torch.special.xlogy(x, middle) for x in (p, q)]
    return float((torch.cat(parts).sum() / 2).clamp_min(0).sqrt())


def comparison(eigenvalues: Float[Tensor, " n"], found: Shuffled) -> dict[str, float]:
    """Return how a weight's spectrum differs from those of its shuffles, the mean over shuffles of each number.

    ``distance``: :func:`spectrum_distance`. ``softrank``: λ_max of the shuffle over that of the weight. ``maxdist``:
    λ_max of the weight less that of the shuffle.

    Args:
        eigenvalues: of the weight, all its matrices together.
        found: its shuffles.

    Raises:
        UsageError: the weight is 0.

    Example:
        >>> weight = torch.eye(12)
        >>> found = comparison(torch.ones(12), shuffled(weight, generator=torch.Generator().manual_seed(0)))
        >>> found["softrank"] > 1
        True
    """
    largest = float(eigenvalues.max())
    pooled = found.spectra.flatten(1)
    tops = pooled.amax(-1)
    return {
        "distance": sum(spectrum_distance(eigenvalues, spectrum) for spectrum in pooled) / len(pooled),
        "softrank": float(tops.mean()) / largest,
        "maxdist": largest - float(tops.mean()),
    }
