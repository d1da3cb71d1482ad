"""``grokscope claims``: what stored runs say about the claims of their papers."""

from __future__ import annotations

from grokscope.cli.output import Json, Out, Strict, unjudged, unmet, write_json, write_verdicts


def claims(*runs: str, out: Out = None, json: Json = False, strict: Strict = False) -> int:
    """Judge claims from stored runs, without training anything.

    Args:
        runs: run directories, or directories that hold runs; every stored run if none is given.
    """
    from collections import Counter
    from pathlib import Path

    from grokscope.errors import StoreError
    from grokscope.execution.judge import verdicts_on
    from grokscope.store import default_root, find_runs, open_run

    places = [Path(run) for run in runs] or [Path(out) if out else default_root()]
    found = []
    for place in places:
        below = find_runs(place)
        if not below:
            raise StoreError(f"{place} holds no run: give a run directory, or run an experiment first.")
        found += [open_run(path) for path in below]
    finished = [run for run in found if run.status in ("finished", "stopped", "diverged")]
    verdicts = [verdict.as_dict() for verdict in verdicts_on(finished)]
    if json:
        summary = dict(Counter(verdict["status"] for verdict in verdicts))
        write_json({"schema": 1, "summary": summary, "claims": verdicts})
    else:
        write_verdicts(verdicts)
    return 1 if strict and (unmet(verdicts) or unjudged(verdicts)) else 0
