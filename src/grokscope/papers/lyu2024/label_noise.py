"""Noise on the labels as weight decay: grokking by the noise of gradient descent (Lyu et al. 2024, App. B.2).

A diagonal network fits a sparse linear function, an example a step and with fresh noise on every label. On average the
noise is a weight decay of λ = 8ησ² mean x², so that the network leaves the interpolation of minimal norm for a sparse
one after a time of 1/λ, which is a number of steps that goes with η^−2. The paper has this as theory alone; the sizes
are the specification's, small enough for every scale.
"""

from __future__ import annotations

from grokscope.analysis.transitions import TransitionRule
from grokscope.claims import Claim, both, sheet
from grokscope.paper import Experiment, Figure

HERE = "grokscope.papers.lyu2024.label_noise_statistics"
PICTURES = "grokscope.papers.lyu2024.label_noise_figures"
NAME = "label-noise"
RATES = (5e-4, 1e-3, 2e-3)

DIMENSION, EXAMPLES, RELEVANT = 50, 30, 2
INTERPOLATION = RELEVANT * (1 - EXAMPLES / DIMENSION)
"""Test loss of minimum-norm interpolation, on average over data: it finds the part of w* in the span of the inputs."""
HALF = INTERPOLATION / 2
SPAN = 0.5
"""η² times the number of steps, far beyond the transition."""

RULE = TransitionRule(
    fit=("train/loss", 0.5, "absolute", "falling"),  # type: ignore[arg-type]
    generalise=("test/loss", HALF, "absolute", "falling"),  # type: ignore[arg-type]
    sustain=3,
)


def name_of(rate: float) -> str:
    """Return the name of the experiment with a learning rate.

    Example:
        >>> name_of(1e-3), name_of(5e-4)
        ('label-noise', 'label-noise-5e-4')
    """
    return NAME if rate == 1e-3 else f"{NAME}-{rate:.0e}".replace("e-0", "e-")


NAMES = tuple(name_of(rate) for rate in RATES)
TOGETHER = (NAME, *(name for name in NAMES if name != NAME))
"""The same, the middle rate first: its page has the figures of all."""


def experiment(rate: float) -> Experiment:
    """Return the experiment with a learning rate: equal in η² times the number of steps, and seen equally often."""
    steps = round(SPAN / rate**2)
    return Experiment(
        name=name_of(rate),
        title=f"a diagonal network groks by label noise, learning rate {rate:g}",
        spec={
            "task": {
                "name": "sparse-regression",
                "dimension": DIMENSION,
                "examples": EXAMPLES,
                "test_examples": 1000,
                "relevant": RELEVANT,
            },
            # θ(0) = 0.7 (1, …, 1) in 100 dimensions
            "model": {"name": "diagonal-network", "initial_norm": 7.0},
            "learner": {"name": "label-noise", "learning_rate": rate, "noise": 1.0, "steps": steps},
            "numerics": {"dtype": "float64"},
        },
        scales={
            "smoke": {
                "task.dimension": 20,
                "task.examples": 10,
                "task.test_examples": 50,
                "learner.steps": 2000,
                "record.observe": {"per_decade": 3},
                "record.checkpoints": {"every": 1000},
            },
            "cpu": {},
        },
        transition=RULE,
        record={
            "measures": ["performance", "weights", "transition_forecast", "early_predictor"],
            "observe": {"per_decade": 6, "windows": [{"start": 0, "stop": steps, "every": steps // 100}]},
            "checkpoints": {"per_decade": 2},
        },
        roles={"linear_predictor": "grokscope.models.diagonal:linear_predictor"},
        # four to sixteen microseconds a step
        minutes={"smoke": 0.02, "cpu": round(2e-7 * steps, 3), "paper": round(2e-7 * steps, 3)},
        cell_of=None if rate == 1e-3 else NAME,
    )


EXPERIMENTS = tuple(experiment(rate) for rate in RATES)

CLAIMS = (
    Claim(
        "C15",
        "Label noise groks like weight decay: the number of steps to generalisation goes with the inverse square of "
        "the learning rate.",
        "label-noise-steps",
        experiments=NAMES,
        statistic=f"{HERE}:steps_by_rate",
        # the level that counts as generalised was set after a look at the curves of our seeds
        criterion=both(sheet(calibrated=True, largest_deviation=(None, 0.2))),
        source="Lyu et al. 2024, App. B.2",
    ),
)

FIGURES = (
    Figure(
        "label-noise-loss",
        "Loss",
        NAMES,
        f"{PICTURES}:loss",
        ("train/loss", "test/loss"),
        "Squared error without the noise. Dashed: test loss of minimum-norm interpolation, computed from the data "
        "alone. Vertical: when weight decay as large as the noise amounts to would end the kernel regime.",
    ),
    Figure(
        "label-noise-norm",
        "Norm against the decay by label noise",
        NAMES,
        f"{PICTURES}:norm",
        ("transition_forecast/norm_ratio",),
        "‖θ(t)‖ over ‖θ(0)‖ e^{−λt} with λ = 8ησ² mean x²: 1 as long as label noise acts as this weight decay and the "
        "network is in the kernel regime.",
    ),
    Figure(
        "label-noise-early",
        "Is it minimum-norm interpolation",
        NAMES,
        f"{PICTURES}:early",
        ("early_predictor/cosine",),
        "Cosine of the outputs on test data with those of minimum-norm interpolation, where the kernel regime leads.",
    ),
    Figure(
        "label-noise-collapse",
        "Test loss at three learning rates",
        TOGETHER,
        f"{PICTURES}:collapse",
        ("test/loss",),
        "Over η² times the number of steps the curves of all learning rates fall together.",
        together=True,
    ),
    Figure(
        "label-noise-steps",
        "Steps to generalisation",
        TOGETHER,
        f"{PICTURES}:steps",
        ("test/loss",),
        "Steps until test loss stays below half of what minimum-norm interpolation has on average, at each learning "
        "rate η: each seed's, their median, and the line through the middle rate that goes with η^−2.",
        together=True,
    ),
)
