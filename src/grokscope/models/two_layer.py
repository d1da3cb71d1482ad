"""The two-layer perceptron on a pair of one-hot numbers that theory speaks of (Lyu et al. 2024, Sec. 3.1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokscope.errors import UsageError
from grokscope.models.pullback import SLOPES, dense

if TYPE_CHECKING:
    from grokscope.facts import Facts
    from grokscope.models.two_layer_settings import TwoLayerPerceptronSettings


class TwoLayerPerceptron(nn.Module):
    """W_2 ReLU(W_1 x + b_1) of tokens side by side in one-hot form: (batch, length) to (batch, outputs).

    Without a bias in the second layer it is homogeneous of degree 2 in all its parameters. Neurons can be observed at
    ``at_neurons``.
    """

    def __init__(self, settings: TwoLayerPerceptronSettings, facts: Facts, generator: torch.Generator) -> None:
        super().__init__()
        if facts.sequence is None:
            raise UsageError("a two-layer perceptron reads tokens, and this task has none: change task.name.")
        self.length, self.vocabulary = facts.sequence.length, facts.sequence.vocabulary
        inputs, hidden = self.length * self.vocabulary, settings.hidden_width
        first = math.sqrt(2 / inputs) * torch.randn(hidden, inputs, generator=generator)
        second = math.sqrt(1 / hidden) * torch.randn(facts.outputs, hidden, generator=generator)
        self.W_1 = nn.Parameter(settings.initial_scale * first)
        self.b_1 = nn.Parameter(torch.zeros(hidden))
        self.W_2 = nn.Parameter(torch.zeros_like(second) if settings.zero_readout else settings.initial_scale * second)
        self.activation = nn.ReLU()
        self.at_neurons = nn.Identity()

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the logits for a batch of token sequences."""
        one_hot = functional.one_hot(tokens, self.vocabulary).to(self.W_1.dtype).flatten(1)
        return self.at_neurons(self.activation(one_hot @ self.W_1.T + self.b_1)) @ self.W_2.T

    def fast_forward(self, tokens: Tensor) -> Tensor:
        """Return the same logits: W_1 x is a sum of one column a token, looked up instead of multiplied."""
        columns = self.W_1.T.unflatten(0, (self.length, self.vocabulary))  # (length, vocabulary, hidden)
        before = self.b_1
        for position in range(self.length):
            before = before + columns[position].index_select(0, tokens[:, position])
        return before.relu() @ self.W_2.T

    def pullback(
        self, parameters: Mapping[str, Tensor], inputs: Tensor
    ) -> tuple[Tensor, Callable[[Tensor], dict[str, Tensor]]]:
        """Return outputs and gradients of many members, as :class:`grokscope.learners.closed.Pullback` says."""
        first, bias, second = (parameters[name] for name in ("W_1", "b_1", "W_2"))
        x = functional.one_hot(inputs, self.vocabulary).to(first.dtype).flatten(2)
        outputs, back = dense(x, [first, second], [bias, None], self.activation, SLOPES["relu"])

        def pull(slopes: Tensor) -> dict[str, Tensor]:
            (by_first, by_second), (by_bias, _) = back(slopes)
            assert by_bias is not None
            return {"W_1": by_first, "b_1": by_bias, "W_2": by_second}

        return outputs, pull
