"""Ensembles: a member is its own run, and no member disturbs another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import toys
from driving import STEPS, Training, checkpoints, log, run
from grokscope.errors import UsageError
from grokscope.execution import train as training
from grokscope.execution.posthoc import snapshot_at
from grokscope.execution.train import train
from grokscope.loop.encoding import encode_tensors
from grokscope.store import RunWriter, open_run

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"name": "sgd", "learning_rate": 0.1},
    "momentum": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9},
    "nesterov": {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True},
    "adam": {"name": "adam", "learning_rate": 0.01, "warmup_steps": 4},
    "adamw": {"name": "adamw", "learning_rate": 0.01, "beta2": 0.98},
}
DIFFERENT: list[dict[str, Any]] = [
    {"seed.base": 0},
    {"seed.base": 1, "optimizer.learning_rate": 0.02},
    {"seed.base": 2, "optimizer.weight_decay": 0.3, "task.train_fraction": 0.3},
    {"seed.base": 3, "model.initial_scale": 1.5, "task.emphasis": 4.0},
    {"seed.base": 4, "seed.init": 17, "task.train_fraction": 0.75, "task.emphasis": 0.5},
]


@pytest.mark.parametrize("interventions", [[], toys.INTERVENED], ids=["undisturbed", "intervened"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_member_equals_single_run(optimizer: str, interventions: list[dict[str, Any]]) -> None:
    tree = {
        **toys.REGRESSION,
        "optimizer": OPTIMIZERS[optimizer],
        "numerics": {"dtype": "float64"},
        "interventions": interventions,
    }
    specs = toys.members(tree, DIFFERENT)
    together = Training(specs)
    apart = [Training([toys.alone(spec)]) for spec in specs]
    begun = [one.parameters() for one in apart]
    for step in (0, 1, 3, 10, 20):
        done = together.learner.step(together.state)
        together.advance(step - done)
        for index, one in enumerate(apart):
            one.advance(step - done)
            mine, members = one.parameters(), together.parameters(index)
            assert list(mine) == list(members)
            for key in mine:
                assert float((mine[key] - members[key]).abs().max()) <= 1e-10 * step
            same = one.learner.scalars(one.state), together.learner.scalars(together.state, index)
            assert same[0] == pytest.approx(same[1], rel=1e-9, abs=1e-12)
    assert all(
        float((one.parameters()[key] - before[key]).abs().max()) > 1e-3
        for one, before in zip(apart, begun, strict=True)
        for key in before
        if key.endswith("weight")
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_diverged_member_leaves_the_others_bitwise(tmp_path: Path, dtype: str) -> None:
    def trained(root: Path, rate: float) -> list[Path]:
        tree = {**toys.REGRESSION, "optimizer": {"name": "sgd"}, "numerics": {"dtype": dtype}, "experiment": "e"}
        rates = (0.05, rate, 0.02)
        shared = {"record.observe": {"every": 1}, "record.measures": ["performance", "weights"], "learner.steps": 40}
        each = [{**shared, "seed.base": i, "optimizer.learning_rate": r} for i, r in enumerate(rates)]
        return train(toys.members(tree, each), root=root)

    wild, tame = trained(tmp_path / "wild", 1e10), trained(tmp_path / "tame", 0.1)
    assert [open_run(path).status for path in wild] == ["finished", "diverged", "finished"]
    assert [open_run(path).status for path in tame] == ["finished"] * 3
    (event,) = open_run(wild[1]).events("diverged")
    assert open_run(wild[1]).last_step == event["step"] < 40
    for index in (0, 2):
        assert (wild[index] / "scalars.jsonl").read_bytes() == (tame[index] / "scalars.jsonl").read_bytes()
        for step in checkpoints(wild[index]).steps():
            with snapshot_at(open_run(wild[index]), step) as one, snapshot_at(open_run(tame[index]), step) as other:
                assert encode_tensors(one.parameters) == encode_tensors(other.parameters)


def test_members_must_agree_in_what_is_one_for_all() -> None:
    each = [{"seed.base": 0}, {"seed.base": 1, "model.activation": "relu"}]
    with pytest.raises(UsageError, match="must agree in model"):
        Training(toys.members(toys.REGRESSION, each))
    each = [{"seed.base": 0}, {"seed.base": 1, "numerics.dtype": "float64"}]
    with pytest.raises(UsageError, match="must agree in numerics"):
        Training(toys.members(toys.REGRESSION, each))


def test_members_of_streams_take_their_own_batches() -> None:
    tree = {**toys.REGRESSION, "task": {"name": "toy-stream"}, "numerics": {"dtype": "float64"}}
    specs = toys.members(tree, [{"seed.base": 0}, {"seed.base": 1}])
    together = Training(specs).advance(10)
    for index, spec in enumerate(specs):
        mine = Training([toys.alone(spec)]).advance(10).parameters()
        for key, tensor in together.parameters(index).items():
            torch.testing.assert_close(tensor, mine[key], rtol=0, atol=1e-9)


def test_stopped_member_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    def trained(root: Path, rule: dict[str, Any] | None) -> list[Path]:
        shared = {"record.observe": {"every": 2}}
        each = [{**shared, **one, **({"stop": rule} if i == 1 else {})} for i, one in enumerate(toys.MEMBERS)]
        return train(toys.members({"experiment": "e", **toys.MODULAR}, each), root=root)

    stopping = trained(tmp_path / "a", {"key": "train/loss", "level": 0.0, "sustain": 2})
    going_on = trained(tmp_path / "b", None)
    assert [open_run(path).status for path in stopping] == ["finished", "stopped", "finished"]
    assert [open_run(path).last_step for path in stopping] == [STEPS, 2, STEPS]
    for index in (0, 2):
        assert log(stopping[index]) == log(going_on[index])


def test_a_group_killed_while_its_directories_are_made_keeps_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, made = RunWriter.create, []

    def dying(directory: Path, **given: Any) -> RunWriter:
        if made:
            raise KeyboardInterrupt
        made.append(directory)
        return create(directory, **given)

    with monkeypatch.context() as patch:
        patch.setattr(training.RunWriter, "create", dying)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path, "ensemble")
    directories = run(tmp_path, "ensemble")
    assert directories[0] == made[0]
    assert [open_run(path).status for path in directories] == ["finished"] * 3
    assert sorted(tmp_path.glob("toys/*/*")) == sorted(directories)
