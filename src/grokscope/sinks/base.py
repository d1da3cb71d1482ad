"""What a sink is: something that is shown a monitor's numbers as they are measured."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from grokscope.errors import UsageError


@runtime_checkable
class Sink(Protocol):
    """Receives what a monitor measures; a tracker's adapter has these four methods and nothing else of ours.

    They are called in the training's process, in the order ``start``, then ``log`` and ``event`` as things happen,
    then ``close`` once. What one of them raises becomes the event ``sink_failed`` of the run; neither the training
    nor what is stored is touched by it.
    """

    def start(self, run: Mapping[str, Any]) -> None:
        """Begin: ``name``, ``run_dir`` (a path as text, None if nothing is stored) and ``spec``, plain values."""
        ...

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Take the numbers of one step by flat key (``train/loss``, ``htsr/alpha@fc.weight``); some may be NaN."""
        ...

    def event(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Take something that happened, such as ``measure_failed``; the fields are plain values."""
        ...

    def close(self) -> None:
        """End: nothing is logged after this."""
        ...


def library(name: str, extra: str) -> Any:
    """Return a module of an optional library.

    Raises:
        UsageError: it cannot be imported; the extra of ours that brings it is named.

    Example:
        >>> library("json", "json").dumps(1)
        '1'
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UsageError(
            f"{extra} cannot be imported ({error}): install it with pip install 'grokscope[{extra}]'."
        ) from error


def tracker_key(key: str) -> str:
    """Return a flat key as every tracker takes it: measure/key/module.

    ``@`` becomes ``/``; runs of what is neither a letter, a digit nor one of ``/ . - _`` become ``_``.

    Example:
        >>> tracker_key("htsr/alpha@h.0.c_attn.weight[q]"), tracker_key("sparsity:threshold=0.1/mean")
        ('htsr/alpha/h.0.c_attn.weight_q_', 'sparsity_threshold_0.1/mean')
    """
    return re.sub(r"[^\w/.-]+", "_", key.replace("@", "/"))


def run_name(run: Mapping[str, Any]) -> str:
    """Return what a tracker calls a run: as its directory, else as the run.

    Example:
        >>> run_name({"name": "mine", "run_dir": "runs/mine.2"}), run_name({"name": "mine", "run_dir": None})
        ('mine.2', 'mine')
    """
    return Path(run["run_dir"]).name if run["run_dir"] else str(run["name"])


def told(kind: str, fields: Mapping[str, Any]) -> tuple[str, str]:
    """Return an event as a name and a text, for trackers that keep text.

    Example:
        >>> told("measure_failed", {"measure": "htsr", "step": 3})
        ('events/measure_failed/htsr', 'measure: htsr, step: 3')
    """
    about = f"/{fields['measure']}" if "measure" in fields else ""
    text = ", ".join(f"{name}: {value}" for name, value in fields.items())
    return tracker_key(f"events/{kind}{about}"), text
