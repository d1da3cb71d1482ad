"""Maximal margins against scikit-learn's support vector machine and the conic solver Clarabel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from grokscope.theory.margin import kernel_margin, max_l1_margin, max_l2_margin, multiclass_margin

pytestmark = pytest.mark.referee
pytest.importorskip("sklearn", reason="scikit-learn is not installed: make referee installs it")
clarabel = pytest.importorskip("clarabel", reason="clarabel is not installed: make referee installs it")

from sklearn.svm import SVC  # noqa: E402


def gaussian(count: int, features: int, seed: int = 0) -> tuple[Any, Any]:
    """Return Gaussian inputs (count, features) and the side of a random hyperplane each is on."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((count, features))
    return x, np.where(x @ generator.standard_normal(features) > 0, 1.0, -1.0)


def majority(count: int, features: int, seed: int = 0) -> tuple[Any, Any]:
    """Return signs (count, features) labelled by the majority of the first three."""
    x = np.random.default_rng(seed).choice([-1.0, 1.0], (count, features))
    return x, np.sign(x[:, :3].sum(1))


def solved(quadratic: Any, linear: Any, rows: Any, least: Any) -> tuple[float, Any, Any]:
    """Return value, solution and multipliers of min vᵀPv/2 + cᵀv such that rows v ≥ least, by Clarabel."""
    given = clarabel.DefaultSettings()
    given.verbose = False
    given.tol_gap_abs = given.tol_gap_rel = given.tol_feas = 1e-11
    matrix, cones = sparse.csc_matrix(-rows), [clarabel.NonnegativeConeT(len(least))]
    found = clarabel.DefaultSolver(sparse.csc_matrix(quadratic), linear, matrix, -least, cones, given).solve()
    assert str(found.status) in ("Solved", "AlmostSolved")
    return found.obj_val, np.array(found.x), np.array(found.z)


def least_norm(rows: Any) -> tuple[float, Any, Any]:
    """Return min ‖w‖²/2 such that rows w ≥ 1."""
    return solved(np.eye(rows.shape[1]), np.zeros(rows.shape[1]), rows, np.ones(len(rows)))


@pytest.mark.parametrize("data", [gaussian(40, 50), gaussian(80, 10), majority(96, 300)], ids=["wide", "tall", "signs"])
def test_l2(data: tuple[Any, Any]) -> None:
    x, y = data
    found = max_l2_margin(x, y)
    value, w, multipliers = least_norm(y[:, None] * x)
    assert found.certificate.primal == pytest.approx(value, rel=1e-8)
    np.testing.assert_allclose(found.solution, w, atol=1e-6 * np.abs(w).max())
    if np.linalg.matrix_rank(x) == len(x):  # else they are not unique
        np.testing.assert_allclose(found.dual, multipliers, atol=1e-5 * multipliers.max())


@pytest.mark.parametrize("data", [gaussian(40, 50), gaussian(60, 200, 1)], ids=["40", "60"])
def test_kernel_without_bias(data: tuple[Any, Any]) -> None:
    """Theirs has a bias; data that are there twice, once as they are and once as −x with the other label, need none."""
    x, y = data
    x, y = np.vstack([x, -x]), np.concatenate([y, -y])
    gram = x @ x.T
    theirs = SVC(kernel="precomputed", C=1e10, tol=1e-8).fit(gram, y)
    assert abs(theirs.intercept_[0]) < 1e-5
    found = kernel_margin(gram, y)
    np.testing.assert_allclose(found.predict(gram), theirs.decision_function(gram), atol=1e-4)
    assert found.norm**2 == pytest.approx(float(np.abs(theirs.dual_coef_).sum()), rel=1e-5)


@pytest.mark.parametrize(
    "data",
    [gaussian(40, 50), gaussian(80, 10), majority(96, 600), gaussian(32, 1000)],
    ids=["wide", "tall", "signs", "wider"],
)
def test_l1(data: tuple[Any, Any]) -> None:
    """Theirs is min Σ(p + q) such that Z(p − q) ≥ 1 and p, q ≥ 0."""
    x, y = data
    z, d = y[:, None] * x, 2 * x.shape[1]
    rows, least = np.vstack([np.hstack([z, -z]), np.eye(d)]), np.concatenate([np.ones(len(z)), np.zeros(d)])
    value, _, _ = solved(np.zeros((d, d)), np.ones(d), rows, least)
    assert max_l1_margin(x, y).certificate.primal == pytest.approx(value, rel=1e-8)


@pytest.mark.parametrize(("count", "features", "classes"), [(20, 6, 3), (30, 40, 5)])
def test_several_classes(count: int, features: int, classes: int) -> None:
    generator = np.random.default_rng(2)
    x = generator.standard_normal((count, features))
    labels = (x @ generator.standard_normal((features, classes))).argmax(1)
    rows = np.array(
        [
            np.outer(np.eye(classes)[right] - np.eye(classes)[other], one).ravel()
            for one, right in zip(x, labels, strict=True)
            for other in range(classes)
            if other != right
        ]
    )
    value, w, _ = least_norm(rows)
    found = multiclass_margin(x @ x.T, labels, classes)
    assert found.certificate.primal == pytest.approx(value, rel=1e-8)
    np.testing.assert_allclose((found.coefficients.T @ x).ravel(), w, atol=1e-6 * np.abs(w).max())
