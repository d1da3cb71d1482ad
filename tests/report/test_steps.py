from __future__ import annotations

import math

import numpy as np
import pytest

from grokscope.errors import UsageError
from grokscope.report.steps import StepAxis


def test_step_zero_is_drawn_at_half_of_the_first_positive_step_of_any_curve():
    axis = StepAxis.of([np.array([0, 100, 1000]), np.array([10, 5000])], log=True)
    assert axis.place(np.array([0, 10, 5000])).tolist() == [5.0, 10.0, 5000.0]
    layout = axis.layout("optimizer step")
    assert layout["tickvals"][0] == 5.0
    assert layout["ticktext"][0] == "0"
    assert "step 0" in layout["title"]["text"]
    low, high = layout["range"]
    assert low < math.log10(5.0)
    assert high > math.log10(5000)


def test_an_axis_without_step_zero_says_nothing_of_it():
    layout = StepAxis.of([np.array([1, 100_000])], log=True).layout("optimizer step")
    assert "0" not in layout["ticktext"]
    assert layout["title"]["text"] == "optimizer step"
    assert layout["ticktext"] == ["1", "10", "100", "1,000", "10,000", "100,000"]


def test_few_decades_are_ticked_more_finely_and_every_tick_lies_inside():
    layout = StepAxis.of([np.array([30, 300])], log=True).layout("optimizer step")
    assert layout["ticktext"] == ["50", "100", "200"]


@pytest.mark.parametrize("decades", [1, 4, 9, 14])
def test_the_number_of_ticks_stays_readable(decades):
    layout = StepAxis.of([np.array([0, 1, 10**decades])], log=True).layout("optimizer step")
    assert 3 <= len(layout["tickvals"]) <= 12
    assert len(layout["tickvals"]) == len(layout["ticktext"])


def test_a_linear_axis_has_a_true_zero():
    axis = StepAxis.of([np.array([0, 10])], log=False)
    assert axis.place(np.array([0, 10])).tolist() == [0.0, 10.0]
    assert "type" not in axis.layout("optimizer step")
    assert axis.note() is None


@pytest.mark.parametrize("steps", [[], [0], [7]])
def test_no_point_and_one_point_have_an_axis(steps):
    low, high = StepAxis.of([np.array(steps)], log=True).bounds()
    assert 0 < low < high


@pytest.mark.parametrize("steps", [[-1, 2], [0, np.nan]])
def test_steps_that_are_none_are_refused(steps):
    with pytest.raises(UsageError, match="steps must be finite"):
        StepAxis.of([np.array(steps)], log=True)
