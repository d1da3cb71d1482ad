"""All that is said of a run's phases beside its transition, as plain values."""

from __future__ import annotations

from typing import Any

from grokscope.analysis.agreement import agreement
from grokscope.analysis.definitions import DEFINITIONS, PHASE_RULE_VERSION, Definitions
from grokscope.analysis.phases import boundaries, phases_between
from grokscope.analysis.sensitivity import sensitivity
from grokscope.analysis.series import Series
from grokscope.analysis.sharpness import sharpness
from grokscope.analysis.transitions import TransitionRule


def overview(
    series: Series, rule: TransitionRule | None, last_step: float, definitions: Definitions = DEFINITIONS
) -> dict[str, Any]:
    """Return what the definitions find in a run, what the second detector says of it, and what it depends on.

    ``bands``: the phases. ``definitions``: their version. ``sharpness``: decades, with ``sharpness_resolved``.
    ``collapse_step``, ``misgrokking_step``: None if there was none. ``slingshots``: how many were left out.
    ``second_detector``: by boundary, ``agrees``, ``nearest`` and ``intervals``. ``sensitivity``: the variations
    that change something, each with what it changes.
    """
    found = boundaries(series, rule, definitions)
    sharp = sharpness(series, rule, definitions)
    varied = sensitivity(series, rule, last_step, definitions)
    return {
        "bands": [phase.as_dict() for phase in phases_between(found, rule, last_step)],
        "definitions": PHASE_RULE_VERSION,
        "sharpness": None if sharp is None else sharp.width,
        "sharpness_resolved": None if sharp is None else sharp.resolved,
        "collapse_step": found.collapse_step,
        "misgrokking_step": found.misgrokking_step,
        "slingshots": len(found.slingshots),
        "second_detector": {
            one.boundary: {"agrees": one.agrees, "key": one.key, "nearest": one.nearest, "intervals": one.intervals}
            for one in agreement(series, rule, found)
        },
        "sensitivity": [
            {name: row[name] for name in ("constant", "value", "declared", *row["changed"])}
            for row in varied
            if row["changed"]
        ],
    }
