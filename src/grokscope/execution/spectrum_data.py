"""What a page draws of the spectrum of a weight: bins, and the laws fitted to it, as plain numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from grokscope.execution.scan_result import number_of

if TYPE_CHECKING:
    from grokscope.matrices import WeightMatrix
    from grokscope.snapshot import Snapshot

DECADES = 6.0
"""Eigenvalues this many powers of ten below the largest are counted and not drawn, unless the fitted tail has them."""
MOST_POINTS = 160
CURVE = 80


def drawn_spectrum(snapshot: Snapshot, part: WeightMatrix, values: Mapping[str, float]) -> dict[str, Any] | None:
    """Return what is drawn of the spectrum of a part, with the laws that were fitted to it; None where there is none.

    Returns:
        See :func:`binned`.
    """
    eigenvalues = snapshot.singular_values(part.name, "pooled").square().cpu().numpy()
    # entries near the ends of float64 have squares beyond them
    if not (np.isfinite(eigenvalues).all() and eigenvalues.max() > 0):
        return None
    rows, columns = sorted(part.slices.shape[1:])
    law = (number_of(values, "htsr", "alpha"), number_of(values, "htsr", "xmin"))
    sigma = number_of(values, "marchenko_pastur", "sigma")
    return binned(eigenvalues, law=law, bulk=(rows / columns, sigma))


def binned(eigenvalues: np.ndarray, *, law: tuple[float, float], bulk: tuple[float, float]) -> dict[str, Any]:
    """Return a spectrum as densities and as a tail distribution, with the laws fitted to it in the same units.

    Args:
        eigenvalues: (n,), not all 0.
        law: α and xmin of the power law of the tail; NaN if there is none.
        bulk: ratio c = rows/columns and σ of the Marchenko–Pastur law of λ/mean(λ); σ is NaN if there is none.

    Returns:
        ``centres`` and ``density`` of bins that are equally wide in ln λ (density per unit of λ; empty bins are left
        out), ``edges``; ``points`` and ``exceeding``, λ and the share of eigenvalues that are at least as large;
        ``law`` and ``bulk`` with ``x``, ``density`` and ``exceeding``, or None; ``count``, ``hidden``: eigenvalues in
        all, and those too small to be drawn; ``alpha``, ``xmin``.

    Example:
        >>> found = binned(np.array([1.0, 2.0, 4.0, 8.0]), law=(math.nan, math.nan), bulk=(0.5, math.nan))
        >>> found["points"], found["exceeding"]
        ([1.0, 2.0, 4.0, 8.0], [1.0, 0.75, 0.5, 0.25])
    """
    ordered = np.sort(eigenvalues)
    count, largest = len(ordered), float(ordered[-1])
    floor = largest * 10.0**-DECADES
    # the whole tail is shown, however far down the fit found it to begin
    floor = min(floor, law[1] / 10) if math.isfinite(law[1]) else floor
    shown = ordered[ordered > floor]
    bins = int(np.clip(2.5 * math.sqrt(len(shown)), 8, 60))
    low, high = float(shown[0]), largest
    if high <= low * 1.001:
        low, high = low / 1.1, high * 1.1
    edges = np.geomspace(low * (1 - 1e-9), high * (1 + 1e-9), bins + 1)
    heights, _ = np.histogram(shown, edges)
    density = heights / (count * np.diff(edges))
    centres = np.sqrt(edges[:-1] * edges[1:])
    kept = heights > 0
    # the largest are all drawn; of the others as many as a plot can show
    ranks = np.unique(np.geomspace(1, len(shown), MOST_POINTS).round().astype(int)) if len(shown) > 1 else np.array([1])
    alpha, xmin = law
    tail = None
    if math.isfinite(alpha) and math.isfinite(xmin):
        x = np.geomspace(xmin, largest, CURVE // 4)
        share = float((ordered >= xmin).sum()) / count
        ratio = x / xmin
        tail = _curve(x, share * (alpha - 1) / xmin * ratio**-alpha, share * ratio ** (1 - alpha))
    return {
        "edges": edges.tolist(),
        "centres": centres[kept].tolist(),
        "density": density[kept].tolist(),
        "points": shown[::-1][ranks - 1][::-1].tolist(),
        "exceeding": (ranks[::-1] / count).tolist(),
        "law": tail,
        "bulk": _bulk(float(ordered.mean()), *bulk, low=low, high=high),
        "count": count,
        "hidden": count - len(shown),
        "alpha": alpha,
        "xmin": xmin,
    }


def _bulk(mean: float, ratio: float, sigma: float, *, low: float, high: float) -> dict[str, list[float]] | None:
    if not (math.isfinite(sigma) and sigma > 0):
        return None
    import torch

    from grokscope.linalg import marchenko_pastur

    lower, upper = (edge * mean for edge in marchenko_pastur.edges(ratio, sigma))
    x = np.geomspace(max(lower, low), upper, CURVE)[:-1]
    at = torch.from_numpy(x / mean)
    heights = marchenko_pastur.density(at, ratio, sigma).numpy() / mean
    exceeding = 1 - marchenko_pastur.distribution(at, ratio, sigma).numpy()
    drawn = heights > 0
    return _curve(x[drawn], heights[drawn], exceeding[drawn])


def _curve(x: np.ndarray, density: np.ndarray, exceeding: np.ndarray) -> dict[str, list[float]]:
    return {"x": x.tolist(), "density": density.tolist(), "exceeding": exceeding.tolist()}
