"""Classifiers of maximal margin: what training tends to early (kernel, L2) and late (L1), with certificates.

All pass through 0: there is no bias. Labels are −1 and 1, except for ``multiclass_margin``. NumPy float64 in and out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from grokscope.errors import UsageError
from grokscope.theory.arrays import Array, kernel, real, signs
from grokscope.theory.certificate import Certificate
from grokscope.theory.linear_programme import least_sum
from grokscope.theory.quadratic import nonnegative_minimum

ROUNDING = 1e-13
"""A convex combination of the examples whose square is below this share of theirs is 0 as far as float64 can tell."""


class Inseparable(UsageError):
    """No classifier of the kind asked for is right on all examples."""


@dataclass(frozen=True)
class LinearMargin:
    """A linear classifier sign(w·x) of maximal margin.

    Attributes:
        solution: w of least norm with min_i y_i w·x_i = 1, (d,).
        direction: w over its norm (L2 or L1), (d,).
        margin: min_i y_i direction·x_i = 1/‖w‖, in units of the inputs.
        dual: multipliers a ≥ 0 of the constraints, (n,); positive ones are those of support vectors.
        certificate: of the minimum ‖w‖²/2 (L2) or ‖w‖_1 (L1).
    """

    solution: Array
    direction: Array
    margin: float
    dual: Array
    certificate: Certificate


@dataclass(frozen=True)
class KernelMargin:
    """A kernel classifier sign(Σ_i c_i K(x, x_i)) of maximal margin.

    Attributes:
        coefficients: c = a y of the solution h of least norm with min_i y_i f(x_i) = 1, (n,).
        margin: of h/‖h‖, that is 1/‖h‖, in units of √K.
        norm: ‖h‖ in the kernel's feature space.
        dual: multipliers a ≥ 0 of the constraints, (n,).
        certificate: of the minimum ‖h‖²/2.
    """

    coefficients: Array
    margin: float
    norm: float
    dual: Array
    certificate: Certificate

    def predict(self, gram: Any) -> Array:
        """Return scores f(x) = Σ_i c_i K(x, x_i) for K(new, train), (m, n) to (m,)."""
        return real("gram", gram, axes=2) @ self.coefficients


def max_l2_margin(x: Any, y: Any) -> LinearMargin:
    """Return argmin ‖w‖²/2 such that y_i w·x_i ≥ 1: the linear classifier of maximal L2 margin.

    x (n, d), y (n,) of −1 and 1. Solves the dual min_{a≥0} aᵀGa/2 − Σa, G_ij = y_i y_j x_i·x_j, of size n for any d.
    Raises Inseparable where no w is right on all examples, and UsageError for data that cannot be used. Source:
    Lyu et al. 2024, corollary 3.6.

    Example:
        >>> found = max_l2_margin([[2, 1]], [1])
        >>> round(found.margin, 5), found.direction.round(5)
        (2.23607, array([0.89443, 0.44721]))
    """
    rows, unit = _rows(x, y)
    w, dual = _separator(rows, unit)
    margins = rows @ w
    squared = float(w @ w)
    dual = dual * (dual.sum() / squared)
    solution = w / margins.min() / unit
    norm = float(np.linalg.norm(solution))
    certificate = _certificate(squared, margins, dual.sum(), unit**2)
    return LinearMargin(solution, solution / norm, 1 / norm, dual / unit**2, certificate)


def max_l1_margin(x: Any, y: Any) -> LinearMargin:
    """Return argmin ‖w‖_1 such that y_i w·x_i ≥ 1: a linear classifier of maximal L1 margin.

    x (n, d), y (n,) of −1 and 1; where several w are best, one that is sparse. Column generation makes d = 100 000
    with n = 256 a matter of seconds, and the certificate is over all features. Raises as :func:`max_l2_margin` does.
    Source: Lyu et al. 2024, corollary 3.7.

    Example:
        >>> found = max_l1_margin([[2, 1], [1, 3]], [1, 1])
        >>> round(found.margin, 6), found.solution.round(6)
        (1.666667, array([0.4, 0.2]))
    """
    rows, unit = _rows(x, y)
    w, dual = least_sum(rows, _separator(rows, unit)[0])
    dual = dual / np.abs(dual @ rows).max()
    solution = w / float((rows @ w).min()) / unit
    norm = float(np.abs(solution).sum())
    certificate = Certificate(primal=norm, dual=float(dual.sum()) / unit, residual=0.0)
    return LinearMargin(solution, solution / norm, 1 / norm, dual / unit, certificate)


def kernel_margin(gram: Any, y: Any) -> KernelMargin:
    """Return argmin ‖h‖²/2 such that y_i ⟨h, φ_i⟩ ≥ 1: the classifier of maximal margin on features φ with kernel K.

    gram (n, n) = ⟨φ_i, φ_j⟩, y (n,) of −1 and 1; no bias. With the neural tangent kernel at a start whose output is 0
    this is the early solution, and the margin γ_ntk. Raises Inseparable where no h is right on all examples, and
    UsageError for a matrix that is no kernel or for wrong labels. Source: Lyu et al. 2024, theorem 3.4.

    Example:
        >>> found = kernel_margin([[4, 0], [0, 4]], [1, -1])
        >>> round(found.margin, 6), found.coefficients
        (1.414214, array([ 0.25, -0.25]))
    """
    matrix = kernel("gram", gram)
    signed = matrix * np.outer(labels := signs(y, count=len(matrix)), labels)
    unit = float(np.diag(signed).max()) or 1.0
    signed = signed / unit
    dual = _hard_dual(signed)
    margins = signed @ dual
    squared = float(dual @ margins)
    if margins.min() <= 0 or squared <= 0:
        raise _inseparable("classifier on these features", np.sqrt(unit * max(squared, 0.0)) / dual.sum())
    least = float(margins.min())
    norm = float(np.sqrt(squared / unit)) / least
    best = dual * (dual.sum() / squared)
    certificate = _certificate(squared, margins, best.sum(), unit)
    return KernelMargin(dual / least / unit * labels, 1 / norm, norm, best / unit, certificate)


def _rows(x: Any, y: Any) -> tuple[Array, float]:
    """Return the rows y_i x_i over their largest entry, and that entry."""
    inputs = real("x", x, axes=2)
    labels = signs(y, count=len(inputs))
    unit = float(np.abs(inputs).max()) or 1.0
    return inputs / unit * labels[:, None], unit


def _separator(rows: Array, unit: float) -> tuple[Array, Array]:
    """Return the w of maximal L2 margin up to a factor, and its multipliers, Σ_i a_i rows_i = w."""
    dual = _hard_dual(rows @ rows.T)
    w = rows.T @ dual
    if (rows @ w).min() <= 0:
        raise _inseparable("linear classifier without bias", unit * np.linalg.norm(w) / dual.sum())
    return w, dual


def _certificate(squared: float, margins: Array, total: float, unit: float) -> Certificate:
    """Return the bounds on ‖w‖²/2 by w over its least margin and by the best multiple of the dual point."""
    return Certificate(
        primal=squared / float(margins.min()) ** 2 / 2 / unit, dual=float(total) / 2 / unit, residual=0.0
    )


def _hard_dual(signed: Array) -> Array:
    """Return a ≥ 0, up to a factor, that minimises aᵀGa/2 − Σa.

    The least distance problem min_{u≥0} uᵀGu/2 + (Σu − 1)²/2 has a solution whether the classes can be separated or
    not; u is proportional to a. It is best conditioned where the margin is about 1, to which G is scaled. Source:
    Lawson and Hanson 1974, chapter 23.4.
    """
    count = len(signed)
    scale = float(np.diag(signed).max())
    squared = scale or 1.0
    u = np.ones(count) / count
    for _ in range(4):
        u = nonnegative_minimum(signed / squared + 1.0, np.ones(count))
        found = float(u @ signed @ u) / float(u.sum()) ** 2
        if found <= ROUNDING * scale or 0.01 < found / squared < 100:
            break
        squared = found
    return u


def _inseparable(kind: str, length: float | np.floating[Any]) -> Inseparable:
    return Inseparable(
        f"no {kind} is right on all examples (a convex combination of the y_i x_i has the length {length:.2g}, "
        "that is 0 up to rounding): there is no margin to maximise."
    )
