"""The multilayer perceptron."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from grokscope.facts import Facts
    from grokscope.models.settings import MLPSettings

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


def input_size(facts: Facts) -> int:
    """Return how many numbers a perceptron reads: one-hot tokens side by side, or the entries of a flattened array.

    Raises:
        TypeError: the facts say nothing of the inputs' shape.
    """
    if facts.sequence is not None:
        return facts.sequence.length * facts.sequence.vocabulary
    if facts.geometry is not None:
        return math.prod(facts.geometry.shape)
    raise TypeError("a perceptron needs to know its inputs' shape; the task's facts have none")


class MLP(nn.Module):
    """Inputs ``(batch, ...)`` to outputs ``(batch, outputs)``; hidden layer i can be observed at ``at_hidden.i``."""

    def __init__(self, settings: MLPSettings, facts: Facts, generator: torch.Generator) -> None:
        super().__init__()
        self.vocabulary = facts.sequence.vocabulary if facts.sequence is not None else None
        sizes = [input_size(facts), *settings.widths, facts.outputs]
        self.layers = nn.ModuleList(
            nn.utils.skip_init(nn.Linear, before, after, bias=settings.bias)
            for before, after in itertools.pairwise(sizes)
        )
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            bound = settings.initial_scale / math.sqrt(layer.in_features)
            for parameter in layer.parameters():
                parameter.data.uniform_(-bound, bound, generator=generator)
        self.activation = ACTIVATIONS[settings.activation]()
        self.at_hidden = nn.ModuleList(nn.Identity() for _ in settings.widths)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs for a batch of inputs."""
        if self.vocabulary is not None:
            inputs = functional.one_hot(inputs, self.vocabulary).to(next(self.parameters()).dtype)
        x = inputs.flatten(1)
        for layer, site in zip(self.layers[:-1], self.at_hidden, strict=True):
            x = site(self.activation(layer(x)))
        return self.layers[-1](x)
