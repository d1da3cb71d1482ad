from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from grokscope.errors import StoreError, UsageError
from grokscope.store import RunWriter, columns, open_run, reader, seal

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="@"), min_size=1, max_size=6)
modules = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
rows = st.lists(st.tuples(st.integers(0, 9), words, modules, st.floats(), st.integers(1, 3)), max_size=12)


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "run"


def create(directory):
    return RunWriter.create(directory, spec={"paper": "p"}, environment={})


def newest(wanted):
    """Return {(key, module): {step: value}} by the rule of SCHEMA.md, the slow way."""
    best: dict = {}
    for step, key, module, value, version in wanted:
        points = best.setdefault((key, module), {})
        if step not in points or version >= points[step][0]:
            points[step] = (version, value)
    return {pair: {step: value for step, (_, value) in points.items()} for pair, points in best.items()}


@settings(max_examples=20, deadline=None, derandomize=True)
@given(live=rows, late=rows)
def test_round_trip_before_and_after_sealing(tmp_path_factory, live, late):
    directory = tmp_path_factory.mktemp("store") / "run"
    with create(directory) as writer:
        for step, *row in live:
            writer.scalars(step, [tuple(row)])
        writer.backfill("late", late)
    wanted = newest(live + late)

    def check():
        run = open_run(directory)
        assert run.keys() == sorted(columns.flat_key(*pair) for pair in wanted)
        for (key, module), points in wanted.items():
            steps, values = run.series(columns.flat_key(key, module))
            assert steps.dtype == np.int64
            assert steps.tolist() == sorted(points)
            expected = np.array([points[step] for step in sorted(points)])
            np.testing.assert_array_equal(values, expected)
            number = ~np.isnan(expected)  # a NaN has no sign worth keeping, a zero has
            np.testing.assert_array_equal(np.signbit(values[number]), np.signbit(expected[number]))
            assert module in run.modules(key)
        return run.rows()

    before = check()
    seal(directory)
    assert columns.sealed_file(directory) is not None
    after = check()
    for name, column in before.items():
        assert column.dtype == after[name].dtype
        np.testing.assert_array_equal(column, after[name])
    shutil.rmtree(directory)


def test_a_sealed_run_is_read_from_the_parquet_file(directory, monkeypatch):
    with create(directory) as writer:
        writer.scalars(0, [("a", None, 1.0, 1)])
        seal(directory)  # the writer may still hold its lock
        writer.status("finished")
    monkeypatch.setattr(columns, "from_lines", lambda paths: pytest.fail("read the JSON lines"))
    run = open_run(directory)
    assert run.final() == {"a": 1.0}
    assert (directory / "scalars.jsonl").exists()


def test_a_sealed_file_is_not_used_once_the_log_goes_on(directory):
    with create(directory) as writer:
        writer.scalars(0, [("a", None, 1.0, 1)])
        run = open_run(directory)
        seal(directory)
        assert run.last_step == 0
        writer.scalars(1, [("a", None, 2.0, 1)])
        assert run.last_step == 1
        seal(directory)
        writer.backfill("b", [(0, "b", None, 3.0, 1)])
        assert run.keys() == ["a", "b"]


def test_a_damaged_parquet_file_falls_back_to_the_lines(directory):
    with create(directory) as writer:
        writer.scalars(0, [("a", None, 1.0, 1)])
    path = seal(directory)
    path.write_bytes(path.read_bytes()[:-7])
    assert open_run(directory).final() == {"a": 1.0}
    (directory / "scalars.jsonl").unlink()
    with pytest.raises(StoreError, match="not a readable log"):
        open_run(directory).keys()


def test_an_empty_log_seals_to_an_empty_table_with_the_schema(directory):
    import duckdb

    create(directory).close()
    path = seal(directory)
    with duckdb.connect() as connection:
        described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(path)]).fetchall()
    assert [(name, kind) for name, kind, *_ in described] == [
        ("step", "BIGINT"),
        ("key", "VARCHAR"),
        ("module", "VARCHAR"),
        ("value", "DOUBLE"),
        ("version", "INTEGER"),
    ]
    run = open_run(directory)
    assert (run.keys(), run.last_step, run.final()) == ([], None, {})


