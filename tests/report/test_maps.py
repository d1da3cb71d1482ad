from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plotly import graph_objects

from grokscope.errors import UsageError
from grokscope.report.circles import circle_order, circles
from grokscope.report.maps import component_ticks, fourier_planes, moments_within, pair_maps
from grokscope.report.neurons import neuron_frequencies


def valid(figure):
    graph_objects.Figure(figure)
    json.dumps(figure, allow_nan=False)
    return figure


def ring(frequency, p):
    angle = 2 * np.pi * frequency * np.arange(p) / p
    return np.stack([np.cos(angle), np.sin(angle)], -1)


# -- circles --------------------------------------------------------------------------------------


@given(st.sampled_from([5, 7, 11, 53, 113]), st.data())
def test_neighbours_on_the_circle_differ_by_the_inverse(p, data):
    k = data.draw(st.integers(1, p // 2))
    order = circle_order(k, p)
    assert sorted(order[:-1].tolist()) == list(range(p))
    assert set(((order[1:] - order[:-1]) % p).tolist()) == {pow(k, -1, p)}


def test_a_frequency_without_an_inverse_still_has_every_residue():
    assert circle_order(2, 6).tolist() == [0, 3, 1, 4, 2, 5, 0]


def test_points_on_a_perfect_circle_are_joined_once_around():
    figure = valid(circles("Circles", [3], ring(3, 53)[None, None], ["0"]))
    trace = figure["data"][0]
    turned = np.unwrap(np.arctan2(trace["y"], trace["x"]))
    assert turned[-1] - turned[0] == pytest.approx(2 * np.pi, abs=1e-3)
    assert (np.diff(turned) > 0).all()
    assert trace["marker"]["color"] == trace["customdata"] == circle_order(3, 53).tolist()


def test_circles_share_one_scale_over_panels_and_moments():
    points = np.stack([np.stack([ring(1, 5), 3 * ring(2, 5)]), np.stack([ring(1, 5), ring(2, 5)])])
    figure = valid(circles("Circles", [1, 2], points, ["0", "10"], unit="units"))
    ranges = [figure["layout"][axis]["range"] for axis in ("xaxis", "yaxis", "xaxis2", "yaxis2")]
    assert ranges == [ranges[0]] * 4
    assert ranges[0][1] == pytest.approx(3 * 1.12)
    assert max(figure["frames"][0]["data"][1]["x"]) == pytest.approx(3)
    assert max(figure["data"][1]["x"]) == pytest.approx(1)
    assert figure["layout"]["yaxis2"]["title"]["text"] == "sine component (units)"


def test_more_than_six_circles_are_told():
    figure = valid(circles("", range(1, 9), np.ones((1, 8, 17, 2)), ["0"], note="seed 1"))
    assert len(figure["data"]) == 6
    assert figure["layout"]["annotations"][-1]["text"] == "seed 1 · 6 of 8 key frequencies drawn"


@pytest.mark.parametrize("shape", [(1, 2, 5), (1, 1, 5, 2), (2, 2, 5, 2), (1, 2, 5, 3)])
def test_points_of_another_shape_are_refused(shape):
    with pytest.raises(UsageError, match="1 moments and 2 circles"):
        circles("", [1, 2], np.zeros(shape), ["0"])


# -- maps -----------------------------------------------------------------------------------------


def test_a_runs_to_the_right_and_b_upwards():
    values = np.zeros((2, 1, 3, 3))
    values[-1, 0, 2, 1] = 7.0  # a = 2, b = 1
    figure = valid(pair_maps("Maps", ["head 0"], values, ["0", "10"], colour_title="weight"))
    assert figure["data"][0]["z"][1][2] == 7
    assert figure["layout"]["xaxis"]["title"]["text"] == "a"
    assert (figure["layout"]["coloraxis"]["cmin"], figure["layout"]["coloraxis"]["cmax"]) == (0, 7)
    assert np.array(figure["frames"][0]["data"][0]["z"]).sum() == 0


def test_names_may_change_with_the_moment():
    figure = valid(pair_maps("", [["one"], ["two"]], np.ones((2, 1, 2, 2)), ["0", "9"], colour_title=""))
    assert figure["layout"]["annotations"][0]["text"] == "two"
    assert figure["frames"][0]["layout"]["annotations"][0]["text"] == "one"


def test_planes_are_logarithmic_and_ticked_at_the_key_frequencies():
    values = np.full((1, 11, 11), 1e-9)
    values[0, 5, 6] = 100.0  # cos 3 of a, sin 3 of b
    values[0, 0, 0] = 0.0
    figure = valid(fourier_planes("Logits", ["step 0"], values, [3], colour_title="norm", decades=4))
    trace, axis = figure["data"][0], figure["layout"]["coloraxis"]
    assert (axis["cmin"], axis["cmax"]) == (-2, 2)
    assert trace["z"][6][5] == 2
    assert trace["z"][5][6] == -2
    assert trace["z"][0][0] is None
    assert [trace["x"][5], trace["y"][6]] == [2.75, 3.25]
    assert figure["layout"]["xaxis"]["tickvals"] == [3.0]


def test_ticks_too_near_share_one():
    assert component_ticks(113, [52, 41, 42, 14])["tickvals"] == [14, 41.5, 52]
    assert component_ticks(53, [])["ticktext"] == ["5", "10", "15", "20", "25"]


def test_nothing_stored_is_a_figure_without_data():
    assert pair_maps("", [], np.zeros((0, 0, 0, 0)), [], colour_title="")["data"] == []
    assert fourier_planes("", [], np.zeros((0, 0, 0)), colour_title="")["data"] == []
    assert fourier_planes("", ["0"], np.zeros((1, 3, 3)), colour_title="")["data"] == []
    assert circles("", [], np.zeros((0, 0, 0, 2)), [])["data"] == []
    assert neuron_frequencies("", np.zeros(3, int), np.ones(3), largest=5)["data"] == []


def test_maps_of_another_shape_are_refused():
    with pytest.raises(UsageError, match="1 moments and 2 maps"):
        pair_maps("", ["a", "b"], np.zeros((1, 1, 3, 3)), ["0"], colour_title="")
    with pytest.raises(UsageError, match="each of 2 names"):
        fourier_planes("", ["a", "b"], np.zeros((1, 3, 3)), colour_title="")


def test_large_maps_have_fewer_moments():
    assert [moments_within(cells) for cells in (0, 4 * 53**2, 8 * 113**2, 10**7)] == [8, 8, 4, 1]


# -- neurons --------------------------------------------------------------------------------------


def test_neurons_are_counted_by_share_and_by_frequency():
    best, shares = np.array([3, 3, 7, 1, 0]), np.array([0.91, 1.0, 0.0, 0.5, np.nan])
    figure = valid(neuron_frequencies("", best, shares, largest=26, key_frequencies=[7, 3], mark=0.85))
    by_share = {t["name"]: t for t in figure["data"] if t["xaxis"] == "x" and t["type"] == "bar"}
    assert list(by_share) == ["k = 3", "k = 7", "other frequencies"]
    counts = by_share["k = 3"]["y"]
    assert (counts[18], counts[19], sum(counts)) == (1, 1, 2)
    assert by_share["k = 7"]["y"][0] == 1
    by_frequency = [(t["x"], t["y"]) for t in figure["data"] if t["xaxis"] == "x2"]
    assert by_frequency == [([3], [2]), ([7], [1]), ([1], [1])]
    assert [t["x"] for t in figure["data"] if t["name"] == "share 0.85"] == [[0.85, 0.85]]
    assert figure["layout"]["barmode"] == "stack"


def test_a_share_on_the_edge_of_a_bar_is_counted_above_it():
    figure = neuron_frequencies("", np.array([1]), np.array([0.85]), largest=5)
    assert figure["data"][0]["y"].index(1) == 17


def test_neurons_without_a_share_each_are_refused():
    with pytest.raises(UsageError, match="2 frequencies and 1 shares"):
        neuron_frequencies("", np.array([1, 2]), np.array([0.5]), largest=5)


def test_each_moment_has_its_own_colours_unless_a_range_is_given():
    values = np.stack([np.full((1, 3, 3), 9.0), np.full((1, 3, 3), 2.0)])
    values[:, 0, 0, 0] = 0
    own = pair_maps("", ["neuron"], values, ["0", "9"], colour_title="activation")
    assert own["layout"]["coloraxis"]["cmax"] == 2
    assert [frame["layout"]["coloraxis"]["cmax"] for frame in own["frames"]] == [9, 2]
    shared = pair_maps("", ["head"], values / 9, ["0", "9"], colour_title="attention", colour_range=(0, 1))
    assert shared["layout"]["coloraxis"]["cmax"] == 1
    assert not any("layout" in frame for frame in shared["frames"])
