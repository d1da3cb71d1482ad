"""The part of a report's page that says how the phases depend on the constants of their definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grokscope.report.text import escape, number, row, step_text, table

Record = Mapping[str, Any]

COLUMNS: dict[str, str] = {
    "fit_step": "Fitted",
    "generalise_step": "Generalised",
    "memorisation_end": "Memorisation ends",
    "circuit_formation_end": "Circuit formed",
    "cleanup_end": "Cleanup ends",
    "abrupt_start": "Abrupt from",
    "collapse_step": "Collapse",
    "misgrokking_step": "Misgrokking",
    "sharpness": "Decades wide",
}
"""What a row tells, by its key; steps but for the sharpness, from 10 % to 90 % of the way."""


def thresholds(rows: Sequence[Record], agreements: Sequence[Record] = ()) -> str:
    """Return how the boundaries move with each threshold, folded, and what the second detector says of them.

    Args:
        rows: of ``grokscope.analysis.sensitivity``, the declared ones first.
        agreements: of ``grokscope.analysis.agreement``, as dictionaries.
    """
    if not rows:
        return ""
    shown = [key for key in COLUMNS if any(one.get(key) is not None for one in rows)]
    changed = [one for one in rows[1:] if one["changed"]]
    same = len(rows) - 1 - len(changed)
    heads = ("Threshold", "Tried", *(COLUMNS[key] for key in shown))
    body = _row(rows[0], shown, heads) + "".join(_row(one, shown, heads) for one in changed)
    told = f"{len(changed)} of {len(rows) - 1} variations of one threshold each move a boundary; {same} move nothing."
    listed = table("Boundaries by threshold; what differs is bold; steps are optimizer steps", heads, body)
    return (
        f"{_agreements(agreements)}<p>{escape(told)}</p>"
        f"<details><summary>Boundaries with each threshold at other values</summary>{listed}</details>"
    )


def _row(one: Record, shown: Sequence[str], heads: Sequence[str]) -> str:
    if one["constant"] is None:
        cells = ["as declared", "–"]
    else:
        # as words, a name of a constant breaks between them
        cells = [escape(str(one["constant"]).replace("_", " ").replace(".", " ")), escape(number(one["value"]))]
        cells[1] += f' <span class="note">for {escape(number(one["declared"]))}</span>'
        if "phases" in one["changed"]:
            cells[0] += f'<p class="note">{escape(", ".join(one["phases"]))}</p>'
    for key in shown:
        text = escape(number(one[key], 3) if key == "sharpness" else step_text(one[key]))
        cells.append(f"<strong>{text}</strong>" if key in one["changed"] else text)
    return row(tuple(zip(heads, cells, strict=True)))


def _agreements(agreements: Sequence[Record]) -> str:
    if not agreements:
        return ""
    heads = ("Boundary", "Step", "Curve", "Nearest change", "Intervals apart", "Agrees")
    rows = "".join(
        row(
            tuple(
                zip(
                    heads,
                    (
                        escape(COLUMNS.get(one["boundary"], one["boundary"])),
                        escape(step_text(one["step"])),
                        f"<code>{escape(one['key'])}</code>",
                        escape(step_text(one["nearest"])),
                        escape(number(one["intervals"], 3)),
                        escape(number(one["agrees"])),
                    ),
                    strict=True,
                )
            )
        )
        for one in agreements
    )
    agreeing = sum(bool(one["agrees"]) for one in agreements)
    told = f"A second, independent change-point detector agrees with {agreeing} of {len(agreements)} boundaries."
    listed = table("Boundaries and the change point nearest to each", heads, rows)
    return f"<p>{told}</p><details><summary>What it found</summary>{listed}</details>"
