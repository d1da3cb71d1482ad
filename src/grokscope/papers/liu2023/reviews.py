"""IMDb reviews read by a long short-term memory, from a large and from the usual start (Liu et al. 2023, Fig. 4).

A thousand reviews, three quarters of them trained on. Every parameter starts at six times what PyTorch gives it and
decays, or at PyTorch's own start without weight decay. Unlike the released code, each batch begins from a state of 0
(there it is carried from a batch to the next, of other reviews), and accuracy is that of all reviews, not of a batch.
"""

from __future__ import annotations

from typing import Any

from grokscope.analysis.transitions import TransitionRule
from grokscope.claims import Claim
from grokscope.claims.criteria import ours
from grokscope.paper import Experiment, Figure

__all__ = ["CLAIMS", "EXPERIMENTS", "FIGURES"]

MODULE = "grokscope.papers.liu2023.reviews"

LARGE, STANDARD = "imdb-scale-6", "imdb-scale-1"
FITTED, GENERALISED = 0.95, 0.7

RULE = TransitionRule(fit=("train/accuracy", FITTED), generalise=("test/accuracy", GENERALISED), sustain=2)  # type: ignore[arg-type]

SMOKE: dict[str, Any] = {
    "task.dataset": "synthetic",
    "task.examples": 60,
    "task.vocabulary": 40,
    "task.length": 12,
    "task.batch_size": 15,
    "model.embedding_width": 8,
    "model.hidden_width": 8,
    "optimizer.learning_rate": 0.01,
    "learner.steps": 40,
}
CPU: dict[str, Any] = {
    "task.examples": 1250,
    "task.train_fraction": 0.6,
    "task.length": 50,
    "model.embedding_width": 32,
    "model.hidden_width": 64,
    "optimizer.learning_rate": 3e-3,
    "record.observe": {"per_decade": 8},
    # a network of this size and words of this number reach little more
    "transition.generalise.level": 0.6,
}


def reviews(name: str, title: str, scale: float, weight_decay: float, cpu: dict[str, Any]) -> Experiment:
    """Return the run from a start ``scale`` times as large as PyTorch's, with what its cpu scale has for itself."""
    return Experiment(
        name=name,
        title=title,
        spec={
            "task": {
                "name": "reviews",
                "examples": 1000,
                "train_fraction": 0.75,
                "vocabulary": 1000,
                "length": 500,
                "batch_size": 50,
                "batch_order": "shuffled",
            },
            "model": {
                "name": "lstm",
                "embedding_width": 64,
                "layers": 2,
                "hidden_width": 256,
                "initial_scale": scale,
            },
            "learner": {"name": "gradient", "steps": 75_000},
            "optimizer": {"name": "adamw", "learning_rate": 3e-4, "weight_decay": weight_decay},
            "interventions": [{"name": "gradient-clip", "norm": 5.0}],
            "numerics": {"eval_chunk": 250},
        },
        scales={"smoke": SMOKE, "cpu": {**CPU, **cpu}},
        transition=RULE,
        record={
            "measures": ["performance", "weights"],
            "observe": {"every": 1500, "per_decade": 12},
            "checkpoints": {"per_decade": 1},
        },
        minutes={"smoke": 0.05, "cpu": 0.001 * cpu["learner.steps"], "paper": 2700},
        batch="imdb",
    )


EXPERIMENTS = (
    reviews(
        LARGE,
        "IMDb reviews, every parameter six times as large as usual, with weight decay",
        6.0,
        1.0,
        {"optimizer.weight_decay": 2.0, "learner.steps": 750},
    ),
    reviews(
        STANDARD,
        "IMDb reviews from the usual start, without weight decay",
        1.0,
        0.0,
        {"learner.steps": 300},
    ),
)
NAMES = tuple(experiment.name for experiment in EXPERIMENTS)

CLAIMS = (
    Claim(
        id="I1",
        statement="On IMDb reviews a start at six times the usual size delays generalisation, the usual one does not.",
        figure="reviews-starts",
        experiments=NAMES,
        statistic=f"{MODULE}_statistics:late_rises",
        criterion={
            "cpu": ours(
                "the claim gives no number: after the fit test accuracy gains twice the standard error of 500 reviews, "
                "half of it not before twice the step of the fit, and from the usual start less than that",
                rise_large=(0.05, None),
                lateness=(2.0, None),
                rise_standard=(None, 0.04),
            ),
            "paper": ours(
                "the figure has the fit near step 100 and the rise of the test near step 1000, and tells no numbers",
                calibrated=False,
                rise_large=(0.1, None),
                lateness=(5.0, None),
                rise_standard=(None, 0.05),
            ),
        },
        source="Fig. 4",
    ),
)

FIGURES = (
    Figure(
        id="reviews-accuracy",
        title="Accuracy on reviews",
        experiments=NAMES,
        function=f"{MODULE}_figures:accuracy",
        keys=("train/accuracy", "test/accuracy"),
        caption="Of all reviews trained on and of all tested on, not of a batch. Dotted: a guess.",
    ),
    Figure(
        id="reviews-loss",
        title="Loss on reviews",
        experiments=NAMES,
        function=f"{MODULE}_figures:loss",
        keys=("train/loss", "test/loss"),
        caption="Binary cross-entropy. Test loss above that of a guess is confidence in wrong answers.",
    ),
    Figure(
        id="reviews-norm",
        title="Weight norm on reviews",
        experiments=NAMES,
        function=f"{MODULE}_figures:norm",
        keys=("weights/sum_of_squares",),
        caption="The large start decays by weight decay; the usual one has none and keeps its norm.",
    ),
    Figure(
        id="reviews-starts",
        title="Accuracy from two starts",
        experiments=NAMES,
        function=f"{MODULE}_figures:starts",
        keys=("train/accuracy", "test/accuracy"),
        caption="Dashed: training reviews. From the large start they are fitted while the test is little but guesses.",
        together=True,
    ),
)
