from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grokscope.errors import StoreError, UsageError
from grokscope.store import RunWriter, dumps, encode_value, open_run, read_lines
from grokscope.store import files as store_files
from grokscope.store.writer import _scalar_line

SPEC = {"paper": "p", "experiment": "e", "scale": "smoke", "seed": {"base": 0}}


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "run"


def create(directory):
    return RunWriter.create(directory, spec=SPEC, environment={"python": "3"})


def log(writer, steps):
    for step in steps:
        writer.scalars(step, [("train/loss", None, 1 / (step + 1), 1), ("norms/l2", "embed", step, 2)])


def fail_write(monkeypatch, code, after=0):
    """Let os.write of the store take ``after`` bytes in all and then fail with ``code``."""
    real, left = os.write, [after]

    def write(descriptor, data):
        if left[0] <= 0:
            raise OSError(code, os.strerror(code))
        written = real(descriptor, data[: left[0]])
        left[0] -= written
        return written

    monkeypatch.setattr(store_files.os, "write", write)


def test_create_writes_spec_environment_and_status(directory):
    with create(directory):
        assert open_run(directory).status == "running"
    assert json.loads((directory / "spec.json").read_text()) == {"schema": 1, **SPEC}
    run = open_run(directory)
    assert run.spec == SPEC
    assert run.environment == {"python": "3"}
    assert run.status == "interrupted"


def test_create_refuses_an_existing_run_and_frees_the_lock(directory):
    create(directory).close()
    before = (directory / "spec.json").read_bytes()
    with pytest.raises(StoreError, match="holds a run already"):
        RunWriter.create(directory, spec={}, environment={})
    assert (directory / "spec.json").read_bytes() == before
    RunWriter.reopen(directory).close()


def test_a_second_writer_is_refused(directory):
    with create(directory), pytest.raises(StoreError, match="is being written by"):
        RunWriter.reopen(directory)


def test_reopen_needs_a_run(tmp_path):
    with pytest.raises(StoreError, match="is not a run"):
        RunWriter.reopen(tmp_path)


def test_reopen_repairs_torn_tails_and_removes_unfinished_files(directory):
    with create(directory) as writer:
        log(writer, [0])
    whole = {name: (directory / name).read_bytes() for name in ("scalars.jsonl", "events.jsonl")}
    for name, data in whole.items():
        (directory / name).write_bytes(data + b'{"key":"tr')
    (directory / "checkpoints").mkdir()
    (directory / "checkpoints" / ".0000000001.safetensors.tmp").write_bytes(b"half")
    RunWriter.reopen(directory).close()
    for name, data in whole.items():
        assert (directory / name).read_bytes() == data
    assert list((directory / "checkpoints").iterdir()) == []


def test_scalars_are_deterministic_bytes_and_visible_at_once(directory):
    with create(directory) as writer:
        writer.scalars(3, [("a/b", None, float("nan"), 1), ("a/b", "m.0", -0.0, 2)])
        assert (directory / "scalars.jsonl").read_bytes() == (
            b'{"key":"a/b","module":null,"step":3,"value":"nan","version":1}\n'
            b'{"key":"a/b","module":"m.0","step":3,"value":-0.0,"version":2}\n'
        )
        assert writer.position() == (directory / "scalars.jsonl").stat().st_size


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(0),
    st.text(min_size=1),
    st.none() | st.text(),
    st.floats() | st.integers(-9, 9),
    st.integers(0),
)
def test_a_row_is_spelled_canonically(step, key, module, value, version):
    key = key.replace("@", "a")
    row = {"step": step, "key": key, "module": module, "value": encode_value(value), "version": version}
    assert _scalar_line(step, key, module, value, version) == dumps(row) + "\n"


@pytest.mark.parametrize(("step", "key"), [(0, "a@b"), (0, ""), (-1, "a")])
def test_bad_rows_are_refused_and_nothing_is_written(directory, step, key):
    with create(directory) as writer:
        with pytest.raises(UsageError):
            writer.scalars(step, [("good", None, 1.0, 1), (key, None, 1.0, 1)])
        assert (directory / "scalars.jsonl").read_bytes() == b""