def test_sealing_a_broken_log_is_refused_and_leaves_nothing(directory):
    with create(directory) as writer:
        writer.scalars(0, [("a", None, 1.0, 1)])
    (directory / "scalars.jsonl").write_bytes(b'{"step":0}\n' + (directory / "scalars.jsonl").read_bytes())
    with pytest.raises(StoreError, match=r"line 1 of .*scalars\.jsonl is not a row"):
        seal(directory)
    assert not list(directory.glob("*parquet*"))


def test_a_disk_that_fills_while_sealing_is_told(directory, monkeypatch):
    import duckdb

    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def register(self, *arguments):
            return None

        def execute(self, *arguments):
            raise duckdb.IOException("IO Error: Could not write file: No space left on device\nmore")

    create(directory).close()
    monkeypatch.setattr(sys.modules["grokscope.store.seal"], "connect", Full)
    with pytest.raises(StoreError, match=r"disk is full: could not write scalars\.parquet"):
        seal(directory)
    assert (directory / "scalars.jsonl").exists()


def test_a_live_run_is_readable_with_its_last_line_torn_at_every_byte(directory):
    with create(directory) as writer:
        writer.scalars(0, [("a", "m", 1.0, 1)])
        head = writer.position()
        writer.scalars(1, [("a", "m", 2.0, 1)])
        data = (directory / "scalars.jsonl").read_bytes()
        run = open_run(directory)
        for cut in range(head, len(data)):
            (directory / "scalars.jsonl").write_bytes(data[:cut])
            assert run.series("a", "m")[1].tolist() == [1.0]
        (directory / "scalars.jsonl").write_bytes(data)
        assert run.series("a@m")[1].tolist() == [1.0, 2.0]


def test_the_log_is_parsed_once_for_many_keys(directory, monkeypatch):
    with create(directory) as writer:
        writer.scalars(0, [(f"k{number}", None, number, 1) for number in range(5)])
        calls = []
        monkeypatch.setattr(reader, "load", lambda path: calls.append(path) or columns.load(path))
        run = open_run(directory)
        keys = run.keys()
        for key in keys:
            run.series(key)
        assert len(calls) == 1
        writer.scalars(1, [("k0", None, 1, 1)])
        assert run.series("k0")[0].tolist() == [0, 1]
        assert len(calls) == 2


def test_series_are_copies(directory):
    with create(directory) as writer:
        writer.scalars(0, [("a", None, 1.0, 1)])
    run = open_run(directory)
    run.series("a")[1][:] = 9.0
    run.rows()["value"][:] = 9.0
    assert run.final() == {"a": 1.0}


def test_only_the_highest_version_of_a_step_is_in_a_series_but_all_are_rows(directory):
    with create(directory) as writer:
        writer.scalars(0, [("a", None, 1.0, 2)])
        writer.scalars(5, [("a", None, 5.0, 1)])
        writer.backfill("a", [(0, "a", None, 0.0, 1), (5, "a", None, 6.0, 2)])
    run = open_run(directory)
    assert run.series("a")[1].tolist() == [1.0, 6.0]
    assert run.rows("a")["version"].tolist() == [2, 1, 1, 2]


def test_keys_with_modules(directory):
    with create(directory) as writer:
        writer.scalars(0, [("n", "b", 1.0, 1), ("n", "a", 2.0, 1), ("n", None, 3.0, 1), ("n", "x@y", 4.0, 1)])
    run = open_run(directory)
    assert run.keys() == ["n", "n@a", "n@b", "n@x@y"]
    assert run.modules("n") == [None, "a", "b", "x@y"]
    assert run.modules("other") == []
    assert run.series("n")[1].tolist() == [3.0]
    assert run.series("n", "x@y")[1].tolist() == run.series("n@x@y")[1].tolist() == [4.0]
    assert (run.has("n@a"), run.has("n", "a"), run.has("n@z"), run.has("m")) == (True, True, False, False)
    assert run.final() == {"n": 3.0, "n@a": 2.0, "n@b": 1.0, "n@x@y": 4.0}
    assert sorted(run.rows("n")["value"]) == [1.0, 2.0, 3.0, 4.0]
    assert run.rows("n@a", "n@b")["module"].tolist() == ["b", "a"]


