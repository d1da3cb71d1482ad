"""Trains a toy twice: straight, and killed with SIGKILL at random moments until it is done; reports as JSON.

Run as ``python killing.py DIRECTORY SEED TOY…``. A moment is a random length of the log or a random number of
checkpoints, not a time. Each training is forked off after torch is loaded once with one thread.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

import toys
from grokscope import registry
from grokscope.execution.observe import rows_of
from grokscope.execution.train import train
from grokscope.spec import Spec

MOST_KILLS = 4
MEASURES = [n for n in registry.MEASURES if (m := registry.MEASURES.get(n)).cost == "cheap" or m.kind != "point"]
"""All kinds; of those that look at one moment the cheap ones, so that a child has taken steps when it is killed."""
RECORD = {
    "record.measures": MEASURES,
    "record.observe": {"every": 1},
    "record.checkpoints": {"every": 3},
}


def warm() -> None:
    """Load in this process what every training loads, so that no child spends its time on it."""
    importlib.import_module("grokscope.execution.hindsight")
    importlib.import_module("duckdb")
    for name in toys.NAMES:
        specs = toys.specs(name)
        learner = specs[0].learner.build(ensemble=specs[0].engine == "ensemble")
        state = learner.start(specs, [spec.task.build(spec.seed) for spec in specs])
        snapshot = learner.snapshot(learner.advance(state, 20))
        for measure in MEASURES:
            rows_of(snapshot, [measure])


def spawn(specs: list[Spec], root: Path, inputs: Mapping[str, bytes] | None = None) -> int:
    """Return the process id of a child that trains; ``inputs`` are what a fork begins from."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        train(specs, root=root, inputs=inputs)
        code = 0
    finally:
        os._exit(code)


def size(root: Path, pattern: str) -> int:
    """Return the bytes of all files of a pattern below ``root``."""
    total = 0
    for path in root.glob(pattern):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def killed(child: int, moment: Callable[[], bool]) -> bool:
    """Kill a child at a moment; return whether it still ran then."""
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            if status:
                raise SystemExit(f"a training failed with status {status}")
            return False
        if moment():
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            return os.WIFSIGNALED(status)
        time.sleep(0.0002)


def harry(
    specs: list[Spec],
    straight: Path,
    root: Path,
    draw: random.Random,
    inputs: Mapping[str, bytes] | None = None,
) -> int:
    """Train ``specs`` in ``root``, killing as often as allowed; return the number of kills."""
    kills = 0
    patterns = ("toys/*/*/scalars.jsonl", "**/checkpoints/index.jsonl")
    whole = {pattern: size(straight, pattern) for pattern in patterns}
    while True:
        pattern = draw.choice(patterns)
        goal = size(root, pattern) + draw.randint(1, max(1, whole[pattern] // 4))
        child = spawn(specs, root, inputs)
        still = kills < MOST_KILLS
        if not killed(child, lambda p=pattern, g=goal: still and size(root, p) >= g):  # noqa: B023
            return kills
        kills += 1


def main() -> None:
    torch.set_num_threads(1)
    directory, seed, *names = sys.argv[1:]
    warm()
    report = {}
    for name in names:
        specs = toys.specs(name, RECORD)
        straight, root = Path(directory, name, "straight"), Path(directory, name, "killed")
        killed(spawn(specs, straight), lambda: False)
        report[name] = harry(specs, straight, root, random.Random(f"{seed} {name}"))
    sys.stdout.write(json.dumps(report))


if __name__ == "__main__":
    main()
