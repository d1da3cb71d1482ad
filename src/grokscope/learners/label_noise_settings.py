"""Settings of stochastic gradient descent with noise on the labels, free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from grokscope.settings import MOST_STEPS, LearnerSettings

if TYPE_CHECKING:
    from grokscope.learners.base import Learner


class LabelNoiseSettings(LearnerSettings):
    """Gradient descent of a diagonal network, an example a step, on (f(x_i) − y_i − ξ)² with ξ ~ N(0, σ²) drawn anew.

    i is uniform over the training set. There is no weight decay: to leading order the noise is one, of
    λ = 8ησ² mean x² (Lyu et al. 2024, App. B.2).
    """

    name: Literal["label-noise"] = "label-noise"
    cites: ClassVar[tuple[str, ...]] = ("lyu2024",)
    ensembles: ClassVar[bool] = True
    per_member: ClassVar[tuple[str, ...]] = ("learning_rate", "noise")
    steps: int = Field(default=450_000, ge=0, le=MOST_STEPS)
    learning_rate: float = Field(default=1e-3, gt=0, description="η")
    noise: float = Field(default=1.0, ge=0, description="σ, the standard deviation of the noise on labels")

    def build(self, *, ensemble: bool = False) -> Learner:
        """Return the learner; it takes one member or several."""
        from grokscope.learners.label_noise import LabelNoise

        return LabelNoise()
