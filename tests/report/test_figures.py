from __future__ import annotations

import json

import numpy as np
import pytest
from plotly import graph_objects

from grokscope.errors import UsageError
from grokscope.report import Band, Curve, band, lines
from grokscope.report.theme import PHASE_COLOURS, curve_style, phase_colour, tick_text

STEPS = np.array([0, 10, 100, 1000])
VALUES = np.array([4.0, 2.0, 1.0, 0.5])


def drawn(figure):
    """The figure, valid: plotly refuses a property that does not exist, JSON a number that is none."""
    graph_objects.Figure(figure)
    json.dumps(figure, allow_nan=False)
    return figure


def curves_of(figure):
    return [trace for trace in figure["data"] if trace.get("legend") != "legend2" and "fill" not in trace]


def test_lines_is_a_valid_figure_with_titles_on_both_axes():
    figure = drawn(
        lines(
            "Loss", [Curve("train", STEPS, VALUES), Curve("norm", STEPS, VALUES, axis="right")],
            y_title="cross-entropy (nats)", log_y=True, right_title="norm", right_log=True,
            bands=[Band("memorisation", 0, 100), Band("generalised", 100, None)], y_range=(1e-3, 10),
        )
    )  # fmt: skip
    layout = figure["layout"]
    assert layout["yaxis"]["title"]["text"] == "cross-entropy (nats)"
    assert layout["yaxis"]["type"] == "log"
    assert layout["yaxis"]["range"] == pytest.approx([-3, 1])
    assert layout["yaxis2"]["side"] == "right"
    assert layout["xaxis"]["type"] == "log"
    assert [trace.get("yaxis") for trace in curves_of(figure)] == [None, "y2"]
    assert layout["hovermode"] == "x unified"
    sizes = [layout["font"]["size"], layout["legend"]["font"]["size"], layout["legend2"]["font"]["size"]]
    assert min(sizes) >= 13


def test_plotly_would_have_refused_a_property_that_does_not_exist():
    figure = lines("", [], y_title="loss")
    figure["layout"]["xaxis"]["typo"] = 1
    with pytest.raises(ValueError):
        graph_objects.Figure(figure)


def test_step_zero_is_shown_and_every_point_knows_its_own_step():
    trace = drawn(lines("", [Curve("loss", STEPS, VALUES)], y_title="loss"))["data"][0]
    assert trace["x"] == [5.0, 10.0, 100.0, 1000.0]
    assert trace["customdata"] == [0, 10, 100, 1000]


def test_what_cannot_be_drawn_is_a_gap():
    values = np.array([1.0, np.nan, np.inf, 2.0])
    assert lines("", [Curve("a", STEPS, values)], y_title="a")["data"][0]["y"] == [1.0, None, None, 2.0]
    values = np.array([1.0, 0.0, -3.0, 2.0])
    trace = drawn(lines("", [Curve("a", STEPS, values)], y_title="a", log_y=True))["data"][0]
    assert trace["y"] == [1.0, None, None, 2.0]
    assert not trace["connectgaps"]
    assert lines("", [Curve("a", STEPS, values)], y_title="a")["data"][0]["y"] == [1.0, 0.0, -3.0, 2.0]


def test_points_are_drawn_by_step_whatever_the_order_they_came_in():
    order = np.array([2, 0, 3, 1])
    trace = lines("", [Curve("a", STEPS[order], VALUES[order])], y_title="a")["data"][0]
    assert trace["customdata"] == [0, 10, 100, 1000]
    assert trace["y"] == VALUES.tolist()


def test_a_lone_point_between_gaps_of_a_long_curve_is_visible():
    values = np.full(100, np.nan)
    values[50] = 1.0
    assert lines("", [Curve("a", np.arange(100), values)], y_title="a")["data"][0]["mode"] == "lines+markers"
    assert lines("", [Curve("a", np.arange(100), np.ones(100))], y_title="a")["data"][0]["mode"] == "lines"


