"""Looking into somebody's forward pass: what is seen, under which name, and that nothing is left behind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoo
from grokscope.errors import UsageError
from grokscope.forward import module_forward, outputs, private_copy, sites, unwrapped
from grokscope.snapshot import Snapshot
from grokscope.visits import NONLINEARITIES, PIECEWISE_LINEAR, Visit, kind_of, watched


def visits(module: nn.Module, *inputs: Tensor, times: int = 1) -> list[Visit]:
    """Return every visit in some forward passes of a module."""
    seen: list[Visit] = []
    with torch.no_grad(), watched(module, seen.append):
        for _ in range(times):
            module(*inputs)
    return seen


def names(module: nn.Module, *inputs: Tensor) -> list[str]:
    return [visit.name for visit in visits(module, *inputs)]


class Functional(nn.Module):
    """Calls its nonlinearities as functions, methods and operators of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(torch.tanh(F.relu(self.first(x)).sigmoid()))


# -- what is seen ----------------------------------------------------------------------------------


def test_functional_nonlinearities_are_seen_with_what_went_in() -> None:
    module, x = Functional(), torch.randn(5, 3)
    seen = visits(module, x)
    assert [(v.name, v.kind, v.operation) for v in seen] == [
        ("first", "linear", "Linear"),
        ("relu", "nonlinearity", "relu"),
        ("sigmoid", "nonlinearity", "sigmoid"),
        ("tanh", "nonlinearity", "tanh"),
        ("gelu", "nonlinearity", "gelu"),
    ]
    with torch.no_grad():
        before = module.first(x)
    assert torch.equal(seen[0].inputs, x)
    assert torch.equal(seen[1].inputs, before)
    assert torch.equal(seen[1].output, before.relu())


@pytest.mark.parametrize("name", ["relu", "silu", "softplus", "leaky_relu", "hardtanh", "tanh", "elu", "mish"])
def test_module_and_function_are_seen_once_each(name: str) -> None:
    layer = {"relu": nn.ReLU, "silu": nn.SiLU, "softplus": nn.Softplus, "leaky_relu": nn.LeakyReLU, "elu": nn.ELU}
    layer |= {"hardtanh": nn.Hardtanh, "tanh": nn.Tanh, "mish": nn.Mish}
    (seen,) = visits(nn.Sequential(layer[name]()), torch.randn(4, 3))
    assert (seen.name, seen.operation) == ("0", name)
    assert (name in PIECEWISE_LINEAR) == (name in ("relu", "leaky_relu", "hardtanh"))
    assert getattr(F, name) in NONLINEARITIES


def test_a_slope_for_each_unit() -> None:
    (seen,) = visits(nn.PReLU(3), torch.tensor([[-4.0, 0.0, 4.0]]))
    assert (seen.operation, seen.output.tolist()) == ("prelu", [[-1.0, 0.0, 4.0]])


def test_a_module_used_again_is_numbered_and_counted_anew_in_each_pass() -> None:
    relu = nn.ReLU()
    net = nn.Sequential(nn.Linear(3, 3), relu, nn.Linear(3, 3), relu)
    once = ["0", "1", "2", "1#2"]
    assert names(net, torch.randn(2, 3)) == once
    assert [visit.name for visit in visits(net, torch.randn(2, 3), times=2)] == once * 2


def test_functions_of_inner_modules_are_named_by_their_place() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = Functional()

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.inner(F.relu(x)))

    assert names(Block(), torch.randn(2, 3)) == [
        "relu",
        "inner.first",
        "inner.relu",
        "inner.sigmoid",
        "inner.tanh",
        "inner.gelu",
        "relu#2",
    ]


@pytest.mark.parametrize("how", ["module", "keyword", "underscore", "method"])
def test_the_pre_activation_of_an_inplace_nonlinearity_is_kept(how: str) -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            y = x + 0.0
            if how == "module":
                return self.act(y)
            if how == "keyword":
                return F.relu(y, inplace=True)
            return torch.relu_(y) if how == "underscore" else y.relu_()

    x = torch.tensor([[-1.0, 2.0]])
    (seen,) = visits(InPlace(), x)
    assert seen.inputs.tolist() == [[-1.0, 2.0]]
    assert seen.output.tolist() == [[0.0, 2.0]]


KINDS = [
    (nn.Linear(3, 2), "linear", (4, 3)),
    (nn.Conv1d(3, 2, 1), "convolution", (4, 3, 5)),
    (nn.Conv2d(3, 2, 1), "convolution", (4, 3, 5, 5)),
    (nn.LSTM(3, 2, batch_first=True), "recurrent", (4, 5, 3)),
    (nn.GRUCell(3, 2), "recurrent", (4, 3)),
]


