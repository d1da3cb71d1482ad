"""The Marchenko–Pastur law against quadrature, the test against SciPy, the fit on random matrices, and scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, stats

from grokscope.errors import UsageError
from grokscope.linalg import marchenko_pastur as mp

RATIOS = [0.02, 0.25, 0.5, 0.9, 1.0]


def random_spectrum(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    weight = np.random.default_rng(seed).standard_normal((rows, columns))
    return torch.from_numpy(np.linalg.svd(weight, compute_uv=False) ** 2)


def test_edges_by_hand() -> None:
    assert mp.edges(0.5) == pytest.approx((0.0857864, 2.9142136), abs=5e-8)
    assert mp.edges(1.0, 3.0) == (0, 36)


@pytest.mark.parametrize(("point", "value"), [(1, 0.5760042), (0.6514719, 0.4080965), (1.5, 0.7542449)])
def test_the_distribution_at_known_points(point: float, value: float) -> None:
    assert float(mp.distribution(torch.tensor(point, dtype=torch.float64), 0.5)) == pytest.approx(value, abs=5e-8)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("sigma", [1.0, 0.3])
def test_the_distribution_is_the_integral_of_the_density(ratio: float, sigma: float) -> None:
    low, high = mp.edges(ratio, sigma)

    def of_angle(angle: float) -> float:
        # λ = (middle) − (half) cos angle: the ends lose their square roots
        point = (low + high) / 2 - (high - low) / 2 * math.cos(angle)
        value = float(mp.density(torch.tensor(point, dtype=torch.float64), ratio, sigma))
        return value * (high - low) / 2 * math.sin(angle)

    for share in (0.2, 0.5, 0.93, 1.0):
        expected, _ = integrate.quad(of_angle, 0, math.pi * share, epsabs=1e-12, epsrel=1e-12)
        point = (low + high) / 2 - (high - low) / 2 * math.cos(math.pi * share)
        found = float(mp.distribution(torch.tensor(point, dtype=torch.float64), ratio, sigma))
        assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("ratio", RATIOS)
def test_the_distribution_is_monotone_from_0_to_1(ratio: float) -> None:
    low, high = mp.edges(ratio)
    points = torch.linspace(low - 0.1, high + 0.1, 2001, dtype=torch.float64)
    found = mp.distribution(points, ratio)
    assert bool((found.diff() >= -1e-15).all())
    assert float(found[0]) == 0
    assert float(found[-1]) == 1
    ends = torch.tensor([low, high, -1.0, 1e6], dtype=torch.float64)
    assert mp.distribution(ends, ratio).tolist() == pytest.approx([0, 1, 0, 1])
    assert mp.density(ends, ratio).tolist() == [0, 0, 0, 0]
    # σ only stretches it
    stretched = mp.distribution(points * 4, ratio, 2.0)
    torch.testing.assert_close(stretched, found, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rows", "columns"), [(30, 90), (40, 40)])
def test_the_test_is_that_of_scipy(rows: int, columns: int) -> None:
    values = random_spectrum(rows, columns) / columns
    ratio = rows / columns

    def distribution(points: np.ndarray) -> np.ndarray:
        return mp.distribution(torch.from_numpy(points), ratio, 1.1).numpy()

    expected = stats.kstest(values.numpy(), distribution)
    assert mp.ks_test(values, ratio, 1.1) == pytest.approx((expected.statistic, expected.pvalue), rel=1e-9)


@pytest.mark.parametrize(("rows", "columns"), [(100, 100), (100, 130), (60, 300)])
def test_random_matrices_are_bulk_only(rows: int, columns: int) -> None:
    values = random_spectrum(rows, columns)
    found = mp.fit(values * 7, (rows, columns))
    assert found.sigma == pytest.approx(1, abs=0.03)
    assert found.spikes == 0
    assert found.p_value > 0.9
    # the scale goes into the edges, and into nothing else
    other = mp.fit(values.flip(0), (columns, rows))
    assert (other.sigma, other.softrank) == pytest.approx((found.sigma, found.softrank))
    assert (other.upper * 7, other.threshold * 7) == pytest.approx((found.upper, found.threshold))
    scores = mp.outlier_scores(values, (rows, columns), 1.0)
    assert -6 < float(scores.max()) < mp.TW_SCORE


def test_the_largest_score_follows_tracy_and_widom() -> None:
    # mean −1.2065 and standard deviation 1.268 for β = 1; 200 draws: standard errors 0.09 and 0.07
    generator = np.random.default_rng(0)
    draws = generator.standard_normal((200, 30, 60))
    largest = torch.from_numpy(np.linalg.svd(draws, compute_uv=False)[:, 0] ** 2)
    scores = mp.outlier_scores(largest, (30, 60), 1.0)
    assert float(scores.mean()) == pytest.approx(-1.2065, abs=0.35)
    assert float(scores.std()) == pytest.approx(1.268, abs=0.25)


def test_a_spike_is_counted() -> None:
    values = random_spectrum(80, 160)
    spiked = torch.cat([values[1:], torch.tensor([3 * float(values[0])], dtype=torch.float64)])
    assert mp.fit(spiked, (80, 160)).spikes == 1
    assert int((mp.outlier_scores(spiked, (160, 80), 1.0) > mp.TW_SCORE).sum()) == 1


def test_the_kernel_estimate_is_the_sum_of_triangles() -> None:
    generator = np.random.default_rng(0)
    values, points = generator.uniform(0, 2, 50), np.linspace(-0.2, 2.2, 101)
    triangles = np.maximum(1 - np.abs(points[:, None] - values) / 0.1, 0).sum(1) / (50 * 0.1)
    np.testing.assert_allclose(mp.kernel_density(values, points, 0.1), triangles, atol=1e-10)


BAD = [
    (lambda: mp.edges(1.5), r"ratio = 1.5: give c = rows/columns"),
    (lambda: mp.density(torch.ones(1), 0.5, 0.0), r"sigma = 0: give a positive"),
    (lambda: mp.ks_test(torch.ones(0), 0.5), r"values of shape \(0,\)"),
    (lambda: mp.fit(torch.ones(2, 2), (2, 2)), r"eigenvalues of shape \(2, 2\)"),
    (lambda: mp.fit(torch.tensor([-1.0, 2.0]), (2, 2)), "negative, NaN or infinite"),
    (lambda: mp.fit(torch.zeros(3), (3, 3)), "all 0"),
    (lambda: mp.outlier_scores(torch.ones(2), (2, 4), 0.0), "variance = 0"),
    (lambda: mp.outlier_scores(torch.ones(1), (1, 1), 1.0), "a single entry has no bulk"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_what_has_no_bulk_is_told_so(call, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_eigenvalues_and_equal_ones_are_fitted_all_the_same(count: int) -> None:
    found = mp.fit(torch.full((count,), 4.0), (count, 3 * count))
    assert math.isfinite(found.sigma)
    assert found.softrank > 0
