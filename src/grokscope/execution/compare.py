"""Several runs side by side: what differs in their settings, what came out, and whether it is the same to the bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from grokscope.analysis.phases import segment
from grokscope.analysis.transitions import TransitionRule, transition
from grokscope.errors import GrokscopeError, UsageError, unknown
from grokscope.execution.place import place_of
from grokscope.registry import MEASURES
from grokscope.rng import derive
from grokscope.spec import STREAMS
from grokscope.store import CheckpointStore, StoredRun

LABELS = ("training_id", "group")
"""Fields of a stored spec that only say again what the others do."""
OWN = ("step", "clock", "intervention")
"""What the keys begin with that no measure gives."""


def check(runs: Sequence[StoredRun]) -> None:
    """Refuse fewer than two runs, and one run given twice.

    Raises:
        UsageError: one of the two.
    """
    if len(runs) < 2:
        raise UsageError("comparing takes at least two runs: name two run directories; grokscope runs lists them.")
    seen: set[Path] = set()
    for run in runs:
        place = run.directory.resolve()
        if place in seen:
            raise UsageError(f"{run.directory} is given twice: name different runs.")
        seen.add(place)


def compare(runs: Sequence[StoredRun], keys: Sequence[str] = ()) -> dict[str, Any]:
    """Return runs side by side as one JSON-ready document; every list of values is in the order of the runs.

    ``differences``: dotted keys of the specs that are not the same everywhere (null where a spec lacks one).
    ``final``: last values of ``keys``, or of the performance of each run and all other keys that every run
    has, those of single modules left out; null where a run lacks one. ``equal``: of two runs, :func:`equality`.

    Raises:
        UsageError: fewer than two runs, a run twice, or a key that no run has.
    """
    check(runs)
    names = shared_keys(runs, keys)
    return {
        "schema": 1,
        "kind": "compare",
        "runs": [_outcome(run) for run in runs],
        "differences": differences([run.spec for run in runs]),
        "final": [{"key": key, "values": [_last(run, key) for run in runs]} for key in names],
        "equal": equality(runs[0], runs[1]) if len(runs) == 2 else None,
    }


def differences(specs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the dotted keys in which specs differ, with their values.

    Seeds of single streams are left out where all follow from the base seed.

    Example:
        >>> differences([{"task": {"modulus": 5}, "scale": "cpu"}, {"task": {"modulus": 7}, "scale": "cpu"}])
        [{'key': 'task.modulus', 'values': [5, 7]}]
    """
    flat = [_flat({k: v for k, v in spec.items() if k not in LABELS}) for spec in specs]
    derived = all(_derived(spec.get("seed")) for spec in specs)
    told = []
    for key in dict.fromkeys(key for one in flat for key in one):
        values = [one.get(key) for one in flat]
        stream = key.removeprefix("seed.") in STREAMS and key.startswith("seed.")
        if any(value != values[0] for value in values) and not (derived and stream):
            told.append({"key": key, "values": values})
    return told


