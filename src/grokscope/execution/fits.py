"""Whether a training could begin at all, asked before anything of it is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from grokscope.errors import UsageError
from grokscope.members import check_alike
from grokscope.monitor.settings import MONITORED
from grokscope.spec import Spec

if TYPE_CHECKING:
    from grokscope.learners.base import Learner, StateDict


def check_begins(specs: Sequence[Spec]) -> None:
    """Refuse members that cannot be trained together, and what only torch can tell: a missing device, interventions.

    Specs on the CPU without interventions have neither, and pass without torch being loaded.

    Raises:
        UsageError: they cannot be trained.
    """
    check_ours(specs[0])
    check_alike(specs)
    if specs[0].numerics.device == "cpu" and not any(spec.interventions for spec in specs):
        return
    try:
        check_fits(specs)
    except UsageError:
        raise
    except Exception:
        return  # no matter of usage (memory, a module that raises): the training meets it again, and leaves a trace


def check_ours(spec: Spec) -> None:
    """Refuse a training that was monitored, and is somebody else's.

    Raises:
        UsageError: it is.
    """
    if spec.learner.name == MONITORED:
        spec.learner.build()


def check_fits(specs: Sequence[Spec], stored: StateDict | None = None) -> None:
    """Refuse specs whose learner cannot start, or cannot go on from ``stored``; nothing is kept of the trial.

    Raises:
        UsageError: the device is not there, an intervention does not fit the learner or the model.
        CheckpointError: ``stored`` is not a state of these specs.
    """
    from grokscope.numerics import applied

    with applied(specs[0].numerics):
        learner = specs[0].learner.build(ensemble=specs[0].engine == "ensemble")
        check_points(specs[0], learner)
        tasks = [spec.task.build(spec.seed) for spec in specs]
        if stored is None:
            learner.start(specs, tasks)
        else:
            learner.restore(specs, tasks, stored)


def check_points(spec: Spec, learner: Learner) -> None:
    """Refuse an intervention at a point that the learner does not offer."""
    for part in spec.interventions:
        if part.point not in learner.points:
            raise UsageError(
                f"the intervention {part.name} acts on the {part.point}, which the learner {spec.learner.name} does "
                f"not offer; it offers {', '.join(sorted(learner.points)) or 'none'}."
            )
