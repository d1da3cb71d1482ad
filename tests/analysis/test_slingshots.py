from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curves import GRIDS, RULE, over, reader, sigmoid
from grokscope.analysis.definitions import Definitions
from grokscope.analysis.phases import boundaries, segment
from grokscope.analysis.slingshots import slingshots, until, without
from grokscope.papers.nanda2023.reference import reference_series

STEPS = np.arange(0, 10_001, 100)
QUIET = np.where(STEPS < 500, 4.0, 1e-5)


@given(st.integers(600, 5000), st.integers(1, 10), st.floats(2e-3, 10))
def test_a_slingshot_is_where_the_loss_was_above(start, length, height):
    above = (start <= STEPS) & (start + 100 * length > STEPS)
    found = slingshots(over(STEPS, train__loss=np.where(above, height, QUIET)), fit_step=500)
    first = STEPS[above][0]
    # one that lasts more than as long as all before it is another course of the run
    assert found == ([(first, STEPS[above][-1] + 100)] if STEPS[above][-1] + 100 <= 2 * first else [])


def test_factor_floor_and_length_are_the_definitions():
    loss = QUIET.copy()
    loss[30] = 9e-4
    curve = over(STEPS, train__loss=loss)
    assert slingshots(curve, 500) == []
    assert slingshots(curve, 500, Definitions(slingshot_factor=50)) == [(3000, 3100)]
    tiny = over(STEPS, train__loss=loss * 1e-6)
    assert slingshots(tiny, 500, Definitions(slingshot_factor=50)) == []
    assert slingshots(tiny, 500, Definitions(slingshot_factor=50, slingshot_floor=1e-12)) == [(3000, 3100)]
    long = over(STEPS, train__loss=np.where((STEPS >= 1000) & (STEPS < 2500), 1.0, QUIET))
    assert slingshots(long, 500) == []
    assert slingshots(long, 500, Definitions(slingshot_ratio=3)) == [(1000, 2500)]


def test_one_that_does_not_come_back_is_none():
    assert slingshots(over(STEPS, train__loss=np.where(STEPS > 9000, 1.0, QUIET)), 500) == []


def test_before_the_fit_there_are_none_and_without_a_fit_neither():
    loss = np.where(STEPS == 300, 500.0, np.where(STEPS < 500, 1e-2, 1e-5))
    assert slingshots(over(STEPS, train__loss=loss), 500) == []
    assert slingshots(over(STEPS, train__loss=loss)) == []
    assert slingshots(over(STEPS, train__accuracy=STEPS / 1e5, train__loss=loss)) == []
    assert slingshots(over(STEPS, train__accuracy=STEPS >= 200, train__loss=loss)) == [(300, 400)]
    assert slingshots(over(STEPS, test__loss=loss), 500) == []


def test_observations_in_a_slingshot_are_left_out_and_those_at_its_end_stay():
    read = without(reader({"k": (STEPS, STEPS * 1.0)}), [(1000, 1200), (9000, 9100)])
    assert sorted(set(STEPS) - set(read("k")[0].tolist())) == [1000, 1100, 9000]
    curve = reader({"k": (STEPS, STEPS)})
    assert without(curve, []) is curve
    assert until(curve, None) is curve
    assert until(curve, 300)("k")[1].tolist() == [0, 100, 200, 300]


def test_the_reference_run_has_none():
    assert boundaries(reference_series(), RULE).slingshots == ()


def test_no_phase_begins_or_ends_in_a_slingshot():
    steps = np.arange(0, 39_001, 100)
    calm = reference_series(steps)
    flung = ((steps >= 5000) & (steps < 5300)) | ((steps >= 25_000) & (steps < 25_400))
    spikes = {"train/loss": 1.0, "test/loss": 1e-3, "fourier/excluded_loss": 1e-4, "weights/sum_of_squares": 5000.0}

    def read(key):
        at, values = calm(key)
        return at, np.where(flung, spikes.get(key, values), values)

    assert segment(read, RULE, 39_000) == segment(calm, RULE, 39_000)
    assert boundaries(read, RULE).slingshots == ((5000, 5300), (25_000, 25_400))


@pytest.mark.parametrize("cadence", sorted(GRIDS))
def test_a_slingshot_is_no_collapse(cadence):
    steps = GRIDS[cadence]
    flung = (steps > 9000) & (steps <= 12_000)
    curve = over(
        steps,
        train__accuracy=steps >= 100,
        train__loss=np.where(steps < 100, 4.0, np.where(flung, 1.0, 1e-6)),
        test__accuracy=np.where(flung, 0.2, sigmoid(steps, 2000, 0.2)),
    )
    found = boundaries(curve, RULE)
    assert (found.collapse_step, len(found.slingshots)) == (None, 1)
