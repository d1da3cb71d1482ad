"""Settings of the long short-term memory, free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from grokscope.settings import ModelSettings

if TYPE_CHECKING:
    import torch

    from grokscope.facts import Facts


class LSTMSettings(ModelSettings):
    """A long short-term memory of ``layers`` layers that reads tokens one after the other, and a linear readout.

    All parameters start as PyTorch has them, times ``initial_scale``: embeddings from N(0, 1), a layer uniform in
    ±√(1/hidden_width), the readout in ±√(1/fan-in), biases too. The state is 0 before the first token of every
    sequence.
    """

    name: Literal["lstm"] = "lstm"
    cites: ClassVar[tuple[str, ...]] = ("hochreiter1997",)
    embedding_width: int = Field(default=64, ge=1)
    layers: int = Field(default=2, ge=1)
    hidden_width: int = Field(default=256, ge=1)
    initial_scale: float = Field(default=1.0, gt=0)

    def build(self, facts: Facts, generator: torch.Generator) -> torch.nn.Module:
        """Return the initialised network for the vocabulary and outputs of ``facts``."""
        from grokscope.models.lstm import LSTM

        return LSTM(self, facts, generator)
