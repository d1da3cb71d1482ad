"""The plain and the fast path of the modular transformer, in alternation in one process.

Run: python benchmarks/paths.py [MODULUS]
Prints the median milliseconds of an update on each path and their ratio, at 1 and 2 threads.
"""

from __future__ import annotations

import statistics
import sys
import time

from grokscope.execution.plan import experiment_spec
from grokscope.numerics import applied


def milliseconds(learner, state, updates: int) -> float:
    begun = time.perf_counter()
    learner.advance(state, updates)
    return 1000 * (time.perf_counter() - begun) / updates


def main() -> None:
    modulus = int(sys.argv[1]) if len(sys.argv) > 1 else 53
    scale = "paper" if modulus == 113 else "cpu"
    for threads in (1, 2):
        runs = {}
        for path in ("plain", "fast"):
            changes = {"task.modulus": modulus, "numerics.path": path, "numerics.threads": threads}
            spec = experiment_spec("nanda2023/modular-addition", scale=scale, changes=changes)
            learner = spec.learner.build()
            runs[path] = (spec, learner, learner.start([spec], [spec.task.build(spec.seed)]), [])
        with applied(runs["plain"][0].numerics):
            for alternation in range(8):
                for _, learner, state, times in runs.values():
                    spent = milliseconds(learner, state, 5)
                    if alternation:
                        times.append(spent)
        medians = {path: statistics.median(times) for path, (*_, times) in runs.items()}
        print(
            f"p={modulus} threads={threads} plain {medians['plain']:.1f} ms, fast {medians['fast']:.1f} ms, "
            f"ratio {medians['plain'] / medians['fast']:.2f}"
        )


if __name__ == "__main__":
    main()
