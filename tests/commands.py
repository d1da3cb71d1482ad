"""The command line as tests call it: in this process, at the smallest size that trains, with troubles on demand."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grokscope.cli.main import call
from grokscope.measures.base import Key, Measure
from grokscope.registry import MEASURES
from grokscope.snapshot import Snapshot
from grokscope.store import StoredRun, find_runs

NAME = "nanda2023/modular-addition"


def setting(*changes: str) -> list[str]:
    """Return the arguments that make these KEY=VALUE changes."""
    return [word for change in changes for word in ("--set", change)]


SMOKE = ["--scale", "smoke"]
"""The experiment as its paper module has it: its runs speak to the claims."""
TINY = [
    *SMOKE,
    *setting(
        "learner.steps=6",
        "task.modulus=5",
        "model.width=8",
        "model.heads=2",
        "model.hidden_width=8",
    ),
]
LOGGED = setting(
    'record.measures=["performance","weights","fourier","troubled"]',
    "record.observe.every=1",
    "record.checkpoints.every=2",
)
"""Every step is logged, every second one has a checkpoint, and the measure below may make trouble."""
PLAIN = setting(
    'record.measures=["performance","weights"]',
    "record.extra=[]",
    "record.observe.every=1",
    "record.checkpoints.every=2",
)
"""The same with two cheap measures, so that others can be back-filled."""


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout; a bare NaN or anything beside it is an error."""

        def refuse(word: str) -> None:
            raise AssertionError(f"a bare {word} in JSON")

        return json.loads(self.stdout, parse_constant=refuse)

    @property
    def sentence(self) -> str:
        """The one line on stderr that says what went wrong."""
        (line,) = self.stderr.splitlines()
        assert line.startswith("grokscope: ")
        return line.removeprefix("grokscope: ")


def ask(*arguments: object) -> Answer:
    """Return what the program answers to arguments, called in this process."""
    stdout, stderr = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stderr):
        code = call([str(argument) for argument in arguments])
    return Answer(code, stdout.getvalue(), stderr.getvalue())


def refused(code: int, *arguments: object) -> str:
    """Return the sentence in which arguments were refused, nothing being written to stdout."""
    answer = ask(*arguments)
    assert answer.code == code, answer
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr
    assert "defect" not in answer.stderr
    return answer.sentence


def only_run(root: Path) -> StoredRun:
    """Return the one run below a directory."""
    (directory,) = find_runs(root)
    return StoredRun(directory)


def results(run: StoredRun) -> dict[str, bytes]:
    """Return the bytes that two runs of the same training must share."""
    checkpoint = run.checkpoints.load(run.checkpoints.steps()[-1])
    logs = {path.name: path.read_bytes() for path in sorted(run.directory.glob("*.jsonl")) if path.stem != "events"}
    return {**logs, "checkpoint": checkpoint}


# -- a measure that makes trouble when it is told to -----------------------------------------------

Trouble = Callable[[], float | None]
_troubles: dict[int, Trouble] = {}


class Killed(BaseException):
    """The process is gone: nothing after this is written."""


def killed() -> None:
    """Stop a training at once."""
    raise Killed


@contextlib.contextmanager
def trouble(at: dict[int, Trouble]) -> Iterator[None]:
    """Within the context, call these when the measure ``troubled`` looks at these steps."""
    _troubles.update(at)
    try:
        yield
    finally:
        _troubles.clear()


def _measured(snapshot: Snapshot) -> dict[str, float]:
    given = _troubles.get(snapshot.step, lambda: None)()
    return {"step": snapshot.step if given is None else given}


MEASURES.add(
    "troubled",
    Measure(name="troubled", version=1, keys={"step": Key("the step")}, reference="a test", compute=_measured),
)
