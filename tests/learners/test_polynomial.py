"""The affine reduction of the polynomial student: equal to gradient descent of the network itself."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from driving import Training
from grokscope.errors import CheckpointError, UsageError
from grokscope.learners.base import StateDict
from grokscope.spec import Spec, override, resolve

TREE: dict[str, Any] = {
    "task": {"name": "polynomial-regression", "dimension": 8, "examples": 24, "test_examples": 16},
    "model": {"name": "polynomial-student", "width": 12, "epsilon": 0.25},
    "learner": {"name": "polynomial-reduction", "output_scale": 1.0, "centred": True, "steps": 300},
    "optimizer": {"name": "sgd", "learning_rate": 6.0},
    "numerics": {"dtype": "float64"},
}
CHANGES: dict[str, dict[str, Any]] = {
    "centred": {},
    "as it is": {"learner.centred": False, "learner.output_scale": 2.0, "optimizer.learning_rate": 1.5},
    "momentum and decay": {
        "optimizer.momentum": 0.5,
        "optimizer.weight_decay": 1e-3,
        "optimizer.learning_rate": 2.0,
    },
    "limit": {"model.width": None, "optimizer.learning_rate": 8.0},
    "aligned": {"model.aligned": 0.3, "model.epsilon": 0.5, "task.scale": 1.0, "optimizer.learning_rate": 2.0},
}


def spec(changes: dict[str, Any] | None = None, *, seed: int = 3, learner: str = "polynomial-reduction") -> Spec:
    tree = override(TREE, changes or {})
    return resolve({**tree, "learner": {**tree["learner"], "name": learner}}, seed=seed)


def relative(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).norm() / other.norm())


@pytest.mark.parametrize("name", CHANGES)
def test_equals_gradient_descent_of_the_network(name: str) -> None:
    fast, direct = Training([spec(CHANGES[name])]), Training([spec(CHANGES[name], learner="gradient")])
    for steps in (1, 20, 200):
        fast.advance(steps)
        direct.advance(steps)
        one, other = (training.learner.snapshot(training.state) for training in (fast, direct))
        assert relative(one.parameters["hidden.weight"], other.parameters["hidden.weight"]) < 1e-12
        assert set(one.buffers) == set(other.buffers)
        torch.testing.assert_close(one.logits("test"), other.logits("test"), rtol=1e-10, atol=1e-12)
        assert fast.learner.scalars(fast.state) == pytest.approx(direct.learner.scalars(direct.state), rel=1e-10)
        assert one.clocks == pytest.approx(other.clocks)
        assert one.descent == other.descent
    assert one.initial is not None
    assert relative(one.parameters["hidden.weight"], one.initial.parameters["hidden.weight"]) > 1e-2
    coming, same = one.trial_step(), other.trial_step()
    assert coming is not None
    assert same is not None
    assert coming.loss == pytest.approx(same.loss, rel=1e-10)
    for part in ("before", "gradient", "after"):
        assert relative(getattr(coming, part)["hidden.weight"], getattr(same, part)["hidden.weight"]) < 1e-10


MEMBERS: list[dict[str, Any]] = [
    {},
    {"learner.output_scale": 2.0, "optimizer.learning_rate": 1.5, "task.examples": 9},
    {"model.epsilon": 0.7, "model.width": 5, "optimizer.learning_rate": 1.0, "learner.centred": False},
    {"optimizer.momentum": 0.5, "optimizer.weight_decay": 0.01, "optimizer.learning_rate": 1.0},
]


def test_members_that_differ_equal_their_own_runs() -> None:
    specs = [spec(changes, seed=seed) for seed, changes in enumerate(MEMBERS)]
    together = Training([one.with_group(specs) for one in specs]).advance(30, 70)
    for index, one in enumerate(specs):
        alone = Training([one]).advance(100)
        mine, members = alone.parameters()["hidden.weight"], together.parameters(index)["hidden.weight"]
        assert relative(members, mine) < 1e-12
        own, in_batch = alone.learner.scalars(alone.state), together.learner.scalars(together.state, index)
        assert in_batch == pytest.approx(own, rel=1e-10)


def test_a_diverged_member_leaves_the_others_bitwise() -> None:
    def trained(rate: float) -> torch.Tensor:
        specs = [spec(seed=1), spec({"optimizer.learning_rate": rate}, seed=2)]
        training = Training([one.with_group(specs) for one in specs]).advance(60)
        assert (rate > 100) != (training.learner.scalars(training.state, 1)["step/loss", None] < 1)
        return training.parameters(0)["hidden.weight"]

    assert torch.equal(trained(3.0), trained(1e6))


def test_every_partition_gives_the_same_bits_and_a_stored_state_goes_on() -> None:
    specs = [one.with_group([]) for one in (spec(changes, seed=seed) for seed, changes in enumerate(MEMBERS))]
    straight = Training(specs).advance(50).stored()
    assert Training(specs).advance(1, 7, 0, 42).stored() == straight
    begun = Training(specs).advance(20).stored()
    assert Training(specs).advance(3).restore(begun).advance(30).stored() == straight


def test_in_float32_it_stays_near() -> None:
    single = Training([spec({"numerics.dtype": "float32"})]).advance(100)
    double = Training([spec()]).advance(100)
    one, other = (training.parameters()["hidden.weight"].double() for training in (single, double))
    assert relative(one, other) < 1e-4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.name": "mlp"}, "trains the model polynomial-student: got mlp"),
        ({"model.readouts": "trained"}, "not for trained readouts"),
        ({"model.nonlinearity": "hermite-3"}, "fixed readouts and hermite-3: set learner.name = 'gradient'"),
        ({"optimizer.name": "adam", "optimizer.learning_rate": 0.1}, "set optimizer.name = 'sgd'"),
        ({"optimizer.warmup_steps": 3}, "at a constant rate"),
        ({"task.name": "modular-addition", "task.modulus": 5, "task.train_fraction": 0.5}, "choose a regression task"),
    ],
)
def test_what_it_does_not_hold_for_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Training([spec(changes)])


def test_members_must_have_one_dimension_and_numerics() -> None:
    with pytest.raises(UsageError, match="inputs of one dimension"):
        Training([spec(), spec({"task.dimension": 5})])
    with pytest.raises(UsageError, match="agree in numerics"):
        Training([spec(), spec({"numerics.dtype": "float32"})])


def test_a_state_of_another_training_is_refused() -> None:
    training = Training([spec()])
    with pytest.raises(CheckpointError, match="another training"):
        training.learner.restore(training.specs, training.tasks, StateDict({"map": torch.eye(2)}, {"step": 0}))