def test_truncating_and_appending_again_gives_identical_bytes(tmp_path):
    with create(tmp_path / "straight") as writer:
        log(writer, range(10))
    with create(tmp_path / "resumed") as writer:
        log(writer, range(6))
        position = writer.position()
        log(writer, range(6, 9))
        for step in (2, 5, 7):
            writer.array("fourier/key", step, b"x")
        writer.reference("oracle", b"r")
        writer.backfill("late", [(8, "late/x", None, 1.0, 1)])
    with RunWriter.reopen(tmp_path / "resumed") as writer:
        writer.truncate(position, 5)
        log(writer, range(6, 10))
        writer.position()
    straight, resumed = (tmp_path / name / "scalars.jsonl" for name in ("straight", "resumed"))
    assert straight.read_bytes() == resumed.read_bytes()
    run = open_run(tmp_path / "resumed")
    assert run.array_steps("fourier/key") == [2, 5]
    assert run.references() == ["oracle"]
    assert run.has("late/x")


def test_truncate_to_the_start(directory):
    with create(directory) as writer:
        writer.truncate(0, 0)
        log(writer, [0, 1])
        writer.truncate(0, 0)
    assert (directory / "scalars.jsonl").read_bytes() == b""


def test_a_truncated_log_is_told_with_both_numbers(directory):
    with create(directory) as writer:
        log(writer, range(4))
        position = writer.position()
        os.truncate(directory / "scalars.jsonl", 100)
        with pytest.raises(StoreError, match=rf"byte 100, but step 3 ends at byte {position}: .*earlier checkpoint"):
            writer.truncate(position, 3)
        with pytest.raises(StoreError, match="not the end of a line"):
            writer.truncate(50, 3)
    assert (directory / "scalars.jsonl").stat().st_size == 100


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("after", [0, 1, 70, 130])
def test_a_full_disk_keeps_whole_lines_and_says_up_to_where(directory, monkeypatch, code, after):
    with create(directory) as writer:
        log(writer, range(3))
        before = (directory / "scalars.jsonl").read_bytes()
        with monkeypatch.context() as patch:
            fail_write(patch, code, after)
            with pytest.raises(StoreError, match=r"disk is full.*everything up to step 2 is kept.*resume"):
                log(writer, [3])
            with pytest.raises(StoreError, match="disk is full"):
                writer.event("anything")
            with pytest.raises(StoreError, match="disk is full"):
                writer.array("a", 3, bytes(200))
            with pytest.raises(StoreError, match="disk is full"):
                writer.text("report.html", "x" * 200)
        assert (directory / "scalars.jsonl").read_bytes() == before
        assert not list(directory.rglob("*.tmp"))
        log(writer, [3])
    assert len(read_lines(directory / "scalars.jsonl")) == 8


