"""Curves over a clock instead of the step, stored levels and forecast moments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from grokscope.recipes.curves import curve_of, level, phase_bands, stored_level, stored_moment
from grokscope.report.figures import Vertical, lines


@dataclass
class Run:
    scalars: dict[str, tuple[list[int], list[float]]]
    spec: dict[str, Any] = field(default_factory=dict)
    last_step: int = 20

    def has(self, key: str, module: str | None = None) -> bool:
        return key in self.scalars

    def series(self, key: str, module: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        steps, values = self.scalars[key]
        return np.array(steps), np.array(values)


SLOW = Run({"loss": ([0, 10, 20], [4.0, 2.0, 0.0]), "clock/time": ([0, 10, 20], [0.0, 1.0, 4.0]), "at": ([20], [3.0])})
FAST = Run({"loss": ([0, 10, 20], [8.0, 4.0, 2.0]), "clock/time": ([0, 10, 20], [0.0, 2.0, 8.0]), "at": ([20], [1.0])})
RUNS: Any = [SLOW, FAST]


def test_one_run_over_its_clock() -> None:
    (found,) = curve_of(RUNS[:1], "loss", "loss", clock="clock/time")
    assert found.steps.tolist() == [0, 1, 4]
    assert found.values.tolist() == [4, 2, 0]
    assert curve_of(RUNS, "loss", "loss", clock="clock/none") == []


def test_several_runs_meet_at_equal_times() -> None:
    (found,) = curve_of(RUNS, "loss", "loss", clock="clock/time")
    assert found.steps.tolist() == [0, 1, 2, 4]  # what both reached
    assert found.low is not None
    assert found.low.tolist() == pytest.approx([4, 2, 4 / 3, 0])
    assert found.high is not None
    assert found.high.tolist() == pytest.approx([8, 6, 4, 4 - 2 / 3])


def test_phases_and_levels_over_a_clock() -> None:
    phases = [{"name": "memorisation", "start": 0, "end": 15}]
    (found,) = phase_bands(phases, RUNS, clock="clock/time")
    assert (found.start, found.end) == (0, 2.5)
    assert level(RUNS, 0.5, "chance", clock="clock/time").steps.tolist() == [0, 4]
    (stored,) = stored_level(RUNS, "at", "predicted")
    assert stored.values.tolist() == [2, 2]
    assert stored_level(RUNS, "none", "predicted") == []


def test_a_moment_has_a_line_a_range_and_a_name() -> None:
    (moment,) = stored_moment(RUNS, "at", "predicted onset")
    assert moment == Vertical("predicted onset", 2.0, low=1.0, high=3.0)
    curves = curve_of(RUNS[:1], "loss", "loss")
    figure = lines("Loss", curves, y_title="loss", verticals=[moment, Vertical("beyond the axis", 1e9)])
    assert not figure["layout"]["shapes"]  # both lie outside the steps from 10 (and 0) to 20
    assert [t["name"] for t in figure["data"]] == ["loss"]
    over_time = curve_of(RUNS[:1], "loss", "loss", clock="clock/time")
    figure = lines("Loss", over_time, y_title="loss", x_title="time", verticals=[moment])
    (drawn,) = [s for s in figure["layout"]["shapes"] if s["type"] == "line"]
    assert (drawn["x0"], drawn["x1"]) == (2.0, 2.0)
    assert [t["name"] for t in figure["data"]] == ["loss", "predicted onset"]
