"""Amplify the slow part of the gradient (Lee et al. 2024, Grokfast-EMA, Alg. 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from grokscope.settings import InterventionSettings, Point

if TYPE_CHECKING:
    from torch import Tensor


class GradientFilter(InterventionSettings):
    """μ ← decay · μ + (1 - decay) · g;  g ← g + amplification · μ, with μ = 0 at the start.

    ``effect`` is the mean over updates so far of ‖amplification · μ‖ / ‖g‖.
    """

    name: Literal["gradient-filter"] = "gradient-filter"
    cites: ClassVar[tuple[str, ...]] = ("lee2024",)
    point: ClassVar[Point] = "gradient"
    decay: float = Field(default=0.98, ge=0, lt=1)
    amplification: float = Field(default=2.0, ge=0)

    def init(self, parameters: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return zero running means."""
        import torch

        some = next(iter(parameters.values()))
        zero = torch.zeros((), dtype=some.dtype, device=some.device)
        means = {f"mean.{name}": torch.zeros_like(tensor) for name, tensor in parameters.items()}
        return {**means, "updates": zero, "effect": zero.clone()}

    def apply(
        self, value: dict[str, Tensor], state: dict[str, Tensor], *, step: int
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return the filtered gradients."""
        means = {
            name: self.decay * state[f"mean.{name}"] + (1 - self.decay) * gradient for name, gradient in value.items()
        }
        filtered = {name: gradient + self.amplification * means[name] for name, gradient in value.items()}
        added = sum(mean.square().sum() for mean in means.values())
        present = sum(gradient.square().sum() for gradient in value.values())
        ratio = self.amplification * (added / (present + 1e-30)) ** 0.5
        updates = state["updates"] + 1
        effect = state["effect"] + (ratio - state["effect"]) / updates
        return filtered, {**{f"mean.{n}": m for n, m in means.items()}, "updates": updates, "effect": effect}
