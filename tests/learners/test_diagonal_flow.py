"""The reduced flow of diagonal networks against gradient descent, against itself, and against the published sizes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from driving import Training
from grokscope.errors import CheckpointError, UsageError
from grokscope.learners.base import StateDict
from grokscope.snapshot import Descent
from grokscope.spec import Spec, override, resolve

TREE: dict[str, Any] = {
    "task": {"name": "sparse-classification", "dimension": 200, "examples": 40, "test_examples": 500},
    "model": {"name": "diagonal-network", "initial_norm": 32.0},
    "learner": {"name": "diagonal-flow", "time_per_step": 0.01, "weight_decay": 0.01},
    "numerics": {"dtype": "float64"},
}


def spec(seed: int = 100, **changes: Any) -> Spec:
    return resolve(override(TREE, {key.replace("__", "."): value for key, value in changes.items()}), seed=seed)


def descending(rate: float, **changes: Any) -> Spec:
    """Return plain gradient descent on the same task and network."""
    tree = {**TREE, "learner": {"name": "gradient"}}
    tree["optimizer"] = {"name": "sgd", "learning_rate": rate, "weight_decay": 0.01}
    return resolve(override(tree, {key.replace("__", "."): value for key, value in changes.items()}), seed=100)


def weights(training: Training) -> torch.Tensor:
    parameters = training.parameters()
    return torch.cat([parameters["u"], parameters["v"]])


def test_gradient_descent_converges_to_the_flow_as_its_rate_falls() -> None:
    flow = weights(Training([spec(learner__tolerance=1e-8)]).advance(100))  # t = 1
    errors = [
        float((weights(Training([descending(rate)]).advance(round(1 / rate))) - flow).abs().max())
        for rate in (0.01, 0.005, 0.0025)
    ]
    # of first order: half the rate, half the error
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.1)
    assert errors[2] == pytest.approx(errors[1] / 2, rel=0.1)
    assert errors[2] < 1e-3 * float(flow.abs().max())


def test_pulls_are_the_gradients_of_both_losses() -> None:
    flow = Training([spec(learner__weight_decay=0.0)])
    member = flow.state.members[0]
    values = torch.linspace(-1, 1, len(member.targets), dtype=torch.float64)
    squared = type(member)(member.inputs, values, False, member.start, 0.0, 1e-8)
    duals = torch.full((1, len(values)), 1e-3, dtype=torch.float64, requires_grad=True)
    scores = squared.scores(torch.zeros(1, dtype=torch.float64), duals)
    leaf = scores.detach().requires_grad_()
    squared.losses(leaf).sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(squared.pulls(leaf.detach()), -leaf.grad)
    logistic = type(member)(member.inputs, member.targets, True, member.start, 0.0, 1e-8)
    leaf = scores.detach().requires_grad_()
    logistic.losses(leaf).sum().backward()
    torch.testing.assert_close(logistic.pulls(leaf.detach()), -leaf.grad)


def test_half_the_tolerance_moves_the_transition_by_less_than_is_stated() -> None:
    """The onset of the norm over pure decay, at two tolerances: within one part in a thousand."""

    def ratios(tolerance: float) -> list[float]:
        training = Training([spec(learner__tolerance=tolerance, learner__time_per_step=1.0)])
        return [float(weights(training.advance(1)).norm()) / (32 * math.exp(-0.01 * (t + 1))) for t in range(300)]

    coarse, fine = ratios(1e-6), ratios(5e-7)
    onset = next(index for index, ratio in enumerate(coarse) if ratio > 1.05)
    assert fine[onset - 1] < 1.05 < fine[onset] * (1 + 1e-6)
    assert fine[onset] == pytest.approx(coarse[onset], rel=1e-4)


def test_every_partition_and_every_restart_gives_the_same_bits() -> None:
    straight = Training([spec(), spec(seed=101)]).advance(5000)
    parts = Training([spec(), spec(seed=101)]).advance(1, 7, 300)
    parts.restore(parts.stored())
    parts.advance(692, 4000)
    for member in (0, 1):
        for name, tensor in straight.parameters(member).items():
            assert torch.equal(parts.parameters(member)[name], tensor)
    assert straight.stored() == parts.stored()
    alone = Training([spec(seed=101)]).advance(5000)
    assert torch.equal(alone.parameters()["u"], straight.parameters(1)["u"])


def test_snapshot_is_the_network_it_is_the_flow_of() -> None:
    training = Training([spec()]).advance(200)
    snapshot = training.learner.snapshot(training.state)
    outputs = snapshot.logits("train")
    scores = outputs[:, 1] - outputs[:, 0]
    logged = training.learner.scalars(training.state)["step/loss", None]
    targets = snapshot.probes["train"].targets
    assert targets is not None
    signs = 2.0 * targets - 1
    assert logged == pytest.approx(float(torch.nn.functional.softplus(-signs * scores).mean()), rel=1e-9)
    assert snapshot.clocks == {"time": 2.0}
    assert snapshot.descent == Descent(0.01, 0.01, is_flow=True)
    assert snapshot.initial is not None
    assert float(snapshot.initial.logits("train").abs().max()) == 0
    norm = torch.cat(list(snapshot.initial.parameters.values())).norm()
    assert float(norm) == pytest.approx(32)


def test_published_small_size() -> None:
    """At d = 2000, n = 96 the norm at t = 1000 is 47.11 for every draw: the kernel regime (our sheet, 5.1)."""
    small = spec(task__dimension=2000, task__examples=96, model__initial_norm=128.0, learner__weight_decay=1e-3)
    training = Training([small]).advance(100_000)
    assert float(weights(training).norm()) == pytest.approx(47.11, abs=0.01)
    training.advance(700_000)
    assert float(weights(training).norm()) == pytest.approx(4.3, abs=0.15)


def test_wrong_use_is_told() -> None:
    with pytest.raises(UsageError, match="follows a diagonal network"):
        Training([spec(model__name="mlp")])
    optimizer = {"optimizer": {"name": "sgd"}}
    with pytest.raises(UsageError, match="has no optimizer"):
        Training([resolve({**TREE, **optimizer}, seed=0)])
    with pytest.raises(UsageError, match="weight_decay"):
        spec(learner__weight_decay=-1.0)
    with pytest.raises(UsageError, match="initial_norm"):
        spec(model__initial_norm=0.0)
    with pytest.raises(UsageError, match="less than or equal to 1"):
        spec(model__initial_norm=1e300)
    with pytest.raises(UsageError, match="give an odd number"):
        spec(task__relevant=2)
    training = Training([spec()])
    with pytest.raises(CheckpointError, match="is absent"):
        training.learner.restore(training.specs, training.tasks, StateDict({}, {"step": 3}))