@pytest.mark.parametrize(("layer", "kind", "shape"), KINDS, ids=lambda value: type(value).__name__)
def test_kinds_and_where_the_units_are(layer: nn.Module, kind: str, shape: tuple[int, ...]) -> None:
    (seen,) = visits(nn.ModuleList([layer])[0], torch.randn(shape))
    assert (seen.kind, kind_of(layer)) == (kind, kind)
    assert seen.axis == (1 if kind == "convolution" else -1)
    assert seen.features().shape == (seen.output.numel() // 2, 2)
    assert seen.features("inputs").shape[1] == 3


def test_features_count_positions_as_samples() -> None:
    output = torch.arange(24.0).reshape(2, 3, 4)  # (examples, channels, positions)
    visit = Visit("conv", "convolution", "Conv1d", output, output, 1)
    assert visit.features()[1].tolist() == output[0, :, 1].tolist()
    flat = Visit("linear", "linear", "Linear", output, output, -1)
    assert flat.features()[5].tolist() == output[1, 2].tolist()
    assert Visit("one", "linear", "Linear", output, torch.arange(3.0), -1).features().shape == (3, 1)


def test_the_axis_of_a_nonlinearity_after_a_one_dimensional_convolution() -> None:
    conv = nn.Sequential(nn.Conv1d(3, 2, 1), nn.ReLU())
    assert [visit.axis for visit in visits(conv, torch.randn(4, 3, 5))] == [1, 1]
    linear = nn.Sequential(nn.Linear(5, 2), nn.ReLU())
    assert [visit.axis for visit in visits(linear, torch.randn(4, 3, 5))] == [-1, -1]


def test_embeddings_and_attention() -> None:
    gpt = zoo.animal("gpt")
    seen = visits(gpt.model.eval(), gpt.train[0])
    assert [visit.kind for visit in seen if visit.name in ("wte", "wpe")] == ["embedding"] * 2
    assert [visit.name for visit in seen if visit.kind == "nonlinearity"] == ["blocks.0.mlp.1", "blocks.1.mlp.1"]
    attention = nn.MultiheadAttention(4, 2, batch_first=True)
    x = torch.randn(2, 3, 4)
    (whole,) = (visit for visit in visits(attention.train(), x, x, x) if visit.kind == "attention")
    assert whole.output.shape == x.shape


@pytest.mark.parametrize("name", zoo.ZOO)
def test_looking_changes_no_output_and_leaves_no_hook(name: str) -> None:
    animal = zoo.animal(name)
    model = animal.model.eval()
    with torch.no_grad():
        before = outputs(model(animal.train[0]))
        with watched(model, lambda _: None):
            during = outputs(model(animal.train[0]))
    assert torch.equal(before, during)
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_hooks_go_also_when_a_forward_fails_and_the_next_one_is_seen() -> None:
    class Sometimes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(3, 3)
            self.fail = True

        def forward(self, x: Tensor) -> Tensor:
            y = F.relu(self.first(x))
            if self.fail:
                raise ZeroDivisionError
            return y

    module = Sometimes()
    seen: list[str] = []
    with watched(module, lambda visit: seen.append(visit.name)):
        with pytest.raises(ZeroDivisionError):
            module(torch.randn(2, 3))
        module.fail = False
        module(torch.randn(2, 3))
    assert seen == ["first", "relu"] * 2
    with pytest.raises(ZeroDivisionError), watched(module, lambda _: 1 / 0):
        module(torch.randn(2, 3))
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())


def test_nothing_outside_a_forward_is_seen() -> None:
    seen: list[Visit] = []
    with watched(nn.Linear(2, 2), seen.append):
        torch.relu(torch.randn(2))
    assert seen == []


# -- other people's modules ------------------------------------------------------------------------


class Returns(nn.Module):
    """Returns whatever it is given a recipe for."""

    def __init__(self, recipe: Any) -> None:
        super().__init__()
        self.first = nn.Linear(3, 2)
        self.recipe = recipe

    def forward(self, x: Tensor) -> Any:
        return self.recipe(self.first(x))


