"""The lazy prediction against training the linearised network itself, and what it leaves out where it has no form."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from driving import Training
from grokscope.batch import Batch
from grokscope.measures.base import DoesNotApply, evaluate
from grokscope.snapshot import Descent, Snapshot
from grokscope.spec import resolve

BASELINE = {"difficulty", "laziness", "regression_error", "regression_error_relative"}


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


DATA: Any = {"train": (drawn(0, 9, 3), drawn(1, 9, 2)), "test": (drawn(2, 5, 3), drawn(3, 5, 2))}


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()


class FirstOrder(nn.Module):
    """f_0(x) + J(x) (θ − θ_0) of a network, with the network's parameters."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.moved = model
        self.model = [network()]  # not among the parameters
        self.start = {name: p.detach().clone() for name, p in model.named_parameters()}

    def forward(self, inputs: Tensor) -> Tensor:
        change = {name: p - self.start[name] for name, p in self.moved.named_parameters()}
        start, along, *_ = torch.func.jvp(
            lambda tensors: torch.func.functional_call(self.model[0], tensors, (inputs,)), (self.start,), (change,)
        )
        return start + along


def trained(model: nn.Module, steps: int, rule: Descent) -> nn.Module:
    inputs, targets = DATA["train"][0], DATA["train"][1]
    parameters = list(model.parameters())
    velocities = [torch.zeros_like(p) for p in parameters]
    for _ in range(steps):
        slopes = torch.autograd.grad((model(inputs) - targets).square().mean(), parameters)
        with torch.no_grad():
            for p, velocity, slope in zip(parameters, velocities, slopes, strict=True):
                pull = slope + rule.weight_decay * p
                velocity.mul_(rule.momentum).add_(pull)
                p -= rule.learning_rate * (pull + rule.momentum * velocity if rule.nesterov else velocity)
    return model


def snapshot_of(
    now: nn.Module, start: nn.Module, rule: Descent | None, step: int, data: Any = None, loss: str | None = None
) -> Snapshot:
    given: dict[str, Any] = data or DATA
    first = Snapshot.of(start, loss=loss, **given)
    moment = Snapshot.of(now, loss=loss, **given)
    return Snapshot(replace(first._source, descent=rule), step=step, parameters=dict(moment.parameters), initial=first)


def values(snapshot: Snapshot, name: str = "lazy_prediction") -> dict[str, float]:
    return {key.rpartition("/")[2]: value for key, _, value in evaluate(name, snapshot).rows}


@pytest.mark.parametrize(
    "rule",
    [
        Descent(0.1),
        Descent(0.05, weight_decay=0.1),
        Descent(0.02, weight_decay=0.1, momentum=0.9),
        Descent(0.02, momentum=0.9, nesterov=True),
    ],
)
def test_equal_to_training_the_first_order_model(rule: Descent) -> None:
    """Two outputs with kernels of their own: the losses of the model trained step by step, to 1e-10."""
    line = trained(FirstOrder(network()), 40, rule)
    found = values(snapshot_of(trained(network(), 40, rule), network(), rule, 40))
    for probe, pair in DATA.items():
        inputs, targets = pair[0], pair[1]
        loss = float((line(inputs) - targets).square().mean().detach())
        assert found[f"{probe}_loss"] == pytest.approx(loss, rel=1e-10)
    start = torch.cat([p.flatten() for p in network().parameters()])
    moved = torch.cat([p.flatten() for p in line.parameters()]) - start
    assert found["displacement"] == pytest.approx(float(moved.detach().norm() / start.detach().norm()), rel=1e-10)
    first = float((network()(DATA["test"][0]) - DATA["test"][1]).square().mean().detach())
    assert found["test_loss_relative"] == pytest.approx(found["test_loss"] / first, rel=1e-12)
    assert found["gap"] > 1e-3


def test_a_linear_network_is_lazy_for_ever() -> None:
    """Both outputs share a kernel; the gap is rounding."""
    torch.manual_seed(1)
    model = nn.Linear(3, 2).double()
    start = nn.Linear(3, 2).double()
    start.load_state_dict(model.state_dict())
    rule = Descent(0.1, weight_decay=0.01)
    found = values(snapshot_of(trained(model, 300, rule), start, rule, 300))
    assert found["gap"] < 1e-10
    assert found["regression_error"] == pytest.approx(found["test_loss"], rel=0.5)


def test_regression_by_hand() -> None:
    """f = w·x, x = e_1 and 2 e_2, r = (1, 2): K_0 = diag(1, 4), difficulty 2, and at (1, 1) the fit says 2."""
    model = nn.Linear(2, 1, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 4.0]]))
    inputs = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    targets = model(inputs).detach() + torch.tensor([[1.0], [2.0]])
    test = torch.ones(1, 2, dtype=torch.float64)
    data = {"train": (inputs, targets), "test": (test, torch.full((1, 1), 10.0, dtype=torch.float64))}
    found = values(snapshot_of(model, model, None, 0, data))
    assert set(found) == BASELINE
    assert found["difficulty"] == pytest.approx(2)
    assert found["laziness"] == pytest.approx(math.sqrt(2) / 5)
    assert found["regression_error"] == pytest.approx(1)
    assert found["regression_error_relative"] == pytest.approx(1 / 9)


