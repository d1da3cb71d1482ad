"""What the claim on label noise reads off runs, on runs whose answers are known, and its figures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from grokscope.papers.lyu2024 import label_noise_figures as figures
from grokscope.papers.lyu2024.label_noise import EXPERIMENTS, HALF, INTERPOLATION, NAME, NAMES, RATES, TOGETHER
from grokscope.papers.lyu2024.label_noise_statistics import steps_by_rate, steps_to_half


class Stored:
    """A run whose test loss falls as e^{−η²k/0.1} from twice the level, later by ``slower``."""

    def __init__(self, rate: float, slower: float = 1.0) -> None:
        self.spec = {"learner": {"learning_rate": rate}, "seed": {"base": 100}}
        self.last_step = round(0.5 / rate**2)
        self.steps = np.linspace(0, self.last_step, 2001)
        time = self.steps * rate
        self.values = {
            "clock/time": time,
            "train/loss": 2 * np.exp(-time),
            "test/loss": 2 * HALF * np.exp(-self.steps * rate**2 / slower / 0.1),
            "transition_forecast/norm_ratio": 1 + 0.02 * np.minimum(time / 62, 1) + (time > 62),
            "transition_forecast/onset_time": np.full_like(time, 0.08 / rate),
            "early_predictor/cosine": np.exp(-time),
            "early_predictor/loss": np.full_like(time, INTERPOLATION),
        }

    def has(self, key: str, module: str | None = None) -> bool:
        return key in self.values

    def series(self, key: str, module: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        return self.steps, self.values[key]


def runs(*slower: float) -> Any:
    return {name: Stored(rate, late) for name, rate, late in zip(NAMES, RATES, slower or (1, 1, 1), strict=True)}


def test_interpolation_has_what_the_inputs_do_not_span() -> None:
    """Of a random w* of squared norm κ the part outside n random directions of d is κ (1 − n/d)."""
    drawing = np.random.default_rng(0)
    errors = []
    for _ in range(300):
        inputs, truth = drawing.normal(size=(30, 50)), np.zeros(50)
        truth[:2] = 1
        errors.append(np.square(np.linalg.pinv(inputs) @ (inputs @ truth) - truth).sum())
    assert np.mean(errors) == pytest.approx(INTERPOLATION, rel=0.05)
    assert pytest.approx(0.4) == HALF


def test_steps_that_go_with_the_inverse_square() -> None:
    found = steps_by_rate(runs())
    assert found["largest_deviation"] == pytest.approx(0, abs=1e-3)
    assert found["power"] == pytest.approx(-2, abs=1e-3)
    assert found["at_0.001"] == pytest.approx(0.1 * math.log(2), rel=1e-3)
    assert found["norm_deviation"] == pytest.approx(0.02, abs=1e-4)


def test_steps_that_do_not() -> None:
    """Where the smallest rate takes 1.6 times as long, the mean is 1.2 and the deviation a third."""
    found = steps_by_rate(runs(1.6, 1, 1))
    assert found["largest_deviation"] == pytest.approx(1 / 3, abs=1e-3)
    never = steps_by_rate(runs(1e9, 1, 1))
    assert never["largest_deviation"] == math.inf
    assert never["power"] is None


def test_a_moment_below_the_level_is_not_yet_generalisation() -> None:
    one: Any = Stored(1e-3)
    before = steps_to_half(one)
    one.values["test/loss"][10:12] = 0.0
    assert steps_to_half(one) == before


def test_experiments_are_equal_in_time_and_told_apart_by_their_rates() -> None:
    learners = [one.tree("cpu")["learner"] for one in EXPERIMENTS]
    assert [one["learning_rate"] ** 2 * one["steps"] for one in learners] == pytest.approx([0.5] * 3)
    assert NAMES == ("label-noise-5e-4", "label-noise", "label-noise-2e-3")
    assert sorted(TOGETHER) == sorted(NAMES)
    assert [one.cell_of for one in EXPERIMENTS] == [NAME, None, NAME]


def test_every_figure_is_drawn_of_one_and_of_several_runs() -> None:
    both: Any = [Stored(1e-3), Stored(1e-3, 1.5)]
    for function in (figures.loss, figures.norm, figures.early):
        for some in (both[:1], both):
            assert function(some, [])["data"]
    cells: Any = {name: [Stored(rate), Stored(rate, 2.0)] for name, rate in zip(NAMES, RATES, strict=True)}
    drawn = figures.steps(cells)
    line = next(trace for trace in drawn["data"] if trace["name"] == "∝ η^−2")
    np.testing.assert_allclose(np.array(line["y"], float) * np.square(RATES), line["y"][1] * RATES[1] ** 2)
    names = {trace["name"] for trace in figures.collapse(cells)["data"]}
    assert {f"η = {rate:g} (2 seeds: median, range)" for rate in RATES} <= names
