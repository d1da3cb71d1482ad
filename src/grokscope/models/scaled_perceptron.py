"""Perceptrons whose weights are all of one size and whose forward pass divides: the parametrisations of theory."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokscope.models.mlp import Dense, input_size
from grokscope.models.pullback import dense

if TYPE_CHECKING:
    from grokscope.facts import Facts
    from grokscope.models.scaled_perceptron_settings import ScaledPerceptronSettings


class Scaled(nn.Module):
    """x ↦ W x / ``divisor``, without a bias."""

    def __init__(self, weight: Tensor, divisor: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.divisor = divisor

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (batch, outputs) for inputs (batch, fan-in)."""
        return functional.linear(inputs, self.weight) / self.divisor


class ScaledPerceptron(Dense):
    """A perceptron of layers without biases, each divided by a number."""

    def __init__(self, settings: ScaledPerceptronSettings, facts: Facts, generator: torch.Generator) -> None:
        sizes = [input_size(facts), *settings.widths, facts.outputs]
        layers = []
        for index, (before, after) in enumerate(itertools.pairwise(sizes)):
            deviation = settings.initial_scale
            if settings.initial_weights == "he":
                deviation *= math.sqrt(2 / before)
            weight = torch.randn(after, before, generator=generator) * deviation
            layers.append(Scaled(weight, settings.divisor(before, last=index == len(sizes) - 2)))
        super().__init__(layers, settings.activation, facts)

    def pullback(
        self, parameters: Mapping[str, Tensor], inputs: Tensor
    ) -> tuple[Tensor, Callable[[Tensor], dict[str, Tensor]]]:
        """Return outputs and gradients of many members, as :class:`grokscope.learners.closed.Pullback` says."""
        names = [f"layers.{number}.weight" for number in range(len(self.layers))]
        divisors = [float(layer.divisor) for layer in self.layers]  # type: ignore[arg-type]
        weights = [parameters[name] / by for name, by in zip(names, divisors, strict=True)]
        x = self._flat(inputs, weights[0].dtype).flatten(2)
        outputs, back = dense(x, weights, [None] * len(weights), self.activation, self.slope)

        def pull(slopes: Tensor) -> dict[str, Tensor]:
            by_weight, _ = back(slopes)
            return {name: one / by for name, one, by in zip(names, by_weight, divisors, strict=True)}

        return outputs, pull
