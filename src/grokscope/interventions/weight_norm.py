"""Hold the norm of the weights (Liu et al. 2023, Omnigrok: the constrained-norm landscape)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from grokscope.interventions.chosen import chosen
from grokscope.settings import InterventionSettings, Point

if TYPE_CHECKING:
    from torch import Tensor


class WeightNormClamp(InterventionSettings):
    """After each update scale the chosen parameters together so that √Σθ² is ``norm``.

    Without ``norm`` it is held where the first update acted on left it. ``effect`` is the accumulated
    |log(norm before / norm after)|: 0 if the clamp never had anything to do.
    """

    name: Literal["weight-norm"] = "weight-norm"
    cites: ClassVar[tuple[str, ...]] = ("liu2023",)
    point: ClassVar[Point] = "parameters"
    norm: float | None = Field(default=None, gt=0, description="√Σθ² to hold")
    parameters: str = Field(default="*", description="which parameters, a shell pattern of their names")

    def init(self, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the held norm (0 is: not yet known) and no effect."""
        import torch

        some = parameters[chosen(parameters, self.parameters, self.name)[0]]
        return {
            "held": torch.full((), self.norm or 0.0, dtype=some.dtype, device=some.device),
            "effect": torch.zeros((), dtype=some.dtype, device=some.device),
        }

    def apply(
        self, value: dict[str, Tensor], state: dict[str, Tensor], *, step: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the scaled parameters."""
        import torch

        names = chosen(value, self.parameters, self.name)
        norm = sum((value[name].square().sum() for name in names), torch.zeros_like(state["held"])).sqrt()
        held = torch.where(state["held"] > 0, state["held"], norm)
        scale = held / norm
        scaled = {name: tensor * scale if name in names else tensor for name, tensor in value.items()}
        return scaled, {"held": held, "effect": state["effect"] + scale.log().abs()}
