"""Eigenvalues of the shuffled weights that stick out of the bulk (Prakash and Martin 2025)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from grokscope.linalg import shuffles
from grokscope.linalg.averages import mean_and_error
from grokscope.linalg.spectra import Layout
from grokscope.measures.base import Key, Measure, Result
from grokscope.measures.by_matrix import by_matrix, eigenvalue_count, some_matrices

if TYPE_CHECKING:
    from grokscope.matrices import WeightMatrix
    from grokscope.snapshot import Snapshot

VERSION = 1
PER_MATRIX = (
    *("traps", "traps_error", "traps_ww", "traps_ww_error", "largest_entry"),
    *("distance", "softrank", "maxdist", "ks_statistic", "ks_p_value"),
)


def measure(
    snapshot: Snapshot, *, replicas: int = 3, layout: Layout = "pooled", least: int = 10, trim: float = 0.0
) -> Result:
    """Return the traps of each weight matrix, on average over seeded shuffles, and the eigenvalues of the first one.

    Shuffles are equal at every step.

    Args:
        snapshot: what is measured.
        replicas: shuffles of each matrix.
        layout: of convolutions, see :func:`grokscope.linalg.spectra.as_slices`.
        least: with fewer eigenvalues no law is fitted, and what needs one is NaN.
        trim: share of the largest entries that do not count in the variance, see
            :func:`grokscope.linalg.shuffles.entry_variance`.
    """
    matrices = some_matrices(snapshot, "correlation_traps")
    counts = [eigenvalue_count(matrix, layout) for matrix in matrices]
    spectra = torch.full((len(matrices), max(counts)), math.nan, dtype=torch.float64)
    rows = {matrix.name: row[:count] for matrix, row, count in zip(matrices, spectra, counts, strict=True)}

    def numbers(matrix: WeightMatrix) -> dict[str, float]:
        generator = snapshot.generator(f"correlation_traps {matrix.name}", VERSION)
        found = shuffles.shuffled(matrix.tensor, generator=generator, replicas=replicas, layout=layout, trim=trim)
        rows[matrix.name][:] = found.spectra[0].flatten().sort().values
        eigenvalues = snapshot.singular_values(matrix.name, layout).square()
        if float(eigenvalues[0]) == 0:
            return {}
        traps, error = mean_and_error(shuffles.trap_counts(found))
        given = {"traps": traps, "traps_error": error}
        given["largest_entry"] = shuffles.largest_entry(matrix.tensor, layout=layout)
        given |= shuffles.comparison(eigenvalues, found)
        if eigenvalue_count(matrix, layout) >= least:
            fits = shuffles.bulk_fits(found)
            spikes, error = mean_and_error(torch.tensor([float(fitted.spikes) for fitted in fits]))
            given |= {"traps_ww": spikes, "traps_ww_error": error}
            given["ks_statistic"] = math.fsum(fitted.statistic for fitted in fits) / len(fits)
            given["ks_p_value"] = sorted(fitted.p_value for fitted in fits)[len(fits) // 2]
        return given

    found = by_matrix(matrices, PER_MATRIX, numbers)
    known = [count for count in found["traps"].values() if not math.isnan(count)]
    return {**found, "total": math.fsum(known) if known else math.nan, "eigenvalues": spectra}


_DIRECTION = "0 at the start; rises in a late collapse, and in sound networks trained for long too"

CORRELATION_TRAPS = Measure(
    name="correlation_traps",
    version=VERSION,
    keys={
        "traps": Key("eigenvalues of a shuffle beyond the edge", "values", low=0, direction=_DIRECTION),
        "traps_error": Key("standard error of that mean over shuffles", "values", low=0),
        "total": Key("sum of traps over the matrices", "values", low=0, direction=_DIRECTION),
        "traps_ww": Key("the same by the fit of WeightWatcher", "values", low=0, direction=_DIRECTION),
        "traps_ww_error": Key("standard error of that mean over shuffles", "values", low=0),
        "largest_entry": Key("max |w| / (rms (√N + √M))", low=0, direction="above 1 there is a trap"),
        "distance": Key("of the spectrum from that of a shuffle", "√nats", low=0, high=0.8326),
        "softrank": Key("largest eigenvalue of a shuffle over that of the matrix", low=0),
        "maxdist": Key("largest eigenvalue less that of a shuffle", "weights²"),
        "ks_statistic": Key("distance of a shuffle's spectrum from the fitted law", low=0, high=1),
        "ks_p_value": Key("its p-value", low=0, high=1, direction="near 1; below 1e-3 with many traps"),
    },
    reference="Prakash and Martin 2025",
    cites=("prakash2025", "johnstone2001"),
    compute=measure,
    cost="normal",
)
