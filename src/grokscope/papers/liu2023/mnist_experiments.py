"""A thousand images of MNIST from a large start, at several weight decays, training sizes, starts and losses.

Every parameter starts at α times what PyTorch gives it; all cells of a sweep train as one ensemble.
"""

from __future__ import annotations

from typing import Any

from grokscope.analysis.transitions import TransitionRule
from grokscope.paper import Experiment

MNIST = "mnist"
SCALE, EXAMPLES = 8.0, 1000
"""α and the number of training images of the main run."""

RULE = TransitionRule(fit=("train/accuracy", 0.95), generalise=("test/accuracy", 0.8), sustain=1)  # type: ignore[arg-type]

TASK: dict[str, Any] = {
    "name": "images",
    "train_examples": EXAMPLES,
    "test_examples": 10_000,
    "test_source": "test",
    "batch_size": 200,
    "batch_order": "shuffled",
}
SMOKE: dict[str, Any] = {
    "task.dataset": "synthetic",
    "task.train_examples": 40,
    "task.test_examples": 40,
    "task.batch_size": 20,
    "task.pool": 4,
    "model.widths": [16, 16],
    "learner.steps": 40,
}
CPU: dict[str, Any] = {
    "task.pool": 2,
    "task.test_examples": 2000,
    "model.widths": [64, 64],
    "optimizer.learning_rate": 0.01,
    "learner.steps": 8000,
}


def images(
    name: str,
    title: str,
    *,
    task: dict[str, Any] | None = None,
    scale: float = SCALE,
    loss: str = "mean-squared-error",
    weight_decay: float = 0.01,
    cpu: dict[str, Any] | None = None,
    minutes: float = 1.0,
    batch: str = MNIST,
) -> Experiment:
    """Return the perceptron on images of MNIST, with what its cell has for itself."""
    return Experiment(
        name=name,
        title=title,
        spec={
            "task": {**TASK, **(task or {})},
            "model": {"name": "mlp", "widths": [200, 200], "initial_scale": scale},
            "learner": {"name": "gradient", "steps": 100_000, "loss": loss},
            "optimizer": {"name": "adamw", "learning_rate": 1e-3, "weight_decay": weight_decay},
        },
        scales={"smoke": SMOKE, "cpu": {**CPU, **(cpu or {})}},
        transition=RULE,
        record={
            "measures": ["performance", "weights"],
            "observe": {"every": 2000, "per_decade": 12},
            "checkpoints": {"per_decade": 1},
        },
        minutes={"smoke": 0.05, "cpu": minutes, "paper": 14},
        cell_of=None if name == MNIST else MNIST,
        batch=batch,
    )


EXPERIMENTS = (images(MNIST, "a thousand images of MNIST, every parameter eight times as large as usual"),)
