"""What the runs say about a claim: by count over seeds, or by a bootstrap interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from grokscope.analysis.seeds import bootstrap_each, interval, median, present
from grokscope.analysis.series import RunLike
from grokscope.claims.claim import Claim, Criterion, Values

Status = Literal["reproduced", "not reproduced", "inconclusive", "not testable here"]
STATUSES: tuple[Status, ...] = get_args(Status)
LEAST_SEEDS = 3
"""Fewer seeds judge nothing."""
UNFINISHED = ("running", "interrupted", "failed")
"""In such a run "never" may only mean "not yet": it has no value. A diverged or stopped run is at its end."""

Runs = Mapping[int, Mapping[str, RunLike]]


@dataclass(frozen=True)
class Verdict:
    """A verdict with its evidence.

    ``value`` is the median over seeds of the primary statistic (pooled: its value over all seeds),
    ``interval`` its min–max or 95 % bootstrap; ``values`` has one entry a seed in the order of ``seeds``
    (pooled: one in all); ``missing`` are the seeds without a value; ``met`` tells whether the criterion
    is met as far as these runs go, also where they are too few to judge; ``runs`` are directories.
    """

    id: str
    paper: str
    statement: str
    figure: str
    scale: str
    status: Status
    value: float | None = None
    values: Mapping[str, list[float | None]] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    criterion: str = ""
    criterion_source: str | None = None
    met: bool | None = None
    seeds: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    reason: str = ""
    runs: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for JSON: numbers that are not finite are "nan", "inf" or "-inf"."""
        return {name: _plain(value) for name, value in vars(self).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def judge(claim: Claim, paper_id: str, scale: str, runs: Runs) -> Verdict:
    """Return the verdict on ``claim`` at ``scale`` by ``runs[seed][experiment]``.

    per_seed: reproduced if at least ⌈2n/3⌉ of the n seeds meet the criterion, not reproduced if at least
    ⌈2n/3⌉ fail it, else inconclusive; a seed without a value counts as neither. pooled: reproduced if the
    95 % bootstrap interval over seeds of every bounded statistic lies inside its bounds, not reproduced
    if one lies wholly outside, else inconclusive. Fewer than 3 seeds: inconclusive, with ``met``. No
    criterion for the scale, or an experiment without any run: not testable here.

    A statistic that raises, and a run that has not ended, leave their seed without a value. Seeds that the
    criterion was fixed on are left out; if there are no others, they are shown and nothing is judged.

    Raises:
        GrokscopeError: the claim's statistic cannot be loaded.
    """
    claim = claim.at(scale)
    criterion = claim.criterion.get(scale)
    calibrated = [seed for seed in sorted(runs) if criterion is not None and seed in criterion.calibration]
    if calibrated and len(calibrated) < len(runs):
        verdict = judge(claim, paper_id, scale, {seed: runs[seed] for seed in runs if seed not in calibrated})
        left = ", ".join(map(str, calibrated))
        return replace(verdict, reason=f"{verdict.reason} Left out, as the criterion was fixed on them: seeds {left}.")
    seeds = sorted(runs)
    given = [(seed, name) for seed in seeds for name in claim.experiments if name in runs[seed]]
    blank = Verdict(
        id=f"{paper_id}/{claim.id}",
        paper=paper_id,
        statement=claim.statement,
        figure=claim.figure,
        scale=scale,
        status="not testable here",
        seeds=seeds,
        missing=seeds,
        runs=list(dict.fromkeys(str(runs[seed][name].directory) for seed, name in given)),
    )
    if criterion is None:
        reason = claim.untestable.get(scale, f"The claim has no criterion for the scale {scale}.")
        return replace(blank, reason=reason)
    blank = replace(blank, criterion=criterion.text(), criterion_source=criterion.source)
    absent = [name for name in claim.experiments if all(name not in runs[seed] for seed in seeds)]
    if absent:
        listed = ", ".join(f"{paper_id}/{name}" for name in absent)
        return replace(blank, reason=f"There are no runs of {listed} at scale {scale}.")
    usable, notes = _usable(claim, runs)
    kind = _judge_pooled if claim.kind == "pooled" else _judge_seeds
    verdict = kind(blank, claim, criterion, usable, notes)
    if calibrated:
        return replace(
            verdict, status="inconclusive", reason=f"The criterion was fixed on these seeds. {verdict.reason}"
        )
    return verdict


def _usable(claim: Claim, runs: Runs) -> tuple[dict[int, dict[str, RunLike]], list[str]]:
    """Return the runs of the seeds that have all of them, ended, and a sentence on each other seed."""
    usable: dict[int, dict[str, RunLike]] = {}
    notes: list[str] = []
    for seed in sorted(runs):
        absent = [name for name in claim.experiments if name not in runs[seed]]
        if absent:
            notes.append(f"Seed {seed} has no run of {', '.join(absent)}.")
            continue
        chosen = {name: runs[seed][name] for name in claim.experiments}
        unfinished = [f"{name} is {run.status}" for name, run in chosen.items() if run.status in UNFINISHED]
        if unfinished:
            notes.append(f"Seed {seed}: {', '.join(unfinished)}; resume it.")
            continue
        usable[seed] = chosen
    return usable, notes


def _evaluate(function: Callable[[Any], Values], argument: Any) -> tuple[dict[str, float | None], str]:
    """Return the values of a statistic, and what it raised, if it did."""
    try:
        found = function(argument)
        return {name: None if value is None else float(value) for name, value in found.items()}, ""
    except Exception as error:  # a claim that cannot be computed must not hide the others
        text = f"{type(error).__name__}: {error}"
        return {}, text if text.endswith((".", "?", "!")) else f"{text}."


def _lacking(criterion: Criterion, values: Values) -> str:
    names = [name for name in criterion.bounds if not present([values.get(name)])]
    return f"no value of {', '.join(names)}."


def _judge_seeds(
    blank: Verdict,
    claim: Claim,
    criterion: Criterion,
    usable: Mapping[int, Mapping[str, RunLike]],
    notes: list[str],
) -> Verdict:
    function = claim.function()
    found: dict[int, dict[str, float | None]] = {}
    for seed, chosen in usable.items():
        found[seed], error = _evaluate(function, chosen)
        if criterion.met(found[seed]) is None:
            notes = [*notes, f"Seed {seed}: {error or _lacking(criterion, found[seed])}"]
    met = {seed: criterion.met(found.get(seed, {})) for seed in blank.seeds}
    count, hits, misses = len(met), _count(met.values(), True), _count(met.values(), False)
    needed = math.ceil(2 * count / 3)
    outcome = True if hits >= needed else False if misses >= needed else None
    if count < LEAST_SEEDS:
        outcome = True if hits == count else False if misses == count else None
    names = dict.fromkeys(name for seed in blank.seeds for name in (*criterion.bounds, *found.get(seed, {})))
    values = {name: [found.get(seed, {}).get(name) for seed in blank.seeds] for name in names}
    primary = values[criterion.primary]
    return replace(
        blank,
        status=_status(outcome, count),
        met=outcome,
        value=median(primary),
        values=values,
        interval=interval(primary),
        missing=[seed for seed in blank.seeds if met[seed] is None],
        reason=" ".join([f"{hits} of {count} seeds meet the criterion, {misses} fail it.", *_few(count), *notes]),
    )


def _judge_pooled(
    blank: Verdict,
    claim: Claim,
    criterion: Criterion,
    usable: Mapping[int, Mapping[str, RunLike]],
    notes: list[str],
) -> Verdict:
    function = claim.function()

    def pool(seeds: Iterable[int]) -> tuple[dict[str, float | None], str]:
        chosen = list(seeds)
        return _evaluate(function, {name: [usable[seed][name] for seed in chosen] for name in claim.experiments})

    missing = [seed for seed in blank.seeds if seed not in usable]
    if not usable:
        return replace(blank, status="inconclusive", missing=missing, reason=" ".join(notes))
    values, error = pool(usable)
    met = criterion.met(values)
    count, name = len(usable), criterion.primary
    if met is None:
        intervals, shown = {}, f"The statistic has no value: {error or _lacking(criterion, values)}"
    else:
        intervals = bootstrap_each(lambda seeds: pool(seeds)[0], list(usable))
        ends = intervals.get(name)
        shown = f"The 95 % interval over {count} seeds of {name} is "
        shown += "not defined." if ends is None else f"[{ends[0]:.4g}, {ends[1]:.4g}]."
    outcome = criterion.settled(intervals) if count >= LEAST_SEEDS else met
    return replace(
        blank,
        status=_status(outcome, count),
        met=outcome,
        value=values.get(name),
        values={key: [value] for key, value in values.items()},
        interval=intervals.get(name),
        missing=missing,
        reason=" ".join([shown, *_few(count), *notes]),
    )


def _count(outcomes: Iterable[bool | None], wanted: bool) -> int:
    return sum(outcome is wanted for outcome in outcomes)


def _status(outcome: bool | None, count: int) -> Status:
    if outcome is None or count < LEAST_SEEDS:
        return "inconclusive"
    return "reproduced" if outcome else "not reproduced"


def _few(count: int) -> list[str]:
    return [f"{LEAST_SEEDS} seeds are needed to judge."] if count < LEAST_SEEDS else []
