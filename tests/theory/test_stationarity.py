"""Optimality conditions of a point: by hand, at solutions known to satisfy them, and away from these."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from grokscope.errors import UsageError
from grokscope.theory import bounds, stationarity
from grokscope.theory.bounds import max_l1_margin_bound, max_l2_margin_bound
from grokscope.theory.margin import max_l1_margin, max_l2_margin
from grokscope.theory.stationarity import (
    alignment,
    complementarity,
    decay_residual,
    margin_stationarity,
    norm_stationarity,
)


@pytest.mark.parametrize("module", [stationarity, bounds], ids=lambda m: m.__name__)
def test_the_documented_examples_hold(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def test_without_a_force_the_residual_is_one() -> None:
    assert decay_residual([3, 4], [0, 0], 0.1) == pytest.approx(1, rel=1e-15)
    assert decay_residual([3, 4], [-0.3, -0.4], 0.1) == pytest.approx(0, abs=1e-15)
    # half of the decay is balanced, at a right angle another half is not
    assert decay_residual([3, 4], [-0.15, -0.2], 0.1) == pytest.approx(0.5, rel=1e-14)
    assert decay_residual([3, 4], [0.4, -0.3], 0.1) == pytest.approx(math.sqrt(2), rel=1e-14)
    assert decay_residual(torch.tensor([3.0, 4.0]), torch.zeros(2), 0.1) == pytest.approx(1, rel=1e-7)


def test_alignment() -> None:
    assert alignment([3, 4], [-3, -4]) == pytest.approx(1, rel=1e-15)
    assert alignment([3, 4], [4, -3]) == pytest.approx(0, abs=1e-16)
    assert alignment([1, 0], [-1, 1]) == pytest.approx(1 / math.sqrt(2), rel=1e-15)
    assert alignment([1e-200, 0], [-1e-300, 1e-300]) == pytest.approx(1 / math.sqrt(2), rel=1e-15)
    assert math.isnan(alignment([3, 4], [0, 0]))


def test_complementarity() -> None:
    assert complementarity([2, 2], [1, 5]) == 0
    assert complementarity([1, 3], [3, 1]) == pytest.approx(2 / 6, rel=1e-15)
    assert complementarity([1, 1e6], [1, 0]) == 0
    assert math.isnan(complementarity([-1, 1], [1, 1]))
    assert math.isnan(complementarity([1, 1], [0, 0]))


def linear(seed: int) -> tuple[Any, Any, Any]:
    generator = np.random.default_rng(seed)
    x = generator.standard_normal((8, 6))
    y = np.where(x @ generator.standard_normal(6) > 0, 1.0, -1.0)
    return x, y, y[:, None] * x


@given(st.integers(0, 1000), st.floats(0.01, 100))
@settings(max_examples=10, deadline=None)
def test_the_classifier_of_maximal_margin_is_stationary_at_every_scale(seed: int, scale: float) -> None:
    x, y, rows = linear(seed)
    found = max_l2_margin(x, y)
    w = scale * found.solution
    measured = margin_stationarity(w, rows, rows @ w)
    assert measured.residual < 1e-6
    assert measured.complementarity < 1e-6
    np.testing.assert_allclose(measured.multipliers, scale * found.dual, atol=1e-5 * scale * found.dual.max())
    away = w + 0.3 * np.linalg.norm(w) * np.eye(6)[0]
    if (rows @ away).min() > 0:
        elsewhere = margin_stationarity(away, rows, rows @ away)
        assert max(elsewhere.residual, elsewhere.complementarity) > 1e-4


def test_a_diagonal_network_at_the_maximal_l1_margin_is_stationary() -> None:
    """u² − v² = w_1: the late solution of the network, which the maximal L2 margin is not."""
    x, y, rows = linear(3)

    def measured(w: Any) -> stationarity.Stationarity:
        u, v = np.sqrt(np.maximum(w, 0)), np.sqrt(np.maximum(-w, 0))
        return margin_stationarity(np.concatenate([u, v]), np.hstack([2 * rows * u, -2 * rows * v]), rows @ w)

    late, early = measured(max_l1_margin(x, y).solution), measured(max_l2_margin(x, y).solution)
    assert max(late.residual, late.complementarity) < 1e-6
    assert max(early.residual, early.complementarity) > 0.01


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_multipliers_equal_those_of_an_independent_solver(seed: int) -> None:
    generator = np.random.default_rng(seed)
    rows, theta = generator.standard_normal((5, 9)), generator.standard_normal(9)
    measured = margin_stationarity(theta, rows, np.ones(5))
    theirs, residual = nnls(rows.T, theta)
    assert measured.residual == pytest.approx(residual / np.linalg.norm(theta), abs=1e-7)
    np.testing.assert_allclose(measured.multipliers, theirs, atol=1e-6)


def test_minimal_norm() -> None:
    x = np.random.default_rng(0).standard_normal((4, 9))
    target = np.arange(4.0)
    w = np.linalg.pinv(x) @ target
    measured = norm_stationarity(w, x, x @ w - target)
    assert measured.residual < 1e-12
    assert measured.infeasibility < 1e-12
    # what is orthogonal to the inputs fits as well, but is not of minimal norm
    null = np.linalg.svd(x)[2][-1] * np.linalg.norm(w)
    assert norm_stationarity(w + null, x, x @ (w + null) - target).residual == pytest.approx(1 / math.sqrt(2), rel=1e-9)
    assert norm_stationarity(2 * w, x, x @ (2 * w) - target).infeasibility == pytest.approx(3, rel=1e-9)


def test_bounds() -> None:
    given_ = {"dimension": 1000, "examples": 100_000_000}
    # 4 · 3 · √(2 ln 2000 / 1e8) and 4 √(3000 / 1e8); tail 3 √(ln 40 / 2e8)
    assert max_l1_margin_bound(sparsity=3, **given_) == pytest.approx(0.0046787 + 0.00040743, rel=1e-4)
    assert max_l2_margin_bound(sparsity=3, **given_) == pytest.approx(0.0219089 + 0.00040743, rel=1e-4)
    # at the paper's size neither says anything
    assert max_l1_margin_bound(sparsity=3, dimension=100_000, examples=256) > 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decay_residual([1], [1], 0), "weight_decay = 0 was given: without decay there is no such residual"),
        (lambda: decay_residual([1], [1], -1), "weight_decay = -1 was given: without decay there is no such residual"),
        (
            lambda: decay_residual([0, 0], [1, 1], 1),
            "all parameters are 0: at 0 there is no direction to compare with.",
        ),
        (lambda: alignment([0, 0], [1, 1]), "all parameters are 0: at 0 there is no direction to compare with."),
        (lambda: alignment([1, 2], [1]), "parameters has 2 entries and gradient 1: give as many."),
        (lambda: alignment([np.nan], [1]), "parameters has 1 entries that are NaN or infinite: all must be finite."),
        (lambda: complementarity([1], [-1]), "weights has -1: weights are at least 0."),
        (lambda: complementarity([1], [1, 2]), "1 margins and 2 weights were given: give one weight a margin."),
        (
            lambda: margin_stationarity([1], [[1]], [-1]),
            "the least margin is -1: the margin problem needs all examples",
        ),
        (
            lambda: margin_stationarity([1], [[1]], [1, 1]),
            "2 margins were given for 1 gradients: give one a constraint.",
        ),
        (lambda: margin_stationarity([1, 2], [[1]], [1]), "gradients has the shape (1, 1) for 2 parameters: give (n,"),
        (
            lambda: norm_stationarity([0], [[1]], [1]),
            "all parameters are 0: at 0 there is no direction to compare with.",
        ),
        (lambda: norm_stationarity([1], [[1]], [1, 2]), "2 errors were given for 1 gradients: give one a constraint."),
        (lambda: max_l1_margin_bound(sparsity=2, dimension=9, examples=9), "sparsity = 2, dimension = 9 and examples"),
        (lambda: max_l2_margin_bound(sparsity=3, dimension=9, examples=0), "sparsity = 3, dimension = 9 and examples"),
        (
            lambda: max_l2_margin_bound(sparsity=3, dimension=9, examples=9, probability=1),
            "probability = 1 was given: give one between 0 and 1.",
        ),
    ],
)
def test_bad_input(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert str(caught.value).startswith(message)
