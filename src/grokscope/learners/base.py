"""What a learner is: something that advances by n steps, predicts, and can be stored whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from grokscope.settings import Point
    from grokscope.snapshot import Snapshot
    from grokscope.spec import Spec
    from grokscope.tasks.base import Task


@dataclass(frozen=True)
class StateDict:
    """A learner's whole state: tensors by name and JSON values."""

    tensors: dict[str, Tensor]
    values: dict[str, Any]


class Learner(Protocol):
    """A learner holds no state of its own; everything that changes is in the state it returns.

    ``advance`` may reuse the state it is given and must be bitwise equal for every partition of n. A
    state restored from its ``state_dict`` continues bitwise. A learner of several members (an
    ensemble) is started with several specs and tasks and answers for each member.
    """

    @property
    def points(self) -> frozenset[Point]:
        """Where interventions are accepted."""
        ...

    def start(self, specs: Sequence[Spec], tasks: Sequence[Task]) -> Any:
        """Return the state at step 0."""
        ...

    def restore(self, specs: Sequence[Spec], tasks: Sequence[Task], stored: StateDict) -> Any:
        """Return the state that ``stored`` describes."""
        ...

    def advance(self, state: Any, n: int) -> Any:
        """Return the state n steps later."""
        ...

    def step(self, state: Any) -> int:
        """Return how many steps the state has made."""
        ...

    def predict(self, state: Any, inputs: Tensor, member: int = 0) -> Tensor:
        """Return the outputs for a batch of inputs."""
        ...

    def snapshot(self, state: Any, member: int = 0) -> Snapshot:
        """Return a view of the state whose tensors are private copies."""
        ...

    def scalars(self, state: Any, member: int = 0) -> dict[tuple[str, str | None], float]:
        """Return what the learner itself logs, by (key, module): ``step/loss``, clocks, effects.

        A loss that is not finite is how a learner tells that it has diverged.
        """
        ...

    def state_dict(self, state: Any) -> StateDict:
        """Return the whole state."""
        ...
