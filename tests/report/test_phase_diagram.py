"""Phase diagrams: where cells, contours and marks are, and what is refused."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from plotly import graph_objects

from grokscope.errors import UsageError
from grokscope.report.phase_diagram import CENSORED, COLOURS, GridAxis, phase_diagram
from grokscope.report.printing import draw


def cell(values: dict[str, Any], fit: float | None, generalise: float | None, **more: Any) -> dict[str, Any]:
    ratio = generalise / fit if fit and generalise else None
    state = "generalised" if generalise is not None else "never generalised" if fit is not None else "never fitted"
    return {
        "values": values,
        "fit_step": fit,
        "fit_interval": None if fit is None else [fit, fit],
        "generalise_step": generalise,
        "interval": None if generalise is None else [generalise / 2, 2 * generalise],
        "delay_ratio": ratio,
        "delay_steps": None if ratio is None else generalise - fit,  # type: ignore[operator]
        "state": state,
        "never": int(generalise is None),
        "never_fitted": int(fit is None),
        "failed": 0,
        "diverged": 0,
        "last_step": 5000,
        "seeds": [0, 1],
        "theory": {},
        **more,
    }


# fitted at 10/a, generalised at 100/(a b) for a scale a and a decay b
GRID = [
    cell(
        {"a": a, "b": b},
        10 / a,
        100 / (a * b) if b < 1 else None,
        theory={"1/b": 10 / b, "late": None},
    )
    for b in (0.01, 0.1, 1.0)
    for a in (1, 10, 100)
]


def valid(figure: dict[str, Any]) -> dict[str, Any]:
    graph_objects.Figure(figure)
    json.dumps(figure, allow_nan=False)
    draw(figure)
    return figure


def named(figure: dict[str, Any], word: str) -> dict[str, Any]:
    (trace,) = [one for one in figure["data"] if word in one.get("name", "")]
    return trace


def test_cells_have_the_colour_of_their_delay() -> None:
    figure = valid(phase_diagram("T", GRID, ["a", "b"]))
    heat = figure["data"][0]
    # log10 of 10 / b, rows by b: 3, 2 and nothing where it never generalised
    assert heat["z"] == [[3.0] * 3, [2.0] * 3, [None] * 3]
    assert (heat["x"], heat["y"]) == ([-0.5, 0.5, 1.5, 2.5], [-2.5, -1.5, -0.5, 0.5])
    assert figure["layout"]["xaxis"]["ticktext"] == ["1", "10", "100"]
    assert figure["layout"]["coloraxis"]["colorbar"]["title"]["text"] == COLOURS["delay_ratio"]
    told = heat["customdata"][0][1]
    assert "a = 10<br>b = 0.01" in told
    assert "generalised at 1,000 (500 to 2,000)" in told
    by_steps = phase_diagram("T", GRID, ["a", "b"], colour="generalise_step")
    assert by_steps["data"][0]["z"][0] == pytest.approx([4, 3, 2])


def test_lines_join_cells_of_the_same_step() -> None:
    figure = phase_diagram("T", GRID, ["a", "b"])
    generalise = named(figure, "generalise at")
    points = [(x, y) for x, y in zip(generalise["x"], generalise["y"], strict=True) if x is not None]
    # 100 / (a b) = 10^k: in logarithms a straight line, of which only the part among coloured cells is drawn
    assert all(any(abs(2 - x - y - k) < 1e-9 for k in (2, 3)) for x, y in points)
    assert generalise["name"] == "generalise at 100, 1,000"
    fit = named(figure, "fit at")
    assert sorted({x for x in fit["x"] if x is not None}) == pytest.approx([1 - math.log10(at) for at in (5, 1, 0.2)])
    assert fit["line"]["dash"] == "dot"
    theory = named(figure, "1/b")
    assert {y for y in theory["y"] if y is not None} == {-1.0, -2.0}
    assert theory["line"]["dash"] == "dash"
    assert not [one for one in figure["data"] if "late" in one.get("name", "")]
    texts = {one["text"] for one in figure["layout"]["annotations"]}
    assert {"100", "1,000"} <= texts


def test_what_has_no_delay_says_why() -> None:
    rows = [
        cell({"a": 1, "b": 1}, 10, 100),
        cell({"a": 1, "b": 2}, 10, None),
        cell({"a": 2, "b": 1}, None, None),
        cell({"a": 2, "b": 2}, None, None, state="failed", failed=2),
    ]
    figure = valid(phase_diagram("T", rows, ["a", "b"]))
    places = {name: (named(figure, name)["x"], named(figure, name)["y"]) for name in CENSORED}
    assert places == {
        "never generalised": ([1.0], [2.0]),
        "never fitted": ([2.0], [1.0]),
        "failed": ([2.0], [2.0]),
    }
    symbols = {named(figure, name)["marker"]["symbol"] for name in CENSORED}
    assert len(symbols) == 3
    told = figure["data"][0]["customdata"][1][0]
    assert "1 never generalised, 0 never fitted, 0 diverged, 0 failed of 2 seeds" in told


def test_cells_that_are_not_there_are_blank() -> None:
    figure = valid(phase_diagram("T", GRID[:-2], ["a", "b"], note="a note"))
    assert figure["data"][0]["customdata"][2][1:] == ["", ""]
    assert phase_diagram("T", [], ["a"])["data"] == []


def test_one_key_gives_curves_over_it() -> None:
    rows = [cell({"a": a}, 10, 1000 / a if a < 100 else None, theory={"1/a": 500 / a}) for a in (100, 1, 10)]
    figure = valid(phase_diagram("T", rows, ["a"], labels={"a": "rate"}, unit="time t"))
    curve = next(one for one in figure["data"] if one["name"].startswith("generalised") and one["mode"] != "lines")
    assert (curve["x"], curve["y"]) == ([1.0, 10.0, 100.0], [1000.0, 100.0, None])
    assert curve["name"] == "generalised (2 seeds: median, range)"
    assert named(figure, "1/a")["y"] == [500.0, 50.0, 5.0]
    assert named(figure, "1/a")["line"]["dash"] == "dash"
    assert figure["layout"]["xaxis"]["type"] == figure["layout"]["yaxis"]["type"] == "log"
    assert figure["layout"]["xaxis"]["title"]["text"] == "rate"
    mark = named(figure, "never generalised by then")
    assert (mark["x"], mark["y"]) == ([100.0], [5000.0])


def test_values_that_are_no_numbers_stand_in_their_order() -> None:
    rows = [cell({"a": word}, 10, 100) for word in ("relu", "gelu", "tanh")]
    figure = valid(phase_diagram("T", rows, ["a"]))
    assert figure["layout"]["xaxis"]["ticktext"] == ["relu", "gelu", "tanh"]


@pytest.mark.parametrize(
    ("values", "kind", "places"),
    [
        ((1, 10, 100), "log", [0, 1, 2]),
        ((8, 1, 2, 4), "log", np.log10([1, 2, 4, 8])),
        ((1, 2, 3), "linear", [1, 2, 3]),
        ((0, 0.5, 1), "linear", [0, 0.5, 1]),
        ((0, 0.1, 1, 10), "order", [0, 1, 2, 3]),
        ((-2, 0, 2), "linear", [-2, 0, 2]),
        ((True, False), "order", [0, 1]),
        (("b", "a"), "order", [0, 1]),
        ((3,), "linear", [3]),
        (((1, 2), (3, 4)), "order", [0, 1]),
    ],
)
def test_an_axis_is_logarithmic_where_values_are_ratios(values: Any, kind: str, places: Any) -> None:
    axis = GridAxis.of("a", [{"values": {"a": value}} for value in values])
    assert axis.kind == kind
    assert axis.places == pytest.approx(places)
    assert len(axis.edges) == len(values) + 1
    assert sorted(axis.edges) == axis.edges
    assert axis.layout("a")["ticktext"]


def test_what_cannot_be_drawn_is_told() -> None:
    with pytest.raises(UsageError, match="is to have the keys none: name one key, or two"):
        phase_diagram("T", GRID, [])
    with pytest.raises(UsageError, match="a, b, c"):
        phase_diagram("T", GRID, ["a", "b", "c"])
    with pytest.raises(UsageError, match="unknown colour of a phase diagram 'delay': did you mean"):
        phase_diagram("T", GRID, ["a", "b"], colour="delay")
    with pytest.raises(UsageError, match="lacks c: it has a, b"):
        phase_diagram("T", GRID, ["a", "c"])
    with pytest.raises(UsageError, match="two rows of the phase diagram have a = "):
        phase_diagram("T", GRID, ["a"])
