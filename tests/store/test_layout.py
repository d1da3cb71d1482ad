from __future__ import annotations

import errno
import tempfile
from pathlib import Path

import pytest

from grokscope.errors import StoreError, UsageError
from grokscope.store.layout import (
    check_writable,
    default_root,
    existing_copies,
    find_runs,
    group_directory,
    resolve_run,
    run_directory,
)

RUN = ("nanda2023", "modular-addition", "cpu", 0, "0123456789abcdef")


def make(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "spec.json").write_text("{}")
    return path


def test_default_root_is_the_environment_variable_or_runs(monkeypatch):
    monkeypatch.setenv("GROKSCOPE_RUNS", "elsewhere")
    assert default_root() == Path("elsewhere")
    monkeypatch.setenv("GROKSCOPE_RUNS", "")
    assert default_root() == Path("runs")
    monkeypatch.delenv("GROKSCOPE_RUNS")
    assert default_root() == Path("runs")


def test_names_of_directories():
    assert run_directory("r", *RUN).as_posix() == "r/nanda2023/modular-addition/cpu-s0-01234567"
    assert run_directory("r", *RUN, copy=3).as_posix() == "r/nanda2023/modular-addition/cpu-s0-01234567.3"
    assert group_directory("r", "ff").as_posix() == "r/groups/ff"


@pytest.mark.parametrize("bad", ["", "..", "a/b", ".hidden", "a\0b"])
def test_a_name_cannot_leave_the_root(bad):
    with pytest.raises(UsageError, match="cannot name"):
        run_directory("r", bad, *RUN[1:])
    with pytest.raises(UsageError, match="cannot name"):
        group_directory("r", bad)


def test_copies_count_from_one():
    with pytest.raises(UsageError, match="copy = 0"):
        run_directory("r", *RUN, copy=0)


def test_existing_copies_come_in_order_and_are_not_confused_with_neighbours(tmp_path):
    assert existing_copies(tmp_path, *RUN) == []
    made = [make(run_directory(tmp_path, *RUN, copy=copy)) for copy in (10, 2, 1)]
    first = made[-1]
    make(first.with_name(first.name + ".old"))
    make(first.with_name("cpu-s0-99999999"))
    run_directory(tmp_path, *RUN, copy=4).mkdir()  # without a spec: no run
    assert existing_copies(tmp_path, *RUN) == made[::-1]


def test_find_runs_skips_groups_and_what_lies_inside_runs(tmp_path):
    a, b = make(tmp_path / "p" / "groups" / "a"), make(tmp_path / "q" / "e" / "b")
    make(b / "inputs" / "nested")
    make(tmp_path / "groups" / "g")
    make(tmp_path / ".hidden" / "x")
    assert find_runs(tmp_path) == [a, b]
    assert find_runs(tmp_path / "nowhere") == []


def test_resolve_run_takes_a_run_or_a_parent_of_one(tmp_path):
    run = make(tmp_path / "p" / "e" / "run0")
    assert resolve_run(run) == resolve_run(tmp_path) == run
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="holds no run"):
        resolve_run(tmp_path / "empty")
    with pytest.raises(UsageError, match=r"there is no .*missing: give the directory of a run"):
        resolve_run(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="not a directory"):
        resolve_run(tmp_path / "file")
    for number in range(1, 5):
        make(tmp_path / "p" / "e" / f"run{number}")
    with pytest.raises(StoreError, match=r"holds 5 runs: give one of them \(.*run0, .*run1, .*run2, …\)"):
        resolve_run(tmp_path)


def test_check_writable_probes_the_nearest_existing_parent_and_leaves_nothing(tmp_path, monkeypatch):
    check_writable(tmp_path / "not" / "yet")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="is a file"):
        check_writable(tmp_path / "file" / "runs")

    def refuse(*, dir):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(StoreError, match="read-only"):
        check_writable(tmp_path / "runs")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc")
def test_check_writable_refuses_a_real_unwritable_place():
    with pytest.raises(StoreError, match="could not write runs in /proc"):
        check_writable("/proc/runs")
