"""Mutual information: known answers, invariances, and the numbers of the sheet at initialisation."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from grokscope.errors import UsageError
from grokscope.linalg import information as module
from grokscope.linalg.information import (
    Information,
    binned_information,
    kernel_information,
    median_square,
    noise_of,
    squared_distances,
)

quick = settings(derandomize=True, deadline=None, max_examples=20)


def cloud(seed: int, count: int = 40, units: int = 5) -> Tensor:
    return torch.randn(count, units, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def estimate(
    samples: Tensor, classes: Tensor | None = None, *, bandwidth: float = 0.1, bound: str = "upper"
) -> Information:
    distances = squared_distances(samples)
    return kernel_information(distances, noise_of(distances, bandwidth=bandwidth).variance, classes, bound=bound)


def test_the_documented_examples_hold():
    assert doctest.testmod(module).failed == 0


def test_equal_points_tell_nothing():
    found = estimate(torch.ones(6, 3), torch.tensor([0, 1, 2, 0, 1, 2]))
    assert (found.input, found.label) == pytest.approx((0, 0), abs=1e-14)
    assert noise_of(squared_distances(torch.ones(6, 3))) == module.Noise(0.0, True)


def test_points_far_apart_tell_everything():
    points = torch.arange(7, dtype=torch.float64)[:, None] * 1e6
    distances = squared_distances(points)
    assert kernel_information(distances, 1.0).input == pytest.approx(math.log(7), abs=1e-12)
    assert kernel_information(distances, 0.0).input == pytest.approx(math.log(7), abs=1e-12)


def test_two_tight_clusters():
    points = torch.tensor([[0.0], [1e-9], [50.0], [50.0 + 1e-9]], dtype=torch.float64)
    assert kernel_information(squared_distances(points), 1.0).input == pytest.approx(math.log(2), abs=1e-12)


@pytest.mark.parametrize("classes", [2, 5])
def test_tight_clusters_that_are_the_classes(classes: int):
    labels = torch.arange(classes).repeat(4)
    points = torch.eye(classes, dtype=torch.float64)[labels] * 100
    for bound in ("upper", "lower"):
        found = kernel_information(squared_distances(points), 1.0, labels, bound=bound)
        assert found.input == pytest.approx(math.log(classes), abs=1e-12)
        assert found.label == pytest.approx(math.log(classes), abs=1e-12)
    found = binned_information(points, labels)
    assert found.input == pytest.approx(math.log(classes), abs=1e-12)
    assert found.label == pytest.approx(math.log(classes), abs=1e-12)


def test_three_points_by_hand():
    # 0, 1, 3: squared distances 1, 4, 9; the median is 4
    distances = squared_distances(torch.tensor([[0.0], [1.0], [3.0]]))
    assert median_square(distances) == (4.0, False)
    variance = 0.4
    rows = [[0, 1, 9], [1, 0, 4], [9, 4, 0]]
    for divisor, bound in ((2, "upper"), (8, "lower")):
        by_hand = -sum(math.log(sum(math.exp(-d / (divisor * variance)) for d in row) / 3) for row in rows) / 3
        assert kernel_information(distances, variance, bound=bound).input == pytest.approx(by_hand, abs=1e-12)


def test_more_than_half_of_the_pairs_coincide():
    points = torch.cat([torch.zeros(8, 1), torch.tensor([[2.0], [4.0]])])
    assert median_square(squared_distances(points)) == (4.0, True)  # of 4 (nine times) and 16 (eight times)
    assert noise_of(squared_distances(points), bandwidth=0.5) == module.Noise(2.0, True)


@quick
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3), shift=st.floats(-1e3, 1e3))
def test_scale_rotation_shift_and_order_change_nothing(seed: int, scale: float, shift: float):
    points, labels = cloud(seed), torch.arange(40) % 3
    expected = estimate(points, labels)
    turn = torch.linalg.qr(cloud(seed + 1, 5, 5)).Q
    order = torch.randperm(40, generator=torch.Generator().manual_seed(seed))
    for other, names in ((scale * points @ turn + shift, labels), (points[order], labels[order])):
        found = estimate(other, names)
        assert found.input == pytest.approx(expected.input, rel=1e-5)
        assert found.label == pytest.approx(expected.label, rel=1e-4, abs=1e-6)


def test_a_fixed_noise_does_know_the_scale():
    points = cloud(0)
    one = kernel_information(squared_distances(points), 1.0).input
    assert abs(kernel_information(squared_distances(3 * points), 1.0).input - one) > 0.5


@quick
@given(seed=st.integers(0, 1000), bandwidth=st.floats(0.01, 1.0))
def test_the_range_and_the_order_of_the_bounds(seed: int, bandwidth: float):
    points, labels = cloud(seed), torch.arange(40) % 4
    upper, lower = (estimate(points, labels, bandwidth=bandwidth, bound=bound) for bound in ("upper", "lower"))
    assert 0 <= lower.input <= upper.input <= math.log(40) + 1e-12
    assert upper.label <= math.log(4) + 1e-12
    # more noise, less information
    assert estimate(points, bandwidth=2 * bandwidth).input <= upper.input + 1e-12


def test_the_bounds_hold_the_information_of_a_gaussian_channel():
    # X standard normal in 2 dimensions, T = X + N(0, σ²): I = ln(1 + 1/σ²), σ = 1
    distances = squared_distances(cloud(0, 2000, 2))
    exact = math.log(2)
    assert kernel_information(distances, 1.0, bound="lower").input < exact
    assert kernel_information(distances, 1.0, bound="upper").input > exact


def test_chunks_of_any_size_give_the_same():
    points, labels = cloud(3), torch.arange(40) % 3
    whole = squared_distances(points, chunk=1000)
    assert torch.allclose(whole, squared_distances(points, chunk=7), atol=1e-12)
    assert torch.allclose(whole, torch.cdist(points, points).square(), atol=1e-12)
    one, other = (kernel_information(whole, 0.3, labels, chunk=chunk) for chunk in (1000, 7))
    assert (one.input, one.label) == pytest.approx((other.input, other.label), abs=1e-12)


def test_float32_points_give_the_same():
    points = cloud(4)
    assert estimate(points.float()).input == pytest.approx(estimate(points).input, abs=1e-6)


def test_the_other_rules_of_the_noise():
    points = cloud(5)
    distances = squared_distances(points)
    total = float(points.var(0, correction=0).sum())
    assert noise_of(distances, rule="variance", bandwidth=0.05).variance == pytest.approx(0.05 * total, rel=1e-12)
    assert noise_of(distances, rule="dimension", bandwidth=0.1, units=5).variance == pytest.approx(0.02 * total)
    assert noise_of(distances, rule="fixed", bandwidth=0.7).variance == 0.7


def test_bins():
    # two bins: {0, 1}, {2, 3}; a constant unit adds nothing
    points = torch.tensor([[0.0, 5], [1, 5], [2, 5], [3, 5]])
    found = binned_information(points, torch.tensor([0, 1, 1, 1]), bins=2)
    assert found.input == pytest.approx(math.log(2))
    assert found.label == pytest.approx(math.log(2) - 0.75 * (math.log(3) / 3 + 2 / 3 * math.log(1.5)))
    # with many units every sample is alone: the estimator is saturated
    assert binned_information(cloud(6, 50, 100)).input == pytest.approx(math.log(50), abs=1e-12)


class Adder(nn.Module):
    """The network of sheet 03, L1: addition modulo 31 on concatenated embeddings, SiLU."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(31, 32)
        self.first, self.second = nn.Linear(64, 100), nn.Linear(100, 100)

    def forward(self, pairs: Tensor) -> tuple[Tensor, Tensor]:
        hidden = nn.functional.silu(self.first(self.embedding(pairs).flatten(1)))
        return hidden, nn.functional.silu(self.second(hidden))


