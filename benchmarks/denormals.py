"""An update without weight decay, late, with and without flushing denormals, in alternation in one process.

Run: python benchmarks/denormals.py [STEPS]
Trains 3 members of nanda2023/no-weight-decay at cpu scale for STEPS (3000) updates first; about two minutes.
"""

from __future__ import annotations

import statistics
import sys
import time

import torch

from grokscope.execution.reproduce import member_specs
from grokscope.numerics import applied


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    specs = member_specs("nanda2023/no-weight-decay", "cpu", (0, 1, 2))
    learner = specs[0].learner.build(ensemble=True)
    times: dict[bool, list[float]] = {False: [], True: []}
    with applied(specs[0].numerics):
        state = learner.advance(learner.start(specs, [spec.task.build(spec.seed) for spec in specs]), steps)
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
