"""Train a masked network (grokking tickets, Minegishi et al. 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from grokscope.interventions.chosen import chosen
from grokscope.settings import InterventionSettings, Point

if TYPE_CHECKING:
    from torch import Tensor


class ParameterMask(InterventionSettings):
    """After each update multiply the chosen parameters by a fixed mask of zeros and ones.

    The mask keeps, in each chosen tensor, the share ``keep`` of largest magnitude at the first update
    acted on. The mask is state and is stored with the run; ``effect`` is the share of the chosen
    parameters that is masked.
    """

    name: Literal["parameter-mask"] = "parameter-mask"
    point: ClassVar[Point] = "parameters"
    keep: float = Field(gt=0, le=1)
    parameters: str = Field(default="*", description="which parameters, a shell pattern of their names")

    def init(self, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return masks of ones, not yet chosen."""
        import torch

        some = next(iter(parameters.values()))
        masks = {f"mask.{name}": torch.ones_like(parameters[name]) for name in self._chosen(parameters)}
        zero = torch.zeros((), dtype=some.dtype, device=some.device)
        return {**masks, "chosen": zero, "effect": zero.clone()}

    def apply(
        self, value: dict[str, Tensor], state: dict[str, Tensor], *, step: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the masked parameters."""
        import torch

        masks: dict[str, Tensor] = {}
        for name in self._chosen(value):
            size = value[name].abs().flatten()
            count = max(1, round(self.keep * size.shape[0]))
            # by rank, so that equal magnitudes do not keep more than the share
            rank = size.argsort(descending=True, stable=True).argsort()
            fresh = (rank < count).to(value[name].dtype).reshape(value[name].shape)
            masks[name] = torch.where(state["chosen"] > 0, state[f"mask.{name}"], fresh)
        masked = {name: tensor * masks[name] if name in masks else tensor for name, tensor in value.items()}
        total = sum(mask.numel() for mask in masks.values())
        dropped = sum((1 - mask).sum() for mask in masks.values()) / total
        named = {f"mask.{name}": mask for name, mask in masks.items()}
        return masked, {**named, "chosen": torch.ones_like(state["chosen"]), "effect": torch.as_tensor(dropped)}

    def _chosen(self, parameters: dict[str, Tensor]) -> list[str]:
        return chosen(parameters, self.parameters, self.name)
