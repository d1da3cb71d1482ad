"""Classifiers of maximal margin: what training tends to early (kernel, L2) and late (L1), with certificates.

All pass through 0: there is no bias. Labels are −1 and 1, except for ``multiclass_margin``. NumPy float64 in and out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from grokscope.errors import UsageError
from grokscope.theory.arrays import Array, class_constraints, kernel, real, signs
from grokscope.theory.certificate import Certificate
from grokscope.theory.linear_programme import least_sum
from grokscope.theory.projected_newton import nonnegative_minimum as nonnegative_minimum_by_products
from grokscope.theory.quadratic import nonnegative_minimum

ROUNDING = 1e-13
"""A convex combination of the examples whose square is below this share of theirs is 0 as far as float64 can tell."""


DENSE = 1000
"""Up to how many constraints of several classes a matrix of them all is factored."""
PRODUCTS = 40_000
"""How many products with its Hessian the dual of several classes may take: a quarter of a minute at its largest."""


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


@dataclass(frozen=True)
class MulticlassMargin:
    """A classifier argmax_c Σ_i B_ic K(x, x_i) of maximal margin.

    Attributes:
        coefficients: B of the solution of least norm with min_{i, c≠y_i} f_{y_i}(x_i) − f_c(x_i) = 1, (n, classes);
            each row sums to 0.
        margin: of the solution over its norm, that is 1/‖W‖, in units of √K.
        norm: ‖W‖ = √(Σ_c ‖w_c‖²) in the kernel's feature space.
        dual: multipliers a ≥ 0 of the constraints, (n, classes); 0 for the right class.
        certificate: of the minimum ‖W‖²/2.
    """

    coefficients: Array
    margin: float
    norm: float
    dual: Array
    certificate: Certificate

    def predict(self, gram: Any) -> Array:
        """Return scores f_c(x) = Σ_i B_ic K(x, x_i) for K(new, train), (m, n) to (m, classes)."""
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
    if not 1e-150 < unit < 1e150:
        raise UsageError(f"the largest entry of x is {unit:g}, whose square float64 does not hold: divide x by it.")
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


def multiclass_margin(gram: Any, labels: Any, classes: int | None = None) -> MulticlassMargin:
    """Return argmin Σ_c ‖w_c‖²/2 such that (w_{y_i} − w_c)·φ_i ≥ 1 for every wrong class c of every example.

    gram (n, n) = φ_i·φ_j, the same for every class (a tangent kernel K ⊗ 1); labels (n,) of 0 to classes − 1. All
    n (classes − 1) constraints are dual variables: 450 examples of 23 classes take seconds. Raises Inseparable where no
    such w are found, and UsageError for a matrix that is no kernel or labels that are no classes. Source: Crammer and
    Singer 2001, for hard margins.

    Example:
        >>> found = multiclass_margin([[1, 0], [0, 1]], [0, 1])
        >>> round(found.margin, 6), found.coefficients.round(6).tolist()
        (1.0, [[0.5, -0.5], [-0.5, 0.5]])
    """
    matrix = kernel("gram", gram)
    wrong = class_constraints(labels, count=len(matrix), classes=classes)
    unit = float(np.diag(matrix).max()) or 1.0
    matrix = matrix / unit
    dual = _multiclass_dual(matrix, wrong)
    coefficients = _spread(dual, wrong)
    scores = matrix @ coefficients
    margins = _leads(scores, wrong)[wrong]
    squared = float((coefficients * scores).sum())
    if margins.min() <= 0 or squared <= 0:
        raise _inseparable("classifier on these features", np.sqrt(unit * max(squared, 0.0)) / dual.sum())
    least = float(margins.min())
    norm = float(np.sqrt(squared / unit)) / least
    best = dual * (dual.sum() / squared)
    certificate = _certificate(squared, margins, best.sum(), unit)
    return MulticlassMargin(coefficients / least / unit, 1 / norm, norm, best / unit, certificate)


def _multiclass_dual(matrix: Array, wrong: NDArray[np.bool_]) -> Array:
    """Return a ≥ 0, up to a factor, as :func:`_hard_dual` does, for the constraints of every wrong class."""
    if wrong.sum() <= DENSE:
        example, other = np.nonzero(wrong)
        right = np.argmin(wrong, 1)[example]
        vectors = np.eye(wrong.shape[1])[right] - np.eye(wrong.shape[1])[other]
        found = np.zeros(wrong.shape)
        found[wrong] = _hard_dual(matrix[np.ix_(example, example)] * (vectors @ vectors.T))
        return found
    one = wrong.astype(np.float64)
    # where every constraint holds with equality the scores are one-hot less their mean
    u = one / one.sum()
    squared = float((_spread(u, wrong) * (matrix @ _spread(u, wrong))).sum())
    tolerance, settled, left = 1e-2, False, PRODUCTS
    while tolerance > 1e-16 and left > 0:
        product = partial(_constraint_product, matrix / max(squared, ROUNDING), wrong)
        start = u * float(u.sum() / (u * product(u)).sum())
        u, spent = nonnegative_minimum_by_products(product, one, start, tolerance=tolerance, products=left)
        left -= spent
        scores = matrix @ _spread(u, wrong)
        reached = float((_spread(u, wrong) * scores).sum()) / float(u.sum()) ** 2
        if reached <= ROUNDING or (settled and tolerance <= 1e-13):
            break
        if (_leads(scores, wrong)[wrong] > 0).all():
            # separated, so that the margin is about this: the scale at which the programme is best conditioned
            settled = 0.5 < squared / reached < 2
            squared = reached
        tolerance = max(tolerance / 100, 1e-13) if settled else tolerance / 100
    return u


def _constraint_product(matrix: Array, wrong: NDArray[np.bool_], u: Array) -> Array:
    """Return Hu of the least distance problem: by how much the combination u leads at each constraint, plus Σu."""
    return np.where(wrong, _leads(matrix @ _spread(u, wrong), wrong) + u.sum(), 0)


def _spread(u: Array, wrong: NDArray[np.bool_]) -> Array:
    """Return the coefficients Σ_c u_ic (e_{y_i} − e_c) of each example."""
    return np.where(wrong, -u, u.sum(1, keepdims=True))


def _leads(scores: Array, wrong: NDArray[np.bool_]) -> Array:
    """Return by how much the right class is ahead of each, (n, classes)."""
    return scores[~wrong][:, None] - scores


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
        f"no {kind} is right on all examples, for all that can be told: none has a margin above {length:.2g}, which is "
        "the length of a convex combination of the signed inputs."
    )
