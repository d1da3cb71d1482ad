"""Settings of the polynomial student, free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, model_validator

from grokscope.settings import ModelSettings

if TYPE_CHECKING:
    import torch

    from grokscope.facts import Facts


class PolynomialStudentSettings(ModelSettings):
    """f(x) = (1/N) Σ_i a_i φ(w_i·x) with φ(h) = h + (ε/2) h²: one hidden layer without biases (Kumar et al. 2024).

    N is the ``width``, ε the ``epsilon``. Readouts a_i are 1 or, ``trained``, drawn from N(0, 1). The w_i are drawn
    from N(0, 1), times ``initial_scale``. A width of null is the limit N → ∞: 2D weight vectors ±√D e_j have exactly
    its averages w̄ = 0 and M = 1, and keep them; a rate of η of that limit is one of 2D η/N here. ``aligned`` mixes
    the share c of the solution into the start: (1 − c) w_i ± c √(2 s/ε) β for a target s (β·x)², with signs that
    alternate. ``nonlinearity`` puts the Hermite polynomial He_k in the place of the square.
    """

    name: Literal["polynomial-student"] = "polynomial-student"
    cites: ClassVar[tuple[str, ...]] = ("kumar2024",)
    width: int | None = Field(default=500, ge=1, description="N; null is the limit of infinite width")
    epsilon: float = Field(default=0.25, ge=0, description="ε, the strength of the nonlinear part")
    nonlinearity: Literal["quadratic", "hermite-2", "hermite-3", "hermite-4"] = "quadratic"
    readouts: Literal["fixed", "trained"] = "fixed"
    initial_scale: float = Field(default=1.0, gt=0, description="σ, of the weights w_i")
    aligned: float = Field(default=0.0, ge=0, le=1, description="c, the share of the start that is the solution")

    @model_validator(mode="after")
    def _combinations(self) -> PolynomialStudentSettings:
        if self.width is None and (self.aligned or self.readouts == "trained" or self.nonlinearity != "quadratic"):
            raise ValueError(
                "the limit of infinite width is known for drawn weights, fixed readouts and the quadratic "
                "nonlinearity: give a width"
            )
        if self.aligned and not self.epsilon:
            raise ValueError(f"aligned = {self.aligned:g} needs a nonlinear part: set epsilon above 0")
        return self

    def build(self, facts: Facts, generator: torch.Generator) -> torch.nn.Module:
        """Return the initialised student for the input shape of ``facts``, in float64."""
        from grokscope.models.polynomial import PolynomialStudent

        return PolynomialStudent(self, facts, generator)
