"""The long short-term memory: equal to torch's in values and gradients, its start, ensembles, what it reads."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from driving import Training
from grokscope.errors import UsageError
from grokscope.facts import Facts, InputGeometry, SequenceLayout
from grokscope.models.lstm import LSTM, Layer
from grokscope.models.lstm_settings import LSTMSettings
from grokscope.rng import generator
from grokscope.spec import Spec, override, resolve

TWO = Facts(outputs=2, classes=2, sequence=SequenceLayout(length=6, vocabulary=9))
THREE = Facts(outputs=3, classes=3, sequence=SequenceLayout(length=6, vocabulary=9))
TOKENS = torch.randint(9, (5, 6), generator=generator(0, "tokens"))


def built(facts: Facts = TWO, seed: int = 0, **given: Any) -> LSTM:
    settings = LSTMSettings(**{"embedding_width": 4, "hidden_width": 3, **given})
    model = settings.build(facts, generator(seed, "init"))
    assert isinstance(model, LSTM)
    return model.double()


def torchs(model: LSTM) -> nn.LSTM:
    """Return torch's own network with the parameters of ours."""
    first = model.layers[0]
    assert isinstance(first, Layer)
    width, hidden = first.weight_ih.shape[1], first.weight_hh.shape[1]
    same = nn.LSTM(width, hidden, num_layers=len(model.layers), batch_first=True).double()
    named = {
        f"{name}_l{number}": parameter
        for number, layer in enumerate(model.layers)
        for name, parameter in layer.named_parameters()
    }
    same.load_state_dict({name: parameter.detach() for name, parameter in named.items()})
    return same


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_values_and_gradients_are_those_of_torch(layers: int) -> None:
    model = built(layers=layers, initial_scale=2.0)
    same = torchs(model)
    targets = torch.tensor([0, 1, 1, 0, 1])
    outputs = model(TOKENS)
    embedded = model.embedding.weight.detach().clone().requires_grad_()
    states, _ = same(functional.embedding(TOKENS, embedded))
    score = model.readout(states[:, -1])
    torch.testing.assert_close(outputs, torch.cat([-score / 2, score / 2], 1), rtol=1e-13, atol=1e-14)
    # the loss is binary cross-entropy of the score
    loss = functional.cross_entropy(outputs, targets)
    other = functional.binary_cross_entropy_with_logits(score[:, 0], targets.double())
    torch.testing.assert_close(loss, other, rtol=1e-13, atol=0)
    ours = torch.autograd.grad(loss, list(model.parameters()))
    ordered = [
        getattr(same, f"{name}_l{n}")
        for n in range(layers)
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    ]
    theirs = torch.autograd.grad(other, [embedded, *ordered, *model.readout.parameters()])
    for one, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, wanted, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("facts", [TWO, THREE], ids=["two classes", "three"])
