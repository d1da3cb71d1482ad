"""Grids of runs of several experiments: cells by what their specs say, and one figure for each pair of keys."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grokscope.errors import UsageError
from grokscope.recipes.grids import grid_rows, onset_step, phase_figures, value_of

RULE = {"fit": {"key": "train", "level": 0.5}, "generalise": {"key": "test", "level": 0.5}, "sustain": 1}


class Run:
    """A run that generalises at 10 times its learning rate's inverse."""

    def __init__(self, rate: float, decay: float, seed: int) -> None:
        self.directory, self.status, self.last_step = Path(f"{rate}-{decay}-{seed}"), "finished", 10_000
        optimizer = {"learning_rate": rate, "weight_decay": decay}
        self.spec: dict[str, Any] = {"optimizer": optimizer, "seed": {"base": seed}, "transition": RULE}

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        at = 1 if key == "train" else round(10 / self.spec["optimizer"]["learning_rate"])
        return np.array([0, at]), np.array([0.0, 0.5])


KEYS = ["optimizer.learning_rate", "optimizer.weight_decay"]
RUNS = {
    f"decay-{decay}": [Run(rate, decay, seed) for rate in (0.1, 0.01) for seed in (0, 1)] for decay in (1.0, 2.0, 4.0)
}


def test_rows_are_cells_whatever_experiment_they_are_of() -> None:
    rows = grid_rows(RUNS, KEYS, theory=lambda run: {"10/η": 10 / run.spec["optimizer"]["learning_rate"]})
    assert len(rows) == 6
    assert rows[0]["values"] == {"optimizer.learning_rate": 0.1, "optimizer.weight_decay": 1.0}
    assert (rows[0]["seeds"], rows[0]["runs"]) == ([0, 1], ["0.1-1.0-0", "0.1-1.0-1"])
    assert [row["generalise_step"] for row in rows] == [100, 1000] * 3
    assert [row["theory"]["10/η"] for row in rows] == [100, 1000] * 3
    pooled = grid_rows([run for some in RUNS.values() for run in some], KEYS[:1])
    assert [len(row["seeds"]) for row in pooled] == [6, 6]
    with pytest.raises(UsageError, match=r"0\.1-1\.0-0 has no optimizer\.momentum in its spec"):
        grid_rows(RUNS, ["optimizer.momentum"])
    assert value_of(RUNS["decay-1.0"][0], "seed") == {"base": 0}


def test_there_is_one_figure_for_each_value_of_further_keys() -> None:
    rows = grid_rows(RUNS, KEYS)
    ((name, title, caption, figure),) = phase_figures(rows, KEYS)
    assert (name, title) == ("phase-diagram", "Phase diagram")
    assert "Black lines" in caption
    assert figure["layout"]["xaxis"]["title"]["text"].startswith(KEYS[0])
    more = [{"model.width": width, "task.modulus": 7} for width in (1, 2)]
    three = [{**row, "values": {**row["values"], **one}} for row in rows for one in more]
    figures = phase_figures(three, ["model.width", *KEYS, "task.modulus"], labels={"model.width": "width"})
    assert [name for name, *_ in figures] == ["phase-diagram-1", "phase-diagram-2"]
    # of keys with as many values the first is drawn
    assert [title for _, title, *_ in figures] == [
        "Phase diagram: optimizer.learning_rate = 0.1, task.modulus = 7",
        "Phase diagram: optimizer.learning_rate = 0.01, task.modulus = 7",
    ]
    one = [row for row in rows if row["values"][KEYS[1]] == 1.0]
    ((_, title, caption, figure),) = phase_figures(one, KEYS)
    assert title == "Phase diagram: optimizer.weight_decay = 1"
    assert "Medians over seeds" in caption
    assert figure["layout"]["xaxis"]["title"]["text"].startswith(KEYS[0])


class Timed(Run):
    """A run with a clock of 0.5 a step and a forecast."""

    def __init__(self, onset: float | None, axis: str = "step") -> None:
        super().__init__(0.1, 1.0, 0)
        self.onset = onset
        self.spec["transition"] = {**RULE, "axis": axis}

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        steps = np.array([0, 100, 1000])
        if key == "clock/time":
            return steps, 0.5 * steps
        if key == "transition_forecast/onset_time" and self.onset is not None:
            return steps, np.array([self.onset, self.onset, np.nan])
        raise UsageError(f"no {key}")


@pytest.mark.parametrize(
    ("onset", "axis", "expected"),
    [(50, "step", 100), (275, "step", 550), (1000, "step", 2000), (50, "clock/time", 50), (None, "step", None)],
)
def test_a_stored_forecast_is_a_step(onset: float | None, axis: str, expected: float | None) -> None:
    assert onset_step(Timed(onset, axis)) == {"kernel regime ends (theory)": expected}
