"""Clamp an activation by the name of its submodule (Singh et al. 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, NonNegativeInt, model_validator

from grokscope.errors import UsageError
from grokscope.settings import InterventionSettings, Point

if TYPE_CHECKING:
    from torch import Tensor


class ActivationClamp(InterventionSettings):
    """Replace the output of submodule ``site`` by ``value``, or multiply it by ``factor``, in every forward.

    ``units`` limits it to these indices of the last axis. Training and measuring both see the clamp.
    """

    name: Literal["activation-clamp"] = "activation-clamp"
    cites: ClassVar[tuple[str, ...]] = ("singh2024",)
    point: ClassVar[Point] = "activation"
    site: str
    value: float | None = None
    factor: float | None = None
    units: tuple[NonNegativeInt, ...] | None = Field(
        default=None, min_length=1, description="indices of the last axis; all if absent"
    )

    @model_validator(mode="after")
    def _one_way(self) -> ActivationClamp:
        if (self.value is None) == (self.factor is None):
            raise ValueError("an activation clamp needs either value or factor")
        return self

    def init(self, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return no state."""
        return {}

    def apply(self, value: Tensor, state: dict[str, Tensor], *, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the clamped activation."""
        import torch

        changed = value * self.factor if self.factor is not None else torch.full_like(value, self.value or 0.0)
        if self.units is None:
            return changed, state
        if max(self.units) >= value.shape[-1]:
            raise UsageError(
                f"activation-clamp: unit {max(self.units)} of {self.site} is out of range; it has {value.shape[-1]} "
                "units, counted from 0."
            )
        index = torch.tensor(self.units, device=value.device)
        chosen = torch.zeros(value.shape[-1], dtype=torch.bool, device=value.device).index_fill(0, index, True)
        return torch.where(chosen, changed, value), state
