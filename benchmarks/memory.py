"""An update with and without glibc keeping freed blocks, in alternation, each in a process of its own.

Run: python benchmarks/memory.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys

CODE = """
import sys, time
from grokscope import numerics
if sys.argv[1] == "without":
    numerics.keep_freed_memory = lambda: None
from grokscope.execution.reproduce import member_specs
specs = member_specs("nanda2023/modular-addition", "cpu", (0, 1, 2))
learner = specs[0].learner.build(ensemble=True)
with numerics.applied(specs[0].numerics):
    state = learner.start(specs, [spec.task.build(spec.seed) for spec in specs])
    learner.advance(state, 10)
    begun = time.perf_counter()
    learner.advance(state, 40)
    print(1000 * (time.perf_counter() - begun) / 40)
"""


def main() -> None:
    times: dict[str, list[float]] = {"without": [], "with": []}
    for _ in range(5):
        for which, found in times.items():
            found.append(float(subprocess.check_output([sys.executable, "-c", CODE, which])))
    medians = {which: statistics.median(found) for which, found in times.items()}
    print(
        f"update of 3 members: without {medians['without']:.1f} ms, with {medians['with']:.1f} ms, "
        f"ratio {medians['without'] / medians['with']:.2f}"
    )


if __name__ == "__main__":
    main()
