"""Toys driven by hand, and their run directories read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

import toys
from grokscope.execution.place import place_of
from grokscope.execution.train import train
from grokscope.loop.encoding import decode, encode_tensors
from grokscope.numerics import applied
from grokscope.spec import Spec
from grokscope.store import CheckpointStore, open_run

STEPS = 24


class Training:
    """A learner on its specs, driven by hand under their numerics."""

    def __init__(self, specs: list[Spec]) -> None:
        self.specs = specs
        with applied(specs[0].numerics):
            self.tasks = [spec.task.build(spec.seed) for spec in specs]
            self.learner = specs[0].learner.build(ensemble=specs[0].engine == "ensemble")
            self.state = self.learner.start(specs, self.tasks)

    def advance(self, *counts: int) -> Training:
        with applied(self.specs[0].numerics):
            for count in counts:
                self.state = self.learner.advance(self.state, count)
        return self

    def stored(self) -> bytes:
        stored = self.learner.state_dict(self.state)
        return encode_tensors(stored.tensors, stored.values)

    def restore(self, data: bytes) -> Training:
        with applied(self.specs[0].numerics):
            self.state = self.learner.restore(self.specs, self.tasks, decode(data))
        return self

    def parameters(self, member: int = 0) -> dict[str, torch.Tensor]:
        return dict(self.learner.snapshot(self.state, member).parameters)


def run(root: Path, name: str, **changes: Any) -> list[Path]:
    return train(toys.specs(name, {key.replace("__", "."): value for key, value in changes.items()}), root=root)


def log(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "scalars.jsonl").read_text().splitlines()]


def checkpoints(directory: Path) -> CheckpointStore:
    _, place, _ = place_of(open_run(directory))
    return CheckpointStore(place.checkpoints)


def contents(root: Path, *patterns: str) -> dict[str, bytes]:
    paths = sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}
