"""Forks of flows, reductions and scaled outputs, alone and out of an ensemble: the control is its parent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import toys
from grokscope.errors import UsageError
from grokscope.execution.fork import fork, match, plan
from grokscope.execution.place import place_of
from grokscope.execution.train import train
from grokscope.learners.output_scale import ALPHA
from grokscope.loop.encoding import decode_checkpoint
from grokscope.spec import resolve
from grokscope.store import CheckpointStore, StoredRun, open_run

DIAGONAL = {
    "paper": "toys",
    "experiment": "diagonal",
    "task": {"name": "sparse-classification", "dimension": 12, "examples": 6, "test_examples": 8},
    "model": {"name": "diagonal-network", "initial_norm": 4.0},
    "learner": {"name": "diagonal-flow", "steps": 24, "time_per_step": 0.2, "weight_decay": 0.1},
    "numerics": {"dtype": "float64"},
    "record": {"measures": ["performance", "weights"], "observe": {"every": 4}, "checkpoints": {"every": 6}},
}
COMPLETION = {
    **DIAGONAL,
    "experiment": "completion",
    "task": {"name": "matrix-completion", "size": 5},
    "model": {"name": "symmetric-factorisation", "initial_scale": 1.0},
    "learner": {"name": "completion-flow", "steps": 24, "time_per_step": 0.2, "weight_decay": 0.1},
}


def branched(run: StoredRun, **how: Any) -> tuple[StoredRun, StoredRun]:
    branch, control = fork(run, **how)
    return open_run(branch), open_run(control)


def checkpoint(run: StoredRun, step: int) -> dict[str, torch.Tensor]:
    return dict(decode_checkpoint(run.checkpoints.load(step))[0].tensors)


def group_checkpoint(run: StoredRun, step: int) -> dict[str, torch.Tensor]:
    _, place, _ = place_of(run)
    return dict(decode_checkpoint(CheckpointStore(place.checkpoints).load(step))[0].tensors)


def ensemble_of(tree: dict[str, Any], each: list[dict[str, Any]], root: Path) -> list[StoredRun]:
    return [open_run(path) for path in train(toys.members(tree, each), root=root)]


def toy_ensemble(name: str, each: list[dict[str, Any]], root: Path) -> list[StoredRun]:
    records = {"record": DIAGONAL["record"], "experiment": name}
    return ensemble_of({**toys.TREES[name], **records}, each, root)


@pytest.mark.parametrize("tree", [DIAGONAL, COMPLETION], ids=["diagonal", "completion"])
def test_a_member_of_an_ensemble_of_flows_can_be_forked(tree: dict[str, Any], tmp_path: Path) -> None:
    runs = ensemble_of(tree, [{"learner.weight_decay": 0.1}, {"learner.weight_decay": 0.05}], tmp_path)
    branch, control = branched(runs[1], at=9, changes={"learner.tolerance": 1e-7})
    assert match(control, runs[1]).bitwise
    assert match(control, runs[1]).steps
    assert branch.status == "finished"


def test_a_member_of_an_ensemble_of_reductions_can_be_forked(tmp_path: Path) -> None:
    runs = toy_ensemble("polynomial", [{"optimizer.momentum": 0.0}, {"optimizer.momentum": 0.5}], tmp_path)
    for run in runs:
        branch, control = branched(run, at=9, changes={"optimizer.learning_rate": 0.1})
        assert branch.status == control.status == "finished"
        assert match(control, run).steps
        maps = [checkpoint(control, 24)["map"][0], group_checkpoint(run, 24)["map"][runs.index(run)]]
        torch.testing.assert_close(*maps, rtol=1e-10, atol=1e-12)


def test_a_member_of_an_ensemble_by_label_noise_can_be_forked(tmp_path: Path) -> None:
    runs = toy_ensemble("label-noise", [{"learner.noise": 1.0}, {"learner.noise": 0.5}], tmp_path)
    branch, control = branched(runs[1], at=9, changes={"learner.noise": 0.0})
    assert match(control, runs[1]).bitwise
    assert branch.status == "finished"


@pytest.mark.parametrize("key", ["weight_decay", "time_per_step"])
def test_a_flow_cannot_be_forked_to_another_past(key: str, tmp_path: Path) -> None:
    (run,) = [open_run(path) for path in train([resolve(DIAGONAL)], root=tmp_path)]
    with pytest.raises(UsageError, match=f"learner.{key} cannot change at a fork of the learner diagonal-flow"):
        plan(run, at=9, changes={f"learner.{key}": 0.7})


@pytest.mark.parametrize(("before", "after"), [(2.0, 0.5), (1.0, 2.0), (2.0, 1.0)])
def test_the_output_scale_can_change(before: float, after: float, tmp_path: Path) -> None:
    changes = {"learner.output_scale": before, "numerics.dtype": "float64", "record": DIAGONAL["record"]}
    (run,) = [open_run(path) for path in train(toys.specs("gradient", changes), root=tmp_path)]
    branch, control = branched(run, at=9, changes={"learner.output_scale": after})
    assert match(control, run).bitwise
    first, last = (checkpoint(branch, step) for step in (9, 24))
    for name, tensor in checkpoint(control, 9).items():
        assert not name.startswith("parameter/") or torch.equal(tensor, first[name])
    for found in (first, last):
        assert float(found.get(f"buffer/{ALPHA}", torch.ones(()))) == after


def test_a_member_without_the_scale_of_its_ensemble_can_be_forked(tmp_path: Path) -> None:
    runs = toy_ensemble("gradient", [{"learner.output_scale": 1.0}, {"learner.output_scale": 2.0}], tmp_path)
    branch, control = branched(runs[0], at=9, changes={"learner.output_scale": 3.0})
    assert branch.status == control.status == "finished"
