"""Reduced flows against gradient descent of the same networks: seconds to one moment of the flow, in one process.

Gradient descent is timed on some of its steps and multiplied; both sides use one thread and float64. Run with
``.venv/bin/python benchmarks/flows.py``; numbers are kept in docs/performance.md.
"""

from __future__ import annotations

import time
from typing import Any

from grokscope.numerics import applied
from grokscope.spec import Spec, override, resolve

DIAGONAL: dict[str, Any] = {
    "task": {"name": "sparse-classification", "dimension": 2000, "examples": 96, "test_examples": 10},
    "model": {"name": "diagonal-network", "initial_norm": 128.0},
    "numerics": {"dtype": "float64"},
}
COMPLETION: dict[str, Any] = {
    "task": {"name": "matrix-completion", "size": 97, "observed": 0.05},
    "model": {"name": "symmetric-factorisation", "initial_scale": 10.0},
    "numerics": {"dtype": "float64"},
}
POLYNOMIAL: dict[str, Any] = {
    "task": {"name": "polynomial-regression", "dimension": 40, "examples": 200, "test_examples": 10},
    "model": {"name": "polynomial-student", "width": 200, "epsilon": 0.25},
    "optimizer": {"name": "sgd", "learning_rate": 100.0},
    "numerics": {"dtype": "float64"},
}
CASES = {
    "diagonal network, d = 2000, n = 96, to t = 8000": (
        DIAGONAL, {"name": "diagonal-flow", "time_per_step": 0.01, "weight_decay": 1e-3}, 0.01, 800_000,
    ),
    "matrix completion, d = 97, to t = 1e5": (
        COMPLETION, {"name": "completion-flow", "time_per_step": 0.1, "weight_decay": 1e-4}, 0.1, 1_000_000,
    ),
    "polynomial student, D = 40, P = 200, N = 200, 10 000 steps": (
        POLYNOMIAL, {"name": "polynomial-reduction", "output_scale": 1.0, "centred": True}, None, 10_000,
    ),
}  # fmt: skip
TIMED = 400


def seconds(spec: Spec, steps: int) -> float:
    """Return how long a learner takes for some steps, after twenty that are not counted."""
    with applied(spec.numerics):
        learner = spec.learner.build()
        state = learner.start([spec], [spec.task.build(spec.seed)])
        if steps <= TIMED:
            state = learner.advance(state, 20)
        begun = time.perf_counter()
        learner.advance(state, steps)
        return time.perf_counter() - begun


def main() -> None:
    """Print one line a case."""
    for name, (tree, learner, rate, steps) in CASES.items():
        reduced = resolve({**tree, "learner": learner}, seed=0)
        direct = {**tree, "learner": {"name": "gradient"}}
        if rate is not None:
            direct["optimizer"] = {"name": "sgd", "learning_rate": rate, "weight_decay": learner["weight_decay"]}
        else:
            direct = override(direct, {"learner.centred": True})
        ours = seconds(reduced, steps)
        plain = seconds(resolve(direct, seed=0), TIMED) / TIMED * steps
        print(f"{name}: gradient descent {plain:.0f} s, reduced {ours:.2f} s, ratio {plain / ours:.0f}", flush=True)


if __name__ == "__main__":
    main()
