"""What is read off kernels: the worked examples, closed forms, invariances, bad input."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import kernels
from grokscope.linalg.kernels import (
    alignment,
    centred,
    cosine,
    difficulty,
    distance,
    movement,
    regression,
    spectrum,
)

quick = settings(derandomize=True, deadline=None, max_examples=30)


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gram(size: int, seed: int = 0, rank: int | None = None) -> Tensor:
    rows = draws(size, rank or size + 2, seed=seed)
    return rows @ rows.T


def test_the_documented_examples_hold() -> None:
    assert doctest.testmod(kernels).failed == 0


def test_the_worked_examples() -> None:
    y = draws(6)
    y = y - y.mean()
    assert alignment(torch.outer(y, y), y).item() == pytest.approx(1)
    for size in (2, 5, 10):
        assert alignment(torch.eye(size), draws(size)).item() == pytest.approx(1 / math.sqrt(size - 1))
    assert alignment(torch.eye(5), draws(5), centring="none").item() == pytest.approx(1 / math.sqrt(5))
    start = gram(4)
    assert movement(3 * start, start).item() == pytest.approx(2)
    assert distance(3 * start, start).item() == pytest.approx(0, abs=1e-15)
    assert difficulty(torch.diag(torch.tensor([1.0, 4.0])), torch.tensor([1.0, 2.0])).item() == 2


def test_the_three_alignments_have_one_numerator() -> None:
    kernel, y = gram(8), draws(8, seed=1)
    y = y - y.mean()
    centring = torch.eye(8, dtype=torch.float64) - 1 / 8
    numerator = float(y @ kernel @ y / (y @ y))
    for how, matrix in (("none", kernel), ("one-sided", centring @ kernel), ("double", centring @ kernel @ centring)):
        assert alignment(kernel, y, centring=how).item() == pytest.approx(numerator / float(matrix.norm()))  # type: ignore[arg-type]
        torch.testing.assert_close(centred(kernel, how), matrix)  # type: ignore[arg-type]


def test_several_outputs_are_aligned_as_their_kernel() -> None:
    kernel, labels = gram(7), draws(7, 3, seed=2)
    other = centred(labels @ labels.T)
    expected = float((centred(kernel) * other).sum() / (centred(kernel).norm() * other.norm()))
    assert alignment(kernel, labels).item() == pytest.approx(expected)
    assert alignment(other, labels).item() == pytest.approx(1)


@quick
@given(seed=st.integers(0, 50), scale=st.floats(0.01, 100), shift=st.floats(-5, 5), size=st.integers(3, 8))
def test_alignment_is_a_share_that_scale_shift_and_order_do_not_change(
    seed: int, scale: float, shift: float, size: int
) -> None:
    kernel, y = gram(size, seed), draws(size, seed=seed + 1)
    found = alignment(kernel, y).item()
    assert 0 <= found <= 1 + 1e-12
    assert alignment(scale * kernel + 3, y / scale + shift).item() == pytest.approx(found, rel=1e-6)
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    assert alignment(kernel[order][:, order], y[order]).item() == pytest.approx(found)
    assert cosine(kernel, kernel).item() == pytest.approx(1)
    assert 0 <= distance(kernel, gram(size, seed + 1)).item() <= 1


def test_what_is_constant_has_no_alignment() -> None:
    assert math.isnan(alignment(gram(4), torch.ones(4)))
    assert math.isnan(alignment(torch.ones(4, 4), draws(4)))
    assert math.isnan(alignment(torch.zeros(4, 4), draws(4)))
    assert math.isnan(distance(gram(4), torch.zeros(4, 4)))
    assert math.isnan(movement(gram(4), torch.zeros(4, 4)))


def test_regression_is_the_solve_and_least_squares() -> None:
    features, held, y = draws(5, 9), draws(3, 9, seed=1), draws(5, 2, seed=2)
    kernel, cross = features @ features.T, held @ features.T
    torch.testing.assert_close(regression(kernel, y, cross), cross @ torch.linalg.solve(kernel, y))
    torch.testing.assert_close(regression(kernel, y, kernel), y)
    few, beyond = draws(6, 2, seed=3), draws(4, 2, seed=4)  # fewer parameters than examples: singular
    weights = torch.linalg.lstsq(few, draws(6, 1, seed=5)).solution
    found = regression(few @ few.T, draws(6, seed=5), beyond @ few.T)
    torch.testing.assert_close(found, beyond @ weights)
    shrunk = regression(kernel, y, cross, ridge=0.5)
    penalty = 0.5 * kernel.trace() / 5 * torch.eye(9, dtype=torch.float64)
    torch.testing.assert_close(
        shrunk, held @ torch.linalg.solve(features.T @ features + penalty, features.T @ y), rtol=1e-10, atol=1e-10
    )


def test_difficulty_is_the_shortest_way_to_the_targets() -> None:
    jacobian, y = draws(4, 11), draws(4, 1, seed=1)
    displacement = torch.linalg.lstsq(jacobian, y, driver="gelsd").solution
    assert difficulty(jacobian @ jacobian.T, y).item() == pytest.approx(float(displacement.square().sum()))
    assert difficulty(100 * jacobian @ jacobian.T, y).item() == pytest.approx(float(displacement.square().sum()) / 100)


def test_the_spectrum_and_what_is_read_off_it() -> None:
    turn = torch.linalg.qr(draws(4, 4)).Q
    found = spectrum(turn @ torch.diag(torch.tensor([8.0, 4.0, 4.0, 0.0], dtype=torch.float64)) @ turn.T)
    assert found.eigenvalues.tolist() == pytest.approx([8, 4, 4, 0], abs=1e-12)
    assert found.trace == pytest.approx(16)
    assert (found.top, found.frobenius) == pytest.approx((8, math.sqrt(96)))
    assert found.effective_rank == pytest.approx(2**1.5)  # entropy 1.5 bits
    assert found.participation_ratio == pytest.approx(256 / 96)
    assert (found.rank, found.condition) == (3, pytest.approx(2))
    nothing = spectrum(torch.zeros(3, 3))
    assert (nothing.trace, nothing.rank) == (0, 0)
    assert all(math.isnan(v) for v in (nothing.condition, nothing.effective_rank, nothing.participation_ratio))


def test_float32_is_computed_in_float64() -> None:
    kernel, y = gram(5).float(), draws(5).float()
    for single, double in (
        (alignment(kernel, y), alignment(kernel.double(), y.double())),
        (difficulty(kernel, y), difficulty(kernel.double(), y.double())),
        (spectrum(kernel).eigenvalues, spectrum(kernel.double()).eigenvalues),
    ):
        assert single.dtype == torch.float64
        torch.testing.assert_close(single, double, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: alignment(torch.ones(2, 3), torch.ones(2)), r"a kernel of shape \(2, 3\) was given"),
        (lambda: alignment(torch.tensor([[1.0, 2.0], [0.0, 1.0]]), torch.ones(2)), "not symmetric"),
        (lambda: alignment(torch.eye(2) * torch.nan, torch.ones(2)), "a kernel with NaN or Inf"),
        (lambda: alignment(torch.eye(2).long(), torch.ones(2)), "a kernel of int64 was given"),
        (lambda: alignment(torch.eye(2, device="meta"), torch.ones(2)), "on the meta device"),
        (lambda: alignment(torch.eye(2), torch.ones(3)), r"targets of shape \(3,\) were given for 2 examples"),
        (lambda: alignment(torch.eye(2), torch.ones(2).long()), "targets of int64 was given"),
        (lambda: centred(torch.eye(2), "twice"), "centring = 'twice'"),  # type: ignore[arg-type]
        (lambda: distance(torch.eye(2), torch.eye(3)), r"shapes \(2, 2\) and \(3, 3\)"),
        (lambda: regression(torch.eye(2), torch.ones(2), torch.ones(2, 3)), "for 2 training points"),
        (lambda: regression(torch.eye(2), torch.ones(2), torch.eye(2), ridge=-1), "ridge = -1 was given"),
        (lambda: spectrum(torch.ones(3)), r"a matrix of shape \(3,\)"),
    ],
)
def test_what_is_no_kernel_is_told(call: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()  # type: ignore[operator]
