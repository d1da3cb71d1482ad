"""Each sink in a real training, its numbers read back from the files of the real tracker."""

from __future__ import annotations

import json
import math
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import grokscope as gs
from grokscope.sinks.base import Sink, tracker_key

# the trackers' own warnings are not ours to judge
pytestmark = [pytest.mark.adapters, pytest.mark.filterwarnings("ignore")]
STEPS = [0, 1, 2, 3]


def train(sink: Sink, out: Path | None = None, name: str | None = None) -> gs.Monitor:
    """Train a little with a monitor that is given numbers of each kind; return it, closed."""
    torch.manual_seed(0)
    x, y = torch.randn(32, 4), torch.randint(0, 3, (32,))
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watched = ["weights", "norms", "sparsity:threshold=0.1", "gradient"]
    with gs.Monitor(model, train=(x, y), measures=watched, sinks=[sink], cadence=1, out=out, name=name) as monitor:
        for step in STEPS:
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            monitor(step, loss=loss, nothing=math.nan, much=math.inf)
            optimizer.step()
    assert [event for event in monitor.events if event["kind"] == "sink_failed"] == []
    return monitor


def expected(monitor: gs.Monitor) -> dict[str, list[tuple[int, float]]]:
    """What a tracker should hold; no two keys become one."""
    series = {tracker_key(key): list(zip(*map(list, pair), strict=True)) for key, pair in monitor.series.items()}
    assert len(series) == len(monitor.series)
    assert {"norms/spectral/0.weight", "step/loss", "sparsity_threshold_0.1/mean"} <= series.keys()
    return series


def same(
    found: dict[str, list[tuple[int, float]]], wanted: dict[str, list[tuple[int, float]]], tolerance: float
) -> bool:
    assert found.keys() == wanted.keys()
    for key, points in wanted.items():
        assert [step for step, _ in found[key]] == [step for step, _ in points], key
        assert [v for _, v in found[key]] == pytest.approx([v for _, v in points], rel=tolerance, nan_ok=True), key
    return True


# -- TensorBoard -----------------------------------------------------------------------------------


