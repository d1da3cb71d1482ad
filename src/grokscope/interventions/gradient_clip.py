"""Shorten gradients that are too long (Pascanu et al. 2013)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from grokscope.settings import InterventionSettings, Point

if TYPE_CHECKING:
    from torch import Tensor


class GradientClip(InterventionSettings):
    """g ← g · min(1, norm / ‖g‖), with ‖g‖ over all parameters together, of each member of an ensemble its own.

    ``effect`` is the share of the updates so far in which it shortened the gradient.
    """

    name: Literal["gradient-clip"] = "gradient-clip"
    cites: ClassVar[tuple[str, ...]] = ("pascanu2013",)
    point: ClassVar[Point] = "gradient"
    norm: float = Field(default=5.0, gt=0, description="the largest ‖g‖")

    def init(self, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return no updates and no effect."""
        import torch

        some = next(iter(parameters.values()))
        zero = torch.zeros((), dtype=some.dtype, device=some.device)
        return {"updates": zero, "effect": zero.clone()}

    def apply(
        self, value: dict[str, Tensor], state: dict[str, Tensor], *, step: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the shortened gradients."""
        first, *rest = (gradient.square().sum() for gradient in value.values())
        # a gradient of 0 makes the quotient infinite, and the factor 1
        quotient = self.norm / sum(rest, first).sqrt()
        factor = quotient.clamp(max=1)
        updates = state["updates"] + 1
        effect = state["effect"] + ((quotient < 1).to(updates.dtype) - state["effect"]) / updates
        return {name: gradient * factor for name, gradient in value.items()}, {"updates": updates, "effect": effect}
