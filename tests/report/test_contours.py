"""Contours: where they are known exactly, where there are holes, and in which order their points come."""

from __future__ import annotations

import numpy as np
import pytest

from grokscope.report.contours import contour, levels


def test_a_plane_has_straight_contours() -> None:
    x, y = [0.0, 1.0, 3.0], [0.0, 2.0]
    values = np.add.outer(np.array(y), 2 * np.array(x))  # y + 2x
    (line,) = contour(x, y, values, 2.0)
    # between cells the line is where y + 2x = 2, whatever the spacing
    assert np.array(sorted(line)) == pytest.approx(np.array([[0.0, 2.0], [1.0, 0.0]]))
    assert contour(x, y, values, 100.0) == []


def test_a_closed_contour_ends_where_it_begins() -> None:
    x = np.linspace(-2, 2, 21).tolist()
    values = np.add.outer(np.square(x), np.square(x))
    (line,) = contour(x, x, values, 1.0)
    assert line[0] == line[-1]
    assert len(line) > 20
    assert np.hypot(*np.array(line).T) == pytest.approx(1.0, abs=0.01)
    steps = np.diff(np.array(line), axis=0)
    assert np.hypot(*steps.T).max() < 0.3  # neighbours in the line are neighbours in the plane


def test_holes_are_not_crossed_and_saddles_are_told_by_their_middle() -> None:
    values = np.array([[0.0, 1.0, 0.0], [0.0, np.nan, 0.0], [0.0, 1.0, 0.0]])
    assert contour([0, 1, 2], [0, 1, 2], values, 0.5) == []
    high = contour([0, 1], [0, 1], np.array([[1.0, 0.0], [0.0, 1.0]]), 0.4)
    low = contour([0, 1], [0, 1], np.array([[1.0, 0.0], [0.0, 1.0]]), 0.6)
    # below the middle's 0.5 the two corners of 1 belong together: the lines cut off the corners of 0
    assert all(abs((line[0][0] - line[0][1]) + (line[1][0] - line[1][1])) == pytest.approx(1.2) for line in high)
    assert all(sum(line[0]) in (pytest.approx(0.4), pytest.approx(1.6)) for line in low)
    assert len(high) == len(low) == 2


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([30, 4000], [100, 1000]),
        ([30, 400], [50, 100, 200]),
        ([100, 150], [120]),
        ([1, 1e9], [10, 1e3, 1e5, 1e7]),
        ([5, 5], []),
        ([], []),
        ([np.nan, 0, -1], []),
    ],
)
def test_levels_are_round_and_few(values: list[float], expected: list[float]) -> None:
    assert levels(np.array(values)) == expected
