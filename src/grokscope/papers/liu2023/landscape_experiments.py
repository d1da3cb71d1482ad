"""The loss of MNIST at fixed norms of the weights: training on a sphere, for several norms and training sizes."""

from __future__ import annotations

from typing import Any

from grokscope.paper import Experiment
from grokscope.papers.liu2023.mnist_experiments import POOLED, SMOKE, TASK, rule

LANDSCAPE, MESSINESS = "landscape", "messiness"
SIZES = {"paper": (100, 1000, 10_000, 60_000), "cpu": (100, 500, 5000)}
"""Training images; the paper has 28 sizes from 10 to 60 000."""
SCALES = {
    "paper": tuple(round(10 ** (tenth / 10), 2) for tenth in range(-10, 11, 2)),
    "cpu": tuple(round(10 ** (tenth / 10), 2) for tenth in (-10, -6, -4, -2, 0, 2, 4, 6, 8)),
}
"""α, the norm over that of the usual start: half of the paper's, which are twice as dense."""
MESSY = (0.2, 0.6)
MESSY_SCALES = (0.4, 1.0, 2.51)
MESSY_EXAMPLES = {"paper": 60_000, "cpu": 500}


def named(examples: int, scale: float) -> str:
    """Return the name of the cell of so many images and this α.

    Example:
        >>> named(1000, 2.51)
        'landscape-1000-scale-2.51'
    """
    return f"{LANDSCAPE}-{examples}-scale-{scale:g}"


def messy(messiness: float, scale: float) -> str:
    """Return the name of the cell of this messiness and α."""
    return f"{MESSINESS}-{messiness:g}-scale-{scale:g}"


def constrained(
    name: str, title: str, examples: dict[str, int], scale: float, *, stand_in: str, batch: str, **task: Any
) -> Experiment:
    """Return AdamW on the sphere of the initial norm, without weight decay; ``examples`` by size."""
    cpu = {
        **POOLED,
        "task.train_examples": examples["cpu"],
        "task.batch_size": 100,
        "model.widths": [128, 128],
        "optimizer.learning_rate": 2e-3,
        "learner.steps": 2000,
        "record.observe": {"every": 200, "per_decade": 3},
    }
    return Experiment(
        name=name,
        title=title,
        spec={
            "task": {**TASK, "train_examples": examples["paper"], "batch_size": 100, **task},
            "model": {"name": "mlp", "widths": [200, 200], "initial_scale": scale},
            "learner": {"name": "gradient", "steps": 10_000, "loss": "mean-squared-error"},
            "optimizer": {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.0},
            "interventions": [{"name": "weight-norm", "norm": "initial"}],
        },
        scales={"smoke": SMOKE, "cpu": cpu},
        transition=rule(0.95, 0.8),
        record={
            "measures": ["performance", "weights"],
            "observe": {"every": 500, "per_decade": 6},
            # whether training has converged, which nothing else tells
            "extra": [{"measures": ["stationarity"], "cadence": {"first": False}}],
            "checkpoints": {"first": False},
        },
        minutes={"smoke": 0.05, "cpu": 0.08, "paper": 2},
        cell_of=None if name == stand_in else stand_in,
        batch=batch,
    )


def cells(examples: int, size: str) -> tuple[str, ...]:
    """Return the cells of a landscape at a scale, by rising norm."""
    return tuple(named(examples, scale) for scale in SCALES[size])


def _of(examples: int) -> tuple[Experiment, ...]:
    scales = sorted({scale for size, counts in SIZES.items() if examples in counts for scale in SCALES[size]})
    stand_in = named(SIZES["cpu"][0], 1.0)
    return tuple(
        constrained(
            named(examples, scale),
            f"{examples} images on the sphere of {scale:g} times the usual norm",
            {"paper": examples, "cpu": examples},
            scale,
            stand_in=stand_in,
            batch=f"{LANDSCAPE}-{examples}",
        )
        for scale in scales
    )


EXPERIMENTS = (
    *(experiment for examples in sorted({n for some in SIZES.values() for n in some}) for experiment in _of(examples)),
    *(
        constrained(
            messy(messiness, scale),
            f"images with a messiness of {messiness:g} on the sphere of {scale:g} times the usual norm",
            MESSY_EXAMPLES,
            scale,
            stand_in=messy(MESSY[0], 1.0),
            batch=MESSINESS,
            messiness=messiness,
        )
        for messiness in MESSY
        for scale in MESSY_SCALES
    ),
)

MESSY_CELLS = tuple(messy(messiness, scale) for messiness in MESSY for scale in MESSY_SCALES)
