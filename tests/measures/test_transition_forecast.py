"""The forecast of the onset on networks whose kernel is known by hand, and where it has nothing to say."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from driving import Training
from grokscope.measures.base import DoesNotApply, evaluate
from grokscope.snapshot import Descent, Snapshot
from grokscope.spec import override, resolve

TREE: dict[str, Any] = {
    "task": {"name": "sparse-classification", "dimension": 300, "examples": 24, "test_examples": 10},
    "model": {"name": "diagonal-network", "initial_norm": 64.0},
    "learner": {"name": "diagonal-flow", "time_per_step": 1.0, "weight_decay": 0.01},
    "numerics": {"dtype": "float64"},
}


def training(**changes: Any) -> Training:
    tree = override(TREE, {key.replace("__", "."): value for key, value in changes.items()})
    return Training([resolve(tree, seed=100)])


def values(training: Training) -> dict[str, float]:
    snapshot = training.learner.snapshot(training.state)
    return {key.removeprefix("transition_forecast/"): v for key, _, v in evaluate("transition_forecast", snapshot).rows}


def test_at_the_start_and_in_the_kernel_regime() -> None:
    started = training()
    found = values(started)
    assert found["norm_ratio"] == 1
    assert found["displacement"] == 0
    assert found["onset_time"] > 0
    later = values(started.advance(20))
    assert later["norm_ratio"] == pytest.approx(1, abs=1e-3)
    # the norm grows by twice the squared displacement (degree 2)
    assert later["displacement"] == pytest.approx(math.sqrt((later["norm_ratio"] ** 2 - 1) / 2), rel=1e-3)
    assert later["onset_time"] == found["onset_time"]
    assert later["onset_scaled"] == pytest.approx(0.01 * later["onset_time"])


def test_the_forecast_is_met() -> None:
    started = training()
    forecast = values(started.advance(50))["onset_time"]
    measured = next(t for t in range(51, 2000) if values(started.advance(1))["norm_ratio"] > 1.05)
    assert measured == pytest.approx(forecast, rel=0.1)


def test_margin_of_the_tangent_features_by_hand() -> None:
    """One example (±1, ±1) and a diagonal network of u = v = 3: γ = 2√2 ‖x‖ a = 12."""
    one = training(task__examples=1, task__dimension=2, task__relevant=1, model__initial_norm=6.0)
    assert values(one)["kernel_margin"] == pytest.approx(12, rel=1e-9)


def test_values_by_hand() -> None:
    """f = x·(u∘u − v∘v) from u = v = 1 on one example x = (1, 2), y = 3: ‖h‖ = |y| / ‖(2x, −2x)‖."""
    model = Difference()
    data = (torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0]]))
    start = Snapshot.of(model, train=data)
    source = replace(start._source, descent=Descent(0.1, weight_decay=0.1))
    snapshot = Snapshot(source, step=0, parameters=dict(start.parameters), initial=start, clocks={"time": 0.0})
    rows = {key: value for key, _, value in evaluate("transition_forecast", snapshot).rows}
    assert rows["transition_forecast/least_change"] == pytest.approx(3 / math.sqrt(40))


class Difference(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.u, self.v = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return (inputs @ (self.u.square() - self.v.square()))[:, None]


def test_where_it_has_nothing_to_say() -> None:
    model = torch.nn.Linear(2, 2)
    data = (torch.zeros(1, 2), torch.zeros(1).long())
    with pytest.raises(DoesNotApply, match="coupled weight decay"):
        evaluate("transition_forecast", Snapshot.of(model, initial=Snapshot.of(model), train=data))
    without = values(training(learner__weight_decay=0.0).advance(5))
    assert set(without) == {"norm_ratio", "displacement"}
    few = training().advance(5)
    snapshot = few.learner.snapshot(few.state)
    keys = {key for key, _, _ in evaluate("transition_forecast:examples=10", snapshot).rows}
    assert keys == {"transition_forecast:examples=10/norm_ratio", "transition_forecast:examples=10/displacement"}