def test_written_out_gradients_are_those_of_autograd(facts: Facts) -> None:
    """Two groups of three members; each group reads sequences of its own."""
    members = [built(facts, seed, initial_scale=1.5) for seed in range(6)]
    inputs = torch.stack([TOKENS, TOKENS.flip(1) // 2])
    stacked = {
        name: torch.stack([dict(one.named_parameters())[name].detach() for one in members]).unflatten(0, (2, 3))
        for name, _ in members[0].named_parameters()
    }
    outputs, pull = members[0].pullback(stacked, inputs)
    slopes = torch.randn(outputs.shape, generator=generator(1, "slopes"), dtype=torch.float64)
    found = pull(slopes)
    assert found.keys() == stacked.keys()
    for number, one in enumerate(members):
        group, member = divmod(number, 3)
        expected = one(inputs[group])
        torch.testing.assert_close(outputs[group, member], expected, rtol=1e-12, atol=1e-14)
        wanted = torch.autograd.grad((slopes[group, member] * expected).sum(), list(one.parameters()))
        for name, gradient in zip(stacked, wanted, strict=True):
            torch.testing.assert_close(found[name][group, member], gradient, rtol=1e-10, atol=1e-13)


def test_single_precision_is_near_double() -> None:
    model = built(layers=2, initial_scale=2.0)
    exact, rough = model(TOKENS).detach(), model.float()(TOKENS).detach()
    torch.testing.assert_close(rough.double(), exact, rtol=1e-4, atol=1e-5)


def test_one_step_by_hand() -> None:
    """With all weights 0, c = σ(b_i) tanh(b_g) and h = σ(b_o) tanh(c) after a token."""
    layer = Layer(1, 1).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        layer.bias_ih.copy_(torch.tensor([0.5, -3.0, 1.0, 2.0]))
    sigmoid = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    cell = sigmoid(0.5) * math.tanh(1)
    later = sigmoid(-3) * cell + cell
    wanted = [sigmoid(2) * math.tanh(one) for one in (cell, later)]
    assert layer(torch.zeros(1, 2, 1).double()).flatten().tolist() == pytest.approx(wanted, rel=1e-14)


def test_the_start_is_that_of_torch_times_the_scale() -> None:
    facts = Facts(outputs=2, classes=2, sequence=SequenceLayout(length=3, vocabulary=400))
    one, six = (built(facts, embedding_width=32, hidden_width=100, initial_scale=scale) for scale in (1.0, 6.0))
    for small, large in zip(one.parameters(), six.parameters(), strict=True):
        torch.testing.assert_close(large, 6 * small, rtol=1e-6, atol=0)
    weight = one.embedding.weight.detach()
    assert float(weight.mean()) == pytest.approx(0, abs=0.03)
    assert float(weight.std()) == pytest.approx(1, abs=0.03)
    for parameter in (*one.layers.parameters(), *one.readout.parameters()):
        largest = float(parameter.detach().abs().max())
        assert largest <= 0.1 + 1e-7
        assert largest == pytest.approx(0.1, rel=0.1) or parameter.numel() == 1


def test_what_a_batch_is_told_depends_on_no_other_batch() -> None:
    model = built()
    alone = torch.cat([model(row[None]) for row in TOKENS])
    torch.testing.assert_close(model(TOKENS), alone, rtol=1e-13, atol=1e-14)


def test_it_reads_tokens_alone() -> None:
    facts = Facts(outputs=2, geometry=InputGeometry(shape=(1, 4, 4)))
    with pytest.raises(UsageError, match=r"an lstm reads sequences of tokens, .* change task\.name"):
        built(facts)


# -- whole trainings ------------------------------------------------------------------------------

TREE: dict[str, Any] = {
    "task": {
        "name": "reviews",
        "dataset": "synthetic",
        "examples": 24,
        "vocabulary": 20,
        "length": 5,
        "batch_size": 6,
        "batch_order": "shuffled",
    },
    "model": {"name": "lstm", "embedding_width": 4, "hidden_width": 3},
    "learner": {"name": "gradient", "steps": 12},
    "optimizer": {"name": "adamw", "learning_rate": 0.02, "weight_decay": 0.5},
    "interventions": [{"name": "gradient-clip", "norm": 0.1}],
    "numerics": {"dtype": "float64"},
}


def trained(specs: list[Spec]) -> Training:
    return Training([spec.with_group(specs) for spec in specs] if len(specs) > 1 else specs).advance(12)


def test_members_are_their_own_runs() -> None:
    changes: list[dict[str, Any]] = [
        {"seed.base": 1, "model.initial_scale": 6.0},
        {"seed.base": 1},
        {"seed.base": 2, "optimizer.weight_decay": 0.0},
    ]
    specs = [resolve(override(TREE, change)) for change in changes]
    together = trained(specs)
    assert together.state.kernel.closed is not None
    for index, spec in enumerate(specs):
        alone = trained([spec])
        for name, tensor in alone.parameters().items():
            torch.testing.assert_close(together.parameters(index)[name], tensor, rtol=1e-9, atol=1e-9)
        clipped = [one.learner.scalars(one.state, at) for one, at in ((alone, 0), (together, index))]
        assert clipped[0] == pytest.approx(clipped[1], rel=1e-9)


def test_dropout_goes_through_autograd() -> None:
    """An intervention at an activation takes the plain forward, under ``vmap`` too."""
    dropping = {"interventions": [{"name": "dropout", "site": "at_states.0", "rate": 0.5}]}
    specs = [resolve(override(TREE, {**dropping, "seed.base": seed})) for seed in (1, 2)]
    together = trained(specs)
    assert together.state.kernel.closed is None
    first: Tensor
    for index, spec in enumerate(specs):
        alone = trained([spec]).parameters()
        for name, first in together.parameters(index).items():
            torch.testing.assert_close(first, alone[name], rtol=1e-9, atol=1e-9)
