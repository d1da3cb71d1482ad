"""Settings of the gradient learner and its optimizers, free of torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from grokscope.settings import MOST_STEPS, LearnerSettings, OptimizerSettings

if TYPE_CHECKING:
    from grokscope.learners.base import Learner


class GradientSettings(LearnerSettings):
    """Gradient descent on a loss.

    ``loss`` overrides the task's own. ``loss_dtype`` is the precision of log-softmax: in float32 the loss of an
    example below about 6e-8 and its gradient at the target's logit are 0, while the other logits are still pushed
    down, which causes slingshots. ``l1`` adds l1 · ‖θ‖₁ over all parameters to what is descended; ``step/loss`` stays
    the loss of the data, so that runs with and without it can be compared. ``l2`` adds l2 · ‖θ‖₂² likewise; below 0
    it rewards a large norm (Golechha 2024), and unlike an optimizer's weight decay it goes through the optimizer's
    moments. ``output_scale`` and ``centred`` make any model lazy (Chizat et al. 2019): it then trains, and is
    measured, as α (f(θ) − f(θ_0)), with the parameters of f.
    """

    name: Literal["gradient"] = "gradient"
    ensembles: ClassVar[bool] = True
    per_member: ClassVar[tuple[str, ...]] = ("output_scale",)
    steps: int = Field(default=1000, ge=0, le=MOST_STEPS)
    loss: Literal["cross-entropy", "mean-squared-error"] | None = None
    loss_dtype: Literal["float32", "float64"] = "float64"
    l1: float = Field(default=0.0, ge=0, description="weight of the penalty, the sum of |θ| over all parameters")
    l2: float = Field(default=0.0, description="weight of the sum of θ² over all parameters; may be negative")
    objective: Literal["loss", "log-loss"] = Field(
        default="loss", description="what is descended: the logarithm of the loss neither underflows nor saturates"
    )
    output_scale: float = Field(default=1.0, gt=0, description="α: the outputs are α f(x), and lazy for a large α")
    centred: bool = Field(default=False, description="whether the outputs at the start are taken off: α (f − f_0)")

    @model_validator(mode="after")
    def _one_objective(self) -> GradientSettings:
        for name, value in (("l1", self.l1), ("l2", self.l2)):
            if self.objective == "log-loss" and value:
                raise ValueError(f"{name} is added to the loss, of which log-loss descends the logarithm: set it to 0")
        return self

    def build(self, *, ensemble: bool = False) -> Learner:
        """Return the learner, or the ensemble of such learners."""
        from grokscope.learners.ensemble import Ensemble
        from grokscope.learners.gradient import GradientLearner

        return Ensemble() if ensemble else GradientLearner()


class SGDSettings(OptimizerSettings):
    """Stochastic gradient descent; weight decay is coupled (added to the gradient).

    ``rate`` says how the learning rate η changes, to follow a gradient flow for long: ``norm-scheduled`` is
    η max(1, ‖θ_0‖ / ‖θ‖)^``norm_power`` (2(L - 1) for an L-homogeneous model), ``loss-normalised`` is η / loss but at
    least ``least_rate``; both are at most ``largest_rate``. The sum of the rates is logged as ``clock/time``, or its
    logarithm as ``clock/log_time``.
    """

    name: Literal["sgd"] = "sgd"
    learning_rate: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    nesterov: bool = False
    rate: Literal["constant", "norm-scheduled", "loss-normalised"] = "constant"
    largest_rate: float | None = Field(default=None, gt=0, description="what a rate that changes may grow to")
    least_rate: float | None = Field(default=None, gt=0, description="what a loss-normalised rate may fall to")
    norm_power: float = Field(default=2.0, ge=0)

    @model_validator(mode="after")
    def _rate_fits(self) -> SGDSettings:
        if self.rate == "constant" and self.largest_rate is not None:
            raise ValueError("a constant rate has no largest_rate: set rate to norm-scheduled or loss-normalised")
        if self.rate != "loss-normalised" and self.least_rate is not None:
            raise ValueError(f"rate = {self.rate!r} has no least_rate: only loss-normalised has")
        if self.rate != "constant" and self.momentum:
            raise ValueError(f"rate = {self.rate!r} follows a gradient flow, which has no momentum: set momentum = 0")
        return self

    def build(self, **per_member: Any) -> Any:
        """Return the optimizer; ``per_member`` replaces learning_rate and weight_decay by tensors."""
        from grokscope.learners.optim.base import Schedule
        from grokscope.learners.optim.sgd import SGD

        rate = per_member.get("learning_rate", self.learning_rate)
        return SGD(
            Schedule(rate, self.warmup_steps),
            per_member.get("weight_decay", self.weight_decay),
            self.momentum,
            self.nesterov,
            self.rate,
            math.inf if self.largest_rate is None else self.largest_rate,
            self.least_rate or 0.0,
            self.norm_power,
            per_member.get("logarithmic", False),
            per_member.get("members"),
        )


class AdamSettings(OptimizerSettings):
    """Adam; weight decay is coupled (added to the gradient)."""

    name: Literal["adam"] = "adam"
    cites: ClassVar[tuple[str, ...]] = ("kingma2015",)
    learning_rate: float = Field(default=1e-3, gt=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.999, ge=0, lt=1)
    epsilon: float = Field(default=1e-8, gt=0)

    def build(self, **per_member: Any) -> Any:
        """Return the optimizer; ``per_member`` replaces learning_rate and weight_decay by tensors."""
        return self._adam(False, per_member)

    def _adam(self, decoupled: bool, per_member: dict[str, Any]) -> Any:
        from grokscope.learners.optim.adam import Adam
        from grokscope.learners.optim.base import Schedule

        rate = per_member.get("learning_rate", self.learning_rate)
        decay = per_member.get("weight_decay", self.weight_decay)
        schedule, fused = Schedule(rate, self.warmup_steps), per_member.get("fused", False)
        return Adam(schedule, decay, self.beta1, self.beta2, self.epsilon, decoupled, fused)


class AdamWSettings(AdamSettings):
    """AdamW; weight decay is decoupled (parameters shrink by learning rate x weight decay) and acts on all."""

    name: Literal["adamw"] = "adamw"  # type: ignore[assignment]
    cites: ClassVar[tuple[str, ...]] = ("kingma2015", "loshchilov2019")
    weight_decay: float = Field(default=0.01, ge=0)

    def build(self, **per_member: Any) -> Any:
        """Return the optimizer; ``per_member`` replaces learning_rate and weight_decay by tensors."""
        return self._adam(True, per_member)
