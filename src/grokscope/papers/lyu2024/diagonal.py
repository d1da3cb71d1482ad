"""Diagonal linear networks: grokking and misgrokking by one mechanism, and when it happens (Lyu et al. 2024, Sec. 3.2).

A class of two is trained by gradient flow with a small weight decay from a large start at which f = 0. Long after the
fit the network leaves the classifier of maximal L2 margin for that of maximal L1 margin. Which of the two generalises
decides whether this is grokking or its opposite.
"""

from __future__ import annotations

from typing import Any

from grokscope.analysis.transitions import TransitionRule
from grokscope.claims import claims_by, ours, sheet
from grokscope.paper import Experiment, Figure

HERE = "grokscope.papers.lyu2024.diagonal_statistics"
PICTURES = "grokscope.papers.lyu2024.diagonal_figures"
SPARSE, GAUSSIAN = "sparse-classification", "margin-gaussian"
NORMS = (32, 128, 512, 2048, 8192)
DECAYS = (1e-2, 1e-3, 1e-4, 1e-5)

RULE = TransitionRule(fit=("train/accuracy", 1.0), generalise=("test/accuracy", 0.95), sustain=3)  # type: ignore[arg-type]
ROLES = {"linear_predictor": "grokscope.models.diagonal:linear_predictor"}
MEASURES = ["performance", "weights", "margin", "max_margin", "stationarity", "transition_forecast"]

# Lyu et al. 2024, App. A: learning rate 0.01, which is the time of a step here
BASE: dict[str, Any] = {
    "model": {"name": "diagonal-network", "initial_norm": 128.0},
    "learner": {"name": "diagonal-flow", "time_per_step": 0.01, "weight_decay": 1e-3},
    "numerics": {"dtype": "float64"},
}
SMOKE: dict[str, Any] = {
    "task.dimension": 100,
    "task.examples": 20,
    "task.test_examples": 50,
    "learner.steps": 2000,
    "record.observe": {"per_decade": 2},
    "record.checkpoints": {"every": 1000},
}


def record(per_decade: int, start: int, stop: int, every: int) -> dict[str, Any]:
    """Return a plan that looks often where the network changes and seldom elsewhere."""
    windows = [{"start": start, "stop": stop, "every": every}]
    return {
        "measures": MEASURES,
        "observe": {"per_decade": per_decade, "windows": windows},
        "checkpoints": {"per_decade": 2},
    }


