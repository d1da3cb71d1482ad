"""Values and text from runs as safe HTML and JSON."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.report.theme import SUPERSCRIPTS

DIGITS = 6
"""Significant digits of the numbers in a page's figures."""


def escape(value: object) -> str:
    """Return text for HTML, inside an element or an attribute."""
    return html.escape(str(value), quote=True)


def number(value: object, digits: int = 4) -> str:
    """Return a stored value as a person reads it, not yet escaped; None is ``–``.

    Example:
        >>> number(2500), number(0.93124), number(3.2e-5), number(None)
        ('2,500', '0.9312', '3.2·10⁻⁵', '–')
    """
    if value is None:
        return "–"
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | float | np.integer | np.floating):
        value = float(value)
        if math.isfinite(value) and value == int(value) and abs(value) < 1e9:
            return f"{int(value):,}"
        text = f"{value:,.{digits}g}" if abs(value) < 1e6 else f"{value:.{digits}g}"
        factor, _, power = text.partition("e")
        return f"{factor}·10{str(int(power)).translate(SUPERSCRIPTS)}" if power else text
    return str(value)


def duration(seconds: float | None) -> str:
    """Return seconds as ``12.3 s``, ``4 min 10 s`` or ``2 h 05 min``; None is ``–``.

    Example:
        >>> duration(250)
        '4 min 10 s'
    """
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def bytes_text(count: int) -> str:
    """Return a number of bytes as a person reads it, in powers of 1000.

    Example:
        >>> bytes_text(512), bytes_text(1_250_000)
        ('512 B', '1.25 MB')
    """
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= 999.5 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.3g} {units[0]}"


def row(cells: Iterable[tuple[str, str]]) -> str:
    """Return a table row of (column heading, HTML) cells; narrow screens show the heading in the cell."""
    inside = "".join(f'<td data-label="{escape(label)}">{content}</td>' for label, content in cells)
    return f"<tr>{inside}</tr>"


def table(caption: str, heads: Sequence[str], rows: str, *, stacking: bool = True) -> str:
    """Return a table that scrolls by itself; ``stacking`` turns its rows into cards on narrow screens."""
    head = "".join(f'<th scope="col">{escape(one)}</th>' for one in heads)
    kind = ' class="stacking"' if stacking else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table{kind}>'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def step_text(value: object) -> str:
    """Return a step as it is read, to the nearest whole one; not a number is ``–``."""
    return number(round(float(value))) if isinstance(value, int | float) else "–"


def setting(value: object) -> str:
    """Return a value of a spec as it would be typed after ``--set KEY=``: JSON, strings bare."""
    return value if isinstance(value, str) else json.dumps(_plain(value, None), ensure_ascii=False)


def script_json(value: object) -> str:
    r"""Return JSON that may stand in a ``<script>`` element, numbers to 6 significant digits.

    Arrays become lists, what is not finite null; integers keep all digits. ``<``, ``>``, ``&`` and
    the line separators of JavaScript are written as escapes.

    Example:
        >>> print(script_json({"name": "</script>", "y": np.array([1 / 3, np.nan])}))
        {"name":"\u003c/script\u003e","y":[0.333333,null]}
    """
    document = json.dumps(_plain(value, DIGITS), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for character in "<>&\u2028\u2029":
        document = document.replace(character, f"\\u{ord(character):04x}")
    return document


def _plain(value: Any, digits: int | None) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one, digits) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, digits) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist(), digits)
    if isinstance(value, float):
        if not math.isfinite(value):
            return None if digits is not None else str(value)
        if digits is None:
            return value
        if value.is_integer() and abs(value) < 2**53:
            return int(value)
        return float(f"{value:.{digits}g}")
    if value is None or isinstance(value, str | int):
        return value
    return str(value)
