"""How many directions each weight matrix uses, and its eigenvalues, to be drawn."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from grokscope.errors import UsageError
from grokscope.linalg import spectra
from grokscope.measures.base import Key, Measure, Result
from grokscope.measures.by_matrix import by_matrix, some_matrices

if TYPE_CHECKING:
    from grokscope.matrices import WeightMatrix
    from grokscope.snapshot import Snapshot

PER_MATRIX = (
    *("stable_rank", "effective_rank", "numerical_rank", "rank_loss", "participation_ratio", "spectral_entropy"),
    *("log_norm", "log_spectral_norm", "detx_count", "detx_value"),
)


def measure(snapshot: Snapshot, *, tolerance: float | None = None) -> Result:
    """Return ranks and entropies of each weight matrix, a kernel laid flat, and all eigenvalues as an array.

    Args:
        snapshot: what is measured.
        tolerance: σ below this × the largest count as 0 in the numerical rank; None is
            :func:`grokscope.linalg.spectra.rank_tolerance`.
    """
    matrices = some_matrices(snapshot, "spectra")

    def numbers(matrix: WeightMatrix) -> dict[str, float]:
        values = snapshot.singular_values(matrix.name)
        used = spectra.rank_tolerance(tuple(matrix.matrix.shape), matrix.tensor.dtype)
        found = spectra.summary(values, tolerance=used if tolerance is None else tolerance)
        count, value = spectra.determinant_tail(values)
        found |= {"detx_count": float(count), "detx_value": value}
        return {**found, "rank_loss": len(values) - found["numerical_rank"]}

    lengths = [min(matrix.matrix.shape) for matrix in matrices]
    density = torch.full((len(matrices), max(lengths)), math.nan, dtype=torch.float64)
    for row, matrix in zip(density, matrices, strict=True):
        try:
            values = snapshot.singular_values(matrix.name)
        except UsageError:  # values that are not finite have no spectrum
            continue
        row[: len(values)] = values.square().flip(0)
    return {**by_matrix(matrices, PER_MATRIX, numbers), "eigenvalues": density}


_COLLAPSE = "falls as the matrix becomes low-rank, often when the network generalises"

SPECTRA = Measure(
    name="spectra",
    version=1,
    keys={
        "stable_rank": Key("Σσ² / max σ²", low=1, direction=_COLLAPSE),
        "effective_rank": Key("exp of the entropy of σ/Σσ", low=1, direction=_COLLAPSE),
        "numerical_rank": Key("singular values above the tolerance", "values", low=0),
        "rank_loss": Key("singular values that are not", "values", low=0),
        "participation_ratio": Key("(Σλ)² / Σλ²", low=1, direction=_COLLAPSE),
        "spectral_entropy": Key("entropy of λ/Σλ over ln rank", low=0, high=1, direction=_COLLAPSE),
        "log_norm": Key("log₁₀ Σλ"),
        "log_spectral_norm": Key("log₁₀ of the largest λ"),
        "detx_count": Key("largest eigenvalues whose rescaled product is 1", "values", low=0),
        "detx_value": Key("the smallest of them", "weights²", low=0),
    },
    reference="Roy and Vetterli 2007; Martin, Peng and Mahoney 2021",
    cites=("roy2007", "martin2021predicting"),
    compute=measure,
)