def cell(name: str, title: str, norm: float, decay: float, tolerance: float = 1e-6) -> Experiment:
    """Return a cell of the sweeps, which are asked for the onset alone and are small at the cpu scale."""
    # λ t = 9 is beyond the transition of the largest start
    steps = round(9 / decay / 0.01)
    return Experiment(
        name=name,
        title=title,
        spec={
            **BASE,
            "task": {"name": SPARSE, "dimension": 100_000, "examples": 256, "test_examples": 500},
            "model": {"name": "diagonal-network", "initial_norm": float(norm)},
            "learner": {**BASE["learner"], "weight_decay": decay, "tolerance": tolerance, "steps": steps},
        },
        scales={"smoke": SMOKE, "cpu": {"task.dimension": 1000, "task.examples": 128}},
        transition=RULE,
        record={
            "measures": ["performance", "weights", "max_margin", "transition_forecast"],
            "observe": {"per_decade": 12, "windows": [{"start": 0, "stop": steps, "every": steps // 90}]},
            "checkpoints": {"first": False},
        },
        roles=ROLES,
        minutes={"smoke": 0.02, "cpu": 0.05, "paper": 2},
        cell_of=SPARSE,
        theory="grokscope.recipes.grids:onset_step",
    )


def norm_cell(norm: int) -> str:
    """Return the name of the cell of an initial norm at weight decay 1e-3."""
    return f"initial-norm-{norm}"


def decay_cell(decay: float) -> str:
    """Return the name of the cell of a weight decay at initial norm 128."""
    return norm_cell(128) if decay == 1e-3 else f"decay-{decay:.0e}".replace("e-0", "e-")


NORM_CELLS = tuple(norm_cell(norm) for norm in NORMS)
DECAY_CELLS = tuple(decay_cell(decay) for decay in DECAYS)

EXPERIMENTS = (
    Experiment(
        name=SPARSE,
        title="a diagonal network groks a sparse linear classifier",
        spec={
            **BASE,
            "task": {"name": SPARSE, "dimension": 100_000, "examples": 256, "test_examples": 1000, "relevant": 3},
            "learner": {**BASE["learner"], "steps": 2_000_000},
        },
        # the reduction makes the paper's own size a matter of a minute: it is judged there
        scales={"smoke": SMOKE, "cpu": {}},
        transition=RULE,
        record=record(6, 150_000, 450_000, 10_000),
        roles=ROLES,
        minutes={"smoke": 0.05, "cpu": 1.5, "paper": 1.5},
    ),
    Experiment(
        name=GAUSSIAN,
        title="a diagonal network misgroks Gaussians of large L2 margin",
        spec={
            **BASE,
            "task": {"name": GAUSSIAN, "dimension": 100_000, "examples": 32, "test_examples": 1000, "margin": 25.0},
            "learner": {**BASE["learner"], "steps": 20_000_000},
        },
        scales={"smoke": SMOKE, "cpu": {}},
        transition=RULE,
        record=record(6, 200_000, 1_000_000, 20_000),
        roles=ROLES,
        minutes={"smoke": 0.05, "cpu": 1, "paper": 1},
    ),
    *(
        cell(norm_cell(norm), f"the sparse classifier from a start of norm {norm}, until the onset", norm, 1e-3)
        for norm in NORMS
    ),
    *(
        cell(decay_cell(decay), f"the sparse classifier with weight decay {decay:g}, until the onset", 128, decay)
        for decay in DECAYS
        if decay != 1e-3
    ),
    cell("half-tolerance", "the sparse classifier, integrated twice as finely", 128, 1e-3, tolerance=5e-7),
)


claim = claims_by("Lyu et al. 2024", HERE, experiments=(SPARSE,))


CLAIMS = (
    claim(
        "C4",
        "Grokking: a diagonal network fits sparse labels in a step and generalises five orders of magnitude later.",
        "diagonal-accuracy",
        "grokking_times",
        "Fig. 1a",
        cpu=sheet(
            # the paper's 2.6e5 and 3.5e5 steps, within 15 %
            accuracy_74_step=(2.21e5, 2.99e5),
            accuracy_98_step=(2.975e5, 4.025e5),
            fit_step=(None, 1),
            final_norm=(4.27, 4.37),
        ),
    ),
    claim(
        "C5a",
        "Misgrokking: it generalises at once on Gaussians of large L2 margin, and forgets five orders later.",
        "diagonal-accuracy",
        "misgrokking_times",
        "Fig. 1b",
        experiments=(GAUSSIAN,),
        cpu=sheet(
            # the paper's 4.5e5 and 5.3e5 steps, within 15 %, and its norm
            accuracy_90_step=(3.825e5, 5.175e5),
            accuracy_75_step=(4.505e5, 6.095e5),
            early_accuracy=(0.99, None),
            final_norm=(3.17, 3.27),
        ),
    ),
    claim(
        "C5b",
        "Misgrokking, its last part: test accuracy is down to 0.6 at the step of the paper's run.",
        "diagonal-accuracy",
        "misgrokking_times",
        "Fig. 1b",
        experiments=(GAUSSIAN,),
        # the paper's 7.4e5 steps within 15 %; a bound of its own, as the level lies within 0.1 of what the draw ends at
        cpu=sheet(accuracy_60_step=(6.29e5, 8.51e5)),
    ),
    claim(
        "C7",
        "In the kernel regime the network is the linear classifier of maximal L2 margin.",
        "diagonal-cosines",
        "early_is_max_l2_margin",
        "Cor. 3.6",
        cpu=sheet(cosine_l2=(0.999, None)),
    ),
    claim(
        "C8",
        "In the rich regime it is the linear classifier of maximal L1 margin.",
        "diagonal-cosines",
        "late_is_max_l1_margin",
        "Cor. 3.7",
        cpu=sheet(cosine_l1=(0.999, None), residual=(None, 0.1)),
    ),
    claim(
        "C9",
        "Until the onset the norm of the parameters is that of pure decay, ‖θ(0)‖ e^{−λt}.",
        "diagonal-norm",
        "norm_decays",
        "Thm. 3.4",
        cpu=sheet(deviation=(None, 1e-3)),
    ),
    claim(
        "C10a",
        "The onset grows linearly in the logarithm of the initial scale, with slope 1/λ (diagonal networks).",
        "diagonal-onset",
        "onset_by_scale",
        "Thm. 3.4, 3.5",
        experiments=NORM_CELLS,
        cpu=sheet(slope=(0.98, 1.02)),
    ),
    claim(
        "C11a",
        "λ times the onset decreases slowly as weight decay falls (classification).",
        "diagonal-onset",
        "onset_by_decay",
        "Thm. 3.4",
        experiments=DECAY_CELLS,
        cpu=ours(
            "the specification gives one draw, 2.61, 2.39, 2.23 and 2.12 for 1e-2 to 1e-5, and says that it decreases "
            "slowly: asked is that every step decreases, and all three together by at most 1 in λt, where 1/λ itself "
            "grows by 6.9 in its logarithm",
            largest_change=(None, 0.0),
            total_change=(-1.0, None),
        ),
    ),
    claim(
        "C16",
        "Misgrokking is grokking with the roles swapped: what the network leaves generalises, what it finds does not.",
        "diagonal-accuracy",
        "roles_swapped",
        "Sec. 3.2.3",
        experiments=(GAUSSIAN,),
        cpu=sheet(
            oracle_accuracy=(0.99, None), final_accuracy=(None, 0.6), late_gap=(None, 0.02), early_cosine=(0.99, None)
        ),
    ),
    claim(
        "V1",
        "Halving the tolerance of the integrator moves no onset (a check of ours, no claim of the paper).",
        "diagonal-onset",
        "resolved",
        "Sec. 3.2",
        experiments=(norm_cell(128), "half-tolerance"),
        cpu=ours("one part in a thousand, the stated tolerance", calibrated=False, moved=(None, 1e-3)),
    ),
)

BOTH = (SPARSE, GAUSSIAN)
FIGURES = (
    Figure(
        "diagonal-accuracy",
        "Accuracy",
        (*BOTH, *NORM_CELLS, *DECAY_CELLS),
        f"{PICTURES}:accuracy",
        ("train/accuracy", "test/accuracy"),
        "Accuracy over the time t of the gradient flow (a step of the paper's gradient descent is 0.01). Dotted and "
        "dashed: test accuracy of the linear classifiers of maximal L2 and maximal L1 margin, computed from the data "
        "alone. Vertical: the onset, forecast from the initial scale, weight decay and the data.",
    ),
    Figure(
        "diagonal-loss",
        "Loss",
        BOTH,
        f"{PICTURES}:loss",
        ("train/loss", "test/loss"),
        "Logistic loss over the time of the flow.",
    ),
    Figure(
        "diagonal-cosines",
        "Which classifier it is",
        (*BOTH, *NORM_CELLS, *DECAY_CELLS),
        f"{PICTURES}:cosines",
        ("max_margin/cosine_l2", "max_margin/cosine_l1"),
        "Cosine of the network's weights u² − v² to the classifiers of maximal L2 and L1 margin.",
    ),
    Figure(
        "diagonal-norm",
        "Norm against pure decay",
        (*BOTH, *NORM_CELLS, *DECAY_CELLS),
        f"{PICTURES}:norm",
        ("transition_forecast/norm_ratio",),
        "‖θ(t)‖ over ‖θ(0)‖ e^{−λt}: 1 in the kernel regime. Where it passes 1.05 (dotted) is called the onset.",
    ),
    Figure(
        "diagonal-margins",
        "Margins",
        BOTH,
        f"{PICTURES}:margins",
        ("max_margin/margin_l2", "max_margin/margin_l1"),
        "Least margin on the training data over the L2 and the L1 norm of the weights; levels: the largest possible.",
    ),
    Figure(
        "diagonal-stationarity",
        "Distance from a stationary point",
        BOTH,
        "grokscope.recipes.flow:stationarity",
        ("stationarity/residual",),
        "Gradient of the regularised loss over λ ‖θ‖: 1 in the kernel regime, 0 at a KKT point of the margin problem.",
    ),
    Figure(
        "diagonal-onset",
        "Onset against the initial scale and against weight decay",
        (*NORM_CELLS, *(name for name in DECAY_CELLS if name not in NORM_CELLS)),
        f"{PICTURES}:onset",
        ("transition_forecast/norm_ratio",),
        "λ times the time of the onset, measured on each seed and as forecast before the training. In the logarithm of "
        "the initial norm theory predicts the slope 1.",
        together=True,
    ),
)
