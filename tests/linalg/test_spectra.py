"""Singular values by both routes, norms and ranks by hand, and what has no spectrum."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.errors import UsageError
from grokscope.linalg import spectra


def matrix(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (7, 7), (5, 40), (40, 5)])
def test_both_routes_agree_and_do_not_know_the_orientation(shape: tuple[int, int]) -> None:
    weight = matrix(*shape)
    expected = torch.linalg.svdvals(weight)
    for method in ("auto", "svd", "gram"):
        torch.testing.assert_close(spectra.singular_values(weight, method=method), expected, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(spectra.singular_values(weight.T, method=method), expected, rtol=1e-9, atol=1e-12)


def test_where_the_gram_matrix_would_lose_digits_the_svd_decides() -> None:
    left, right = (torch.linalg.qr(matrix(size, 6, seed)).Q for size, seed in ((6, 1), (30, 2)))
    values = torch.tensor([1.0, 1e-2, 1e-4, 1e-6, 1e-8, 1e-10], dtype=torch.float64)
    weight = left @ torch.diag(values) @ right.T
    torch.testing.assert_close(spectra.singular_values(weight), values, rtol=1e-4, atol=0)
    assert float(spectra.singular_values(weight, method="gram")[-1]) != pytest.approx(1e-10, rel=0.5)


@pytest.mark.parametrize("scale", [1e-250, 1e-30, 1e30, 1e200])
def test_no_scale_is_too_large_or_too_small(scale: float) -> None:
    weight = matrix(4, 20)
    expected = spectra.singular_values(weight)
    torch.testing.assert_close(spectra.singular_values(weight * scale) / scale, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_narrow_weights_are_taken_as_the_numbers_they_are(dtype: torch.dtype) -> None:
    weight = matrix(6, 30).to(dtype)
    found = spectra.singular_values(weight)
    assert found.dtype == torch.float64
    assert torch.equal(found, spectra.singular_values(weight.double()))


def test_kernels_pooled_and_flat() -> None:
    kernel = matrix(4, 2 * 3 * 3).reshape(4, 2, 3, 3)
    flat = spectra.singular_values(kernel)
    torch.testing.assert_close(flat, torch.linalg.svdvals(kernel.reshape(4, 18)))
    pooled = spectra.singular_values(kernel, layout="pooled")
    parts = [torch.linalg.svdvals(kernel[:, :, i, j]) * math.sqrt(9 / 2) for i in range(3) for j in range(3)]
    torch.testing.assert_close(pooled, torch.cat(parts).sort(descending=True).values)
    # a matrix has one layout
    assert torch.equal(spectra.singular_values(matrix(3, 4), layout="pooled"), spectra.singular_values(matrix(3, 4)))


def test_eigenvalues_of_a_diagonal() -> None:
    assert spectra.eigenvalues(torch.diag(torch.tensor([1.0, 3.0, 2.0]))).tolist() == pytest.approx([1, 4, 9])


@pytest.mark.parametrize("size", [1, 2, 5, 17])
def test_ranks_of_the_identity_and_of_rank_one(size: int) -> None:
    ones, single = torch.ones(size), torch.cat([torch.ones(1), torch.zeros(size - 1)])
    for rank in (spectra.stable_rank, spectra.effective_rank, spectra.participation_ratio):
        assert float(rank(ones)) == pytest.approx(size, rel=1e-12)
        assert float(rank(single)) == pytest.approx(1, rel=1e-12)
    assert float(spectra.numerical_rank(ones, tolerance=1e-6)) == size
    assert float(spectra.numerical_rank(single, tolerance=1e-6)) == 1
    assert math.isnan(float(spectra.spectral_entropy(single)))
    if size > 1:
        assert float(spectra.spectral_entropy(ones)) == pytest.approx(1)


def test_ranks_by_hand() -> None:
    values = torch.tensor([3.0, 1.0], dtype=torch.float64)
    assert float(spectra.stable_rank(values)) == pytest.approx(10 / 9)
    shares = (0.75, 0.25)
    assert float(spectra.effective_rank(values)) == pytest.approx(math.exp(-sum(p * math.log(p) for p in shares)))
    assert float(spectra.participation_ratio(values)) == pytest.approx(100 / 82)
    entropy = -sum(p * math.log(p) for p in (0.9, 0.1)) / math.log(2)
    assert float(spectra.spectral_entropy(values)) == pytest.approx(entropy)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=12), st.floats(1e-8, 1e8), st.randoms(use_true_random=False))
def test_ranks_know_neither_scale_nor_order(values: list[float], scale: float, random) -> None:
    ordered = torch.tensor(values, dtype=torch.float64)
    mixed = torch.tensor(random.sample(values, len(values)), dtype=torch.float64) * scale
    for rank in (spectra.stable_rank, spectra.effective_rank, spectra.participation_ratio):
        found = float(rank(ordered))
        assert float(rank(mixed)) == pytest.approx(found, rel=1e-9)
        assert 1 - 1e-9 <= found <= len(values) + 1e-9


def test_ranks_take_leading_axes_and_a_zero_matrix_has_none() -> None:
    values = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    for rank in (spectra.stable_rank, spectra.effective_rank, spectra.participation_ratio):
        first, second = rank(values).tolist()
        assert first == pytest.approx(2)
        assert math.isnan(second)
    assert spectra.numerical_rank(values, tolerance=0.1).tolist() == [2, 0]
    found = spectra.summary(torch.zeros(3), tolerance=1e-6)
    assert found["spectral_norm"] == found["nuclear_norm"] == found["numerical_rank"] == 0
    assert all(math.isnan(found[key]) for key in ("stable_rank", "effective_rank", "spectral_entropy", "log_norm"))


def test_the_tolerance_of_the_rank() -> None:
    assert spectra.rank_tolerance((10, 30), torch.float64) == 30 * torch.finfo(torch.float64).eps
    assert spectra.rank_tolerance((10, 30), torch.bfloat16) == 30 * torch.finfo(torch.float32).eps
    # a product of narrow matrices, rounded to float32, keeps its rank
    product = (matrix(20, 3) @ matrix(3, 30, 1)).float()
    values = spectra.singular_values(product)
    assert float(spectra.numerical_rank(values, tolerance=spectra.rank_tolerance((20, 30)))) == 3
    assert float(spectra.numerical_rank(values, tolerance=30 * torch.finfo(torch.float64).eps)) == 20


def test_norms_by_hand_and_against_torch() -> None:
    assert spectra.matrix_norms(torch.tensor([[1.0, -2.0], [2.0, 0.0]])) == {"l1": 5, "l2": 3, "largest": 2}
    weight = matrix(5, 8)
    found = spectra.summary(spectra.singular_values(weight), tolerance=1e-12)
    assert found["spectral_norm"] == pytest.approx(float(torch.linalg.matrix_norm(weight, 2)))
    assert found["nuclear_norm"] == pytest.approx(float(torch.linalg.matrix_norm(weight, "nuc")))
    assert found["log_norm"] == pytest.approx(2 * math.log10(float(torch.linalg.matrix_norm(weight))))


def test_the_determinant_tail() -> None:
    assert spectra.determinant_tail(torch.zeros(3))[0] == 0
    count, value = spectra.determinant_tail(torch.ones(4))  # the product of ones is never below one
    assert count == 4
    assert math.isnan(value)


BAD = [
    ("not a tensor", lambda: [[1.0]], "of type list was given"),
    ("integers", lambda: torch.ones(2, 2, dtype=torch.int64), "of dtype int64 was given"),
    ("complex", lambda: torch.ones(2, 2, dtype=torch.complex64), "of dtype complex64 was given"),
    ("meta", lambda: torch.ones(2, 2, device="meta"), "on the meta device"),
    ("vector", lambda: torch.ones(3), r"of shape \(3,\) was given"),
    ("empty", lambda: torch.ones(0, 3), r"empty weight of shape \(0, 3\)"),
    ("nan", lambda: torch.tensor([[1.0, math.nan], [math.inf, 0.0]]), "holds 2 values that are NaN or infinite"),
]


@pytest.mark.parametrize(("make", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_has_no_spectrum_is_told_so(make, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        spectra.singular_values(make())
    with pytest.raises(UsageError, match=message):
        spectra.matrix_norms(make())


def test_finite_values_whose_sum_is_not_are_fine() -> None:
    assert spectra.checked(torch.full((2, 2), 1e308, dtype=torch.float64)).shape == (2, 2)


def test_unknown_ways_are_told_of() -> None:
    with pytest.raises(UsageError, match="unknown layout 'flatt': did you mean 'flat'"):
        spectra.singular_values(matrix(2, 2), layout="flatt")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="unknown method 'svdd'"):
        spectra.singular_values(matrix(2, 2), method="svdd")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="give at least one"):
        spectra.stable_rank(torch.zeros(0))
