"""The multilayer perceptron."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokscope.errors import UsageError
from grokscope.models.pullback import LEAK, SLOPES, dense

if TYPE_CHECKING:
    from grokscope.facts import Facts
    from grokscope.models.settings import MLPSettings


class Square(nn.Module):
    """h ↦ h²."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the squares."""
        return inputs.square()


class LeakyReLU(nn.LeakyReLU):
    """h where it is positive, h / 5 elsewhere (Liu et al. 2023)."""

    def __init__(self) -> None:
        super().__init__(LEAK)


ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "quadratic": Square, "leaky-relu": LeakyReLU}


def input_size(facts: Facts) -> int:
    """Return how many numbers a perceptron reads: one-hot tokens side by side, or the entries of a flattened array.

    Raises:
        UsageError: the facts say nothing of the inputs' shape.
    """
    if facts.sequence is not None:
        return facts.sequence.length * facts.sequence.vocabulary
    if facts.geometry is not None:
        return math.prod(facts.geometry.shape)
    raise UsageError("a perceptron needs to know its inputs' shape, and this task has none: change task.name.")


class Dense(nn.Module):
    """Layers with one nonlinearity between them: inputs ``(batch, ...)`` to outputs ``(batch, outputs)``.

    Tokens are read one-hot, side by side. Hidden layer i can be observed at ``at_hidden.i``.
    """

    def __init__(self, layers: Iterable[nn.Module], activation: str, facts: Facts) -> None:
        super().__init__()
        self.vocabulary = facts.sequence.vocabulary if facts.sequence is not None else None
        self.layers = nn.ModuleList(layers)
        self.activation = ACTIVATIONS[activation]()
        self.slope = SLOPES[activation]
        self.at_hidden = nn.ModuleList(nn.Identity() for _ in self.layers[:-1])

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs for a batch of inputs."""
        x = self._flat(inputs, next(self.parameters()).dtype).flatten(1)
        for layer, site in zip(self.layers[:-1], self.at_hidden, strict=True):
            x = site(self.activation(layer(x)))
        return self.layers[-1](x)

    def _flat(self, inputs: Tensor, dtype: torch.dtype) -> Tensor:
        """Return inputs as numbers: of tokens one-hot vectors."""
        return inputs if self.vocabulary is None else functional.one_hot(inputs, self.vocabulary).to(dtype)


class MLP(Dense):
    """A perceptron of linear layers."""

    def __init__(self, settings: MLPSettings, facts: Facts, generator: torch.Generator) -> None:
        layers = []
        for before, after in itertools.pairwise([input_size(facts), *settings.widths, facts.outputs]):
            layer = nn.utils.skip_init(nn.Linear, before, after, bias=settings.bias)
            bound = settings.initial_scale / math.sqrt(before)
            for parameter in layer.parameters():
                parameter.data.uniform_(-bound, bound, generator=generator)
            layers.append(layer)
        super().__init__(layers, settings.activation, facts)

    def pullback(
        self, parameters: Mapping[str, Tensor], inputs: Tensor
    ) -> tuple[Tensor, Callable[[Tensor], dict[str, Tensor]]]:
        """Return outputs and gradients of many members, as :class:`grokscope.learners.closed.Pullback` says."""
        names = [f"layers.{number}." for number in range(len(self.layers))]
        weights = [parameters[f"{name}weight"] for name in names]
        biases = [parameters.get(f"{name}bias") for name in names]
        x = self._flat(inputs, weights[0].dtype).flatten(2)
        outputs, back = dense(x, weights, biases, self.activation, self.slope)

        def pull(slopes: Tensor) -> dict[str, Tensor]:
            by_weight, by_bias = back(slopes)
            found = {f"{name}weight": one for name, one in zip(names, by_weight, strict=True)}
            return found | {f"{name}bias": one for name, one in zip(names, by_bias, strict=True) if one is not None}

        return outputs, pull
