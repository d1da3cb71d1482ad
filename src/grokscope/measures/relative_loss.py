"""Each probe's loss over its loss at the start: what runs with targets of different size are compared by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from grokscope.batch import weighted_mean
from grokscope.measures.base import DoesNotApply, Key, Measure
from grokscope.measures.performance import example_weights, examples

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def measure(snapshot: Snapshot) -> dict[str, float]:
    """Return loss / loss at the start of each labelled probe; NaN where that was 0."""
    initial = snapshot.initial
    assert initial is not None
    result: dict[str, float] = {}
    for name, batch in snapshot.probes.items():
        if batch.targets is None or not len(batch):
            continue
        first = snapshot.lasting(("relative_loss", name), lambda name=name: _loss(initial, name))
        result[name] = _loss(snapshot, name) / first if first > 0 else math.nan
    if not result:
        raise DoesNotApply("relative_loss needs labelled examples; there are none in the data.")
    return result


def _loss(snapshot: Snapshot, name: str) -> float:
    return float(weighted_mean(examples(snapshot, name)[0], example_weights(snapshot.probe(name))))


RELATIVE_LOSS = Measure(
    name="relative_loss",
    version=1,
    keys={"<probe>": Key("loss over loss at the start", low=0, direction="train falls first, test later")},
    reference="Kumar et al. 2024",
    cites=("kumar2024",),
    compute=measure,
    needs=("labels", "initial"),
)
