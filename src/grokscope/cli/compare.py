"""``grokscope compare``: several stored runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from grokscope.cli.output import Json, number, table, words, write, write_json


def compare(
    *runs: str,
    keys: Annotated[
        list[str] | None,
        Parameter(negative="", help="keys to compare, as in test/loss,gini/embedding (default: what all have)"),
    ] = None,
    report: Annotated[str | None, Parameter(help="also write a page with the curves of all runs to this file")] = None,
    json: Json = False,
) -> None:
    """Show what differs in the settings of runs, when each fitted and generalised, and their last values.

    Of two runs of the same training it also says whether they are equal to the bit.

    Args:
        runs: two or more run directories.
    """
    from grokscope.execution.compare import check, names_of
    from grokscope.execution.compare import compare as side_by_side
    from grokscope.store import open_run, resolve_run

    found = [open_run(resolve_run(run)) for run in runs]
    check(found)
    chosen = words(keys or ())
    document = side_by_side(found, chosen)
    if report is not None:
        from grokscope.execution.overlay import write_comparison

        document["report"] = str(write_comparison(found, Path(report), chosen))
    if json:
        write_json(document)
    else:
        _write_text(document, names_of(found))


def _write_text(document: dict[str, Any], names: list[str]) -> None:
    letters = [chr(ord("A") + index) if index < 26 else str(index + 1) for index in range(len(names))]
    for letter, run in zip(letters, document["runs"], strict=True):
        write(f"{letter}  {run['run_dir']}")
    write()
    told = [(one["key"], *map(_cell, one["values"])) for one in document["differences"]]
    table(("setting", *letters), told, empty="no setting differs")
    write()
    phases = [run["phases"] for run in document["runs"]]
    rows: list[tuple[Any, ...]] = [
        ("status", *(run["status"] for run in document["runs"])),
        ("steps", *(run["steps"] for run in document["runs"])),
        ("fitted at step", *(_step(one.get("fit_step")) for one in phases)),
        ("generalised at step", *(_step(one.get("generalise_step")) for one in phases)),
        ("delay, steps", *(_step(one.get("delay_steps")) for one in phases)),
        ("delay ratio", *(one.get("delay_ratio") for one in phases)),
        ("phases", *(_bands(one["bands"]) for one in phases)),
    ]
    table(("result", *letters), rows)
    write()
    two = len(letters) == 2
    last = [(one["key"], *one["values"], *([_change(*one["values"])] if two else [])) for one in document["final"]]
    table(("last value", *letters, *(["B - A"] if two else [])), last, empty="they share no key")
    if document["equal"] is not None:
        write()
        write(equal_text(document["equal"]))
    if "report" in document:
        write(f"report: {document['report']}")


def equal_text(equal: dict[str, Any]) -> str:
    """Return in one sentence whether two runs are equal to the bit.

    Example:
        >>> equal_text({"same_training": False})
        'They are different trainings: their settings differ in what is trained.'
    """
    if not equal["same_training"]:
        return "They are different trainings: their settings differ in what is trained."
    checkpoint = equal["checkpoint"]
    state = "no checkpoint of one step to compare"
    if checkpoint is not None:
        same = "equal" if checkpoint["equal"] else "different"
        state = f"the checkpoints at step {checkpoint['step']} are {same}"
    if equal["bitwise"]:
        return f"Bitwise equal: the same training, {number(equal['rows'])} common numbers are equal, {state}."
    if equal["bitwise"] is None:
        return f"The same training; there is nothing they both logged, and {state}."
    first = equal["first"]
    where = f", the first {first['key']} at step {first['step']}" if first else ""
    return (
        f"Not bitwise equal, though the same training: {number(equal['different'])} of {number(equal['rows'])} common "
        f"numbers differ{where}, {state}."
    )


def _bands(bands: list[dict[str, Any]]) -> str:
    return ", ".join(f"{one['name']} {_step(one['start'])}-{_step(one['end'])}" for one in bands) or "–"


def _cell(value: Any) -> str:
    return str(value) if isinstance(value, list | dict) else number(value)


def _step(value: float | None) -> str:
    return "–" if value is None else number(round(value))


def _change(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else other - one
