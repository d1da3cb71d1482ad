"""What a panel of a spectrum shows beside that of its shuffled entries."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from grokscope.execution.spectrum_data import binned
from grokscope.report.esd import spectrum_panel


def drawn(traps: int, **more: Any) -> dict[str, Any]:
    spectrum = binned(np.array([1.0, 2.0, 4.0, 8.0]), law=(2.0, 2.0), bulk=(0.5, 1.0))
    panel = spectrum_panel("FC1", spectrum, [1.0, 3.0, 9.0, 2.0], traps, **more)
    return {"panel": panel, **{trace["name"]: trace for trace in panel.traces}}


def test_the_largest_shuffled_eigenvalues_are_marked_as_traps() -> None:
    found = drawn(2)
    assert (found["traps"]["x"], found["traps"]["y"]) == ([9.0, 3.0], [0.25, 0.5])
    assert found["entries shuffled"]["x"] == [9.0, 3.0, 2.0, 1.0]
    assert found["eigenvalues"]["y"] == [1.0, 0.75, 0.5, 0.25]
    assert found["panel"].title == "FC1, α = 2"


def test_without_traps_the_legend_still_says_what_they_would_look_like() -> None:
    found = drawn(0)
    assert found["traps"]["x"] == [None]
    assert found["traps"]["showlegend"]


def test_only_the_first_panel_has_a_legend() -> None:
    assert not any(trace["showlegend"] for trace in drawn(1, first=False)["panel"].traces)


def test_the_axis_reaches_over_both_spectra_and_not_below_four_decades() -> None:
    low, high = drawn(1)["panel"].x["range"]
    assert low == 0
    assert drawn(1)["panel"].y["range"][1] > 0  # the shares of all eigenvalues, up to 1, are inside
    assert math.log10(9) < high < 1.2
    spectrum = binned(np.array([1e-5, 2.0, 4.0, 8.0]), law=(2.0, 2.0), bulk=(0.5, math.nan))
    panel = spectrum_panel("FC1", spectrum, [1.0, 3.0, 9.0, 2.0], 0)
    assert panel.x["range"][0] == math.log10(9) - 4
    assert "Marchenko–Pastur bulk" not in {trace["name"] for trace in panel.traces}
