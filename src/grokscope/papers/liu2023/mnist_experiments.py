"""Images of MNIST from a large start, at several weight decays, training sizes, starts and losses.

Every parameter starts at α times what PyTorch gives it. Cells of a sweep are members of one ensemble.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grokscope.analysis.transitions import TransitionRule
from grokscope.paper import Experiment

MNIST = "mnist"
SCALE = 8.0
"""α of all runs but those of the sweeps over it."""
DECAYS = {"paper": (0.1, 0.2, 0.5, 1.0), "cpu": (0.02, 0.03, 0.05, 0.08)}
"""The weight decays of `mnist-decay-1` and so on, rising."""
EXAMPLES = {"paper": (50, 200, 500, 2000, 5000), "cpu": (50, 200, 1000)}
SCALES = (1.0, 2.0, 4.0)
ENTROPY_SCALES = (1.0, 8.0, 30.0, 100.0)

TASK: dict[str, Any] = {
    "name": "images",
    "train_examples": 1000,
    "test_examples": 10_000,
    "subset": "first",
    "test_source": "test",
    "batch_size": 200,
    "batch_order": "shuffled",
}
SMOKE: dict[str, Any] = {
    "task.dataset": "digits",
    "task.train_examples": 40,
    "task.test_examples": 40,
    "task.test_source": "train",
    "task.batch_size": 20,
    "model.widths": [16, 16],
    "learner.steps": 40,
}
# 14 x 14 pixels; seeds draw their images, or three of them would see the same ones
POOLED: dict[str, Any] = {"task.pool": 2, "task.test_examples": 2000, "task.subset": "random"}
CPU: dict[str, Any] = {
    **POOLED,
    "task.batch_size": 100,
    "optimizer.learning_rate": 3e-3,
    "optimizer.weight_decay": 0.025,
    "learner.steps": 11_000,
}
SWEEP: dict[str, Any] = {
    **CPU,
    "task.train_examples": 500,
    # of 100 units a layer a third of the starts fit slowly: most of their units are off after a few steps
    "model.widths": [128, 128],
    "optimizer.learning_rate": 5e-3,
    "optimizer.weight_decay": 0.05,
    "learner.steps": 6000,
    # of 500 images the narrow network learns about 0.8
    "transition.generalise.level": 0.7,
}


def rule(fit: float, generalise: float) -> TransitionRule:
    """Return the rule that asks for two accuracies."""
    return TransitionRule(fit=("train/accuracy", fit), generalise=("test/accuracy", generalise), sustain=1)  # type: ignore[arg-type]


def images(
    name: str,
    title: str,
    *,
    cpu: Mapping[str, Any],
    smoke: Mapping[str, Any] | None = None,
    minutes: float,
    batch: str | None = None,
    generalise: float = 0.8,
    **sections: Mapping[str, Any],
) -> Experiment:
    """Return the perceptron on MNIST with ``sections`` of its spec changed."""
    spec: dict[str, Any] = {
        "task": TASK,
        "model": {"name": "mlp", "widths": [200, 200], "initial_scale": SCALE},
        "learner": {"name": "gradient", "steps": 100_000, "loss": "mean-squared-error"},
        "optimizer": {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.01},
        "numerics": {"dtype": "float64"},
    }
    single = {"numerics.dtype": "float32"}
    return Experiment(
        name=name,
        title=title,
        spec={key: {**part, **sections.get(key, {})} for key, part in spec.items()},
        scales={"smoke": {**SMOKE, **single, **(smoke or {})}, "cpu": {**single, **cpu}},
        transition=rule(0.95, generalise),
        record={
            "measures": ["performance", "weights"],
            "observe": {"every": 500, "per_decade": 12},
            "checkpoints": {"per_decade": 1},
        },
        minutes={"smoke": 0.05, "cpu": minutes, "paper": 14},
        cell_of=None if batch is None else MNIST,
        batch=batch,
    )


def decays(number: int) -> Experiment:
    """Return the cell of the weight decay of this rank, from 1."""
    paper, cpu = (DECAYS[size][number - 1] for size in ("paper", "cpu"))
    return images(
        f"{MNIST}-decay-{number}",
        f"MNIST, the weight decay that is number {number} of {len(DECAYS['paper'])}",
        cpu={**SWEEP, "optimizer.weight_decay": cpu, "learner.steps": 10_000},
        minutes=0.3,
        batch=f"{MNIST}-decay",
        optimizer={"weight_decay": paper},
    )


def examples(count: int) -> Experiment:
    """Return the cell of this many training images."""
    return images(
        f"{MNIST}-examples-{count}",
        f"MNIST, {count} training images",
        cpu={**SWEEP, "task.train_examples": count, "task.batch_size": min(count, SWEEP["task.batch_size"])},
        minutes=0.2,
        # of other batches: no member of the same ensemble
        batch=f"{MNIST}-sizes" if count >= SWEEP["task.batch_size"] else f"{MNIST}-few",
        task={"train_examples": count, "batch_size": min(count, TASK["batch_size"])},
    )


def scaled(scale: float) -> Experiment:
    """Return the cell of this α."""
    return images(
        f"{MNIST}-scale-{scale:g}",
        f"MNIST, every parameter at {scale:g} times its usual start",
        cpu=SWEEP,
        minutes=0.2,
        batch=f"{MNIST}-sizes",
        model={"initial_scale": scale},
    )


def entropy(scale: float) -> Experiment:
    """Return the cell of this α with the cross-entropy; its weight decay is not told in the paper, and ours."""
    return images(
        f"{MNIST}-entropy-scale-{scale:g}",
        f"MNIST by cross-entropy, every parameter at {scale:g} times its usual start",
        cpu={
            **POOLED,
            "model.widths": [100, 100],
            "optimizer.learning_rate": 3e-3,
            "optimizer.weight_decay": 0.3,
            "learner.steps": 5000,
            "transition.generalise.level": 0.5,
        },
        minutes=0.25,
        batch=f"{MNIST}-entropy",
        generalise=0.6,
        task={"train_examples": 200},
        model={"initial_scale": scale},
        learner={"loss": "cross-entropy"},
        optimizer={"weight_decay": 0.1},
    )


EXPERIMENTS = (
    images(MNIST, "a thousand images of MNIST, every parameter eight times as large as usual", cpu=CPU, minutes=0.7),
    *(decays(number) for number in range(1, 5)),
    *(examples(count) for count in sorted({count for counts in EXAMPLES.values() for count in counts})),
    *(scaled(scale) for scale in SCALES),
    *(entropy(scale) for scale in ENTROPY_SCALES),
)

DECAY_CELLS = tuple(f"{MNIST}-decay-{number}" for number in range(1, 5))
SCALE_CELLS = tuple(f"{MNIST}-scale-{scale:g}" for scale in SCALES)
ENTROPY_CELLS = tuple(f"{MNIST}-entropy-scale-{scale:g}" for scale in ENTROPY_SCALES)
USUAL = {"paper": MNIST, "cpu": f"{MNIST}-decay-3"}
"""The cell of each sweep that all sweeps have in common: α = 8 and the middle number of images."""
EXAMPLE_CELLS = {
    size: (*(f"{MNIST}-examples-{count}" for count in counts), USUAL[size]) for size, counts in EXAMPLES.items()
}
