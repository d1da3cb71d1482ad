"""Many members trained as one batched computation, each with its own seeds, rates, initial scale and data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.learners.gradient import GradientLearner, GradientState
from grokscope.learners.optim.base import Optimizer
from grokscope.members import check_alike

if TYPE_CHECKING:
    from grokscope.spec import Spec
    from grokscope.tasks.base import Task


class Ensemble(GradientLearner):
    """Every tensor has a leading member axis; a member never reads another's slice.

    Members may differ in seeds, task data (shorter train sets are padded with examples of weight 0) and what their
    parts declare as ``per_member``: initial scale, learning rate, weight decay, output scale. A diverged member stays
    in the batch and is simply no longer looked at, which leaves the others bitwise as they are. A member equals its
    own single run up to rounding (1e-10 a step in float64), not bitwise.
    """

    lift = staticmethod(torch.vmap)
    stacked = True

    def start(self, specs: Sequence[Spec], tasks: Sequence[Task]) -> GradientState:
        """Return the stacked state of all members at step 0.

        Raises:
            UsageError: the members differ in something that must be one for all.
        """
        check_alike(specs)
        _check_tasks(tasks)
        state = super().start(specs, tasks)
        state.moving.loss = state.moving.loss.repeat(len(specs))
        return state

    def _combine(self, members: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        shapes = [{name: tuple(tensor.shape) for name, tensor in member.items()} for member in members]
        if any(shape != shapes[0] for shape in shapes):
            raise UsageError("the members of an ensemble must have parameters of the same names and shapes.")
        return {name: torch.stack([member[name] for member in members]) for name in members[0]}

    def _optimizer(self, specs: Sequence[Spec], *, fused: bool) -> Optimizer:
        settings: list[Any] = [spec.optimizer for spec in specs]
        device = specs[0].numerics.device
        each: dict[str, Any] = {
            "members": len(specs),
            "fused": fused,
            "logarithmic": getattr(specs[0].learner, "objective", "loss") == "log-loss",
        }
        for field in settings[0].per_member:
            values = [getattr(one, field) for one in settings]
            # one number for all where they agree keeps the arithmetic that of a single run
            each[field] = (
                values[0] if len(set(values)) == 1 else torch.tensor(values, dtype=torch.float64, device=device)
            )
        return settings[0].build(**each)

    def _pick(self, tensor: Tensor, member: int) -> Tensor:
        return tensor[member]


def _check_tasks(tasks: Sequence[Task]) -> None:
    if len({task.loss for task in tasks}) > 1:
        raise UsageError("the members of an ensemble must be trained on one loss: set learner.loss.")
    if len({task.stream is None for task in tasks}) > 1:
        raise UsageError("an ensemble trains on finite tasks or on streams, not on both.")
