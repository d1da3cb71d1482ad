"""When a monitor measures, what it keeps, how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import grokscope as gs
import zoo
from grokscope.analysis import label_free
from grokscope.analysis.label_free import Assessment
from grokscope.errors import UsageError
from grokscope.measures.base import Key, Measure
from grokscope.monitor import plan
from grokscope.registry import MEASURES
from grokscope.sinks.base import Sink
from grokscope.store import StoredRun


def small(**more: Any) -> gs.Monitor:
    """A monitor of a linear map, of its weights alone."""
    return gs.Monitor(nn.Linear(2, 3), **{"measures": ["weights"], "phase": False, **more})


# -- when ------------------------------------------------------------------------------------------


def test_log_spaced_by_default_and_every_so_many_steps_for_a_number() -> None:
    monitor = small()
    due = [step for step in range(30) if monitor(step)]
    assert due == [0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25]
    monitor = small(cadence=10)
    assert [step for step in range(30) if monitor(step)] == [0, 10, 20]


def test_a_step_that_the_loop_passes_over_is_made_up_for() -> None:
    monitor = small(cadence=10)
    assert [step for step in range(0, 60, 7) if monitor(step)] == [0, 14, 21, 35, 42, 56]


def test_steps_are_counted_for_those_who_do_not() -> None:
    monitor = small(cadence=2)
    assert [monitor.step() for _ in range(4)] == [True, True, False, True]  # the first is for step 0
    assert monitor.scalars().index.tolist() == [1, 2, 4]


def test_the_end_of_a_training_is_measured_on_demand_and_once() -> None:
    monitor = small(cadence=100)
    assert [monitor(0), monitor(7), monitor.observe(7), monitor.observe(7), monitor(7)] == [
        True, False, True, False, False,
    ]  # fmt: skip
    assert monitor.scalars().index.tolist() == [0, 7]


def test_integers_of_other_libraries_are_steps() -> None:
    monitor = small(cadence=1)
    assert monitor(np.int64(0))  # type: ignore[arg-type]
    assert monitor(torch.tensor(1))  # type: ignore[arg-type]
    assert monitor.scalars().index.tolist() == [0, 1]


def test_steps_that_begin_again_are_told_once_and_not_measured_again() -> None:
    monitor = small(cadence=1)
    for step in range(3):
        monitor(step)
    with pytest.warns(UserWarning, match="count steps over the whole training, not within an epoch"):
        monitor(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [monitor(step) for step in range(1, 5)] == [False, False, True, True]
        assert monitor(4) is False  # the same step again: gradient accumulation
    assert monitor.scalars().index.tolist() == [0, 1, 2, 3, 4]
    assert [event["kind"] for event in monitor.events] == ["went_back"]


# -- what ------------------------------------------------------------------------------------------


def test_what_is_taken_by_default_needs_no_labels() -> None:
    animal = zoo.animal("mlp")
    monitor = gs.Monitor(animal.model, train=animal.train[0])
    monitor(0)
    assert [measure.name for measure in monitor.measures] == [
        *plan.DEFAULT_MEASURES,
        *(name for name in plan.PHASE_MEASURES if name not in plan.DEFAULT_MEASURES),
    ]
    silent = [event for event in monitor.events if event["kind"] == "measure_does_not_apply"]
    assert [event["reason"] for event in silent] == ["performance needs labelled data; this snapshot has none."]
    assert all(name.partition(":")[0] in MEASURES for name in (*plan.DEFAULT_MEASURES, *plan.PHASE_MEASURES))


def test_without_any_data_the_weights_are_measured() -> None:
    monitor = gs.Monitor(zoo.animal("gpt").model, measures=["weights", "norms"], phase=False)
    assert monitor(0)
    assert {key.partition("/")[0] for key in monitor.series} == {"weights", "norms"}


def test_the_numbers_of_the_loop_and_the_learning_rate_are_recorded() -> None:
    model = nn.Linear(2, 3)
    optimizer = torch.optim.SGD([{"params": [model.weight], "lr": 0.5}, {"params": [model.bias], "lr": 0.25}])
    monitor = gs.Monitor(model, measures=["weights"], optimizer=optimizer, phase=False, cadence=1)
    with pytest.warns(UserWarning, match="name is a str, which is no number"):
        monitor(0, loss=torch.tensor(2.0, requires_grad=True), name="a")
    monitor(1, loss=np.float32(1.5))
    assert monitor.scalars("step/loss")["step/loss"].tolist() == [2.0, 1.5]
    assert monitor.scalars("step/learning_rate@group 1").iloc[0, 0] == 0.25
    single = small(optimizer=torch.optim.SGD(model.parameters(), lr=0.1))
    single(0)
    assert single.series["step/learning_rate"][1].tolist() == [0.1]


def test_an_update_is_not_seen_from_outside() -> None:
    monitor = small(measures=["gradient"])
    monitor(0)
    (event,) = monitor.events
    assert event["kind"] == "measure_does_not_apply"
    assert event["reason"].startswith("gradient looks at an update of the parameters")


def test_a_bounded_number_of_examples_is_looked_at_always_the_same() -> None:
    model = nn.Linear(1, 2)
    inputs = torch.arange(100.0)[:, None]
    monitor = gs.Monitor(model, train=(inputs, torch.zeros(100).long()), measures=["performance"], examples=10)
    again = gs.Monitor(model, train=(inputs, torch.zeros(100).long()), measures=["performance"], examples=10)
    one, other = (m._subject.at(0).probes["train"].inputs for m in (monitor, again))
    assert torch.equal(one, other)
    assert len(one) == 10
    assert (one[1:] > one[:-1]).all()


def test_measures_with_options_and_of_ones_own() -> None:
    sign = Measure("sign", 3, {"plus": Key("1 if the bias is positive")}, "a test", lambda s: {"plus": 1.0})
    animal = zoo.animal("mlp")
    monitor = gs.Monitor(
        animal.model, train=animal.train, measures=["sparsity:threshold=0.1", "sparsity", sign], phase=False
    )
    monitor(0)
    assert {key.partition("/")[0] for key in monitor.series} == {"sparsity", "sparsity:threshold=0.1", "sign"}


def test_what_a_measure_raises_is_told_once_and_ends_nothing() -> None:
    def broken(snapshot: gs.Snapshot) -> dict[str, float]:
        raise RuntimeError("broken")

    monitor = small(measures=[Measure("broken", 1, {}, "a test", broken), "weights"], cadence=1)
    monitor(0)
    monitor(1)
    (event,) = monitor.events
    assert (event["kind"], event["reason"]) == ("measure_failed", "RuntimeError: broken")
    assert len(monitor.series["weights/sum_of_squares"][0]) == 2


def test_a_model_that_can_no_longer_be_copied_is_told_and_ends_nothing() -> None:
    monitor = small(cadence=1)
    monitor._subject.model.handle = open(os.devnull)  # type: ignore[assignment]  # noqa: SIM115
    with pytest.warns(UserWarning, match="cannot be copied"):
        assert monitor(0)
    monitor._subject.model.handle.close()
    assert [event["kind"] for event in monitor.events] == ["observation_failed"]


# -- the phase -------------------------------------------------------------------------------------


def test_the_phase_is_told_from_what_was_measured_and_every_change_is_an_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []

    def assess(series: Mapping[str, Any]) -> Assessment:
        seen.append(set(series))
        return Assessment("memorising" if len(seen) < 4 else "generalising", None, "a rule.", ())

    monkeypatch.setattr(label_free, "assess", assess)
    animal = zoo.animal("mlp")
    monitor = gs.Monitor(animal.model, train=animal.train, measures=["weights"], cadence=1)
    for step in range(3):
        monitor(step)
    assert str(monitor.phase).startswith("generalising")
    assert [(e["step"], e["phase"], e["reason"]) for e in monitor.events if e["kind"] == "phase"] == [
        (0, "memorising", "a rule.")
    ]
    assert {label_free.NORM, label_free.FIT_ACCURACY} <= seen[0]
    assert any(key.startswith(label_free.FEATURES) for key in seen[0])
    assert any(key.startswith(label_free.TRAPS) for key in seen[0])


def test_the_phase_of_nothing_is_unknown() -> None:
    assert small().phase.phase == "unknown"


# -- sinks -----------------------------------------------------------------------------------------


class Listening:
    """A sink that remembers, and fails in one method if told to."""

    def __init__(self, failing: str = "") -> None:
        self.failing = failing
        self.told: list[tuple[Any, ...]] = []

    def _take(self, method: str, *given: Any) -> None:
        self.told.append((method, *given))
        if method == self.failing:
            raise RuntimeError("no connection")

    def start(self, run: Mapping[str, Any]) -> None:
        self._take("start", run)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._take("log", step, values)

    def event(self, kind: str, fields: Mapping[str, Any]) -> None:
        self._take("event", kind, fields)

    def close(self) -> None:
        self._take("close")


def test_a_sink_is_shown_everything_in_order(tmp_path: Path) -> None:
    sink = Listening()
    assert isinstance(sink, Sink)
    with small(sinks=[sink], out=tmp_path / "mine", measures=["weights", "gradient"], cadence=1) as monitor:
        monitor(0, loss=1.0)
    assert [told[0] for told in sink.told] == ["start", "event", "log", "event", "close"]
    run = sink.told[0][1]
    assert (run["name"], run["run_dir"]) == ("mine", str(tmp_path / "mine"))
    assert run["spec"]["model"]["type"] == "torch.nn.modules.linear.Linear"
    assert sink.told[2][1] == 0
    assert sink.told[2][2]["step/loss"] == 1.0
    assert sink.told[2][2].keys() == StoredRun(tmp_path / "mine").final().keys()


@pytest.mark.parametrize("method", ["start", "log", "event", "close"])
def test_a_sink_that_raises_is_an_event_and_touches_neither_run_nor_others(method: str, tmp_path: Path) -> None:
    bad, good = Listening(method), Listening()
    out = tmp_path / "mine"
    with small(sinks=[bad, good], out=out, measures=["weights", "gradient"], cadence=1) as monitor:
        monitor(0)
        monitor(1)
    assert [told[0] for told in good.told] == ["start", "event", "log", "log", "event", "close"]
    run = StoredRun(out)
    assert run.status == "finished"
    assert len(run.series("weights/sum_of_squares")[0]) == 2
    told = [event["reason"] for event in monitor.events if event["kind"] == "sink_failed"]
    assert told == [f"RuntimeError in {method}: no connection"]
    if method != "close":
        assert [event["reason"] for event in run.events("sink_failed")] == told


# -- the end ---------------------------------------------------------------------------------------


def test_an_error_in_the_loop_is_how_its_run_ended(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), small(out=tmp_path / "a") as monitor:
        monitor(0 // (monitor.directory is None))
    run = StoredRun(tmp_path / "a")
    assert (run.status, run.status_reason) == ("failed", "ZeroDivisionError: integer division or modulo by zero")
    with pytest.raises(KeyboardInterrupt), small(out=tmp_path / "b"):
        raise KeyboardInterrupt
    assert StoredRun(tmp_path / "b").status == "interrupted"


def test_a_monitor_that_goes_seals_its_run(tmp_path: Path) -> None:
    monitor = small(out=tmp_path / "mine")
    monitor(0)
    del monitor
    run = StoredRun(tmp_path / "mine")
    assert run.status == "finished"
    assert (run.directory / "scalars.parquet").exists()


SCRIPT = """
import os, signal, sys
import torch, grokscope as gs
monitor = gs.Monitor(torch.nn.Linear(2, 3), measures=["weights"], phase=False, out=sys.argv[1], cadence=1)
for step in range(3):
    monitor(step)
