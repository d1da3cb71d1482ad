"""The page of a scan of weights, and the sentences and columns that it shares with the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from grokscope.report.esd import density_and_tail, exponents
from grokscope.report.page import document, figure_card
from grokscope.report.text import escape, number, row, table

COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "htsr": (("α", "alpha"), ("D", "distance"), ("xmin", "xmin"), ("tail", "tail_count")),
    "spectra": (("stable rank", "stable_rank"),),
    "marchenko_pastur": (("spikes", "spikes"),),
    "correlation_traps": (("traps", "traps"),),
    "norms": (),
    "weight_entropy": (),
}
"""Measure -> (heading, key) of what a table shows of it unless the measure was asked for by name."""

MEANING = {
    "α": "exponent of the power law of the tail",
    "D": "its Kolmogorov–Smirnov distance from the eigenvalues",
    "xmin": "eigenvalue at which the tail begins",
    "tail": "eigenvalues in it",
    "stable rank": "Σλ / λmax",
    "spikes": "eigenvalues beyond the edge of the fitted Marchenko–Pastur law",
    "traps": "eigenvalues beyond the edge for random entries once the entries are shuffled, on average over shuffles",
}
"""What the columns are."""

BESIDE = ("name", "kind", "shape", "dtype", "tied", "note")
OPEN = 4
"""Spectra that a page shows unfolded where there are no more than these."""
CAUTION = (
    "An α below 2 or a trap is no proof of a collapse: networks that generalise well have them too (Prakash and "
    "Martin 2025, their control with weight decay)."
)
Layer = Mapping[str, Any]


def columns(measures: Sequence[str], layers: Sequence[Layer], *, chosen: bool = False) -> list[tuple[str, str]]:
    """Return (heading, stored key) of the columns of a table of layers.

    Args:
        measures: names of the measures taken.
        layers: of the document of a scan.
        chosen: whether they were asked for by name: then one of which nothing is shown is shown whole.

    Example:
        >>> columns(["htsr", "norms"], [{"htsr/alpha": 3.0, "norms/l2": 1.0}])
        [('α', 'htsr/alpha')]
    """
    known = list(dict.fromkeys(key for layer in layers for key in layer if key not in BESIDE))
    found: list[tuple[str, str]] = []
    for measure in measures:
        own = COLUMNS.get(measure.partition(":")[0])
        listed = [(heading, f"{measure}/{key}") for heading, key in own or ()]
        listed = [(heading, key) for heading, key in listed if key in known]
        if not listed and (chosen or own is None):
            listed = [(key.rpartition("/")[2], key) for key in known if key.startswith(f"{measure}/")]
        found += listed
    return found


def sentences(summary: Mapping[str, Any]) -> list[str]:
    """Return what a scan found over all matrices, in sentences; with α or traps also what they do not say.

    Example:
        >>> sentences({"matrices": 2, "not_measured": 1, "mean_alpha": None, "spikes": None, "traps": None})
        ['2 matrices, and 1 tensor that was not measured.']
    """
    count, others = summary["matrices"], summary["not_measured"]
    first = f"{count} {'matrix' if count == 1 else 'matrices'}"
    if others:
        first += f", and {others} tensor{'s' * (others > 1)} that {'were' if others > 1 else 'was'} not measured"
    told = [f"{first}."]
    if summary["mean_alpha"] is not None:
        few = summary["alpha_on_few"]
        rough = f"; {few} rest on fewer than 50 eigenvalues and are rough" if few else ""
        told.append(
            f"Mean α {number(summary['mean_alpha'], 3)} over {summary['alphas']}: {summary['alpha_below_2']} below 2, "
            f"{summary['alpha_above_6']} above 6{rough}."
        )
    if summary["spikes"] is not None:
        told.append(f"Spikes beyond the Marchenko–Pastur edge: {_total(summary, 'spikes')}.")
    if summary["traps"] is not None:
        told.append(f"Correlation traps: {_total(summary, 'traps')}.")
    if summary["mean_alpha"] is not None or summary["traps"] is not None:
        told.append(CAUTION)
    return told


def _total(summary: Mapping[str, Any], name: str) -> str:
    holders = summary[f"matrices_with_{name}"]
    if not holders:
        return "none"
    return f"{number(summary[name], 3)} in {holders} {'matrix' if holders == 1 else 'matrices'}"


def notes(layers: Sequence[Layer]) -> list[str]:
    """Return the notes of layers, alike ones together: ``names: note``, not yet escaped.

    Example:
        >>> notes([{"name": "a", "note": "is zero."}, {"name": "b", "note": "is zero."}, {"name": "c"}])
        ['a, b: is zero.']
    """
    names: dict[str, list[str]] = {}
    for layer in layers:
        if layer.get("note"):
            names.setdefault(layer["note"], []).append(layer["name"])
    return [f"{_few(group)}: {note}" for note, group in names.items()]


def _few(names: Sequence[str], most: int = 3) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def scan_page(found: Mapping[str, Any], spectra: Sequence[Mapping[str, Any] | None], *, chosen: bool = False) -> str:
    """Return the page of a scan as a self-contained HTML document.

    Args:
        found: the document of ``grokscope scan --json``.
        spectra: of each layer what ``grokscope.execution.spectrum_data.binned`` gives, or None.
        chosen: see :func:`columns`.
    """
    layers, summary = found["layers"], found["summary"]
    shown = columns(list(found["measures"]), layers, chosen=chosen)
    overview = exponents([_point(layer) for layer in layers if layer["kind"]])
    card = figure_card(
        "exponents",
        "Exponents of the tails",
        "α of each matrix with its standard error, hollow where fewer than 50 eigenvalues are in the tail. Random "
        "matrices have 5 to 10.",
        overview,
    )
    said = found["notes"]
    parts = [
        ("overview", "Overview", card if overview["data"] else ""),
        ("layers", "Matrices", _table(layers, spectra, shown)),
        ("notes", "Notes", "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in said) + "</ul>" if said else ""),
        ("spectra", "Spectra", _spectra(layers, spectra)),
    ]
    figures = bool(overview["data"]) or any(one is not None for one in spectra)
    return document(
        title=str(found["file"]).rstrip("/").rpartition("/")[2],
        subtitle=f"{found['file']} · {found['format']}",
        lead=_lead(sentences(summary)),
        facts=[],
        parts=parts,
        footer="Made by grokscope scan from the weights alone.",
        javascript="inline" if figures else None,
    )


def _lead(told: Sequence[str]) -> str:
    """Return what was found as a paragraph, and what it does not say in small print."""
    plain = [text for text in told if text != CAUTION]
    caution = f'<p class="note">{escape(CAUTION)}</p>' if len(plain) < len(told) else ""
    return f'<p class="summary">{escape(" ".join(plain))}</p>{caution}'


def _point(layer: Layer) -> dict[str, Any]:
    tail = _value(layer, "tail_count")
    return {
        "name": layer["name"], "kind": layer["kind"], "alpha": _value(layer, "alpha"),
        "sigma": _value(layer, "sigma"), "few": tail < 50,
    }  # fmt: skip


def _value(layer: Layer, key: str) -> float:
    """Return a key of ``htsr``, whatever its options are; NaN where it is not there."""
    found = (value for name, value in layer.items() if name.startswith("htsr") and name.rpartition("/")[2] == key)
    return float(next(found, math.nan))


def _table(layers: Sequence[Layer], spectra: Sequence[Any], shown: Sequence[tuple[str, str]]) -> str:
    rows = []
    for place, (layer, spectrum) in enumerate(zip(layers, spectra, strict=True)):
        name = f"<code>{escape(layer['name'])}</code>"
        if spectrum is not None:
            name = f'<a href="#layer-{place}">{name}</a>'
        note = f'<p class="note">{escape(layer["note"])}</p>' if layer.get("note") else ""
        cells = [("Matrix", f'{name} <span class="note">{escape(_about(layer))}</span>{note}')]
        cells += [(heading, escape(cell(layer.get(key)))) for heading, key in shown]
        rows.append(row(cells))
    drawn = table("Weight matrices", ("Matrix", *(heading for heading, _ in shown)), "".join(rows), stacking=False)
    meant = [f"{heading}: {MEANING[heading]}" for heading, _ in shown if heading in MEANING]
    return f'<div class="dense">{drawn}</div>' + (f'<p class="note">{escape("; ".join(meant))}.</p>' if meant else "")


def cell(value: Any) -> str:
    """Return a number of a layer as a table shows it: three digits, a dash for what is not one.

    Example:
        >>> cell(3.4567), cell(math.nan), cell(None)
        ('3.46', '–', '–')
    """
    return "–" if value is None or not math.isfinite(value) else number(value, 3)


def shape_text(shape: Sequence[int]) -> str:
    """Return a shape as it is read: ``768×2304``."""
    return "×".join(map(str, shape))


def _about(layer: Layer) -> str:
    tied = f" · tied with {', '.join(layer['tied'])}" if layer.get("tied") else ""
    return " · ".join(filter(None, [layer["kind"], shape_text(layer["shape"]), layer["dtype"]])) + tied


def _spectra(layers: Sequence[Layer], spectra: Sequence[Mapping[str, Any] | None]) -> str:
    drawn = [(place, layer, one) for place, (layer, one) in enumerate(zip(layers, spectra, strict=True)) if one]
    unfold = " open" if len(drawn) <= OPEN else ""
    parts = []
    for place, layer, spectrum in drawn:
        alpha = _value(layer, "alpha")
        short = f" · α = {cell(alpha)}" if math.isfinite(alpha) else ""
        figure = figure_card(f"spectrum-{place}", "Eigenvalues", _caption(layer, spectrum), density_and_tail(spectrum))
        parts.append(
            f'<details class="layer" id="layer-{place}"{unfold}><summary><code>{escape(layer["name"])}</code> '
            f'<span class="note">{escape(_about(layer) + short)}</span></summary>{figure}</details>'
        )
    return "".join(parts)


def _caption(layer: Layer, spectrum: Mapping[str, Any]) -> str:
    told = [f"{spectrum['count']:,} eigenvalues."]
    if math.isfinite(alpha := _value(layer, "alpha")):
        told.append(
            f"The tail from λ = {cell(_value(layer, 'xmin'))} on has {cell(_value(layer, 'tail_count'))} of them: "
            f"α = {cell(alpha)} ± {cell(_value(layer, 'sigma'))}, distance D = {cell(_value(layer, 'distance'))}."
        )
    told += [layer["note"][:1].upper() + layer["note"][1:]] if layer.get("note") else []
    return " ".join(told)
