"""The norm split into what the training data sees and what it does not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import grokscope as gs
from grokscope.measures.dead_weights import dead_entries, without_gradient


def numbers(model: nn.Module, inputs: torch.Tensor, **options: int) -> dict[str, float]:
    measure = gs.measures.base.with_options(gs.measures.dead_weights.DEAD_WEIGHTS, **options)
    rows = gs.evaluate(measure, gs.Snapshot.of(model, train=(inputs, None))).rows  # type: ignore[arg-type]
    return {key.split("/")[1] + (f"@{module}" if module else ""): value for key, module, value in rows}


def test_a_column_that_meets_zeros_only_is_dead() -> None:
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0, 4.0]]))
        model.bias.fill_(12.0)
    found = numbers(model, torch.tensor([[1.0, 0.0], [0.0, 0.0]]))
    assert found["dead_norm"] == pytest.approx(4)
    assert found["live_norm"] == pytest.approx(math.hypot(3, 12))
    assert found["dead_share"] == pytest.approx(16 / 169)
    assert found["dead_inputs@weight"] == 0.5
    assert found["matrix_dead_share@weight"] == pytest.approx(0.64)
    assert numbers(model, torch.tensor([[1.0, 0.0], [0.0, -1.0]]), chunk=1)["dead_norm"] == 0


def test_dead_weights_have_no_gradient_and_live_ones_do() -> None:
    torch.manual_seed(0)
    first, last = nn.Conv2d(4, 6, 3, groups=2), nn.Linear(24, 3)
    model = nn.Sequential(first, nn.ReLU(), nn.Flatten(), last).double()
    assert first.bias is not None
    with torch.no_grad():
        first.bias[1] = -100.0  # a dead channel: four dead inputs of the last layer
    inputs = torch.randn(8, 4, 4, 4, dtype=torch.float64)
    inputs[:, 2] = 0
    of_first, of_last = torch.autograd.grad(model(inputs).square().sum(), [first.weight, last.weight])
    found = numbers(model, inputs)
    assert found["dead_inputs@0.weight"] == 0.25
    assert found["dead_inputs@3.weight"] == pytest.approx(4 / 24)
    kernel = dead_entries(first.weight, torch.tensor([True, True, False, True]), operation="Conv2d")
    assert kernel.sum() == 3 * 1 * 9  # one channel of the second group
    assert (of_first[kernel] == 0).all()
    assert (of_last[:, 4:8] == 0).all()
    squares = first.weight.detach()[kernel].square().sum() + last.weight.detach()[:, 4:8].square().sum()
    assert found["dead_norm"] == pytest.approx(float(squares) ** 0.5)


def test_tokens_that_never_occur_are_dead_rows() -> None:
    model = nn.Embedding(5, 2)
    found = numbers(model, torch.tensor([[0, 3], [3, 3]]))
    assert found["dead_inputs@weight"] == pytest.approx(3 / 5)
    assert found["dead_norm"] == pytest.approx(float(model.weight.detach()[[1, 2, 4]].norm()))
    transposed = dead_entries(torch.ones(2, 3, 1), torch.tensor([True, False]), operation="ConvTranspose1d")
    assert transposed[:, :, 0].tolist() == [[False] * 3, [True] * 3]


def test_a_layer_used_twice_is_live_where_either_use_is() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(2, 2, bias=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x) + self.layer(x.flip(-1))

    assert numbers(Twice(), torch.tensor([[1.0, 0.0]]))["dead_norm"] == 0


def test_a_model_without_layers_says_so() -> None:
    with pytest.raises(gs.measures.base.DoesNotApply, match="dead_weights looks at the inputs of linear layers"):
        numbers(nn.Flatten(), torch.ones(2, 2))


def test_the_split_by_gradient_adds_the_weights_into_units_that_are_never_on() -> None:
    first, last = nn.Linear(2, 2), nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[3.0, 4.0], [5.0, 12.0]]))
        first.bias.copy_(torch.tensor([1.0, -100.0]))  # the second unit is never on
        last.weight.copy_(torch.tensor([[2.0, 7.0]]))
    found = numbers(nn.Sequential(first, nn.ReLU(), last), torch.tensor([[1.0, 0.0], [2.0, 0.0]]))
    # by inputs: the second column of the first layer, and what leaves the dead unit
    assert found["dead_norm"] == pytest.approx(math.sqrt(16 + 144 + 49))
    assert found["matrix_dead_norm@0.weight"] == pytest.approx(math.sqrt(160))
    # by gradient also what goes into it: its other weight and its bias
    assert found["without_gradient_norm"] == pytest.approx(math.sqrt(16 + 144 + 49 + 25 + 100**2))
    assert found["with_gradient_norm"] == pytest.approx(math.sqrt(9 + 1 + 4))
    total = found["with_gradient_norm"] ** 2 + found["without_gradient_norm"] ** 2
    assert found["without_gradient_share"] == pytest.approx(found["without_gradient_norm"] ** 2 / total)
    assert total == pytest.approx(found["live_norm"] ** 2 + found["dead_norm"] ** 2)


def test_what_no_example_reaches_is_what_no_single_gradient_reaches() -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 7), nn.ReLU(), nn.Linear(7, 3))
    with torch.no_grad():
        model[0].bias[:3] = -50.0  # type: ignore[index]
        model[2].bias[2] = -50.0  # type: ignore[index]
    inputs = torch.randn(5, 6)
    inputs[:, 4] = 0
    ever = {name: torch.zeros_like(tensor, dtype=torch.bool) for name, tensor in model.named_parameters()}
    for one in model(inputs).flatten():
        gradients = torch.autograd.grad(one, list(model.parameters()), retain_graph=True)
        for name, gradient in zip(ever, gradients, strict=True):
            ever[name] |= gradient != 0
    snapshot = gs.Snapshot.of(model, train=(inputs, None))  # type: ignore[arg-type]
    blind = without_gradient(snapshot, inputs, chunk=2)
    assert {name: mask.tolist() for name, mask in blind.items()} == {name: (~m).tolist() for name, m in ever.items()}


def test_recurrent_weights_and_unused_ones_are_split_by_gradient_too() -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.lstm, self.out = nn.Embedding(5, 3), nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)
            self.idle = nn.Parameter(torch.full((2,), 3.0))

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            return self.out(self.lstm(self.embed(tokens))[0][:, -1])

    model = Tagger()
    found = numbers(model, torch.tensor([[0, 3], [3, 3]]))
    idle = float(model.embed.weight.detach()[[1, 2, 4]].square().sum()) + 18
    assert found["without_gradient_norm"] == pytest.approx(math.sqrt(idle))