if sys.argv[2] == "fork" and os.fork() == 0:
    sys.exit()
if sys.argv[2] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
if sys.argv[2] == "raise":
    raise ValueError("diverged")
"""


@pytest.mark.parametrize(
    ("how", "status", "code"),
    [("end", "finished", 0), ("fork", "finished", 0), ("raise", "failed", 1), ("kill", "interrupted", -signal.SIGKILL)],
)
def test_a_process_that_ends_leaves_a_run_that_can_be_read(how: str, status: str, code: int, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(out), how], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    run = StoredRun(out)
    assert run.status == status
    assert run.series("weights/sum_of_squares")[0].tolist() == [0, 1, 2]
    assert (out / "scalars.parquet").exists() == (how != "kill")
    assert len([event for event in run.events("status") if event["status"] != "running"]) == (how != "kill")


def test_a_disk_that_is_full_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monitor = small(out=tmp_path / "mine", cadence=1)
    monitor(0)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(monitor._recorder.writer, "scalars", full)
    with pytest.warns(UserWarning, match="nothing more is stored in .*mine .*; the training goes on"):
        monitor(1)
    monitor(2)
    monitor.close()
    assert monitor.scalars().index.tolist() == [0, 1, 2]
    assert StoredRun(tmp_path / "mine").series("weights/sum_of_squares")[0].tolist() == [0]


def test_a_closed_monitor_says_so() -> None:
    monitor = small()
    monitor.close()
    monitor.close()
    with pytest.raises(UsageError, match="the monitor is closed"):
        monitor(0)
