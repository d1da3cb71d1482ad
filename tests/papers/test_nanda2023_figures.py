"""The paper's figures on runs of closed form, on runs that lack what they show, and on a page."""

from __future__ import annotations

import json

import numpy as np
import pytest
from plotly import graph_objects

from circuits import KEYS, CircuitRun
from grokscope.execution import reporting
from grokscope.papers.nanda2023 import PAPER, circuit, figures
from grokscope.papers.nanda2023.reference import REFERENCE, REFERENCE_STEPS
from grokscope.recipes.curves import moment_labels, whose
from grokscope.registry import load
from grokscope.report.page import page
from grokscope.report.text import script_json

PHASES = [{"name": "memorisation", "start": 0, "end": 300}, {"name": "circuit formation", "start": 300, "end": 5000}]
PUBLISHED = ("accuracy", "loss", "progress", "weights", "weights_by_tensor")


class Bare(CircuitRun):
    """A run that recorded curves only."""

    def arrays(self):
        return []

    def references(self):
        return []


class Nothing(Bare):
    """A run that recorded nothing that these figures show."""

    def _curves(self):
        return {("step/loss", None): np.zeros(0)}


def valid(figure):
    graph_objects.Figure(figure)
    json.dumps(figure, allow_nan=False)
    return figure


def names(figure):
    return [trace["name"] for trace in figure["data"] if "name" in trace and trace.get("legend") != "legend2"]


@pytest.mark.parametrize("figure", PAPER.figures, ids=lambda figure: figure.id)
@pytest.mark.parametrize("seeds", [1, 3])
def test_every_figure_is_valid_and_not_empty(figure, seeds):
    runs = [CircuitRun(seed, modulus=11, keys=(2, 3, 5), heads=2) for seed in range(seeds)]
    assert valid(load(figure.function)(runs, PHASES if seeds == 1 else []))["data"]


@pytest.mark.parametrize("figure", [one for one in PAPER.figures if one.arrays], ids=lambda figure: figure.id)
def test_a_run_without_the_arrays_has_no_such_figure(figure):
    drawn = valid(load(figure.function)([Bare()], []))
    assert not [trace for trace in drawn["data"] if trace.get("z") or trace.get("y")]


def test_a_page_leaves_out_what_was_not_stored(monkeypatch):
    monkeypatch.setattr(reporting, "_rule", lambda run: None)
    shown = [name for name, *_ in reporting.figures_of([CircuitRun()])]
    assert {"circles", "logit-planes", "attention", "neurons", "neurons-by-frequency", "rank"} <= set(shown)
    bare = [name for name, *_ in reporting.figures_of([Bare()])]
    assert {"accuracy", "progress", "weights", "weights-by-tensor"} <= set(bare)
    assert not {figure.id for figure in PAPER.figures if figure.arrays} & set(bare)
    assert reporting.figures_of([Nothing()]) == []


def test_the_page_at_the_papers_size_stays_below_eight_megabytes():
    run = CircuitRun(modulus=113, keys=(14, 35, 41, 42, 52))
    drawn = [load(figure.function)([run], PHASES) for figure in PAPER.figures]
    assert sum(len(script_json(figure)) for figure in drawn) < 8e6


def test_a_figure_with_a_slider_can_be_operated_on_the_page():
    figure = circuit.embedding_circles([CircuitRun()], PHASES)
    text = page(title="T", subtitle="", figures=[("circles", "Circles", "", figure)], javascript="plotly.js")
    embedded = json.loads(text.split('<script type="application/json">')[1].split("</script>")[0])
    assert len(embedded["frames"]) == len(embedded["layout"]["sliders"][0]["steps"])
    assert 'role="group"' in text
    assert 'role="img"' not in text


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_authors_run_is_dotted_behind_ours_at_their_settings_alone(name):
    draw = getattr(figures, name)
    same = [CircuitRun(modulus=113, scale="paper")]
    theirs = [trace for trace in draw(same, [])["data"] if "authors' run" in trace.get("name", "")]
    assert theirs
    assert all(trace["line"]["dash"] == "dot" for trace in theirs)
    # the second point is the gap between step 0 and the first step that was read
    assert all([*trace["customdata"][:1], *trace["customdata"][2:]] == list(REFERENCE_STEPS) for trace in theirs)
    assert all(trace["y"][1] is None for trace in theirs)
    for other in (
        CircuitRun(modulus=113),
        CircuitRun(modulus=53, scale="paper"),
        CircuitRun(modulus=113, scale="paper", optimizer={"weight_decay": 0.0}),
    ):
        assert not [one for one in names(draw([other], [])) if "authors' run" in one]


