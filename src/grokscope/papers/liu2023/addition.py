"""Sums of symbols in the plane at held norms, by how messy their places are (Liu et al. 2023, Fig. 6)."""

from __future__ import annotations

from grokscope.analysis.transitions import TransitionRule
from grokscope.claims import Claim, ours
from grokscope.paper import Experiment, Figure

ADDITION = "latent-addition"
MESSINESS = (0.0, 0.05, 0.1, 0.2)
"""m of the representation: the range of the paper."""
NORMS = (1.0, 2.0, 3.0, 4.5, 6.5)
"""α, at which the norm is held."""
FITTING = 4.5
"""α at which the training data are fitted at every messiness."""
HERE = "grokscope.papers.liu2023.addition_statistics"
PICTURES = "grokscope.papers.liu2023.addition_figures"
RULE = TransitionRule(
    fit={"key": "train/loss", "level": 0.9, "kind": "fraction"},  # type: ignore[arg-type]
    generalise={"key": "test/loss", "level": 0.9, "kind": "fraction"},  # type: ignore[arg-type]
    sustain=1,
)


def named(messiness: float, scale: float) -> str:
    """Return the name of the run of a representation at a norm.

    Example:
        >>> named(0.05, 4.5)
        'latent-addition-0.05-scale-4.5'
    """
    return f"{ADDITION}-{messiness:g}-scale-{scale:g}"


def addition(messiness: float, scale: float) -> Experiment:
    """Return the decoder of sums of symbols, its norm put back to that of its start after every update."""
    name, main = named(messiness, scale), named(MESSINESS[0], NORMS[0])
    return Experiment(
        name=name,
        title=f"sums of symbols of messiness {messiness:g}, at {scale:g} times the usual norm",
        spec={
            "task": {"name": "latent-addition", "symbols": 10, "train_examples": 45, "messiness": messiness},
            "model": {"name": "mlp", "widths": [200, 200], "activation": "leaky-relu", "initial_scale": scale},
            "learner": {"name": "gradient", "steps": 10_000},
            "optimizer": {"name": "adam", "learning_rate": 1e-3, "beta2": 0.99},
            "interventions": [{"name": "weight-norm", "norm": "initial"}],
        },
        scales={
            "smoke": {"model.widths": [8, 8], "task.symbols": 5, "task.train_examples": 10, "learner.steps": 40},
            "cpu": {"model.widths": [100, 100], "optimizer.learning_rate": 3e-3, "learner.steps": 1500},
        },
        transition=RULE,
        record={
            "measures": ["performance", "weights"],
            "observe": {"every": 500, "per_decade": 8},
            "checkpoints": {"per_decade": 1},
        },
        minutes={"smoke": 0.05, "cpu": 0.02, "paper": 0.6},
        cell_of=None if name == main else main,
        batch=ADDITION,
    )


EXPERIMENTS = tuple(addition(messiness, scale) for messiness in MESSINESS for scale in NORMS)

MESSIER = ours(
    "the order of the representations by the test loss at one norm at which all fit, as ten test pairs bear no more "
    "(met by two of the seeds 100-102: 0.6, 1.2, 1.5, 2.2 and 0.6, 0.7, 1.0, 2.0; on the third 2.0, 2.2, 1.9, 2.4)",
    least_rise=(1, None),
)
CLAIMS = (
    Claim(
        id="R1",
        statement="At a norm that fits, test loss is the larger the messier the representation.",
        figure="addition-landscape",
        experiments=tuple(experiment.name for experiment in EXPERIMENTS),
        statistic=f"{HERE}:by_messiness",
        criterion={"cpu": MESSIER, "paper": MESSIER},
        source="Liu et al. 2023, Fig. 6; a claim of ours",
    ),
)
FIGURES = (
    Figure(
        "addition-landscape",
        "Reduced losses by messiness",
        tuple(experiment.name for experiment in EXPERIMENTS),
        f"{PICTURES}:by_messiness",
        ("weights/sum_of_squares",),
        "Test (solid) and train loss (dotted) after training at a held norm, a colour a messiness m of the "
        "representation: medians over seeds.",
        together=True,
    ),
    Figure(
        "addition-loss",
        "Loss",
        tuple(experiment.name for experiment in EXPERIMENTS),
        f"{PICTURES}:loss",
        ("train/loss", "test/loss"),
        "Train and test loss.",
    ),
)
