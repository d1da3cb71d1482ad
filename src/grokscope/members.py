"""What the members of an ensemble must share, and what may be each one's own; free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from grokscope.errors import UsageError
from grokscope.settings import Part

if TYPE_CHECKING:
    from grokscope.spec import Spec


def shared(spec: Spec) -> dict[str, Any]:
    """Return the settings that are one for all members of an ensemble, by dotted key.

    Left out are seeds, the task (its data), what each part declares as ``per_member``, and labels. A learner that
    does not stack its members (``stacks``) leaves model and optimizer free, but for what they are.

    Example:
        >>> from grokscope.execution.plan import experiment_spec
        >>> keys = shared(experiment_spec("nanda2023/modular-addition"))
        >>> "model.width" in keys, "optimizer.learning_rate" in keys, "task.train_fraction" in keys
        (True, False, False)
    """
    own: dict[str, Part | None] = {"model": spec.model, "optimizer": spec.optimizer}
    found: dict[str, Any] = {}
    for section, part in own.items():
        if part is None:
            found[section] = None
        elif spec.learner.stacks:
            found |= _flat(section, part)
        else:
            found[f"{section}.name"] = part.name
    for index, part in enumerate(spec.interventions):
        found |= _flat(f"interventions.{index}", part)
    found |= _flat("learner", spec.learner)
    found |= {f"numerics.{key}": value for key, value in spec.numerics.model_dump().items()}
    found |= {f"record.{key}": value for key, value in spec.record.model_dump().items()}
    return found


def check_alike(specs: Sequence[Spec]) -> None:
    """Refuse members that differ in what must be one for all.

    Raises:
        UsageError: they do; the sentence names the key.
    """
    first = shared(specs[0])
    for spec in specs[1:]:
        other = shared(spec)
        for key in [*first, *(key for key in other if key not in first)]:
            if key not in first or key not in other or first[key] != other[key]:
                raise UsageError(
                    f"the members of an ensemble must agree in {key}: got {first.get(key)!r} and {other.get(key)!r}; "
                    "train them apart, in a sweep with --engine pool."
                )


def _flat(section: str, part: Part) -> dict[str, Any]:
    return {f"{section}.{key}": value for key, value in part.model_dump().items() if key not in part.per_member}
