"""Interpolation of least norm and ridge against scikit-learn, LAPACK and Clarabel."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import lstsq

from grokscope.theory.interpolation import kernel_interpolation, kernel_ridge, minimum_norm

pytestmark = pytest.mark.referee
kernel_models = pytest.importorskip(
    "sklearn.kernel_ridge", reason="scikit-learn is not installed: make referee installs it"
)
clarabel = pytest.importorskip("clarabel", reason="clarabel is not installed: make referee installs it")


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def least_squares(features: np.ndarray, targets: np.ndarray) -> np.ndarray:
    found = lstsq(features, targets, lapack_driver="gelsd")
    assert found is not None
    return found[0]


@pytest.mark.parametrize("ridge", [1e-6, 1e-2, 1.0])
def test_ridge_of_scikit_learn(ridge: float) -> None:
    features, targets, others = drawn(0, 40, 15), drawn(1, 40, 3), drawn(2, 10, 15)
    gram, cross = features @ features.T, others @ features.T
    ours = kernel_ridge(gram, targets, cross, ridge=ridge)
    theirs = kernel_models.KernelRidge(alpha=ours.penalty, kernel="precomputed").fit(gram, targets)
    assert ours.predictions == pytest.approx(theirs.predict(cross), rel=1e-7, abs=1e-9)


def test_least_squares_of_lapack() -> None:
    features, targets = drawn(3, 20, 60), drawn(4, 20, 2)
    theirs = least_squares(features, targets)
    assert minimum_norm(features, targets).solution == pytest.approx(theirs, rel=1e-10, abs=1e-12)
    singular = features[:, :5] @ features[:, :5].T  # rank 5: the least-squares fit
    fit = kernel_interpolation(singular, targets, singular="pseudo-inverse")
    nearest = features[:, :5] @ least_squares(features[:, :5], targets)
    assert fit.predictions == pytest.approx(nearest, rel=1e-8, abs=1e-10)


def test_quadratic_programme_of_clarabel() -> None:
    """min ‖h‖²/2 such that Φh = y, solved as a cone programme: its optimum is within our bounds."""
    from scipy.sparse import csc_matrix, identity

    features, targets = drawn(5, 8, 25), drawn(6, 8)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-12
    cones = [clarabel.ZeroConeT(8)]
    solver = clarabel.DefaultSolver(
        identity(25, format="csc"), np.zeros(25), csc_matrix(features), targets, cones, settings
    )
    solution = solver.solve()
    found = minimum_norm(features, targets)
    assert found.solution == pytest.approx(np.array(solution.x), abs=1e-8)
    assert found.certificate.dual * (1 - 1e-9) <= solution.obj_val <= found.certificate.primal * (1 + 1e-9)
