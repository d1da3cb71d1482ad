"""The page of a scan: tables and figures from plain numbers, nothing read as HTML."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest

from grokscope.report.esd import density_and_tail, exponents
from grokscope.report.scan import CAUTION, OPEN, columns, notes, scan_page, sentences

SPECTRUM: dict[str, Any] = {
    "edges": [0.1, 1.0, 10.0],
    "centres": [0.3, 3.0],
    "density": [0.5, 0.05],
    "points": [0.2, 1.0, 9.0],
    "exceeding": [1.0, 0.66, 0.33],
    "law": {"x": [1.0, 9.0], "density": [0.2, 0.01], "exceeding": [0.66, 0.1]},
    "bulk": {"x": [0.1, 1.0], "density": [1.0, 0.1], "exceeding": [1.0, 0.1]},
    "count": 4,
    "hidden": 1,
    "alpha": 3.5,
    "xmin": 1.0,
}
SUMMARY: dict[str, Any] = {
    "matrices": 2, "not_measured": 1, "mean_alpha": 3.5, "alphas": 2, "alpha_below_2": 1, "alpha_above_6": 0,
    "alpha_on_few": 2, "spikes": 3.0, "matrices_with_spikes": 1, "traps": 0.0, "matrices_with_traps": 0,
}  # fmt: skip


def layer(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "linear", "shape": [4, 8], "dtype": "float32", **more}


def document(*layers: dict[str, Any]) -> dict[str, Any]:
    return {
        "file": "models/<m>.safetensors", "format": "safetensors", "measures": {"htsr": 1}, "summary": SUMMARY,
        "notes": ["3 vectors & biases."], "layers": list(layers),
    }  # fmt: skip


def test_a_spectrum_has_its_laws_in_both_panels() -> None:
    figure = density_and_tail(SPECTRUM)
    assert [(trace["name"], trace["yaxis"]) for trace in figure["data"]] == [
        (name, axis)
        for axis in ("y", "y2")
        for name in ("eigenvalues", "Marchenko–Pastur bulk", "power law, α = 3.5 from λ = 1")
    ]
    assert [trace["showlegend"] for trace in figure["data"]] == [True] * 3 + [False] * 3
    assert "1 of 4 eigenvalues are too small" in json.dumps(figure["layout"]["annotations"])
    for axis in ("xaxis", "yaxis", "xaxis2", "yaxis2"):
        assert figure["layout"][axis]["type"] == "log"
    bare = density_and_tail({**SPECTRUM, "law": None, "bulk": None, "hidden": 0})
    assert len(bare["data"]) == 2
    assert "too small" not in json.dumps(bare["layout"]["annotations"])


def test_exponents_by_kind_in_the_order_of_the_file() -> None:
    points = [
        {"name": "a", "kind": "attention", "alpha": 3.0, "sigma": 0.1, "few": True},
        {"name": "b", "kind": "linear", "alpha": math.nan, "sigma": math.nan, "few": True},
        {"name": "c", "kind": "linear", "alpha": 4.0, "sigma": 0.2, "few": False},
    ]
    traces = exponents(points)["data"]
    assert [(trace["name"], trace["x"], trace["y"]) for trace in traces] == [
        ("linear", [3], [4.0]),
        ("attention", [1], [3.0]),
    ]
    assert [trace["marker"]["symbol"] for trace in traces] == [["circle"], ["circle-open"]]
    assert exponents(points[1:2])["data"] == []
    assert exponents(points)["layout"]["xaxis"]["dtick"] == 1
    assert "dtick" not in exponents(points * 10)["layout"]["xaxis"]


def test_the_page_reads_nothing_as_html() -> None:
    bad = layer("<script>alert(1)</script>", note="is <b>bold</b>.", **{"htsr/alpha": 3.5})
    html = scan_page(document(bad), [SPECTRUM])
    body = html.partition("<body>")[2]
    assert "<script>alert" not in body
    assert "<b>bold" not in body
    assert "&lt;m&gt;.safetensors" in body
    assert "3 vectors &amp; biases." in body


def test_rows_lead_to_their_spectra_where_there_are_some() -> None:
    layers = [layer("a", **{"htsr/alpha": 3.5, "htsr/tail_count": 60}), layer("b", kind=None, note="is empty.")]
    html = scan_page(document(*layers), [SPECTRUM, None])
    assert '<a href="#layer-0"><code>a</code></a>' in html
    assert '<details class="layer" id="layer-0" open>' in html
    assert 'href="#layer-1"' not in html
    assert "is empty." in html
    assert "α: exponent of the power law of the tail; tail: eigenvalues in it." in html


def test_many_spectra_are_folded() -> None:
    layers = [layer(str(index), **{"htsr/alpha": 3.0}) for index in range(OPEN + 1)]
    html = scan_page(document(*layers), [SPECTRUM] * len(layers))
    assert len(re.findall(r'<details class="layer" id="layer-\d+">', html)) == len(layers)


def test_a_page_without_spectra_needs_no_javascript() -> None:
    html = scan_page(document(layer("a", **{"norms/l2": 1.0})), [None])
    assert "plotly" not in html
    assert len(html) < 20_000


def test_sentences_say_what_was_found_and_what_it_does_not_show() -> None:
    assert sentences(SUMMARY) == [
        "2 matrices, and 1 tensor that was not measured.",
        "Mean α 3.5 over 2: 1 below 2, 0 above 6; 2 rest on fewer than 50 eigenvalues and are rough.",
        "Spikes beyond the Marchenko–Pastur edge: 3 in 1 matrix.",
        "Correlation traps: none.",
        CAUTION,
    ]
    none = {**SUMMARY, "not_measured": 0, "mean_alpha": None, "spikes": None, "traps": None, "matrices": 1}
    assert sentences(none) == ["1 matrix."]


def test_columns() -> None:
    layers = [layer("a", **{"htsr/alpha": 1.0, "norms/l1": 2.0, "mine/x": 3.0})]
    measures = ["htsr", "norms", "mine"]
    assert columns(measures, layers) == [("α", "htsr/alpha"), ("x", "mine/x")]
    assert columns(measures, layers, chosen=True) == [("α", "htsr/alpha"), ("l1", "norms/l1"), ("x", "mine/x")]


@pytest.mark.parametrize(("count", "names"), [(2, "0, 1"), (3, "0, 1, 2"), (5, "0, 1, 2 and 2 more")])
def test_alike_notes_come_together(count: int, names: str) -> None:
    assert notes([layer(str(index), note="is zero.") for index in range(count)]) == [f"{names}: is zero."]
