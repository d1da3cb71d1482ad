"""Curvature of the training loss: closed forms, dense Hessians of outsiders' models, parts, options, refusals."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import zoo
from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.linalg.hessian import Layout, value_and_gradient
from grokscope.measures import curvature as module
from grokscope.measures import objective as objective_module
from grokscope.measures.base import DoesNotApply, Reading, evaluate, named, with_options
from grokscope.measures.curvature import CURVATURE, extremes, sam_sharpness, top_eigenvalues
from grokscope.measures.objective import objective
from grokscope.snapshot import Snapshot


def values(reading: Reading, name: str = "curvature") -> dict[str, float]:
    return {key.removeprefix(f"{name}/"): value for key, path, value in reading.rows if path is None}


def training_loss(animal: zoo.Animal) -> tuple[dict[str, Tensor], module.Function]:
    """Return parameters and loss as an outsider would write them, in float64."""
    model = animal.model.double().eval()
    inputs, targets = animal.train
    inputs = inputs.double() if inputs.is_floating_point() else inputs

    def loss(tensors: dict[str, Tensor]) -> Tensor:
        return zoo.loss_of(torch.func.functional_call(model, tensors, (inputs,)), targets)

    return {name: p.detach() for name, p in model.named_parameters()}, loss


def dense(parameters: dict[str, Tensor], loss: module.Function) -> Tensor:
    """Return the whole Hessian by ``torch.autograd.functional``, which knows nothing of ours."""
    layout = Layout.of(parameters)
    return torch.autograd.functional.hessian(lambda v: loss(layout.named(v)), layout.flat(parameters))  # type: ignore[return-value]


def test_the_documented_examples_hold():
    for documented in (module, objective_module):
        assert doctest.testmod(documented).failed == 0


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_the_measure_is_that_of_the_dense_hessian(name: str):
    animal = zoo.animal(name)
    snapshot = Snapshot.of(animal.model, train=animal.train)
    reading = evaluate(with_options(CURVATURE, tolerance=1e-9), snapshot)
    found = values(reading, "curvature:tolerance=1e-09")
    parameters, loss = training_loss(animal)
    matrix = dense(parameters, loss)
    spectrum = torch.linalg.eigvalsh(matrix).flip(0)
    torch.testing.assert_close(reading.arrays["eigenvalues"], spectrum[:3], rtol=1e-9, atol=0)
    assert found["sharpness"] == pytest.approx(spectrum[0].item(), rel=1e-9)
    assert found["smallest_eigenvalue"] == pytest.approx(spectrum[-1].item(), rel=1e-9)
    assert found["residual"] < 1e-9
    assert found["trace"] == pytest.approx(matrix.trace().item(), abs=5 * found["trace_error"])
    value, gradient = value_and_gradient(loss, parameters)
    assert found["loss"] == pytest.approx(value.item(), rel=1e-12)
    assert found["gradient_norm"] == pytest.approx(gradient.norm().item(), rel=1e-10)
    layout = Layout.of(parameters)
    moved = layout.named(layout.flat(parameters) + 0.05 * gradient / gradient.norm())
    assert found["sam_sharpness"] == pytest.approx((loss(moved) - value).item(), rel=1e-9)
    # Hutchinson gives the blocks of the parameters too
    hutchinson = with_options(CURVATURE, trace="hutchinson", trace_products=100)
    reading = evaluate(hutchinson, snapshot)
    blocks = {path: value for key, path, value in reading.rows if key.endswith("/parameter_trace")}
    errors = {path: value for key, path, value in reading.rows if key.endswith("/parameter_trace_error")}
    assert list(blocks) == list(parameters)
    assert sum(blocks.values()) == pytest.approx(values(reading, hutchinson.name)["trace"], rel=1e-9)
    for path, diagonal in layout.named(matrix.diagonal()).items():
        assert blocks[path] == pytest.approx(diagonal.sum().item(), abs=5 * errors[path] + 1e-12)


def test_top_eigenvalues_of_a_quadratic():
    curved = torch.tensor([5.0, 5.0, 2.0, -7.0, 0.0], dtype=torch.float64)
    found = top_eigenvalues(lambda p: (curved * p["a"].square()).sum() / 2 + p["b"].sum(), quadratic())
    torch.testing.assert_close(found, torch.tensor([5.0, 5.0, 2.0]).double(), rtol=1e-12, atol=0)
    assert len(top_eigenvalues(lambda p: p["a"].square().sum(), {"a": torch.ones(2)}, 5)) == 2


def quadratic() -> dict[str, Tensor]:
    return {"a": torch.ones(5, dtype=torch.float64), "b": torch.ones(2, 3, dtype=torch.float64)}


def test_extremes_of_a_zero_matrix():
    found = extremes(lambda v: 0 * v, 20)
    assert found.largest.tolist() == [0, 0, 0]
    assert (found.smallest, found.residual) == (0, 0)


def test_sam_sharpness_of_a_quadratic():
    """Along the gradient h w/|h w| of h w²/2 the rise is h (|w| ρ + ρ²/2)."""
    point = {"w": torch.tensor([2.0], dtype=torch.float64)}
    found = sam_sharpness(lambda p: 3 * p["w"].square().sum() / 2, point, radius=0.1)
    assert found == pytest.approx(3 * (2 * 0.1 + 0.1**2 / 2), rel=1e-12)
    half = [lambda p: 3 * p["w"].square().sum() / 4] * 2
    assert sam_sharpness(half, point, radius=0.1) == pytest.approx(found, rel=1e-12)
    assert math.isnan(sam_sharpness(lambda p: p["w"].square().sum(), {"w": torch.zeros(1)}))
    with pytest.raises(UsageError, match="radius = 0 was given: give a positive length"):
        sam_sharpness(lambda p: p["w"].sum(), point, radius=0)


@pytest.mark.parametrize("name", ["resnet", "gpt", "lstm"])
def test_rows_may_be_taken_in_chunks_and_numbers_stay(name: str):
    animal = zoo.animal(name)
    snapshot = Snapshot.of(animal.model, train=animal.train)
    whole = evaluate(with_options(CURVATURE, count=2, trace_products=6, examples=11), snapshot)
    parts = evaluate(with_options(CURVATURE, count=2, trace_products=6, examples=11, chunk=4), snapshot)
    both = [list(values(reading, reading.rows[0][0].rpartition("/")[0]).values()) for reading in (whole, parts)]
    assert both[1] == pytest.approx(both[0], rel=1e-5)


def test_gauss_newton_is_positive_and_the_hessian_of_a_linear_model():
    animal = zoo.animal("mlp")
    snapshot = Snapshot.of(animal.model, train=animal.train)
    gauss = with_options(CURVATURE, matrix="gauss-newton")
    assert values(evaluate(gauss, snapshot), gauss.name)["smallest_eigenvalue"] > -1e-9
    assert values(evaluate(CURVATURE, snapshot))["smallest_eigenvalue"] < -0.1
    linear = Snapshot.of(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), train=animal.train)
    both = [values(evaluate(measure, linear), measure.name) for measure in (CURVATURE, gauss)]
    assert both[0]["sharpness"] == pytest.approx(both[1]["sharpness"], rel=1e-5)


def test_squared_error_weights_and_frozen_parameters():
    """Squared error of a linear model with frozen bias: the Hessian in the weight is 2 Xᵀ diag(w) X / Σw."""
    inputs = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    weights = torch.tensor([1.0, 2, 0, 1, 1, 0, 3, 1])
    model = nn.Linear(3, 1)
    model.bias.requires_grad_(False)
    batch = Batch(inputs, torch.ones(8, 1), weights)
    reading = evaluate(CURVATURE, Snapshot.of(model, train=batch))
    design = inputs.double()
    expected = torch.linalg.eigvalsh(2 * design.T @ (weights.double()[:, None] * design) / weights.sum()).flip(0)
    torch.testing.assert_close(reading.arrays["eigenvalues"], expected, rtol=1e-6, atol=0)
    assert values(reading)["trace"] == pytest.approx(expected.sum().item(), rel=1e-9)
    assert values(reading)["trace_error"] == 0


def test_the_rows_are_the_same_at_every_step_and_at_most_as_many_as_asked_for():
    animal, later = zoo.animal("mlp", train=60), zoo.animal("mlp", seed=3)
    goals = []
    for model in (animal.model, later.model):
        snapshot = Snapshot.of(model, train=animal.train)
        goals.append(objective(snapshot, examples=20, chunk=8, generator=snapshot.generator("curvature", 1)))
    assert [goal.examples for goal in goals] == [20, 20]
    assert [len(goal.parts) for goal in goals] == [3, 3]
    same = [sum(part(goals[0].parameters) for part in goal.parts) for goal in goals]
    assert same[0] == same[1]
    every = Snapshot.of(animal.model, train=animal.train)
    mean = sum(
        part(goals[0].parameters) for part in objective(every, examples=999, chunk=7, generator=torch.Generator()).parts
    )
    exact = functional.cross_entropy(animal.model.double()(animal.train[0].double()), animal.train[1])
    torch.testing.assert_close(mean, exact.detach(), rtol=1e-12, atol=0)


def test_what_it_does_not_apply_to_is_told():
    animal = zoo.animal("mlp")
    inputs, targets = animal.train
    for train, message in [
        ((inputs, None), "cannot be differentiated without labels; the train data has none"),
        (Batch(inputs, targets, torch.zeros(len(inputs))), "without examples; the train data has none that count"),
    ]:
        snapshot = Snapshot.of(animal.model, train=train, test=animal.test)  # type: ignore[arg-type]
        with pytest.raises(DoesNotApply, match=message):
            evaluate(CURVATURE, snapshot)

    class Fused(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, inputs: Tensor) -> Tensor:
            return inputs.clone()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            return gradient.clone()

    class Kernel(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return Fused.apply(super().forward(input))  # type: ignore[return-value]

    class Single(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) @ torch.eye(3)

    data = torch.ones(5, 4), torch.arange(5) % 3
    with pytest.raises(DoesNotApply, match=r"the curvature cannot be measured: .* has a first derivative only"):
        evaluate(CURVATURE, Snapshot.of(Kernel(4, 3), train=data))
    with pytest.raises(DoesNotApply, match=r"curvature differentiates the loss in float64, which .* does not allow \("):
        evaluate(CURVATURE, Snapshot.of(Single(4, 3), train=data))


def test_a_model_that_has_diverged_is_nan():
    animal = zoo.animal("mlp")
    with torch.no_grad():
        next(animal.model.parameters()).fill_(torch.nan)
    found = values(evaluate(CURVATURE, Snapshot.of(animal.model, train=animal.train)))
    assert math.isnan(found["sharpness"])
    assert all(math.isnan(value) for value in found.values())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("trace=hutch", "unknown trace estimator 'hutch': did you mean 'hutchinson'"),
        ("matrix=hessain", "unknown matrix 'hessain': did you mean 'hessian'"),
        ("examples=0", "examples = 0 and chunk = 256 were given: give 1 or more"),
        ("radius=-1", "radius = -1.0 was given"),
        ("products=1", "products = 1 are too few"),
    ],
)
def test_options_out_of_range_are_refused(option: str, message: str):
    animal = zoo.animal("mlp")
    with pytest.raises(UsageError, match=message):
        evaluate(named(f"curvature:{option}"), Snapshot.of(animal.model, train=animal.train))
