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
    cites: ClassVar[tuple[str, ...]] = ("minegishi2023",)
    point: ClassVar[Point] = "parameters"
    keep: float = Field(gt=0, le=1)
    parameters: str = Field(default="*", description="which parameters, a shell pattern of their names")

    def init(self, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return masks of ones, not yet chosen."""
        import torch

        some = next(iter(parameters.values()))
        masks = {f"mask.{name}": torch.ones_like(parameters[name]) for name in self._chosen(parameters)}
        return {**masks, "effect": torch.zeros((), dtype=some.dtype, device=some.device)}

    def apply(
        self, value: dict[str, Tensor], state: dict[str, Tensor], *, step: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the masked parameters."""
        import torch

        if step == self.start:
            masks = {name: self._mask(value[name]) for name in self._chosen(value)}
        else:
            masks = {name: state[f"mask.{name}"] for name in self._chosen(value)}
        masked = {name: tensor * masks[name] if name in masks else tensor for name, tensor in value.items()}
        total = sum(mask.numel() for mask in masks.values())
        dropped = sum((1 - mask).sum() for mask in masks.values()) / total
        named = {f"mask.{name}": mask for name, mask in masks.items()}
        return masked, {**named, "effect": torch.as_tensor(dropped)}

    def _mask(self, tensor: Tensor) -> Tensor:
        """Return ones at the share of largest magnitude: by rank, so that equal magnitudes do not keep more."""
        size = tensor.abs().flatten()
        rank = size.argsort(descending=True, stable=True).argsort()
        count = max(1, round(self.keep * size.shape[0]))
        return (rank < count).to(tensor.dtype).reshape(tensor.shape)

    def _chosen(self, parameters: dict[str, Tensor]) -> list[str]:
        return chosen(parameters, self.parameters, self.name)
