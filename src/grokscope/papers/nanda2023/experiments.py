"""The experiments: the paper's own setting, its variants, and what changes at the smaller scales."""

from __future__ import annotations

from collections.abc import Mapping
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
    "measures": ["performance", "weights", "gini", "participation", "fourier", "circles"],
    "observe": {"every": 200, "per_decade": 10},
    "extra": [{"measures": ["circuit", "ablation", "maps"], "cadence": {"steps": [200, 2000, 8000, 12_000]}}],
    "checkpoints": {"every": 2000},
}

# What varies is compared by curves and crossings alone; the circuit is looked at when the run is over.
RECORD_VARIANT: dict[str, Any] = {**RECORD, "extra": [{"measures": ["circuit"], "cadence": {"first": False}}]}
# A cell of a sweep may end after some hundred steps, of which many early observations would be a large share.
RECORD_CELL: dict[str, Any] = {**RECORD_VARIANT, "observe": {"every": 200, "per_decade": 5}}

ROLES = {
    "embedding": "W_E",
    "readout": "W_U",
    "neuron_to_logit": "grokscope.models.transformer:neuron_to_logit",
}

TRANSITION = TransitionRule(fit=("train/accuracy", 0.99), generalise=("test/accuracy", 0.9), sustain=3)  # type: ignore[arg-type]

# The runs of a sweep are only asked when they generalise, and end soon after.
GENERALISED: dict[str, Any] = {"key": "test/accuracy", "level": 0.97, "sustain": 5}

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
    "record.observe.every": 100,
    "record.checkpoints.every": 1000,
}


def varied(**sections: Mapping[str, Any] | list[Any]) -> dict[str, Any]:
    """Return the mainline with these settings laid over its sections."""
    tree: dict[str, Any] = dict(MAINLINE)
    for section, changes in sections.items():
        before = tree.get(section)
        tree[section] = {**before, **changes} if isinstance(before, dict) and isinstance(changes, Mapping) else changes
    return tree


def variant(
    name: str,
    title: str,
    cpu: Mapping[str, Any],
    minutes: float,
    *,
    paper_minutes: float = 28,
    cell_of: str | None = None,
    smoke: Mapping[str, Any] | None = None,
    record: Mapping[str, Any] = RECORD_VARIANT,
    **sections: Mapping[str, Any] | list[Any],
) -> Experiment:
    """Return the mainline with ``sections`` changed, and ``cpu`` beside what always changes at that scale."""
    return Experiment(
        name=name,
        title=title,
        spec=varied(**sections),
        scales={"smoke": {**SMOKE, **(smoke or {})}, "cpu": {**CPU, **cpu}},
        transition=TRANSITION,
        record=record,
        roles=ROLES,
        minutes={"smoke": 0.1, "cpu": minutes, "paper": paper_minutes},
        cell_of=cell_of,
    )


def weight_decay(value: float, steps: int, cpu_steps: int, minutes: float, paper_minutes: float) -> Experiment:
    """Return the cell of the weight-decay sweep that stops once it has generalised."""
    return variant(
        f"weight-decay-{value:g}",
        f"the same with weight decay {value:g}, until it generalises",
        {"learner.steps": cpu_steps},
        minutes,
        paper_minutes=paper_minutes,
        cell_of="modular-addition",
        record=RECORD_CELL,
        optimizer={"weight_decay": value},
        learner={"steps": steps},
        stop=GENERALISED,
    )


def train_fraction(value: float, cpu_steps: int, minutes: float, paper_minutes: float) -> Experiment:
    """Return the cell of the train-fraction sweep that stops once it has generalised."""
    return variant(
        f"train-fraction-{value:g}",
        f"the same, trained on {100 * value:g} % of the table, until it generalises",
        {"task.train_fraction": value, "learner.steps": cpu_steps},
        minutes,
        paper_minutes=paper_minutes,
        cell_of="modular-addition",
        record=RECORD_CELL,
        task={"train_fraction": value},
        stop=GENERALISED,
    )


def dropout(rate: float, cell_of: str | None = None) -> Experiment:
    """Return the mainline regularised by dropout alone, after the neurons and after attention's output."""
    sites = [{"name": "dropout", "site": site, "rate": rate} for site in ("at_mixed", "at_neurons")]
    return variant(
        f"dropout-{rate:g}",
        f"the same with dropout {rate:g} instead of weight decay",
        {"learner.steps": 6000},
        3,
        paper_minutes=90,
        cell_of=cell_of,
        optimizer={"weight_decay": 0.0},
        interventions=sites,
    )


