"""The report: one HTML document that holds all it needs and asks the network for nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from grokscope.errors import UsageError
from grokscope.report import run_sections, sections
from grokscope.report.text import escape, number, script_json
from grokscope.report.thresholds import thresholds

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline' 'self' file:; "
    "img-src data: blob:; base-uri 'none'; form-action 'none'"
)
"""Has the browser itself refuse any request to a network."""


def page(
    *,
    title: str,
    subtitle: str,
    facts: Sequence[tuple[str, Any]] = (),
    figures: Sequence[tuple[str, str, str, Mapping[str, Any]]] = (),
    claims: Sequence[Mapping[str, Any]] = (),
    phases: Sequence[Mapping[str, Any]] = (),
    sensitivity: Sequence[Mapping[str, Any]] = (),
    agreements: Sequence[Mapping[str, Any]] = (),
    transition: Mapping[str, Any] | None = None,
    runs: Sequence[Mapping[str, Any]] = (),
    citations: Sequence[str] = (),
    javascript: str = "inline",
) -> str:
    """Return the report as a self-contained HTML document (about 4.9 MB with figures and inline JavaScript).

    Everything given is shown as text: no name, reason or setting is read as HTML.

    Args:
        title: what was run.
        subtitle: one line under it.
        facts: (label, value) pairs shown at the top.
        figures: (id, title, caption, Plotly figure); a figure's own title is replaced by this one.
        claims: dictionaries with ``id``, ``statement``, ``figure``, ``status``, ``value``, ``interval``,
            ``criterion``, ``criterion_source``, ``met``, ``reason``, ``runs``; each may be missing.
        phases: dictionaries with ``name``, ``start``, ``end``, in steps.
        sensitivity: rows of ``grokscope.analysis.sensitivity``; the section is left out without them.
        agreements: dictionaries of ``grokscope.analysis.agreement``.
        transition: ``fit_step``, ``generalise_step``, ``delay_steps``, ``delay_ratio``, ``censored``.
        runs: what :func:`grokscope.report.runs.describe` returns, one for each run.
        citations: BibTeX entries.
        javascript: ``"inline"``, or the relative path of a file with :func:`plotly_javascript` in it.

    Raises:
        UsageError: ``javascript`` is not a relative path, or two figures share an id.
    """
    _check(javascript, figures)
    identifiers = {name for name, *_ in figures}
    parts = [
        ("figures", "Figures", "".join(figure_card(*one) for one in figures)),
        ("claims", "Claims", sections.claims_table(claims, identifiers)),
        ("thresholds", "How phases depend on the thresholds", thresholds(sensitivity, agreements)),
        ("runs", "Runs", run_sections.runs_table(runs)),
        ("events", "Events worth knowing", run_sections.events_table(runs)),
        ("settings", "Settings", run_sections.settings(runs)),
        ("again", "Run it again", run_sections.commands(runs)),
        ("cite", "Cite", run_sections.citations(citations)),
    ]
    return document(
        title=title,
        subtitle=subtitle,
        lead=sections.summary(transition, phases, runs),
        facts=facts,
        parts=parts,
        footer="Made by grokscope from the stored numbers of the run.",
        javascript=javascript if figures else None,
    )


def document(
    *,
    title: str,
    subtitle: str,
    lead: str,
    facts: Sequence[tuple[str, Any]],
    parts: Sequence[tuple[str, str, str]],
    footer: str,
    javascript: str | None,
) -> str:
    """Return a page: a head, what came out, facts as tiles, and sections with links to them.

    Args:
        title: text.
        subtitle: text, one line under it.
        lead: HTML of what came out.
        facts: (label, value) pairs.
        parts: (id, heading, HTML) of sections; those without HTML are left out.
        footer: text, a sentence.
        javascript: as :func:`page` takes it, or None for a page without figures.
    """
    present = [(name, heading, body) for name, heading, body in parts if body]
    links = "".join(f'<li><a href="#{name}">{heading}</a></li>' for name, heading, _ in present)
    body = "".join(
        f'<section id="{name}" aria-labelledby="{name}-heading"><h2 id="{name}-heading">{heading}</h2>'
        f"{content}</section>"
        for name, heading, content in present
    )
    tiles = "".join(f"<div><dt>{escape(label)}</dt><dd>{escape(number(v))}</dd></div>" for label, v in facts)
    tiles = f'<dl class="facts">{tiles}</dl>' if tiles else ""
    navigation = f'<nav aria-label="Sections"><ul>{links}</ul></nav>' if links else ""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="color-scheme" content="light dark">\n<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)} · grokscope</title>\n<style>\n{_asset('page.css')}</style>\n</head>\n"
        "<body>\n"
        '<a class="skip" href="#main">Skip to the content</a>\n'
        f'<header><h1>{escape(title)}</h1><p class="subtitle">{escape(subtitle)}</p></header>\n'
        '<main id="main">\n'
        f"{lead}\n"
        f"{tiles}\n{navigation}\n{body}\n</main>\n"
        f"<footer>{escape(footer)} This page needs no network.</footer>\n"
        f"{'' if javascript is None else _scripts(javascript)}</body>\n</html>\n"
    )


def plotly_javascript() -> str:
    """Return plotly.js (about 4.8 MB), for a file that several pages share."""
    from plotly.offline import get_plotlyjs

    return get_plotlyjs()


def _check(javascript: str, figures: Sequence[tuple[str, str, str, Mapping[str, Any]]]) -> None:
    if not javascript or ":" in javascript or javascript.startswith(("/", "\\")):
        raise UsageError(f"javascript is {javascript!r}: give 'inline', or the path of a file relative to the page.")
    names = [name for name, *_ in figures]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"several figures have the id {twice[0]!r}: give each its own.")


def figure_card(name: str, title: str, caption: str, figure: Mapping[str, Any]) -> str:
    """Return a figure with its title and caption as HTML; it is drawn when it is first to be seen."""
    label, height = f"figure-{escape(name)}", figure.get("layout", {}).get("height", 440)
    described = f'<figcaption id="{label}-caption">{escape(caption)}</figcaption>' if caption else ""
    head = f'<figure class="card" id="{label}"><h3 id="{label}-title">{escape(title)}</h3>'
    if not figure.get("data"):
        return f'{head}<p class="empty">No data were stored for this figure.</p>{described}</figure>'
    layout = {key: value for key, value in figure.get("layout", {}).items() if key != "title"}
    # the heading above the plot replaces the title, and with it the room kept for it
    above = {"t": max(34, layout.get("margin", {}).get("t", 84) - 38)} if layout.get("annotations") else {}
    layout["margin"] = {**layout.get("margin", {}), "t": 46 if layout.get("shapes") else 34, **above}
    frames = {"frames": figure["frames"]} if figure.get("frames") else {}
    document = script_json({"data": figure["data"], "layout": layout, **frames})
    # an image to a reader that cannot see it, unless there is something to operate
    role = "group" if frames else "img"
    by = f' aria-describedby="{label}-caption"' if caption else ""
    return (
        f'{head}<div class="plot" style="min-height:{int(height)}px" role="{role}" '
        f'aria-labelledby="{label}-title"{by}><script type="application/json">{document}</script></div>'
        "<noscript><p>This figure is drawn by JavaScript: allow it on this page.</p></noscript>"
        f"{described}</figure>"
    )


def _scripts(javascript: str) -> str:
    source = (
        f"<script>{plotly_javascript()}</script>\n"
        if javascript == "inline"
        else f'<script src="{escape(javascript)}"></script>\n'
    )
    return f"{source}<script>\n{_asset('page.js')}</script>\n"


def _asset(name: str) -> str:
    return files("grokscope.report").joinpath("assets", name).read_text(encoding="utf-8")
