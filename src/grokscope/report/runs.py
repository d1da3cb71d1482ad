"""What a page says about a run, from anything that reads one."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from grokscope.report.figures import Curve
from grokscope.report.slider import chosen_moments
from grokscope.report.text import number

UNREMARKABLE = ("observe_share", "input", "measure_does_not_apply")
"""Kinds of events a reader need not know of; a status is one only where something went wrong."""


class Run(Protocol):
    """What is read of a run."""

    @property
    def directory(self) -> Any: ...  # noqa: D102
    @property
    def spec(self) -> dict[str, Any]: ...  # noqa: D102
    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def last_step(self) -> int | None: ...  # noqa: D102
    @property
    def wall_seconds(self) -> float: ...  # noqa: D102
    def series(self, key: str, module: str | None = None) -> tuple[np.ndarray, np.ndarray]: ...  # noqa: D102
    def modules(self, key: str) -> list[str | None]: ...  # noqa: D102
    def has(self, key: str, module: str | None = None) -> bool: ...  # noqa: D102
    def arrays(self) -> list[str]: ...  # noqa: D102
    def array_steps(self, name: str) -> list[int]: ...  # noqa: D102
    def array(self, name: str, step: int) -> dict[str, np.ndarray]: ...  # noqa: D102
    def references(self) -> list[str]: ...  # noqa: D102
    def reference(self, name: str) -> dict[str, np.ndarray]: ...  # noqa: D102
    def events(self, kind: str | None = None) -> list[dict[str, Any]]: ...  # noqa: D102


def curve(run: Run, key: str, module: str | None = None, *, name: str | None = None, **style: Any) -> Curve:
    """Return a stored series as a curve, named by its key unless ``name`` is given.

    Args:
        run: the run.
        key: ``measure/key``.
        module: the module path, where the key has one.
        name: what the legend says.
        style: ``colour``, ``dash``, ``axis`` of the curve.

    Raises:
        UsageError: the run has no such key.
    """
    steps, values = run.series(key, module)
    return Curve(name or (key if module is None else f"{key}@{module}"), steps, values, **style)


def array_over_steps(run: Run, name: str, tensor: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (steps, values) of a stored vector: (steps,) and (entries, steps), as a spectrum is drawn.

    Moments without this tensor are left out.

    Raises:
        UsageError: the run has no such array.
    """
    found = [(step, run.array(name, step)) for step in run.array_steps(name)]
    kept = [(step, tensors[tensor]) for step, tensors in found if tensor in tensors]
    if not kept:
        return np.zeros(0, np.int64), np.zeros((0, 0))
    return np.array([step for step, _ in kept]), np.stack([vector for _, vector in kept], axis=1)


def arrays_at(run: Run, name: str, tensor: str, limit: int, *, trained: bool = False) -> dict[int, np.ndarray]:
    """Return a stored tensor at up to ``limit`` moments that stand for all, by step; empty where it is not stored.

    ``trained`` leaves out step 0 where there are more moments than ``limit``.
    """
    if name not in run.arrays():
        return {}
    steps = run.array_steps(name)
    if trained and len(steps) > limit:
        steps = [step for step in steps if step > 0]
    chosen = (steps[place] for place in chosen_moments(steps, limit))
    found = {step: run.array(name, step) for step in chosen}
    return {step: tensors[tensor] for step, tensors in found.items() if tensor in tensors}


def describe(run: Run, transition: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what :func:`grokscope.report.page.page` shows of a run.

    The keys are those of ``grokscope run --json`` with ``spec``, ``events`` and ``command``; ``phases`` is
    the ``transition`` given.
    """
    spec = run.spec
    return {
        "paper": spec.get("paper"),
        "experiment": spec.get("experiment"),
        "scale": spec.get("scale"),
        "seed": (spec.get("seed") or {}).get("base"),
        "run_dir": str(run.directory),
        "status": run.status,
        "steps": run.last_step,
        "wall_seconds": run.wall_seconds,
        "phases": dict(transition or {}),
        "spec": spec,
        "events": run.events(),
        # a training that was monitored is somebody else's: no command of ours makes it again
        "command": None if (spec.get("learner") or {}).get("name") == "monitored" else command(str(run.directory)),
    }


def command(directory: str) -> str:
    """Return the command that repeats a run exactly: its resolved spec, with nothing left to defaults.

    Example:
        >>> command("runs/user/run/custom-s0-1a2b3c4d")
        'grokscope run runs/user/run/custom-s0-1a2b3c4d/spec.json'
    """
    return f"grokscope run {shlex.quote(directory.rstrip('/') + '/spec.json')}"


def remarkable(events: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Return (kind, step, sentence) of the events worth knowing, not yet escaped.

    Failed measures, values that are not numbers, divergence, interruptions, resumes, skipped
    checkpoints, interventions, and whatever kind is not known here.
    """
    told = []
    for event in events:
        kind = str(event.get("kind"))
        if kind in UNREMARKABLE or (kind == "status" and event.get("status") in ("running", "finished")):
            continue
        step = event.get("step")
        told.append((_title(event), "" if step is None else number(step), _sentence(event)))
    return told


def _title(event: Mapping[str, Any]) -> str:
    kind = str(event.get("kind"))
    return str(event.get("status")) if kind == "status" else kind.replace("_", " ")


def _sentence(event: Mapping[str, Any]) -> str:
    reason, kind = event.get("reason"), event.get("kind")
    if kind == "resumed":
        return "Training went on from the checkpoint at this step."
    if kind == "diverged":
        return f"The training loss was {number(event.get('loss'))}; nothing was trained after this step."
    if kind == "intervention":
        return f"{event.get('name')}: {event.get('action')}."
    if kind == "status":
        return str(reason or "")
    known = ("kind", "time", "step", "reason", "version", "measure")
    rest = ", ".join(f"{name} = {number(value)}" for name, value in event.items() if name not in known)
    parts = [str(event["measure"])] if event.get("measure") else []
    parts += [str(reason)] if reason else []
    return ": ".join(parts + ([rest] if rest else []))
