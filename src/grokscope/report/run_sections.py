"""The parts of a report's page that say how it came about: runs, events, settings, commands, citations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from grokscope.report.runs import remarkable
from grokscope.report.sections import chip
from grokscope.report.text import duration, escape, number, row, setting, step_text, table

Record = Mapping[str, Any]
EVENTS_SHOWN = 40


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
            ("Fitted at", escape(step_text(crossed.get("fit_step")))),
            ("Generalised at", escape(step_text(crossed.get("generalise_step")))),
            ("Time", escape(duration(run.get("wall_seconds")))),
        )
        rows += row(cells)
    heads = ("Run", "Seed", "Status", "Last step", "Fitted at", "Generalised at", "Time")
    return table("Runs on this page; steps are optimizer steps", heads, rows)


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
            rows += row(cells)
    if not rows:
        return "<p>None: no measure failed, nothing diverged and no run was interrupted.</p>" if runs else ""
    heads = ("Run", "Step", "Event", "What") if len(runs) > 1 else ("Step", "Event", "What")
    more = f"<p>{left:,} more are in <code>events.jsonl</code>.</p>" if left else ""
    return table("Events of the runs", heads, rows) + more


def settings(runs: Sequence[Record]) -> str:
    """Return the resolved spec of each run as a tree, and before them what differs between runs."""
    flat = [dict(_leaves(run.get("spec") or {})) for run in runs]
    trees = "".join(
        f"<details{' open' if len(runs) == 1 else ''}><summary>{escape(_name(run))}</summary>"
        f"{_tree(run['spec'])}</details>"
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
    differences = table("Settings that differ between the runs", heads, rows, stacking=False) if rows else ""
    return (differences or "<p>All runs have the same settings.</p>") + trees


def commands(runs: Sequence[Record]) -> str:
    """Return the exact command of each run."""
    given = [str(run["command"]) for run in runs if run.get("command")]
    if not given:
        return ""
    return f'<pre tabindex="0"><code>{escape(chr(10).join(given))}</code></pre>'


def citations(entries: Sequence[str]) -> str:
    """Return the BibTeX entries, each once."""
    return "".join(f'<pre tabindex="0"><code>{escape(entry.strip())}</code></pre>' for entry in dict.fromkeys(entries))


def _tree(tree: Record) -> str:
    """Return a tree of settings: plain values first, then the sections, each to fold."""
    own = {key: value for key, value in tree.items() if not isinstance(value, Mapping)}
    rows = "".join(
        f'<tr><th scope="row"><code>{escape(key)}</code></th><td><code>{escape(setting(value))}</code></td></tr>'
        for key, value in own.items()
    )
    parts = "".join(
        f"<details><summary><code>{escape(key)}</code>{_named(value)}</summary>{_tree(value)}</details>"
        for key, value in tree.items()
        if isinstance(value, Mapping) and value
    )
    return f'<div class="tree">{f"<table>{rows}</table>" if rows else ""}{parts}</div>'


def _named(section: Record) -> str:
    return f' <span class="note">{escape(section["name"])}</span>' if isinstance(section.get("name"), str) else ""


def _leaves(tree: Record, path: str = "") -> list[tuple[str, str]]:
    found = []
    for key, value in tree.items():
        inside = isinstance(value, Mapping) and value
        found += _leaves(value, f"{path}{key}.") if inside else [(f"{path}{key}", setting(value))]
    return found


def _name(run: Record) -> str:
    directory = str(run.get("run_dir") or "").rstrip("/")
    label = "/".join(directory.split("/")[-3:]) if directory else str(run.get("experiment") or "run")
    return label
