"""How the boundaries of a run depend on the constants of their definitions: each varied alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from grokscope.analysis.definitions import DEFINITIONS, Definitions
from grokscope.analysis.phases import boundaries, phases_between
from grokscope.analysis.series import Series
from grokscope.analysis.sharpness import Sigmoid, fit_sigmoid, sharpness
from grokscope.analysis.transitions import Level, TransitionRule

VARIATIONS: dict[str, tuple[float, ...]] = {
    "smoothing": (1, 5),
    "fitted_accuracy": (0.95, 0.999),
    "excluded_rise": (1.2, 3.0),
    "excluded_rise_nats": (0.05, 0.2),
    "test_loss_share": (0.25, 0.75),
    "steeper": (1.2, 2.0),
    "final_band": (0.025, 0.1),
    "final_sustain": (1, 6),
    "settled_ratio": (1.05, 1.2),
    "sigmoid_tail": (0.05, 0.2),
    "decline_share": (0.8, 0.95),
    "early_ratio": (1.5, 4.0),
    "early_gain": (0.25, 0.75),
    "abrupt_width": (0.25, 1.0),
    "slingshot_factor": (50.0, 200.0),
    "slingshot_floor": (1e-8, 1e-6),
    "slingshot_ratio": (1.5, 4.0),
}
"""What each constant of the definitions is tried at."""
SUSTAINS = (1, 6)
OUTCOMES = (
    "fit_step", "generalise_step", "memorisation_end", "circuit_formation_end", "cleanup_end", "abrupt_start",
    "collapse_step", "misgrokking_step", "sharpness", "phases",
)  # fmt: skip


def sensitivity(
    series: Series, rule: TransitionRule | None, last_step: float, definitions: Definitions = DEFINITIONS
) -> list[dict[str, Any]]:
    """Return what the definitions find as declared, then with each constant at other values, as plain rows.

    A row has ``constant``, ``value``, ``declared`` (the first row: constant and value are None) and the
    outcomes: each boundary in steps, ``sharpness`` in decades, ``phases`` by name in order; ``changed``
    lists the outcomes that differ from the first row. The levels of the rule are varied too: the distance
    of a level below 1 to 1 doubled and halved, another level halved and doubled.

    Args:
        series: reads the run's scalars; each is read once.
        rule: the run's transition rule, or None.
        last_step: where the last phase ends.
        definitions: what is declared.
    """
    read, fit = _remembered(series), _remembered_fit()

    def outcome(tried_rule: TransitionRule | None, tried: Definitions) -> dict[str, Any]:
        found = boundaries(read, tried_rule, tried, fit=fit)
        sharp = sharpness(read, tried_rule, tried, fit=fit)
        names = [phase.name for phase in phases_between(found, tried_rule, last_step)]
        return found.steps() | {"sharpness": None if sharp is None else sharp.width, "phases": names}

    declared = outcome(rule, definitions)
    rows: list[dict[str, Any]] = [{"constant": None, "value": None, "declared": None, **declared, "changed": []}]

    def add(name: str, value: float, usual: float, found: dict[str, Any]) -> None:
        changed = [key for key in OUTCOMES if found[key] != declared[key]]
        rows.append({"constant": name, "value": value, "declared": usual, **found, "changed": changed})

    for name, values in VARIATIONS.items():
        for value in values:
            usual = getattr(definitions, name)
            if value != usual:
                add(name, value, usual, outcome(rule, replace(definitions, **{name: type(usual)(value)})))
    for name, value, usual, other in _rules(rule):
        add(name, value, usual, outcome(other, definitions))
    return rows


def _rules(rule: TransitionRule | None) -> list[tuple[str, float, float, TransitionRule]]:
    if rule is None:
        return []
    found: list[tuple[str, float, float, TransitionRule]] = []
    for name in ("fit", "generalise"):
        level: Level = getattr(rule, name)
        for value in _neighbours(level.level):
            other = rule.model_copy(update={name: level.model_copy(update={"level": value})})
            found.append((f"transition.{name}.level", value, level.level, other))
    found += [
        ("transition.sustain", sustain, rule.sustain, rule.model_copy(update={"sustain": sustain}))
        for sustain in SUSTAINS
        if sustain != rule.sustain
    ]
    return found


def _neighbours(level: float) -> tuple[float, float]:
    if 0.5 <= level < 1:
        return round(1 - 2 * (1 - level), 6), round(1 - (1 - level) / 2, 6)
    return level / 2, level * 2


def _remembered(series: Series) -> Series:
    known: dict[str, tuple[np.ndarray, np.ndarray] | Exception] = {}

    def read(key: str) -> tuple[np.ndarray, np.ndarray]:
        if key not in known:
            try:
                known[key] = series(key)
            except (KeyError, ValueError) as error:
                known[key] = error
        found = known[key]
        if isinstance(found, Exception):
            raise found
        return found

    return read


def _remembered_fit() -> Any:
    known: dict[tuple[bytes, bytes], Sigmoid | None] = {}

    def fit(steps: np.ndarray, values: np.ndarray) -> Sigmoid | None:
        key = steps.tobytes(), values.tobytes()
        if key not in known:
            known[key] = fit_sigmoid(steps, values)
        return known[key]

    return fit


def markdown(rows: list[dict[str, Any]]) -> str:
    """Return the rows as a Markdown table: what is declared, then every variation, with only what it changes.

    A dash is the declared value. Steps are rounded; sharpness is in decades. Columns without a value are left
    out.
    """
    shown = [key for key in OUTCOMES if key != "phases" and any(row[key] is not None for row in rows)]

    def cell(row: dict[str, Any], key: str) -> str:
        if row["constant"] is not None and key not in row["changed"]:
            return "–"
        if row[key] is None:
            return "none"
        return f"{row[key]:.3f}" if key == "sharpness" else f"{row[key]:.0f}"

    lines = ["| constant | declared | tried | " + " | ".join(shown) + " |", "|---|---|---|" + "---|" * len(shown)]
    for row in rows:
        named = (
            f"`{row['constant']}` | {row['declared']:g} | {row['value']:g}" if row["constant"] else "as declared | |"
        )
        lines.append(f"| {named} | " + " | ".join(cell(row, key) for key in shown) + " |")
    return "\n".join(lines)