def test_the_printed_numbers_at_initialisation():
    # sheet 03, 5: step 0, 768 of 961 pairs: I(T;X) 4.19 / 4.15 nats, I(T;Y) 1.21 / 1.18; another draw of the weights
    # and the split moves them by about 0.03
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Adder()
        pairs = torch.cartesian_prod(torch.arange(31), torch.arange(31))[torch.randperm(961)[:768]]
        hidden = [layer.detach() for layer in model(pairs)]
    labels = pairs.sum(1) % 31
    for layer, (expected, label) in zip(hidden, [(4.19, 1.21), (4.15, 1.18)], strict=True):
        found = estimate(layer, labels)
        assert found.input == pytest.approx(expected, abs=0.06)
        assert found.label == pytest.approx(label, abs=0.03)
        assert binned_information(layer).input == pytest.approx(6.644, abs=1e-3)  # ln 768: saturated
        # σ² = 0.1 × the mean variance of a unit is saturated too
        noise = noise_of(squared_distances(layer), rule="dimension", units=100)
        assert kernel_information(squared_distances(layer), noise.variance).input > 6.5


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: squared_distances(torch.ones(3, 2).long()), "real floating-point numbers"),
        (lambda: squared_distances(torch.tensor([[math.nan]])), "NaN or infinite"),
        (lambda: median_square(torch.zeros(1, 1)), "a distance needs two"),
        (lambda: noise_of(torch.zeros(2, 2), rule="medium"), "did you mean 'median'"),
        (lambda: noise_of(torch.zeros(2, 2), bandwidth=0), "noise has a positive variance"),
        (lambda: kernel_information(torch.zeros(2, 2), -1.0), "cannot be negative"),
        (lambda: kernel_information(torch.zeros(2, 2), 1.0, bound="uper"), "did you mean 'upper'"),
        (lambda: kernel_information(torch.zeros(2, 2), 1.0, torch.zeros(3).long()), "one whole number a sample"),
        (lambda: binned_information(torch.zeros(2, 2), torch.zeros(2)), "one whole number a sample"),
        (lambda: binned_information(torch.zeros(2, 2), bins=0), "at least one is needed"),
    ],
)
def test_bad_values_get_one_sentence(call: object, said: str):
    with pytest.raises(UsageError, match=said):
        call()  # type: ignore[operator]
