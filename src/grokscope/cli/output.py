"""What commands write: tables and sentences for people, one JSON document for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from cyclopts import Parameter

from grokscope.report.text import number
from grokscope.store.jsonl import plain

Json = Annotated[bool, Parameter(name="--json", negative="", help="one JSON document on stdout")]
Out = Annotated[str | None, Parameter(help="parent directory of all runs (default: GROKSCOPE_RUNS, else ./runs)")]
Strict = Annotated[bool, Parameter(negative="", help="exit with 1 if a run diverged or a claim is not met")]

STYLES = {
    "reproduced": "green",
    "not reproduced": "red",
    "inconclusive": "yellow",
    "not testable here": "dim",
    "finished": "green",
    "failed": "red",
    "diverged": "red",
}


def write_json(document: Mapping[str, Any]) -> None:
    """Write one JSON document to stdout; numbers that are not finite become strings."""
    sys.stdout.write(json.dumps(plain(document), indent=2, allow_nan=False) + "\n")


def write(text: str = "") -> None:
    """Write one line to stdout."""
    sys.stdout.write(text + "\n")


_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))}


def visible(text: str) -> str:
    r"""Return a text in which control characters are written out: names in foreign files may hold any.

    Example:
        >>> visible("a\tb\x1b[31m")
        'a\\x09b\\x1b[31m'
    """
    return text.translate(_CONTROLS)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, empty: str = "nothing to show") -> None:
    """Write a table to stdout: a drawn one on a terminal, tab-separated lines in a pipe."""
    if not rows:
        write(empty)
        return
    cells = [[visible(number(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        for line in [list(columns), *cells]:
            write("\t".join(line))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for line in cells:
        drawn.add_row(*[Text(cell, style=STYLES.get(cell, "")) for cell in line])
    Console().print(drawn)


def rows_document(kind: str, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the JSON document of a table that has no schema of its own."""
    return {"schema": 1, "kind": kind, "rows": list(rows)}


def interval_text(verdict: Mapping[str, Any]) -> str:
    """Return a verdict's value with its interval."""
    value, interval = verdict.get("value"), verdict.get("interval")
    text = number(_float(value))
    if interval and interval[0] is not None:
        text += f" [{number(_float(interval[0]))}, {number(_float(interval[1]))}]"
    return text


def _float(value: Any) -> Any:
    return float(value) if isinstance(value, str) else value


def write_verdicts(verdicts: Sequence[Mapping[str, Any]]) -> None:
    """Write verdicts as a table, with the reason below where there is one."""
    rows = [
        (v["id"], v["status"] + met_text(v), interval_text(v), v["criterion"] or "-", v["statement"]) for v in verdicts
    ]
    table(("claim", "verdict", "value", "criterion", "statement"), rows, empty="no claims")


def met_text(verdict: Mapping[str, Any]) -> str:
    """Return whether the criterion was met, where too few seeds keep that from being a verdict."""
    if verdict["status"] != "inconclusive" or verdict.get("met") is None:
        return ""
    return " (met)" if verdict["met"] else " (not met)"


def unmet(verdicts: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether ``--strict`` fails: a claim is not reproduced, or undecided without its criterion being met."""
    return any(
        v["status"] == "not reproduced" or (v["status"] == "inconclusive" and v.get("met") is not True)
        for v in verdicts
    )


def unjudged(verdicts: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether no claim was judged at all, which ``--strict`` does not take for success either."""
    return all(v["status"] == "not testable here" for v in verdicts)


def words(given: Sequence[str]) -> list[str]:
    """Return the names in options that take a list: ``A,B``, or the option once for each.

    A further option of a measure, ``key=value``, belongs to the name before it.

    Example:
        >>> words(["gini,htsr:mode=ww,least=20", "weights"])
        ['gini', 'htsr:mode=ww,least=20', 'weights']
    """
    found: list[str] = []
    for text in given:
        for part in filter(None, (part.strip() for part in text.split(","))):
            if found and ":" in found[-1] and "=" in part and ":" not in part:
                found[-1] += f",{part}"
            else:
                found.append(part)
    return found