def test_what_could_not_be_cut_back_is_cut_by_the_next_append(directory, monkeypatch):
    with create(directory) as writer:
        log(writer, [0])

        def refuse(descriptor, length):
            raise OSError(errno.EIO, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(store_files.os, "ftruncate", refuse)
            fail_write(patch, errno.ENOSPC, 20)
            with pytest.raises(StoreError, match="disk is full"):
                log(writer, [1])
        assert not (directory / "scalars.jsonl").read_bytes().endswith(b"\n")
        assert open_run(directory).last_step == 0
        log(writer, [1])
    assert [row["step"] for row in read_lines(directory / "scalars.jsonl")] == [0, 0, 1, 1]


def test_a_real_limit_in_the_middle_of_a_line(directory):
    script = """
import resource, signal, sys
from grokscope.errors import StoreError
from grokscope.store import RunWriter
with RunWriter.create(sys.argv[1], spec={}, environment={}) as writer:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        for step in range(100):
            writer.scalars(step, [("train/loss", None, 0.5, 1)])
    except StoreError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", script, str(directory)], capture_output=True, text=True, check=True)
    log_bytes = (directory / "scalars.jsonl").read_bytes()
    steps = [row["step"] for row in read_lines(directory / "scalars.jsonl")]
    assert steps == list(range(len(steps)))
    assert log_bytes.endswith(b"\n")
    assert f"everything up to step {steps[-1]} is kept" in done.stdout


@pytest.mark.parametrize(("code", "words"), [(errno.EROFS, "read-only"), (errno.EACCES, "no permission")])
def test_a_read_only_place_is_told(directory, monkeypatch, code, words):
    real = os.open

    def refuse(path, flags, *rest, **named):
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(code, os.strerror(code))
        return real(path, flags, *rest, **named)

    with create(directory) as writer:
        log(writer, [0])
        with monkeypatch.context() as patch:
            patch.setattr(store_files.os, "open", refuse)
            with pytest.raises(StoreError, match=words):
                log(writer, [1])
            with pytest.raises(StoreError, match=words):
                writer.backfill("m", [(0, "m/x", None, 1.0, 1)])
    with monkeypatch.context() as patch:
        patch.setattr(store_files.os, "open", refuse)
        with pytest.raises(StoreError, match=words):
            RunWriter.reopen(directory)
        assert open_run(directory).last_step == 0  # reading needs no permission to write


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="no permission"):
            create(tmp_path / "run")
    finally:
        tmp_path.chmod(0o700)


def test_status_names_are_checked(directory):
    with create(directory) as writer:
        with pytest.raises(UsageError, match="did you mean 'finished'"):
            writer.status("finishd")
        writer.status("diverged", "the loss is nan at step 7")
    run = open_run(directory)
    assert (run.status, run.status_reason) == ("diverged", "the loss is nan at step 7")


def test_events_keep_their_own_time(directory):
    with create(directory) as writer:
        writer.event("resume", step=3, value=float("inf"))
        with pytest.raises(UsageError, match="time"):
            writer.event("resume", time=0)
    (event,) = open_run(directory).events("resume")
    assert (event["step"], event["value"]) == (3, "inf")


def test_inputs_are_copied_with_their_digest(directory):
    with create(directory) as writer:
        digest = writer.input("parent.safetensors", b"bytes")
    assert digest == hashlib.sha256(b"bytes").hexdigest()
    assert (directory / "inputs" / "parent.safetensors").read_bytes() == b"bytes"
    (event,) = open_run(directory).events("input")
    assert (event["name"], event["sha256"], event["bytes"]) == ("parent.safetensors", digest, 5)


def test_backfill_replaces_at_once(directory):
    with create(directory) as writer:
        writer.backfill("m", [(0, "m/x", None, 1.0, 1), (1, "m/x", None, 2.0, 1)])
        writer.backfill("m", [(1, "m/x", None, 3.0, 2)])
    assert read_lines(directory / "backfill-m.jsonl") == [
        {"key": "m/x", "module": None, "step": 1, "value": 3.0, "version": 2}
    ]


def test_arrays_have_safe_names_and_can_be_dropped(directory):
    with create(directory) as writer:
        writer.array("a", 1, b"1")
        writer.array("a/b", 1, b"2")
        for bad in ("references", "references/x", "../x", "/x", "a//b", ""):
            with pytest.raises(UsageError):
                writer.array(bad, 1, b"")
        writer.drop_arrays("a")
        writer.drop_arrays("never")
        assert open_run(directory).arrays() == ["a/b"]
        writer.drop_arrays("a/b")
        assert open_run(directory).arrays() == []
        writer.position()


def test_a_closed_writer_writes_nothing(directory):
    writer = create(directory)
    writer.close()
    writer.close()
    before = sorted((path, path.stat().st_size) for path in directory.rglob("*"))
    calls = [
        lambda: writer.scalars(0, [("a", None, 1.0, 1)]),
        lambda: writer.status("finished"),
        lambda: writer.array("a", 0, b""),
        lambda: writer.reference("a", b""),
        lambda: writer.input("a", b""),
        lambda: writer.backfill("a", []),
        lambda: writer.drop_arrays("a"),
        lambda: writer.text("a", ""),
        lambda: writer.truncate(0, 0),
        writer.position,
    ]
    for call in calls:
        with pytest.raises(StoreError, match="is closed"):
            call()
    assert sorted((path, path.stat().st_size) for path in directory.rglob("*")) == before


def test_importing_the_store_loads_neither_torch_nor_duckdb():
    script = "import sys, grokscope.store; print({'torch', 'duckdb', 'pandas', 'safetensors'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
