"""Trains a toy, then a branch of it twice: straight, and killed with SIGKILL at random moments; reports as JSON.

Run as ``python killing_forks.py DIRECTORY SEED TOY…``; see ``killing.py``.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import torch

import killing
import toys
from grokscope.execution.fork import plan
from grokscope.store import find_runs, open_run

AT = 7


def main() -> None:
    torch.set_num_threads(1)
    directory, seed, *names = sys.argv[1:]
    killing.warm()
    report = {}
    for name in names:
        home = Path(directory, name)
        killing.killed(killing.spawn(toys.specs(name, killing.RECORD), home / "parent"), lambda: False)
        parent = open_run(find_runs(home / "parent")[0])
        planned = plan(parent, at=AT, changes={"optimizer.weight_decay": 0.1}, interventions=["weight-norm:norm=3"])
        straight = killing.spawn([planned.branch], home / "straight", planned.inputs)
        killing.killed(straight, lambda: False)
        draw = random.Random(f"{seed} {name}")
        report[name] = killing.harry([planned.branch], home / "straight", home / "killed", draw, planned.inputs)
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
