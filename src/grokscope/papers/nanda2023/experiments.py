"""The experiments: the paper's own setting, and what changes at the smaller scales."""

from __future__ import annotations

from typing import Any

from grokscope.analysis.transitions import TransitionRule
from grokscope.paper import Experiment

# Nanda et al. 2023, App. A; betas and warm-up from the released code
MAINLINE: dict[str, Any] = {
    "task": {"name": "modular-addition", "modulus": 113, "train_fraction": 0.3},
    "model": {"name": "modular-transformer", "width": 128, "heads": 4, "hidden_width": 512, "activation": "relu"},
    "learner": {"name": "gradient", "steps": 40_000, "loss": "cross-entropy", "loss_dtype": "float64"},
    "optimizer": {
        "name": "adamw",
        "learning_rate": 1e-3,
        "beta1": 0.9,
        "beta2": 0.98,
        "epsilon": 1e-8,
        "weight_decay": 1.0,
        "warmup_steps": 10,
    },
}

RECORD: dict[str, Any] = {
    "measures": ["performance", "weights", "gini", "fourier"],
    "observe": {"every": 200, "per_decade": 10},
    "checkpoints": {"every": 2000},
}

ROLES = {
    "embedding": "W_E",
    "readout": "W_U",
    "neuron_to_logit": "grokscope.models.transformer:neuron_to_logit",
}

TRANSITION = TransitionRule(fit=("train/accuracy", 0.99), generalise=("test/accuracy", 0.9), sustain=3)  # type: ignore[arg-type]

SMOKE: dict[str, Any] = {
    "task.modulus": 11,
    "task.train_fraction": 0.5,
    "model.width": 16,
    "model.heads": 2,
    "model.hidden_width": 32,
    "learner.steps": 60,
    "record.observe.every": 20,
    "record.checkpoints.every": 40,
}

# p, fraction and widths of the sheet's setting C1; weight decay 1 rather than 2, at which (seeds 100-102)
# all three generalise within 1200 steps and hardly show a delay
CPU: dict[str, Any] = {
    "task.modulus": 53,
    "task.train_fraction": 0.5,
    "model.width": 64,
    "model.hidden_width": 256,
    "learner.steps": 5000,
    "record.observe.every": 50,
    "record.checkpoints.every": 1000,
}

EXPERIMENTS = (
    Experiment(
        name="modular-addition",
        title="a one-layer transformer groks a + b mod p",
        spec=MAINLINE,
        scales={"smoke": SMOKE, "cpu": CPU},
        transition=TRANSITION,
        record=RECORD,
        roles=ROLES,
        minutes={"smoke": 0.1, "cpu": 1.5, "paper": 50},
    ),
    Experiment(
        name="no-weight-decay",
        title="the same transformer without weight decay",
        spec={**MAINLINE, "optimizer": {**MAINLINE["optimizer"], "weight_decay": 0.0}},
        scales={
            "smoke": SMOKE,
            "cpu": {**CPU, "learner.steps": 15_000, "record.observe.every": 250, "record.checkpoints.every": 5000},
        },
        transition=TRANSITION,
        record=RECORD,
        roles=ROLES,
        minutes={"smoke": 0.1, "cpu": 4, "paper": 50},
    ),
)