RECIPES = {
    "tensor": lambda y: y,
    "tuple": lambda y: (y, "state"),
    "list": lambda y: [y],
    "nested": lambda y: ((y, y), y),
    "mapping": lambda y: {"loss": 0.0, "logits": y},
    "object": lambda y: SimpleNamespace(logits=y, loss=None),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_prediction_is_found_in_what_a_model_returns(name: str) -> None:
    module, x = Returns(RECIPES[name]), torch.randn(4, 3)
    forward = module_forward(module)
    assert torch.equal(forward(dict(module.named_parameters()), x), module.first(x))


@pytest.mark.parametrize("value", [None, {"prediction": torch.zeros(1)}, (), 3.0])
def test_a_return_value_without_a_prediction_is_told(value: Any) -> None:
    with pytest.raises(UsageError, match=r"returned a .*: say which tensor is its prediction with forward=lambda"):
        outputs(value)


def test_a_call_says_how_to_predict() -> None:
    module, x = Returns(lambda y: {"prediction": y}), torch.randn(4, 3)
    forward = module_forward(module, call=lambda model, inputs: model(inputs)["prediction"])
    doubled = {name: 2 * p.detach() for name, p in module.named_parameters()}
    assert torch.allclose(forward(doubled, x), 2 * module.first(x))


def test_wrappers_are_taken_off_wherever_they_are() -> None:
    inner = nn.Linear(3, 2)
    compiled = torch.compile(inner, backend="eager")
    assert unwrapped(compiled) is inner
    assert unwrapped(nn.DataParallel(compiled)) is inner
    outer = nn.Sequential(torch.compile(nn.Sequential(nn.Linear(3, 3), nn.ReLU()), backend="eager"), inner)
    snapshot = Snapshot.of(torch.compile(outer, backend="eager"))
    assert set(snapshot.parameters) == {"0.0.weight", "0.0.bias", "1.weight", "1.bias"}
    seen: list[str] = []
    snapshot.watch(torch.randn(2, 3), lambda visit: seen.append(visit.name))
    assert seen == ["0.0", "0.1", "1"]
    assert hasattr(outer[0], "_orig_mod")  # the outsider's own module is as it was


def test_a_private_copy_is_another_module_in_evaluation_mode() -> None:
    model = zoo.animal("gpt").model.train()
    private = private_copy(model)
    assert model.training
    assert not any(part.training for part in private.modules())
    assert private.lm_head.weight is private.wte.weight  # type: ignore[union-attr]
    assert private.lm_head.weight is not model.lm_head.weight  # type: ignore[union-attr]


def test_tensors_that_a_forward_left_in_attributes_are_copied_without_their_history() -> None:
    computed = nn.Linear(2, 2)
    computed.cache = computed.weight * 2  # type: ignore[assignment]
    computed.kept = {"maps": [computed.cache, (computed.weight + 1,)]}  # type: ignore[assignment]
    computed.kept["itself"] = computed.kept  # type: ignore[operator]
    private = private_copy(computed)
    assert torch.equal(private.cache, computed.cache)  # type: ignore[arg-type]
    assert private.cache.is_leaf  # type: ignore[union-attr]
    assert private.kept["maps"][0] is private.cache is not computed.cache  # type: ignore[index]
    assert private.kept["maps"][1][0].is_leaf  # type: ignore[index]
    assert computed.cache.grad_fn is not None  # type: ignore[union-attr]


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_weights_that_a_hook_of_torch_makes_follow_the_parameters() -> None:
    model = nn.Sequential(nn.utils.weight_norm(nn.Linear(2, 3)), nn.ReLU())
    model(torch.ones(1, 2)).sum().backward()
    snapshot = Snapshot.of(model)
    doubled = {"0.weight_g": 2 * snapshot.parameters["0.weight_g"], "0.bias": torch.zeros(3)}
    weight: torch.Tensor = model[0].weight  # type: ignore[assignment]
    found = snapshot.predict_with(doubled, torch.ones(1, 2))
    assert torch.allclose(found, 2 * torch.relu(weight.sum(1))[None])


def test_what_cannot_be_copied_is_told() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Linear(2, 2))
    model[1].steps = (i for i in range(3))  # type: ignore[assignment]
    with pytest.raises(UsageError, match=r"Sequential cannot be copied \(its attribute 1.steps is a generator: .*\)"):
        private_copy(model)
    lazy = nn.Sequential(nn.ReLU(), nn.LazyLinear(2))
    with pytest.raises(UsageError, match=r"the layer '1' has no shape yet .*: run the model on one batch first"):
        private_copy(lazy)
    with pytest.raises(UsageError, match=r"weight is on the meta device, .*: load the weights first"):
        private_copy(nn.Linear(2, 2, device="meta"))


def test_sites_are_replaced_looked_at_and_refused() -> None:
    net, x = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)), torch.randn(4, 3)
    seen: list[Tensor] = []
    with sites(net, {"1": lambda output: seen.append(output), "0": torch.zeros_like}):
        replaced = net(x)
    assert torch.equal(seen[0], torch.zeros(4, 3))
    assert torch.equal(replaced, net[2](torch.zeros(4, 3)))
    with pytest.raises(UsageError, match="site"), sites(net, {"3": torch.zeros_like}):
        pass
    with pytest.raises(UsageError, match="the site '1' did not fire"), sites(net, {"1": torch.zeros_like}):
        pass
    assert not any(part._forward_hooks for part in net.modules())


def test_a_clamp_at_zero_is_a_relu_and_any_other_clamp_is_none() -> None:
    class Clamped(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            x = x.clamp(min=0) + torch.clamp(x, 0) + torch.clip(x, min=0.0) + torch.clamp_min(x, 0)
            return x.clamp(0, 1) + x.clamp(min=1) + x.clamp(max=0)

    seen: list[str] = []
    model = Clamped()
    with watched(model, lambda visit: seen.append(visit.name)):
        model(torch.randn(3, 2))
    assert seen == ["relu", "relu#2", "relu#3", "relu#4"]
