"""A monitor's numbers in Weights & Biases."""

from __future__ import annotations

import netrc
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from grokscope.sinks.base import library, run_name, told, tracker_key

STEP = "grokscope/step"
"""What curves are drawn over: W&B's own step must increase with every call, and counts those of others too."""


class WandBSink:
    """Writes a run of W&B's, or into one that is given; NaN and Inf as they are, what happened into the summary.

    Without an API key and without WANDB_MODE it is written offline, for ``wandb sync`` later.

    Args:
        project: the project.
        run: a run to write into (``wandb.run``), under keys that begin with ``grokscope/``; it is not ended.
        init: further arguments of ``wandb.init``, such as ``mode="online"`` or ``dir=…``.

    Raises:
        UsageError: wandb is not installed.
    """

    def __init__(self, project: str = "grokscope", *, run: Any = None, **init: Any) -> None:
        self._wandb = library("wandb", "wandb")
        self._init = {"project": project, **init}
        self._own = run is None
        self._run = run
        self._prefix = "" if self._own else "grokscope/"

    def start(self, run: Mapping[str, Any]) -> None:
        """Begin a run beside any other of the process, and say what its curves are drawn over."""
        if self._own:
            own = {"name": run_name(run), "config": dict(run["spec"]), "reinit": "create_new"}
            mode = os.environ.get("WANDB_MODE") or (None if _has_key() else "offline")
            settings = self._wandb.Settings(console="off")  # what the training prints is not ours
            self._run = self._wandb.init(**{**own, "mode": mode, "settings": settings, **self._init})
        self._run.define_metric(STEP, hidden=True)
        self._run.define_metric(f"{self._prefix}*", step_metric=STEP)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log the numbers of a step."""
        self._run.log({f"{self._prefix}{tracker_key(key)}": value for key, value in values.items()} | {STEP: step})

    def event(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Keep the last of each kind in the summary."""
        name, text = told(kind, fields)
        self._run.summary[f"{self._prefix}{name}"] = text

    def close(self) -> None:
        """End the run if it is ours."""
        if self._own:
            self._run.finish()


def _has_key() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    with suppress(OSError, netrc.NetrcParseError):
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    return False
