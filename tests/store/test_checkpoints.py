from __future__ import annotations

import errno
import os

import pytest

from grokscope.errors import CheckpointError, StoreError
from grokscope.store import CheckpointStore, read_lines
from grokscope.store import files as store_files


@pytest.fixture
def store(tmp_path):
    store = CheckpointStore(tmp_path)
    for step in (0, 10, 100):
        store.save(step, f"state {step}".encode(), {"scalars": step * 7})
    return store


def file_of(store, step):
    return store.directory / "checkpoints" / f"{step:010d}.safetensors"


def test_round_trip(store):
    assert store.steps() == [0, 10, 100]
    assert store.load(10) == b"state 10"
    entry, data, problems = store.latest()
    assert (entry.step, entry.marks, entry.path, data, problems) == (
        100,
        {"scalars": 700},
        file_of(store, 100),
        b"state 100",
        [],
    )
    assert [entry.bytes for entry in store.entries()] == [7, 8, 9]
    assert store.latest(before=99)[0].step == 10
    assert store.latest(before=10)[0].step == 10
    assert store.latest(before=-1) is None


def test_an_empty_store(tmp_path):
    store = CheckpointStore(tmp_path)
    assert (store.steps(), store.entries(), store.latest(), store.problems()) == ([], [], None, [])
    store.remove_after(0)
    with pytest.raises(CheckpointError, match="no checkpoint at step 3: there are none"):
        store.load(3)


def test_a_corrupt_checkpoint_is_skipped_in_favour_of_the_one_before(store):
    path = file_of(store, 100)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match=r"step 100 .* is corrupt"):
        store.load(100)
    entry, data, problems = store.latest()
    assert (entry.step, data) == (10, b"state 10")
    assert len(problems) == 1
    assert "corrupt" in problems[0]
    file_of(store, 10).unlink()
    entry, _, problems = store.latest()
    assert entry.step == 0
    assert ["corrupt" in problems[0], "missing" in problems[1]] == [True, True]
    file_of(store, 0).write_bytes(b"")
    assert store.latest() is None
    assert len(store.problems()) == 3


def test_saving_a_step_again_replaces_it(store):
    store.save(10, b"other", {"scalars": 1})
    assert store.load(10) == b"other"
    assert store.entries()[1].marks == {"scalars": 1}
    assert store.steps() == [0, 10, 100]


def test_a_crash_between_file_and_index_leaves_the_earlier_ones_good(store, monkeypatch):
    def die(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("grokscope.store.checkpoints.append", die)
        with pytest.raises(KeyboardInterrupt):
            store.save(200, b"new", {})
        with pytest.raises(KeyboardInterrupt):
            store.save(10, b"other", {})
    assert store.steps() == [0, 100]
    assert store.latest()[0].step == 100
    assert store.problems() == []
    store.remove_after(100)
    assert not file_of(store, 200).exists()


def test_a_torn_index_line_is_one_checkpoint_less_and_then_written_over(store):
    index = store.directory / "checkpoints" / "index.jsonl"
    index.write_bytes(index.read_bytes()[:-5])
    assert store.steps() == [0, 10]
    store.save(100, b"state 100", {})
    assert store.steps() == [0, 10, 100]
    assert len(read_lines(index)) == 3


def test_remove_after(store):
    store.remove_after(10)
    assert store.steps() == [0, 10]
    assert not file_of(store, 100).exists()
    assert store.load(10) == b"state 10"
    assert [entry.bytes for entry in store.entries()] == [7, 8]


def test_a_full_disk_leaves_the_earlier_ones_good(store, monkeypatch):
    real = os.write

    def write(descriptor, data):
        if len(data) > 3:
            return real(descriptor, data[:3])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store_files.os, "write", write)
        with pytest.raises(StoreError, match=r"disk is full.*checkpoints up to step 100 are kept"):
            store.save(200, b"new state", {})
    assert store.steps() == [0, 10, 100]
    assert not list(store.directory.rglob("*.tmp"))
    assert store.problems() == []


def test_an_index_from_elsewhere_cannot_lead_out_of_the_directory(store, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"state 0")
    index = tmp_path / "checkpoints" / "index.jsonl"
    index.write_text(index.read_text().replace("0000000000.safetensors", "../secret"))
    with pytest.raises(CheckpointError, match="missing"):
        store.load(0)


def test_an_index_line_without_its_fields_is_told(store, tmp_path):
    index = tmp_path / "checkpoints" / "index.jsonl"
    index.write_text('{"step": 1}\n' + index.read_text())
    with pytest.raises(CheckpointError, match="not an entry"):
        store.entries()
