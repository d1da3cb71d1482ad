"""Settings of the symmetric factorisation, free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from grokscope.settings import ModelSettings

if TYPE_CHECKING:
    import torch

    from grokscope.facts import Facts


class SymmetricFactorisationSettings(ModelSettings):
    """W = U Uᵀ − V Vᵀ from U = V = ``initial_scale`` · 1, where W is 0; with ``perturbation`` each entry of U and V has
    independent Gaussian noise of that standard deviation added, so that no saddle is met exactly.
    """  # noqa: D205

    name: Literal["symmetric-factorisation"] = "symmetric-factorisation"
    cites: ClassVar[tuple[str, ...]] = ("lyu2024",)
    per_member: ClassVar[tuple[str, ...]] = ("initial_scale", "perturbation")
    initial_scale: float = Field(default=10.0, ge=1e-9, le=1e9, description="α: θ(0) = α (1, 1)")
    perturbation: float = Field(default=0.0, ge=0, description="σ of the noise on U and V at the start")

    def build(self, facts: Facts, generator: torch.Generator) -> torch.nn.Module:
        """Return the factorisation for the size of ``facts``; the noise is drawn from ``generator``."""
        from grokscope.models.factorisation import SymmetricFactorisation

        return SymmetricFactorisation(self, facts, generator)
