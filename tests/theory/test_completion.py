"""Completions with known answers, certificates that anybody can recompute, and every wrong argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from grokscope.errors import GrokscopeError, UsageError
from grokscope.theory.completion import early_completion, minimum_nuclear_norm, regularised_completion

CORNER = np.array([[True, False], [False, False]])
OFF = np.array([[False, True], [False, False]])
ONE = np.ones((2, 2))


def table(size: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(size) / size
    return np.random.default_rng(seed).random((size, size)) < share, np.outer(axis, axis)


def test_two_by_two() -> None:
    """Worked examples: the fill, ‖h‖ and the least nuclear norm of one entry on and one off the diagonal."""
    early = early_completion(CORNER, ONE)
    assert early.matrix.tolist() == [[1, 0], [0, 0]]
    assert early.norm == pytest.approx(np.sqrt(1 / 8))
    early = early_completion(OFF, ONE)
    assert early.matrix.tolist() == [[0, 1], [1, 0]]
    assert early.norm == pytest.approx(0.5)
    assert minimum_nuclear_norm(CORNER, ONE).nuclear_norm == pytest.approx(1, rel=1e-5)
    assert minimum_nuclear_norm(OFF, ONE).nuclear_norm == pytest.approx(2, rel=1e-5)


def test_early_completion_is_the_least_change_that_fits() -> None:
    """Against the pseudo-inverse of the tangent features of U Uᵀ − V Vᵀ at (1, 1)."""
    mask, values = table(4, 0.4, 3)
    entries = np.argwhere(mask)
    features = []
    for i, j in entries:
        for_u = np.zeros((4, 4))
        for_u[i, j] += 1
        for_u[j, i] += 1
        features.append(np.concatenate([for_u.ravel(), -for_u.ravel()]))
    change = np.linalg.pinv(np.array(features)) @ values[mask]
    found = early_completion(mask, values)
    assert found.norm == pytest.approx(np.linalg.norm(change))
    delta = change[:16].reshape(4, 4)
    assert 2 * (delta + delta.T) == pytest.approx(found.matrix)


def test_one_entry_by_hand() -> None:
    """(1/1)(w − 1)² + (λ/2)|w| is least at 1 − λ/4."""
    found = regularised_completion([[1]], [[1.0]], 0.4)
    assert found.matrix[0, 0] == pytest.approx(0.9)
    assert found.certificate.primal == pytest.approx(0.01 + 0.2 * 0.9)
    assert regularised_completion([[1]], [[1.0]], 5.0).nuclear_norm == 0


def test_fully_observed_matrices_are_shrunk() -> None:
    """All entries observed: eigenvalues are soft-thresholded by nλ/4."""
    generator = np.random.default_rng(0)
    matrix = generator.standard_normal((5, 5))
    matrix = matrix + matrix.T
    found = regularised_completion(np.ones((5, 5)), matrix, 0.08, tolerance=1e-12)
    values, vectors = np.linalg.eigh(matrix)
    shrunk = np.sign(values) * np.maximum(np.abs(values) - 25 * 0.08 / 4, 0)
    assert found.matrix == pytest.approx((vectors * shrunk) @ vectors.T, abs=1e-6)
    exact = minimum_nuclear_norm(np.ones((5, 5)), matrix)
    assert exact.matrix == pytest.approx(matrix)


@given(st.integers(0, 10_000), st.floats(1e-3, 1e-1))
@settings(max_examples=15, deadline=None)
def test_certificates_bound_the_optimum(seed: int, decay: float) -> None:
    mask, values = table(5, 0.4, seed)
    if not (mask & (values > 0)).any():
        return
    found = regularised_completion(mask, values, decay)
    assert -1e-12 <= found.certificate.gap <= 1e-8
    count = mask.sum()
    objective = ((found.matrix - values)[mask] ** 2).sum() / count + decay / 2 * found.nuclear_norm
    assert found.certificate.primal == pytest.approx(objective)
    assert np.abs(np.linalg.eigvalsh(found.matrix)).sum() == pytest.approx(found.nuclear_norm, abs=1e-12)
    # no factorisation that anybody finds is better
    generator = np.random.default_rng(seed)

    def loss(flat: np.ndarray) -> float:
        u, v = flat.reshape(2, 5, 5)
        matrix = u @ u.T - v @ v.T
        return float(((matrix - values)[mask] ** 2).sum() / count + decay / 2 * (flat**2).sum())

    best = min(minimize(loss, generator.standard_normal(50)).fun for _ in range(2))
    assert best >= found.certificate.dual - 1e-9
    assert best == pytest.approx(objective, rel=1e-3, abs=1e-7)


def test_published_size() -> None:
    """d = 30, 20 %: within the gap that is asked for, of nuclear norm near that of X* (9.28 on the sheet's draw)."""
    mask, values = table(30, 0.2, 1)
    found = regularised_completion(mask, values, 1e-3)
    assert found.certificate.gap <= 1e-8
    assert found.nuclear_norm == pytest.approx(9.28, abs=0.1)
    exact = minimum_nuclear_norm(mask, values, tolerance=1e-4)
    assert exact.matrix[mask] == pytest.approx(values[mask])
    assert exact.nuclear_norm <= 1.001 * np.trace(values)


def test_scaling_permutation_and_single_precision() -> None:
    mask, values = table(6, 0.5, 2)
    base = regularised_completion(mask, values, 1e-2)
    doubled = regularised_completion(mask, 2 * values, 2e-2)
    assert doubled.matrix == pytest.approx(2 * base.matrix, abs=1e-5)
    order = np.array([3, 1, 5, 0, 2, 4])
    moved = regularised_completion(mask[np.ix_(order, order)], values[np.ix_(order, order)], 1e-2)
    assert moved.matrix == pytest.approx(base.matrix[np.ix_(order, order)], abs=1e-5)
    single = regularised_completion(mask.astype(np.float32), values.astype(np.float32), 1e-2)
    assert single.matrix == pytest.approx(base.matrix, abs=1e-5)


@pytest.mark.parametrize(
    "solver", [early_completion, minimum_nuclear_norm, lambda m, v: regularised_completion(m, v, 1)]
)
def test_wrong_arguments_are_told(solver: Any) -> None:
    both = np.array([[False, True], [True, False]])
    for mask, values, message in (
        (np.zeros((2, 2)), ONE, "no entry is observed"),
        (np.ones((2, 3)), np.ones((2, 3)), "square"),
        (ONE, np.ones((3, 3)), "square"),
        (ONE, np.full((2, 2), np.nan), "NaN or infinite"),
        (2 * ONE, ONE, "other than 0 and 1"),
        (both, np.array([[0.0, 1.0], [2.0, 0.0]]), r"\(0, 1\) and \(1, 0\) are observed as 1 and 2"),
        (ONE, [["a", "b"], ["c", "d"]], "real numbers"),
    ):
        with pytest.raises(UsageError, match=message):
            solver(mask, values)


def test_what_is_not_reached_is_told() -> None:
    with pytest.raises(UsageError, match="weight_decay = -1"):
        regularised_completion(ONE, ONE, -1.0)
    mask, values = table(12, 0.3, 0)
    with pytest.raises(GrokscopeError, match="raise tolerance"):
        regularised_completion(mask, values, 1e-4, most_iterations=3)
    with pytest.raises(GrokscopeError, match="raise tolerance"):
        minimum_nuclear_norm(mask, values, most_iterations=3)
