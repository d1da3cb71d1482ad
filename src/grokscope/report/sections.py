"""The parts of a report's page, each a function from stored values to HTML; an empty part is the empty string."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from grokscope.report import theme
from grokscope.report.runs import remarkable
from grokscope.report.text import duration, escape, number, setting

Record = Mapping[str, Any]
EVENTS_SHOWN = 40

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
        >>> happened({"fit_step": 200, "generalise_step": 2500, "delay_steps": 2300, "delay_ratio": 12.5})
        'Fitted its training data at step 200 and generalised at step 2,500: 2,300 steps later, 12.5 times as many.'
    """
    if not transition:
        return ""
    fit, generalise = transition.get("fit_step"), transition.get("generalise_step")
    delay, ratio = transition.get("delay_steps"), transition.get("delay_ratio")
    by = "" if last is None else f" by step {_step(last)}, where the run ended"
    if fit is None and generalise is None:
        return f"Neither fitted its training data nor generalised{by}."
    if fit is None:
        return f"Generalised at step {_step(generalise)}; it never fitted its training data to the level asked for."
    if generalise is None:
        return f"Fitted its training data at step {_step(fit)} and had not generalised{by}."
    if delay is not None and delay < 0:
        return (
            f"Generalised at step {_step(generalise)}, {_step(-delay)} steps before it fitted its training data "
            f"(step {_step(fit)})."
        )
    tail = "" if ratio is None else f", {number(ratio, 3)} times as many"
    later = f": {_step(delay)} steps later{tail}" if delay else ""
    return (
        f"Fitted its training data at step {_step(fit)} and generalised at step {_step(generalise)}{later}."
    )


def claims_table(claims: Sequence[Record], figures: Collection[str] = ()) -> str:
    """Return the claims with verdict, value, criterion and who fixed it."""
    if not claims:
        return ""
    counts = Counter(str(one.get("status")) for one in claims)
    total = ", ".join(f"{count} {escape(status)}" for status, count in counts.most_common())
    rows = "".join(_claim_row(one, figures) for one in claims)
    heads = ("Verdict", "Claim", "Value", "Criterion")
    return f"<p>{total}.</p>{_table('Claims of the paper and their verdicts', heads, rows)}"


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
        value += (
            f' <span class="interval">[{", ".join(escape(number(_finite(end))) for end in interval)}]</span>'
        )
    source = {"sheet": "fixed by the paper's sheet", "ours": "fixed by us, on other seeds"}.get(
        str(claim.get("criterion_source")), claim.get("criterion_source")
    )
    cells = (
        ("Verdict", chip(claim.get("status"))),
        (
            "Claim",
            f'{escape(claim.get("statement", ""))}<p class="note"><code>{escape(name)}</code>{where}</p>{notes}',
        ),
        ("Value", value),
        ("Criterion", escape(number(claim.get("criterion"))) + (f'<p class="note">{escape(source)}</p>' if source else "")),
    )  # fmt: skip
    return f"<tr>{''.join(f'<td data-label="{label}">{content}</td>' for label, content in cells)}</tr>"


def runs_table(runs: Sequence[Record]) -> str:
    """Return the runs side by side; nothing for a single one, which the facts describe."""
    if len(runs) < 2:
        return ""
    rows = ""
    for run in runs:
        crossed = run.get("phases") or {}
        cells = (
            ("Run", f"<code>{escape(_name(run))}</code>"),
            ("Seed", escape(run.get("seed", "–"))),
            ("Status", chip(run.get("status"))),
            ("Last step", escape(number(run.get("steps")))),
            ("Fitted at", escape(_step(crossed.get("fit_step")))),
            ("Generalised at", escape(_step(crossed.get("generalise_step")))),
            ("Time", escape(duration(run.get("wall_seconds")))),
        )
        rows += f"<tr>{''.join(f'<td data-label="{label}">{content}</td>' for label, content in cells)}</tr>"
    heads = ("Run", "Seed", "Status", "Last step", "Fitted at", "Generalised at", "Time")
    return _table("Runs on this page; steps are optimizer steps", heads, rows)