def test_flow_is_the_limit_of_small_steps() -> None:
    model = network()
    flow = values(snapshot_of(model, network(), Descent(2.0, 0.1, is_flow=True), 3))["test_loss"]
    errors = [
        abs(values(snapshot_of(model, network(), Descent(6.0 / steps, 0.1), steps))["test_loss"] - flow)
        for steps in (300, 3000)
    ]
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.1)


def polynomial(learner: str, **more: Any) -> Training:
    tree = {
        "task": {"name": "polynomial-regression", "dimension": 6, "examples": 20, "test_examples": 15},
        "model": {"name": "polynomial-student", "width": 30, "epsilon": 0.5},
        "learner": {"name": learner, **more},
        "optimizer": {"name": "sgd", "learning_rate": 5.0},
        "numerics": {"dtype": "float64"},
    }
    return Training([resolve(tree, seed=100)])


def test_the_same_as_the_quadratic_network_in_closed_form() -> None:
    training = polynomial("polynomial-reduction").advance(25)
    snapshot = training.learner.snapshot(training.state)
    found, closed = values(snapshot), values(snapshot, "quadratic_kernel")
    pairs = {"train_loss": "lazy_train_loss", "test_loss": "lazy_test_loss", "gap": "lazy_gap"}
    for ours, theirs in {**pairs, **{key: key for key in BASELINE}}.items():
        assert found[ours] == pytest.approx(closed[theirs], rel=1e-8), ours


def test_lazy_by_its_output_scale() -> None:
    """α (f − f_0) at η/α²: the lazy prediction does not depend on α, and the network comes to it as 1/α."""
    found = {}
    for alpha in (1.0, 10.0, 100.0):
        tree: dict[str, Any] = {
            "task": {"name": "polynomial-regression", "dimension": 6, "examples": 20, "test_examples": 15},
            "model": {"name": "polynomial-student", "width": 30, "epsilon": 0.5},
            "learner": {"name": "gradient", "output_scale": alpha, "centred": True},
            "optimizer": {"name": "sgd", "learning_rate": 5.0 / alpha**2},
            "numerics": {"dtype": "float64"},
        }
        training = Training([resolve(tree, seed=100)]).advance(30)
        found[alpha] = values(training.learner.snapshot(training.state))
    losses = [one["test_loss"] for one in found.values()]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-9)
    assert found[10.0]["gap"] / found[100.0]["gap"] == pytest.approx(10, rel=0.2)
    assert found[10.0]["laziness"] / found[100.0]["laziness"] == pytest.approx(10, rel=1e-9)


CLASSES: dict[str, Any] = {
    "train": (drawn(0, 9, 3), torch.arange(9) % 2),
    "test": (drawn(2, 5, 3), torch.arange(5) % 2),
}


def test_classes() -> None:
    """On squared errors of one-hot targets everything is given; on cross-entropy what the start says is."""
    rule = Descent(0.1)
    squared = values(snapshot_of(network(), network(), rule, 2000, CLASSES, "mean-squared-error"))
    assert set(squared) >= {"train_accuracy", "test_accuracy", "regression_accuracy"}
    assert squared["train_accuracy"] == 1
    entropy = values(snapshot_of(network(), network(), rule, 2000, CLASSES))
    assert set(entropy) == BASELINE | {"regression_accuracy"}
    assert entropy["regression_error"] == pytest.approx(squared["regression_error"], rel=1e-8)


@pytest.mark.parametrize("rule", [None, Descent(0.1, full_batch=False), Descent(0.1, constant=False)])
def test_other_rules_have_no_closed_form(rule: Descent | None) -> None:
    assert set(values(snapshot_of(network(), network(), rule, 10))) == BASELINE


def test_beyond_the_edge_of_stability_it_is_nan() -> None:
    found = values(snapshot_of(network(), network(), Descent(1e3), 10**6))
    assert math.isnan(found["test_loss"])
    assert math.isnan(found["gap"])
    assert found["regression_error"] > 0


def test_without_test_data() -> None:
    found = values(snapshot_of(network(), network(), Descent(0.1), 3, {"train": DATA["train"]}))
    assert set(found) == {"train_loss", "displacement", "difficulty", "laziness"}


def test_single_precision_is_measured_in_double() -> None:
    halves = {probe: tuple(part.float() for part in pair) for probe, pair in DATA.items()}
    found = values(snapshot_of(network().float(), network().float(), Descent(0.1), 20, halves))
    exact = values(snapshot_of(network(), network(), Descent(0.1), 20))
    assert found == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "data", "message"),
    [
        ("examples=5", DATA, "lazy_prediction solves for all 9 training examples; it is asked for at most 5"),
        (
            "equations=17",
            DATA,
            "lazy_prediction solves 18 equations together, as the outputs have kernels of their own",
        ),
        (
            "test_examples=3",
            {**DATA, "train": Batch(*DATA["train"], weights=torch.arange(9.0).double())},
            "lazy_prediction solves for examples that count alike; these have weights",
        ),
        (
            "test_examples=3",
            {"train": (DATA["train"][0], torch.arange(9))},
            "lazy_prediction needs an output for each class",
        ),
    ],
)
def test_where_it_does_not_apply(options: str, data: Any, message: str) -> None:
    with pytest.raises(DoesNotApply, match=message) as caught:
        evaluate(f"lazy_prediction:{options}", snapshot_of(network(), network(), None, 0, data))
    assert "\n" not in str(caught.value)
