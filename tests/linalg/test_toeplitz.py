"""Circulant, Hankel and joint deviations: the sheet's examples, sums over diagonals by loops, invariances."""

from __future__ import annotations

import doctest
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import toeplitz
from grokscope.linalg.toeplitz import deviation, joint_deviation, projection

quick = settings(derandomize=True, deadline=None, max_examples=30)


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_loops(matrix: Tensor, sign: int) -> float:
    """Return the sum of squared deviations within wrapped diagonals over ‖B‖²."""
    size = len(matrix)
    total = 0.0
    for line in range(size):
        entries = torch.stack([matrix[r, (line - sign * r) % size] for r in range(size)])
        total += float((entries - entries.mean()).square().sum())
    return total / float(matrix.square().sum())


def circulant(row: Tensor, sign: int = -1) -> Tensor:
    index = torch.arange(len(row))
    return row[(index[None] + sign * index[:, None]) % len(row)]


def test_the_documented_examples_hold() -> None:
    assert doctest.testmod(toeplitz).failed == 0


def test_the_worked_examples() -> None:
    assert deviation(torch.eye(3)).item() == 0
    assert deviation(torch.eye(3), "hankel").item() == pytest.approx(2 / 3)
    single = torch.zeros(3, 3)
    single[1, 2] = 7.0
    assert deviation(single).item() == pytest.approx(2 / 3)
    assert deviation(single, normalisation="mean").item() == pytest.approx(2 / 9)
    assert math.isnan(deviation(torch.zeros(3, 3)))  # at the start, M = 1
    assert math.isnan(joint_deviation(torch.ones(4, 4)))


@quick
@given(size=st.integers(1, 8), seed=st.integers(0, 20))
def test_deviations_are_the_sums_over_wrapped_diagonals(size: int, seed: int) -> None:
    matrix = draws(size, size, seed=seed)
    assert deviation(matrix).item() == pytest.approx(by_loops(matrix, -1), abs=1e-12)
    assert deviation(matrix, "hankel").item() == pytest.approx(by_loops(matrix, 1), abs=1e-12)
    near = projection(matrix)
    torch.testing.assert_close(projection(near), near)
    assert float((near * (matrix - near)).sum()) == pytest.approx(0, abs=1e-10)


@quick
@given(size=st.integers(2, 9), seed=st.integers(0, 20), scale=st.floats(0.1, 10))
def test_what_is_circulant_or_hankel_or_both(size: int, seed: int, scale: float) -> None:
    one, other = circulant(draws(size, seed=seed)), circulant(draws(size, seed=seed + 1), 1)
    assert deviation(one).item() == pytest.approx(0, abs=1e-12)
    assert deviation(other, "hankel").item() == pytest.approx(0, abs=1e-12)
    for matrix in (one, other, one + other, scale * one + 3):
        # of a 2 × 2 matrix nothing may be left but rounding
        if float((matrix - matrix.mean()).norm()) > 1e-6:
            assert joint_deviation(matrix).item() == pytest.approx(0, abs=1e-9)
    matrix = draws(size, size, seed=seed + 2)
    for measure in (deviation, joint_deviation):
        assert measure(scale * matrix).item() == pytest.approx(measure(matrix).item(), abs=1e-10)
    assert joint_deviation(matrix.roll((1, 2), (0, 1))).item() == pytest.approx(joint_deviation(matrix).item())
    assert joint_deviation(matrix.flip(1)).item() == pytest.approx(joint_deviation(matrix).item())


@pytest.mark.parametrize("size", [3, 5, 11])
def test_of_odd_size_and_mean_zero_the_joint_one_is_the_sum_less_one(size: int) -> None:
    matrix = draws(size, size)
    matrix = matrix - matrix.mean()
    expected = deviation(matrix) + deviation(matrix, "hankel") - 1
    assert joint_deviation(matrix).item() == pytest.approx(expected.item())


def test_of_even_size_the_alternating_mode_counts_once() -> None:
    matrix = draws(6, 6)
    matrix = matrix - matrix.mean()
    index = torch.arange(6)
    mode = (-1.0) ** (index[:, None] + index[None]).double() / 6
    shared = float((mode * matrix).sum() ** 2 / matrix.square().sum())
    expected = deviation(matrix).item() + deviation(matrix, "hankel").item() - 1 + shared
    assert joint_deviation(matrix).item() == pytest.approx(expected)
    assert shared > 1e-3


def test_noise_is_near_its_expectation() -> None:
    noise = torch.stack([deviation(draws(61, 61, seed=seed)) for seed in range(10)])
    # Var D is about 2/m³ for m diagonals of m entries: 0.003 each
    assert noise.mean().item() == pytest.approx(1 - 1 / 61, abs=3e-3)


def test_float32_and_integers_are_computed_in_float64() -> None:
    assert deviation(draws(5, 5).float()).dtype == torch.float64
    assert deviation(torch.tensor([[1, 0], [0, 1]])).item() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: deviation(torch.ones(2, 3)), r"a matrix of shape \(2, 3\)"),
        (lambda: joint_deviation(torch.eye(2) * torch.nan), "a matrix with NaN or Inf"),
        (lambda: deviation(torch.eye(2, device="meta")), "on the meta device"),
        (lambda: deviation(torch.eye(2), "left"), "orientation = 'left'"),  # type: ignore[arg-type]
        (lambda: deviation(torch.eye(2), normalisation="max"), "normalisation = 'max'"),  # type: ignore[arg-type]
    ],
)
def test_what_has_no_diagonals_is_told(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()
