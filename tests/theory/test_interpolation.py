"""Minimum-norm interpolation: hand cases, closed forms, certificates that bound, and every wrong argument."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.errors import UsageError
from grokscope.linalg.kernels import regression
from grokscope.theory.interpolation import Infeasible, kernel_interpolation, kernel_ridge, minimum_norm


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def test_one_example_by_hand() -> None:
    """Φ = (2x, −2x) of a diagonal network at x = (1, 2), y = 3: ‖h*‖ = 3/√40."""
    found = minimum_norm([[2.0, 4.0, -2.0, -4.0]], [3.0])
    assert found.norm == pytest.approx(3 / math.sqrt(40), rel=1e-14)
    assert found.solution == pytest.approx(np.array([2, 4, -2, -4]) * 3 / 40)
    assert found.coefficients == pytest.approx(np.array([3 / 40]))


@pytest.mark.parametrize(
    ("entry", "norm", "filled"), [((0, 0), 0.125**0.5, [[1, 0], [0, 0]]), ((0, 1), 0.5, [[0, 1], [1, 0]])]
)
def test_completion_of_a_two_by_two_matrix(entry: tuple[int, int], norm: float, filled: list[list[float]]) -> None:
    """W = UUᵀ − VVᵀ at U = V = 1: the early solution fills an observed entry and its mirror, and ‖h*‖ = √2 ‖X‖/4."""
    rows = {}
    for i in range(2):
        for j in range(2):
            unit = np.zeros((2, 2))
            unit[i, j] = 1
            rows[i, j] = np.concatenate([(unit + unit.T).ravel(), -(unit + unit.T).ravel()])
    found = minimum_norm([rows[entry]], [1.0])
    assert found.norm == pytest.approx(norm, rel=1e-14)
    assert found.predict(list(rows.values())) == pytest.approx(np.array(filled).ravel(), abs=1e-14)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 6), st.integers(0, 6), st.integers(1, 3), st.integers(0, 1000))
def test_shortest_of_all_that_fit(count: int, more: int, outputs: int, seed: int) -> None:
    features, targets = drawn(seed, count, count + more), drawn(seed + 1, count, outputs)
    found = minimum_norm(features, targets)
    assert features @ found.solution == pytest.approx(targets, abs=1e-7 * float(np.abs(targets).max()))
    assert found.solution == pytest.approx(features.T @ found.coefficients, rel=1e-5, abs=1e-7 * found.norm)
    # orthogonal to whatever does not change the fit
    null = np.eye(count + more) - np.linalg.pinv(features) @ features
    assert null @ found.solution == pytest.approx(0, abs=1e-7 * max(found.norm, 1))
    assert -1e-9 < found.certificate.gap < 1e-6


def test_kernel_and_features_agree() -> None:
    features, targets, others = drawn(0, 12, 30), drawn(1, 12, 3), drawn(2, 5, 30)
    by_features = minimum_norm(features, targets)
    by_kernel = kernel_interpolation(features @ features.T, targets, others @ features.T)
    assert by_kernel.predictions == pytest.approx(by_features.predict(others), rel=1e-9)
    assert by_kernel.norm == pytest.approx(by_features.norm, rel=1e-11)
    assert by_kernel.certificate.gap < 1e-10
    assert by_kernel.certificate.residual < 1e-10
    assert by_kernel.rank == 12


def test_repeated_examples_are_fitted_if_they_agree() -> None:
    found = minimum_norm([[1.0, 0.0], [1.0, 0.0]], [2.0, 2.0])
    assert found.solution == pytest.approx(np.array([2.0, 0.0]))
    assert found.rank == 1
    with pytest.raises(Infeasible, match=r"no parameters give these 2 targets: the nearest fit misses one by 0\.33"):
        minimum_norm([[1.0, 0.0], [1.0, 0.0]], [1.0, 3.0])


def test_dual_bounds_whatever_found_the_point() -> None:
    """Weak duality: the bound of any multiplier is below ½‖h‖² of any h that fits."""
    features, targets = drawn(3, 4, 9), drawn(4, 4)
    found = minimum_norm(features, targets)
    for seed in range(5):
        dual = drawn(seed, 4)
        bound = float(dual @ targets) ** 2 / 2 / float(np.square(features.T @ dual).sum())
        assert bound <= found.certificate.primal * (1 + 1e-12)
    assert found.certificate.primal == pytest.approx(found.norm**2 / 2)


def test_units() -> None:
    """Twice the targets need twice the change, twice the features half of it."""
    features, targets = drawn(5, 6, 10), drawn(6, 6)
    assert minimum_norm(features, 2 * targets).norm == pytest.approx(2 * minimum_norm(features, targets).norm)
    assert minimum_norm(2 * features, targets).norm == pytest.approx(minimum_norm(features, targets).norm / 2)


def test_what_the_start_gives_is_not_fitted_again() -> None:
    gram, cross, targets = np.diag([1.0, 2.0]), np.array([[1.0, 1.0]]), np.array([3.0, 4.0])
    found = kernel_interpolation(gram, targets, cross, start=[1.0, 2.0], start_cross=[10.0])
    assert found.predictions == pytest.approx(np.array([10 + 2 + 1]))
    assert found.norm == pytest.approx(math.sqrt(4 + 2))
    at_home = kernel_interpolation(gram, targets, start=[1.0, 2.0])
    assert at_home.predictions == pytest.approx(targets)


def test_ridge_goes_to_interpolation() -> None:
    features, targets, others = drawn(7, 8, 20), drawn(8, 8), drawn(9, 4, 20)
    gram, cross = features @ features.T, others @ features.T
    exact = kernel_interpolation(gram, targets, cross).predictions
    errors = [np.abs(kernel_ridge(gram, targets, cross, ridge=r).predictions - exact).max() for r in (1e-2, 1e-4, 1e-6)]
    # first order in the ridge
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.2)
    assert errors[1] / errors[2] == pytest.approx(100, rel=0.01)
    assert kernel_ridge(gram, targets, cross, ridge=0.0).predictions == pytest.approx(exact)


@pytest.mark.parametrize("ridge", [0.0, 1e-6, 0.3])
def test_the_same_as_the_regression_of_measures(ridge: float) -> None:
    features, targets, others = drawn(10, 8, 5), drawn(11, 8, 2), drawn(12, 4, 5)  # rank 5 of 8
    gram, cross = features @ features.T, others @ features.T
    found = kernel_ridge(gram, targets, cross, ridge=ridge)
    given = (torch.from_numpy(part) for part in (gram, targets, cross))
    assert found.predictions == pytest.approx(regression(*given, ridge=ridge).numpy(), rel=1e-6, abs=1e-9)
    assert found.rank == 5


def test_ridge_certificate() -> None:
    """The two objectives meet, and K + ρ is inverted."""
    features, targets = drawn(13, 8, 5), drawn(14, 8)
    found = kernel_ridge(features @ features.T, targets, ridge=0.1)
    assert found.penalty == pytest.approx(0.1 * np.square(features).sum() / 8)
    assert found.certificate.gap == pytest.approx(0, abs=1e-12)
    assert found.certificate.residual < 1e-12
    h = features.T @ found.coefficients
    objective = np.square(features @ h - targets).sum() / found.penalty + np.square(h).sum()
    assert found.certificate.primal == pytest.approx(objective / 2)


def test_singular_kernels() -> None:
    singular = np.ones((2, 2))
    with pytest.raises(Infeasible, match="the kernel of 2 examples has rank 1: it does not fit all values; give sing"):
        kernel_interpolation(singular, [1.0, 3.0])
    found = kernel_interpolation(singular, [1.0, 3.0], singular="pseudo-inverse")
    assert found.predictions == pytest.approx(np.array([2.0, 2.0]))
    assert found.certificate.residual == pytest.approx(1 / 3)
    assert found.certificate.gap == pytest.approx(0, abs=1e-12)
    with pytest.raises(Infeasible, match="rank 0"):
        kernel_interpolation(np.zeros((2, 2)), [1.0, 3.0])


def test_tensors_and_single_precision() -> None:
    features = torch.randn(6, 9, generator=torch.Generator().manual_seed(0))
    targets = torch.ones(6)
    half = minimum_norm(features, targets)
    assert half.norm == pytest.approx(minimum_norm(features.double(), targets.double()).norm, rel=1e-12)
    assert half.solution.dtype == np.float64


def test_nothing_to_fit() -> None:
    found = minimum_norm([[1.0, 2.0]], [0.0])
    assert found.norm == 0
    assert found.certificate.gap == found.certificate.residual == 0


GRAM = np.eye(2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: minimum_norm([[1.0]], [1.0, 2.0]), "targets has the shape .2,. for 1 examples"),
        (lambda: minimum_norm([[math.nan]], [1.0]), "features has 1 entries that are NaN or infinite"),
        (lambda: minimum_norm([1.0], [1.0]), "features has the shape .1,.: it needs 2 axes"),
        (lambda: minimum_norm(np.zeros((0, 2)), []), "it is empty"),
        (lambda: minimum_norm([[0.0]], [1.0]), "no parameters give these 1 targets"),
        (lambda: kernel_interpolation([[1.0, 2.0]], [1.0]), "a kernel matrix is square"),
        (lambda: kernel_interpolation([[1.0, 0.0], [1.0, 1.0]], [1.0, 1.0]), "is not symmetric"),
        (lambda: kernel_interpolation([[-1.0]], [1.0]), "a kernel matrix has none below 0"),
        (lambda: kernel_interpolation(GRAM, [1.0]), "targets has the shape .1,. for 2 examples"),
        (lambda: kernel_interpolation(GRAM, [1.0, 2.0], [[1.0]]), "cross has the shape .1, 1. for 2 training points"),
        (lambda: kernel_interpolation(GRAM, [1.0, 2.0], start=[[1.0, 1.0]] * 2), "start has 2 outputs an example"),
        (lambda: kernel_interpolation(GRAM, [1.0, 2.0], GRAM, start=[1.0, 1.0]), "start was given without start_cross"),
        (
            lambda: kernel_interpolation(GRAM, [1.0, 2.0], GRAM, start_cross=[1.0, 1.0]),
            "start_cross was given without st",
        ),
        (lambda: kernel_interpolation(GRAM, [1.0, 2.0], start_cross=[1.0, 1.0]), "without a cross kernel"),
        (
            lambda: kernel_interpolation(GRAM, [1.0, 2.0], GRAM, start=[0.0, 0.0], start_cross=[[1.0, 1.0]] * 2),
            "start_cross has 2 outputs a point",
        ),
        (lambda: kernel_interpolation(GRAM, [1.0, 2.0], singular="ridge"), "singular = 'ridge': it is 'refuse' or"),  # type: ignore[arg-type]
        (lambda: kernel_ridge(GRAM, [1.0, 2.0], ridge=-1.0), "ridge = -1 was given: it is 0 or more"),
        (lambda: kernel_ridge(0 * GRAM, [1.0, 2.0], ridge=1.0), "the kernel is 0"),
    ],
)
def test_wrong_arguments(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_kernel_at_the_edge_of_float64() -> None:
    """A condition number of 1e11 is not singular, but rounding may leave the values unfitted, which is said."""
    rotation = np.linalg.qr(drawn(15, 20, 20))[0]
    gram = rotation @ np.diag(np.logspace(0, -11, 20)) @ rotation.T
    with pytest.raises(Infeasible, match=r"condition number 1e.11, at which float64 misses"):
        kernel_interpolation((gram + gram.T) / 2, drawn(16, 20), tolerance=1e-12)
