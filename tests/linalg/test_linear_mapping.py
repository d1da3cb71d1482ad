"""Correlations on the grid, functions whose number is known, chunks, bad values."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import linear_mapping
from grokscope.linalg.linear_mapping import linearities, mappings, squared_correlations

DOUBLE = torch.float64
GRID = torch.linspace(0, 1, 21, dtype=DOUBLE)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def test_the_documented_examples_hold() -> None:
    assert doctest.testmod(linear_mapping).failed == 0


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (GRID**2, 0.932111),
        (GRID**3, 0.831949),
        ((GRID - 0.5).clamp(min=0), 0.798913),
        ((GRID - 0.5).abs(), 0),
        ((GRID - 0.5) ** 2, 0),
        (3 - 7 * GRID, 1),
        (0 * GRID + 5, 1),
        (0 * GRID, 1),
        (1e-200 * GRID**2, 0.932111),
        (5 + 1e-7 * GRID**2, 1),
        (5 + 1e-4 * GRID**2, 0.932111),
    ],
)
def test_correlations_on_the_grid(outputs: Tensor, expected: float) -> None:
    assert squared_correlations(outputs[None, :, None]).item() == pytest.approx(expected, abs=5e-7)


def test_correlations_are_those_of_the_textbook() -> None:
    outputs = normal(5, 21, 3)
    found = squared_correlations(outputs)
    for path in range(5):
        for output in range(3):
            pair = torch.stack([GRID, outputs[path, :, output]])
            assert found[path, output].item() == pytest.approx(torch.corrcoef(pair)[0, 1].item() ** 2)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
def test_an_affine_function_is_one_map(scale: float) -> None:
    weight, bias = scale * normal(4, 3), scale * normal(4, seed=1)
    found = mappings(linearities(lambda h, _: h @ weight.T + bias, normal(12, 3, seed=2)))
    assert found.number == pytest.approx(1)
    assert found.linearity == pytest.approx(1)
    assert found.eigenvalues[0].item() == pytest.approx(12)


@given(st.integers(1, 6), st.integers(1, 4))
@settings(max_examples=15, deadline=None)
def test_equal_groups_count_as_many_as_they_are(groups: int, size: int) -> None:
    found = mappings(torch.block_diag(*[torch.ones(size, size)] * groups))
    assert found.number == pytest.approx(groups)
    assert found.entropy == pytest.approx(math.log2(groups), abs=1e-9)


@pytest.mark.parametrize(("linearity", "number"), [(0.0, 2.0), (0.5, 1.754765), (1.0, 1.0)])
def test_two_examples(linearity: float, number: float) -> None:
    found = mappings(torch.tensor([[1.0, linearity], [linearity, 1.0]], dtype=DOUBLE))
    assert found.number == pytest.approx(number, abs=5e-7)
    assert found.linearity == linearity
    assert found.eigenvalues.tolist() == pytest.approx([1 + linearity, 1 - linearity])


def test_negative_eigenvalues_count_by_their_size() -> None:
    matrix = torch.tensor([[1.0, 0.9, 0.0], [0.9, 1.0, 0.9], [0.0, 0.9, 1.0]], dtype=DOUBLE)
    sizes = [1 + 0.9 * math.sqrt(2), 1, 0.9 * math.sqrt(2) - 1]
    entropy = -sum(size / sum(sizes) * math.log2(size / sum(sizes)) for size in sizes)
    assert mappings(matrix).entropy == pytest.approx(entropy)
    assert mappings(matrix).eigenvalues[-1] < 0


def test_pairs_within_and_across_a_kink() -> None:
    # |h|: affine on either side, and on the way from −a to a it has no linear part
    found = linearities(lambda h, _: h.abs(), torch.tensor([[-2.0], [-1.0], [1.0], [2.0]], dtype=DOUBLE))
    torch.testing.assert_close(found[:2, :2], torch.ones(2, 2, dtype=DOUBLE))
    torch.testing.assert_close(found[2:, 2:], torch.ones(2, 2, dtype=DOUBLE))
    assert found[1, 2].item() == pytest.approx(0, abs=1e-12)
    assert found[0, 3].item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("chunk", [1, 7, 40, 10**6])
def test_chunks_change_nothing_and_bound_what_goes_through(chunk: int) -> None:
    values, most = normal(6, 2, 3), []

    def tail(h: Tensor, rows: Tensor) -> Tensor:
        most.append(len(h))
        assert len(rows) == len(h)
        return (h * h[:, :1]).tanh()

    found = linearities(tail, values, chunk=chunk)
    assert max(most) <= chunk
    assert sum(most) == 6 + 15 * 19
    for one in range(6):
        for other in range(one):
            path = values[one] + GRID[:, None, None] * (values[other] - values[one])
            expected = squared_correlations((path * path[:, :1]).tanh().flatten(1)[None]).mean()
            assert found[one, other].item() == found[other, one].item() == pytest.approx(expected.item())


def test_a_path_is_told_to_be_of_its_first_example() -> None:
    values, offsets = normal(4, 3), normal(4, 3, seed=1)
    found = linearities(lambda h, rows: (h + offsets[rows]) ** 2, values)
    path = values[1] + GRID[:, None] * (values[3] - values[1])
    ends = (path[0] + offsets[1]) ** 2, (path[-1] + offsets[3]) ** 2
    outputs = torch.cat([ends[0][None], (path[1:-1] + offsets[1]) ** 2, ends[1][None]])
    assert found[1, 3].item() == pytest.approx(squared_correlations(outputs[None]).mean().item())


def test_float32_is_nearly_float64() -> None:
    values, weight = normal(10, 4), normal(5, 4, seed=1)
    exact = mappings(linearities(lambda h, _: (h @ weight.T).relu(), values))
    single = mappings(linearities(lambda h, _: (h @ weight.T.float()).relu(), values.float()))
    assert single.number == pytest.approx(exact.number, rel=1e-4)
    assert single.eigenvalues.dtype == DOUBLE


def test_what_is_not_finite_is_nan() -> None:
    found = mappings(linearities(lambda h, _: h.log(), normal(5, 2)))
    assert math.isnan(found.number)
    assert found.eigenvalues.isnan().all()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: squared_correlations(torch.zeros(2, 2, 3)), "three positions or more"),
        (lambda: linearities(lambda h, _: h, torch.zeros(1, 3)), "two or more rows"),
        (lambda: linearities(lambda h, _: h, torch.zeros(4, 3).long()), "dtype torch.int64"),
        (lambda: linearities(lambda h, _: h, torch.zeros(4, 3), grid=2), "grid = 2"),
        (lambda: linearities(lambda h, _: h, torch.zeros(4, 3), chunk=0), "chunk = 0"),
        (lambda: mappings(torch.zeros(2, 3)), "give a square one"),
        (lambda: mappings(torch.tensor([[1.0, 0.5], [0.1, 1.0]])), "not symmetric"),
    ],
)
def test_wrong_arguments(call, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        call()
