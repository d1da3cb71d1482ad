"""The empirical tangent kernel: closed forms, exact = blocks = loops, an autograd oracle, estimators in their mean."""

from __future__ import annotations

import doctest
from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from grokscope.errors import UsageError
from grokscope.linalg import jacobians, ntk, quadratic_student
from grokscope.linalg.jacobians import jacobian
from grokscope.linalg.ntk import Block, empirical_ntk, plan, signs
from grokscope.linalg.quadratic_student import population_loss, student, tangent_kernel

quick = settings(derandomize=True, deadline=None, max_examples=25)
close = {"rtol": 1e-10, "atol": 1e-12}


def draws(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def toy(parameters: Mapping[str, Tensor], inputs: Tensor, *, alpha: float = 1.0, epsilon: float = 0.25) -> Tensor:
    """Return (α/N) Σ a_i φ(w_i·x), φ(h) = h + (ε/2)h²; readouts of 1 if there are none."""
    hidden = inputs @ parameters["w"].T
    features = hidden + epsilon / 2 * hidden**2
    readouts = parameters.get("a", torch.ones(len(parameters["w"]), dtype=inputs.dtype))
    return alpha * features @ readouts / len(readouts)


def network(seed: int = 0) -> tuple[nn.Module, dict[str, Tensor]]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 4)).double()
    return model, {name: p.detach() for name, p in model.named_parameters()}


MODEL, PARAMETERS = network()
INPUTS = draws(7, 3)


def forward(parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    return torch.func.functional_call(MODEL, dict(parameters), (inputs,))


def oracle(function: jacobians.Function, parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """Return the Jacobian by autograd, one output of one example at a time."""
    rows = []
    for example in inputs:
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in parameters.items()}
        outputs = function(leaves, example[None]).flatten()
        for output in outputs:
            output.backward(retain_graph=True)
            rows.append(torch.cat([leaf.grad.flatten() for leaf in leaves.values() if leaf.grad is not None]))
            for leaf in leaves.values():
                leaf.grad = None
    return torch.stack(rows).reshape(len(inputs), -1, sum(t.numel() for t in parameters.values()))


@pytest.mark.parametrize("module", [jacobians, ntk, quadratic_student])
def test_the_documented_examples_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["auto", "vectorised", "loop"])
def test_the_jacobian_is_that_of_autograd(method: jacobians.Method) -> None:
    found = jacobian(forward, PARAMETERS, INPUTS, method=method)
    assert found.shape == (7, 4, 3 * 5 + 5 + 5 * 4 + 4)
    torch.testing.assert_close(found, oracle(forward, PARAMETERS, INPUTS), **close)


def test_the_worked_example_of_the_toy_model() -> None:
    one = student(torch.tensor([[2.0]]), alpha=3, epsilon=0.5)
    points = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    assert one(points).tolist() == [9.0, 24.0]  # 6x + 3x²
    found = empirical_ntk(lambda p, x: toy(p, x, alpha=3, epsilon=0.5), {"w": points[1:]}, points)
    assert found[0, 1].item() == pytest.approx(108)
    assert tangent_kernel(one, points[:1], points[1:]).item() == 108


@pytest.mark.parametrize(("alpha", "epsilon", "neurons"), [(1.0, 0.25, 6), (3.0, 0.5, 1), (0.5, 2.0, 9)])
def test_the_kernel_of_the_toy_model_is_its_closed_form(alpha: float, epsilon: float, neurons: int) -> None:
    weights, points, others = draws(neurons, 4), draws(5, 4, seed=1), draws(3, 4, seed=2)
    found = empirical_ntk(lambda p, x: toy(p, x, alpha=alpha, epsilon=epsilon), {"w": weights}, points, others)
    exact = tangent_kernel(student(weights, alpha=alpha, epsilon=epsilon), points, others)
    torch.testing.assert_close(found, exact, **close)
    prediction = toy({"w": weights}, points, alpha=alpha, epsilon=epsilon)
    torch.testing.assert_close(student(weights, alpha=alpha, epsilon=epsilon)(points), prediction, **close)


