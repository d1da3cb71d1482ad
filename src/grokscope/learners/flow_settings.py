"""Settings of the learners that follow a gradient flow exactly, by reductions to few dimensions; free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from grokscope.settings import MOST_STEPS, LearnerSettings

if TYPE_CHECKING:
    from grokscope.learners.base import Learner


class FlowSettings(LearnerSettings):
    """Gradient flow of loss + (λ/2) ‖θ‖² in float64, integrated on a grid of its own.

    A step is ``time_per_step`` of the flow's time, so that a run compares with gradient descent of that learning
    rate; how finely the flow is integrated does not depend on it. ``tolerance`` bounds the error of an integration
    step, relative to the solution.
    """

    ensembles: ClassVar[bool] = True
    stacks: ClassVar[bool] = False
    per_member: ClassVar[tuple[str, ...]] = ("time_per_step", "weight_decay", "tolerance")
    from_the_start: ClassVar[tuple[str, ...]] = ("time_per_step", "weight_decay")
    steps: int = Field(default=1000, ge=0, le=MOST_STEPS)
    time_per_step: float = Field(default=0.01, gt=0, description="t of a step; the clock is t = step · time_per_step")
    weight_decay: float = Field(default=0.0, ge=0, description="λ, coupled: added to the gradient")
    tolerance: float = Field(default=1e-6, gt=0, lt=0.1, description="relative error of an integration step")


class DiagonalFlowSettings(FlowSettings):
    """Gradient flow of a diagonal network, exactly reduced to one variable an example (Lyu et al. 2024, App. C).

    u = a e^{−λt} e^{2 Xᵀp} and v = a e^{−λt} e^{−2 Xᵀp}, where p follows dp_i/dt = −∂l_i/∂f_i / n. It is stiff, and is
    integrated by Radau IIA of order 5.
    """

    name: Literal["diagonal-flow"] = "diagonal-flow"

    def build(self, *, ensemble: bool = False) -> Learner:
        """Return the learner; it takes one member or several."""
        from grokscope.learners.diagonal_flow import follow
        from grokscope.learners.flow import FlowLearner

        return FlowLearner(self.name, follow)


class CompletionFlowSettings(FlowSettings):
    """Gradient flow of a symmetric factorisation W = U Uᵀ − V Vᵀ on observed entries (Lyu et al. 2024, Sec. 3.3).

    dU/dt = −λU − SU and dV/dt = −λV + SV with S = (2/n)(R + Rᵀ), R the residual on the observed entries, integrated by
    the Runge-Kutta-Chebyshev method of order 2.
    """

    name: Literal["completion-flow"] = "completion-flow"
    time_per_step: float = Field(default=0.1, gt=0, description="t of a step; the clock is t = step · time_per_step")
    tolerance: float = Field(default=1e-6, gt=0, lt=0.1, description="relative error of an integration step")

    def build(self, *, ensemble: bool = False) -> Learner:
        """Return the learner; it takes one member or several."""
        from grokscope.learners.completion_flow import follow
        from grokscope.learners.flow import FlowLearner

        return FlowLearner(self.name, follow)
