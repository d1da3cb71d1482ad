from __future__ import annotations

import json

import numpy as np
import pytest
from plotly import graph_objects

from grokscope.errors import UsageError
from grokscope.report import spectrum

STEPS = np.array([0, 2, 8, 32])


def made(values=None, steps=STEPS, frequencies=26, **more):
    rows = np.arange(1, frequencies + 1)
    values = np.random.default_rng(0).random((frequencies, len(steps))) if values is None else values
    figure = spectrum("Spectrum", rows, steps, values, colour_title="norm", **more)
    graph_objects.Figure(figure)
    json.dumps(figure, allow_nan=False)
    return figure


def test_cells_reach_half_way_to_their_neighbours_on_the_log_axis():
    heat = made()["data"][0]
    assert heat["type"] == "heatmap"
    assert heat["x"] == pytest.approx([2**-0.5, 2**0.5, 4, 16, 64])
    assert len(heat["x"]) == len(heat["z"][0]) + 1
    assert heat["customdata"][0] == [0, 2, 8, 32]


def test_cells_reach_half_way_on_a_linear_axis_too():
    assert made(log_x=False)["data"][0]["x"] == pytest.approx([-1, 1, 5, 20, 44])


def test_values_follow_their_step_whatever_the_order():
    values = np.arange(8.0).reshape(2, 4)
    values[1, 2] = np.nan
    figure = made(values[:, ::-1], STEPS[::-1], frequencies=2)
    assert figure["data"][0]["z"] == [[0, 1, 2, 3], [4, 5, None, 7]]


def test_key_frequencies_are_marked_named_and_ticked():
    figure = made(key_frequencies=(21, 7, 14))
    marks = figure["data"][1]
    assert marks["y"] == [7, 14, 21]
    assert marks["name"] == "key frequencies: 7, 14, 21"
    assert marks["x"] == [figure["data"][0]["x"][-1]] * 3
    ticks = figure["layout"]["yaxis"]
    bold = [text for text in ticks["ticktext"] if text.startswith("<b>")]
    assert bold == ["<b>7</b>", "<b>14</b>", "<b>21</b>"]
    assert len(made()["data"]) == 1


@pytest.mark.parametrize("frequencies", [1, 26, 56, 500])
def test_tick_labels_have_room(frequencies):
    keys = [key for key in (1, 2, 3, 17, 18) if key <= frequencies]
    ticks = made(frequencies=frequencies, key_frequencies=keys)["layout"]["yaxis"]["tickvals"]
    assert (np.diff(ticks) >= frequencies / 20).all()


def test_a_long_history_is_thinned_and_says_so():
    steps = np.arange(3000)
    figure = made(steps=steps, values=np.ones((2, 3000)), frequencies=2, log_x=False)
    kept = len(figure["data"][0]["z"][0])
    assert kept < 1000
    assert figure["data"][0]["customdata"][0][-1] == 2999
    assert f"{kept:,} of 3,000 moments drawn" in figure["layout"]["xaxis"]["title"]["text"]


@pytest.mark.parametrize("steps", [[], [0], [5]])
def test_no_moment_and_one_moment(steps):
    made(steps=np.array(steps, int), key_frequencies=[3])


def test_wrong_shapes_and_keys_are_refused():
    with pytest.raises(UsageError, match=r"\(4, 26\)"):
        made(np.ones((4, 26)))
    with pytest.raises(UsageError, match=r"\[30\]"):
        made(key_frequencies=[3, 30])


def test_logarithmic_colours_name_the_values_and_keep_six_decades():
    values = np.array([[1e2, 1e1, 1e-9, 0.0], [1.0, 1.0, 1.0, 1.0]])
    heat = made(values, frequencies=2, log_colour=True, note="seed <1>")["data"][0]
    assert heat["z"] == [[2, 1, -4, None], [0, 0, 0, 0]]
    assert (heat["zmin"], heat["zmax"]) == (-4, 2)
    assert heat["colorbar"]["ticktext"][-3:] == ["1", "10¹", "10²"]
    assert made(note="seed <1>")["layout"]["annotations"][0]["text"] == "seed &lt;1&gt;"
