"""Rows of a grid: medians over those that got there, and what became of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from grokscope.analysis.grid import cell_row
from grokscope.analysis.transitions import TransitionRule

RULE = TransitionRule(fit=("train/accuracy", 0.9), generalise=("test/accuracy", 0.9), sustain=1)  # type: ignore[arg-type]
STEPS = np.array([0, 10, 100, 1000])


class Stored:
    """A run that fits and generalises at given steps (None: never)."""

    def __init__(self, fit: int | None, generalise: int | None, status: str = "finished") -> None:
        self.at = {"train/accuracy": fit, "test/accuracy": generalise}
        self.status, self.last_step, self.directory = status, 1000, Path()
        self.spec: dict[str, Any] = {"transition": RULE.model_dump(mode="json")}

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        at = self.at[key]
        return STEPS, np.zeros(4) if at is None else 0.9 * (at <= STEPS)


def test_medians_are_over_the_runs_that_got_there() -> None:
    row = cell_row({"a": 1}, [Stored(10, 100), Stored(10, 1000), Stored(10, None)], theory=lambda run: {"t": 50.0})
    assert row["values"] == {"a": 1}
    assert (row["fit_step"], row["generalise_step"]) == (10, 550)
    assert (row["interval"], row["fit_interval"]) == ([100, 1000], [10, 10])
    assert (row["delay_ratio"], row["delay_steps"]) == (55, 540)
    assert (row["never"], row["never_fitted"], row["failed"], row["diverged"]) == (1, 0, 0, 0)
    assert (row["state"], row["last_step"], row["theory"]) == ("generalised", 1000, {"t": 50.0})


def test_a_state_is_what_most_of_the_runs_came_to() -> None:
    assert cell_row({}, [Stored(10, None), Stored(10, None), Stored(10, 100)])["state"] == "never generalised"
    assert cell_row({}, [Stored(None, None), Stored(None, None), Stored(10, 100)])["state"] == "never fitted"
    assert cell_row({}, [Stored(None, 100)])["state"] == "generalised"
    assert cell_row({}, [], failed=2)["state"] == "failed"
    diverged = cell_row({}, [Stored(10, None, "diverged"), Stored(10, None, "diverged"), Stored(10, 100)])
    assert (diverged["state"], diverged["diverged"]) == ("failed", 2)


def test_a_rule_given_stands_before_the_runs_own() -> None:
    early = TransitionRule(fit=("train/accuracy", 0.0), generalise=("test/accuracy", 0.9), sustain=1)  # type: ignore[arg-type]
    assert cell_row({}, [Stored(10, 100)], rule=early)["fit_step"] == 0
    unruled = Stored(10, 100)
    unruled.spec = {"transition": None}
    assert cell_row({}, [unruled])["state"] == "failed"
    assert cell_row({}, [unruled], theory=lambda run: {"t": None})["theory"] == {"t": None}