def events_table(runs: Sequence[Record]) -> str:
    """Return what went wrong or was done to the runs, the first 40 of each."""
    rows, left = "", 0
    for run in runs:
        told = remarkable(run.get("events") or ())
        left += max(0, len(told) - EVENTS_SHOWN)
        for kind, step, sentence in told[:EVENTS_SHOWN]:
            cells = [("Step", escape(step or "–")), ("Event", escape(kind)), ("What", escape(sentence))]
            if len(runs) > 1:
                cells.insert(0, ("Run", f"<code>{escape(_name(run))}</code>"))
            rows += f"<tr>{''.join(f'<td data-label="{label}">{text}</td>' for label, text in cells)}</tr>"
    if not rows:
        return "<p>None: no measure failed, nothing diverged and no run was interrupted.</p>" if runs else ""
    heads = ("Run", "Step", "Event", "What") if len(runs) > 1 else ("Step", "Event", "What")
    more = f"<p>{left:,} more are in <code>events.jsonl</code>.</p>" if left else ""
    return _table("Events of the runs", heads, rows) + more


def settings(runs: Sequence[Record]) -> str:
    """Return the resolved spec of each run as a tree, and before them what differs between runs."""
    flat = [dict(_leaves(run.get("spec") or {})) for run in runs]
    trees = "".join(
        f"<details{' open' if len(runs) == 1 else ''}><summary>{escape(_name(run))}</summary>{_tree(run['spec'])}</details>"
        for run in runs
        if run.get("spec")
    )
    if len(runs) < 2 or not trees:
        return trees
    keys = sorted({key for one in flat for key in one})
    differing = [key for key in keys if len({one.get(key) for one in flat}) > 1]
    rows = "".join(
        f"<tr><td><code>{escape(key)}</code></td>"
        + "".join(f"<td>{escape(one.get(key, '–'))}</td>" for one in flat)
        + "</tr>"
        for key in differing
    )
    heads = ("Setting", *(_name(run) for run in runs))
    table = _table("Settings that differ between the runs", heads, rows, wide=True) if rows else ""
    return (table or "<p>All runs have the same settings.</p>") + trees


def commands(runs: Sequence[Record]) -> str:
    """Return the exact command of each run."""
    given = [str(run["command"]) for run in runs if run.get("command")]
    if not given:
        return ""
    return f'<pre tabindex="0"><code>{escape(chr(10).join(given))}</code></pre>'


def citations(entries: Sequence[str]) -> str:
    """Return the BibTeX entries, each once."""
    return "".join(
        f'<pre tabindex="0"><code>{escape(entry.strip())}</code></pre>' for entry in dict.fromkeys(entries)
    )


def _tree(tree: Record) -> str:
    """Return a tree of settings: plain values first, then the sections, each to fold."""
    own = {key: value for key, value in tree.items() if not isinstance(value, Mapping)}
    rows = "".join(
        f"<tr><th scope=\"row\"><code>{escape(key)}</code></th><td><code>{escape(setting(value))}</code></td></tr>"
        for key, value in own.items()
    )  # fmt: skip
    parts = "".join(
        f"<details><summary><code>{escape(key)}</code>{_named(value)}</summary>{_tree(value)}</details>"
        for key, value in tree.items()
        if isinstance(value, Mapping) and value
    )
    return f'<div class="tree">{f"<table>{rows}</table>" if rows else ""}{parts}</div>'


def _named(section: Record) -> str:
    return (
        f' <span class="note">{escape(section["name"])}</span>'
        if isinstance(section.get("name"), str)
        else ""
    )


def _leaves(tree: Record, path: str = "") -> list[tuple[str, str]]:
    found = []
    for key, value in tree.items():
        inside = isinstance(value, Mapping) and value
        found += _leaves(value, f"{path}{key}.") if inside else [(f"{path}{key}", setting(value))]
    return found


def _table(caption: str, heads: Sequence[str], rows: str, *, wide: bool = False) -> str:
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    kind = "" if wide else ' class="stacking"'
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table{kind}>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _name(run: Record) -> str:
    directory = str(run.get("run_dir") or "").rstrip("/")
    label = "/".join(directory.split("/")[-3:]) if directory else str(run.get("experiment") or "run")
    return label


def _step(value: object) -> str:
    return number(round(float(value))) if isinstance(value, int | float) else "–"


def _extent(phase: Record) -> str:
    start, end = phase.get("start"), phase.get("end")
    return f"from step {_step(start or 0)}" + (" on" if end is None else f" to {_step(end)}")


def _finite(value: object) -> object:
    """Return the word of a stored number that is not finite as it is: JSON has no other way to write it."""
    return (
        {"nan": "not a number", "inf": "∞", "-inf": "−∞"}.get(value, value)
        if isinstance(value, str)
        else value
    )
