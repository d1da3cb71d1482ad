"""Hessian and Gauss-Newton products: closed forms, dense references, parts, kernels with a second derivative."""

from __future__ import annotations

import doctest
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from grokscope.errors import UsageError
from grokscope.linalg import hessian
from grokscope.linalg.hessian import Composed, Layout, gauss_newton_product, hessian_product, value_and_gradient
from grokscope.linalg.products import NoMatrix


def dense(product: Callable[[Tensor], Tensor], dimension: int) -> Tensor:
    return torch.stack([product(unit) for unit in torch.eye(dimension, dtype=torch.float64)])


def reference(loss: hessian.Function, parameters: dict[str, Tensor]) -> Tensor:
    """Return the Hessian by ``torch.func``: another mode of differentiation than ours."""
    layout = Layout.of(parameters)
    return torch.func.jacfwd(torch.func.jacrev(lambda v: loss(layout.named(v))))(layout.flat(parameters))  # type: ignore[return-value]


def parameters_of(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().double() for name, p in module.named_parameters()}


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def model(name: str) -> tuple[nn.Module, Tensor]:
    if name == "mlp":
        return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)), torch.randn(6, 3)
    layers = (nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.GELU(), nn.Flatten(), nn.Linear(8, 3))
    return nn.Sequential(*layers).eval(), torch.randn(6, 1, 4, 4)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
@pytest.mark.parametrize("kind", ["cross-entropy", "squared"])
def test_products_are_those_of_the_dense_hessian(name: str, kind: str):
    module, inputs = model(name)
    module, inputs = module.double(), inputs.double()
    targets = torch.arange(6) % 3

    def outputs(tensors: dict[str, Tensor], rows: slice = slice(None)) -> Tensor:
        return torch.func.functional_call(module, tensors, (inputs[rows],))

    def criterion(found: Tensor, rows: slice = slice(None)) -> Tensor:
        if kind == "cross-entropy":
            return functional.cross_entropy(found, targets[rows], reduction="sum") / 6
        return (found - functional.one_hot(targets[rows], 3)).square().sum() / 6

    parameters = parameters_of(module)
    whole = Composed(outputs, criterion)
    size = Layout.of(parameters).dimension
    expected = reference(whole, parameters)
    found = dense(hessian_product(whole, parameters), size)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-13)
    pieces = [slice(0, 4), slice(4, 5), slice(5, 6)]
    parts = [Composed(lambda p, r=r: outputs(p, r), lambda y, r=r: criterion(y, r)) for r in pieces]
    torch.testing.assert_close(dense(hessian_product(parts, parameters), size), expected, rtol=1e-10, atol=1e-13)
    # Gauss-Newton: Jᵀ C J with both factors dense
    layout = Layout.of(parameters)
    jacobian = torch.func.jacrev(lambda v: outputs(layout.named(v)).flatten())(layout.flat(parameters))
    curved = torch.func.hessian(lambda y: criterion(y.view(6, 3)))(outputs(parameters).flatten())
    inner = jacobian.T @ curved @ jacobian  # type: ignore[union-attr]
    for given in (whole, parts):
        found = dense(gauss_newton_product(given, parameters), size)
        torch.testing.assert_close(found, inner, rtol=1e-10, atol=1e-13)
    assert torch.linalg.eigvalsh(inner)[0] > -1e-12
    # the gradient, in parts and whole
    value, gradient = value_and_gradient(parts, parameters)
    torch.testing.assert_close(value, whole(parameters), rtol=1e-13, atol=0)
    exact = torch.func.grad(lambda v: whole(layout.named(v)))(layout.flat(parameters))
    torch.testing.assert_close(gradient, exact, rtol=1e-10, atol=1e-14)


def test_gauss_newton_is_the_hessian_of_a_linear_model():
    parameters = parameters_of(nn.Linear(3, 2))
    inputs, targets = torch.randn(5, 3).double(), torch.arange(5) % 2
    goal = Composed(
        lambda p: functional.linear(inputs, p["weight"], p["bias"]), lambda y: functional.cross_entropy(y, targets)
    )
    both = [dense(product(goal, parameters), 8) for product in (hessian_product, gauss_newton_product)]
    torch.testing.assert_close(*both, rtol=1e-12, atol=1e-15)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 4, sparse=True)
        self.qkv = nn.Linear(4, 12)

    def forward(self, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(self.embedding(tokens)).chunk(3, -1)
        return functional.scaled_dot_product_attention(q, k, v, is_causal=True).sum((1, 2))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 3, batch_first=True)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.lstm(inputs)[0][:, -1].sum(1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["attention", "lstm"])
