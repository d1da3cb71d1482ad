"""Shuffles: seeded, within each matrix; traps by two counts, the rule of the largest entry, and distances."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.spatial.distance import jensenshannon

from grokscope.errors import UsageError
from grokscope.linalg import shuffles, spectra
from grokscope.linalg.averages import mean_and_error


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, generator=generator(seed), dtype=torch.float64)


def test_shuffles_are_seeded_and_keep_the_entries() -> None:
    weight = noise(12, 20)
    found = shuffles.shuffled(weight, generator=generator(3), replicas=4)
    assert found.spectra.shape == (4, 1, 12)
    assert found.shape == (12, 20)
    assert torch.equal(found.spectra, shuffles.shuffled(weight, generator=generator(3), replicas=4).spectra)
    assert not torch.equal(found.spectra[0], found.spectra[1])
    # the sum of squares of all entries is that of the singular values
    total = float(weight.square().sum())
    assert found.spectra.sum((1, 2)).tolist() == pytest.approx([total] * 4)
    assert float(found.variances) == pytest.approx(total / 240)
    # the first shuffles do not depend on how many there are
    one = shuffles.shuffled(weight, generator=generator(3), replicas=1)
    assert torch.equal(one.spectra[0], found.spectra[0])


def test_a_kernel_is_shuffled_within_each_of_its_matrices() -> None:
    kernel = noise(6, 5 * 9).reshape(6, 5, 3, 3)
    found = shuffles.shuffled(kernel, generator=generator(), replicas=2)
    assert found.spectra.shape == (2, 9, 5)
    assert found.shape == (5, 6)
    squares = kernel.square().sum((0, 1)).flatten() * 9 / 2
    for spectrum in found.spectra:
        torch.testing.assert_close(spectrum.sum(-1), squares)
    flat = shuffles.shuffled(kernel, generator=generator(), replicas=2, layout="flat")
    assert flat.spectra.shape == (2, 1, 6)


def test_more_large_entries_are_more_traps() -> None:
    weight = noise(60, 90)
    expected = [0, 1, 2, 3]
    for number in expected:
        if number:
            weight[7 * number, 11 * number] = 40.0 + number
        found = shuffles.shuffled(weight, generator=generator(), replicas=2)
        assert mean_and_error(shuffles.trap_counts(found)) == (number, 0)
        assert (shuffles.largest_entry(weight) > 1) == (number > 0)


def test_an_entry_beyond_the_bound_is_a_trap_in_any_order() -> None:
    weight = noise(40, 80)
    for size in (10.0, 14.0, 18.0, 25.0):
        weight[1, 2] = size
        counts = shuffles.trap_counts(shuffles.shuffled(weight, generator=generator(), replicas=3))
        # the margin is the fluctuation of the edge that counting allows for
        if shuffles.largest_entry(weight) > 1.1:
            assert counts.tolist() == [1, 1, 1]


def test_trimming_finds_traps_behind_others() -> None:
    weight = noise(50, 60)
    rows = torch.arange(50)
    weight[rows[:25], rows[:25]] = 12.0
    everything = shuffles.trap_counts(shuffles.shuffled(weight, generator=generator(), replicas=1))
    trimmed = shuffles.trap_counts(shuffles.shuffled(weight, generator=generator(), replicas=1, trim=0.02))
    assert float(trimmed) > float(everything)
    # on normal entries it does not move the variance by more than its own error
    entries = torch.randn(200_000, generator=generator(), dtype=torch.float64)
    assert float(shuffles.entry_variance(entries, trim=0.1)) == pytest.approx(1, abs=0.015)


def test_what_cannot_have_traps_has_none() -> None:
    for weight in (torch.zeros(5, 6), torch.ones(1, 8), torch.ones(8, 1), torch.ones(1, 1)):
        found = shuffles.shuffled(weight, generator=generator(), replicas=2)
        assert shuffles.trap_counts(found).tolist() == [0, 0]
    assert math.isnan(shuffles.largest_entry(torch.zeros(3, 4)))
    mean, error = mean_and_error(torch.tensor([2.0]))
    assert mean == 2
    assert math.isnan(error)
    assert mean_and_error(torch.tensor([0.0, 1.0, 2.0])) == pytest.approx((1, 1 / math.sqrt(3)))


def test_the_distance_is_that_of_scipy() -> None:
    first, second = (spectra.eigenvalues(noise(20, 30, seed)) for seed in (0, 1))
    expected = jensenshannon(first.numpy(), second.numpy())
    assert shuffles.spectrum_distance(first.flip(0), second) == pytest.approx(expected)
    assert shuffles.spectrum_distance(first, first * 7) == pytest.approx(0, abs=1e-7)
    far = shuffles.spectrum_distance(torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 1.0, 0.0]))
    assert far == pytest.approx(0)  # both are sorted first


def test_the_comparison_is_the_mean_over_shuffles() -> None:
    weight = noise(20, 30)
    values = spectra.eigenvalues(weight)
    found = shuffles.shuffled(weight, generator=generator(), replicas=3)
    compared = shuffles.comparison(values, found)
    tops = found.spectra.amax((1, 2))
    assert compared["softrank"] == pytest.approx(float((tops / values.max()).mean()))
    assert compared["maxdist"] == pytest.approx(float((values.max() - tops).mean()))
    each = [shuffles.spectrum_distance(values, spectrum.flatten()) for spectrum in found.spectra]
    assert compared["distance"] == pytest.approx(sum(each) / 3)


BAD = [
    (lambda: shuffles.shuffled(torch.ones(2, 2), generator=generator(), replicas=0), "replicas = 0"),
    (lambda: shuffles.shuffled(torch.ones(2, 2), generator=generator(), trim=0.7), r"trim = 0\.7"),
    (lambda: shuffles.shuffled(torch.tensor([[math.nan, 1.0]]), generator=generator()), "NaN or infinite"),
    (lambda: shuffles.spectrum_distance(torch.ones(2), torch.ones(3)), "give alike"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_told_of(call, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()
