"""Mean embedding differences: worked examples, closed forms of circles and Gaussians, invariances, bad input."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import uniformity as u

quick = settings(derandomize=True, deadline=None, max_examples=25)


def circle(p: int, k: int, amplitude: float = 1.0) -> Tensor:
    angle = 2 * math.pi * k * torch.arange(p, dtype=torch.float64) / p
    return amplitude * torch.stack([angle.cos(), angle.sin()], 1)


def gaussian(p: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(p, width, generator=generator, dtype=torch.float64) / math.sqrt(width)


def test_the_documented_examples_hold():
    assert doctest.testmod(u).failed == 0


@pytest.mark.parametrize(("k", "expected"), [(1, 1.175571), (2, 1.902113)])
def test_worked_examples_of_circles_modulo_5(k: int, expected: float):
    assert u.mean_difference(circle(5, k)).item() == pytest.approx(expected, abs=5e-7)
    assert u.scale_free_difference(circle(5, k, 3.0)).item() == pytest.approx(expected, abs=5e-7)
    value, step = u.orbit_difference(circle(5, k))
    assert value.item() == pytest.approx(1.175571, abs=5e-7)
    assert step == (1 if k == 1 else 2)


@pytest.mark.parametrize("k", [1, 5, 20, 56])
def test_a_circle_has_twice_the_sine_and_its_orbit_that_of_frequency_one(k: int):
    found = u.scale_free_difference(circle(113, k))
    assert found.item() == pytest.approx(2 * math.sin(math.pi * k / 113), rel=1e-12)
    value, step = u.orbit_difference(circle(113, k))
    assert value.item() == pytest.approx(2 * math.sin(math.pi / 113), rel=1e-10)
    assert step * k % 113 in (1, 112)


def test_squares_of_several_circles_add_up():
    keys, sizes = (3, 7, 8), (1.0, 0.5, 2.0)
    rows = torch.cat([circle(53, k, a) for k, a in zip(keys, sizes, strict=True)], 1)
    expected = math.sqrt(sum(4 * a**2 * math.sin(math.pi * k / 53) ** 2 for k, a in zip(keys, sizes, strict=True)))
    assert u.mean_difference(rows).item() == pytest.approx(expected, rel=1e-12)


def test_a_wide_gaussian_has_the_root_of_two():
    assert u.scale_free_difference(gaussian(113, 128)).item() == pytest.approx(math.sqrt(2), abs=0.02)


def test_equal_embeddings_have_no_difference_and_nothing_to_divide_by():
    rows = torch.full((7, 3), 0.1, dtype=torch.float64)
    assert u.mean_difference(rows).item() == 0
    assert u.spread(rows).item() == 0
    assert math.isnan(u.scale_free_difference(rows).item())
    value, step = u.orbit_difference(rows)
    assert math.isnan(value.item())
    assert step == 0
    assert math.isnan(u.class_sum_spread(rows, torch.arange(7)[:, None] + torch.arange(7)).item())


def test_without_the_wrap_only_steps_inside_count():
    rows = torch.tensor([[0.0], [1.0], [3.0], [6.0]])
    assert u.mean_difference(rows, wrap=False).item() == 2
    assert u.mean_difference(rows, step=2, wrap=False).item() == 4
    assert u.mean_difference(rows, step=2).item() == (3 + 5 + 3 + 5) / 4


def test_the_variants_of_the_released_code():
    # first operand 0 1 3 (6), second 10 11 15 (99): the last residue of each is left out
    rows = torch.tensor([[0.0], [1.0], [3.0], [6.0], [10.0], [11.0], [15.0], [99.0]])
    first, second = 1.5, 2.5
    for variant, expected in (("base", 2.0), ("strip", first + second), ("rectangle", 3 * (first + second))):
        assert u.mean_difference_of_code(rows, 4, offset=4, variant=variant).item() == expected  # type: ignore[arg-type]
    assert u.mean_difference_of_code(rows, 4).item() == first


def test_discrete_logarithms_turn_products_into_walks():
    # characters of the multiplicative group of Z/13: circles in the discrete logarithm
    logarithm = {pow(2, place, 13): place for place in range(12)}
    rows = torch.zeros(13, 2, dtype=torch.float64)
    rows[1:] = torch.stack([circle(12, 5)[logarithm[number]] for number in range(1, 13)])
    ordered = u.by_discrete_logarithm(rows)
    value, _ = u.orbit_difference(ordered)
    assert value.item() == pytest.approx(2 * math.sin(math.pi / 12), rel=1e-10)
    assert u.orbit_difference(rows)[0].item() > 1
    # by hand: the least over generators g of the mean of |phi(g i) - phi(i)|
    steps = [(rows[[g * i % 13 for i in range(1, 13)]] - rows[1:]).norm(dim=1).mean().item() for g in (2, 6, 7, 11)]
    assert value.item() == pytest.approx(min(steps) / u.spread(rows[1:]).item(), rel=1e-10)


def test_steps_that_share_a_factor_are_no_generators():
    rows = circle(6, 2)  # i and i + 3 are embedded alike
    assert u.orbit_difference(rows, generators_only=False)[0].item() == pytest.approx(0, abs=1e-12)
    assert u.orbit_difference(rows)[0].item() == pytest.approx(2 * math.sin(math.pi * 2 / 6), rel=1e-12)


def test_class_sums_against_the_plain_definition():
    rows, other = gaussian(7, 4, 1), gaussian(7, 4, 2)
    table = (torch.arange(7)[:, None] ** 2 + torch.arange(7)) % 7
    sums = rows[:, None] + other[None, :]

    def size(values: Tensor) -> float:
        return (values - values.mean(0)).square().sum(1).mean().sqrt().item()

    expected = sum(size(sums[table == answer]) for answer in range(7)) / 7 / size(sums.flatten(0, 1))
    assert u.class_sum_spread(rows, table, other).item() == pytest.approx(expected, rel=1e-12)


def test_class_sums_of_a_group_all_have_one_mean_so_that_a_circle_has_exactly_one():
    latin = (torch.arange(7)[:, None] + torch.arange(7)) % 7
    assert u.class_sum_spread(circle(7, 3), latin).item() == pytest.approx(1, rel=1e-12)
    assert 0.9 < u.class_sum_spread(gaussian(7, 4), latin).item() <= 1


def test_uniformity_on_the_sphere_is_that_of_all_pairs_however_chunked():
    rows = gaussian(9, 3)
    directions = rows / rows.norm(dim=1, keepdim=True)
    squares = torch.pdist(directions).square()
    expected = torch.exp(-2 * squares).mean().log().item()
    assert u.sphere_uniformity(rows, chunk=4).item() == pytest.approx(expected, rel=1e-12)
    assert u.sphere_uniformity(5 * rows).item() == pytest.approx(expected, rel=1e-12)
    assert u.sphere_uniformity(torch.ones(3, 2)).item() == pytest.approx(0, abs=1e-12)
    assert math.isnan(u.sphere_uniformity(torch.tensor([[0.0, 0.0], [1.0, 0.0]])).item())


@quick
@given(st.integers(3, 20), st.integers(0, 10**6), st.floats(0.01, 100))
def test_scale_shift_rotation_and_cyclic_shift_leave_the_scale_free_ones(p: int, seed: int, scale: float):
    rows = gaussian(p, 3, seed)
    rotation = torch.linalg.qr(gaussian(3, 3, seed + 1)).Q
    moved = scale * rows.roll(1, 0) @ rotation + 7
    for function in (u.scale_free_difference, lambda x: u.orbit_difference(x)[0]):
        assert function(moved).item() == pytest.approx(function(rows).item(), rel=1e-9)
    assert 0 <= u.scale_free_difference(rows).item() <= 2


def test_float32_agrees_with_float64():
    rows = gaussian(31, 16)
    assert u.orbit_difference(rows.float())[0].item() == pytest.approx(u.orbit_difference(rows)[0].item(), rel=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: u.mean_difference(torch.zeros(5)), r"shape \(5,\)"),
        (lambda: u.mean_difference(torch.zeros(1, 3)), "2 or more rows"),
        (lambda: u.mean_difference(torch.tensor([[1.0], [math.nan]])), "NaN or Inf"),
        (lambda: u.mean_difference(torch.zeros(3, 2, device="meta")), "meta device"),
        (lambda: u.mean_difference(torch.zeros(3, 2), step=3), "step = 3"),
        (lambda: u.mean_difference_of_code(torch.zeros(4, 2), 4, offset=1), "offset = 1"),
        (lambda: u.mean_difference_of_code(torch.zeros(4, 2), 4, variant="square"), "base, rectangle, strip"),  # type: ignore[arg-type]
        (lambda: u.by_discrete_logarithm(torch.zeros(9, 2)), "a prime above 2"),
        (lambda: u.class_sum_spread(torch.zeros(3, 2), torch.zeros(2, 2, dtype=torch.long)), r"\(2, 2\)"),
        (lambda: u.distance_between(torch.zeros(3, 2), torch.zeros(2, 2)), "give equal"),
    ],
)
def test_bad_input_is_told_of_in_a_sentence(call, message: str):
    with pytest.raises(UsageError, match=message):
        call()
