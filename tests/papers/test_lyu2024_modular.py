"""The figures of modular addition that show the early solution."""

from __future__ import annotations

from typing import Any

import numpy as np

from grokscope.papers.lyu2024 import modular
from grokscope.papers.lyu2024 import modular_figures as pictures

STEPS = np.unique(np.geomspace(1, 1e4, 50).astype(int))


class Constants:
    """What a figure reads of a run, all of it constant but the clock."""

    def __init__(self, **values: float) -> None:
        self.spec = {"seed": {"base": 0}, "task": {"modulus": 23}}
        self.steps, self.last_step = STEPS, int(STEPS[-1])
        self.values = {key.replace("__", "/"): np.full(len(STEPS), value) for key, value in values.items()}
        self.values["clock/time"] = STEPS.astype(float)

    def has(self, key: str, module: str | None = None) -> bool:
        return key in self.values

    def series(self, key: str, module: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        return self.steps, self.values[key]


def run(**more: float) -> Any:
    return Constants(**{"train__accuracy": 1.0, "test__accuracy": 0.5, **more})


def test_the_early_solution_is_drawn_where_there_is_one() -> None:
    names = ("early_predictor__cosine", "early_predictor__direction_cosine", "early_predictor__agreement")
    with_early = run(**dict.fromkeys(names, 0.7), early_predictor__accuracy=0.03, transition_forecast__onset_time=2e3)
    figure = pictures.early([with_early, with_early], [])
    assert len([one for one in figure["data"] if one["name"].split(",")[0].startswith(("cosine", "answered"))]) >= 3
    assert any(shape["type"] == "line" for shape in figure["layout"]["shapes"])
    (level,) = (one for one in pictures.accuracy([with_early], [])["data"] if one["name"] == "kernel regime, test")
    assert set(level["y"]) == {0.03}
    assert not [one for one in pictures.accuracy([run()], [])["data"] if one["name"] == "kernel regime, test"]


def test_it_is_measured_where_the_outputs_start_at_zero() -> None:
    for experiment in modular.EXPERIMENTS:
        silent = experiment.spec["model"].get("zero_readout", False)
        assert ("early_predictor" in experiment.record["measures"]) == silent, experiment.name
