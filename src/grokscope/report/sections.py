"""The parts of a report's page that say what came out: the sentence, the phases, the claims."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from grokscope.report import theme
from grokscope.report.text import escape, number, row, step_text, table

Record = Mapping[str, Any]

ICONS: dict[str, str] = {
    "reproduced": "M3 8.5 6.5 12 13 4.5",
    "not reproduced": "M4 4 12 12M12 4 4 12",
    "inconclusive": "M5.5 6a2.5 2.5 0 1 1 3.6 2.2C8.3 8.7 8 9.2 8 10M8 12.6v.1",
    "not testable here": "M3 8h10",
}
"""Strokes, on a grid of 16, of the sign of each verdict."""

TONES: dict[str, str] = {
    "reproduced": "good", "not reproduced": "bad", "inconclusive": "open", "not testable here": "none",
    "finished": "good", "stopped": "good", "running": "open", "interrupted": "open", "diverged": "bad",
    "failed": "bad",
}  # fmt: skip


def chip(status: object) -> str:
    """Return a status as a sign and a word on a colour; an unknown one is grey with its word."""
    word = str(status if status is not None else "not judged")
    path = ICONS.get(word)
    icon = f'<svg viewBox="0 0 16 16" aria-hidden="true"><path d="{path}"/></svg>' if path else ""
    return f'<span class="chip {TONES.get(word, "none")}">{icon}{escape(word)}</span>'


def summary(transition: Record | None, phases: Sequence[Record], runs: Sequence[Record]) -> str:
    """Return what happened, in one sentence, and the phases as a line of times."""
    sentence = happened(transition, runs[0].get("steps") if len(runs) == 1 else None)
    troubled = [run for run in runs if run.get("status") in ("diverged", "failed", "interrupted")]
    if troubled and len(runs) == 1:
        sentence = f"{sentence} The run is {troubled[0]['status']}.".strip()
    elif troubled:
        sentence = f"{sentence} {len(troubled)} of {len(runs)} runs did not end as planned.".strip()
    items = "".join(
        f'<li><span class="swatch" style="background:{theme.phase_colour(str(one.get("name")))}"></span>'
        f"{escape(one.get('name'))} <small>{escape(_extent(one))}</small></li>"
        for one in phases
    )
    line = f'<ol class="phases" aria-label="Phases">{items}</ol>' if items else ""
    return (f'<p class="summary">{escape(sentence)}</p>' if sentence else "") + line


def happened(transition: Record | None, last: object = None) -> str:
    """Return the transition as one sentence, not yet escaped; empty if none was looked for.

    Example:
        >>> happened({"fit_step": 200, "generalise_step": None})
        'Fitted its training data at step 200 and had not generalised.'
    """
    if not transition:
        return ""
    fit, generalise = transition.get("fit_step"), transition.get("generalise_step")
    delay, ratio = transition.get("delay_steps"), transition.get("delay_ratio")
    by = "" if last is None else f" by step {step_text(last)}, where the run ended"
    if fit is None and generalise is None:
        return f"Neither fitted its training data nor generalised{by}."
    if fit is None:
        return f"Generalised at step {step_text(generalise)}; it never reached the level for having fitted."
    if generalise is None:
        return f"Fitted its training data at step {step_text(fit)} and had not generalised{by}."
    if delay is not None and delay < 0:
        return (
            f"Generalised at step {step_text(generalise)}, {step_text(-delay)} steps before it fitted its "
            f"training data (step {step_text(fit)})."
        )
    tail = "" if ratio is None else f", a ratio of {number(ratio, 3)}"
    later = f": a delay of {step_text(delay)} steps{tail}" if delay else ""
    return f"Fitted its training data at step {step_text(fit)} and generalised at step {step_text(generalise)}{later}."


def claims_table(claims: Sequence[Record], figures: Collection[str] = ()) -> str:
    """Return the claims with verdict, value, criterion and who fixed it."""
    if not claims:
        return ""
    counts = Counter(str(one.get("status")) for one in claims)
    total = ", ".join(f"{count} {escape(status)}" for status, count in counts.most_common())
    rows = "".join(_claim_row(one, figures) for one in claims)
    heads = ("Verdict", "Claim", "Value", "Criterion")
    return f"<p>{total}.</p>{table('Claims of the paper and their verdicts', heads, rows)}"


def _claim_row(claim: Record, figures: Collection[str]) -> str:
    name, figure = claim.get("id"), claim.get("figure")
    where = ""
    if figure:
        link = f'<a href="#figure-{escape(figure)}">{escape(figure)}</a>'
        where = " · " + (link if figure in figures else escape(figure))
    met = claim.get("met")
    more = [] if met is None else [f"criterion {'met' if met else 'not met'} so far"]
    more = more if claim.get("status") == "inconclusive" else []
    more += [str(claim["reason"])] if claim.get("reason") else []
    evidence = [str(one).rstrip("/").rsplit("/", 1)[-1] for one in claim.get("runs") or ()]
    notes = "".join(f'<p class="note">{escape(text)}</p>' for text in more)
    if evidence:
        listed = "".join(f"<li><code>{escape(one)}</code></li>" for one in evidence)
        word = "run" if len(evidence) == 1 else "runs"
        notes += f"<details><summary>{len(evidence)} {word}</summary><ul>{listed}</ul></details>"
    interval = claim.get("interval")
    value = escape(number(_finite(claim.get("value"))))
    if interval:
        value += f' <span class="interval">[{", ".join(escape(number(_finite(end))) for end in interval)}]</span>'
    source = {"sheet": "the specification's", "ours": "fixed by us, on other seeds"}.get(
        str(claim.get("criterion_source")), claim.get("criterion_source")
    )
    criterion = escape(number(claim.get("criterion"))) + (f'<p class="note">{escape(source)}</p>' if source else "")
    cells = (
        ("Verdict", chip(claim.get("status"))),
        (
            "Claim",
            f'{escape(claim.get("statement", ""))}<p class="note"><code>{escape(name)}</code>{where}</p>'
            f"{notes}",
        ),
        ("Value", value),
        ("Criterion", criterion),
    )  # fmt: skip
    return row(cells)


def _extent(phase: Record) -> str:
    start, end = phase.get("start"), phase.get("end")
    return f"from step {step_text(start or 0)}" + (" on" if end is None else f" to {step_text(end)}")


def _finite(value: object) -> object:
    """Return the word of a stored number that is not finite as it is: JSON has no other way to write it."""
    return {"nan": "not a number", "inf": "∞", "-inf": "−∞"}.get(value, value) if isinstance(value, str) else value
