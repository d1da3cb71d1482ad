"""Figures and pages from stored numbers: nothing is computed here, and nothing is asked of a network."""

from grokscope.report.figures import Band, Curve, band, lines, spectrum
from grokscope.report.page import page, plotly_javascript
from grokscope.report.runs import array_over_steps, curve, describe

__all__ = [
    "Band",
    "Curve",
    "array_over_steps",
    "band",
    "curve",
    "describe",
    "lines",
    "page",
    "plotly_javascript",
    "spectrum",
]
