"""The contracts of learners and runs, on the toys of ``toys.py``."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import toys
from driving import STEPS, Training, checkpoints, contents, log, run
from grokscope import registry
from grokscope.errors import UsageError
from grokscope.execution import place as placing
from grokscope.execution import train as training
from grokscope.execution.posthoc import measured
from grokscope.execution.train import resume, train
from grokscope.numerics import applied
from grokscope.spec import resolve
from grokscope.store import decode_value, open_run

LEARNERS_OWN = ("step/", "clock/", "intervention/")
each_toy = pytest.mark.parametrize("name", toys.NAMES)


@cache
def straight(name: str) -> bytes:
    return Training(toys.specs(name)).advance(STEPS).stored()


# -- a state is complete, and every partition of the steps gives it --------------------------------


@each_toy
@pytest.mark.parametrize("size", [1, 7])
def test_partition_into_equal_parts(name: str, size: int) -> None:
    parts = [size] * (STEPS // size)
    assert Training(toys.specs(name)).advance(*parts, STEPS % size).stored() == straight(name)


@each_toy
@settings(derandomize=True, max_examples=5, deadline=None, database=None)
@given(cuts=st.sets(st.integers(0, STEPS), max_size=6))
def test_any_partition(name: str, cuts: set[int]) -> None:
    points = [0, *sorted(cuts), STEPS]
    counts = [after - before for before, after in itertools.pairwise(points)]
    assert Training(toys.specs(name)).advance(*counts).stored() == straight(name)


@each_toy
@pytest.mark.parametrize("cut", [0, 1, 4, 10, 23])
def test_state_is_complete(name: str, cut: int) -> None:
    begun = Training(toys.specs(name)).advance(cut).stored()
    assert Training(toys.specs(name)).advance(3).restore(begun).advance(STEPS - cut).stored() == straight(name)


@each_toy
def test_looking_does_not_change_the_state(name: str) -> None:
    looked = Training(toys.specs(name))
    for _ in range(STEPS):
        for member in range(len(looked.specs)):
            snapshot = looked.learner.snapshot(looked.state, member)
            with applied(looked.specs[0].numerics):
                snapshot.logits("train")
                snapshot.trial_step()
                looked.learner.predict(looked.state, snapshot.probe("test").inputs, member)
                looked.learner.scalars(looked.state, member)
            for tensor in snapshot.parameters.values():
                tensor.fill_(torch.nan)  # a snapshot's tensors are private copies
        looked.advance(1)
    assert looked.stored() == straight(name)


def test_another_seed_is_another_training() -> None:
    assert Training(toys.specs("gradient", {"seed.base": 5})).advance(STEPS).stored() != straight("gradient")
    assert Training(toys.specs("stream", {"seed.order": 5})).advance(STEPS).stored() != straight("stream")


def test_kernel_snapshot_is_the_predictor_fitted_with_its_features() -> None:
    machine = Training(toys.specs("kernel", {"numerics.dtype": "float64"})).advance(5)
    snapshot = machine.learner.snapshot(machine.state)
    train = snapshot.probe("train")
    kernel = toys.gram(train.inputs, train.inputs, snapshot.parameters["features"])
    assert train.targets is not None
    residual = train.targets - snapshot.logits("train")
    # (K + ridge) a = y, hence y - K a = ridge a
    torch.testing.assert_close(residual, 1e-2 * snapshot.parameters["coefficients"], rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(snapshot.logits("train"), kernel @ snapshot.parameters["coefficients"])


def test_flow_follows_its_closed_form() -> None:
    flow = Training(toys.specs("flow")).advance(9)
    snapshot = flow.learner.snapshot(flow.state)
    assert snapshot.clocks == {"time": 4.5}
    torch.testing.assert_close(snapshot.parameters["u"].square(), toys.flow_exactly(4.5, 0.05), rtol=1e-7, atol=0)


# -- runs -----------------------------------------------------------------------------------------


UNDEFINED_ON_TOYS = {"spectra", "local_complexity", "linear_mapping_number", "information", "neural_collapse", "margin"}


def everything(root: Path, name: str, **changes: Any) -> list[Path]:
    """Train a toy with every measure at every step and a checkpoint at every seventh."""
    given = {
        "record__measures": registry.MEASURES.names(),
        "record__observe": {"every": 1},
        "record__checkpoints": {"every": 7},
    }
    return run(root, name, **{**given, **changes})


@pytest.fixture(scope="session", params=toys.NAMES)
def observed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Path]]:
    """A toy and its run directories, trained with every measure at every step."""
    return request.param, everything(tmp_path_factory.mktemp("observed"), request.param)


def test_observation_disturbs_nothing(observed: tuple[str, list[Path]], tmp_path: Path) -> None:
    name, directories = observed
    states = (torch.get_rng_state(), np.random.get_state(), random.getstate())
    numerics = (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled())
    unseen = run(tmp_path, name, record__measures=[], record__observe={"first": False, "last": True},
                 record__checkpoints={"last": True})  # fmt: skip
    assert checkpoints(unseen[0]).load(STEPS) == checkpoints(directories[0]).load(STEPS)
    assert torch.equal(torch.get_rng_state(), states[0])
    np.testing.assert_array_equal(np.random.get_state()[1], states[1][1])  # type: ignore[index]
    assert random.getstate() == states[2]
    assert (torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()) == numerics
    assert {row["step"] for row in log(directories[0])} == set(range(STEPS + 1))
    assert {row["step"] for row in log(unseen[0])} == {STEPS}


def test_measures_apply_or_say_why_not(observed: tuple[str, list[Path]]) -> None:
    for directory in observed[1]:
        stored = open_run(directory)
        assert stored.status == "finished"
        assert stored.events("measure_failed") == []
        # the toys have one output, a handful of weights and inputs: some spectra and ratios are 0/0 there
        undefined = {event["measure"] for event in stored.events("measure_nan")} - UNDEFINED_ON_TOYS
        # a diagonal network begins as the function 0, whose gradient has no direction
        assert undefined <= ({"agop"} if observed[0] == "label-noise" else set())
        assert {"train/loss", "test/loss", "step/loss"} <= set(stored.keys())


def test_live_equals_post_hoc(observed: tuple[str, list[Path]]) -> None:
    for directory in observed[1]:
        stored, rows = open_run(directory), log(directory)
        steps = checkpoints(directory).steps()
        assert steps == [0, 7, 14, 21, STEPS]
        for step in steps:
            live = [
                (row["key"], row["module"], repr(decode_value(row["value"]))) for row in rows if row["step"] == step
            ]
            live = [row for row in live if not row[0].startswith(LEARNERS_OWN)]
            assert live
            found = measured(stored, step, registry.MEASURES.names())
            assert [(key, module, repr(value)) for key, module, value in found] == live


def test_clocks_are_logged_and_transitions_read_off_them(tmp_path: Path) -> None:
    from grokscope.running import Run

    (directory,) = run(tmp_path, "flow", record__observe={"every": 1})
    steps, times = open_run(directory).series("clock/time")
    np.testing.assert_array_equal(times, 0.5 * steps)
    found = Run.open(directory).transition()
    for at, index in ((found.fit_step, 0), (found.generalise_step, 2)):
        assert at is not None
        goal, curvature = float(toys.GOAL[index]), float(toys.CURVATURE[index])
        level = goal - (1e-3 / curvature) ** 0.5  # where curvature (w - w*)² is 1e-3
        exact = np.log((goal / 0.05 - 1) / (goal / level - 1)) / (4 * curvature * goal)
        assert np.ceil(exact / 0.5) == np.ceil(at / 0.5)  # between the same two observations
    assert found.delay_steps is not None
    assert not found.censored


# -- killed, resumed, stopped ---------------------------------------------------------------------


def test_resumed_equals_straight_after_kills_at_random_moments(tmp_path: Path) -> None:
    here = Path(__file__).parent
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(here)}
    command = [sys.executable, str(here / "killing.py"), str(tmp_path), "0", *toys.NAMES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    kills: dict[str, int] = json.loads(done.stdout)
    assert min(kills.values()) >= 2
    for name, count in kills.items():
        killed, unharmed = tmp_path / name / "killed", tmp_path / name / "straight"
        kinds = ("toys/**/scalars.jsonl", "toys/**/backfill-*.jsonl", "**/*.safetensors")
        assert contents(killed, *kinds) == contents(unharmed, *kinds)
        runs = sorted(killed.glob("toys/*/*"))
        assert len(runs) == len(toys.specs(name))
        for directory in runs:
            stored = open_run(directory)
            assert stored.status == "finished"
            resumed = len(stored.events("resumed"))
            assert 0 < resumed <= count
            rows = [(row["step"], row["key"], row["module"]) for row in log(directory)]
            assert len(set(rows)) == len(rows)
            assert [row[0] for row in rows] == sorted(row[0] for row in rows)


def test_finished_is_not_repeated_unless_fresh(tmp_path: Path) -> None:
    (first,) = run(tmp_path, "gradient")
    before = contents(first, "*.jsonl")
    assert run(tmp_path, "gradient") == [first]
    assert resume(first) == [first]
    assert contents(first, "*.jsonl") == before
    (second,) = train(toys.specs("gradient"), root=tmp_path, fresh=True)
    assert second != first
    assert (second / "scalars.jsonl").read_bytes() == (first / "scalars.jsonl").read_bytes()


def test_stop_rule(tmp_path: Path) -> None:
    rule = {"key": "train/accuracy", "level": 0.0, "sustain": 3}
    (directory,) = run(tmp_path, "gradient", stop=rule, record__observe={"every": 2})
    stored = open_run(directory)
    assert stored.status == "stopped"
    assert stored.last_step == 4
    assert stored.checkpoints.steps()[-1] == 4
    before = contents(directory, "*.jsonl", "checkpoints/*")
    assert resume(directory) == [directory]
    assert contents(directory, "*.jsonl", "checkpoints/*") == before


def test_points_are_refused_where_a_learner_does_not_offer_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="weight-norm acts on the parameters, which the learner toy-flow does not"):
        run(tmp_path, "flow", interventions=[{"name": "weight-norm"}])


# -- repeatable -----------------------------------------------------------------------------------


def test_two_threads_repeat_bitwise() -> None:
    # large enough that torch really splits the work
    spec = resolve(
        {
            "task": {"name": "modular-addition", "modulus": 23, "train_fraction": 0.6},
            "model": {"name": "mlp", "widths": [256]},
            "learner": {"name": "gradient", "steps": 10},
            "optimizer": {"name": "adamw"},
            "numerics": {"threads": 2},
        }
    )
    assert Training([spec]).advance(10).stored() == Training([spec]).advance(10).stored()


@each_toy
def test_toys_repeat_bitwise_with_two_threads(name: str) -> None:
    specs = toys.specs(name, {"numerics.threads": 2})
    assert Training(specs).advance(STEPS).stored() == Training(specs).advance(STEPS).stored()


def test_interrupted_runs_are_found_by_their_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def signalled() -> Any:
        from contextlib import nullcontext

        return nullcontext(lambda: "SIGTERM")

    with monkeypatch.context() as patch:
        patch.setattr(training, "caught", signalled)
        with pytest.raises(training.Interrupted, match="stopped by SIGTERM at step 0") as caught:
            run(tmp_path, "gradient")
    assert caught.value.exit_code == 143
    found = placing.find_place(toys.specs("gradient"), tmp_path)
    assert found.state == "begun"
    assert open_run(found.members[0]).status == "interrupted"
    assert run(tmp_path, "gradient") == list(found.members)
    (other,) = run(tmp_path / "straight", "gradient")
    assert (other / "scalars.jsonl").read_bytes() == (found.members[0] / "scalars.jsonl").read_bytes()
