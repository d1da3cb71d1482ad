"""``grokscope reproduce``: everything a paper's claims need, then the scoreboard."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from grokscope.cli.output import Json, Out, Strict, unjudged, unmet, write, write_json, write_verdicts
from grokscope.errors import UsageError


def reproduce(
    *papers: str,
    scale: str = "cpu",
    seeds: int = 3,
    seed_list: Annotated[str | None, Parameter(help="these seeds instead, as in 100,101,102")] = None,
    experiment: Annotated[
        list[str] | None, Parameter(negative="", help="only this experiment and the claims on it")
    ] = None,
    jobs: Annotated[
        int | None,
        Parameter(help="experiments trained at the same time (default: the processors; 1 at smoke scale)"),
    ] = None,
    fresh: Annotated[bool, Parameter(negative="", help="do not use stored runs")] = False,
    out: Out = None,
    json: Json = False,
    strict: Strict = False,
) -> int:
    """Train what the claims of papers need and judge them; without a name, every paper.

    Args:
        papers: papers to reproduce.
        scale: smoke, cpu or paper.
        seeds: how many seeds, from 0; a verdict needs 3.
    """
    from grokscope.cli.live import progress
    from grokscope.execution.processes import processors
    from grokscope.execution.reproduce import reproduce as reproduce_papers

    chosen = parse_seeds(seed_list) if seed_list is not None else tuple(range(seeds))
    if len(set(chosen)) < len(chosen):
        raise UsageError(f"{seed_list!r} names a seed twice: each counts once.")
    if not chosen:
        raise UsageError(f"seeds = {seed_list or seeds}: give at least one seed; a verdict needs 3.")
    if jobs is None:
        jobs = 1 if scale == "smoke" else processors()
    if jobs < 1:
        raise UsageError(f"jobs = {jobs}: give at least 1.")
    board = reproduce_papers(
        papers,
        scale=scale,
        seeds=chosen,
        experiments=experiment or (),
        fresh=fresh,
        jobs=jobs,
        root=out,
        progress=progress(),
    )
    document = board.as_dict()
    if json:
        write_json(document)
    else:
        write_verdicts(document["claims"])
        write()
        write(", ".join(f"{count} {status}" for status, count in document["summary"].items()) or "no claims")
        for path in document["reports"]:
            write(f"report: {path}")
    return 1 if strict and (unmet(document["claims"]) or unjudged(document["claims"])) else 0


def parse_seeds(text: str) -> tuple[int, ...]:
    """Return the seeds that ``0,1,5`` or ``0..4`` writes.

    Example:
        >>> parse_seeds("0..2"), parse_seeds("7,9")
        ((0, 1, 2), (7, 9))
    """
    try:
        first, dots, last = text.partition("..")
        if dots:
            return tuple(range(int(first), int(last) + 1))
        return tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise UsageError(f"{text!r} is no list of seeds: write 0,1,2 or 0..2.") from error
