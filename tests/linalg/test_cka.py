"""Linear CKA: closed forms, both forms equal, invariances, the unbiased estimate."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import cka as module
from grokscope.linalg.cka import cka_of_grams, gram, linear_cka

quick = settings(derandomize=True, deadline=None, max_examples=25)


def cloud(seed: int, count: int = 20, units: int = 6) -> Tensor:
    return torch.randn(count, units, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_documented_examples_hold():
    assert doctest.testmod(module).failed == 0


def test_closed_forms():
    y = torch.tensor([1.0, -1.0, 2.0, -2.0, 0.0], dtype=torch.float64)[:, None]
    assert linear_cka(y, y) == pytest.approx(1, abs=1e-14)
    # sheet 08: the kernel I_n against yyᵀ is 1/√(n − 1)
    assert linear_cka(torch.eye(5, dtype=torch.float64), y) == pytest.approx(0.5, abs=1e-14)
    # orthogonal columns
    assert linear_cka(torch.tensor([[1.0], [-1.0], [0.0], [0.0]]), torch.tensor([[0.0], [0.0], [1.0], [-1.0]])) == 0
    # one of two equally long directions is shared: 1/√2
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
    assert linear_cka(x, x[:, :1]) == pytest.approx(1 / math.sqrt(2), abs=1e-14)


@quick
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3), shift=st.floats(-100, 100), unbiased=st.booleans())
def test_scale_rotation_shift_and_order_change_nothing(seed: int, scale: float, shift: float, unbiased: bool):
    x, y = cloud(seed), cloud(seed + 1)
    y = y + x  # not unrelated
    expected = linear_cka(x, y, unbiased=unbiased)
    turn = torch.linalg.qr(cloud(seed + 2, 6, 6)).Q
    order = torch.randperm(20, generator=torch.Generator().manual_seed(seed))
    assert linear_cka(scale * x @ turn + shift, y, unbiased=unbiased) == pytest.approx(expected, rel=1e-8)
    assert linear_cka(x[order], y[order], unbiased=unbiased) == pytest.approx(expected, rel=1e-9)
    assert linear_cka(y, x, unbiased=unbiased) == pytest.approx(expected, rel=1e-9)
    assert expected <= 1 + 1e-12


@quick
@given(seed=st.integers(0, 10_000), units=st.integers(1, 40))
def test_both_forms_are_equal(seed: int, units: int):
    x, y = cloud(seed, 20, units), cloud(seed + 1, 20, 7)
    assert linear_cka(x, y) == pytest.approx(cka_of_grams(gram(x), gram(y)), rel=1e-10)
    # the Gram matrices need not be centred
    assert cka_of_grams(x @ x.T, y @ y.T) == pytest.approx(linear_cka(x, y), rel=1e-10)


def test_the_unbiased_estimate_is_zero_on_average_for_unrelated_features():
    pairs = [(cloud(2 * i, 12, 50), cloud(2 * i + 1, 12, 50)) for i in range(200)]
    biased = [linear_cka(x, y) for x, y in pairs]
    unbiased = [linear_cka(x, y, unbiased=True) for x, y in pairs]
    assert min(biased) > 0.7
    # standard error over 200 draws about 0.01
    assert abs(sum(unbiased) / 200) < 0.04
    assert linear_cka(pairs[0][0], pairs[0][0], unbiased=True) == pytest.approx(1, abs=1e-12)


def test_the_unbiased_estimate_by_its_definition():
    x, y = cloud(0, 6, 3), cloud(1, 6, 2)
    kernels = [values @ values.T for values in (x, y)]
    a, b = (kernel - kernel.diag().diag() for kernel in kernels)
    one = torch.ones(6, dtype=torch.float64)

    def hsic(k: Tensor, m: Tensor) -> float:
        terms = torch.trace(k @ m) + (one @ k @ one) * (one @ m @ one) / (5 * 4) - 2 / 4 * (one @ k @ m @ one)
        return float(terms / (6 * 3))

    expected = hsic(a, b) / math.sqrt(hsic(a, a) * hsic(b, b))
    assert cka_of_grams(*kernels, unbiased=True) == pytest.approx(expected, rel=1e-10)
    assert linear_cka(x, y, unbiased=True) == pytest.approx(expected, rel=1e-10)


def test_a_constant_has_no_similarity():
    assert math.isnan(linear_cka(torch.full((5, 2), 0.1), cloud(0, 5)))
    assert math.isnan(cka_of_grams(gram(torch.full((5, 9), 0.1)), gram(cloud(0, 5))))


def test_float32_features_give_the_same():
    x, y = cloud(0), cloud(1) + cloud(0)
    assert linear_cka(x.float(), y.float()) == pytest.approx(linear_cka(x, y), abs=1e-6)


def test_bad_values_get_one_sentence():
    with pytest.raises(UsageError, match="give the same examples"):
        linear_cka(cloud(0, 5), cloud(0, 6))
    with pytest.raises(UsageError, match="NaN or infinite"):
        linear_cka(torch.tensor([[math.inf]]), cloud(0, 1))
    with pytest.raises(UsageError, match=r"give two \(n, n\)"):
        cka_of_grams(torch.eye(3), torch.eye(4))
    with pytest.raises(UsageError, match="the unbiased estimate needs 4"):
        linear_cka(cloud(0, 3), cloud(1, 3), unbiased=True)
