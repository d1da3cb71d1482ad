"""How near networks are to their early solution: by hand, in the kernel regime and after it, and what is left out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from driving import Training
from grokscope.measures.base import DoesNotApply, evaluate
from grokscope.snapshot import Snapshot
from grokscope.spec import override, resolve

SIGNS: dict[str, Any] = {
    "task": {"name": "sparse-classification", "dimension": 300, "examples": 24, "test_examples": 50},
    "model": {"name": "diagonal-network", "initial_norm": 64.0},
    "learner": {"name": "diagonal-flow", "time_per_step": 1.0, "weight_decay": 0.01},
    "numerics": {"dtype": "float64"},
}
SUMS: dict[str, Any] = {
    "task": {"name": "modular-addition", "modulus": 5, "train_fraction": 0.6, "equals_sign": False},
    "model": {"name": "two-layer-perceptron", "hidden_width": 64, "zero_readout": True, "initial_scale": 30.0},
    "learner": {"name": "gradient"},
    "optimizer": {"name": "sgd", "learning_rate": 1e-3},
    "numerics": {"dtype": "float64"},
}


def training(tree: dict[str, Any], **changes: Any) -> Training:
    return Training([resolve(override(tree, {k.replace("__", "."): v for k, v in changes.items()}), seed=100)])


def values(snapshot: Snapshot | Training, name: str = "early_predictor") -> dict[str, float]:
    if isinstance(snapshot, Training):
        snapshot = snapshot.learner.snapshot(snapshot.state)
    return {key.removeprefix(f"{name}/"): value for key, _, value in evaluate(name, snapshot).rows}


class Difference(nn.Module):
    """f(x) = x·(u∘u − v∘v), from u = v = 1."""

    def __init__(self) -> None:
        super().__init__()
        self.u, self.v = nn.Parameter(torch.ones(2).double()), nn.Parameter(torch.ones(2).double())

    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs @ (self.u.square() - self.v.square()))[:, None]


def moved(u: list[float], v: list[float]) -> Snapshot:
    """Return a moment of the difference network, trained on f(1, 2) = 3 and tested at (1, 0) and (0, 1)."""
    train = (torch.tensor([[1.0, 2.0]]).double(), torch.tensor([[3.0]]).double())
    test = (torch.eye(2).double(), torch.tensor([[1.0], [1.0]]).double())
    now = Difference()
    now.u.data, now.v.data = (torch.tensor(some, dtype=torch.float64) for some in (u, v))
    return Snapshot.of(now, train=train, test=test, initial=Snapshot.of(Difference(), train=train, test=test))


def test_values_by_hand() -> None:
    """h* = 3 (2x, −2x)/40, so that the early function is 0.6 x_1 + 1.2 x_2."""
    start = values(moved([1, 1], [1, 1]))
    assert start == pytest.approx({"norm": 3 / 40**0.5, "misfit": 0, "loss": (0.4**2 + 0.2**2) / 2, "distance": 1})
    # u, v = 1 ± h*: u² − v² = 4h* is the early function itself
    there = values(moved([1.15, 1.3], [0.85, 0.7]))
    assert there == pytest.approx({**start, "distance": 0, "cosine": 1, "direction_cosine": 1})
    # half way, and shrunk as by decay: off θ_0 it still points the same way
    half = values(moved([1.075, 1.15], [0.925, 0.85]))
    assert (half["distance"], half["cosine"]) == pytest.approx((0.5, 1))
    decayed = values(moved([0.575, 0.65], [0.425, 0.35]))
    assert decayed["direction_cosine"] == pytest.approx(1)
    # f = 1.44 x_1: its cosine with (0.6, 1.2)
    other = values(moved([1.3, 1], [0.5, 1]))
    assert other["cosine"] == pytest.approx(1 / 5**0.5)


def test_kernel_regime_and_after_it_of_a_diagonal_network() -> None:
    run = training(SIGNS)
    start = values(run)
    assert "cosine" not in start  # f = 0 has no direction
    assert "direction_cosine" not in start
    early = values(run.advance(100))
    assert early["cosine"] > 0.999
    assert early["direction_cosine"] > 0.995
    assert early["agreement"] > 0.95
    late = values(run.advance(900))
    assert late["cosine"] < 0.8
    for key in ("accuracy", "margin", "gap"):
        assert start[key] == early[key] == late[key]


def test_a_perceptron_with_silent_readout_comes_to_it() -> None:
    """In the kernel regime only W_2 moves, by the gradient flow of a linear classifier on its features."""
    run = training(SUMS)
    cosines = [values(run.advance(steps))["cosine"] for steps in (1, 10, 300)]
    assert cosines == sorted(cosines)
    assert cosines[-1] > 0.98


def test_float32_says_the_same() -> None:
    found = [values(training(SUMS, numerics__dtype=dtype).advance(50)) for dtype in ("float32", "float64")]
    assert found[0] == pytest.approx(found[1], rel=1e-4, abs=1e-5)


def test_fewer_test_examples_are_the_same_ones_at_every_step() -> None:
    name = "early_predictor:test_examples=7"
    run = training(SIGNS)
    first, second = values(run.advance(50), name), values(run.advance(50), name)
    assert first["accuracy"] == second["accuracy"]
    assert 7 * first["accuracy"] == pytest.approx(round(7 * first["accuracy"]))
    assert first["cosine"] > 0.99


def test_without_labels_of_test_data_there_is_no_accuracy() -> None:
    net = nn.Linear(2, 2).double()
    train = (torch.eye(2).double(), torch.tensor([0, 1]))
    start = Snapshot.of(net, train=train, test=torch.eye(2).double())
    found = values(Snapshot.of(net, train=train, test=torch.eye(2).double(), initial=start))
    assert "accuracy" not in found
    assert {"agreement", "cosine", "margin"} <= set(found)


def test_where_it_has_nothing_to_say() -> None:
    with pytest.raises(DoesNotApply, match="early_predictor solves for all 24 training examples; it is asked for"):
        values(training(SIGNS), "early_predictor:examples=10")
    net = nn.Linear(2, 2)
    data = (torch.eye(2), torch.tensor([0, 1]))
    with pytest.raises(DoesNotApply, match="early_predictor compares with the start of the training"):
        values(Snapshot.of(net, train=data, test=data))
    with pytest.raises(DoesNotApply, match="early_predictor needs test data"):
        values(Snapshot.of(net, train=data, initial=Snapshot.of(net, train=data)))
    same = (torch.ones(2, 2), torch.tensor([0, 1]))
    with pytest.raises(DoesNotApply, match="early_predictor has no early solution to compare with: no classifier"):
        values(Snapshot.of(net, train=same, test=data, initial=Snapshot.of(net, train=same, test=data)))
