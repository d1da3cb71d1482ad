"""Settings of the exact reduction of the polynomial student, free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from grokscope.settings import MOST_STEPS, LearnerSettings

if TYPE_CHECKING:
    from grokscope.learners.base import Learner


class PolynomialReductionSettings(LearnerSettings):
    """Gradient descent of the polynomial student, exactly, at a cost that does not know its width.

    Every weight vector follows one affine map, w_i(t) = A w_i(0) + b, which is what a step updates. It is the same
    training as that of the learner ``gradient`` with the optimizer ``sgd``: full batch, squared error, a constant
    rate; momentum and weight decay are allowed. ``output_scale`` and ``centred`` mean what they mean there. Members of
    an ensemble may differ in all of these, in ε, width and number of examples.
    """

    name: Literal["polynomial-reduction"] = "polynomial-reduction"
    cites: ClassVar[tuple[str, ...]] = ("kumar2024",)
    ensembles: ClassVar[bool] = True
    stacks: ClassVar[bool] = False
    per_member: ClassVar[tuple[str, ...]] = ("output_scale", "centred")
    steps: int = Field(default=10_000, ge=0, le=MOST_STEPS)
    output_scale: float = Field(default=1.0, gt=0, description="α: the outputs are α f(x), and lazy for a large α")
    centred: bool = Field(default=False, description="whether the outputs at the start are taken off: α (f − f_0)")

    def build(self, *, ensemble: bool = False) -> Learner:
        """Return the learner, which trains one member or many."""
        from grokscope.learners.polynomial import PolynomialReduction

        return PolynomialReduction()
