"""A graph network on a hundred molecules of QM9, from two starts (Liu et al. 2023, Fig. 5).

Every parameter starts at α times what PyTorch gives it. There is no weight decay.
"""

from __future__ import annotations

from typing import Any

from grokscope.analysis.transitions import TransitionRule
from grokscope.claims import Claim
from grokscope.claims.criteria import both, ours
from grokscope.paper import Experiment, Figure

__all__ = ["CLAIMS", "EXPERIMENTS", "FIGURES"]

QM9 = "qm9"
LARGE, USUAL = 3.0, 1.0
"""α of the start that is to delay, and of the one that is not."""
MODULE = "grokscope.papers.liu2023.molecules"

RULE = TransitionRule(
    fit=("train/loss", 0.1, "absolute", "falling"),  # type: ignore[arg-type]
    generalise=("test/loss", 0.5, "absolute", "falling"),  # type: ignore[arg-type]
    sustain=1,
)
"""In units of the variance of the targets trained on."""


def named(scale: float) -> str:
    """Return the name of the run from a start.

    Example:
        >>> named(3.0)
        'qm9-scale-3'
    """
    return f"{QM9}-scale-{scale:g}"


def molecules(scale: float) -> Experiment:
    """Return the graph network from a start; the cpu scale has the paper's rate and a fifth of its steps."""
    task: dict[str, Any] = {
        "name": "molecules",
        "train_examples": 50,
        "test_examples": 50,
        "hydrogens": True,
        # the largest of the first hundred with its hydrogens
        "nodes": 17,
        "batch_size": 32,
        "batch_order": "shuffled",
    }
    return Experiment(
        name=named(scale),
        title=f"a graph network on a hundred molecules of QM9, every parameter {scale:g} times as large as usual",
        spec={
            "task": task,
            "model": {"name": "graph-network", "initial_scale": scale},
            "learner": {"name": "gradient", "steps": 100_000, "loss": "mean-squared-error"},
            "optimizer": {"name": "adamw", "learning_rate": 1e-3, "weight_decay": 0.0},
        },
        scales={
            "smoke": {
                "task.dataset": "synthetic",
                "task.hydrogens": False,
                "task.nodes": 6,
                "task.train_examples": 12,
                "task.test_examples": 12,
                "task.batch_size": 8,
                "model.widths": [8, 4],
                "model.kernel_width": 8,
                "model.hidden_width": 8,
                "learner.steps": 40,
            },
            # hydrogens are counted at their atoms, of which the first hundred molecules have five at most
            "cpu": {"task.hydrogens": False, "task.nodes": 5, "learner.steps": 20_000},
        },
        transition=RULE,
        record={
            "measures": ["performance", "weights"],
            "observe": {"every": 500, "per_decade": 15},
            "checkpoints": {"per_decade": 1},
        },
        minutes={"smoke": 0.05, "cpu": 0.2, "paper": 3},
        cell_of=None if scale == LARGE else named(LARGE),
        batch=QM9,
    )


EXPERIMENTS = (molecules(LARGE), molecules(USUAL))
NAMES = tuple(experiment.name for experiment in EXPERIMENTS)
LOSSES = ("train/loss", "test/loss")

CLAIMS = (
    Claim(
        id="Q1",
        statement="On QM9 a start at α = 3 has a late and sharp drop of the test loss, and one at α = 1 has none.",
        figure="molecules-starts",
        experiments=NAMES,
        statistic=f"{MODULE}_statistics:late_drops",
        criterion=both(
            ours(
                "the claim gives no number: a drop to a tenth after the fit, five times as late as it, half of it "
                "within half a decade of steps, against a factor of two; fixed on seeds 100 to 102",
                drop_large=(1.0, None),
                lateness=(5.0, None),
                sharpness=(0.5, None),
                drop_usual=(None, 0.3),
            )
        ),
        source="Fig. 5",
    ),
)

FIGURES = (
    Figure(
        id="molecules-loss",
        title="Loss on molecules",
        experiments=NAMES,
        function=f"{MODULE}_figures:losses",
        keys=LOSSES,
        caption="A loss of 1 is that of the mean of the targets trained on: what stays above has learned nothing yet.",
    ),
    Figure(
        id="molecules-starts",
        title="Test loss from two starts",
        experiments=NAMES,
        function=f"{MODULE}_figures:starts",
        keys=LOSSES,
        caption="From the large start both losses begin far above 1; the test loss stays high longer, and drops late.",
        together=True,
    ),
)
