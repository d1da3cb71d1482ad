"""Settings of the two-layer perceptron, free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from grokscope.settings import ModelSettings

if TYPE_CHECKING:
    import torch

    from grokscope.facts import Facts


class TwoLayerPerceptronSettings(ModelSettings):
    """W_2 ReLU(W_1 x + b_1), W_1 from N(0, 2/inputs), W_2 from N(0, 1/hidden), b_1 = 0, all times ``initial_scale``.

    With ``zero_readout`` W_2 begins at 0, and so do the outputs, whatever the scale.
    """

    name: Literal["two-layer-perceptron"] = "two-layer-perceptron"
    cites: ClassVar[tuple[str, ...]] = ("lyu2024",)
    paths: ClassVar[tuple[str, ...]] = ("plain", "fast")
    per_member: ClassVar[tuple[str, ...]] = ("initial_scale", "zero_readout")
    hidden_width: int = Field(default=1024, ge=1)
    initial_scale: float = Field(default=1.0, gt=0, description="α: θ(0) = α times one He draw")
    zero_readout: bool = Field(default=False, description="whether W_2 begins at 0")

    def build(self, facts: Facts, generator: torch.Generator) -> torch.nn.Module:
        """Return the perceptron for the tokens and outputs of ``facts``."""
        from grokscope.models.two_layer import TwoLayerPerceptron

        return TwoLayerPerceptron(self, facts, generator)
