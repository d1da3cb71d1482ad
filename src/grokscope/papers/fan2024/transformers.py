"""Transformers of one, three and six layers on modular addition: settings of the released code, without a claim."""

from __future__ import annotations

from grokscope.analysis.transitions import TransitionRule
from grokscope.claims import Claim
from grokscope.paper import Experiment, Figure

__all__ = ["CLAIMS", "EXPERIMENTS", "FIGURES"]

PICTURES = "grokscope.papers.fan2024.transformers_figures"
DEPTHS = (1, 3, 6)
RANK = "feature_rank:double=True,probe=test"
RULE = TransitionRule(fit=("train/accuracy", 0.99), generalise=("test/accuracy", 0.9), sustain=3)  # type: ignore[arg-type]


def named(layers: int) -> str:
    """Return the name of the transformer of so many layers.

    Example:
        >>> named(3)
        'modular-layers-3'
    """
    return f"modular-layers-{layers}"


def transformer(layers: int) -> Experiment:
    """Return the transformer of so many layers on modular addition, with the ranks of its layers."""
    return Experiment(
        name=named(layers),
        title=f"a transformer of {layers} layer{'s' if layers > 1 else ''} learns modular addition",
        spec={
            "task": {"name": "modular-addition", "modulus": 113, "train_fraction": 0.3},
            "model": {"name": "modular-transformer", "layers": layers},
            "learner": {"name": "gradient", "steps": 30_000, "loss_dtype": "float64"},
            "optimizer": {"name": "adamw", "learning_rate": 1e-4, "beta2": 0.98, "weight_decay": 1.0},
        },
        scales={
            "smoke": {
                "task.modulus": 7,
                "model.width": 8,
                "model.heads": 2,
                "model.hidden_width": 16,
                "learner.steps": 30,
                "record.extra": [{"measures": [RANK], "cadence": {"steps": [10, 30]}}],
            },
            # ten times the learning rate, for an eighth of the steps
            "cpu": {
                "task.modulus": 31,
                "task.train_fraction": 0.6,
                "model.width": 32,
                "model.hidden_width": 128,
                "optimizer.learning_rate": 1e-3,
                "learner.steps": 4000,
                "record.extra": [{"measures": [RANK], "cadence": {"per_decade": 8}}],
            },
        },
        transition=RULE,
        record={
            "measures": ["performance", "weights"],
            "observe": {"every": 200, "per_decade": 12},
            "extra": [{"measures": [RANK], "cadence": {"per_decade": 15}}],
            "checkpoints": {"per_decade": 1},
        },
        minutes={"smoke": 0.05, "cpu": 0.3 * layers, "paper": 25.0 * layers},
        cell_of=None if layers == 1 else named(1),
    )


EXPERIMENTS = tuple(transformer(layers) for layers in DEPTHS)
CLAIMS: tuple[Claim, ...] = ()

FIGURES = (
    Figure(
        "modular-accuracy",
        "Accuracy on modular addition by depth",
        tuple(experiment.name for experiment in EXPERIMENTS),
        f"{PICTURES}:by_depth",
        ("train/accuracy", "test/accuracy"),
        "Train (dashed) and test accuracy (solid) of one, three and six layers.",
        together=True,
    ),
    Figure(
        "modular-ranks",
        "Feature rank of the transformer's layers",
        tuple(experiment.name for experiment in EXPERIMENTS),
        f"{PICTURES}:ranks",
        (f"{RANK}/effective",),
        "Effective rank of what the nonlinearity of each layer puts out on the test pairs; every position is a sample. "
        "Of the first seed.",
    ),
)
