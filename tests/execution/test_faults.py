"""What may befall a run, and that nothing that was written is lost."""

from __future__ import annotations

import errno
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import LOGGED, NAME, TINY, StoredRun, ask, only_run, refused, results, setting, trouble

LOCKING = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(descriptor, fcntl.LOCK_EX)
os.ftruncate(descriptor, 0)
os.pwrite(descriptor, str(os.getpid()).encode(), 0)
print("locked", flush=True)
sys.stdin.read()
"""


def reasons(run: StoredRun, kind: str) -> list[str]:
    return [event["reason"] for event in run.events(kind)]


# -- directories ----------------------------------------------------------------------------------


def test_below_a_file_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    sentence = refused(1, "run", NAME, *TINY, "--out", tmp_path / "file" / "runs")
    assert f"{tmp_path / 'file'} is a file: choose another directory" in sentence


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc here")
@pytest.mark.parametrize("command", ["run", "sweep"])
def test_where_the_system_refuses_a_directory(command: str) -> None:
    more = ["--grid", "task.modulus=5"] if command == "sweep" else []
    assert "could not write" in refused(1, command, NAME, *TINY, *more, "--out", "/proc/nowhere/runs")


@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        sentence = refused(1, "run", NAME, *TINY, "--out", tmp_path)
    finally:
        tmp_path.chmod(0o755)
    assert "no permission" in sentence


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_refused_first_write_is_told_before_training(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: object, **named: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("grokscope.store.layout.tempfile.TemporaryFile", refuse)
    sentence = refused(1, "run", NAME, *TINY, "--out", tmp_path / "runs")
    assert ("no permission" if code == errno.EACCES else "read-only") in sentence
    assert "choose another directory" in sentence
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["run", "resume"])
def test_a_run_that_another_process_writes(command: str, dead: StoredRun) -> None:
    before = (dead.directory / "scalars.jsonl").read_bytes()
    holder = subprocess.Popen(
        [sys.executable, "-c", LOCKING, str(dead.directory / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        more = [NAME, *TINY, *LOGGED, "--out", dead.directory.parents[2]] if command == "run" else [dead.directory]
        sentence = refused(1, command, *more)
        holder.communicate("")
    assert f"is being written by another process (pid {holder.pid}); wait for it or stop it." in sentence
    assert (dead.directory / "scalars.jsonl").read_bytes() == before


# -- a full disk ----------------------------------------------------------------------------------


class Disk:
    """``os.write`` onto a disk with so much room."""

    def __init__(self, room: float) -> None:
        self.room = room
        self.written = 0
        self._write = os.write

    def __call__(self, descriptor: int, data: bytes) -> int:
        if self.written >= self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        count = self._write(descriptor, data[: int(min(self.room - self.written, len(data)))])
        self.written += count
        return count


@pytest.fixture(scope="module")
def needed(tmp_path_factory: pytest.TempPathFactory) -> int:
    """Bytes that the run writes through to its end, without its report."""
    disk = Disk(math.inf)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", disk)
        patch.setattr("grokscope.running.Run.report", lambda run: None)
        assert ask("run", NAME, *TINY, *LOGGED, "--out", tmp_path_factory.mktemp("room")).code == 0
    return disk.written


@pytest.mark.parametrize("share", [0.25, 0.5, 0.8, 0.97])
def test_a_full_disk_loses_nothing(
    share: float, needed: int, straight: StoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", Disk(int(share * needed)))
        answer = ask("run", NAME, *TINY, *LOGGED, "--out", tmp_path)
    assert answer.code == 1
    assert answer.stdout == ""
    sentence = answer.stderr.splitlines()[-1]
    assert sentence.startswith("grokscope: the disk is full: could not write ")
    assert sentence.endswith("free some space and resume.")
    assert "Traceback" not in answer.stderr
    run = only_run(tmp_path)
    logged = (run.directory / "scalars.jsonl").read_bytes()
    assert logged.endswith(b"\n")
    assert (straight.directory / "scalars.jsonl").read_bytes().startswith(logged)
    assert set(run.keys()) <= set(straight.keys())
    assert run.keys()
    assert ask("resume", run.directory).code == 0
    assert results(run) == results(straight)
    assert run.status == "finished"


# -- what is found on disk when a run is resumed ----------------------------------------------------


def cut_log(run: StoredRun) -> None:
    mark = run.checkpoints.entries()[-1].marks["0"]
    os.truncate(run.directory / "scalars.jsonl", mark - 10)


def empty_log(run: StoredRun) -> None:
    os.truncate(run.directory / "scalars.jsonl", 0)


def damage(*steps: int) -> Callable[[StoredRun], None]:
    def act(run: StoredRun) -> None:
        for entry in run.checkpoints.entries():
            if entry.step in steps:
                data = bytearray(entry.path.read_bytes())
                data[-1] ^= 1
                entry.path.write_bytes(data)

    return act


def remove(*steps: int) -> Callable[[StoredRun], None]:
    def act(run: StoredRun) -> None:
        for entry in run.checkpoints.entries():
            if entry.step in steps:
                entry.path.unlink()

    return act


def oldest_corrupt_and_log_empty(run: StoredRun) -> None:
    damage(0)(run)
    empty_log(run)


FOUND: dict[str, tuple[Callable[[StoredRun], None], int | None, list[str]]] = {
    "untouched": (lambda run: None, 4, []),
    "log cut": (cut_log, 2, ["resume from an earlier checkpoint"]),
    "log empty": (empty_log, None, ["resume from an earlier checkpoint"] * 3),
    "newest corrupt": (damage(4), 2, ["is corrupt"]),
    "two corrupt": (damage(2, 4), 0, ["is corrupt"] * 2),
    "all corrupt": (damage(0, 2, 4), None, ["is corrupt"] * 3),
    "newest missing": (remove(4), 2, ["is missing"]),
    "all missing": (remove(0, 2, 4), None, ["is missing"] * 3),
    "oldest corrupt, log empty": (
        oldest_corrupt_and_log_empty,
        None,
        ["is corrupt", "resume from an earlier checkpoint", "resume from an earlier checkpoint"],
    ),
    "no index": (lambda run: (run.directory / "checkpoints" / "index.jsonl").unlink(), None, []),
}


@pytest.mark.parametrize("name", FOUND)
def test_resuming_ends_as_a_straight_run_whatever_is_found(name: str, dead: StoredRun, straight: StoredRun) -> None:
    act, back_to, told = FOUND[name]
    assert dead.checkpoints.steps() == [0, 2, 4]
    assert dead.status == "failed"
    act(dead)
    answer = ask("resume", dead.directory, "--json")
    assert answer.code == 0
    assert answer.document["status"] == "finished"
    assert results(dead) == results(straight)
    assert [event["step"] for event in dead.events("resumed")] == ([] if back_to is None else [back_to])
    skipped = reasons(dead, "checkpoint_skipped")
    assert sorted(words for reason in skipped for words in set(told) if words in reason) == sorted(told)
    assert len(skipped) == len(told)
    assert not dead.checkpoints.problems()


def test_running_an_interrupted_run_again_resumes_it(dead: StoredRun, straight: StoredRun) -> None:
    answer = ask("run", NAME, *TINY, *LOGGED, "--out", dead.directory.parents[2], "--json")
    assert answer.code == 0
    assert answer.document["run_dir"] == str(dead.directory)
    assert [event["step"] for event in dead.events("resumed")] == [4]
    assert results(dead) == results(straight)


def test_an_index_that_is_none_is_told(dead: StoredRun) -> None:
    index = dead.directory / "checkpoints" / "index.jsonl"
    index.write_text('{"step": "x"}\n' + index.read_text())
    before = (dead.directory / "scalars.jsonl").read_bytes()
    assert "has a line that is not an entry" in ask("resume", dead.directory).stderr.splitlines()[-1]
    assert (dead.directory / "scalars.jsonl").read_bytes() == before


# -- measures, losses -----------------------------------------------------------------------------


def fail() -> None:
    raise RuntimeError("no eigenvalue was found")


def test_a_measure_that_raises_is_an_event_and_the_run_goes_on(tmp_path: Path, straight: StoredRun) -> None:
    with trouble({2: fail, 3: fail}):
        assert ask("run", NAME, *TINY, *LOGGED, "--out", tmp_path).code == 0
    run = only_run(tmp_path)
    assert run.status == "finished"
    (event,) = run.events("measure_failed")
    assert (event["measure"], event["version"], event["step"]) == ("troubled", 1, 2)
    assert event["reason"] == "RuntimeError: no eigenvalue was found"
    assert run.series("troubled/step")[0].tolist() == [0, 1, 4, 5, 6]
    assert run.series("train/loss")[1].tolist() == straight.series("train/loss")[1].tolist()
    assert results(run)["checkpoint"] == results(straight)["checkpoint"]


def test_a_measure_that_gives_nan_is_an_event_and_the_run_goes_on(tmp_path: Path, straight: StoredRun) -> None:
    with trouble({3: lambda: math.nan, 6: lambda: math.nan}):
        answer = ask("run", NAME, *TINY, *LOGGED, "--out", tmp_path, "--json")
    assert answer.code == 0
    assert answer.document["final"]["troubled/step"] == "nan"
    run = only_run(tmp_path)
    (event,) = run.events("measure_nan")
    assert (event["measure"], event["step"]) == ("troubled", 3)
    assert event["reason"] == "troubled/step is not a number"
    assert [math.isnan(value) for value in run.series("troubled/step")[1]] == [False] * 3 + [True, False, False, True]
    assert results(run)["checkpoint"] == results(straight)["checkpoint"]


def test_a_loss_that_diverges_is_a_result(tmp_path: Path) -> None:
    explode = setting("optimizer.name=sgd", "optimizer.learning_rate=1e30")
    arguments = ["run", NAME, *TINY, *LOGGED, *explode, "--out", tmp_path, "--json"]
    answer = ask(*arguments)
    assert answer.code == 0
    document = answer.document
    assert document["status"] == "diverged"
    assert document["steps"] < 6
    assert document["final"]["train/loss"] in ("nan", "inf")
    run = only_run(tmp_path)
    assert run.status == "diverged"
    (event,) = run.events("diverged")
    assert event["step"] == run.last_step == run.checkpoints.steps()[-1]
    assert math.isfinite(run.series("train/loss")[1][0])
    again = ask(*arguments, "--strict")
    assert again.code == 1
    assert again.document["status"] == "diverged"
    assert len(run.events("diverged")) == 1  # shown, not trained again
    assert ask("resume", run.directory).code == 0
    assert ask("show", run.directory, "--strict").code == 1


# -- signals --------------------------------------------------------------------------------------

STOPS = {signal.SIGINT: 130, signal.SIGTERM: 143}


@pytest.mark.parametrize("number", STOPS)
def test_a_signal_leaves_a_checkpoint_from_which_the_run_goes_on(
    number: signal.Signals, tmp_path: Path, straight: StoredRun
) -> None:
    before = signal.getsignal(number)
    with trouble({3: lambda: signal.raise_signal(number)}):
        answer = ask("run", NAME, *TINY, *LOGGED, "--out", tmp_path)
    assert answer.code == STOPS[number]
    assert answer.stdout == ""
    run = only_run(tmp_path)
    sentence = answer.stderr.splitlines()[-1]
    assert sentence == f"grokscope: stopped by {number.name} at step 3; go on with: grokscope resume {run.directory}"
    assert signal.getsignal(number) == before
    assert (run.status, run.status_reason) == ("interrupted", number.name)
    assert run.checkpoints.steps() == [0, 2, 3]
    assert ask("resume", tmp_path).code == 0
    assert [event["step"] for event in run.events("resumed")] == [3]
    assert results(run) == results(straight)


def test_a_second_signal_stops_at_once(tmp_path: Path, straight: StoredRun) -> None:
    def insist() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with trouble({3: insist}):
        answer = ask("run", NAME, *TINY, *LOGGED, "--out", tmp_path)
    assert answer.code == 130
    run = only_run(tmp_path)
    assert run.status == "interrupted"
    assert run.checkpoints.steps() == [0, 2]
    assert ask("resume", run.directory).code == 0
    assert results(run) == results(straight)


def test_signals_from_outside_stop_the_program(tmp_path: Path) -> None:
    endless = setting("learner.steps=100000000", "record.observe.every=1000000")
    running = {}
    for number in STOPS:
        out = tmp_path / number.name
        command = [sys.executable, "-m", "grokscope", "run", NAME, *TINY, *endless, "--out", str(out)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        running[number] = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=environment)
    for number, process in running.items():
        with process:
            assert process.stderr is not None
            assert "steps 0 to 100000000" in process.stderr.readline()
            process.send_signal(number)
            stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == STOPS[number]
        assert stdout == ""
        assert f"stopped by {number.name} at step " in stderr.splitlines()[-1]
        assert "Traceback" not in stderr
        run = only_run(tmp_path / number.name)
        assert run.status == "interrupted"
        assert run.checkpoints.steps()[-1] == int(stderr.split(" at step ")[-1].split(";")[0])
