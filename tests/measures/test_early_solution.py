"""The early solution: by hand, as the kernel gives it, the same by both routes, and where there is none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from driving import Training
from grokscope.measures import early_solution as module
from grokscope.measures.base import DoesNotApply
from grokscope.measures.early_solution import EarlySolution, early_solution
from grokscope.measures.initial_kernel import initial_kernel
from grokscope.snapshot import Snapshot
from grokscope.spec import override, resolve
from grokscope.theory.margin import max_l2_margin

SUMS: dict[str, Any] = {
    "task": {"name": "modular-addition", "modulus": 5, "train_fraction": 0.6, "equals_sign": False},
    "model": {"name": "two-layer-perceptron", "hidden_width": 40, "zero_readout": True},
    "learner": {"name": "gradient"},
    "optimizer": {"name": "sgd", "learning_rate": 0.1},
    "numerics": {"dtype": "float64"},
}
SIGNS: dict[str, Any] = {
    "task": {"name": "sparse-classification", "dimension": 60, "examples": 12, "test_examples": 30},
    "model": {"name": "diagonal-network", "initial_norm": 16.0},
    "learner": {"name": "diagonal-flow", "time_per_step": 1.0, "weight_decay": 0.01},
    "numerics": {"dtype": "float64"},
}


def snapshot_of(tree: dict[str, Any], **changes: Any) -> Snapshot:
    changed = override(tree, {key.replace("__", "."): value for key, value in changes.items()})
    training = Training([resolve(changed, seed=100)])
    return training.learner.snapshot(training.state)


def of_model(model: nn.Module, inputs: Any, targets: Any, loss: str | None = None) -> Snapshot:
    data = (torch.as_tensor(inputs, dtype=torch.float64), torch.as_tensor(targets))
    start = Snapshot.of(model.double(), train=data, loss=loss)
    return replaced(start)


def replaced(start: Snapshot) -> Snapshot:
    return Snapshot(start._source, step=0, parameters=dict(start.parameters), initial=start)


def solved(snapshot: Snapshot, **options: int) -> EarlySolution:
    return early_solution(snapshot, "it", **{"examples": 512, "constraints": 512, **options})


class Scaled(nn.Module):
    """f_c(x) = s_c w_c·x: outputs whose kernels differ by s_c²."""

    scales: Tensor

    def __init__(self, scales: list[float], dimension: int = 2) -> None:
        super().__init__()
        self.register_buffer("scales", torch.tensor(scales))
        self.w = nn.Parameter(torch.zeros(len(scales), dimension))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ self.w.T * self.scales


def test_values_by_hand() -> None:
    """One example x = (1, 2): w_c = y_c x / (s_c ‖x‖²), ‖h‖² = Σ y_c² / (s_c² ‖x‖²)."""
    found = solved(of_model(Scaled([1.0, 2.0]), [[1.0, 2.0]], torch.tensor([[5.0, 4.0]]).double()))
    torch.testing.assert_close(found.direction["w"], torch.tensor([[1.0, 2.0], [0.4, 0.8]]).double())
    assert found.size == pytest.approx(np.sqrt(25 / 5 + 16 / 20))
    assert found.error == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(found.predict(torch.tensor([[1.0, 0.0]]).double()), torch.tensor([[1.0, 0.8]]).double())


def test_values_from_a_start_that_is_not_zero() -> None:
    """f_0 = w_0·x = 3 at x = (1, 0) where y = 1: h = (−2, 0), and f(x') = f_0(x') + h·x'."""
    model = Scaled([1.0])
    model.w.data[:] = torch.tensor([[3.0, 7.0]])
    found = solved(of_model(model, [[1.0, 0.0]], torch.tensor([[1.0]]).double()))
    assert found.size == pytest.approx(2)
    assert found.predict(torch.tensor([[1.0, 1.0]]).double()).item() == pytest.approx(8)


def test_classes_by_hand() -> None:
    """x = ±(2, 1) of classes 0 and 1: w_0 = −w_1 = x / (2 ‖x‖²); of two examples or both outputs the margin is √10."""
    found = solved(of_model(Scaled([1.0, 1.0]), [[2.0, 1.0], [-2.0, -1.0]], [0, 1]))
    torch.testing.assert_close(found.direction["w"], torch.tensor([[0.2, 0.1], [-0.2, -0.1]]).double())
    assert found.size == pytest.approx(np.sqrt(10))
    assert found.kind == "two classes"


def test_own_kernels_of_classes_by_hand() -> None:
    """x = ±1 of classes 0 and 1, f = (w_0, 2 w_1, w_2) x: each lead is a linear constraint on w."""
    snapshot = of_model(Scaled([1.0, 2.0, 1.0], 1), [[1.0], [-1.0]], [0, 1])
    found = solved(snapshot)
    # the third class is behind at both: w_0 − w_2 ≥ 1 and w_2 − 2 w_1 ≥ 1, with both equal at the least |w|:
    # w = a (1, 0, −1) + b (0, −2, 1) with 2a − b = 1 and −a + 5b = 1
    expected = torch.tensor([2 / 3, -2 / 3, -1 / 3]).double()
    torch.testing.assert_close(found.direction["w"].flatten(), expected, rtol=1e-6, atol=1e-9)
    with pytest.raises(DoesNotApply, match="solves 4 constraints together"):
        solved(snapshot, constraints=3)
    with pytest.raises(DoesNotApply, match="these have kernels of their own"):
        solved(snapshot, constraints=0)


