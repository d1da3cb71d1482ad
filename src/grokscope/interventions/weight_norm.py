"""Hold the norm of the weights (Liu et al. 2023, Omnigrok: the constrained-norm landscape)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from grokscope.interventions.chosen import chosen
from grokscope.settings import InterventionSettings, Point

if TYPE_CHECKING:
    from torch import Tensor


class WeightNormClamp(InterventionSettings):
    """After each update scale the chosen parameters together so that √Σθ² is ``norm``.

    ``norm = "initial"`` holds what it was before the first update, of each member of an ensemble its own; without
    ``norm`` it is held where the first update acted on left it. ``effect`` is the accumulated
    |log(norm before / norm after)|: 0 if the clamp never had anything to do.
    """

    name: Literal["weight-norm"] = "weight-norm"
    cites: ClassVar[tuple[str, ...]] = ("liu2023",)
    point: ClassVar[Point] = "parameters"
    norm: Annotated[float, Field(gt=0)] | Literal["initial"] | None = Field(
        default=None, description="√Σθ² to hold, a number or initial"
    )
    parameters: str = Field(default="*", description="which parameters, a shell pattern of their names")

    def init(self, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the held norm (0 is: not yet known) and no effect."""
        import torch

        names = chosen(parameters, self.parameters, self.name)
        some = parameters[names[0]]
        if self.norm == "initial":
            held = _norm(parameters, names)
        else:
            held = torch.full((), self.norm or 0.0, dtype=some.dtype, device=some.device)
        return {"held": held, "effect": torch.zeros((), dtype=some.dtype, device=some.device)}

    def apply(
        self, value: dict[str, Tensor], state: dict[str, Tensor], *, step: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the scaled parameters."""
        import torch

        names = chosen(value, self.parameters, self.name)
        norm = _norm(value, names)
        held = torch.where(state["held"] > 0, state["held"], norm)
        scale = held / norm
        scaled = {name: tensor * scale if name in names else tensor for name, tensor in value.items()}
        return scaled, {"held": held, "effect": state["effect"] + scale.log().abs()}


def _norm(parameters: dict[str, Tensor], names: list[str]) -> Tensor:
    """Return √Σθ² over the named parameters, shape ()."""
    first, *rest = (parameters[name].square().sum() for name in names)
    return sum(rest, first).sqrt()
