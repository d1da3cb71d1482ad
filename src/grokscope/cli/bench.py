"""``grokscope bench``: our paths against the plain baseline in one process, as ratios."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from grokscope.cli.output import Json, table, write, write_json
from grokscope.errors import UsageError, unknown


def bench(
    name: str | None = None,
    *,
    rounds: Annotated[int, Parameter(help="alternations, of which the median is told")] = 5,
    threads: Annotated[str, Parameter(help="numbers of threads, as in 1,2")] = "1,2",
    device: Annotated[str, Parameter(help="cpu, cuda or cuda:N")] = "cpu",
    json: Json = False,
) -> int:
    """Time our paths against the plain baseline, in alternation in one process; a ratio above 1 is in our favour.

    Args:
        name: one benchmark; all of them if none is named.
    """
    from grokscope.bench import BENCHMARKS
    from grokscope.numerics import check_device
    from grokscope.registry import load

    if name is not None and name not in BENCHMARKS:
        raise unknown("benchmark", name, BENCHMARKS)
    if rounds < 1:
        raise UsageError(f"rounds = {rounds}: give at least 1; a median needs 5.")
    check_device(device)
    counts = _counts(threads)
    found = []
    for chosen in [name] if name is not None else BENCHMARKS:
        target, _ = BENCHMARKS[chosen]
        found += load(target)(device=device, threads=counts, rounds=rounds)
    rows = [comparison.as_dict() for comparison in found]
    if json:
        write_json({"schema": 1, "benchmarks": rows})
        return 0
    table(
        ("benchmark", "baseline", "ours", "unit", "ratio"),
        [(r["name"], r["baseline"], r["ours"], r["unit"], f"{r['ratio']:.1f}") for r in rows],
    )
    write()
    for row in rows:
        facts = ", ".join(f"{key} {_text(value)}" for key, value in row["details"].items())
        write(f"{row['name']}: {facts}")
    return 0


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    return " to ".join(map(_text, value)) if isinstance(value, list) else str(value)


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(word) for word in text.split(","))
    except ValueError as error:
        raise UsageError(f"threads = {text!r}: give numbers, as in 1,2.") from error
    if min(counts) < 1:
        raise UsageError(f"threads = {text!r}: each must be at least 1.")
    return counts
