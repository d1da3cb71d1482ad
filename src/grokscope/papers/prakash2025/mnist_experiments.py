"""A thousand images of MNIST from a large start, trained until what they taught is lost again.

Without weight decay test accuracy comes late, stays, and goes (anti-grokking); with it, it stays. All are cells of one
sweep over rate and decay, and train as one ensemble.
"""

from __future__ import annotations

from typing import Any

from grokscope.analysis.transitions import TransitionRule
from grokscope.paper import Experiment

MNIST, DECAY, HELD = "mnist", "mnist-decay", "mnist-norm-held"
WEAK, SLOW = "mnist-weak-decay", "mnist-slow"
SYSTEM = (MNIST, DECAY, WEAK, SLOW)
"""Cells of the sweep over rate and decay; which of them lose their generalisation is what alarms are held against."""

FIRST, SECOND, LAST = "layers.0.weight", "layers.1.weight", "layers.2.weight"
LAYERS = {FIRST: "FC1", SECOND: "FC2"}
"""The matrices the paper reports, and their names in it; the readout it leaves out."""

RULE = TransitionRule(fit=("train/accuracy", 0.95), generalise=("test/accuracy", 0.8), sustain=3)  # type: ignore[arg-type]
COMPLEXITY, TRAPS = "circuit_complexity", "trap_removal"
OBSERVED = ("performance", "weights", "norms", "htsr", "weight_entropy")
SPARSE = ("correlation_traps", "marchenko_pastur", "spectra", "sparsity", "units", COMPLEXITY)

PAPER_STEPS, CPU_STEPS = 10_000_000, 80_000


def images(
    name: str,
    title: str,
    *,
    decay: float = 0.0,
    rate: float = 1.0,
    cpu_decay: float | None = None,
    interventions: tuple[dict[str, Any], ...] = (),
    held_from: int = 0,
) -> Experiment:
    """Return the perceptron on a thousand images; ``rate`` is a multiple of the learning rate of the main run."""
    more = {"interventions": list(interventions)} if interventions else {}
    return Experiment(
        name=name,
        title=title,
        spec={
            "task": {
                "name": "images",
                "train_examples": 1000,
                "subset": "stratified",
                "test_examples": 10_000,
                "test_source": "test",
                "batch_size": 200,
                "batch_order": "shuffled",
            },
            "model": {"name": "mlp", "widths": [200, 200], "activation": "relu", "initial_scale": 8.0},
            "learner": {"name": "gradient", "steps": PAPER_STEPS, "loss": "mean-squared-error"},
            "optimizer": {"name": "adamw", "learning_rate": 5e-4 * rate, "weight_decay": decay},
            "numerics": {"dtype": "float64"},
            **more,
        },
        scales={
            "smoke": {
                "task.dataset": "digits",
                "task.train_examples": 100,
                "task.test_examples": 100,
                "task.test_source": "train",
                "task.batch_size": 50,
                "model.widths": [16, 16],
                "learner.steps": 300,
                "optimizer.learning_rate": 1e-2 * rate,
                "numerics.dtype": "float32",
                "record.observe": {"per_decade": 6},
                "record.extra": [{"measures": [*SPARSE, TRAPS], "cadence": {"per_decade": 1}}],
                **({"interventions": [{**one, "start": 150} for one in interventions]} if interventions else {}),
            },
            "cpu": {
                "task.pool": 2,
                "task.test_examples": 4000,
                "task.batch_size": 50,
                "model.widths": [128, 128],
                "learner.steps": CPU_STEPS,
                # forty times the rate for a hundredth of the steps; warmed up, or the outputs of the large start, which
                # are tens of times too large, kill most units of the second layer (of 100 units even so for some seeds)
                "optimizer.learning_rate": 2e-2 * rate,
                "optimizer.warmup_steps": 2000,
                "optimizer.weight_decay": decay if cpu_decay is None else cpu_decay,
                "numerics.dtype": "float32",
                "record.observe": {"per_decade": 8, "every": 1000},
                "record.extra": [
                    {"measures": list(SPARSE), "cadence": {"per_decade": 3, "every": 5000}},
                    {"measures": [TRAPS], "cadence": {"per_decade": 2}},
                ],
                **({"interventions": [{**one, "start": held_from} for one in interventions]} if interventions else {}),
            },
        },
        transition=RULE,
        record={
            "measures": list(OBSERVED),
            "observe": {"per_decade": 15, "every": 100_000},
            "extra": [
                {"measures": list(SPARSE), "cadence": {"per_decade": 8, "every": 250_000}},
                {"measures": [TRAPS], "cadence": {"per_decade": 4, "every": 1_000_000}},
            ],
            "checkpoints": {"per_decade": 3, "every": 1_000_000},
        },
        minutes={"smoke": 0.1, "cpu": 1.0, "paper": 300},
        cell_of=None if name in (MNIST, HELD) else MNIST,
        batch=DECAY if decay else None if interventions else MNIST,
    )


EXPERIMENTS = (
    images(MNIST, "a thousand images of MNIST without weight decay, far beyond generalisation"),
    images(DECAY, "the same with weight decay", decay=0.01, cpu_decay=0.1),
    images(WEAK, "the same with a tenth of the weight decay", decay=0.001, cpu_decay=0.01),
    images(SLOW, "the same without weight decay at half the learning rate", rate=0.5),
    images(
        HELD,
        "without weight decay, the norm held from near the best test accuracy on",
        interventions=({"name": "weight-norm", "start": 1_000_000},),
        held_from=15_000,
    ),
)
