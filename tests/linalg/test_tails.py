"""The power law of a tail: by hand, against the loop over xmin, exact pruning, intervals, and bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.bench.spectra import plain_power_law
from grokscope.errors import UsageError
from grokscope.linalg import tails


def spectrum(count: int, seed: int, tail: float = 0.0) -> torch.Tensor:
    """Return eigenvalues of a random matrix, or with heavy-tailed entries."""
    generator = np.random.default_rng(seed)
    entries = generator.standard_normal((count, 2 * count))
    if tail:
        entries = generator.standard_t(tail, (count, 2 * count))
    return torch.from_numpy(np.linalg.svd(entries, compute_uv=False) ** 2)


def test_four_values_by_hand() -> None:
    values = torch.tensor([8.0, 1.0, 4.0, 2.0])
    alphas, found = tails.distances(values)
    assert alphas.tolist() == pytest.approx([1.9617967, 2.4426950, 3.8853901], abs=5e-8)
    assert found.tolist() == pytest.approx([0.2365829, 0.2987872, 0.3646647], abs=5e-8)
    law = tails.power_law(values)
    assert (law.alpha, law.distance, law.xmin, law.xmax) == pytest.approx((1.9617967, 0.2365829, 1, 8), abs=5e-8)
    assert law.sigma == pytest.approx(0.4808983, abs=5e-8)
    assert (law.tail_count, law.count) == (4, 4)


def test_quantiles_of_a_power_law_give_its_exponent() -> None:
    # x with P(X > x) = x^(1 − α), α = 3, at evenly spread levels
    levels = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    law = tails.power_law(levels ** (-1 / 2))
    assert law.alpha == pytest.approx(3, rel=0.01)
    assert law.distance < 0.005


@pytest.mark.parametrize("count", [2, 3, 5, 9, 40, 130, 450])
@pytest.mark.parametrize("tail", [0.0, 2.0])
def test_the_pruned_scan_is_the_loop_over_every_xmin(count: int, tail: float) -> None:
    for seed in range(3):
        values = spectrum(count, seed, tail)
        alpha, distance, xmin = plain_power_law(values.numpy())
        for block in (1, 5000, tails.BLOCK):
            if block == 1 and count > 50:
                continue
            law = tails.power_law(values, block=block)
            assert (law.alpha, law.distance) == pytest.approx((alpha, distance), rel=1e-10)
            assert law.xmin == xmin
        alphas, found = tails.distances(values)
        assert float(found.min()) == pytest.approx(distance, rel=1e-10)
        assert float(alphas[found.argmin()]) == pytest.approx(alpha, rel=1e-10)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=60, unique=True), st.floats(1e-6, 1e6))
def test_neither_scale_nor_order_matters(values: list[float], scale: float) -> None:
    ordered = torch.tensor(values, dtype=torch.float64)
    if float((ordered.max() / ordered.min()).log()) < 1e-6:
        return
    _, found = tails.distances(ordered)
    least, *others = sorted(found.tolist())
    if others and others[0] - least < 1e-9:
        return  # which of two equal minima comes first is decided by rounding
    law = tails.power_law(ordered)
    other = tails.power_law(ordered.flip(0) * scale)
    assert other.alpha == pytest.approx(law.alpha, rel=1e-6)
    assert other.distance == pytest.approx(law.distance, abs=1e-8)
    assert other.xmin == pytest.approx(scale * law.xmin)
    assert other.tail_count == law.tail_count
    assert law.alpha > 1
    assert 0 <= law.distance <= 1


def test_repeated_values_do_not_break_the_scan() -> None:
    values = torch.tensor([1.0] * 5 + [2.0] * 4 + [7.0] * 3)
    alphas, found = tails.distances(values)
    # the tails that hold one value only follow no law
    assert alphas[-2:].isinf().all()
    assert found[-2:].tolist() == [1, 1]
    law = tails.power_law(values)
    assert 1 < law.alpha < 10
    assert law.tail_count in (12, 7)


def test_minima_are_local_and_in_order() -> None:
    values = spectrum(200, 1)
    laws = tails.minima(values, most=4)
    assert laws[0] == tails.power_law(values)
    assert [law.distance for law in laws] == sorted(law.distance for law in laws)
    alphas, found = tails.distances(values)
    ordered = values.sort().values
    for law in laws:
        index = int((ordered >= law.xmin).nonzero()[0])
        around = found[max(index - 1, 0) : index + 2]
        assert float(found[index]) == float(around.min()) == law.distance
        assert float(alphas[index]) == law.alpha


def test_the_threshold_and_the_count() -> None:
    values = torch.cat([torch.full((5,), 1e-9, dtype=torch.float64), spectrum(60, 0)])
    law = tails.power_law(values, threshold=tails.WW_THRESHOLD)
    assert law == tails.power_law(spectrum(60, 0))
    assert law.count == 60


def test_dropping_fingers_needs_a_gain() -> None:
    values = spectrum(150, 3)
    raw = tails.power_law(values)
    law, count = tails.without_fingers(values, gain=100.0)
    assert (law, count) == (raw, 0)
    law, count = tails.without_fingers(torch.tensor([1.0, 2.0, 3.0]))
    assert count == 0


def test_the_interval_is_seeded_and_holds_the_exponent() -> None:
    levels = (torch.arange(300, dtype=torch.float64) + 0.5) / 300
    values = levels ** (-1 / 1.5)  # α = 2.5

    def interval(seed: int, level: float = 0.95) -> tuple[float, float]:
        return tails.bootstrap(values, generator=torch.Generator().manual_seed(seed), resamples=60, level=level)

    low, high = interval(0)
    assert 1 < low < 2.5 < high < 6
    assert interval(0) == (low, high)
    assert interval(1) != (low, high)
    narrow = interval(0, 0.5)
    assert low <= narrow[0] <= narrow[1] <= high


BAD = [
    (torch.ones(2, 2), "give one vector"),
    (torch.tensor([1.0, math.nan]), "NaN or infinite"),
    (torch.tensor([3.0]), "1 of 1 eigenvalues exceed 0: a power law needs at least 2"),
    (torch.zeros(4), "0 of 4 eigenvalues exceed 0"),
    (torch.full((4,), 2.5), "all 4 eigenvalues are 2.5: equal values follow no power law"),
]


@pytest.mark.parametrize(("values", "message"), BAD)
def test_what_has_no_tail_is_told_so(values: torch.Tensor, message: str) -> None:
    for function in (tails.power_law, tails.minima):
        with pytest.raises(UsageError, match=message):
            function(values)


def test_bad_intervals_are_told_of() -> None:
    generator = torch.Generator()
    with pytest.raises(UsageError, match=r"resamples = 0, level = 0\.95"):
        tails.bootstrap(torch.ones(4), generator=generator, resamples=0)
    with pytest.raises(UsageError, match="level = 1"):
        tails.bootstrap(torch.ones(4), generator=generator, level=1)
    with pytest.raises(UsageError, match="their resamples follow no power law"):
        tails.bootstrap(torch.full((4,), 2.0), generator=generator, resamples=3)