def test_the_kernel_of_the_wide_toy_model_with_trained_readouts() -> None:
    # D = 2, N → ∞: 2 x·x' + (3ε²/2)(x·x')² + (ε²/4)|x|²|x'|², times 1/N; the standard error is a few ‰ at N = 1e6
    width, epsilon, points = 1_000_000, 0.5, draws(3, 2, seed=3)
    weights, readouts = draws(width, 2, seed=4), draws(width, seed=5)
    hidden = points @ weights.T
    by_readout = hidden + epsilon / 2 * hidden**2
    by_weight = (1 + epsilon * hidden) * readouts
    found = (by_readout @ by_readout.T + (by_weight @ by_weight.T) * (points @ points.T)) / width
    dot, squares = points @ points.T, points.square().sum(1)
    exact = 2 * dot + 1.5 * epsilon**2 * dot**2 + epsilon**2 / 4 * torch.outer(squares, squares)
    torch.testing.assert_close(found, exact, rtol=2e-2, atol=2e-2)
    few = {"w": weights[:50], "a": readouts[:50]}
    direct = empirical_ntk(lambda p, x: toy(p, x, epsilon=epsilon), few, points) * 50
    part = (by_readout[:, :50] @ by_readout[:, :50].T + (by_weight[:, :50] @ by_weight[:, :50].T) * dot) / 50
    torch.testing.assert_close(direct, part, **close)


def test_the_population_loss_of_the_toy_model() -> None:
    root = torch.tensor([2.0**0.5, 0.0], dtype=torch.float64)
    # M = 1, w̄ = 0, |β|² = D, αε = 1: 0, (1 − 1/D)/2, 0
    identity = quadratic_student.Student(torch.zeros(2), torch.eye(2), alpha=2, epsilon=0.5)
    assert population_loss(identity, root) == pytest.approx(
        {"variance": 0, "misalignment": 0.25, "linear_power": 0}, abs=1e-15
    )
    # w = ±β/√(αε): the target itself
    beta = draws(3, seed=6)
    pair = student(torch.stack([beta, -beta]) / (2 * 0.25) ** 0.5, alpha=2, epsilon=0.25)
    assert sum(population_loss(pair, beta).values()) == pytest.approx(0, abs=1e-24)
    # against an average over inputs; the loss of the centred predictor too
    weights, points = draws(5, 3, seed=7), draws(400_000, 3, seed=8) / 3**0.5
    for net in (student(weights, alpha=1.5, epsilon=0.5), pair.centred(student(weights[:2], alpha=2, epsilon=0.25))):
        sample = (net(points) - 0.7 * (points @ beta) ** 2).square()
        exact = sum(population_loss(net, beta, scale=0.7).values())
        assert exact == pytest.approx(float(sample.mean()), abs=5 * float(sample.std()) / 400_000**0.5)


def test_readouts_weigh_the_statistics() -> None:
    weights, readouts, points = draws(4, 2), draws(4, seed=1), draws(3, 2, seed=2)
    net = student(weights, alpha=1, epsilon=0.25, readouts=readouts)
    torch.testing.assert_close(net(points), toy({"w": weights, "a": readouts}, points), **close)


@pytest.mark.parametrize("memory", [2**28, 7 * 44 * 8, 900, 200, 1])
@pytest.mark.parametrize("method", ["vectorised", "loop"])
def test_blocks_of_any_size_give_the_same_kernel(memory: int, method: jacobians.Method) -> None:
    exact = oracle(forward, PARAMETERS, INPUTS)
    found = empirical_ntk(forward, PARAMETERS, INPUTS, memory=max(memory, 8), method=method)
    torch.testing.assert_close(found, torch.einsum("icp,jcp->ij", exact, exact), **close)
    assert torch.equal(found, found.T)
    each = empirical_ntk(forward, PARAMETERS, INPUTS, outputs="each", memory=max(memory, 8), method=method)
    torch.testing.assert_close(each, torch.einsum("icp,jcp->cij", exact, exact), **close)
    cross = empirical_ntk(forward, PARAMETERS, INPUTS[:2], INPUTS[2:], memory=max(memory, 8), method=method)
    torch.testing.assert_close(cross, found[:2, 2:], **close)


