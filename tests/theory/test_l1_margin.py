"""Linear classifiers of maximal L1 margin: by hand, by their certificate, against HiGHS on all features."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import grokscope as gs
from grokscope.errors import UsageError
from grokscope.theory import linear_programme
from grokscope.theory.arrays import Array
from grokscope.theory.margin import Inseparable, max_l1_margin, max_l2_margin

SEEDS = st.integers(0, 10_000)


def separable(seed: int, count: int = 12, features: int = 5) -> tuple[Array, Array]:
    """Return Gaussian inputs (count, features) and the side of a random hyperplane each is on."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((count, features))
    return x, np.where(x @ generator.standard_normal(features) > 0, 1.0, -1.0)


def parity_of_signs(count: int, features: int, *, seed: int = 0) -> tuple[Array, Array]:
    """Return signs (count, features) labelled by the majority of the first three."""
    x = np.random.default_rng(seed).choice([-1.0, 1.0], (count, features))
    return x, np.sign(x[:, :3].sum(1))


def everything(x: Array, y: Array) -> float:
    """Return the least ‖w‖_1 by HiGHS with all features in one programme."""
    rows = x * y[:, None]
    found = linprog(np.ones(2 * x.shape[1]), A_ub=np.hstack([-rows, rows]), b_ub=-np.ones(len(y)))
    assert found.status == 0
    return float(found.fun)


def test_the_documented_examples_hold() -> None:
    assert doctest.testmod(linear_programme).failed == 0


def test_one_point() -> None:
    found = gs.theory.max_l1_margin([[2, 1]], [1])
    np.testing.assert_allclose(found.direction, [1, 0], atol=1e-12)
    assert found.margin == pytest.approx(2, rel=1e-12)
    cosine = found.direction @ max_l2_margin([[2, 1]], [1]).direction
    assert cosine == pytest.approx(0.894427, abs=5e-7)


def test_two_points() -> None:
    found = max_l1_margin([[2, 1], [1, 3]], [1, 1])
    np.testing.assert_allclose(found.solution, [0.4, 0.2], rtol=1e-12)
    assert found.margin == pytest.approx(1.66667, abs=5e-6)
    # both features have the price 1: 2a + b = a + 3b = 1
    np.testing.assert_allclose(found.dual, [0.4, 0.2], rtol=1e-9)
    assert found.certificate.primal == pytest.approx(0.6, rel=1e-12)
    assert found.certificate.dual == pytest.approx(0.6, rel=1e-9)


@pytest.mark.parametrize(
    ("count", "features"), [(1, 1), (1, 7), (40, 5), (60, 60), (20, 300), (48, 2000), (200, 2)], ids=str
)
def test_equals_the_programme_of_all_features(count: int, features: int) -> None:
    x, y = separable(2, count, features)
    found = max_l1_margin(x, y)
    assert found.certificate.primal == pytest.approx(everything(x, y), rel=1e-8)
    assert -1e-12 < found.certificate.gap < 1e-9
    assert (y * (x @ found.solution)).min() == pytest.approx(1, rel=1e-12)
    assert np.abs((found.dual * y) @ x).max() == pytest.approx(1, rel=1e-12)
    assert found.dual.min() >= 0
    # a vertex: no more features than examples
    assert (np.abs(found.direction) > 1e-9).sum() <= count


def test_three_features_decide() -> None:
    """With enough examples the solution is the three true features at 1, and γ_1 = 1/3."""
    x, y = parity_of_signs(96, 1500)
    found = max_l1_margin(x, y)
    assert found.margin == pytest.approx(1 / 3, rel=1e-9)
    np.testing.assert_allclose(found.solution[:3], 1, rtol=1e-9)
    assert np.abs(found.solution[3:]).max() < 1e-9
    assert found.certificate.gap < 1e-9
    assert np.abs(found.solution).sum() / np.linalg.norm(found.solution) == pytest.approx(np.sqrt(3), rel=1e-9)


@given(SEEDS)
@settings(max_examples=15, deadline=None)
def test_random_data_equal_the_programme_of_all_features(seed: int) -> None:
    generator = np.random.default_rng(seed)
    x, y = separable(seed, int(generator.integers(1, 30)), int(generator.integers(1, 30)))
    x = np.round(x, 1) if seed % 2 else x  # ties
    try:
        found = max_l1_margin(x, y)
    except Inseparable:
        return
    assert found.certificate.primal == pytest.approx(everything(x, y), rel=1e-7)
    assert found.certificate.gap < 1e-9


@given(SEEDS, st.floats(-30, 30))
@settings(max_examples=10, deadline=None)
def test_invariances(seed: int, exponent: float) -> None:
    x, y = separable(seed)
    plain = max_l1_margin(x, y).margin
    factor = 10.0**exponent
    generator = np.random.default_rng(seed)
    rows, columns = generator.permutation(12), generator.permutation(5)
    assert max_l1_margin(factor * x, y).margin == pytest.approx(factor * plain, rel=1e-9)
    assert max_l1_margin(x[rows][:, columns], y[rows]).margin == pytest.approx(plain, rel=1e-9)
    assert max_l1_margin(np.vstack([x, x]), np.concatenate([y, y])).margin == pytest.approx(plain, rel=1e-9)
    assert max_l1_margin(np.hstack([x, x]), y).margin == pytest.approx(plain, rel=1e-9)
    assert max_l1_margin(-x, -y).margin == pytest.approx(plain, rel=1e-9)
    signs = generator.choice([-1.0, 1.0], 5)
    assert max_l1_margin(x * signs, y).margin == pytest.approx(plain, rel=1e-9)
    # ‖w‖_2 ≤ ‖w‖_1 ≤ √d ‖w‖_2
    euclidean = max_l2_margin(x, y).margin
    assert euclidean / np.sqrt(5) * (1 - 1e-9) <= plain <= euclidean * (1 + 1e-9)


def test_single_precision() -> None:
    x, y = separable(4, 20, 100)
    single = max_l1_margin(x.astype(np.float32), y.astype(np.float32))
    assert single.margin == pytest.approx(max_l1_margin(x, y).margin, rel=1e-5)


def test_bad_data() -> None:
    with pytest.raises(Inseparable, match=r"^no linear classifier without bias is right on all examples"):
        max_l1_margin([[1, 0], [-1, 0]], [1, 1])
    with pytest.raises(UsageError, match=r"^y has the label 2: labels of two classes are -1 and 1\.$"):
        max_l1_margin([[1, 0]], [2])
