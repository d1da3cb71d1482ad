"""Power-law tails of the spectra of weights: α of heavy-tailed self-regularisation (Martin and Mahoney 2021)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from grokscope.errors import UsageError, unknown
from grokscope.linalg import entropies, marchenko_pastur, spectra, tails
from grokscope.linalg.spectra import Layout
from grokscope.linalg.tails import PowerLaw
from grokscope.measures.base import Key, Measure, Result
from grokscope.measures.by_matrix import by_matrix, large_matrices

if TYPE_CHECKING:
    from grokscope.matrices import WeightMatrix
    from grokscope.snapshot import Snapshot

Mode = Literal["scale-free", "ww"]
MODES = ("scale-free", "ww")
LEAST_EIGENVALUES = 10
"""Spectra of fewer eigenvalues are not fitted, as in WeightWatcher 0.7.5.5."""


def fit(weight: Tensor, *, mode: Mode = "scale-free", layout: Layout = "pooled") -> PowerLaw:
    """Return the power law of the tail of a weight's eigenvalues λ = σ²; see :func:`grokscope.linalg.tails.power_law`.

    Args:
        weight: (rows, columns) or (out, in, *kernel), of any floating dtype, on any device.
        mode: ``scale-free`` drops the eigenvalues that are 0 but for rounding, whatever the scale of the weight;
            ``ww`` does as WeightWatcher 0.7.5.5 on a CPU: the weight is rounded to float32, and λ ≤ 1e-5 are dropped
            (1e-5 · P of a pooled kernel of P positions, whose λ are 1/P as large there).
        layout: of a kernel, see :func:`grokscope.linalg.spectra.as_slices`.

    Raises:
        UsageError: the weight has no spectrum, fewer than two eigenvalues are left, or all of them are equal.

    Example:
        >>> law = fit(torch.diag(torch.tensor([1.0, 2.0, 4.0, 8.0]).sqrt()))
        >>> round(law.alpha, 4), round(law.xmin, 4), law.tail_count
        (1.9618, 1.0, 4)
    """
    if mode not in MODES:
        raise unknown("mode", str(mode), MODES)
    used = spectra.checked(weight).float() if mode == "ww" else weight
    found = spectra.eigenvalues(used, layout=layout)
    return tails.power_law(found, threshold=threshold_of(weight, found, mode, layout))


def alpha(weight: Tensor, *, mode: Mode = "scale-free", layout: Layout = "pooled") -> float:
    """Return the exponent α > 1 of the tail of a weight's eigenvalues; see :func:`fit`.

    Raises:
        UsageError: as :func:`fit`.

    Example:
        >>> round(alpha(torch.diag(torch.tensor([1.0, 2.0, 4.0, 8.0]).sqrt())), 4)
        1.9618
    """
    return fit(weight, mode=mode, layout=layout).alpha


def threshold_of(weight: Tensor, eigenvalues: Tensor, mode: Mode, layout: Layout = "pooled") -> float:
    """Return what an eigenvalue must exceed to be fitted; see :func:`fit`."""
    if mode == "ww":
        # the eigenvalues of a pooled kernel of P positions are P times those that WeightWatcher compares
        return tails.WW_THRESHOLD * (weight.shape[2:].numel() if layout == "pooled" else 1)
    relative = spectra.rank_tolerance(tuple(weight.shape), weight.dtype)
    return float(eigenvalues.max()) * relative**2


def spectral_summary(
    weight: Tensor, *, mode: Mode = "scale-free", layout: Layout = "pooled", least: int = LEAST_EIGENVALUES
) -> tuple[dict[str, float], Tensor]:
    """Return everything that is read off a weight alone, from one SVD, and its eigenvalues, ascending.

    Norms, ranks, entropies, the power law of the tail, and the Marchenko–Pastur fit of the bulk. What is undefined for
    the weight (α of a matrix of rank one, the entropy of a zero matrix) is NaN. Kernels have their norms and ranks from
    the flat matrix, and with ``pooled`` their tail and bulk from a second spectrum.

    Args:
        weight: (rows, columns) or (out, in, *kernel), of any floating dtype, on any device.
        mode: see :func:`fit`.
        layout: see :func:`fit`.
        least: the tail and the bulk of fewer eigenvalues are not fitted.

    Raises:
        UsageError: the weight has no spectrum: it is not floating-point, empty, without values, NaN or infinite.

    Example:
        >>> numbers, eigenvalues = spectral_summary(torch.eye(3))
        >>> numbers["stable_rank"], numbers["l2"] ** 2, eigenvalues.tolist()
        (3.0, 2.9999999999999996, [1.0, 1.0, 1.0])
    """
    used = spectra.checked(weight)
    if mode == "ww":
        used = used.float()
    flat = spectra.singular_values_of(spectra.as_slices(used, layout="flat"))
    slices = spectra.as_slices(used, layout=layout)
    values = flat if weight.ndim == 2 or layout == "flat" else spectra.singular_values_of(slices)
    eigenvalues = values.square().flip(0)
    entropy = entropies.summary(used)
    numbers = {
        **spectra.matrix_norms(used),
        **spectra.summary(flat, tolerance=spectra.rank_tolerance(tuple(used.shape), weight.dtype)),
        "absolute_entropy": entropy["absolute"],
        "normalised_entropy": entropy["normalised"],
        "used_share": entropy["used_share"],
        **tail_summary(eigenvalues, threshold=threshold_of(weight, eigenvalues, mode, layout), least=least),
        **bulk_summary(eigenvalues, (slices.shape[-2], slices.shape[-1]), least=least),
    }
    return numbers, eigenvalues


def tail_summary(eigenvalues: Tensor, *, threshold: float, least: int = LEAST_EIGENVALUES) -> dict[str, float]:
    """Return the power law of ascending eigenvalues and norms weighted with it, as numbers; NaN where there is none.

    Example:
        >>> found = tail_summary(torch.tensor([1.0, 2.0, 4.0, 8.0]), threshold=0.0, least=2)
        >>> round(found["alpha"], 4), round(found["alpha_hat"], 4), found["erg_gap"]
        (1.9618, 1.7717, 0.0)
    """
    none = dict.fromkeys(TAIL, math.nan)
    count, value = spectra.determinant_tail(eigenvalues.clamp_min(0).sqrt())
    none |= {"detx_count": float(count), "detx_value": value}
    if len(eigenvalues) < least:
        return none
    try:
        laws = tails.minima(eigenvalues, threshold=threshold, most=2)
    except UsageError:
        return none
    best = laws[0]
    kept = eigenvalues[eigenvalues > threshold]
    found = {
        "alpha": best.alpha,
        "distance": best.distance,
        "xmin": best.xmin,
        "xmax": best.xmax,
        "sigma": best.sigma,
        "tail_count": float(best.tail_count),
        "alpha_hat": best.alpha * math.log10(best.xmax),
        "log_alpha_norm": float((best.alpha * kept.log()).logsumexp(0)) / math.log(10),
        "erg_gap": float(count - best.tail_count),
    }
    if len(laws) > 1:
        found |= {"runner_up_alpha": laws[1].alpha, "runner_up_distance": laws[1].distance}
    return none | found


TAIL = (
    *("alpha", "distance", "xmin", "xmax", "sigma", "tail_count", "alpha_hat", "log_alpha_norm"),
    *("runner_up_alpha", "runner_up_distance", "detx_count", "detx_value", "erg_gap"),
)
BULK = ("mp_sigma", "mp_lower", "mp_upper", "mp_spikes", "mp_softrank", "mp_statistic", "mp_p_value")


def bulk_summary(eigenvalues: Tensor, shape: tuple[int, int], *, least: int = LEAST_EIGENVALUES) -> dict[str, float]:
    """Return the Marchenko–Pastur fit of eigenvalues as numbers; NaN where they are too few or all 0.

    Example:
        >>> math.isnan(bulk_summary(torch.zeros(20), (20, 30))["mp_sigma"])
        True
    """
    if len(eigenvalues) < least or float(eigenvalues.max()) == 0:
        return dict.fromkeys(BULK, math.nan)
    found = marchenko_pastur.fit(eigenvalues, shape)
    numbers = (found.sigma, found.lower, found.upper, found.spikes, found.softrank, found.statistic, found.p_value)
    return dict(zip(BULK, map(float, numbers), strict=True))


PER_MATRIX = (
    *("alpha", "distance", "xmin", "xmax", "sigma", "tail_count", "alpha_hat", "log_alpha_norm"),
    *("runner_up_alpha", "runner_up_distance", "erg_gap", "clipped_alpha", "fingers"),
)


def measure(
    snapshot: Snapshot,
    *,
    mode: Mode = "scale-free",
    layout: Layout = "pooled",
    least: int = LEAST_EIGENVALUES,
    resamples: int = 0,
) -> Result:
    """Return the power law of each weight matrix that has at least ``least`` eigenvalues, and the mean α.

    Args:
        snapshot: what is measured.
        mode: see :func:`fit`.
        layout: of convolutions, see :func:`grokscope.linalg.spectra.as_slices`.
        least: matrices with fewer eigenvalues are left out.
        resamples: of the bootstrap interval of α; 0 is none.
    """
    if mode not in MODES:
        raise unknown("mode", str(mode), MODES)

    def numbers(matrix: WeightMatrix) -> dict[str, float]:
        if mode == "ww" and matrix.tensor.dtype == torch.float64:
            values = spectra.singular_values(matrix.tensor.float(), layout=layout)
        else:
            values = snapshot.singular_values(matrix.name, layout)
        eigenvalues = values.square().flip(0)
        threshold = threshold_of(matrix.tensor, eigenvalues, mode, layout)
        found = tail_summary(eigenvalues, threshold=threshold, least=least)
        if not math.isnan(found["alpha"]):
            law, count = tails.without_fingers(eigenvalues, threshold=threshold)
            found |= {"clipped_alpha": law.alpha, "fingers": float(count)}
        if resamples:
            generator = snapshot.generator(f"htsr {matrix.name}", VERSION)
            low, high = tails.bootstrap(eigenvalues, generator=generator, resamples=resamples, threshold=threshold)
            found |= {"alpha_low": low, "alpha_high": high}
        return found

    keys = [*PER_MATRIX, *(("alpha_low", "alpha_high") if resamples else ())]
    found = by_matrix(large_matrices(snapshot, "htsr", least=least, layout=layout), keys, numbers)
    known = [value for value in found["alpha"].values() if not math.isnan(value)]
    return {**found, "mean_alpha": math.fsum(known) / len(known) if known else math.nan}


VERSION = 1
_DIRECTION = "5 to 10 at a random start, falls as the network learns, below 2 after long training"

HTSR = Measure(
    name="htsr",
    version=VERSION,
    keys={
        "alpha": Key("exponent of the tail of the eigenvalues", low=1, direction=_DIRECTION),
        "mean_alpha": Key("its mean over the matrices", low=1, direction=_DIRECTION),
        "distance": Key("D, distance of the tail from the fitted law", low=0, high=1),
        "xmin": Key("eigenvalue at which the tail begins", "weights²", low=0),
        "xmax": Key("largest eigenvalue", "weights²", low=0),
        "sigma": Key("standard error of α at that xmin", low=0),
        "tail_count": Key("eigenvalues in the tail; below about 50 α is rough", "values", low=0),
        "alpha_hat": Key("α log₁₀ xmax"),
        "log_alpha_norm": Key("log₁₀ Σ λ^α"),
        "runner_up_alpha": Key("α at the second best local minimum of D", low=1),
        "runner_up_distance": Key("D there", low=0, high=1),
        "erg_gap": Key("eigenvalues with a rescaled product of 1, less those in the tail", "values"),
        "clipped_alpha": Key("α without fingers, a few largest eigenvalues", low=1),
        "fingers": Key("how many those are, 0 if α stays", "values", low=0),
        "alpha_low": Key("lower end of the 95 % bootstrap interval (option resamples)", low=1),
        "alpha_high": Key("upper end of it", low=1),
    },
    reference="Martin, Peng and Mahoney 2021; Clauset, Shalizi and Newman 2009",
    cites=("martin2021predicting", "clauset2009"),
    compute=measure,
)