@pytest.mark.parametrize("tree", [SUMS, SIGNS], ids=["shared", "two classes"])
def test_both_routes_give_one_solution(tree: dict[str, Any]) -> None:
    snapshot = snapshot_of(tree)
    assert snapshot.initial is not None
    with torch.enable_grad():
        shared, joint = module._shared(snapshot, 512), module._joint(snapshot, 512, 512)
    assert joint.size == pytest.approx(shared.size, rel=1e-8)
    inputs = snapshot.in_double().probe("test").inputs
    torch.testing.assert_close(joint.predict(inputs), shared.predict(inputs), rtol=1e-6, atol=1e-7)
    for name, direction in shared.direction.items():
        torch.testing.assert_close(joint.direction[name], direction, rtol=1e-6, atol=1e-7)


def test_its_predictions_are_those_of_the_kernel() -> None:
    snapshot = snapshot_of(SUMS)
    found = solved(snapshot)
    kernel = initial_kernel(snapshot, "it", 512)
    assert kernel.kind == "classes"
    predictions = found.predict(kernel.inputs)
    torch.testing.assert_close(predictions, kernel.gram @ found.coefficients, rtol=1e-9, atol=1e-9)
    test = snapshot.in_double().probe("test").inputs
    torch.testing.assert_close(found.predict(test), kernel.cross(test) @ found.coefficients, rtol=1e-9, atol=1e-9)
    right = predictions.gather(1, kernel.targets[:, None])
    wrong = predictions.scatter(1, kernel.targets[:, None], -torch.inf).amax(1, keepdim=True)
    assert float((right - wrong).min()) == pytest.approx(1, rel=1e-6)
    norm = torch.stack([part.norm() for part in found.direction.values()]).norm()
    assert found.size == pytest.approx(1 / float(norm), rel=1e-6)
    assert abs(found.error) < 1e-6


def test_of_a_diagonal_network_it_is_the_maximal_l2_margin() -> None:
    snapshot = snapshot_of(SIGNS)
    found = solved(snapshot)
    train, test = snapshot.probe("train"), snapshot.probe("test").inputs
    assert train.targets is not None
    linear = max_l2_margin(train.inputs.flatten(1), 2 * train.targets - 1)
    scores = found.predict(test).diff(dim=1).flatten().numpy()
    np.testing.assert_allclose(scores, test.flatten(1).numpy() @ linear.solution, rtol=1e-6, atol=1e-9)
    # γ = 2√2 a γ_2, with u = v = a, which is drawn in float32
    assert found.size == pytest.approx(2 * np.sqrt(2) * 16 / np.sqrt(120) * linear.margin, rel=1e-7)


def test_classes_trained_to_values_are_fitted_as_one_hot() -> None:
    found = solved(of_model(Scaled([1.0, 1.0]), [[1.0, 0.0], [0.0, 1.0]], [1, 0], loss="mean-squared-error"))
    assert found.kind == "values"
    torch.testing.assert_close(found.direction["w"], torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double())


def test_a_singular_kernel_leaves_a_misfit() -> None:
    found = solved(of_model(Scaled([1.0], 1), [[1.0], [1.0]], torch.tensor([[1.0], [3.0]]).double()))
    assert found.predict(torch.tensor([[1.0]]).double()).item() == pytest.approx(2)
    assert found.error == pytest.approx(1 / 3)


def test_it_is_solved_once_a_training() -> None:
    training = Training([resolve(SUMS, seed=100)])
    first = solved(training.learner.snapshot(training.state))
    training.advance(2)
    assert solved(training.learner.snapshot(training.state)) is first


def test_where_there_is_none() -> None:
    both = Scaled([1.0, 1.0])
    with pytest.raises(DoesNotApply, match="it has no early solution to compare with: no classifier on these features"):
        solved(of_model(both, [[1.0, 0.0], [1.0, 0.0]], [0, 1]))
    with pytest.raises(DoesNotApply, match=r"needs an output for each class; it was given the class 5 and 3 outputs\."):
        solved(of_model(Scaled([1.0, 1.0, 1.0]), [[1.0, 0.0], [0.0, 1.0]], [0, 5]))
    with pytest.raises(DoesNotApply, match=r"it was given the class 1 and 1 output\."):
        solved(of_model(Scaled([1.0]), [[1.0, 0.0], [0.0, 1.0]], [0, 1]))
    with pytest.raises(DoesNotApply, match="it solves for all 2 training examples; it is asked for at most 1"):
        solved(of_model(both, [[1.0, 0.0], [0.0, 1.0]], [0, 1]), examples=1)
    with pytest.raises(DoesNotApply, match="has no early solution to compare with: all labels are 1"):
        solved(of_model(Scaled([1.0, 1.0, 1.0]), [[1.0, 0.0], [0.0, 1.0]], [1, 1]))
    model = of_model(both, [[1.0, 0.0]], [0])
    with pytest.raises(DoesNotApply, match="it compares with the start of the training"):
        solved(Snapshot(replace(model._source, lasting={}), step=0, parameters=dict(model.parameters)))
    with pytest.raises(DoesNotApply, match=r"it needs a target for each output; these do not fit\."):
        solved(of_model(both, [[1.0, 0.0]], torch.ones(1, 3).double()))
