"""What fits values exactly with the least change: minimum-norm interpolation, of features and of kernels.

In the kernel regime a network that fits values is f_0(x) + ⟨φ(x), h*⟩, where φ are its tangent features and h* is the
shortest h that fits y − f_0 (Lyu et al. 2024, Thm. 3.9; Jacot et al. 2018). With a kernel K = ⟨φ, φ⟩ the same predictor
is f_0(x) + k(x, X) K⁻¹ (y − f_0).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from grokscope.errors import UsageError
from grokscope.theory.arrays import Array, kernel, real
from grokscope.theory.certificate import Certificate

ROUNDING = 1e-12
"""Eigenvalues of a kernel below this share of the largest count as zero, as in :mod:`grokscope.linalg.kernels`."""

Singular = Literal["refuse", "pseudo-inverse"]


class Infeasible(UsageError):
    """No function of the kind takes all the values asked for."""


@dataclass(frozen=True)
class MinimumNorm:
    """The shortest h with Φh = y.

    Attributes:
        solution: h*, (P,), or (P, outputs) for several outputs.
        norm: ‖h*‖ over all outputs.
        coefficients: a with h* = Φᵀa, the multipliers of the equations, (n,) or (n, outputs).
        rank: of Φ.
        certificate: bounds on ‖h*‖²/2; ``residual`` is max |Φh* − y| / max |y|.
    """

    solution: Array
    norm: float
    coefficients: Array
    rank: int
    certificate: Certificate

    def predict(self, features: Any) -> Array:
        """Return φ(x)·h* for features (m, P): (m,) or (m, outputs)."""
        return real("features", features, axes=2) @ self.solution


@dataclass(frozen=True)
class KernelFit:
    """The function f_0(x) + Σ_i k(x, x_i) a_i that a kernel fits to values.

    Attributes:
        coefficients: a, (n,), or (n, outputs) for several outputs.
        predictions: its values at the points of the cross kernel, (m,) or (m, outputs).
        norm: √(aᵀKa), its norm without f_0: of a tangent kernel the length of the change of the parameters.
        penalty: ρ of Σ(f − y)² + ρ ‖h‖²; 0 for interpolation.
        rank: of K.
        certificate: bounds on ‖h‖²/2, or with a penalty on (Σ(f − y)²/ρ + ‖h‖²)/2; ``residual`` is the largest
            |f − y| / max |y − f_0|, or with a penalty that of the equations (K + ρ) a = y − f_0.
    """

    coefficients: Array
    predictions: Array
    norm: float
    penalty: float
    rank: int
    certificate: Certificate


def minimum_norm(features: Any, targets: Any, *, tolerance: float = 1e-8) -> MinimumNorm:
    """Return argmin ‖h‖²/2 such that Φh = y, h* = Φᵀ(ΦΦᵀ)⁺ y: the early solution for values.

    features Φ (n, P) are rows φ_i, targets y (n,) or (n, outputs). By a QR and a singular value decomposition, so that
    the condition of Φ is not squared. Units: those of targets over features. Source: Lyu et al. 2024, Thm. 3.9.

    Args:
        features: real, finite.
        targets: what Φh is to be; of a network that does not start at 0, y − f_0.
        tolerance: the largest |Φh − y| / max |y| that counts as fitted.

    Raises:
        Infeasible: no h takes these values: examples with equal features and other values, or more than P examples.
        UsageError: the shapes do not belong together, or something is not finite.

    Example:
        >>> found = minimum_norm([[1.0, 1.0]], [2.0])
        >>> found.solution.round(12).tolist(), round(found.norm, 6)
        ([1.0, 1.0], 1.414214)
    """
    rows = real("features", features, axes=2)
    values = columns("targets", targets, count=len(rows))
    if len(rows) < rows.shape[1]:
        basis, triangle = np.linalg.qr(rows.T)
        left, sizes, right = np.linalg.svd(triangle.T)
        right = right @ basis.T
    else:
        left, sizes, right = np.linalg.svd(rows, full_matrices=False)
    kept = sizes > max(rows.shape) * np.finfo(np.float64).eps * sizes[0]
    shares = (left[:, kept].T @ values) / sizes[kept, None]
    solution = right[kept].T @ shares
    dual = left[:, kept] @ (shares / sizes[kept, None])
    residual = _relative(rows @ solution - values, values)
    if residual > tolerance:
        raise Infeasible(
            f"no parameters give these {len(rows)} targets: the nearest fit misses one by {residual:.2g} of the "
            f"largest, with features of rank {int(kept.sum())}; give more features, or fit with a ridge."
        )
    certificate = _bounds(float(np.square(solution).sum()), values, dual, np.square(rows.T @ dual).sum(), residual)
    several = np.ndim(targets) > 1
    return MinimumNorm(
        solution if several else solution[:, 0],
        float(np.linalg.norm(solution)),
        dual if several else dual[:, 0],
        int(kept.sum()),
        certificate,
    )


def kernel_interpolation(
    gram: Any,
    targets: Any,
    cross: Any = None,
    *,
    start: Any = None,
    start_cross: Any = None,
    singular: Singular = "refuse",
    tolerance: float = 1e-6,
) -> KernelFit:
    """Return f_0(x) + k(x, X) K⁻¹ (y − f_0): of the functions through all values the one of least norm.

    Source: Lyu et al. 2024, Thm. 3.9; Jacot et al. 2018.

    Args:
        gram: K, (n, n).
        targets: y, (n,) or (n, outputs), all outputs with the same kernel.
        cross: k(x, X), (m, n); the training points if None.
        start: f_0 at the training points, as targets; 0 if None.
        start_cross: f_0 at the m points; 0 if None.
        singular: what a kernel with eigenvalues below 1e-12 of the largest is for: ``refuse``, or the
            ``pseudo-inverse``, which gives the least-squares fit; the certificate's residual says how far it is off.
        tolerance: the largest |f − y| that counts as fitted, relative to the largest |y − f_0|.

    Raises:
        Infeasible: the kernel is singular and that is refused, or rounding leaves the values unfitted.
        UsageError: the shapes do not belong together, something is not finite, or the matrix is no kernel.

    Example:
        >>> kernel_interpolation([[2.0, 0.0], [0.0, 2.0]], [2.0, 4.0], [[1.0, 1.0]]).predictions.tolist()
        [3.0]
    """
    if singular not in ("refuse", "pseudo-inverse"):
        raise UsageError(f"singular = {singular!r}: it is 'refuse' or 'pseudo-inverse'.")
    matrix, left, values, vectors, kept = _problem(gram, targets, start)
    if singular == "refuse" and not kept.all():
        raise Infeasible(
            f"the kernel of {len(matrix)} examples has rank {int(kept.sum())}: it does not fit all values; give "
            "singular='pseudo-inverse' for the least-squares fit, or a ridge."
        )
    dual = vectors[:, kept] @ ((vectors[:, kept].T @ left) / values[kept, None])
    fitted = matrix @ dual
    residual = _relative(fitted - left, left)
    if singular == "refuse" and residual > tolerance:
        raise Infeasible(
            f"the kernel has condition number {values[-1] / values[0]:.2g}, at which float64 misses a value by "
            f"{residual:.2g} of the largest: give singular='pseudo-inverse' or a ridge."
        )
    squared = float(np.sum(dual * fitted))
    certificate = _bounds(squared, left, dual, squared, residual)
    predictions = _predicted(fitted, dual, cross, start, start_cross)
    return _shaped(targets, KernelFit(dual, predictions, squared**0.5, 0.0, int(kept.sum()), certificate))


def kernel_ridge(
    gram: Any, targets: Any, cross: Any = None, *, ridge: float, start: Any = None, start_cross: Any = None
) -> KernelFit:
    """Return f_0(x) + k(x, X) (K + ρ)⁻¹ (y − f_0), the minimiser of Σ(f − y)² + ρ ‖h‖², with ρ = ridge · tr K / n.

    As the ridge goes to 0 this becomes :func:`kernel_interpolation` with the pseudo-inverse, which ridge 0 gives.
    Equal to :func:`grokscope.linalg.kernels.regression`. Source: Hoerl and Kennard 1970.

    Args:
        gram: K, (n, n).
        targets: y, (n,) or (n, outputs).
        cross: k(x, X), (m, n); the training points if None.
        ridge: in units of the mean eigenvalue of K; 1e-6 is a usual one.
        start: f_0 at the training points, as targets; 0 if None.
        start_cross: f_0 at the m points; 0 if None.

    Raises:
        UsageError: a negative ridge, or as :func:`kernel_interpolation`.

    Example:
        >>> kernel_ridge([[1.0, 0.0], [0.0, 1.0]], [2.0, 4.0], ridge=1.0).predictions.tolist()
        [1.0, 2.0]
    """
    if not ridge >= 0 or not np.isfinite(ridge):
        raise UsageError(f"ridge = {ridge:g} was given: it is 0 or more, in units of the mean eigenvalue.")
    if ridge == 0:
        return kernel_interpolation(
            gram, targets, cross, start=start, start_cross=start_cross, singular="pseudo-inverse"
        )
    matrix, left, values, vectors, kept = _problem(gram, targets, start)
    penalty = ridge * float(np.trace(matrix)) / len(matrix)
    if penalty == 0:
        raise UsageError("the kernel is 0, and a ridge in units of its mean eigenvalue is 0 with it.")
    dual = vectors @ ((vectors.T @ left) / (values + penalty)[:, None])
    fitted = matrix @ dual
    squared = float(np.sum(dual * fitted))
    missed = left - fitted
    certificate = Certificate(
        primal=(float(np.square(missed).sum()) / penalty + squared) / 2,
        dual=float(np.sum(dual * left)) - (penalty * float(np.square(dual).sum()) + squared) / 2,
        residual=_relative(missed - penalty * dual, left),
    )
    predictions = _predicted(fitted, dual, cross, start, start_cross)
    return _shaped(targets, KernelFit(dual, predictions, squared**0.5, penalty, int(kept.sum()), certificate))


def columns(name: str, values: Any, *, count: int) -> Array:
    """Return values of each example, (count,) or (count, outputs), as (count, outputs).

    Raises:
        UsageError: there are not ``count`` of them, or they are not finite.

    Example:
        >>> columns("targets", [1.0, 2.0], count=2).shape
        (2, 1)
    """
    array = real(name, values, axes=2 if np.ndim(values) > 1 else 1)
    if len(array) != count:
        raise UsageError(f"{name} has the shape {array.shape} for {count} examples: give one row an example.")
    return array.reshape(count, -1)


def difference(targets: Any, start: Any, *, count: int) -> Array:
    """Return y − f_0, (count, outputs).

    Raises:
        UsageError: the two have not one shape.
    """
    values = columns("targets", targets, count=count)
    if start is None:
        return values
    first = columns("start", start, count=count)
    if first.shape != values.shape:
        raise UsageError(f"start has {first.shape[1]} outputs an example and targets {values.shape[1]}: give as many.")
    return values - first


def _problem(gram: Any, targets: Any, start: Any) -> tuple[Array, Array, Array, Array, Any]:
    """Return K, y − f_0, the eigenvalues of K ascending, its eigenvectors, and which eigenvalues are not zero."""
    matrix = kernel("gram", gram)
    values, vectors = np.linalg.eigh(matrix)
    values = np.maximum(values, 0)
    return matrix, difference(targets, start, count=len(matrix)), values, vectors, values > ROUNDING * values[-1]


def _predicted(fitted: Array, dual: Array, cross: Any, start: Any, start_cross: Any) -> Array:
    """Return f_0(x) + k(x, X) a at the points of the cross kernel, or at the training points."""
    if cross is None:
        if start_cross is not None:
            raise UsageError("start_cross was given without a cross kernel: give k(x, X) of the same points.")
        return fitted if start is None else fitted + columns("start", start, count=len(fitted))
    if (start is None) != (start_cross is None):
        known, other = ("start_cross", "start") if start is None else ("start", "start_cross")
        raise UsageError(f"{known} was given without {other}: give f_0 at the training points and at the new ones.")
    return evaluated(cross, dual, start_cross)


def evaluated(cross: Any, dual: Array, start: Any = None) -> Array:
    """Return f_0(x) + k(x, X) a, (m, outputs), for coefficients (n, outputs).

    Raises:
        UsageError: the cross kernel is not (m, n), or ``start`` is not one value for each prediction.

    Example:
        >>> evaluated([[1.0, 2.0]], np.array([[3.0], [4.0]])).tolist()
        [[11.0]]
    """
    array = real("cross", cross, axes=2)
    if array.shape[1] != len(dual):
        raise UsageError(
            f"cross has the shape {array.shape} for {len(dual)} training points: give (points, {len(dual)})."
        )
    found = array @ dual
    if start is None:
        return found
    first = columns("start_cross", start, count=len(found))
    if first.shape != found.shape:
        raise UsageError(
            f"start_cross has {first.shape[1]} outputs a point and targets {found.shape[1]}: give as many."
        )
    return found + first


def _shaped(targets: Any, fit: KernelFit) -> KernelFit:
    """Return a fit with the number of axes that the targets have."""
    if np.ndim(targets) > 1:
        return fit
    return replace(fit, coefficients=fit.coefficients[:, 0], predictions=fit.predictions[:, 0])


def _bounds(squared: float, values: Array, dual: Array, dual_squared: float, residual: float) -> Certificate:
    """Return the bounds on ‖h‖²/2 by h and by the best multiple of the dual point a, (a·y)²/(2 ‖Φᵀa‖²)."""
    product = float(np.sum(dual * values))
    bound = product**2 / (2 * float(dual_squared)) if dual_squared > 0 else 0.0
    return Certificate(primal=squared / 2, dual=bound, residual=residual)


def _relative(error: Array, values: Array) -> float:
    size = float(np.abs(values).max())
    return float(np.abs(error).max()) / size if size > 0 else 0.0
