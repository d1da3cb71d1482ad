"""An update without weight decay, late, with and without flushing denormals, in alternation in one process.

Run: python benchmarks/denormals.py [STEPS]
Trains the cpu scale of nanda2023/no-weight-decay for STEPS (3000) updates first; about two minutes.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch

from grokscope.execution.plan import experiment_spec
from grokscope.numerics import applied


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    spec = experiment_spec("nanda2023/no-weight-decay", scale="cpu")
    learner = spec.learner.build()
    times: dict[bool, list[float]] = {False: [], True: []}
    with applied(spec.numerics):
        state = learner.advance(learner.start([spec], [spec.task.build(spec.seed)]), steps)
        for _ in range(7):
            for flush, found in times.items():
                torch.set_flush_denormal(flush)
                begun = time.perf_counter()
                learner.advance(state, 10)
                found.append(1000 * (time.perf_counter() - begun) / 10)
    kept, flushed = (statistics.median(found) for found in times.values())
    print(f"update at step {steps}: kept {kept:.1f} ms, flushed {flushed:.1f} ms, ratio {kept / flushed:.2f}")


if __name__ == "__main__":
    main()
