from __future__ import annotations

import numpy as np
import pytest

from grokscope.errors import StoreError
from grokscope.store import RunWriter, run_directory, runs_table, scalars_of, seal

NAN = float("nan")


def make(root, paper, seed, *, status="finished"):
    directory = run_directory(root, paper, "addition", "cpu", seed, "0123456789")
    spec = {"paper": paper, "experiment": "addition", "scale": "cpu", "seed": {"base": seed}}
    if seed:
        spec["training_id"] = "0123456789"
    with RunWriter.create(directory, spec=spec, environment={}) as writer:
        for step in (0, 10):
            writer.scalars(
                step,
                [
                    ("test/loss", None, NAN if step else 10.0 + seed, 1),
                    ("norms/l2", "embed", step, 1),
                    ("norms/l2", None, -step, 1),
                ],
            )
        writer.status(status)
    return directory


@pytest.fixture
def runs(tmp_path):
    return [make(tmp_path, "nanda2023", 0), make(tmp_path, "nanda2023", 1), make(tmp_path, "power2022", 0)]


def test_runs_table(tmp_path, runs):
    broken = tmp_path / "zhong2023" / "addition" / "smoke-s0-ffffffff"
    broken.mkdir(parents=True)
    (broken / "spec.json").write_text("{")
    rows = runs_table(tmp_path)
    assert [row["run_dir"] for row in rows] == [*map(str, runs), str(broken)]
    first = rows[0]
    assert first.pop("wall_seconds") >= 0
    assert first == {
        "run_dir": str(runs[0]),
        "paper": "nanda2023",
        "experiment": "addition",
        "scale": "cpu",
        "seed": 0,
        "status": "finished",
        "steps": 10,
        "training_id": None,
    }
    assert rows[1]["training_id"] == "0123456789"
    assert (rows[3]["status"], rows[3]["paper"], rows[3]["scale"]) == ("unreadable", "zhong2023", "smoke")
    assert "is not JSON" in rows[3]["problem"]


@pytest.mark.parametrize(
    ("pattern", "count"),
    [("nanda", 2), ("*/addition/cpu", 3), ("power2022/*", 1), ("s1-", 1), ("nothing", 0)],
)
def test_runs_table_filters(tmp_path, runs, pattern, count):
    assert len(runs_table(tmp_path, pattern)) == count


def test_a_broken_log_is_a_row_not_an_error(tmp_path, runs):
    (runs[1] / "events.jsonl").write_bytes(b"broken\n{}\n")
    row = runs_table(tmp_path)[1]
    assert row["status"] == "unreadable"
    assert "line 1" in row["problem"]


def test_an_empty_run_has_no_steps(tmp_path):
    RunWriter.create(tmp_path / "p" / "e" / "r", spec={"seed": 4}, environment={}).close()
    (row,) = runs_table(tmp_path)
    assert (row["steps"], row["seed"], row["status"]) == (None, 4, "interrupted")
    assert runs_table(tmp_path / "nowhere") == []


def test_scalars_of_mixes_sealed_torn_and_live_runs(runs):
    whole = scalars_of(runs, ["test/loss", "norms/l2@embed"])
    seal(runs[0])
    with (runs[1] / "scalars.jsonl").open("ab") as log:
        log.write(b'{"key":"test/lo')
    mixed = scalars_of(runs, ["test/loss", "norms/l2@embed"])
    assert list(mixed) == ["run", "step", "key", "module", "value", "version"]
    for name, column in whole.items():
        np.testing.assert_array_equal(column, mixed[name])
        assert column.dtype == mixed[name].dtype
    assert mixed["run"].tolist() == [str(run) for run in runs for _ in range(4)]
    assert mixed["key"][:4].tolist() == ["norms/l2", "norms/l2", "test/loss", "test/loss"]
    assert mixed["module"][:4].tolist() == ["embed", "embed", None, None]
    assert mixed["step"][:4].tolist() == [0, 10, 0, 10]
    np.testing.assert_array_equal(mixed["value"][4:8], [0, 10, 11, NAN])
    assert (mixed["value"].dtype, mixed["step"].dtype, mixed["version"].dtype) == (
        np.float64,
        np.int64,
        np.int32,
    )


def test_scalars_of_selects_modules_and_runs(runs):
    assert scalars_of(runs[:1], ["norms/l2"])["module"].tolist() == [None, None, "embed", "embed"]
    assert scalars_of(runs[:1])["step"].size == 6
    assert scalars_of(runs[::-1], ["test/loss"])["run"][0] == str(runs[2])
    for empty in (scalars_of(runs, ["absent"]), scalars_of([], ["test/loss"])):
        assert list(empty) == ["run", "step", "key", "module", "value", "version"]
        assert all(column.size == 0 for column in empty.values())


@pytest.mark.parametrize("name", ["a'b", "run[1]", "run*", "what?"])
def test_scalars_of_takes_any_path(tmp_path, name):
    directory = make(tmp_path / name, "p", 0)
    before = scalars_of([directory], ["norms/l2"])
    seal(directory)
    after = scalars_of([directory], ["norms/l2"])
    assert after["value"].tolist() == before["value"].tolist() == [0.0, -10.0, 0.0, 10.0]


def test_scalars_of_needs_runs(tmp_path):
    with pytest.raises(StoreError, match="is not a run"):
        scalars_of([tmp_path], ["test/loss"])