def test_the_authors_curve_has_their_numbers():
    figure = figures.progress([CircuitRun(modulus=113, scale="paper")], [])
    (trace,) = [one for one in figure["data"] if one["name"] == "test, authors' run"]
    assert [*trace["y"][:1], *trace["y"][2:]] == list(REFERENCE["test/loss"])
    assert "restricted to the circuit (all pairs), authors' run" in names(figure)


def test_tensors_are_ordered_by_size_and_none_is_black():
    figure = figures.weights_by_tensor([CircuitRun()], [])
    assert names(figure)[:3] == ["all", "W_E", "W_pos"]
    looks = [(trace["line"]["color"], trace["line"]["dash"]) for trace in figure["data"]]
    assert len(set(looks)) == len(looks) == 12


def test_circles_open_at_the_end_and_their_slider_names_the_phase():
    figure = valid(circuit.embedding_circles([CircuitRun()], PHASES))
    assert [one["text"] for one in figure["layout"]["annotations"]] == [f"k = {key}" for key in KEYS]
    radius = np.hypot(figure["data"][0]["x"], figure["data"][0]["y"])
    assert radius == pytest.approx(np.ones(54), abs=1e-3)
    first = figure["frames"][0]["data"][0]
    assert np.hypot(first["x"], first["y"]).std() > 0.05
    labels = [step["label"] for step in figure["layout"]["sliders"][0]["steps"]]
    assert (labels[0], labels[-1]) == ("0 · memorisation", "5,000 · circuit formation")
    assert len(labels) == 24


def test_planes_show_blocks_on_the_diagonal_at_the_end():
    figure = valid(circuit.logit_planes([CircuitRun()], []))
    assert [one["text"] for one in figure["layout"]["annotations"]] == [
        f"step {step}" for step in ("200", "1,000", "2,000", "5,000")
    ]
    z = np.array(figure["data"][-1]["z"])
    bright = {(row, column) for row, column in np.argwhere(z > z.max() - 0.1).tolist()}
    assert bright == {(i, j) for k in KEYS for i in (2 * k - 1, 2 * k) for j in (2 * k - 1, 2 * k)}


def test_attention_and_neurons_are_drawn_as_stored():
    run = CircuitRun()
    attention = circuit.attention([run], [])
    stored = run.array("maps", 5000)
    np.testing.assert_allclose(attention["data"][1]["z"], stored["attention"][1].T, atol=1e-4)
    assert (attention["layout"]["coloraxis"]["cmin"], attention["layout"]["coloraxis"]["cmax"]) == (0, 1)
    neurons = circuit.neurons([run], [])
    np.testing.assert_allclose(neurons["data"][2]["z"], stored["neurons"][2].T, atol=1e-3)
    assert neurons["layout"]["annotations"][1]["text"] == "neuron 17, k = 7"


def test_a_picture_of_one_of_several_runs_says_whose():
    runs = [CircuitRun(seed) for seed in (4, 5, 6)]
    assert whose(runs[:1]) == ""
    for draw in (circuit.embedding_circles, circuit.logit_planes, circuit.rank, figures.excluded_by_frequency):
        texts = [one["text"] for one in draw(runs, [])["layout"]["annotations"]]
        assert "seed 4, the first of 3 runs" in texts


def test_a_moment_on_a_boundary_is_in_the_phase_that_begins():
    assert moment_labels([0, 300, 5000], PHASES) == [
        "0 · memorisation", "300 · circuit formation", "5,000 · circuit formation",
    ]  # fmt: skip