def test_tensorboard(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from grokscope.sinks.tensorboard import TensorBoardSink

    monitor = train(TensorBoardSink(tmp_path / "tb"), name="mine")
    read = EventAccumulator(str(tmp_path / "tb" / "mine"), size_guidance={"scalars": 0})
    read.Reload()
    found = {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in read.Tags()["scalars"]}
    assert same(found, expected(monitor), 1e-6)  # it keeps float32
    (text,) = read.Tensors("events/measure_does_not_apply/gradient/text_summary")
    assert b"looks at an update" in text.tensor_proto.string_val[0]


def test_tensorboard_goes_on_in_the_same_folder(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from grokscope.sinks.tensorboard import TensorBoardSink

    model, out = nn.Linear(2, 3), tmp_path / "runs" / "mine"
    for resume, steps in ((False, (0, 1)), (True, (2, 3)), (False, (0,))):
        sinks = [TensorBoardSink(tmp_path / "tb")]
        with gs.Monitor(model, measures=["weights"], phase=False, out=out, resume=resume, sinks=sinks) as monitor:
            for step in steps:
                monitor(step)
    read = EventAccumulator(str(tmp_path / "tb" / "mine"))
    read.Reload()
    assert [event.step for event in read.Scalars("weights/sum_of_squares")] == [0, 1, 2, 3]
    assert (tmp_path / "tb" / "mine.2").is_dir()


# -- trackio ---------------------------------------------------------------------------------------


def test_trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio")
    from trackio import sqlite_storage, utils

    from grokscope.sinks.trackio import TrackioSink

    # read once, where trackio is imported
    for module in (trackio, utils, sqlite_storage):
        monkeypatch.setattr(module, "TRACKIO_DIR", tmp_path / "trackio", raising=False)
    theirs = trackio.init(project="theirs", name="theirs", embed=False, auto_log_cpu=False)
    monitor = train(TrackioSink("mine"), name="mine")
    trackio.log({"loss": 1.0})  # the training's own run is still the current one
    trackio.finish()
    assert theirs.name == "theirs"
    assert len(sqlite_storage.SQLiteStorage.get_logs("theirs", "theirs")) == 1
    rows = sqlite_storage.SQLiteStorage.get_logs("mine", "mine")
    found: dict[str, list[tuple[int, float]]] = {}
    texts = []
    for row in rows:
        for key, value in row.items():
            if isinstance(value, float) and "/" in key:
                found.setdefault(key, []).append((row["step"], value))
            elif isinstance(value, dict):
                texts.append((key, value["_value"]))
    assert same(found, expected(monitor), 1e-12)
    assert any(key == "events/measure_does_not_apply/gradient" and "an update" in text for key, text in texts)
    config = sqlite_storage.SQLiteStorage.get_run_config("mine", "mine")
    assert config is not None
    assert config["model"]["type"] == "torch.nn.modules.container.Sequential"


# -- Weights & Biases ------------------------------------------------------------------------------


def records(file: Path) -> Iterator[Any]:
    """Yield what an offline run of W&B's holds: records of protobuf in the log format of LevelDB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = file.read_bytes(), 7, b""
    assert data.startswith(b":W&B")
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768  # a record's head is not cut
            continue
        length, kind = struct.unpack("<HB", data[at + 4 : at + 7])
        whole += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # all of a record, or its last part
            record = Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def offline_run(place: Path) -> list[Any]:
    """Return the records of the only run; wandb's service may write the last of them after the run has ended."""
    (file,) = place.glob("wandb/offline-run-*/run-*.wandb")
    for _ in range(200):
        found = list(records(file))
        if any(record.HasField("exit") for record in found):
            return found
        time.sleep(0.05)
    raise AssertionError(f"{file} has no end")


def history(found: list[Any]) -> list[dict[str, Any]]:
    return [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for record in found
        if record.HasField("history")
    ]


def test_wandb_without_a_key_is_offline_and_beside_other_runs(tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")
    from grokscope.sinks.wandb import STEP, WandBSink

    active = wandb.run
    monitor = train(WandBSink("mine", dir=str(tmp_path)), name="mine")
    assert wandb.run is active
    kept = offline_run(tmp_path)
    found: dict[str, list[tuple[int, float]]] = {}
    for row in history(kept):
        for key, value in row.items():
            if not key.startswith("_") and key != STEP:
                found.setdefault(key, []).append((row[STEP], float(value)))
    assert same(found, expected(monitor), 1e-12)
    run = next(record.run for record in kept if record.HasField("run"))
    assert (run.project, run.display_name) == ("mine", "mine")
    metrics = {
        record.metric.name or record.metric.glob_name: record.metric for record in kept if record.HasField("metric")
    }
    assert metrics["*"].step_metric == STEP or metrics["step/loss"].step_metric == STEP
    told = [item for record in kept if record.HasField("summary") for item in record.summary.update]
    assert any("an update" in item.value_json for item in told)


def test_wandb_writes_into_a_run_that_is_given(tmp_path: Path) -> None:
    wandb = pytest.importorskip("wandb")
    from grokscope.sinks.wandb import STEP, WandBSink

    with wandb.init(project="theirs", mode="offline", dir=str(tmp_path), reinit="create_new") as run:
        run.log({"loss": 0.5})
        train(WandBSink(run=run))
        run.log({"loss": 0.25})  # it has not been ended
    rows = history(offline_run(tmp_path))
    assert [row["loss"] for row in rows if "loss" in row] == [0.5, 0.25]
    assert [row[STEP] for row in rows if "grokscope/step/loss" in row] == STEPS
    assert not [key for row in rows for key in row if key == "step/loss"]


def test_wandb_with_a_key_leaves_the_mode_to_wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb")
    from grokscope.sinks.wandb import _has_key

    assert not _has_key()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password 0123456789\n")
    assert _has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not _has_key()
    monkeypatch.setenv("WANDB_API_KEY", "0123456789")
    assert _has_key()


# -- MLflow ----------------------------------------------------------------------------------------


def test_mlflow(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    from grokscope.sinks.mlflow import MLflowSink

    uri = f"sqlite:///{tmp_path}/mine.db"
    with_active = train(MLflowSink("mine", tracking_uri=uri), name="mine")
    assert mlflow.active_run() is None
    client = mlflow.MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    assert (run.info.run_name, run.info.status) == ("mine", "FINISHED")
    found = {
        key: [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, key)]
        for key in run.data.metrics
    }
    wanted = {
        key: [point for point in points if not math.isinf(point[1])] for key, points in expected(with_active).items()
    }
    assert wanted.pop("step/much") == []
    assert same(found, wanted, 1e-12)
    assert "an update" in run.data.tags["events/measure_does_not_apply/gradient"]
    spec = json.loads(Path(client.download_artifacts(run.info.run_id, "grokscope/spec.json")).read_text())
    assert spec["experiment"] == "mine"


def test_mlflow_writes_into_a_run_that_is_given() -> None:
    mlflow = pytest.importorskip("mlflow")
    from grokscope.sinks.mlflow import MLflowSink

    with mlflow.start_run() as run:
        train(MLflowSink(run_id=run.info.run_id))
        mlflow.log_metric("loss", 0.5)
        assert mlflow.MlflowClient().get_run(run.info.run_id).info.status == "RUNNING"
    kept = mlflow.MlflowClient().get_run(run.info.run_id).data.metrics
    assert {"loss", "step/loss", "norms/spectral/0.weight"} <= kept.keys()


def test_a_tracker_that_fails_touches_nothing(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from grokscope.sinks.mlflow import MLflowSink

    sink = MLflowSink(tracking_uri="nowhere://at.all")
    with gs.Monitor(nn.Linear(2, 3), measures=["weights"], phase=False, sinks=[sink], out=tmp_path / "mine") as monitor:
        assert [monitor(step) for step in range(3)] == [True, True, True]
    (event,) = [event for event in monitor.events if event["kind"] == "sink_failed"]
    assert event["sink"] == "MLflowSink"
    assert event["reason"].partition(" in ")[2].startswith("start: ")
    assert len(monitor.series["weights/sum_of_squares"][0]) == 3
