"""Integrity of a run: its files, its settings, its ensemble; and its checkpoints against its log."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from grokscope.errors import GrokscopeError, StoreError, UsageError
from grokscope.execution.place import GROUP_FILE, place_of
from grokscope.execution.plan import stored_spec
from grokscope.store import StoredRun, resolve_run
from grokscope.store.verify import Finding, verify_checkpoints, verify_files

TRACES = ("spec.json", "scalars.jsonl", "scalars.parquet", "events.jsonl", "environment.json", "checkpoints")
RTOL = 1e-6
"""How far apart numbers of unequal machines may be (docs/contracts.md, 5)."""


def find(path: Path | str) -> Path:
    """Return the run directory that a path means, also where what makes it one has been lost.

    Raises:
        UsageError: there is nothing at the path.
        StoreError: nothing there looks like a run.
    """
    path = Path(path)
    if path.is_dir() and any((path / name).exists() for name in TRACES):
        return path
    return resolve_run(path)


def verify(directory: Path, *, replay: bool = False) -> list[Finding]:
    """Return the findings on a run directory, one for each thing looked at; nothing is changed.

    Args:
        directory: the run's.
        replay: measure its last checkpoint again and compare with the log; needs the run's own machinery.
    """
    run = StoredRun(directory)
    found = verify_files(directory)
    if found[0].status != "ok":
        return found  # without its settings nothing more can be said
    found.insert(1, _settings(run))
    if run.spec.get("group"):
        found += _group(run)
    if replay:
        found.append(_guarded("replay", lambda: _replay(run)))
    return found


def _guarded(what: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except GrokscopeError as error:
        return Finding("damaged", what, str(error))


def _settings(run: StoredRun) -> Finding:
    recorded = run.spec.get("training_id")
    what = "spec.json training_id"
    if not isinstance(recorded, str):
        return Finding("missing", what, "spec.json says nothing of the identity of its training.")
    try:
        spec = stored_spec(run)
    except UsageError as error:
        # a part that is not installed here, or a key of another version: nothing is known against the run
        return Finding("ok", what, f"not checked, the settings are not known here: {error}")
    if recorded == spec.training_id:
        return Finding("ok", what, f"{recorded[:8]}…, the hash of its settings")
    for versions in _earlier(spec.versions):
        if recorded == spec.training_id_of(run.spec, versions):
            older = [f"{name} {version}" for name, version in versions.items() if version != spec.versions[name]]
            also = f", in version {', '.join(older)} (now trained otherwise)" if older else ""
            return Finding("ok", what, f"{recorded[:8]}…, the hash of its settings{also}")
    detail = f"is {recorded[:8]}…, but its settings hash to {spec.training_id[:8]}…: spec.json was changed."
    return Finding("damaged", what, detail)


def _earlier(versions: dict[str, int]) -> Iterator[dict[str, int]]:
    """Yield the versions that the parts may have had, the newest first."""
    for chosen in itertools.product(*(range(version, 0, -1) for version in versions.values())):
        yield dict(zip(versions, chosen, strict=True))


def _group(run: StoredRun) -> list[Finding]:
    """Return the findings on the ensemble: its file, its members, its stacked checkpoints."""
    try:
        _, place, _ = place_of(run)
    except (StoreError, UsageError) as error:
        return [Finding("missing", "ensemble", f"{error}")]
    names = json.loads((place.checkpoints / GROUP_FILE).read_text())["members"]
    mine = run.directory.resolve() in [member.resolve() for member in place.members]
    first = (
        Finding("ok", "ensemble", f"{len(names)} members are there")
        if mine
        else Finding("damaged", "ensemble", f"{place.checkpoints / GROUP_FILE} does not name this run.")
    )
    logs = {str(index): member / "scalars.jsonl" for index, member in enumerate(place.members)}
    found = verify_checkpoints(place.checkpoints, logs)
    return [first, *(Finding(one.status, f"ensemble {one.what}", one.detail) for one in found)]


def _replay(run: StoredRun) -> Finding:
    """Compare what the point measures give at the last checkpoint with what the log has there."""
    import math

    from grokscope.execution.measure import read_checkpoints
    from grokscope.execution.posthoc import usable_steps
    from grokscope.measures.base import named
    from grokscope.registry import MEASURES

    measures = [named(name) for name in run.spec["record"]["measures"] if name.partition(":")[0] in MEASURES]
    names = [measure.name for measure in measures if measure.kind == "point"]
    steps = usable_steps(run)
    if not steps or not names:
        return Finding("ok", "replay", "there is no checkpoint, or no point measure, to compare")
    rows = run.rows()
    live = {
        (key, module, int(version)): float(value)
        for step, key, module, value, version in zip(*rows.values(), strict=True)
        if step == steps[-1]
    }
    compared = 0
    for filled in read_checkpoints(run, names, steps=[steps[-1]]):
        if filled.problems:
            return Finding("damaged", "replay", filled.problems[0])
        for reading in filled.readings:
            for key, module, value, version in reading.rows:
                logged = live.get((key, module, version))
                if logged is None:
                    continue
                compared += 1
                same = math.isclose(logged, value, rel_tol=RTOL) or (math.isnan(logged) and math.isnan(value))
                if not same:
                    detail = f"{key} at step {steps[-1]} is {value}, and {logged} in the log."
                    return Finding("damaged", "replay", detail)
    return Finding("ok", "replay", f"{compared} values at step {steps[-1]} come out as logged")
