from __future__ import annotations

import json

import numpy as np
import pytest
from plotly import graph_objects

from grokscope.report.panels import Panel, panels
from grokscope.report.slider import chosen_moments, with_slider

POINT = {"type": "scatter", "x": [1], "y": [2]}


def made(count, columns=3, **more):
    figure = panels(
        "Title", [Panel(f"<{n}>", [POINT], x={"text": "a & b"}) for n in range(count)], columns=columns, **more
    )
    graph_objects.Figure(figure)
    json.dumps(figure, allow_nan=False)
    return figure


def boxes(layout, count):
    tails = ["", *map(str, range(2, count + 1))]
    return [(*layout[f"xaxis{tail}"]["domain"], *layout[f"yaxis{tail}"]["domain"]) for tail in tails]


@pytest.mark.parametrize("count", [1, 2, 4, 6, 7])
@pytest.mark.parametrize("way", ["wide", "narrow"])
def test_panels_lie_inside_and_never_on_one_another(count, way):
    layout = made(count)["layout"]
    for place, value in layout["meta"][way].items():
        axis, _, part = place.partition(".")
        if part:
            layout[axis][part] = value
    found = boxes(layout, count)
    assert all(0 <= left < right <= 1 and 0 <= low < high <= 1 for left, right, low, high in found)
    for one in range(count):
        for other in range(one):
            a, b = found[one], found[other]
            assert a[1] < b[0] or b[1] < a[0] or a[3] < b[2] or b[3] < a[2]


def test_a_narrow_screen_has_fewer_in_a_row_and_a_taller_figure():
    meta = made(6)["layout"]["meta"]
    columns = {
        way: len({tuple(v) for k, v in meta[way].items() if k.startswith("xaxis")}) for way in ("wide", "narrow")
    }
    assert columns == {"wide": 3, "narrow": 1}
    assert meta["narrow"]["height"] > meta["wide"]["height"]


def test_titles_are_text_and_stand_over_their_panels():
    layout = made(2, note="seed <1>")["layout"]
    first, second, note = layout["annotations"]
    assert (first["text"], first["xref"], second["yref"]) == ("&lt;0&gt;", "x domain", "y2 domain")
    assert (note["text"], note["yref"]) == ("seed &lt;1&gt;", "paper")
    assert layout["xaxis2"]["title"]["text"] == "a &amp; b"
    assert layout["yaxis2"]["scaleanchor"] == "x2"


def test_no_panels_are_a_figure_without_data():
    assert panels("Title", [], columns=2)["data"] == []


STEPS = [0, 1, 2, 5, *range(100, 40_001, 100)]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 24, 1000])
def test_moments_are_real_ascending_and_hold_the_last(limit):
    chosen = chosen_moments(STEPS, limit)
    assert len(chosen) == min(limit, len(STEPS))
    assert chosen == sorted(set(chosen))
    assert chosen[-1] == len(STEPS) - 1
    assert limit == 1 or chosen[0] == 0


def test_moments_are_spread_by_ratio():
    late = [STEPS[place] for place in chosen_moments(STEPS, 24) if STEPS[place] >= 2000]
    ratios = np.array(late[1:]) / np.array(late[:-1])
    assert ratios.max() < 1.45
    assert ratios.min() > 1.1


def test_a_slider_starts_at_the_figure_and_names_its_moments():
    frames = [[{"x": [n]}, {"x": [n]}] for n in range(3)]
    figure = with_slider(
        made(2), frames, ["0", "10 · memorisation", "20"], titles=[["a", "b"], ["c", "<d>"], ["e", "f"]]
    )
    graph_objects.Figure(figure)
    slider = figure["layout"]["sliders"][0]
    assert slider["active"] == 2
    assert [step["label"] for step in slider["steps"]] == ["0", "10 · memorisation", "20"]
    assert [frame["name"] for frame in figure["frames"]] == [step["args"][0][0] for step in slider["steps"]]
    assert all(frame["traces"] == [0, 1] for frame in figure["frames"])
    assert [one["text"] for one in figure["frames"][1]["layout"]["annotations"]] == ["c", "&lt;d&gt;"]
    assert figure["layout"]["meta"]["wide"]["height"] == figure["layout"]["height"]


def test_one_moment_needs_no_slider():
    figure = with_slider(made(1), [[{"x": [1]}]], ["0"])
    assert "frames" not in figure
    assert "sliders" not in figure["layout"]
