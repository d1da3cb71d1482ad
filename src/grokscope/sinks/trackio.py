"""A monitor's numbers in trackio."""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from typing import Any

from grokscope.sinks.base import library, run_name, told, tracker_key


class TrackioSink:
    """Writes to a project of trackio's on this machine (``trackio show`` shows it), a new run each time.

    A run of the training's own stays the current one. NaN and Inf are kept as they are. Nothing leaves the machine
    unless TRACKIO_SPACE_ID or TRACKIO_SERVER_URL is set.

    Args:
        project: the project.
        init: further arguments of ``trackio.init``.

    Raises:
        UsageError: trackio is not installed.
    """

    def __init__(self, project: str = "grokscope", **init: Any) -> None:
        self._trackio = library("trackio", "trackio")
        self._init = {"project": project, "embed": False, "auto_log_cpu": False, "auto_log_gpu": False, **init}
        self._run: Any = None

    def start(self, run: Mapping[str, Any]) -> None:
        """Begin a run."""
        given = {"name": run_name(run), "config": dict(run["spec"]), **self._init}
        # in a context of its own: trackio.init ends the current run, which may be the training's
        self._run = contextvars.Context().run(lambda: self._trackio.init(**given))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log the numbers of a step."""
        self._run.log({tracker_key(key): value for key, value in values.items()}, step=step)

    def event(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Log a text."""
        name, text = told(kind, fields)
        self._run.log({name: self._trackio.Markdown(text)}, step=fields.get("step", 0))

    def close(self) -> None:
        """Wait until everything is written."""
        self._run.finish()
