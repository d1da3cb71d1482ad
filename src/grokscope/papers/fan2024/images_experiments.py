"""Perceptrons of 4, 8 and 12 layers on the first images of MNIST, from a start eight times as large as usual.

Depth, number of training images and weight decay are varied one at a time; the ranks of what each layer puts out on the
test images, and what a linear classifier reads off them, are measured beside the accuracies.
"""

from __future__ import annotations

from grokscope.analysis.transitions import TransitionRule
from grokscope.paper import Experiment

DEPTHS = (4, 8, 12)
"""Linear layers; one less is hidden."""
SMALL, MIDDLE, LARGE = 2000, 5000, 7000
"""Training images; two fifths of them at the cpu scale."""
DECAYS = (0.005, 0.01, 0.05)
"""Weight decays of the sweep, of which the second is that of all other runs."""
WIDTH = 400

RANK = "feature_rank:chunk=2500,double=True,probe=test,tunnel_width=widest"
"""As the paper counts: outputs of all linear layers on the test images, in float64; the readout as wide as others."""
PROBE = "linear_probe:chunk=2500"

RULE = TransitionRule(fit=("train/accuracy", 0.95), generalise=("test/accuracy", 0.8), sustain=1)  # type: ignore[arg-type]


def named(depth: int, examples: int, decay: float = 0.01) -> str:
    """Return the name of the run of a depth on so many images, at a weight decay.

    Example:
        >>> named(12, 5000), named(12, 2000, 0.005)
        ('depth-12-examples-5000', 'depth-12-examples-2000-decay-0.005')
    """
    return f"depth-{depth}-examples-{examples}" + ("" if decay == 0.01 else f"-decay-{decay:g}")


MAIN = named(12, MIDDLE)
CPU_STEPS = 12_000


def images(depth: int, examples: int, decay: float = 0.01) -> Experiment:
    """Return the perceptron of a depth on the first images of MNIST."""
    name = named(depth, examples, decay)
    measured = [RANK, PROBE] if name == MAIN else [RANK]
    at_cpu = f" (at the cpu scale {2 * examples // 5:,})"
    more = "" if decay == 0.01 else f", weight decay {decay:g} (at the cpu scale {3 * decay:g})"
    return Experiment(
        name=name,
        title=f"{depth} layers on {examples:,} images of MNIST{at_cpu} from a large start{more}",
        spec={
            "task": {
                "name": "images",
                "subset": "first",
                "train_examples": examples,
                "test_examples": 10_000,
                "test_source": "test",
                "batch_size": 200,
                "batch_order": "shuffled",
            },
            "model": {"name": "mlp", "widths": [WIDTH] * (depth - 1), "initial_scale": 8.0},
            "learner": {"name": "gradient", "steps": 100_000, "loss": "mean-squared-error"},
            "optimizer": {"name": "adamw", "learning_rate": 1e-3, "weight_decay": decay},
            "numerics": {"dtype": "float64"},
        },
        scales={
            "smoke": {
                "task.dataset": "digits",
                "task.subset": "random",
                "task.train_examples": 40,
                "task.test_examples": 40,
                "task.test_source": "train",
                "task.batch_size": 20,
                "model.widths": [16] * (depth - 1),
                "learner.steps": 40,
                "record.extra": [{"measures": measured, "cadence": {"steps": [10, 20, 30]}}],
            },
            # a start of 3.5 gives narrow networks a delay that 8 gives wide ones: their outputs grow with its twelfth
            # power, at 4 nothing but their norm shrinks for half of the steps, at 3 the delay is gone
            "cpu": {
                "task.pool": 2,
                "task.train_examples": 2 * examples // 5,
                "task.test_examples": 2000,
                "task.batch_size": 50,
                "model.widths": [64] * (depth - 1),
                "model.initial_scale": 3.5,
                "optimizer.learning_rate": 3e-3,
                "optimizer.weight_decay": round(3 * decay, 6),
                "learner.steps": CPU_STEPS,
                "numerics.dtype": "float32",
                "record.observe": {"per_decade": 12},
                "record.extra": [
                    {"measures": measured, "cadence": {"steps": [10, 30, 100, 200, *moments(CPU_STEPS, 400)]}}
                ],
            },
        },
        transition=RULE,
        record={
            "measures": ["performance", "weights"],
            "observe": {"per_decade": 15},
            "extra": [{"measures": measured, "cadence": {"per_decade": 15}}],
            "checkpoints": {"per_decade": 1},
        },
        minutes={"smoke": 0.05, "cpu": 0.1 * depth, "paper": 20.0 * depth},
        cell_of=None if name == MAIN else MAIN,
        batch=f"depth-{depth}",
    )


def moments(last: int, first: int, per_decade: int = 12) -> list[int]:
    """Return steps from ``first`` to ``last``, evenly spread in their logarithm.

    Example:
        >>> moments(1000, 100, 3)
        [100, 215, 464, 1000]
    """
    ratio = 10 ** (1 / per_decade)
    found, place = [], float(first)
    while round(place) <= last:
        found.append(round(place))
        place *= ratio
    return found


EXPERIMENTS = (
    images(12, MIDDLE),
    *(images(depth, examples) for examples in (MIDDLE, LARGE) for depth in DEPTHS if named(depth, examples) != MAIN),
    images(12, SMALL),
    *(images(12, examples, decay) for examples in (SMALL, MIDDLE) for decay in DECAYS if decay != 0.01),
)
