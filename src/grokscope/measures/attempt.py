"""Taking a measure where nothing may fail: what goes wrong becomes a sentence and ends nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from torch import Tensor

from grokscope.measures.base import DoesNotApply, Measure, evaluate

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

Row = tuple[str, str | None, float, int]
"""Key, module or None, value, version of the measure."""


@dataclass(frozen=True)
class Attempt:
    """What became of taking a measure at a moment, ready to be stored.

    Attributes:
        measure: what was taken.
        rows: its numbers.
        arrays: tensors to store under the measure's name.
        transient: of a hindsight measure, tensors to keep until the run has ended.
        event: the kind of event it is, where something is to be told.
        reason: that in words.
    """

    measure: Measure
    rows: list[Row] = field(default_factory=list)
    arrays: dict[str, Tensor] = field(default_factory=dict)
    transient: dict[str, Tensor] = field(default_factory=dict)
    event: Literal["measure_does_not_apply", "measure_failed", "measure_nan"] | None = None
    reason: str = ""


def attempt(measure: Measure, snapshot: Snapshot) -> Attempt:
    """Return what a measure gives at a snapshot, or why it gives nothing; it never raises.

    Example:
        >>> import torch
        >>> from grokscope.measures.base import named
        >>> from grokscope.snapshot import Snapshot
        >>> attempt(named("fourier"), Snapshot.of(torch.nn.Linear(1, 1))).event
        'measure_does_not_apply'
    """
    try:
        reading = evaluate(measure, snapshot)
        arrays, transient = reading.arrays, {}
        if measure.hindsight is not None:
            collected = snapshot.memo(("collected", measure.name), lambda: None)
            # the arrays of the online variant follow from these, and hindsight writes its own
            arrays, transient = collected.kept, collected.transient
    except DoesNotApply as reason:
        return Attempt(measure, event="measure_does_not_apply", reason=str(reason))
    except Exception as error:
        # a broken measure must never end a training
        return Attempt(measure, event="measure_failed", reason=f"{type(error).__name__}: {error}")
    rows = [(key, module, value, measure.version) for key, module, value in reading.rows]
    bad = [key if module is None else f"{key}@{module}" for key, module, value in reading.rows if math.isnan(value)]
    if bad:
        return Attempt(measure, rows, arrays, transient, "measure_nan", f"{', '.join(bad)} is not a number")
    return Attempt(measure, rows, arrays, transient)
