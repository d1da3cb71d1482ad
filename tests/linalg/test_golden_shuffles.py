"""Shuffles in NumPy's old order give WeightWatcher's numbers; a spread spike is no trap, one large entry is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from golden_spectra import GOLDEN, MATRICES
from grokscope.linalg import marchenko_pastur, shuffles, spectra

NAMES = list(GOLDEN)


@pytest.mark.parametrize("name", NAMES)
def test_shuffles_in_the_order_of_weightwatcher(name: str) -> None:
    weight = MATRICES[name].astype(np.float32)
    legacy = np.random.RandomState(0)

    def shuffle() -> torch.Tensor:
        entries = weight.flatten()
        legacy.shuffle(entries)
        return spectra.eigenvalues(torch.from_numpy(entries.reshape(weight.shape)))

    # five are added up where there are fewer than 100 eigenvalues
    first = torch.cat([shuffle() for _ in range(5 if min(weight.shape) < 100 else 1)])
    second = shuffle()
    golden, own = GOLDEN[name], spectra.eigenvalues(torch.from_numpy(weight))
    found = marchenko_pastur.fit(first, weight.shape)
    sigma, spikes, softrank, upper = golden.shuffled
    assert (found.sigma, found.softrank, found.upper) == pytest.approx((sigma, softrank, upper), rel=1e-4)
    assert found.spikes == spikes
    largest, distance, ratio = golden.compared
    assert float(first.max()) == pytest.approx(largest, rel=1e-6)
    assert shuffles.spectrum_distance(own, second) == pytest.approx(distance, rel=1e-5)
    assert float(second.max() / own.max()) == pytest.approx(ratio, rel=1e-6)


@pytest.mark.parametrize(("name", "traps"), [("G1", 0), ("G2", 0), ("S1", 0), ("B1", 1)])
def test_a_spread_spike_is_no_trap_and_one_large_entry_is(name: str, traps: int) -> None:
    weight = torch.from_numpy(MATRICES[name])
    found = shuffles.shuffled(weight, generator=torch.Generator().manual_seed(0), replicas=4)
    assert shuffles.trap_counts(found).tolist() == [traps] * 4
    assert [fitted.spikes for fitted in shuffles.bulk_fits(found)] == [traps] * 4
    assert (shuffles.largest_entry(weight) > 1) == (traps > 0)


def test_healthy_shuffles_pass_the_test_against_the_fitted_law() -> None:
    for name in ("G1", "G2"):
        weight = torch.from_numpy(MATRICES[name])
        found = shuffles.shuffled(weight, generator=torch.Generator().manual_seed(1), replicas=2)
        for fitted in shuffles.bulk_fits(found):
            # published: 0.012 to 0.021, p near 1
            assert fitted.statistic < 0.025
            assert fitted.p_value > 0.99
