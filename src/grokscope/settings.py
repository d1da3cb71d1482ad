"""Base classes of everything that can be named in a spec: what it is called and what may be set.

Settings are frozen and import no torch; ``build`` makes the thing itself. A field's name is the key
that users type (``task.modulus``), its ``Field`` limits are checked before anything is trained.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    import torch

    from grokscope.facts import Facts
    from grokscope.learners.base import Learner
    from grokscope.spec import Seeds
    from grokscope.tasks.base import Task

Point = Literal["data", "activation", "loss", "gradient", "parameters"]


class Settings(BaseModel):
    """Frozen, closed: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Part(Settings):
    """Settings of something a registry knows by ``name``.

    ``version`` is raised whenever the same settings would train differently; it is part of a
    run's identity. ``cites`` are the papers it comes from: keys of ``grokscope.citations``, or BibTeX entries.
    ``per_member`` are the fields in which the members of an ensemble may differ; ``from_the_start`` those that hold
    from step 0 on, so that a fork cannot change them.
    """

    name: str
    version: ClassVar[int] = 1
    cites: ClassVar[tuple[str, ...]] = ()
    per_member: ClassVar[tuple[str, ...]] = ()
    from_the_start: ClassVar[tuple[str, ...]] = ()


class TaskSettings(Part):
    """Settings of a task."""

    def build(self, seeds: Seeds) -> Task:
        """Return the task: a pure function of these settings and the seeds."""
        raise TypeError(f"{type(self).__name__} must define build(seeds) -> Task")

    def absent(self) -> str | None:
        """Return the sentence that says which data file is missing; None where the task can be built."""
        return None


class ModelSettings(Part):
    """Settings of a model; those ``per_member`` move only where its parameters begin."""

    per_member: ClassVar[tuple[str, ...]] = ("initial_scale",)
    paths: ClassVar[tuple[str, ...]] = ("plain",)
    """Forward passes the model offers; ``fast`` is a method ``fast_forward`` over the same parameters."""

    def build(self, facts: Facts, generator: torch.Generator) -> torch.nn.Module:
        """Return the initialised module, in float32 on the CPU; all draws come from ``generator``."""
        raise TypeError(f"{type(self).__name__} must define build(facts, generator) -> nn.Module")


class OptimizerSettings(Part):
    """Settings of an optimizer of the gradient learner; ``build`` returns its two pure functions.

    In an ensemble ``build`` is given the fields ``per_member`` by name, as tensors with one entry a member where they
    differ.
    """

    per_member: ClassVar[tuple[str, ...]] = ("learning_rate", "weight_decay")
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    warmup_steps: int = Field(default=0, ge=0, description="update t (from 0) is scaled by min(t / warmup_steps, 1)")

    def build(self) -> Any:
        """Return the optimizer (``grokscope.learners.optim.base.Optimizer``)."""
        raise TypeError(f"{type(self).__name__} must define build() -> Optimizer")


MOST_STEPS = 10**12
"""More than any machine makes, and few enough for every file that counts steps."""


class LearnerSettings(Part):
    """Settings of a learner; ``steps`` is how far to train and no part of a run's identity."""

    ensembles: ClassVar[bool] = False
    """Whether several members can be trained as one computation."""
    stacks: ClassVar[bool] = True
    """Whether members are stacked, with parameters of the same shapes; else they may differ in model and optimizer."""

    steps: int = Field(ge=0, le=MOST_STEPS)

    def build(self, *, ensemble: bool = False) -> Learner:
        """Return the learner."""
        raise TypeError(f"{type(self).__name__} must define build(ensemble=...) -> Learner")


class InterventionSettings(Part):
    """Settings of an intervention, which acts on updates ``start`` <= step < ``stop``."""

    point: ClassVar[Point]
    draws: ClassVar[bool] = False
    """Whether it draws: then the learner puts its seed into the state that ``init`` gave, an int64 tensor ``seed``."""
    measured: ClassVar[bool] = True
    """Whether measures see it, where it acts on an activation; else it acts in training alone."""
    start: int = Field(default=0, ge=0)
    stop: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _starts_before_it_stops(self) -> InterventionSettings:
        if self.stop is not None and self.stop <= self.start:
            raise ValueError(f"an intervention from step {self.start} to {self.stop} never acts: stop must be later")
        return self

    def from_task(self, task: TaskSettings) -> dict[str, Any]:
        """Return the settings to fill in that only the task knows, by key; called when a spec is resolved."""
        return {}

    def active(self, step: int) -> bool:
        """Tell whether update ``step`` (from 0) is acted on."""
        return self.start <= step and (self.stop is None or step < self.stop)
