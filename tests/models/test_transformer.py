"""The modular transformer: its size, its initialisation, and its fast path against the plain one."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.facts import Facts, SequenceLayout
from grokscope.forward import module_forward
from grokscope.models.settings import ModularTransformerSettings
from grokscope.models.transformer import ModularTransformer, neuron_to_logit
from grokscope.rng import generator
from grokscope.settings import ModelSettings
from grokscope.spec import resolve

# all sequences end in the same token; they end in different ones; longer ones, a constant in the middle
LAYOUTS = {
    "same last token": SequenceLayout(length=3, vocabulary=8, answers=(2,), constant=(2,)),
    "general": SequenceLayout(length=3, vocabulary=8),
    "longer": SequenceLayout(length=5, vocabulary=6, constant=(1,)),
}


def built(layout: SequenceLayout, outputs: int, **given: Any) -> ModularTransformer:
    settings = ModularTransformerSettings(**given)
    model = settings.build(Facts(outputs=outputs, sequence=layout), generator(0, "init"))
    assert isinstance(model, ModularTransformer)
    return model


def tokens_of(layout: SequenceLayout, count: int = 40) -> Tensor:
    tokens = torch.randint(layout.vocabulary, (count, layout.length), generator=generator(0, "tokens"))
    for position in layout.constant:
        tokens[:, position] = layout.vocabulary - 1
    return tokens


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_fast_path_equals_the_plain_one_in_values_and_gradients(
    layout: SequenceLayout, activation: str, layers: int
) -> None:
    model = built(layout, 7, width=12, heads=3, hidden_width=10, activation=activation, layers=layers).double()
    with torch.no_grad():
        for parameter in model.parameters():  # biases too, and none at its special initial value
            parameter.copy_(torch.randn(parameter.shape, generator=generator(0, "p"), dtype=torch.float64))
            parameter.mul_(0.5)
    tokens, found = tokens_of(layout), []
    for fast in (False, True):
        parameters = dict(model.named_parameters())
        outputs = module_forward(model, fast=fast)(parameters, tokens)
        assert outputs.shape == (len(tokens), 7)
        weights = torch.randn(outputs.shape, generator=generator(0, "weights"), dtype=torch.float64)
        loss = (outputs.log_softmax(-1) * weights).sum()
        found.append(
            (outputs, dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True)))
        )
    (plain, slopes), (fast_values, fast_slopes) = found
    torch.testing.assert_close(fast_values, plain, rtol=1e-10, atol=1e-10)
    for name, slope in slopes.items():
        assert float(slope.abs().max()) > 0, name
        torch.testing.assert_close(fast_slopes[name], slope, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=list(LAYOUTS))
def test_fast_path_of_members_equals_that_of_each(layout: SequenceLayout, layers: int) -> None:
    models = [
        built(layout, 5, width=8, heads=2, hidden_width=6, initial_scale=scale, layers=layers).double()
        for scale in (1.0, 2.0, 0.5)
    ]
    stacked = {
        name: torch.stack([dict(model.named_parameters())[name].detach() for model in models])
        for name, _ in models[0].named_parameters()
    }
    tokens = tokens_of(layout)
    together = torch.vmap(module_forward(models[0], fast=True), in_dims=(0, None))(stacked, tokens)  # type: ignore[arg-type]
    for index, model in enumerate(models):
        torch.testing.assert_close(together[index], model(tokens).detach(), rtol=1e-10, atol=1e-10)


def test_the_paper_has_226816_parameters() -> None:
    p = 113
    layout = SequenceLayout(length=3, vocabulary=p + 1, constant=(2,))
    model = built(layout, p + 1, width=128, heads=4, hidden_width=512)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    # worked out by hand: embedding and unembedding, positions, attention, the perceptron with its biases
    assert sum(sizes.values()) == 2 * 114 * 128 + 3 * 128 + 4 * 128**2 + 2 * 128 * 512 + 512 + 128 == 226_816
    assert sizes["W_E"] == 114 * 128


def test_a_second_layer_comes_before_the_one_with_bare_names_and_leaves_its_draws_alone() -> None:
    layout = LAYOUTS["same last token"]
    one, two = (built(layout, 5, width=8, heads=2, hidden_width=6, layers=layers) for layers in (1, 2))
    first, second = dict(one.named_parameters()), dict(two.named_parameters())
    assert set(second) - set(first) == {f"earlier.0.{name}" for name in first if name not in ("W_E", "W_pos", "W_U")}
    for name, parameter in first.items():
        assert torch.equal(parameter, second[name]), name
    order: list[str] = []
    for name, module in two.named_modules():
        if name.endswith("at_residual"):
            module.register_forward_hook(lambda _m, _i, _o, name=name: order.append(name))
    two(tokens_of(layout))
    assert order == ["earlier.0.at_residual", "at_residual"]


def test_gradients_of_the_fast_path_repeat_bitwise() -> None:
    layout = LAYOUTS["same last token"]
    model = built(layout, 7, width=12, heads=3, hidden_width=10)
    tokens = tokens_of(layout, 500)
    parameters = dict(model.named_parameters())
    first, second = (
        torch.autograd.grad(module_forward(model, fast=True)(parameters, tokens).square().sum(), parameters.values())
        for _ in range(2)
    )
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_initial_scales(scale: float) -> None:
    layout = SequenceLayout(length=3, vocabulary=114, constant=(2,))
    model = built(layout, 114, width=128, heads=4, hidden_width=512, initial_scale=scale)
    for name, parameter in model.state_dict().items():
        if name.startswith("b_"):
            assert bool((parameter == 0).all())
            continue
        expected = scale / math.sqrt(114 if name == "W_U" else 128)
        # the standard deviation of n draws has a relative standard error of 1/√(2n); six of them
        tolerance = 6 / math.sqrt(2 * parameter.numel())
        assert float(parameter.std()) == pytest.approx(expected, rel=tolerance), name
        assert abs(float(parameter.mean())) < 6 * expected / math.sqrt(parameter.numel()), name


def test_initialisation_scales_exactly_and_draws_from_its_generator_alone() -> None:
    layout = LAYOUTS["general"]
    before = torch.get_rng_state()
    one, two, other = built(layout, 5), built(layout, 5, initial_scale=2.0), built(layout, 5)
    assert torch.equal(torch.get_rng_state(), before)
    for name, parameter in one.named_parameters():
        assert torch.equal(2 * parameter, dict(two.named_parameters())[name])
        assert torch.equal(parameter, dict(other.named_parameters())[name])


def test_later_tokens_are_not_seen() -> None:
    layout = LAYOUTS["longer"]
    model = built(layout, 5, width=8, heads=2, hidden_width=6).double()
    seen: list[Any] = []
    model.at_residual.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    tokens = tokens_of(layout)
    changed = tokens.clone()
    changed[:, -1] = (changed[:, -1] + 1) % layout.vocabulary
    model(tokens)
    model(changed)
    assert torch.equal(seen[0][:, :-1], seen[1][:, :-1])
    assert not torch.equal(seen[0][:, -1], seen[1][:, -1])


def test_sites_have_their_shapes() -> None:
    layout = LAYOUTS["general"]
    model = built(layout, 5, width=8, heads=2, hidden_width=6)
    shapes: dict[str, tuple[int, ...]] = {}
    for name, module in model.named_modules():
        if name.startswith("at_"):
            module.register_forward_hook(lambda _m, _i, output, name=name: shapes.update({name: tuple(output.shape)}))
    model(tokens_of(layout, 4))
    assert shapes == {
        "at_embedding": (4, 3, 8),
        "at_attention": (4, 2, 3, 3),
        "at_mixed": (4, 3, 8),
        "at_neurons": (4, 3, 6),
        "at_residual": (4, 3, 8),
    }


def test_neuron_to_logit_is_the_linear_map_after_the_neurons() -> None:
    layout = LAYOUTS["same last token"]
    model = built(layout, 7, width=12, heads=3, hidden_width=10).double()

    def neurons(_module: Any, _inputs: Any, output: Any) -> Tensor:
        return torch.zeros_like(output).index_fill(-1, torch.tensor(4), now)

    model.at_neurons.register_forward_hook(neurons)
    now = 1.0
    with_neuron = model(tokens_of(layout, 1))
    now = 0.0
    without = model(tokens_of(layout, 1))
    column = neuron_to_logit(dict(model.named_parameters()))[:, 4]
    torch.testing.assert_close((with_neuron - without)[0], column)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"width": 10, "heads": 4}, "width = 10 is not a multiple of heads = 4"),
        ({"width": 0}, "model.width = 0: it must be greater than or equal to 1"),
        ({"layers": 0}, "model.layers = 0: it must be greater than or equal to 1"),
        ({"activation": "swish"}, "model.activation = 'swish': it must be 'relu' or 'gelu'"),
    ],
)
def test_wrong_sizes_are_refused(model: dict[str, Any], message: str) -> None:
    tree = {
        "task": {"name": "modular-addition"},
        "model": {"name": "modular-transformer", **model},
        "learner": {"name": "gradient"},
        "optimizer": {"name": "sgd"},
    }
    with pytest.raises(UsageError, match=message):
        resolve(tree)


def test_models_build_in_single_precision_on_the_cpu() -> None:
    settings: ModelSettings = ModularTransformerSettings()
    module = settings.build(Facts(outputs=4, sequence=LAYOUTS["general"]), generator(0, "init"))
    assert {(p.dtype, p.device.type) for p in module.parameters()} == {(torch.float32, "cpu")}