def _flat(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a tree by dotted key; a list of sections is read as sections 0, 1, 2."""
    if isinstance(tree, list) and any(isinstance(one, dict) for one in tree):
        tree = {str(index): one for index, one in enumerate(tree)}
    if not isinstance(tree, dict):
        return {prefix: tree}
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{prefix}.{name}" if prefix else str(name))
    return found


def _derived(seed: Any) -> bool:
    if not isinstance(seed, Mapping) or not isinstance(seed.get("base"), int):
        return False
    return all(seed.get(stream) == derive(seed["base"], stream) for stream in STREAMS)


def shared_keys(runs: Sequence[StoredRun], keys: Sequence[str] = ()) -> list[str]:
    """Return the keys to compare: those chosen, else the performance of any run and what all have.

    Raises:
        UsageError: a chosen key is in no run; the nearest ones are offered.
    """
    having = [run.keys() for run in runs]
    known = {key for one in having for key in one}
    for key in keys:
        if key not in known:
            raise unknown("key", key, known)
    if keys:
        return list(dict.fromkeys(keys))
    everywhere = {key for key in known if all(key in one for one in having) and "@" not in key}
    measures = {*MEASURES, *OWN}
    performance = {key for key in known if "@" not in key and key.split("/")[0].partition(":")[0] not in measures}
    return [*sorted(performance), *sorted(everywhere - performance)]


def _outcome(run: StoredRun) -> dict[str, Any]:
    spec = run.spec
    rule = TransitionRule.model_validate(spec["transition"]) if spec.get("transition") else None
    whole = run.whole()
    bands = segment(whole.series, rule, run.last_step or 0)
    return {
        "run_dir": str(run.directory),
        "experiment": f"{spec['paper']}/{spec['experiment']}",
        "scale": spec["scale"],
        "seed": spec["seed"]["base"],
        "training_id": spec.get("training_id"),
        "status": run.status,
        "steps": run.last_step or 0,
        "wall_seconds": round(run.wall_seconds, 3),
        "phases": (transition(whole.series, rule).as_dict() if rule else {})
        | {"bands": [{"name": band.name, "start": band.start, "end": band.end} for band in bands]},
    }


def _last(run: StoredRun, key: str) -> float | None:
    return float(run.series(key)[1][-1]) if run.has(key) else None


def equality(one: StoredRun, other: StoredRun) -> dict[str, Any]:
    """Return whether two runs of one training agree to the bit.

    ``same_training``: their training ids are equal; the rest is null if not. ``rows``: how many numbers both
    logs have (of one step, key, module and version), ``different`` how many of those are not the same,
    ``first`` the first such. ``checkpoint``: the last step at which both have one, and whether its digests
    are equal. ``bitwise``: nothing differs, and something could be compared.
    """
    if one.spec.get("training_id") != other.spec.get("training_id"):
        return {"same_training": False, "bitwise": None, "rows": None, "different": None, "first": None,
                "checkpoint": None}  # fmt: skip
    logs = [_numbers(run) for run in (one, other)]
    common = [place for place in logs[0] if place in logs[1]]
    different = [place for place in common if not _same(logs[0][place], logs[1][place])]
    first = None
    if different:
        step, key, module, _ = place = min(different, key=lambda found: found[0])
        first = {"step": step, "key": key, "module": module, "values": [log[place] for log in logs]}
    checkpoint = _checkpoints(one, other)
    same_state = checkpoint is None or checkpoint["equal"]
    compared = bool(common) or checkpoint is not None
    return {
        "same_training": True,
        "bitwise": not different and same_state if compared else None,
        "rows": len(common),
        "different": len(different),
        "first": first,
        "checkpoint": checkpoint,
    }


def _numbers(run: StoredRun) -> dict[tuple[int, str, str | None, int], float]:
    rows = run.rows()
    places = zip(rows["step"].tolist(), rows["key"], rows["module"], rows["version"].tolist(), strict=True)
    return dict(zip(places, rows["value"].tolist(), strict=True))


def _same(one: float, other: float) -> bool:
    return one == other or bool(np.isnan(one) and np.isnan(other))


def _checkpoints(one: StoredRun, other: StoredRun) -> dict[str, Any] | None:
    found = []
    for run in (one, other):
        try:
            place = place_of(run)[1].checkpoints
        except GrokscopeError:
            return None  # its ensemble has gone, or its parts are not known here
        found.append({entry.step: entry.sha256 for entry in CheckpointStore(place).entries()})
    common = sorted(set(found[0]) & set(found[1]))
    if not common:
        return None
    return {"step": common[-1], "equal": found[0][common[-1]] == found[1][common[-1]]}


def names_of(runs: Sequence[StoredRun], *, most: int = 3) -> list[str]:
    """Return a short name for each run: the settings in which it differs, else where it lies.

    Example: ``weight_decay 1, seed 0``.
    """
    apart = ("record.", "parent.")
    told = [one for one in differences([run.spec for run in runs]) if not one["key"].startswith(apart)]
    names = []
    for index, run in enumerate(runs):
        parts = []
        for one in told[:most]:
            value, key = one["values"][index], one["key"]
            word = "seed" if key == "seed.base" else key.rsplit(".", 1)[-1].replace("_", " ")
            parts.append(f"{word} {'–' if value is None else value}")
        names.append(", ".join(parts) or run.directory.name)
    if len(set(names)) < len(names):
        names = [f"{name} ({run.directory.name})" for name, run in zip(names, runs, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{number}: {name}" for number, name in enumerate(names, start=1)]
    return names
