"""The measures of quadratic networks: closed forms against differentiation, sampling and an actual training."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from driving import Training
from grokscope.facts import Facts, InputGeometry, QuadraticTarget
from grokscope.learners import output_scale
from grokscope.measures import quadratic
from grokscope.measures.base import DoesNotApply, evaluate
from grokscope.measures.ntk import measure as by_differentiation
from grokscope.measures.quadratic_kernel import measure as kernel
from grokscope.measures.sufficient_statistics import measure as statistics
from grokscope.snapshot import Snapshot
from grokscope.spec import override, resolve

TREE: dict[str, Any] = {
    "task": {"name": "polynomial-regression", "dimension": 6, "examples": 20, "test_examples": 14},
    "model": {"name": "polynomial-student", "width": 9, "epsilon": 0.5},
    "learner": {"name": "polynomial-reduction", "output_scale": 2.0, "centred": True, "steps": 300},
    "optimizer": {"name": "sgd", "learning_rate": 1.0},
    "numerics": {"dtype": "float64"},
}


def snapshot(steps: int = 40, **changes: Any) -> Snapshot:
    dotted = {key.replace("__", "."): value for key, value in changes.items()}
    training = Training([resolve(override(TREE, dotted), seed=5)]).advance(steps)
    return training.learner.snapshot(training.state)


def test_the_names_of_the_buffers_are_the_learners() -> None:
    assert quadratic.ALPHA == output_scale.ALPHA
    assert f"{output_scale.SCALE}start." == quadratic.START


@pytest.mark.parametrize("centred", [True, False])
def test_the_kernel_is_that_of_differentiation(centred: bool) -> None:
    moment = snapshot(learner__centred=centred)
    found = kernel(moment)
    expected = by_differentiation(moment, probe="test", examples=100)
    for key in ("alignment", "alignment_one_sided", "alignment_raw", "movement", "distance", "trace"):
        assert found[key] == pytest.approx(float(expected[key]), rel=1e-9), key
    assert moment.initial is not None
    start = by_differentiation(moment.initial, examples=100, centred=centred)
    assert found["regression_error"] == pytest.approx(float(start["regression_error"]), rel=1e-9)
    if centred:  # the difficulty of ntk is of the labels, not of what the start leaves of them
        assert found["regression_error_relative"] == pytest.approx(float(start["regression_error_relative"]), rel=1e-9)
        assert found["difficulty"] == pytest.approx(float(start["difficulty"]), rel=1e-9)
        assert found["laziness"] == pytest.approx(float(start["laziness"]), rel=1e-9)
    assert found["movement"] > 0.01


@pytest.mark.parametrize("centred", [True, False])
def test_lazy_losses_are_those_of_the_trained_linearisation(centred: bool) -> None:
    moment = snapshot(50, learner__centred=centred)
    start = moment.initial
    assert start is not None
    train, test = moment.probe("train"), moment.probe("test")
    assert train.targets is not None
    assert test.targets is not None
    weights = start.parameters["hidden.weight"]

    def outputs(inputs: Tensor) -> tuple[Tensor, Tensor]:
        def of(moved: Tensor) -> Tensor:
            return start.predict_with({"hidden.weight": moved}, inputs)[:, 0]

        return of(weights), torch.func.jacrev(of)(weights).flatten(1)

    (first, slopes), (held, held_slopes) = outputs(train.inputs), outputs(test.inputs)
    moved = torch.zeros(weights.numel(), dtype=torch.float64)
    for _ in range(50):
        residual = first + slopes @ moved - train.targets[:, 0]
        moved -= 1.0 * 2 / len(residual) * slopes.T @ residual
    found = kernel(moment)
    residual = first + slopes @ moved - train.targets[:, 0]
    assert found["lazy_train_loss"] == pytest.approx(float(residual.square().mean()), rel=1e-9)
    held_residual = held + held_slopes @ moved - test.targets[:, 0]
    assert found["lazy_test_loss"] == pytest.approx(float(held_residual.square().mean()), rel=1e-9)


def test_both_learners_are_measured_alike() -> None:
    direct = snapshot(20, learner__name="gradient", learner__output_scale=2.0, learner__centred=True)
    reduced = snapshot(20)
    for measure in (kernel, statistics):
        assert measure(direct) == pytest.approx(measure(reduced), rel=1e-9)


def test_lazy_losses_need_plain_descent_and_singular_kernels_do_no_harm() -> None:
    assert "lazy_test_loss" not in kernel(snapshot(3, optimizer__momentum=0.5, optimizer__learning_rate=0.2))
    singular = kernel(snapshot(3, model__width=2, task__examples=40, optimizer__learning_rate=0.1))
    assert 0 < singular["regression_error"] < 10
    assert math.isfinite(singular["difficulty"])


def test_in_the_lazy_limit_training_is_lazy() -> None:
    moment = snapshot(60, learner__output_scale=1e4, optimizer__learning_rate=1e-8 / 2)
    loss = float((moment.logits("test") - moment.probe("test").targets).square().mean())  # type: ignore[operator]
    found = kernel(moment)
    assert found["lazy_test_loss"] == pytest.approx(loss, rel=1e-3)
    assert found["lazy_gap"] == pytest.approx(abs(loss / found["lazy_test_loss"] - 1))
    assert found["lazy_test_loss_relative"] == pytest.approx(
        found["lazy_test_loss"] / float(moment.probe("test").targets.square().mean())  # type: ignore[union-attr]
    )
    assert found["movement"] < 1e-3


@pytest.mark.parametrize(("centred", "scale"), [(True, 0.5), (False, 2.0)])
def test_the_population_loss_is_that_of_many_inputs(centred: bool, scale: float) -> None:
    changes = {"learner__centred": centred, "task__scale": scale, "task__test_examples": 200_000}
    moment = snapshot(15, optimizer__learning_rate=0.2, **changes)
    found = statistics(moment)
    parts = (found["variance"], found["misalignment"], found["linear_power"])
    assert found["population_loss"] == pytest.approx(sum(parts))
    assert min(parts) > 0
    assert found["loss_ratio"] == pytest.approx(1, abs=0.03)


def test_the_start_of_a_centred_predictor_has_the_loss_of_zero() -> None:
    """E (½ z²)² = ¾ for z ~ N(0, 1), and no linear power."""
    found = statistics(snapshot(0))
    assert found["population_loss"] == pytest.approx(0.75)
    assert found["linear_power"] == 0


class Neuron(nn.Module):
    """f(x) = 2x + x² of one neuron of weight 2: somebody else's module that tells its averages."""

    has_fixed_readouts = True

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([[2.0]], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        h = x @ self.w.T
        return (h + h.square() / 4).mean(1, keepdim=True)

    def quadratic_student(self, tensors: Any) -> Any:
        from grokscope.linalg.quadratic_student import student

        return student(tensors["w"], alpha=1.0, epsilon=0.5)


def test_any_module_that_tells_its_averages_is_measured() -> None:
    data = (torch.tensor([[1.0], [2.0]], dtype=torch.float64), torch.tensor([[0.5], [2.0]], dtype=torch.float64))
    import numpy as np

    facts = Facts(outputs=1, geometry=InputGeometry((1,)), quadratic=QuadraticTarget(np.ones(1)))
    moment = Snapshot.of(Neuron(), train=data, test=data, facts=facts)
    # K(1, 1) = 1 + 2 + 1, K(2, 2) = 4 (1 + 4 + 4): α = 1, ε w̄ = 1, ε² M = 1
    assert kernel(moment)["trace"] == pytest.approx(4 + 36)
    found = statistics(moment)
    assert found["variance"] == pytest.approx(0.25)  # Q = ε M − β² = 2 − 1
    assert found["misalignment"] == pytest.approx(0.5)
    assert found["linear_power"] == pytest.approx(4)


def test_what_they_do_not_apply_to_is_told() -> None:
    with pytest.raises(DoesNotApply, match="says so by a method quadratic_student; this model is none"):
        kernel(Snapshot.of(nn.Linear(2, 1), train=(torch.zeros(3, 2), torch.zeros(3, 1))))
    hermite = snapshot(0, learner__name="gradient", model__nonlinearity="hermite-3")
    for name in ("quadratic_kernel", "sufficient_statistics"):
        with pytest.raises(DoesNotApply, match="this model is none"):
            evaluate(name, hermite)
    with pytest.raises(DoesNotApply, match="trains its readouts: take ntk"):
        kernel(snapshot(0, learner__name="gradient", model__readouts="trained"))
    with pytest.raises(DoesNotApply, match="target that is a square"):
        statistics(snapshot(0, task__target="hermite-2"))


def test_a_network_that_is_not_finite_has_no_numbers() -> None:
    wild = snapshot(60, optimizer__learning_rate=1e6)
    assert math.isnan(kernel(wild)["alignment"])
    assert math.isnan(statistics(wild)["population_loss"])
