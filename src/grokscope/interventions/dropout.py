"""Dropout at a submodule (Srivastava et al. 2014), drawn from the noise stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from grokscope.rng import words
from grokscope.settings import InterventionSettings, Point

if TYPE_CHECKING:
    from torch import Tensor


class Dropout(InterventionSettings):
    """In training, set each unit of submodule ``site`` to 0 with probability ``rate``, the others times 1/(1 - rate).

    Measures see the network without it: ``step/loss`` is the loss trained on, with dropout, and
    ``train/loss`` that of the whole network. The mask is a pure function of (noise seed, step, site, index
    within the member): equal after a resume, alone and in an ensemble, and in every precision.
    """

    name: Literal["dropout"] = "dropout"
    cites: ClassVar[tuple[str, ...]] = ("srivastava2014",)
    point: ClassVar[Point] = "activation"
    draws: ClassVar[bool] = True
    measured: ClassVar[bool] = False
    site: str
    rate: float = Field(ge=0, lt=1, description="probability of a unit to be dropped")

    def init(self, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return no state; the learner adds the seed."""
        return {}

    def apply(self, value: Tensor, state: dict[str, Tensor], *, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the activation with dropout, of the same mean."""
        import torch

        if self.rate == 0:
            return value, state
        drawn = words(state["seed"], value.numel(), step, self.site).reshape(value.shape)
        # words lie in -2³¹ … 2³¹-1; the lowest share ``rate`` of them drops
        kept = drawn >= min(round(self.rate * 2**32), 2**32 - 1) - 2**31
        return torch.where(kept, value / (1 - self.rate), 0.0), state