def test_an_unknown_key_offers_the_nearest(directory):
    with create(directory) as writer:
        writer.scalars(0, [("test/accuracy", None, 1.0, 1)])
    run = open_run(directory)
    with pytest.raises(UsageError, match="unknown key 'test/acuracy': did you mean 'test/accuracy'"):
        run.series("test/acuracy")
    with pytest.raises(UsageError, match="did you mean 'test/accuracy'"):
        run.rows("test/acuracy")


def test_what_is_not_a_run_is_told(tmp_path):
    with pytest.raises(StoreError, match="is not a run"):
        open_run(tmp_path)
    for content, words in (("{", "is not JSON"), ("[1]", "not a JSON object"), ('{"schema": 2}', "schema 2")):
        (tmp_path / "spec.json").write_text(content)
        with pytest.raises(StoreError, match=words):
            open_run(tmp_path)


def events(directory, *pairs):
    lines = [
        {"time": time, "kind": "status", "status": name} if name else {"time": time, "kind": "note"}
        for time, name in pairs
    ]
    (directory / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_wall_seconds_sums_sessions(directory):
    create(directory).close()
    run = open_run(directory)
    events(directory)
    assert run.wall_seconds == 0
    assert run.status == "interrupted"
    events(directory, (10, "running"), (12, None), (15, None))
    assert run.wall_seconds == 5  # killed after the last event, or still running
    # killed at 15; resumed at 100; finished at 107; a back-fill a day later is no training
    events(directory, (10, "running"), (15, None), (100, "running"), (107, "finished"), (9999, None))
    assert run.wall_seconds == 12
    assert run.status == "finished"
    events(directory, (10, "running"), (5, "stopped"))  # a clock set back
    assert run.wall_seconds == 0


def test_a_killed_run_reads_interrupted_with_a_reason(directory):
    with create(directory) as writer:
        run = open_run(directory)
        assert (run.status, run.status_reason) == ("running", None)
        del writer
    assert run.status == "interrupted"
    assert "without recording" in run.status_reason


def test_arrays_and_references(directory):
    with create(directory) as writer:
        tensor = np.arange(6, dtype=np.float32).reshape(2, 3)
        for step in (20, 3):
            writer.array("fourier/spectrum", step, save({"power": tensor + step}))
        writer.reference("oracle/svm", save({"w": tensor}))
    run = open_run(directory)
    assert run.arrays() == ["fourier/spectrum"]
    assert run.array_steps("fourier/spectrum") == [3, 20]
    np.testing.assert_array_equal(run.array("fourier/spectrum", 3)["power"], tensor + 3)
    assert run.references() == ["oracle/svm"]
    np.testing.assert_array_equal(run.reference("oracle/svm")["w"], tensor)
    with pytest.raises(UsageError, match="nearest is step 20"):
        run.array("fourier/spectrum", 19)
    with pytest.raises(UsageError, match="did you mean 'fourier/spectrum'"):
        run.array("fourier/spectrom", 3)
    with pytest.raises(UsageError, match="unknown reference"):
        run.reference("oracle/none")
    (directory / "arrays" / "fourier" / "spectrum" / "0000000003.safetensors").write_bytes(b"junk")
    with pytest.raises(StoreError, match="not a readable array file"):
        run.array("fourier/spectrum", 3)


def test_checkpoints_of_a_run(directory):
    create(directory).close()
    run = open_run(directory)
    run.checkpoints.save(5, b"state", {"scalars": 0})
    assert run.checkpoints.steps() == [5]