def test_phases_are_shaded_over_the_whole_height_and_named_once_above():
    bands = [
        Band("memorisation", 0, 50),
        Band("cleanup", 50, 51),
        Band("memorisation", 51, 200),
        Band("generalised", 200, None),
        Band("never", 2000, 1500),
    ]
    figure = drawn(lines("", [Curve("a", STEPS, VALUES)], y_title="a", bands=bands))
    shapes, layout = figure["layout"]["shapes"], figure["layout"]
    assert [(shape["yref"], shape["y0"], shape["y1"], shape["layer"]) for shape in shapes] == [
        ("paper", 0, 1, "below")
    ] * 4
    assert [shape["fillcolor"] for shape in shapes][::2] == [PHASE_COLOURS["memorisation"]] * 2
    low, high = (10**end for end in layout["xaxis"]["range"])
    assert shapes[0]["x0"] == pytest.approx(low)
    assert shapes[0]["x1"] == shapes[1]["x0"] == 50
    assert shapes[-1]["x1"] == pytest.approx(high)
    named = [trace["name"] for trace in figure["data"] if trace.get("legend") == "legend2"]
    assert named == ["memorisation", "cleanup", "generalised"]


def test_every_phase_has_its_own_colour_and_an_unknown_one_keeps_the_colour_it_got():
    assert len(set(PHASE_COLOURS.values())) == len(PHASE_COLOURS)
    assert phase_colour("confusion") == phase_colour("confusion")


def test_no_two_of_many_curves_look_alike():
    assert len({curve_style(number) for number in range(20)}) == 20


def test_a_ribbon_lies_behind_its_line_and_stops_at_gaps():
    low, mid, high = VALUES - 0.1, VALUES.copy(), VALUES + 0.1
    low[1] = mid[1] = np.nan
    figure = drawn(lines("", [band("median of 3", STEPS, low, mid, high, colour="#0072B2")], y_title="a"))
    *ribbons, line = figure["data"]
    assert [len(ribbon["x"]) for ribbon in ribbons] == [2, 4]
    assert ribbons[1]["x"] == [100.0, 1000.0, 1000.0, 100.0]
    assert ribbons[1]["y"] == pytest.approx([0.9, 0.4, 0.6, 1.1])
    assert ribbons[0]["fillcolor"] == "rgba(0,114,178,0.18)"
    assert not any(ribbon["showlegend"] for ribbon in ribbons)
    assert line["y"] == [4.0, None, 1.0, 0.5]


def test_a_long_curve_keeps_its_extremes_and_the_figure_says_that_it_was_shortened():
    values = np.random.default_rng(0).standard_normal(20_000)
    values[7777], values[17], values[0] = 50.0, -50.0, 1.25
    figure = drawn(lines("", [Curve("step/loss", np.arange(20_000), values)], y_title="loss", log_x=False))
    trace = figure["data"][0]
    assert {50.0, -50.0, 1.25} <= set(trace["y"])
    assert len(trace["x"]) == len(trace["y"]) == len(trace["customdata"]) <= 2000
    assert figure["layout"]["meta"] == {"decimated": {"step/loss": [len(trace["x"]), 20_000]}}
    assert "of 20,000 points" in figure["layout"]["xaxis"]["title"]["text"]
    short = lines("", [Curve("a", STEPS, VALUES)], y_title="a")
    assert short["layout"]["meta"] == {"decimated": {}}


def test_names_are_shown_letter_by_letter():
    figure = drawn(
        lines("<b>t", [Curve("<a href='x'>&lt;", STEPS, VALUES)], y_title="<i>y", bands=[Band("<b>p", 0, None)])
    )
    texts = [trace["name"] for trace in figure["data"]]
    texts += [figure["layout"]["title"]["text"], figure["layout"]["yaxis"]["title"]["text"]]
    assert not any("<" in text for text in texts)
    assert texts[0] == "&lt;a href='x'&gt;&amp;lt;"


@pytest.mark.parametrize("curves", [[], [Curve("a", np.zeros(0, int), np.zeros(0))]])
def test_nothing_to_draw_is_still_a_figure(curves):
    drawn(lines("", curves, y_title="a", log_y=True, bands=[Band("memorisation", 0, None)]))


def test_wrong_curves_are_refused_with_what_to_do():
    with pytest.raises(UsageError, match=r"lengths \[4, 3\]"):
        lines("", [Curve("a", STEPS, VALUES[:3])], y_title="a")
    with pytest.raises(UsageError, match="right_title"):
        lines("", [Curve("a", STEPS, VALUES, axis="right")], y_title="a")
    with pytest.raises(UsageError, match="both low and high"):
        lines("", [Curve("a", STEPS, VALUES, low=VALUES)], y_title="a")


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, "5·10⁻¹"), (1, "1"), (100_000, "100,000"), (1e6, "10⁶"), (2e7, "2·10⁷")]
)
def test_tick_text(value, text):
    assert tick_text(value) == text
