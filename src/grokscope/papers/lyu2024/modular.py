"""Modular addition by gradient descent on a two-layer perceptron (Lyu et al. 2024, Sec. 3.1 and App.).

All runs are full-batch gradient descent with coupled weight decay. The rate grows as the norm falls, which keeps rate
times sharpness constant: the axis is the time of the flow, not the step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grokscope.analysis.transitions import TransitionRule
from grokscope.claims import claims_by, ours, sheet
from grokscope.paper import Experiment, Figure

HERE = "grokscope.papers.lyu2024.modular_statistics"
PICTURES = "grokscope.papers.lyu2024.modular_figures"
MAIN, WITHOUT = "modular-addition", "modular-no-decay"
RULE = TransitionRule(fit=("train/accuracy", 0.99), generalise=("test/accuracy", 0.9), sustain=3)  # type: ignore[arg-type]

# Lyu et al. 2024, App. A
BASE: dict[str, Any] = {
    "task": {"name": "modular-addition", "modulus": 97, "train_fraction": 0.4, "equals_sign": False},
    "model": {"name": "two-layer-perceptron", "hidden_width": 1024},
    "learner": {"name": "gradient", "loss": "cross-entropy", "steps": 20_000_000},
    "optimizer": {
        "name": "sgd",
        "learning_rate": 0.002,
        "weight_decay": 1e-4,
        "rate": "norm-scheduled",
        "largest_rate": 2.0,
    },
}
SMOKE: dict[str, Any] = {
    "task.modulus": 7,
    "model.hidden_width": 16,
    "learner.steps": 60,
    "record.observe": {"every": 20},
    "record.extra": [],
    "record.checkpoints": {"every": 40},
}
# p = 23 with most of the table and a larger decay: the specification's cpu setting
CPU: dict[str, Any] = {"task.modulus": 23, "task.train_fraction": 0.8, "model.hidden_width": 256}
RATE = 3.0
"""The largest rate at p = 23; for a start α times as large its α⁻² part is as stable."""
RECORD: dict[str, Any] = {
    "measures": ["performance", "weights", "margin", "stationarity", "transition_forecast"],
    "observe": {"per_decade": 25},
    "checkpoints": {"per_decade": 2},
}
FROM_ZERO: dict[str, Any] = {**RECORD, "measures": [*RECORD["measures"], "early_predictor"]}
"""Where the outputs start at 0 all of them have one tangent kernel, for which the early solution is solved."""


def experiment(
    name: str,
    title: str,
    *,
    alpha: tuple[float, float] = (1.0, 1.0),
    decay: tuple[float, float] = (1e-4, 2e-4),
    steps: tuple[int, int],
    zeroed: bool = True,
    minutes: Mapping[str, float],
    cell_of: str | None = None,
    record: Mapping[str, Any] = FROM_ZERO,
) -> Experiment:
    """Return a run; of each pair the first is for the paper's scale, the second for the cpu's."""
    rate = RATE / alpha[1] ** 2
    return Experiment(
        name=name,
        title=title,
        spec={
            **BASE,
            "model": {**BASE["model"], "initial_scale": alpha[0], "zero_readout": zeroed},
            "optimizer": {**BASE["optimizer"], "weight_decay": decay[0]},
            "learner": {**BASE["learner"], "steps": steps[0]},
        },
        scales={
            "smoke": SMOKE,
            "cpu": {
                **CPU,
                "model.initial_scale": alpha[1],
                "optimizer.learning_rate": rate,
                "optimizer.largest_rate": RATE,
                "optimizer.weight_decay": decay[1],
                "learner.steps": steps[1],
            },
        },
        transition=RULE,
        record=record,
        minutes={"smoke": 0.05, **minutes},
        cell_of=cell_of,
    )


HOURS = {"paper": 1500.0}
SCALES = ("modular-scale-1", "modular-scale-10", "modular-scale-100")
DECAYS = ("modular-scale-10", "modular-decay-3e-4", "modular-decay-1e-3")
DECAYS_CPU = ("modular-scale-1", "modular-decay-3e-4")
COLLAPSED = "modular-decay-3e-3"

EXPERIMENTS = (
    experiment(
        MAIN,
        "a two-layer perceptron groks a + b mod p by gradient descent, from a He start",
        steps=(20_000_000, 14_000),
        zeroed=False,
        minutes={"cpu": 0.8, **HOURS},
        record={**RECORD, "extra": [{"measures": ["ntk:examples=60"], "cadence": {"per_decade": 1}}]},
    ),
    experiment(
        "modular-scale-1",
        "the same with its readout zeroed: no output at the start",
        steps=(20_000_000, 14_000),
        minutes={"cpu": 0.8, **HOURS},
        cell_of=MAIN,
    ),
    experiment(
        "modular-scale-10",
        "the same from a start 10 times as large (at cpu scale 2)",
        alpha=(10.0, 2.0),
        steps=(20_000_000, 28_000),
        minutes={"cpu": 1, **HOURS},
        cell_of=MAIN,
    ),
    experiment(
        "modular-scale-100",
        "the same from a start 100 times as large (at cpu scale 4)",
        alpha=(100.0, 4.0),
        steps=(25_000_000, 52_000),
        minutes={"cpu": 2.2, **HOURS},
        cell_of=MAIN,
    ),
    experiment(
        "modular-decay-3e-4",
        "from 10 times the start with three times the weight decay (at cpu scale from 1, twice)",
        alpha=(10.0, 1.0),
        decay=(3e-4, 4e-4),
        steps=(8_000_000, 8000),
        minutes={"cpu": 0.5, **HOURS},
        cell_of=MAIN,
    ),
    experiment(
        "modular-decay-1e-3",
        "from 10 times the start with ten times the weight decay (at cpu scale from 1, five times)",
        alpha=(10.0, 1.0),
        decay=(1e-3, 1e-3),
        steps=(4_000_000, 4000),
        minutes={"cpu": 0.3, **HOURS},
        cell_of=MAIN,
    ),
    experiment(
        COLLAPSED,
        "with thirty times the weight decay the fit itself collapses",
        alpha=(10.0, 1.0),
        decay=(3e-3, 6e-3),
        steps=(4_000_000, 2000),
        minutes={"cpu": 0.2, **HOURS},
        cell_of=MAIN,
    ),
    Experiment(
        name=WITHOUT,
        title="without weight decay, followed on a logarithmic axis of time by steps on the logarithm of the loss",
        spec={
            **BASE,
            "model": {**BASE["model"], "initial_scale": 1.0},
            "learner": {**BASE["learner"], "steps": 10_000_000, "objective": "log-loss"},
            "optimizer": {
                "name": "sgd", "learning_rate": 0.01, "weight_decay": 0.0, "rate": "loss-normalised", "least_rate": 0.1,
            },
            "numerics": {"dtype": "float64"},
        },
        scales={
            "smoke": SMOKE,
            "cpu": {
                **CPU,
                "model.hidden_width": 128,
                "optimizer.learning_rate": 0.02,
                "optimizer.least_rate": 1.0,
                # 16 000 leave one of the seeds 100-102 at 0.43
                "learner.steps": 24_000,
            },
        },
        transition=RULE,
        record={
            "measures": ["performance", "weights", "margin", "stationarity"],
            "observe": {"every": 200, "per_decade": 20},
            "checkpoints": {"per_decade": 2},
        },
        minutes={"smoke": 0.05, "cpu": 1.5, "paper": 1500},
    ),
)  # fmt: skip


LOST_FIT = ours(
    "the specification says that it collapses, in the paper to a train accuracy of 1.4 % at the end and a test "
    "accuracy below 1 %: asked is that neither be above chance by more than a little",
    calibrated=False,
    train_accuracy=(None, 0.05),
    test_accuracy=(None, 0.05),
)


claim = claims_by("Lyu et al. 2024", HERE, experiments=(MAIN,))


CLAIMS = (
    claim(
        "C1",
        "A perceptron of two layers groks modular addition by gradient descent with a small weight decay.",
        "modular-accuracy",
        "groks",
        "Fig. 2a",
        # the paper's units: steps of 0.002, so 2e7 steps are a time of 4e4
        paper=sheet(half_time=(3e4, 5e4), fit_time=(None, 2400)),
        cpu=sheet(accuracy_at_fit=(None, 0.05), final_accuracy=(0.95, None), half_over_fit=(20, None)),
    ),
    claim(
        "C2",
        "From a larger start generalisation comes later, and more sharply.",
        "modular-accuracy",
        "later_and_sharper",
        "Fig. 2b",
        experiments=SCALES,
        paper=sheet(shift=(0.9, 1.1), sharper=(1, None)),
        cpu=sheet(later=(1, None), sharper=(1, None)),
    ),
    claim(
        "C3a",
        "It comes sooner for a larger weight decay, about as its inverse.",
        "modular-accuracy",
        "sooner_with_decay",
        "Fig. 2c",
        experiments=(*DECAYS, "modular-scale-1"),
        experiments_by_scale={"paper": DECAYS, "cpu": DECAYS_CPU},
        paper=sheet(ordered=(1, None)),
        cpu=sheet(ratio=(1.5, 2.2)),
    ),
    claim(
        "C3b",
        "A weight decay thirty times as large is too large: the network loses its fit and never generalises.",
        "modular-accuracy",
        "collapses",
        "Fig. 2c",
        experiments=(COLLAPSED,),
        paper=LOST_FIT,
        cpu=LOST_FIT,
    ),
    claim(
        "C14",
        "Without weight decay it generalises too, but not sharply: over decades of the exponent of time.",
        "modular-log-time",
        "not_sharp",
        "Fig. 4",
        experiments=(WITHOUT,),
        paper=sheet(half=(200, 1500), spread=(10, None)),
        cpu=ours(
            "the specification has one run at this size, log10 t = 2.6 at the fit, 16 at 5 % and 123 at 50 % of the "
            "test pairs: asked is that the exponent of time at 5 % be at least twice that of the fit, and at 50 % at "
            "least three times that at 5 %, where runs with weight decay have at most 1.2",
            half_over_first=(3, None),
            first_over_fit=(2, None),
        ),
    ),
)

WITH_DECAY = (MAIN, *SCALES, "modular-decay-3e-4", "modular-decay-1e-3", COLLAPSED)
FIGURES = (
    Figure(
        "modular-accuracy",
        "Accuracy",
        WITH_DECAY,
        f"{PICTURES}:accuracy",
        ("train/accuracy", "test/accuracy"),
        "Accuracy on trained and held-out pairs over the time t of the gradient flow, the sum of the learning rates. "
        "Where the outputs start at 0, the end of the kernel regime, forecast before the training (vertical), and the "
        "accuracy on held-out pairs of the solution it has until then (level), computed from the start and the data.",
    ),
    Figure(
        "modular-loss",
        "Loss",
        WITH_DECAY,
        f"{PICTURES}:loss",
        ("train/loss", "test/loss"),
        "Cross-entropy over the time of the flow.",
    ),
    Figure(
        "modular-norm",
        "Norm against pure decay, and the normalised margin",
        WITH_DECAY,
        f"{PICTURES}:norm",
        ("transition_forecast/norm_ratio", "margin/train/normalised"),
        "‖θ(t)‖ over ‖θ(0)‖ e^{−λt}, 1 in the kernel regime; and the least margin on the training data over ‖θ‖², "
        "which gradient flow without decay never lowers.",
    ),
    Figure(
        "modular-stationarity",
        "Distance from a stationary point",
        WITH_DECAY,
        "grokscope.recipes.flow:stationarity",
        ("stationarity/residual",),
        "Gradient of the regularised loss over λ ‖θ‖: about 1 where decay alone acts, 0 at a KKT point of the margin "
        "problem.",
    ),
    Figure(
        "modular-early",
        "How near it is to the solution of the kernel regime",
        (*SCALES, "modular-decay-3e-4", "modular-decay-1e-3", COLLAPSED),
        f"{PICTURES}:early",
        ("early_predictor/cosine", "early_predictor/direction_cosine", "early_predictor/agreement"),
        "Cosine of the logits on held-out pairs with those of the classifier of maximal margin on the tangent features "
        "at the start; that of the parameters' change with its direction; the share of pairs they answer alike. Near 1 "
        "in the kernel regime, which starts of moderate size only come near to.",
    ),
    Figure(
        "modular-kernel",
        "Tangent kernel",
        (MAIN,),
        f"{PICTURES}:kernel",
        ("ntk:examples=60/distance", "ntk:examples=60/alignment"),
        "1 − cosine of the tangent kernel to the one at the start, and its alignment with the labels, on 60 pairs.",
    ),
    Figure(
        "modular-scales",
        "Test accuracy by initial scale and by weight decay",
        (*SCALES, "modular-decay-3e-4", "modular-decay-1e-3", COLLAPSED),
        f"{PICTURES}:scales",
        ("test/accuracy",),
        "Median over seeds of the accuracy on held-out pairs, over λ times the time of the flow.",
        together=True,
    ),
    Figure(
        "modular-log-time",
        "Accuracy over the exponent of time",
        (WITHOUT,),
        f"{PICTURES}:log_time",
        ("train/accuracy", "test/accuracy"),
        "Without weight decay. The axis is log10 of the time of the flow, itself on a logarithmic scale: half of the "
        "held-out pairs are answered at a time with a hundred digits.",
    ),
    Figure(
        "modular-log-margin",
        "Normalised margin over the exponent of time",
        (WITHOUT,),
        f"{PICTURES}:log_margin",
        ("margin/train/normalised",),
        "Least margin over ‖θ‖². Under gradient flow it never falls: where it does, the steps are too long for it.",
    ),
)
