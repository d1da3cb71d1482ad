"""Settings of the diagonal linear network, free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from grokscope.settings import ModelSettings

if TYPE_CHECKING:
    import torch

    from grokscope.facts import Facts


class DiagonalNetworkSettings(ModelSettings):
    """f(x) = Σ_j (u_j² − v_j²) x_j, with u = v and ‖(u, v)‖ = ``initial_norm`` at the start, where f is 0.

    As theory writes it, θ(0) = α (1, …, 1) with α = initial_norm / √(2d).
    """

    name: Literal["diagonal-network"] = "diagonal-network"
    cites: ClassVar[tuple[str, ...]] = ("woodworth2020",)
    per_member: ClassVar[tuple[str, ...]] = ("initial_norm",)
    initial_norm: float = Field(default=128.0, ge=1e-9, le=1e12, description="‖θ(0)‖, over all 2d parameters")

    def build(self, facts: Facts, generator: torch.Generator) -> torch.nn.Module:
        """Return the network for the dimension of ``facts``; nothing is drawn."""
        from grokscope.models.diagonal import DiagonalNetwork

        return DiagonalNetwork(self, facts)