def narrow_or_wide(width: int, cpu_width: int) -> Experiment:
    """Return a cell of the sweep over widths without weight decay, on most of the table."""
    return variant(
        f"no-weight-decay-width-{width}",
        f"without weight decay, on 80 % of the table, width {width} (at cpu scale {cpu_width})",
        {"model.width": cpu_width, "task.train_fraction": 0.8, "learner.steps": 3000},
        0.6,
        paper_minutes=6,
        cell_of="no-weight-decay",
        task={"train_fraction": 0.8},
        model={"width": width, "heads": 4, "hidden_width": 4 * width},
        optimizer={"weight_decay": 0.0},
        learner={"steps": 3000},
    )


EXPERIMENTS = (
    Experiment(
        name="modular-addition",
        title="a one-layer transformer groks a + b mod p",
        spec=MAINLINE,
        scales={
            "smoke": {**SMOKE, "record.extra": [{"measures": ["circuit", "ablation", "maps"], "cadence": {}}]},
            "cpu": {
                **CPU,
                # twice as long as the slowest of the calibration seeds takes to generalise: cleanup ends in it
                "learner.steps": 8000,
                "record.extra": [
                    {"measures": ["circuit", "ablation", "maps"], "cadence": {"steps": [200, 1000, 2500]}}
                ],
            },
        },
        transition=TRANSITION,
        record=RECORD,
        roles=ROLES,
        minutes={"smoke": 0.1, "cpu": 1.0, "paper": 28},
    ),
    variant(
        "no-weight-decay",
        "the same transformer without weight decay",
        {"learner.steps": 15_000, "record.observe.every": 250, "record.checkpoints.every": 5000},
        2,
        optimizer={"weight_decay": 0.0},
    ),
    weight_decay(0.1, 120_000, 30_000, 4, 85),
    weight_decay(0.3, 60_000, 16_000, 3, 30),
    weight_decay(3, 40_000, 4000, 0.3, 5),
    train_fraction(0.4, 10_000, 1.5, 4),
    train_fraction(0.6, 3000, 0.3, 2),
    train_fraction(0.8, 2000, 0.2, 2),
    variant(
        "float32-loss",
        "the same with log-softmax in float32: slingshots",
        {},
        0.7,
        learner={"loss_dtype": "float32"},
    ),
    dropout(0.2),
    dropout(0.5, cell_of="dropout-0.2"),
    variant(
        "l1",
        "the same with an L1 penalty instead of weight decay",
        {"learner.steps": 6000},
        0.9,
        optimizer={"weight_decay": 0.0},
        learner={"l1": 1e-5},
    ),
    variant(
        "two-layers",
        "the same with two layers",
        {"learner.steps": 8000},
        5,
        paper_minutes=100,
        model={"layers": 2},
    ),
    variant("gelu", "the same with GELU instead of ReLU", {}, 0.8, model={"activation": "gelu"}),
    variant(
        "modulus-53",
        "a smaller table, p = 53, of which 30 % is too little",
        {"task.train_fraction": 0.3},
        0.7,
        paper_minutes=8,
        cell_of="modular-addition",
        task={"modulus": 53},
    ),
    variant(
        "modulus-53-weight-decay-5",
        "the smaller table with weight decay 5",
        {"task.train_fraction": 0.3},
        0.7,
        paper_minutes=8,
        cell_of="modular-addition",
        task={"modulus": 53},
        optimizer={"weight_decay": 5.0},
    ),
    variant(
        "modulus-109",
        "another prime, p = 109 (at cpu scale 59)",
        {"task.modulus": 59},
        0.9,
        cell_of="modular-addition",
        task={"modulus": 109},
    ),
    variant(
        "modulus-401",
        "a larger table, p = 401 (at cpu scale 101), of which the same share is enough at once",
        {"task.modulus": 101, "learner.steps": 2000},
        0.5,
        paper_minutes=180,
        cell_of="modular-addition",
        task={"modulus": 401},
        learner={"steps": 10_000},
        stop=GENERALISED,
    ),
    narrow_or_wide(8, 8),
    narrow_or_wide(32, 16),
    narrow_or_wide(128, 64),
    narrow_or_wide(512, 128),
    variant(
        "subtraction",
        "the same transformer on a - b mod p",
        {"learner.steps": 12_000},
        1.5,
        task={"name": "modular-arithmetic", "operation": "subtraction"},
    ),
    variant(
        "quadratic-form",
        "the same transformer on a² + ab + b² mod p",
        {"learner.steps": 10_000},
        1.5,
        task={"name": "modular-arithmetic", "operation": "quadratic-form"},
    ),
    variant(
        "random-labels",
        "the same transformer on random labels: the null",
        {},
        0.7,
        task={"name": "modular-arithmetic", "operation": "random"},
    ),
)
