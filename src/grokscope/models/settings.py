"""Settings of the models, free of torch: each field is a key, each ``build`` makes the module."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from grokscope.settings import ModelSettings

if TYPE_CHECKING:
    import torch

    from grokscope.facts import Facts


class ModularTransformerSettings(ModelSettings):
    """The transformer of Nanda et al. (2023), of one layer there: no LayerNorm, no attention biases, untied.

    Every weight is drawn from N(0, 1) / √width, the unembedding from N(0, 1) / √vocabulary, all times
    ``initial_scale``; biases start at 0. A head is width / heads wide.
    """

    name: Literal["modular-transformer"] = "modular-transformer"
    version: ClassVar[int] = 3
    cites: ClassVar[tuple[str, ...]] = ("vaswani2017", "nanda2023")
    paths: ClassVar[tuple[str, ...]] = ("plain", "fast")
    layers: int = Field(default=1, ge=1)
    width: int = Field(default=128, ge=1)
    heads: int = Field(default=4, ge=1)
    hidden_width: int = Field(default=512, ge=1)
    activation: Literal["relu", "gelu"] = "relu"
    initial_scale: float = Field(default=1.0, gt=0)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> ModularTransformerSettings:
        if self.width % self.heads:
            raise ValueError(f"width = {self.width} is not a multiple of heads = {self.heads}")
        return self

    def build(self, facts: Facts, generator: torch.Generator) -> torch.nn.Module:
        """Return the initialised transformer for the vocabulary and outputs of ``facts``."""
        from grokscope.models.transformer import ModularTransformer

        return ModularTransformer(self, facts, generator)


class MLPSettings(ModelSettings):
    """A perceptron with ``widths`` hidden units a layer; weights uniform in ±√(1/fan-in) · initial_scale.

    Inputs are flattened; integer tokens are one-hot encoded and concatenated when the facts have a
    sequence layout.
    """

    name: Literal["mlp"] = "mlp"
    widths: tuple[int, ...] = Field(default=(200, 200), min_length=1)
    activation: Literal["relu", "tanh", "gelu", "leaky-relu"] = "relu"
    initial_scale: float = Field(default=1.0, gt=0)
    bias: bool = True

    def build(self, facts: Facts, generator: torch.Generator) -> torch.nn.Module:
        """Return the initialised perceptron for the input shape and outputs of ``facts``."""
        from grokscope.models.mlp import MLP

        return MLP(self, facts, generator)
