"""Settings of the gradient learner and its optimizers, free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from grokscope.settings import MOST_STEPS, LearnerSettings, OptimizerSettings

if TYPE_CHECKING:
    from grokscope.learners.base import Learner


class GradientSettings(LearnerSettings):
    """Gradient descent on a loss.

    ``loss`` overrides the task's own. ``loss_dtype`` is the precision of log-softmax: in float32 the loss
    of an example below about 6e-8 and its gradient at the target's logit are 0, while the other logits are
    still pushed down, which causes slingshots. ``l1`` adds l1 · ‖θ‖₁ over all parameters to what is
    descended; ``step/loss`` stays the loss of the data, so that runs with and without it can be compared.
    """

    name: Literal["gradient"] = "gradient"
    ensembles: ClassVar[bool] = True
    steps: int = Field(default=1000, ge=0, le=MOST_STEPS)
    loss: Literal["cross-entropy", "mean-squared-error"] | None = None
    loss_dtype: Literal["float32", "float64"] = "float64"
    l1: float = Field(default=0.0, ge=0, description="weight of the penalty, the sum of |θ| over all parameters")

    def build(self, *, ensemble: bool = False) -> Learner:
        """Return the learner, or the ensemble of such learners."""
        from grokscope.learners.ensemble import Ensemble
        from grokscope.learners.gradient import GradientLearner

        return Ensemble() if ensemble else GradientLearner()


class SGDSettings(OptimizerSettings):
    """Stochastic gradient descent; weight decay is coupled (added to the gradient)."""

    name: Literal["sgd"] = "sgd"
    learning_rate: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.0, ge=0, lt=1)
    nesterov: bool = False

    def build(self, **per_member: Any) -> Any:
        """Return the optimizer; ``per_member`` replaces learning_rate and weight_decay by tensors."""
        from grokscope.learners.optim.base import Schedule
        from grokscope.learners.optim.sgd import SGD

        rate = per_member.get("learning_rate", self.learning_rate)
        decay = per_member.get("weight_decay", self.weight_decay)
        return SGD(Schedule(rate, self.warmup_steps), decay, self.momentum, self.nesterov)


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
        return Adam(Schedule(rate, self.warmup_steps), decay, self.beta1, self.beta2, self.epsilon, decoupled)


class AdamWSettings(AdamSettings):
    """AdamW; weight decay is decoupled (parameters shrink by learning rate x weight decay) and acts on all."""

    name: Literal["adamw"] = "adamw"  # type: ignore[assignment]
    cites: ClassVar[tuple[str, ...]] = ("kingma2015", "loshchilov2019")
    weight_decay: float = Field(default=0.01, ge=0)

    def build(self, **per_member: Any) -> Any:
        """Return the optimizer; ``per_member`` replaces learning_rate and weight_decay by tensors."""
        return self._adam(True, per_member)
