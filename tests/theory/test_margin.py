"""Linear and kernel classifiers of maximal margin: by hand, by optimality conditions, by an independent solver."""

from __future__ import annotations

import doctest
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import grokscope as gs
from grokscope.errors import UsageError
from grokscope.theory import arrays, certificate, margin, quadratic
from grokscope.theory.arrays import Array
from grokscope.theory.margin import Inseparable, kernel_margin, max_l2_margin

SEEDS = st.integers(0, 10_000)


def separable(seed: int, count: int = 12, features: int = 5) -> tuple[Array, Array]:
    """Return Gaussian inputs (count, features) and the side of a random hyperplane each is on."""
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((count, features))
    return x, np.where(x @ generator.standard_normal(features) > 0, 1.0, -1.0)


@pytest.mark.parametrize("module", [arrays, certificate, margin, quadratic], ids=lambda m: m.__name__)
def test_the_documented_examples_hold(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_one_point() -> None:
    found = gs.theory.max_l2_margin([[2, 1]], [1])
    np.testing.assert_allclose(found.direction, np.array([2, 1]) / np.sqrt(5), rtol=1e-14)
    assert found.margin == pytest.approx(2.23607, abs=5e-6)
    np.testing.assert_allclose(found.solution, [0.4, 0.2], rtol=1e-14)
    np.testing.assert_allclose(found.dual, [0.2], rtol=1e-14)
    assert found.certificate.primal == pytest.approx(0.1, rel=1e-14)


def test_two_points() -> None:
    found = max_l2_margin([[2, 1], [1, 3]], [1, 1])
    np.testing.assert_allclose(found.direction, np.array([2, 1]) / np.sqrt(5), rtol=1e-12)
    assert found.margin == pytest.approx(np.sqrt(5), rel=1e-14)
    # the second constraint holds with equality but carries nothing
    np.testing.assert_allclose(found.dual, [0.2, 0], atol=1e-12)


def test_two_support_vectors_and_a_third_point_inside() -> None:
    # between (1, 0) and (0, 1) the nearest point to 0 is (1, 1)/2
    found = max_l2_margin([[1, 0], [0, -1], [3, 3]], [1, -1, 1])
    np.testing.assert_allclose(found.solution, [1, 1], rtol=1e-14)
    np.testing.assert_allclose(found.dual, [1, 1, 0], atol=1e-12)


def test_kernel_of_a_diagonal_network() -> None:
    """Features (2x, −2x) have the kernel 8 x·x', so that γ_ntk = 2√2 γ_2."""
    found = kernel_margin([[40.0]], [1])
    assert found.margin == pytest.approx(6.32456, abs=5e-6)
    x, y = separable(0)
    kernel, linear = kernel_margin(8 * x @ x.T, y), max_l2_margin(x, y)
    assert kernel.margin == pytest.approx(2 * np.sqrt(2) * linear.margin, rel=1e-12)
    assert kernel.norm == pytest.approx(1 / kernel.margin, rel=1e-14)
    new = np.random.default_rng(1).standard_normal((4, 5))
    np.testing.assert_allclose(kernel.predict(8 * new @ x.T), new @ linear.solution, rtol=1e-9)
    assert (y * kernel.predict(8 * x @ x.T)).min() == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize(
    ("count", "features"), [(1, 7), (3, 200), (12, 5), (60, 40), (60, 3), (100, 100)], ids=lambda v: str(v)
)
def test_gap_and_optimality_conditions(count: int, features: int) -> None:
    x, y = separable(3, count, features)
    found = max_l2_margin(x, y)
    assert -1e-12 < found.certificate.gap < 1e-9
    margins = y * (x @ found.solution)
    assert margins.min() == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(
        (found.dual * y) @ x, found.solution, rtol=1e-6, atol=1e-8 * np.abs(found.solution).max()
    )
    assert found.dual.min() >= 0
    assert (found.dual * (margins - 1)).max() < 1e-8 * found.dual.sum()


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_agrees_with_an_independent_solver(seed: int) -> None:
    x, y = separable(seed, 8, 3)
    found = max_l2_margin(x, y)
    theirs = minimize(
        lambda w: w @ w / 2,
        found.solution + 0.1 * np.abs(found.solution).max(),
        jac=lambda w: w,
        method="SLSQP",
        constraints={"type": "ineq", "fun": lambda w: y * (x @ w) - 1, "jac": lambda w: y[:, None] * x},
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert theirs.success
    assert found.certificate.primal == pytest.approx(theirs.fun, rel=1e-6)


@given(SEEDS)
@settings(max_examples=10, deadline=None)
def test_brute_force_in_the_plane(seed: int) -> None:
    x, y = separable(seed, 4, 2)
    angles = np.linspace(0, 2 * np.pi, 20_001)
    best = (y[:, None] * (x @ np.stack([np.cos(angles), np.sin(angles)]))).min(0).max()
    # the grid misses the best angle by π/20000 at most, which costs that times the longest input
    step = np.pi / 20_000 * np.linalg.norm(x, axis=1).max()
    assert best <= max_l2_margin(x, y).margin * (1 + 1e-9) <= best + step


@given(SEEDS, st.floats(-30, 30))
@settings(max_examples=15, deadline=None)
def test_invariances(seed: int, exponent: float) -> None:
    x, y = separable(seed)
    plain = max_l2_margin(x, y)
    factor = 10.0**exponent
    scaled = max_l2_margin(factor * x, y)
    assert scaled.margin == pytest.approx(factor * plain.margin, rel=1e-9)
    np.testing.assert_allclose(scaled.direction, plain.direction, atol=1e-7)
    order = np.random.default_rng(seed).permutation(len(y))
    permuted = max_l2_margin(x[order], y[order])
    np.testing.assert_allclose(permuted.direction, plain.direction, atol=1e-7)
    doubled = max_l2_margin(np.vstack([x, x]), np.concatenate([y, y]))
    np.testing.assert_allclose(doubled.direction, plain.direction, atol=1e-7)
    flipped = max_l2_margin(-x, -y)
    np.testing.assert_allclose(flipped.solution, plain.solution, rtol=1e-12)
    turn = np.linalg.qr(np.random.default_rng(seed).standard_normal((5, 5)))[0]
    np.testing.assert_allclose(max_l2_margin(x @ turn, y).direction, plain.direction @ turn, atol=1e-6)


def test_tensors_and_single_precision() -> None:
    x, y = separable(5, 20, 30)
    single = max_l2_margin(torch.from_numpy(x).float().requires_grad_(), torch.from_numpy(y).long())
    assert single.direction.dtype == np.float64
    np.testing.assert_allclose(single.direction, max_l2_margin(x, y).direction, atol=1e-6)
    gram = x.astype(np.float32) @ x.T.astype(np.float32)
    assert kernel_margin(gram, y).margin == pytest.approx(max_l2_margin(x, y).margin, rel=1e-5)


def test_a_very_small_margin_is_still_found() -> None:
    # the two points of opposite label are 1e-5 apart: (1, t) and −(1, −t) have the middle (0, t)
    found = max_l2_margin([[1, 1e-5], [1, -1e-5]], [1, -1])
    assert found.margin == pytest.approx(1e-5, rel=1e-5)
    assert found.certificate.gap < 1e-4


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([[1, 0], [-1, 0]], [1, 1]),
        ([[1, 0], [1, 0]], [1, -1]),
        ([[0, 0]], [1]),
        ([[1, 2], [0, 0]], [1, 1]),
        (np.random.default_rng(0).standard_normal((60, 5)), np.random.default_rng(1).choice([-1, 1], 60)),
    ],
    ids=["opposite", "contradicting", "zero", "one zero", "random labels"],
)
def test_inseparable(x: Any, y: Any) -> None:
    with pytest.raises(
        Inseparable, match=r"^no linear classifier without bias is right on all examples, for all"
    ) as told:
        max_l2_margin(x, y)
    assert 0 <= float(str(told.value).partition("above ")[2].partition(",")[0]) < 1e-7
    x = np.asarray(x, dtype=float)
    with pytest.raises(Inseparable, match=r"^no classifier on these features is right on all examples"):
        kernel_margin(x @ x.T, y)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ([[1.0, 2.0]], [0], "y has the label 0: labels of two classes are -1 and 1."),
        ([[1.0, 2.0]], [1, 1], "y has 2 labels for 1 examples: give one label an example."),
        ([1.0, 2.0], [1, 1], "x has the shape (2,): it needs 2 axes."),
        (np.zeros((0, 3)), [], "x has the shape (0, 3): it is empty, and there is nothing to solve."),
        ([[np.nan, 1]], [1], "x has 1 entries that are NaN or infinite: all must be finite."),
        ([[1, 1]], [np.inf], "y has 1 entries that are NaN or infinite: all must be finite."),
        ([["a", "b"]], [1], "x cannot be read as an array of real numbers (could not convert string to float"),
    ],
)
def test_bad_data(x: Any, y: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        max_l2_margin(x, y)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("gram", "message"),
    [
        ([[1, 2, 3], [2, 4, 6]], "gram has the shape (2, 3): a kernel matrix is square, examples by examples."),
        ([[1, 0.5], [0.1, 1]], "gram is not symmetric (entries differ by 0.4)."),
        ([[1, 2], [2, 1]], "gram has the eigenvalues -1 to 3: a kernel matrix has none below 0."),
    ],
)
def test_bad_kernels(gram: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        kernel_margin(gram, [1, 1])
    assert str(caught.value) == message


def test_a_singular_kernel_is_a_kernel() -> None:
    x, y = separable(7, 20, 3)
    assert kernel_margin(x @ x.T, y).margin == pytest.approx(max_l2_margin(x, y).margin, rel=1e-7)


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_inputs_whose_squares_are_no_floats_are_refused(size: float) -> None:
    with pytest.raises(UsageError, match=r"the largest entry of x is 1e.200, whose square"):
        max_l2_margin(size * np.eye(3), [1, -1, 1])
