"""The flow of factorisations against gradient descent, against itself, and against the published sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from driving import Training
from grokscope.errors import CheckpointError, UsageError
from grokscope.learners.base import StateDict
from grokscope.models.factorisation import completed_matrix
from grokscope.spec import Spec, override, resolve

TREE: dict[str, Any] = {
    "task": {"name": "matrix-completion", "size": 8, "observed": 0.4},
    "model": {"name": "symmetric-factorisation", "initial_scale": 3.0},
    "learner": {"name": "completion-flow", "time_per_step": 0.1, "weight_decay": 0.01},
    "numerics": {"dtype": "float64"},
}


def spec(seed: int = 100, **changes: Any) -> Spec:
    return resolve(override(TREE, {key.replace("__", "."): value for key, value in changes.items()}), seed=seed)


def descending(rate: float, **changes: Any) -> Spec:
    tree = {**TREE, "learner": {"name": "gradient"}}
    tree["optimizer"] = {"name": "sgd", "learning_rate": rate, "weight_decay": 0.01}
    return resolve(override(tree, {key.replace("__", "."): value for key, value in changes.items()}), seed=100)


def factors(training: Training) -> torch.Tensor:
    return torch.stack(list(training.parameters().values()))


@pytest.mark.parametrize("perturbation", [0.0, 0.1])
def test_gradient_descent_converges_to_the_flow_as_its_rate_falls(perturbation: float) -> None:
    flow = factors(Training([spec(learner__tolerance=1e-8, model__perturbation=perturbation)]).advance(40))  # t = 4
    errors = []
    for rate in (0.02, 0.01, 0.005):
        training = Training([descending(rate, model__perturbation=perturbation)]).advance(round(4 / rate))
        errors.append(float((factors(training) - flow).abs().max()))
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.15)
    assert errors[2] == pytest.approx(errors[1] / 2, rel=0.1)
    assert errors[2] < 1e-3 * float(flow.abs().max())


def test_slope_is_the_gradient_of_the_regularised_loss() -> None:
    training = Training([spec(model__perturbation=0.3)])
    member = training.state.members[0]
    flow = member.flow
    start = torch.from_numpy(member.initial.copy()).requires_grad_()
    matrix = completed_matrix({"U": start[0], "V": start[1]})
    entries = training.tasks[0].train
    found = matrix[entries.inputs[:, 0], entries.inputs[:, 1]]
    loss = (found - entries.targets).square().mean()
    assert member.loss(0.0, start.detach().numpy()) == pytest.approx(float(loss.detach()))
    (loss + 0.005 * start.square().sum()).backward()
    assert start.grad is not None
    assert flow.slope(start.detach().numpy()) == pytest.approx(-start.grad.numpy())
    # the bound holds: no eigenvalue of the Jacobian is larger
    size = start.numel()
    jacobian = np.empty((size, size))
    for index in range(size):
        step = np.zeros(size)
        step[index] = 1e-6
        up, down = (flow.slope(start.detach().numpy() + sign * step.reshape(start.shape)) for sign in (1, -1))
        jacobian[:, index] = ((up - down) / 2e-6).ravel()
    assert np.abs(np.linalg.eigvals(jacobian)).max() <= flow.radius(start.detach().numpy())


def test_half_the_tolerance_moves_the_transition_by_less_than_is_stated() -> None:
    """At d = 30 half of the plateau of the test loss is reached at the same time, to one part in a thousand."""

    def half(tolerance: float) -> float:
        small = {"task__size": 30, "task__observed": 0.2, "model__initial_scale": 10.0, "learner__weight_decay": 1e-3}
        training = Training([spec(**small, learner__tolerance=tolerance, learner__time_per_step=1.0)])
        plateau = last = 0.0
        for time in range(100, 6000, 20):
            training.advance(time - training.state.step)
            snapshot = training.learner.snapshot(training.state)
            errors = snapshot.logits("test").flatten() - snapshot.probe("test").targets
            here = float(errors.square().mean())
            plateau = plateau or here
            if here < plateau / 2:
                return time - 20 * (plateau / 2 - here) / (last - here)
            last = here
        raise AssertionError("no transition")

    coarse, fine = half(1e-6), half(5e-7)
    assert fine == pytest.approx(coarse, rel=1e-3)
    assert coarse == pytest.approx(2770, rel=0.1)  # other draws of our sheet


def test_every_partition_and_every_restart_gives_the_same_bits() -> None:
    straight = Training([spec(), spec(seed=101)]).advance(3000)
    parts = Training([spec(), spec(seed=101)]).advance(1, 7, 300)
    parts.restore(parts.stored())
    parts.advance(692, 2000)
    assert straight.stored() == parts.stored()
    alone = Training([spec(seed=101)]).advance(3000)
    assert torch.equal(alone.parameters()["U"], straight.parameters(1)["U"])


def test_norm_is_that_of_pure_decay_in_the_kernel_regime() -> None:
    small = {"task__size": 30, "task__observed": 0.2, "model__initial_scale": 10.0, "learner__weight_decay": 1e-3}
    training = Training([spec(**small)]).advance(10_000)
    assert float(factors(training).norm()) == pytest.approx(28.50, abs=0.02)


def test_wrong_use_is_told() -> None:
    with pytest.raises(UsageError, match="follows a symmetric factorisation"):
        Training([spec(model__name="mlp")])
    with pytest.raises(UsageError, match="has no optimizer"):
        Training([resolve({**TREE, "optimizer": {"name": "sgd"}}, seed=0)])
    with pytest.raises(UsageError, match="leaves none to train on"):
        spec(task__observed=0.001)
    with pytest.raises(UsageError, match="initial_scale"):
        spec(model__initial_scale=0.0)
    with pytest.raises(UsageError, match="less than or equal to 1"):
        spec(model__initial_scale=1e200)
    with pytest.raises(UsageError, match="weight_decay"):
        spec(learner__weight_decay=-1.0)
    training = Training([spec()])
    with pytest.raises(CheckpointError, match="is absent"):
        training.learner.restore(training.specs, training.tasks, StateDict({}, {"step": 3}))
    other = Training([spec(task__size=5)])
    stored = other.learner.state_dict(other.state)
    with pytest.raises(CheckpointError, match="another size"):
        training.learner.restore(training.specs, training.tasks, stored)
