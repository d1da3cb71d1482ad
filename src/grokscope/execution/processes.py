"""Several programs at a time, each in a process; stopped together when this one is told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import IO

from grokscope.execution.signals import Interrupted, caught

POLL_SECONDS = 0.05


def processors() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def run_processes(
    commands: Sequence[Sequence[str]],
    *,
    jobs: int,
    threads: int = 1,
    tell: Callable[[int, str | None], None] = lambda index, problem: None,
    say: Callable[[str], None] = lambda line: None,
) -> list[str | None]:
    """Run commands, ``jobs`` at a time; return for each, in order, None or the last line it said as it failed.

    One that fails does not stop the others. SIGINT and SIGTERM are passed on once, so that each process
    leaves a checkpoint; what has not begun is not begun.

    Args:
        commands: programs with their arguments.
        jobs: processes at the same time.
        threads: how many threads libraries may take in each that are told by the environment.
        tell: called with the index and the problem of each that ends.
        say: called with each line that a process writes to stderr while it runs.

    Raises:
        Interrupted: a signal came; all processes have ended.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    problems: list[str | None] = [None] * len(commands)
    waiting = list(range(len(commands)))
    running: dict[int, tuple[subprocess.Popen[bytes], IO[bytes]]] = {}
    heard: dict[int, int] = {}
    with caught() as interrupted:
        try:
            while waiting or running:
                if (name := interrupted()) is not None:
                    _stop(running, signal.Signals[name])
                    raise Interrupted(f"stopped by {name}; the same command goes on where it stopped.", name)
                while waiting and len(running) < max(jobs, 1):
                    index = waiting.pop(0)
                    errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed when its process has ended)
                    # a session of its own: Ctrl-C on the terminal would reach it twice, and twice means at once
                    process = subprocess.Popen(
                        commands[index],
                        stdout=subprocess.DEVNULL,
                        stderr=errors,
                        env=environment,
                        start_new_session=True,
                    )
                    running[index] = (process, errors)
                for index, (process, errors) in list(running.items()):
                    ended = process.poll() is not None  # asked first, so that its last lines are heard
                    heard[index] = _pass_on(errors, heard.get(index, 0), say)
                    if ended:
                        problems[index] = _problem(process.returncode, errors)
                        del running[index]
                        tell(index, problems[index])
                time.sleep(POLL_SECONDS)
        except BaseException:
            _stop(running, signal.SIGTERM)
            raise
    return problems


def _stop(running: dict[int, tuple[subprocess.Popen[bytes], IO[bytes]]], number: signal.Signals) -> None:
    for process, _ in running.values():
        process.send_signal(number)
    for index in list(running):
        process, errors = running[index]
        process.wait()
        errors.close()
        del running[index]


def _pass_on(errors: IO[bytes], begin: int, say: Callable[[str], None]) -> int:
    """Say the whole lines written since byte ``begin``; return where the next one begins."""
    # the process writes at the file's shared offset, which a seek here would move
    fresh = os.pread(errors.fileno(), 1 << 16, begin)
    whole, newline, _ = fresh.rpartition(b"\n")
    for line in whole.decode(errors="replace").splitlines():
        say(line)
    return begin + len(whole) + len(newline)


def _problem(code: int, errors: IO[bytes]) -> str | None:
    with errors:
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
    if code == 0:
        return None
    return lines[-1].removeprefix("grokscope: ") if lines else f"it ended with exit code {code}."
