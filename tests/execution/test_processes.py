"""Programs in processes of their own: their problems in order, and one signal for all of them."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from grokscope.execution.processes import run_processes
from grokscope.execution.signals import Interrupted

TRAINING = """
import pathlib, signal, sys, time
def stop(number, frame):
    pathlib.Path(sys.argv[1]).write_text(signal.Signals(number).name)
    sys.exit(128 + number)
signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)
pathlib.Path(sys.argv[1]).write_text("begun")
time.sleep(600)
"""


def python(code: str, *arguments: object) -> list[str]:
    return [sys.executable, "-S", "-c", code, *map(str, arguments)]


@pytest.mark.parametrize("jobs", [1, 2, 9])
def test_problems_are_in_the_order_of_the_commands(jobs: int) -> None:
    told: dict[int, str | None] = {}
    said = "import sys; sys.stderr.write('first\\ngrokscope: the disk is full.\\n'); sys.exit(1)"
    commands = [python("pass"), python(said), python("raise SystemExit(7)"), python("print('x' * 100000)")]
    problems = run_processes(commands, jobs=jobs, tell=told.__setitem__)
    assert problems == [None, "the disk is full.", "it ended with exit code 7.", None]
    assert told == dict(enumerate(problems))


def test_threads_are_told_to_libraries(tmp_path: Path) -> None:
    code = "import os, sys; open(sys.argv[1], 'w').write(os.environ['OMP_NUM_THREADS'])"
    assert run_processes([python(code, tmp_path / "told")], jobs=1, threads=3) == [None]
    assert (tmp_path / "told").read_text() == "3"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_passed_on_and_nothing_new_begins(
    number: signal.Signals, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / str(index) for index in range(3)]
    sleep = time.sleep

    def signalled(seconds: float) -> None:
        # both that may run have begun: now the signal comes, to this process alone
        if [path.read_text() for path in files if path.exists()] == ["begun", "begun"]:
            os.kill(os.getpid(), number)
        sleep(seconds)

    monkeypatch.setattr("grokscope.execution.processes.time.sleep", signalled)
    with pytest.raises(Interrupted, match=f"stopped by {number.name}; the same command goes on") as caught:
        run_processes([python(TRAINING, path) for path in files], jobs=2)
    assert caught.value.exit_code == code
    assert [path.read_text() for path in files[:2]] == [number.name] * 2
    assert not files[2].exists()


def test_an_error_here_leaves_no_process_behind(tmp_path: Path) -> None:
    def tell(index: int, problem: str | None) -> None:
        while not (tmp_path / "file").exists():
            pass
        raise RuntimeError("the table cannot be written")

    commands = [python("pass"), python(TRAINING, tmp_path / "file")]
    with pytest.raises(RuntimeError, match="the table"):
        run_processes(commands, jobs=2, tell=tell)
    assert (tmp_path / "file").read_text() in ("SIGTERM", "begun")


def test_what_a_process_says_is_passed_on_while_it_runs() -> None:
    code = (
        "import sys, time\n"
        "for i in range(3):\n"
        "    sys.stderr.write(f'line {i}\\n'); sys.stderr.flush(); time.sleep(0.05)"
    )
    said: list[str] = []
    assert run_processes([python(code)], jobs=1, say=said.append) == [None]
    assert said == ["line 0", "line 1", "line 2"]
