"""Settings of the perceptron whose forward pass divides, free of torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from grokscope.settings import ModelSettings

if TYPE_CHECKING:
    import torch

    from grokscope.facts import Facts


class ScaledPerceptronSettings(ModelSettings):
    """A perceptron without biases whose weights start at N(0, 1) · initial_scale and whose forward pass divides.

    h_0 = x and h_l = φ(W_l h_{l-1} / c_l), with f = W_L h_{L-1} / c_L. ``parametrisation`` says what c is, n being the
    layer's fan-in: ``mean-field`` √n in hidden layers and n at the output; ``ntk`` √n in all; ``standard`` 1. With
    ``initial_weights = "he"`` they are √(2/n) smaller. Of one hidden layer of N quadratic units on inputs of size D,
    ``mean-field`` is f = W_2 (W_1 x)² / (D N). Integer tokens are one-hot encoded and concatenated; other
    inputs are flattened.
    """

    name: Literal["scaled-perceptron"] = "scaled-perceptron"
    cites: ClassVar[tuple[str, ...]] = ("kumar2024",)
    widths: tuple[int, ...] = Field(default=(100,), min_length=1)
    activation: Literal["quadratic", "relu", "tanh", "gelu"] = "quadratic"
    parametrisation: Literal["mean-field", "ntk", "standard"] = "mean-field"
    initial_weights: Literal["standard-normal", "he"] = "standard-normal"
    initial_scale: float = Field(default=1.0, gt=0)

    def divisor(self, fan_in: int, *, last: bool) -> float:
        """Return c of a layer.

        Example:
            >>> ScaledPerceptronSettings().divisor(100, last=False), ScaledPerceptronSettings().divisor(100, last=True)
            (10.0, 100.0)
        """
        if self.parametrisation == "standard":
            return 1.0
        return float(fan_in) if last and self.parametrisation == "mean-field" else math.sqrt(fan_in)

    def build(self, facts: Facts, generator: torch.Generator) -> torch.nn.Module:
        """Return the initialised perceptron for the inputs and outputs of ``facts``."""
        from grokscope.models.scaled_perceptron import ScaledPerceptron

        return ScaledPerceptron(self, facts, generator)