def test_attention_and_recurrent_layers_have_second_derivatives(name: str, dtype: torch.dtype):
    module = (Attention() if name == "attention" else Recurrent()).to(dtype).eval()
    inputs = torch.randint(0, 5, (3, 4)) if name == "attention" else torch.randn(3, 4, 2, dtype=dtype)
    parameters = {key: p.detach() for key, p in module.named_parameters()}

    def loss(tensors: dict[str, Tensor]) -> Tensor:
        return torch.func.functional_call(module, tensors, (inputs,)).square().mean()

    layout = Layout.of(parameters)
    vector = torch.randn(layout.dimension, dtype=dtype)
    found = hessian_product(loss, parameters)(vector)
    # central differences of the gradient; their error is h² f⁗/6 and eps/h
    step = 1e-2 if dtype == torch.float32 else 1e-5
    ends = [value_and_gradient(loss, layout.named(layout.flat(parameters) + s * step * vector))[1] for s in (1, -1)]
    expected = (ends[0] - ends[1]) / (2 * step)
    tolerance = 2e-2 if dtype == torch.float32 else 1e-7
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance * expected.abs().max().item())


def test_what_a_function_ignores_or_takes_linearly_has_no_curvature():
    parameters = {"a": torch.ones(2).double(), "unused": torch.ones(3).double()}
    product = hessian_product(lambda p: p["a"].pow(3).sum(), parameters)
    assert product(torch.ones(5).double()).tolist() == [6, 6, 0, 0, 0]
    for flat in (lambda p: 2 * p["a"].sum(), lambda p: torch.ones(()).double()):
        assert not hessian_product(flat, parameters)(torch.ones(5).double()).any()
        assert not hessian_product([flat, flat], parameters)(torch.ones(5).double()).any()
    assert not value_and_gradient(lambda p: torch.ones(()).double(), parameters)[1].any()


class Once(torch.autograd.Function):
    """The identity as a fused kernel would be: with a derivative that has no derivative."""

    @staticmethod
    def forward(ctx: object, inputs: Tensor) -> Tensor:
        return inputs.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return gradient.clone()


def test_an_operation_without_a_second_derivative_is_refused_and_not_left_out():
    parameters = {"w": torch.ones(2, dtype=torch.float64)}
    goal = Composed(lambda p: Once.apply(p["w"].square()), lambda y: y.square().sum())  # type: ignore[arg-type,return-value]
    assert value_and_gradient(goal, parameters)[1].tolist() == [4, 4]
    for function in (hessian_product, gauss_newton_product):
        for given in (goal, [goal, goal]):
            with pytest.raises(NoMatrix, match="has a first derivative only"):
                function(given, parameters)(torch.ones(2).double())


def test_nothing_is_left_on_the_parameters_and_gradients_around_do_not_matter():
    weight = torch.ones(2, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        product = hessian_product(lambda p: p["w"].pow(4).sum(), {"w": weight})
        assert product(torch.ones(2).double()).tolist() == [12, 12]
    assert weight.grad is None
    assert not product(torch.ones(2).double()).requires_grad


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "no parameters were given"),
        ({"w": torch.zeros(0)}, "no parameters were given"),
        ({"w": torch.ones(2).long()}, "the parameter 'w' is of torch.int64: derivatives need real numbers"),
        ({"w": torch.ones(2, device="meta")}, "the parameter 'w' is on the meta device"),
        (
            {"w": torch.ones(2), "v": torch.ones(1).double()},
            "float32 on cpu and torch.float64 on cpu: bring them to one",
        ),
    ],
)
def test_parameters_without_one_kind_of_real_numbers_are_refused(parameters: dict[str, Tensor], message: str):
    for function in (hessian_product, value_and_gradient, gauss_newton_product):
        with pytest.raises(UsageError, match=message):
            function(lambda p: p["w"].sum(), parameters)


def test_a_function_that_gives_no_number_is_refused():
    with pytest.raises(UsageError, match=r"a value of shape \(2,\): it must give one number"):
        hessian_product(lambda p: p["w"], {"w": torch.ones(2)})
    with pytest.raises(UsageError, match="a value of type float: it must give one number"):
        value_and_gradient(lambda p: 1.0, {"w": torch.ones(2)})  # type: ignore[arg-type,return-value]
    with pytest.raises(UsageError, match="no part of the function was given"):
        hessian_product([], {"w": torch.ones(2)})


def test_the_documented_examples_hold():
    assert doctest.testmod(hessian).failed == 0
