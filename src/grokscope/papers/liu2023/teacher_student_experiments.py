"""A student of a random network: starts and weight decays, and the losses at every norm of the weights.

Every parameter of the student starts at α times what PyTorch gives it; the teacher's are at α = 1. The cells of a sweep
train as one ensemble.
"""

from __future__ import annotations

from typing import Any

from grokscope.analysis.transitions import TransitionRule
from grokscope.paper import Experiment

STUDENT, LANDSCAPE = "student-teacher", "student-teacher-norm"
SCALES = (0.5, 1.0, 2.0)
"""α of the three panels of Fig. 2b."""
DECAYS = (0.0, 0.03, 1.0)
"""Weight decays of each."""
SWEEP_SCALE, SWEEP = 2.0, (0.03, 0.1, 0.3, 1.0)
"""α and weight decays of Fig. 2c."""
MAIN = (2.0, 0.03)
"""α and weight decay of the main run."""
NORMS = tuple(round(10 ** (-1 + tenth / 5), 3) for tenth in range(11))
"""α at which the norm is held: 11 from 0.1 to 10, evenly spread in their logarithm."""
THRESHOLDS = ("0.01", "0.001")
"""Of the squared error, averaged over outputs: an example below counts as accurate. The paper's, and its code's."""
LEVEL = 0.95
"""Share of accurate examples from which data count as fitted, and test data as generalised to."""

RULE = TransitionRule(
    fit=(f"threshold_accuracy/train@{THRESHOLDS[0]}", LEVEL),  # type: ignore[arg-type]
    generalise=(f"threshold_accuracy/test@{THRESHOLDS[0]}", LEVEL),  # type: ignore[arg-type]
    sustain=1,
)
SMOKE: dict[str, Any] = {
    "task.teacher_widths": [8],
    "task.train_examples": 20,
    "task.test_examples": 20,
    "model.widths": [8],
    "learner.steps": 40,
}


def named(scale: float, decay: float) -> str:
    """Return the name of the run from a start at a weight decay.

    Example:
        >>> named(2.0, 0.03), named(0.5, 0.0)
        ('student-teacher', 'student-teacher-scale-0.5-decay-0')
    """
    return STUDENT if (scale, decay) == MAIN else f"{STUDENT}-scale-{scale:g}-decay-{decay:g}"


def held(scale: float) -> str:
    """Return the name of the run at a norm.

    Example:
        >>> held(0.158)
        'student-teacher-norm-0.158'
    """
    return f"{LANDSCAPE}-{scale:g}"


def spec(scale: float, decay: float, steps: int) -> dict[str, Any]:
    """Return the student of a teacher with the sizes that both have."""
    return {
        "task": {"name": "student-teacher", "train_examples": 100, "test_examples": 100},
        "model": {"name": "mlp", "widths": [100, 100], "activation": "tanh", "initial_scale": scale},
        "learner": {"name": "gradient", "steps": steps},
        "optimizer": {"name": "adamw", "learning_rate": 3e-4, "weight_decay": decay},
    }


def student(scale: float, decay: float) -> Experiment:
    """Return the student from a start at a weight decay; the cpu scale has as much time ηt as the paper's."""
    name = named(scale, decay)
    return Experiment(
        name=name,
        title=f"a student of a random network, start α = {scale:g}, weight decay {decay:g}",
        spec=spec(scale, decay, 100_000),
        scales={"smoke": SMOKE, "cpu": {"optimizer.learning_rate": 3e-3, "learner.steps": 10_000}},
        transition=RULE,
        record={
            "measures": ["performance", "weights", "threshold_accuracy"],
            "observe": {"every": 500, "per_decade": 15},
            "checkpoints": {"per_decade": 1},
        },
        minutes={"smoke": 0.05, "cpu": 0.1, "paper": 3},
        cell_of=None if name == STUDENT else STUDENT,
        batch=STUDENT,
    )


def at_norm(scale: float) -> Experiment:
    """Return the student whose norm is put back to that of its start after every update."""
    main = held(1.0)
    return Experiment(
        name=held(scale),
        title=f"a student of a random network at {scale:g} times the usual norm",
        spec={**spec(scale, 0.0, 10_000), "interventions": [{"name": "weight-norm", "norm": "initial"}]},
        scales={
            "smoke": {**SMOKE, "record.extra": []},
            "cpu": {"optimizer.learning_rate": 3e-3, "learner.steps": 3000},
        },
        transition=RULE,
        record={
            "measures": ["performance", "weights", "threshold_accuracy"],
            "observe": {"every": 250, "per_decade": 10},
            "extra": [{"measures": ["input_jacobian", "ntk:examples=100"], "cadence": {"first": False}}],
            "checkpoints": {"per_decade": 1},
        },
        minutes={"smoke": 0.05, "cpu": 0.05, "paper": 0.5},
        cell_of=None if scale == 1 else main,
        batch=LANDSCAPE,
    )


CELLS = tuple(dict.fromkeys([MAIN, *((a, g) for a in SCALES for g in DECAYS), *((SWEEP_SCALE, g) for g in SWEEP)]))
"""(α, weight decay) of every run whose norm is free."""
EXPERIMENTS = (*(student(*cell) for cell in CELLS), *(at_norm(scale) for scale in NORMS))
