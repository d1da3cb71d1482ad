"""The bulk of each weight matrix as that of a random one, and what sticks out of it (Marchenko and Pastur 1967)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grokscope.linalg import marchenko_pastur
from grokscope.linalg.spectra import Layout, as_slices
from grokscope.measures.base import Key, Measure, Result
from grokscope.measures.by_matrix import by_matrix, large_matrices

if TYPE_CHECKING:
    from grokscope.matrices import WeightMatrix
    from grokscope.snapshot import Snapshot

PER_MATRIX = ("sigma", "lower", "upper", "spikes", "outliers", "softrank", "ks_statistic", "ks_p_value")


def measure(snapshot: Snapshot, *, layout: Layout = "pooled", least: int = 10) -> Result:
    """Return the fit of each weight matrix that has at least ``least`` eigenvalues.

    Args:
        snapshot: what is measured.
        layout: of convolutions, see :func:`grokscope.linalg.spectra.as_slices`.
        least: matrices with fewer eigenvalues are left out.
    """

    def numbers(matrix: WeightMatrix) -> dict[str, float]:
        eigenvalues = snapshot.singular_values(matrix.name, layout).square()
        rows, columns = as_slices(matrix.tensor, layout=layout).shape[1:]
        fitted = marchenko_pastur.fit(eigenvalues, (rows, columns))
        found = {
            "sigma": fitted.sigma,
            "lower": fitted.lower,
            "upper": fitted.upper,
            "spikes": float(fitted.spikes),
            "softrank": fitted.softrank,
            "ks_statistic": fitted.statistic,
            "ks_p_value": fitted.p_value,
        }
        if rows > 1:
            # the mean of all entries: Σλ over their number
            variance = float(eigenvalues.sum()) / (len(eigenvalues) * columns)
            scores = marchenko_pastur.outlier_scores(eigenvalues, (rows, columns), variance)
            found["outliers"] = float((scores > marchenko_pastur.TW_SCORE).sum())
        return found

    chosen = large_matrices(snapshot, "marchenko_pastur", least=least, layout=layout)
    return dict(by_matrix(chosen, PER_MATRIX, numbers))


MARCHENKO_PASTUR = Measure(
    name="marchenko_pastur",
    version=1,
    keys={
        "sigma": Key("fitted σ of the eigenvalues rescaled to mean 1", low=0, direction="1 where it is random"),
        "lower": Key("lower edge of the bulk", "weights²", low=0),
        "upper": Key("upper edge of the bulk", "weights²", low=0),
        "spikes": Key("eigenvalues beyond the upper edge of the fit", "values", low=0, direction="rises with learning"),
        "outliers": Key("eigenvalues beyond the edge for entries of that variance", "values", low=0),
        "softrank": Key("upper edge over largest eigenvalue", low=0, direction="near 1 at the start, falls"),
        "ks_statistic": Key("distance of the eigenvalues from the fitted law", low=0, high=1),
        "ks_p_value": Key("its p-value for independent values", low=0, high=1),
    },
    reference="Marchenko and Pastur 1967; Martin and Mahoney 2021",
    cites=("marchenko1967", "martin2021implicit", "johnstone2001"),
    compute=measure,
)
