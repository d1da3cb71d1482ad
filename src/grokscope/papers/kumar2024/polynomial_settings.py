"""What the experiments on the polynomial student share: sizes, rates, what is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grokscope.analysis.transitions import TransitionRule
from grokscope.paper import Experiment

HALF, FIFTH, TENTH = 0.5, 0.2, 0.1
"""Shares of the loss at the start that count as falls."""
RULE = TransitionRule(
    fit=("relative_loss/train", FIFTH, "absolute", "falling"),  # type: ignore[arg-type]
    generalise=("relative_loss/test", FIFTH, "absolute", "falling"),  # type: ignore[arg-type]
    sustain=2,
)
MEASURES = ["performance", "relative_loss", "weights", "quadratic_kernel"]
WHOLE = [*MEASURES, "sufficient_statistics"]
SMALL: dict[str, Any] = {
    "task.dimension": 8,
    "task.examples": 24,
    "task.test_examples": 20,
    "learner.steps": 60,
    "record.observe": {"per_decade": 3},
}
"""Seconds for every experiment together; it shows nothing but that all runs."""
D40: dict[str, Any] = {
    "task.dimension": 40,
    "task.examples": 200,
    "task.test_examples": 400,
    "task.scale": 0.5,
    "model.width": 200,
}
"""The size of the sheet's sweeps, at which the phenomenon is a matter of seconds."""


def rate(width: float, alpha: float = 1.0, sigma: float = 1.0, factor: float = 0.5) -> float:
    """Return the learning rate ``factor`` · N/(α σ)², at which the linearised training does not depend on α."""
    return factor * width / (alpha * sigma) ** 2


def record(per_decade: int, measures: list[str], *steps: int) -> dict[str, Any]:
    """Return a plan on a logarithmic grid, and at some steps more, whose states are kept at the end only."""
    return {
        "measures": measures,
        "observe": {"per_decade": per_decade, "steps": list(steps)},
        "checkpoints": {"first": False},
    }


def experiment(
    name: str,
    title: str,
    *,
    task: Mapping[str, Any],
    model: Mapping[str, Any],
    learner: Mapping[str, Any],
    learning_rate: float,
    cpu: Mapping[str, Any],
    recorded: Mapping[str, Any],
    minutes: Mapping[str, float],
    smoke: Mapping[str, Any] | None = None,
    cell_of: str | None = None,
    batch: str | None = None,
) -> Experiment:
    """Return a training of the polynomial student by the reduction, in float64."""
    return Experiment(
        name=name,
        title=title,
        spec={
            "task": {"name": "polynomial-regression", **task},
            "model": {"name": "polynomial-student", **model},
            "learner": {"name": "polynomial-reduction", **learner},
            "optimizer": {"name": "sgd", "learning_rate": learning_rate},
            "numerics": {"dtype": "float64"},
        },
        scales={"smoke": {**SMALL, **(smoke or {})}, "cpu": dict(cpu)},
        transition=RULE,
        record=recorded,
        minutes={"smoke": 0.02, **minutes},
        cell_of=cell_of,
        batch=batch,
    )
