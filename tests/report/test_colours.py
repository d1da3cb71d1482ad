from __future__ import annotations

import numpy as np
import pytest

from grokscope.report.colours import CYCLIC, colour_axis, log_ticks, logarithm, short


def test_the_cyclic_scale_closes():
    assert CYCLIC[0][1] == CYCLIC[-1][1]
    assert [place for place, _ in CYCLIC] == pytest.approx(np.linspace(0, 1, len(CYCLIC)).tolist())


def test_logarithms_keep_six_decades_and_leave_zero_blank():
    shown, low, high = logarithm(np.array([[1e3, 1e-9], [0.0, np.nan]]))
    assert shown[0].tolist() == [3, -9]
    assert np.isnan(shown[1]).all()
    assert (low, high) == (-3, 3)
    assert logarithm(np.zeros(3))[1:] == (0.0, 1.0)


@pytest.mark.parametrize(
    ("ends", "texts"),
    [
        ((-2, 2), ["10⁻²", "10⁻¹", "1", "10¹", "10²"]),
        ((0.1, 0.9), ["2", "5"]),
        ((2.2, 2.9), ["2·10²", "5·10²"]),
        ((-9, 9), ["10⁻⁹", "10⁻⁶", "10⁻³", "1", "10³", "10⁶", "10⁹"]),
    ],
)
def test_ticks_of_a_logarithmic_bar_are_named_by_value(ends, texts):
    ticks = log_ticks(*ends)
    assert ticks["ticktext"] == texts
    assert all(ends[0] <= value <= ends[1] for value in ticks["tickvals"])


def test_a_colour_axis_without_extent_has_one():
    axis = colour_axis("norm (units)", 2.0, 2.0)
    assert (axis["cmin"], axis["cmax"]) == (2.0, 3.0)
    assert axis["colorbar"]["title"]["text"] == "norm (units)"


def test_short_numbers_are_relative_to_the_largest():
    assert short(np.array([1234.5678, 0.04, np.inf])) == [1234.6, 0.0, None]
    assert short(np.array([2 / 3, -1 / 3])) == [0.66667, -0.33333]
    assert short(np.zeros(2)) == [0.0, 0.0]
