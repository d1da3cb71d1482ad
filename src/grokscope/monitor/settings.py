"""What a spec says of a training that was not ours: data, model and loop by what identifies them; free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NoReturn

from pydantic import Field

from grokscope.errors import UsageError
from grokscope.settings import MOST_STEPS, LearnerSettings, ModelSettings, Settings, TaskSettings

if TYPE_CHECKING:
    import torch

    from grokscope.facts import Facts
    from grokscope.learners.base import Learner
    from grokscope.spec import Seeds
    from grokscope.tasks.base import Task

MONITORED = "monitored"
"""The name, in the registries, of a task, model and learner that are somebody else's."""


class TensorFacts(Settings):
    """A tensor by its shape, dtype and the SHA-256 of its bytes."""

    shape: tuple[int, ...]
    dtype: str
    sha256: str


class ProbeFacts(Settings):
    """A batch that measures look at: ``given`` examples, of which those described here were taken."""

    given: int = Field(ge=0)
    inputs: TensorFacts
    targets: TensorFacts | None = None
    weights: TensorFacts | None = None


class MonitoredTask(TaskSettings):
    """The data of a training that gs.Monitor looked at; it cannot be made here."""

    name: Literal["monitored"] = "monitored"
    loss: str | None = None
    probes: dict[str, ProbeFacts] = Field(default_factory=dict)

    def build(self, seeds: Seeds) -> Task:
        """Raise: the data are in the run that was monitored, where they were stored at all."""
        _refuse()


class MonitoredModel(ModelSettings):
    """The model of a training that gs.Monitor looked at: its class and how many parameters; it cannot be made here.

    ``initial`` is the SHA-256 of parameters and buffers when the monitor was made. ``forward``: it was asked to
    predict by a function of its own. ``draws``: it draws random numbers even as it predicts.
    """

    name: Literal["monitored"] = "monitored"
    type: str = ""
    parameters: int = Field(default=0, ge=0)
    initial: str | None = None
    forward: bool = False
    draws: bool = False

    def build(self, facts: Facts, generator: torch.Generator) -> torch.nn.Module:
        """Raise: the code of the model is not ours."""
        _refuse()


class MonitoredLearner(LearnerSettings):
    """A training loop that gs.Monitor looked at; how far it goes is not known beforehand, and ``steps`` is 0.

    ``settings`` are what its author said of it.
    """

    name: Literal["monitored"] = "monitored"
    steps: int = Field(default=0, ge=0, le=MOST_STEPS)
    optimizer: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)

    def build(self, *, ensemble: bool = False) -> Learner:
        """Raise: the loop is not ours."""
        _refuse()


def _refuse() -> NoReturn:
    raise UsageError(
        "this run was recorded by gs.Monitor in a training loop of somebody else's: it cannot be trained, resumed or "
        "forked here, only measured and shown."
    )
