"""What is read off spectra, ours against the plain way: the power-law fit, a whole layer, the Fourier suite.

Each comparison is of the same numbers on the same matrices, and the two are checked to agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from grokscope.bench.alternation import Comparison, alternate, median_and_range
from grokscope.linalg import progress, spectra, tails
from grokscope.linalg.fourier import fourier_basis, frequencies
from grokscope.measures.htsr import spectral_summary

FITS = (64, 200, 512, 768, 1024, 2048)
"""Numbers of eigenvalues that are fitted."""
LAYERS = ((64, 64), (784, 200), (512, 512), (3072, 768), (1024, 1024))
MODULUS = 113
REPEATS = 20
"""Calls of our fit in one turn: it takes a fraction of a millisecond."""


def plain_power_law(values: np.ndarray) -> tuple[float, float, float]:
    """Return α, D and xmin by a loop over every xmin, as WeightWatcher fits.

    Example:
        >>> [round(number, 7) for number in plain_power_law(np.array([1.0, 2.0, 4.0, 8.0]))]
        [1.9617967, 0.2365829, 1.0]
    """
    data = np.sort(values)
    logs = np.log(data)
    alphas, distances = np.zeros(len(data) - 1), np.ones(len(data) - 1)
    for index, xmin in enumerate(data[:-1]):
        size = len(data) - index
        alpha = 1 + size / (np.sum(logs[index:]) - size * logs[index])
        alphas[index] = alpha
        if alpha > 1:
            fitted = 1 - (data[index:] / xmin) ** (1 - alpha)
            distances[index] = np.max(np.abs(fitted - np.arange(size) / size))
    best = int(np.argmin(distances))
    return float(alphas[best]), float(distances[best]), float(data[best])


def plain_excluded_losses(logits: Tensor, train: Tensor) -> list[float]:
    """Return the excluded loss of each frequency alone, its waves projected out of the logits of all pairs.

    Args:
        logits: (p, p, p) of all pairs.
        train: (p, p), true for the pairs trained on.
    """
    modulus = len(logits)
    residues = torch.arange(modulus)
    sums = (residues[:, None] + residues) % modulus
    basis = fourier_basis(modulus)
    losses = []
    for frequency in frequencies(modulus):
        left = logits
        for row in (2 * frequency - 1, 2 * frequency):
            if row < modulus:
                wave = basis[row][sums] / math.sqrt(modulus)
                left = left - wave[..., None] * (wave[..., None] * logits).sum((0, 1))
        losses.append(float(torch.nn.functional.cross_entropy(left[train], sums[train])))
    return losses


def our_excluded_losses(logits: Tensor, train: Tensor) -> list[float]:
    """Return the same from the means over pairs of each sum."""
    modulus = len(logits)
    residues = torch.arange(modulus)
    sums = (residues[:, None] + residues) % modulus
    diagonal = progress.anti_diagonal_mean(logits)
    return progress.excluded_losses(logits[train], sums[train], diagonal, chunk=16).tolist()


def benchmark(*, device: str = "cpu", threads: Sequence[int] = (1, 2), rounds: int = 5) -> list[Comparison]:
    """Return fits, whole layers and the excluded losses of all frequencies, on the CPU with one number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads[0])
    try:
        where = f"cpu, {threads[0]} thread{'s' if threads[0] > 1 else ''}"
        return [
            *(_fit(count, where, rounds) for count in FITS),
            *(_layer(shape, where, rounds) for shape in LAYERS),
            _fourier(where, rounds),
        ]
    finally:
        torch.set_num_threads(before)


def _matrix(rows: int, columns: int) -> Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(rows + columns))


def _fit(count: int, where: str, rounds: int) -> Comparison:
    values = spectra.singular_values(_matrix(count, 2 * count), method="gram").square()
    array = values.numpy()
    law = tails.power_law(values)
    alpha, distance, xmin = plain_power_law(array)
    spent = alternate(
        {
            "plain": lambda: plain_power_law(array),
            "ours": lambda: [tails.power_law(values) for _ in range(REPEATS)],
        },
        rounds=rounds,
    )
    baseline, baseline_range = median_and_range(spent["plain"], 1000)
    ours, our_range = median_and_range(spent["ours"], 1000 / REPEATS)
    details = {
        "baseline_range": baseline_range,
        "our_range": our_range,
        "alpha_difference": abs(alpha - law.alpha),
        "distance_difference": abs(distance - law.distance),
        "same_xmin": math.isclose(xmin, law.xmin, rel_tol=1e-12),
    }
    return Comparison(f"spectra, power law of {count} eigenvalues, all xmin ({where})", baseline, ours, "ms", details)


def _layer(shape: tuple[int, int], where: str, rounds: int) -> Comparison:
    weight = _matrix(*shape)
    double = weight.double()
    # of the two ways to lay a matrix the one that LAPACK is faster with
    spent = alternate(
        {"svd": lambda: torch.linalg.svdvals(double), "ours": lambda: spectral_summary(weight)},
        rounds=rounds,
    )
    svd, svd_range = median_and_range(spent["svd"], 1000)
    ours, our_range = median_and_range(spent["ours"], 1000)
    details = {"svd_range": svd_range, "our_range": our_range, "times_the_svd": ours / svd}
    name = f"spectra, a layer of {shape[0]} x {shape[1]}, all its numbers against its SVD alone ({where})"
    return Comparison(name, svd, ours, "ms", details)


def _fourier(where: str, rounds: int) -> Comparison:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(MODULUS, MODULUS, MODULUS, generator=generator, dtype=torch.float64)
    train = torch.rand(MODULUS, MODULUS, generator=generator) < 0.3
    expected, found = plain_excluded_losses(logits, train), our_excluded_losses(logits, train)
    spent = alternate(
        {"plain": lambda: plain_excluded_losses(logits, train), "ours": lambda: our_excluded_losses(logits, train)},
        rounds=rounds,
    )
    baseline, baseline_range = median_and_range(spent["plain"], 1000)
    ours, our_range = median_and_range(spent["ours"], 1000)
    details = {
        "modulus": MODULUS,
        "baseline_range": baseline_range,
        "our_range": our_range,
        "difference": max(abs(one - other) for one, other in zip(expected, found, strict=True)),
    }
    return Comparison(f"fourier, excluded loss of every frequency ({where})", baseline, ours, "ms", details)
