"""Absolute weight entropy: values by hand, the closed form for uniform weights, and what scale does to it."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.errors import UsageError
from grokscope.linalg import entropies

ENTRIES = st.lists(st.floats(-100, 100), min_size=2, max_size=12)


def test_values_by_hand() -> None:
    assert float(entropies.absolute_entropy(torch.tensor([[0.5, -0.5], [1.0, 2.0]]))) == pytest.approx(-math.log(2))
    for zero in (torch.zeros(3, 4), torch.ones(3, 4), -torch.ones(3, 4)):
        assert float(entropies.absolute_entropy(zero)) == 0
    top = torch.full((2, 5), 1 / math.e, dtype=torch.float64)
    assert float(entropies.absolute_entropy(top)) == pytest.approx(10 * 0.36787944)
    assert float(entropies.normalised_entropy(torch.tensor([[3.0, 1.0]]))) == pytest.approx(
        -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    )
    assert math.isnan(float(entropies.normalised_entropy(torch.zeros(2, 2))))
    assert entropies.summary(torch.ones(4, 4))["used_share"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("rows", "columns", "expected"), [(200, 784, 39261.89), (200, 200, 12102.47), (10, 200, 605.12)]
)
def test_uniform_weights_at_eight_times_the_initialisation(rows: int, columns: int, expected: float) -> None:
    bound = 8 / math.sqrt(columns)
    assert entropies.uniform_entropy(rows * columns, bound) == pytest.approx(expected, abs=0.005)
    # the integral of −|w| ln |w| over U(−a, a), by the midpoint rule
    points = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000 * bound
    mean = float(entropies.absolute_entropy(points[None])) / len(points)
    assert rows * columns * mean == pytest.approx(entropies.uniform_entropy(rows * columns, bound), rel=1e-6)


def test_a_draw_lies_within_a_percent_of_the_closed_form() -> None:
    generator = torch.Generator().manual_seed(0)
    bound = 8 / math.sqrt(784)
    drawn = (torch.rand(200, 784, generator=generator) * 2 - 1) * bound
    assert float(entropies.absolute_entropy(drawn)) == pytest.approx(39261.89, rel=0.01)


@settings(max_examples=40, deadline=None)
@given(ENTRIES, st.floats(1e-3, 1e3), st.randoms(use_true_random=False))
def test_scale_and_order(values: list[float], scale: float, random) -> None:
    weight = torch.tensor([values], dtype=torch.float64)
    mixed = torch.tensor([random.sample(values, len(values))], dtype=torch.float64)
    found = float(entropies.absolute_entropy(weight))
    mass = float(weight.abs().sum())
    tolerance = 1e-9 * (1 + mass * scale * 20)
    assert float(entropies.absolute_entropy(mixed)) == pytest.approx(found, abs=tolerance)
    expected = scale * found - scale * math.log(scale) * mass
    assert float(entropies.absolute_entropy(scale * weight)) == pytest.approx(expected, abs=tolerance)
    if mass > 1e-3:
        normalised = float(entropies.normalised_entropy(weight))
        assert float(entropies.normalised_entropy(scale * weight)) == pytest.approx(normalised, abs=1e-9)
        assert -1e-9 <= normalised <= math.log(len(values)) + 1e-9


def test_blocks_do_not_change_the_sum() -> None:
    weight = torch.randn(300, 700, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert weight.numel() > entropies.BLOCK
    sizes = weight.abs()
    expected = -float(torch.special.xlogy(sizes, sizes).sum())
    assert float(entropies.absolute_entropy(weight)) == pytest.approx(expected, rel=1e-11)
    narrow = float(entropies.absolute_entropy(weight.float()))
    assert narrow == pytest.approx(expected, rel=1e-4)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(UsageError, match="holds 1 values that are NaN or infinite"):
        entropies.absolute_entropy(torch.tensor([[math.nan, 1.0]]))
