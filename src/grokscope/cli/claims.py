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
    from grokscope.store import ENDED, default_root, find_runs, open_run, runs_at

    root = Path(out) if out else default_root()
    if not runs and not find_runs(root):
        raise StoreError(f"{root} holds no run: give a run directory, or run an experiment first.")
    found = [open_run(path) for place in runs or (root,) for path in runs_at(place)]
    finished = [run for run in found if run.status in ENDED]
    verdicts = [verdict.as_dict() for verdict in verdicts_on(finished)]
    if json:
        summary = dict(Counter(verdict["status"] for verdict in verdicts))
        write_json({"schema": 1, "summary": summary, "claims": verdicts})
    else:
        write_verdicts(verdicts)
    return 1 if strict and (unmet(verdicts) or unjudged(verdicts)) else 0