@quick
@given(
    sizes=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    examples=st.integers(1, 9),
    outputs=st.integers(1, 9),
    memory=st.integers(1, 2000),
)
def test_a_plan_covers_every_parameter_within_its_memory(
    sizes: list[int], examples: int, outputs: int, memory: int
) -> None:
    named = {f"p{index}": size for index, size in enumerate(sizes)}
    blocks = plan(named, examples=examples, outputs=outputs, memory=memory)
    assert sorted(name for block in blocks for name in block.names) == sorted(named)
    for block in blocks:
        size = sum(named[name] for name in block.names)
        held = examples * block.outputs * size if block.examples is None else 2 * block.examples * size
        assert held <= memory or block == Block(block.names, 1, 1)
        assert block.outputs >= 1


def test_an_operation_that_cannot_be_vectorised_is_looped_over() -> None:
    def stubborn(parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        scale = 2.0 if float(inputs.detach().sum()) > 0 else -1.0  # a branch on a value
        return scale * forward(parameters, inputs)

    with pytest.raises(RuntimeError):
        jacobian(stubborn, PARAMETERS, INPUTS, method="vectorised")
    torch.testing.assert_close(jacobian(stubborn, PARAMETERS, INPUTS), oracle(stubborn, PARAMETERS, INPUTS), **close)


def test_recurrent_layers_and_attention_are_differentiated() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        models = [nn.LSTM(2, 3, batch_first=True).double(), nn.TransformerEncoderLayer(4, 2, 5, batch_first=True)]
    models[1] = models[1].double().eval()
    for model, width in zip(models, (2, 4), strict=True):
        named = {name: p.detach() for name, p in model.named_parameters()}

        def call(parameters: Mapping[str, Tensor], inputs: Tensor, model: nn.Module = model) -> Tensor:
            found = torch.func.functional_call(model, dict(parameters), (inputs,))
            return found[0] if isinstance(found, tuple) else found

        inputs = draws(3, 2, width)
        exact = oracle(call, named, inputs)
        with torch.no_grad():
            found = empirical_ntk(call, named, inputs)
        torch.testing.assert_close(found, torch.einsum("icp,jcp->ij", exact, exact), **close)


def test_a_parameter_that_is_not_used_adds_nothing() -> None:
    more = {**PARAMETERS, "unused": draws(4)}

    def call(parameters: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        return forward({name: parameters[name] for name in PARAMETERS}, inputs)

    for method in ("vectorised", "loop"):
        found = empirical_ntk(call, more, INPUTS, method=method, memory=800)  # type: ignore[arg-type]
        torch.testing.assert_close(found, empirical_ntk(forward, PARAMETERS, INPUTS), **close)


@quick
@given(scale=st.floats(0.1, 10), seed=st.integers(0, 5))
def test_scaling_turning_and_reordering_outputs(scale: float, seed: int) -> None:
    kernel = empirical_ntk(forward, PARAMETERS, INPUTS)
    turn = torch.linalg.qr(draws(4, 4, seed=seed)).Q
    turned = empirical_ntk(lambda p, x: scale * forward(p, x) @ turn, PARAMETERS, INPUTS)
    torch.testing.assert_close(turned, scale**2 * kernel, rtol=1e-9, atol=1e-9)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(empirical_ntk(forward, PARAMETERS, INPUTS[order]), kernel[order][:, order], **close)
    assert float(torch.linalg.eigvalsh(kernel)[0]) > -1e-9


def test_random_directions_are_right_in_the_mean() -> None:
    exact = empirical_ntk(forward, PARAMETERS, INPUTS)
    generator = torch.Generator().manual_seed(0)
    few = torch.stack(
        [empirical_ntk(forward, PARAMETERS, INPUTS, directions=signs(2, 4, generator)) for _ in range(200)]
    )
    error = few.std(0) / 200**0.5
    # 28 distinct entries, 4.5 standard errors each: a right estimator fails with probability 2e-4
    assert bool(((few.mean(0) - exact).abs() < 4.5 * error + 1e-12).all())
    many = empirical_ntk(forward, PARAMETERS, INPUTS, directions=signs(4000, 4, generator))
    assert float((many - exact).norm()) < 0.25 * float((few[0] - exact).norm())
    assert bool((torch.linalg.eigvalsh(few[0]) > -1e-9).all())


def test_directions_that_span_the_outputs_are_exact() -> None:
    directions = 2 * torch.linalg.qr(draws(4, 4)).Q
    found = empirical_ntk(forward, PARAMETERS, INPUTS, directions=directions)
    torch.testing.assert_close(found, empirical_ntk(forward, PARAMETERS, INPUTS), **close)


def test_float32_agrees_with_float64() -> None:
    single = {name: tensor.float() for name, tensor in PARAMETERS.items()}
    found = empirical_ntk(forward, single, INPUTS.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), empirical_ntk(forward, PARAMETERS, INPUTS), rtol=1e-4, atol=1e-4)


def test_the_first_lazy_step_does_not_depend_on_the_output_scale() -> None:
    """With f̃ = α(f − f_0) and the rate η/α², J·Δθ is equal for all α; the whole change approaches it as 1/α."""
    targets = draws(7, 4, seed=9)
    steps, gaps = [], []
    for alpha in (4.0, 40.0, 400.0):

        def centred(parameters: Mapping[str, Tensor], alpha: float = alpha) -> Tensor:
            return alpha * (forward(parameters, INPUTS) - forward(PARAMETERS, INPUTS))

        gradient = torch.func.grad(lambda p: (centred(p) - targets).square().mean())(PARAMETERS)
        update = {name: -0.1 / alpha**2 * part for name, part in gradient.items()}
        _, linear = torch.func.jvp(centred, (PARAMETERS,), (update,))
        whole = centred({name: tensor + update[name] for name, tensor in PARAMETERS.items()})
        steps.append(linear)
        gaps.append(float((whole - linear).norm()))
    torch.testing.assert_close(steps[1], steps[0], rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(steps[2], steps[0], rtol=1e-12, atol=1e-14)
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.05)
    assert gaps[1] / gaps[2] == pytest.approx(10, rel=0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameters": {}}, "no parameters were given"),
        ({"parameters": {"w": torch.ones(3, dtype=torch.long)}}, "w holds int64"),
        ({"parameters": {"w": torch.tensor([1.0, torch.nan])}}, "w holds NaN or Inf"),
        ({"parameters": {"w": torch.ones(3, device="meta")}}, "w is on the meta device"),
        ({"inputs": INPUTS[:0]}, r"inputs of shape \(0, 3\)"),
        ({"others": draws(2, 5)}, "must be examples of one shape"),
        ({"directions": draws(2, 3)}, r"directions of shape \(2, 3\) were given for 4 outputs"),
        ({"outputs": "all"}, "it is 'sum' or 'each'"),
        ({"method": "fast"}, "it is 'auto', 'vectorised' or 'loop'"),
        ({"memory": 0}, "memory for 0 numbers"),
        ({"function": lambda p, x: x.argmax(1)}, "the function returned int64"),
        ({"function": lambda p, x: x.sum()}, r"the function returned the shape \(\)"),
    ],
)
def test_what_cannot_be_differentiated_is_told(change: dict[str, object], message: str) -> None:
    given_: dict[str, object] = {"function": forward, "parameters": PARAMETERS, "inputs": INPUTS, **change}
    with pytest.raises(UsageError, match=message):
        empirical_ntk(**given_)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: student(draws(3), alpha=1, epsilon=1), r"weights of shape \(3,\)"),
        (lambda: student(draws(3, 2), alpha=1, epsilon=1, readouts=draws(2)), "for 3 neurons"),
        (lambda: population_loss(student(draws(3, 2), alpha=1, epsilon=1), draws(3)), "for 2 inputs"),
    ],
)
def test_what_is_no_toy_model_is_told(call: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()  # type: ignore[operator]
