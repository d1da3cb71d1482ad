"""grokscope: the instrument for delayed generalization.

The public names are loaded on first use, so that importing the package imports neither torch nor
anything else that is slow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grokscope.batch import Batch as Batch
    from grokscope.cadence import Cadence as Cadence
    from grokscope.facts import Facts as Facts
    from grokscope.measures.base import battery as battery
    from grokscope.measures.base import evaluate as evaluate
    from grokscope.monitor.monitor import Monitor as Monitor
    from grokscope.running import Run as Run
    from grokscope.running import fork as fork
    from grokscope.running import measure as measure
    from grokscope.running import run as run
    from grokscope.snapshot import Snapshot as Snapshot
    from grokscope.spec import Spec as Spec
    from grokscope.spec import resolve as resolve

_HOMES = {
    "Batch": "grokscope.batch",
    "Cadence": "grokscope.cadence",
    "Facts": "grokscope.facts",
    "Monitor": "grokscope.monitor.monitor",
    "Run": "grokscope.running",
    "Snapshot": "grokscope.snapshot",
    "Spec": "grokscope.spec",
    "battery": "grokscope.measures.base",
    "evaluate": "grokscope.measures.base",
    "fork": "grokscope.running",
    "measure": "grokscope.running",
    "resolve": "grokscope.spec",
    "run": "grokscope.running",
}

__all__ = [
    "Batch",
    "Cadence",
    "Facts",
    "Monitor",
    "Run",
    "Snapshot",
    "Spec",
    "battery",
    "evaluate",
    "fork",
    "measure",
    "resolve",
    "run",
]


_PACKAGES = ("linalg", "measures", "theory")


def __getattr__(name: str) -> Any:
    if name in _PACKAGES:
        return importlib.import_module(f"grokscope.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'grokscope' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
