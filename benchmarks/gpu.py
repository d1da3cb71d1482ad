"""On a GPU: modular addition by the captured graph, the fast path and the paper's loop; the MNIST perceptron.

Run: python benchmarks/gpu.py [DEVICE]
Prints the steps per second at p = 113 of a single run and of an ensemble of 64 seeds, the seconds that 40 000
steps take, and how far the captured graph is from the fast path after 50 steps; then what a step of the MNIST
perceptron takes, whole passes recorded, and how long ten million would. About two minutes on one GPU.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

import torch

from grokscope.bench import mnist_mlp
from grokscope.bench.modular_addition import EXPERIMENT, benchmark
from grokscope.execution.plan import experiment_spec
from grokscope.numerics import applied
from grokscope.spec import Spec

STEPS = 200
ROUNDS = 5


def specs_of(seeds: int, path: str, device: str) -> list[Spec]:
    changes = {"numerics.device": device, "numerics.path": path}
    specs = [experiment_spec(EXPERIMENT, scale="paper", seed=seed, changes=changes) for seed in range(seeds)]
    return [spec.with_group(specs) for spec in specs] if seeds > 1 else specs


def started(specs: list[Spec]) -> tuple[Any, Any]:
    learner = specs[0].learner.build(ensemble=len(specs) > 1)
    return learner, learner.start(specs, [spec.task.build(spec.seed) for spec in specs])


def steps_per_second(seeds: int, path: str, device: str) -> float:
    specs = specs_of(seeds, path, device)
    found = []
    with applied(specs[0].numerics):
        learner, state = started(specs)
        for number in range(ROUNDS + 1):
            torch.cuda.synchronize()
            begun = time.perf_counter()
            state = learner.advance(state, STEPS)
            torch.cuda.synchronize()
            if number:
                found.append(STEPS / (time.perf_counter() - begun))
    return statistics.median(found)


def difference(device: str) -> float:
    ends = []
    for path in ("fast", "graph"):
        specs = specs_of(1, path, device)
        with applied(specs[0].numerics):
            learner, state = started(specs)
            ends.append(learner.snapshot(learner.advance(state, 50)).parameters)
    return max(float((ends[0][name] - ends[1][name]).abs().max()) for name in ends[0])


def main() -> None:
    device = sys.argv[1] if len(sys.argv) > 1 else "cuda"
    print(torch.cuda.get_device_name(device), flush=True)
    print(f"graph against fast after 50 steps: largest difference {difference(device):.2e}", flush=True)
    for seeds in (1, 64):
        for path in ("fast", "graph"):
            speed = steps_per_second(seeds, path, device)
            print(
                f"{seeds} seed{'s' * (seeds > 1)}, {path}: {speed:.0f} steps/s, 40 000 steps in {40_000 / speed:.1f} s",
                flush=True,
            )
    for row in [*benchmark(device=device), *mnist_mlp.benchmark(device=device)]:
        print(f"{row.name}: {row.baseline:.1f} against {row.ours:.1f} {row.unit}, ratio {row.ratio:.1f}", flush=True)


if __name__ == "__main__":
    main()
