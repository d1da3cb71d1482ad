"""What the measures of weights share: a number for each weight matrix, NaN where it is not defined."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from grokscope.errors import UsageError
from grokscope.linalg.spectra import Layout
from grokscope.measures.base import DoesNotApply

if TYPE_CHECKING:
    from grokscope.matrices import WeightMatrix
    from grokscope.snapshot import Snapshot


def by_matrix(
    matrices: Iterable[WeightMatrix], keys: Iterable[str], numbers: Callable[[WeightMatrix], Mapping[str, float]]
) -> dict[str, dict[str, float]]:
    """Return {key: {matrix: number}} of the numbers of each matrix.

    A key that ``numbers`` leaves out is one that the matrix is too small for. NaN stands for all of them where it gives
    nothing, or raises because the matrix has values that are not finite.
    """
    found: dict[str, dict[str, float]] = {key: {} for key in keys}
    for matrix in matrices:
        try:
            given = numbers(matrix)
        except UsageError:
            given = {}
        for key, column in found.items():
            if key in given or not given:
                column[matrix.name] = given.get(key, math.nan)
    return found


def some_matrices(snapshot: Snapshot, measure: str) -> list[WeightMatrix]:
    """Return the weight matrices of a snapshot.

    Raises:
        DoesNotApply: it has none.
    """
    found = snapshot.matrices()
    if not found:
        raise DoesNotApply(f"{measure} looks at weight matrices; this model has none with real values.")
    return found


def large_matrices(snapshot: Snapshot, measure: str, *, least: int, layout: Layout) -> list[WeightMatrix]:
    """Return the weight matrices whose spectrum has at least ``least`` eigenvalues.

    Raises:
        DoesNotApply: there is none.
    """
    found = [matrix for matrix in some_matrices(snapshot, measure) if eigenvalue_count(matrix, layout) >= least]
    if not found:
        raise DoesNotApply(f"{measure} needs a weight matrix with at least {least} eigenvalues; this model has none.")
    return found


def eigenvalue_count(matrix: WeightMatrix, layout: Layout) -> int:
    """Return how many eigenvalues a matrix has: its shorter side, for each position of a pooled kernel."""
    shape = matrix.slices.shape if layout == "pooled" else (1, *matrix.matrix.shape)
    return shape[0] * min(shape[1:])
