"""Forks: the control is the run it came from bit for bit, the branch differs by what was changed and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import grokscope as gs
import toys
from driving import contents, log
from grokscope.errors import CheckpointError, UsageError
from grokscope.execution.fork import fork, match, plan
from grokscope.execution.parent import same_origin, state_at
from grokscope.execution.plan import experiment_spec, stored_spec
from grokscope.execution.train import resume, train
from grokscope.loop.encoding import decode, decode_checkpoint
from grokscope.spec import Spec
from grokscope.store import RunWriter, StoredRun, open_run

RECORD = {
    "record.measures": ["performance", "weights", "gini", "fourier"],
    "record.observe": {"every": 4},
    "record.checkpoints": {"every": 6},
}
RULE = {"fit": ["train/accuracy", 0.4], "generalise": ["test/accuracy", 0.9], "sustain": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("forks")


def trained(root: Path, name: str, **changes: Any) -> list[StoredRun]:
    given = {**RECORD, "transition": RULE, **{key.replace("__", "."): value for key, value in changes.items()}}
    return [open_run(path) for path in train(toys.specs(name, given), root=root)]


@pytest.fixture(scope="module")
def parent(root: Path) -> StoredRun:
    """A finished run of 24 steps with checkpoints at 0, 6, 12, 18 and 24; to be read only."""
    return trained(root, "gradient")[0]


def branched(run: StoredRun, **how: Any) -> tuple[StoredRun, StoredRun]:
    branch, control = fork(run, **how)
    return open_run(branch), open_run(control)


def checkpoint(run: StoredRun, step: int) -> dict[str, torch.Tensor]:
    return dict(decode_checkpoint(run.checkpoints.load(step))[0].tensors)


# -- the proof that it is matched ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gradient", "intervened", "stream"])
@pytest.mark.parametrize("at", [0, 6, 7, 17])
def test_the_control_is_its_parent_bit_for_bit(name: str, at: int, root: Path) -> None:
    (run,) = trained(root, name)
    branch, control = branched(run, at=at, changes={"optimizer.learning_rate": 0.001})
    later = [step for step in run.checkpoints.steps() if step > at]
    for step in later:
        ours, theirs = checkpoint(control, step), checkpoint(run, step)
        assert set(ours) == set(theirs)
        assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    compared = match(control, run)
    assert compared.steps == tuple(later)
    assert compared.bitwise
    # what the run logged from the fork on, the control logged too, to the letter
    rows = {json.dumps(row) for row in log(control.directory)}
    assert {json.dumps(row) for row in log(run.directory) if row["step"] >= at} <= rows
    assert match(branch, run).difference > 0


def test_branch_and_control_begin_with_the_state_of_the_parent(parent: StoredRun) -> None:
    for run in branched(parent, at=6, interventions=["weight-norm:norm=2"]):
        data = (run.directory / "inputs" / "state.safetensors").read_bytes()
        assert hashlib.sha256(data).hexdigest() == run.spec["parent"]["state"]
        theirs = checkpoint(parent, 6)
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in decode(data).tensors.items())
        first = checkpoint(run, 6)
        assert all(torch.equal(first[name], theirs[name]) for name in theirs)
        assert (run.spec["parent"]["training_id"], run.spec["parent"]["step"]) == (parent.spec["training_id"], 6)
        inputs = {event["name"]: event["sha256"] for event in run.events("input")}
        assert inputs["state.safetensors"] == run.spec["parent"]["state"]
        assert set(inputs) == {"state.safetensors", "history.jsonl"}


def test_the_branch_alone_is_changed(parent: StoredRun) -> None:
    branch, control = branched(parent, at=8, interventions=["weight-norm:norm=2"])
    ids = [run.spec["training_id"] for run in (parent, branch, control)]
    assert len(set(ids)) == 3
    assert branch.spec["parent"]["changes"] == ["weight-norm norm=2.0"]
    assert control.spec["parent"]["changes"] == []
    assert same_origin([branch, control])
    assert not same_origin([parent, control])
    different = {key for key in branch.spec if branch.spec[key] != control.spec[key]}
    assert different == {"training_id", "interventions", "parent"}
    steps, norm = branch.series("weights/sum_of_squares")
    assert norm[steps > 8] == pytest.approx(4.0, rel=1e-6)  # held from update 8 on, so from step 9
    assert norm[steps == 8] == control.series("weights/sum_of_squares")[1][0]


def test_the_optimizer_can_change(parent: StoredRun) -> None:
    branch, _ = branched(parent, at=12, changes={"optimizer.weight_decay": 0.0, "optimizer.learning_rate": 0.01})
    assert branch.spec["parent"]["changes"] == [
        "optimizer.learning_rate=0.01 (was 0.02)",
        "optimizer.weight_decay=0.0 (was 0.5)",
    ]
    # by hand: the same state under the other settings
    spec = stored_spec(branch)
    learner, task = spec.learner.build(), spec.task.build(spec.seed)
    state = learner.restore([spec], [task], state_at(parent, 12))
    expected = learner.state_dict(learner.advance(state, 12)).tensors
    assert all(torch.equal(tensor, expected[name]) for name, tensor in checkpoint(branch, 24).items())


def test_adam_goes_on_with_the_moments_of_adamw(parent: StoredRun) -> None:
    change = {"optimizer": {**parent.spec["optimizer"], "name": "adam"}}
    branch, _ = branched(parent, at=18, changes=change)
    assert branch.spec["parent"]["changes"] == ["optimizer.name=adam (was adamw)"]
    assert branch.status == "finished"


def test_an_activation_clamp_puts_both_on_the_plain_path(tmp_path: Path) -> None:
    run = gs.run("nanda2023/modular-addition", scale="smoke", set={"learner.steps": 8, **RECORD}, out=tmp_path)
    assert run.spec["numerics"]["path"] == "fast"
    branch, control = gs.fork(run, at=4, interventions=["activation-clamp:site=at_neurons,factor=0"])
    assert [one.spec["numerics"]["path"] for one in (branch, control)] == ["plain", "plain"]
    assert 0 < match(control.stored, run.stored).difference < 1e-5


def test_a_member_of_an_ensemble_can_be_forked(root: Path) -> None:
    runs = trained(root, "ensemble", **{"numerics.dtype": "float64"})
    for index, at in ((1, 7), (2, 12)):
        branch, control = branched(runs[index], at=at, interventions=["weight-norm"])
        assert (control.spec["engine"], control.spec["group"]) == ("single", None)
        compared = match(control, runs[index])
        assert compared.steps
        assert compared.difference < 1e-9  # rounding only: the members are padded to one length
        assert branch.status == control.status == "finished"


def test_a_learner_without_interventions_can_be_forked(root: Path) -> None:
    (run,) = trained(root, "kernel", **{"transition": None, "record.measures": ["performance"]})
    branch, control = branched(run, at=13, changes={"learner.ridge": 0.1})
    assert match(control, run).bitwise
    assert branch.spec["parent"]["changes"] == ["learner.ridge=0.1 (was 0.01)"]
    with pytest.raises(UsageError, match="weight-norm acts on the parameters, which the learner toy-kernel-machine"):
        plan(run, at=13, interventions=["weight-norm"])


def test_a_fork_can_be_forked(parent: StoredRun) -> None:
    _, control = branched(parent, at=8, interventions=["weight-norm:norm=2"])
    branch, again = branched(control, at=15, changes={"optimizer.weight_decay": 2.0})
    assert all(torch.equal(tensor, checkpoint(parent, 24)[name]) for name, tensor in checkpoint(again, 24).items())
    assert branch.whole().series("train/loss")[0].tolist()[:3] == [0, 4, 8]
    with pytest.raises(UsageError, match=r"step 3 is before the fork at step 8 with which .* begins: fork the run"):
        plan(control, at=3, changes={"optimizer.weight_decay": 2.0})


# -- when, and how it reads ------------------------------------------------------------------------


def test_the_log_goes_on_where_the_parent_was(parent: StoredRun) -> None:
    branch, control = branched(parent, at=10, changes={"optimizer.weight_decay": 3.0})
    for run in (branch, control):
        steps = run.series("test/loss")[0].tolist()
        assert steps == [10, 11, 12, 13, 14, 15, 16, 18, 20, 23, 24]  # the plan's, and a log scale after the fork
        assert run.last_step == 24
        assert run.checkpoints.steps() == [10, 12, 18, 24]
        whole = run.whole()
        assert whole.series("test/loss")[0].tolist() == [0, 4, 8, *steps]
        theirs = parent.series("test/loss")
        assert np.array_equal(whole.series("test/loss")[1][:3], theirs[1][theirs[0] < 10])
        assert set(parent.keys()) <= set(whole.keys())
    assert parent.whole() is parent


def test_steps_say_how_far_it_goes(parent: StoredRun) -> None:
    branch, control = branched(parent, at=24, changes={"optimizer.weight_decay": 3.0}, steps=5)
    assert branch.last_step == control.last_step == 29
    assert match(control, parent).steps == ()
    shorter, _ = branched(parent, at=6, changes={"optimizer.weight_decay": 3.0}, steps=2)
    assert shorter.last_step == 8


def test_transitions_count_from_step_0_of_the_parent(root: Path) -> None:
    # observed at every step, so that the fork's own observations move no crossing
    (run,) = trained(root, "gradient", **{"transition.fit": ["train/accuracy", 0.3], "record.observe": {"every": 1}})
    whole = gs.Run(run.directory).transition()
    assert whole.fit_step is not None
    at = int(whole.fit_step) + 2
    branch, control = gs.fork(run.directory, at=at, set={"optimizer.learning_rate": 1e-6})
    assert branch.transition().fit_step == control.transition().fit_step == whole.fit_step
    assert control.phases()[0].start == 0
    assert branch.summary()["parent"]["step"] == at


def test_what_is_recorded_can_change_for_both(parent: StoredRun) -> None:
    changes = {"optimizer.weight_decay": 0.0, "record.observe.every": 2, "stop.key": "train/loss", "stop.level": 1e9}
    planned = plan(parent, at=20, changes=changes)
    for spec in (planned.branch, planned.control):
        assert spec.record.observe.every == 2
        assert spec.stop is not None
    assert planned.branch.parent is not None
    assert planned.branch.parent.changes == ("optimizer.weight_decay=0.0 (was 0.5)",)


def test_the_stop_rule_of_the_parent_is_not_taken_over(root: Path) -> None:
    (run,) = trained(root, "gradient", stop={"key": "train/accuracy", "level": 0.0, "sustain": 3})
    assert (run.status, run.last_step) == ("stopped", 8)
    branch, _ = branched(run, at=8, changes={"optimizer.weight_decay": 0.0})
    assert (branch.status, branch.last_step) == ("finished", 24)


# -- stored, found, resumed, repeated --------------------------------------------------------------


def test_the_same_fork_is_found_however_it_is_spelled(parent: StoredRun) -> None:
    first = fork(parent, at=9, interventions=["weight-norm:norm=2"])
    before = [contents(path, "*.jsonl", "checkpoints/*") for path in first]
    again = fork(parent, at=9, interventions=[{"name": "weight-norm", "norm": 2.0, "start": 9}])
    assert again == first
    assert [contents(path, "*.jsonl", "checkpoints/*") for path in again] == before


def test_forks_are_resumed_after_kills_at_random_moments(tmp_path: Path) -> None:
    tests = Path(__file__).parent.parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tests)}
    command = [sys.executable, str(tests / "killing_forks.py"), str(tmp_path), "0", "gradient", "intervened"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, kills in json.loads(done.stdout).items():
        assert kills >= 2
        kinds = ("toys/**/scalars.jsonl", "toys/**/backfill-*.jsonl", "**/*.safetensors")
        assert contents(tmp_path / name / "killed", *kinds) == contents(tmp_path / name / "straight", *kinds)
        (run,) = [open_run(path.parent) for path in (tmp_path / name / "killed").rglob("spec.json")]
        assert run.status == "finished"
        assert run.events("resumed")


def test_a_fork_killed_before_its_first_checkpoint_begins_with_its_inputs(parent: StoredRun, tmp_path: Path) -> None:
    planned = plan(parent, at=11, interventions=["weight-norm"])
    (straight,) = train([planned.branch], root=tmp_path / "straight", inputs=planned.inputs)
    begun = tmp_path / "begun" / straight.relative_to(tmp_path / "straight")
    document = {key: value for key, value in open_run(straight).spec.items() if key != "schema"}
    RunWriter.create(begun, spec=document, environment={}, inputs=planned.inputs).close()
    resume(begun)
    assert contents(begun, "scalars.jsonl", "checkpoints/*") == contents(straight, "scalars.jsonl", "checkpoints/*")


def test_a_damaged_or_missing_first_state_is_said(parent: StoredRun, tmp_path: Path) -> None:
    planned = plan(parent, at=11, interventions=["weight-norm"])
    damaged = {**planned.inputs, "state.safetensors": b"nothing"}
    with pytest.raises(CheckpointError, match=r"the state this fork begins from .* is corrupt, its SHA-256 is not"):
        train([planned.branch], root=tmp_path / "damaged", inputs=damaged)
    with pytest.raises(CheckpointError, match=r"the state this fork begins from .* cannot be read: No such file"):
        train([planned.branch], root=tmp_path / "missing")


def test_a_fork_is_repeated_from_its_spec(parent: StoredRun, tmp_path: Path) -> None:
    branch, _ = branched(parent, at=9, interventions=["weight-norm:norm=2"])
    path = branch.directory / "spec.json"
    again = gs.run(str(path), out=tmp_path)
    kinds = ("scalars.jsonl", "checkpoints/*.safetensors", "inputs/*")
    assert contents(again.directory, *kinds) == contents(branch.directory, *kinds)
    with pytest.raises(UsageError, match="is the spec of a fork, which is repeated as it is: for another change use"):
        experiment_spec(str(path), changes={"optimizer.weight_decay": 0})
    copied = tmp_path / "spec.json"
    copied.write_text(path.read_text())
    with pytest.raises(UsageError, match="is of a fork, whose first state is not in"):
        gs.run(str(copied), out=tmp_path)


def test_a_run_without_a_parent_has_the_identity_it_had() -> None:
    (spec,) = toys.specs("gradient")
    assert "parent" not in spec.tree()
    assert "parent" not in json.dumps(spec._identity())


# -- what cannot be forked -------------------------------------------------------------------------

DECAY = {"optimizer.weight_decay": 0.0}


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ({"at": -1, "changes": DECAY}, r"has no step -1: give one from 0 to 24, its last\."),
        ({"at": 25, "changes": DECAY}, r"has no step 25: give one from 0 to 24, its last\."),
        ({"at": 24, "changes": DECAY}, r"ends at step 24: say with --steps N how far its forks go on from 24\."),
        ({"at": 6, "changes": DECAY, "steps": 0}, "--steps 0: a fork makes at least 1 update"),
        ({"at": 6}, "nothing that is trained would change: give --set or --intervene a value that differs"),
        ({"at": 6, "changes": {"optimizer.weight_decay": 0.5}}, "nothing that is trained would change"),
        ({"at": 6, "changes": {"record.observe.every": 2}}, "nothing that is trained would change"),
        ({"at": 6, "changes": {"model.widths": [9]}}, "model.widths cannot change at a fork, which goes on from a"),
        ({"at": 6, "changes": {"task.modulus": 7}}, "task.modulus cannot change at a fork"),
        ({"at": 6, "changes": {"numerics.dtype": "float64"}}, "numerics.dtype cannot change at a fork"),
        ({"at": 6, "changes": {"seed.init": 3}}, "seed.init cannot change at a fork"),
        ({"at": 6, "changes": {"learner.name": "toy-flow"}}, "learner.name cannot change at a fork"),
        ({"at": 6, "changes": {"learner.steps": 99}}, "learner.steps is not set at a fork: say with --steps N"),
        ({"at": 6, "changes": {"interventions": []}}, "they are added to the run's: use --intervene"),
        ({"at": 6, "changes": {"optimizer.name": "sgd"}}, "with the moments of the run's own optimizer, but the check"),
        ({"at": 6, "changes": {"optimiser.beta1": 0}}, "unknown key optimiser: did you mean optimizer"),
        ({"at": 6, "interventions": ["weight-norm:start=5"]}, "weight-norm would start at step 5, before the fork at"),
        ({"at": 6, "interventions": [{"start": 5}]}, "an intervention would start at step 5, before the fork at 6"),
        ({"at": 6, "interventions": ["weight-norm:start=24"]}, "weight-norm would never act, the fork ends at step 24"),
        ({"at": 6, "interventions": ["weight-norn"]}, "unknown intervention 'weight-norn': did you mean 'weight-norm'"),
        ({"at": 6, "interventions": ["activation-clamp:site=x,factor=0"]}, "unknown site 'x'"),
    ],
)
def test_refused_in_one_sentence(how: dict[str, Any], sentence: str, parent: StoredRun, root: Path) -> None:
    before = sorted(root.rglob("spec.json"))
    with pytest.raises(UsageError, match=sentence):
        fork(parent, **how)
    assert sorted(root.rglob("spec.json")) == before  # nothing was written


def test_a_run_that_is_trained_now_is_refused(tmp_path: Path) -> None:
    (run,) = trained(tmp_path, "gradient")
    with RunWriter.reopen(run.directory) as writer:
        writer.status("running")
        with pytest.raises(UsageError, match="is being trained: fork it when that has ended"):
            plan(run, at=6, changes=DECAY)
    assert plan(run, at=6, changes=DECAY).control.learner.steps == 24  # interrupted: what is there can be forked


def test_a_run_without_a_step_is_refused(tmp_path: Path) -> None:
    (spec,) = toys.specs("gradient")
    document = {"training_id": spec.training_id, **spec.tree()}
    RunWriter.create(tmp_path / "toys" / "gradient" / "run", spec=document, environment={}).close()
    with pytest.raises(UsageError, match="has not logged a step yet: resume it first"):
        plan(open_run(tmp_path / "toys" / "gradient" / "run"), at=0, changes=DECAY)


def test_a_diverged_run_is_forked_before_it_diverged_only(tmp_path: Path) -> None:
    given = {"optimizer.name": "sgd", "optimizer.learning_rate": 1e30, "record.checkpoints.every": 1}
    (run,) = trained(tmp_path, "gradient", **given)
    assert run.status == "diverged"
    assert run.last_step is not None
    with pytest.raises(UsageError, match=r"diverged at step \d+: fork it at a step before that"):
        plan(run, at=run.last_step, changes=DECAY)
    late = next(s for s in range(run.last_step + 1) if not _finite(run, s))
    assert late < run.last_step
    with pytest.raises(UsageError, match=rf"has diverged by step {late} \(parameter/.* is not finite\): fork it earl"):
        plan(run, at=late, changes=DECAY)
    saved, again = branched(run, at=0, changes={"optimizer.learning_rate": 0.01})
    assert saved.status == "finished"
    # the control diverges as its parent did: numbers that are none in both are no difference
    assert match(again, run).steps
    assert match(again, run).bitwise
    assert match(saved, run).difference == float("inf")


def _finite(run: StoredRun, step: int) -> bool:
    return all(bool(t.isfinite().all()) for name, t in state_at(run, step).tensors.items() if name != "loss")


def test_a_drawing_intervention_keeps_its_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = trained(tmp_path, "gradient", interventions=[{"name": "weight-norm"}])
    plan(run, at=6, changes={"seed.noise": 5})
    from grokscope.interventions.weight_norm import WeightNormClamp

    monkeypatch.setattr(WeightNormClamp, "draws", True)
    with pytest.raises(UsageError, match=r"seed\.noise cannot change at a fork of this run: the state of weight-norm"):
        plan(run, at=6, changes={"seed.noise": 5})


def test_specs_of_forks_survive_being_stored(parent: StoredRun) -> None:
    planned = plan(parent, at=6, changes=DECAY)
    for spec in (planned.branch, planned.control):
        assert isinstance(spec, Spec)
        assert gs.resolve(spec.tree()) == spec
        assert gs.resolve(spec.tree()).training_id == spec.training_id
