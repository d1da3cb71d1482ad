"""Figures of several experiments: what they are drawn from, and on which page they are."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import toys
from grokscope.execution.plan import experiment_spec
from grokscope.execution.reporting import figures_of, render
from grokscope.execution.reproduce import reproduce
from grokscope.execution.train import train
from grokscope.paper import Experiment, Figure, Paper
from grokscope.registry import PAPERS
from grokscope.store import StoredRun, open_run

drawn: list[dict[str, list[int]]] = []


def together(runs: dict[str, list[StoredRun]]) -> dict[str, Any]:
    """Draw a point an experiment; note which seeds of which experiments were given."""
    drawn.append({name: [run.spec["seed"]["base"] for run in each] for name, each in runs.items()})
    return {"data": [{"type": "scatter", "x": list(runs), "y": [len(each) for each in runs.values()]}], "layout": {}}


def cell(name: str, rate: float) -> Experiment:
    spec = {key: toys.MODULAR[key] for key in ("task", "model", "learner", "optimizer")}
    scales: Any = {"smoke": {"learner.steps": 2, "optimizer.learning_rate": rate}, "cpu": {}}
    return Experiment(name, name, spec, scales, transition=None, record={"measures": ["performance"]})


PAPER = Paper(
    "cells2026",
    "Cells",
    "@misc{cells2026}",
    experiments=(cell("a", 0.01), cell("b", 0.02), cell("c", 0.03)),
    figures=(
        Figure("all", "All", ("b", "c", "a"), f"{__name__}:together", ("train/loss",), together=True),
        Figure("nothing", "Nothing", ("b", "c"), f"{__name__}:together", ("absent/key",), together=True),
    ),
)


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Paper:
    monkeypatch.setitem(PAPERS._known, PAPER.id, PAPER)
    drawn.clear()
    return PAPER


def trained(root: Path, name: str, seed: int, **changes: Any) -> StoredRun:
    spec = experiment_spec(f"{PAPER.id}/{name}", scale="smoke", seed=seed, changes=changes)
    return open_run(train([spec], root=root)[0])


def alone(runs: list[StoredRun], phases: Any) -> dict[str, Any]:
    """Draw a point a module."""
    modules = runs[0].modules("weights/tensor_sum_of_squares")
    return {"data": [{"type": "scatter", "x": modules, "y": [1.0] * len(modules)}], "layout": {}}


def test_a_figure_whose_keys_have_modules_alone_is_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A key that is recorded for each tensor, and never without one, is stored all the same."""
    figure = Figure("tensors", "Tensors", ("a",), f"{__name__}:alone", ("weights/tensor_sum_of_squares",))
    monkeypatch.setitem(PAPERS._known, PAPER.id, replace(PAPER, figures=(figure,)))
    assert shown(trained(tmp_path, "a", 0)) == []
    assert shown(trained(tmp_path, "a", 0, **{"record.measures": ["weights"]})) == ["tensors"]


def shown(*runs: StoredRun) -> list[str]:
    return [name for name, *_ in figures_of(runs)]


def test_reproduce_draws_it_once_on_the_page_of_the_first(paper: Paper, tmp_path: Path) -> None:
    board = reproduce([paper.id], scale="smoke", seeds=(0, 1), root=tmp_path)
    assert drawn == [{"b": [0, 1], "c": [0, 1], "a": [0, 1]}]
    pages = {path.name: path.read_text() for path in board.reports}
    assert [name for name, text in pages.items() if 'id="figure-all"' in text] == ["cells2026-b-smoke.html"]
    drawn.clear()
    reproduce([paper.id], scale="smoke", seeds=(0, 1), root=tmp_path, experiments=["a", "c"])
    assert drawn == [{"c": [0, 1], "a": [0, 1]}]  # the first of those that there are


def test_a_report_finds_what_lies_beside_its_run(paper: Paper, tmp_path: Path) -> None:
    first, other = trained(tmp_path, "b", 0), trained(tmp_path, "a", 0)
    trained(tmp_path, "c", 1)  # another seed
    trained(tmp_path, "c", 0, **{"task.train_fraction": 0.4})  # settings of the user's
    assert shown(first) == ["all"]
    assert shown(other) == []
    assert drawn == [{"b": [0], "a": [0]}]
    assert 'id="figure-all"' in render([first])
    assert render([first], siblings={}).count('id="figure-all"') == 0
    own = trained(tmp_path, "b", 0, **{"optimizer.weight_decay": 0.25})
    assert shown(own) == []
    shutil.rmtree(other.directory)
    drawn.clear()
    assert shown(first) == ["all"]
    assert drawn == [{"b": [0]}]


def test_a_figure_without_data_is_left_out(paper: Paper, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    run = trained(tmp_path, "b", 0)
    bare = replace(paper, figures=(replace(paper.figures[0], function=f"{__name__}:empty"),))
    monkeypatch.setitem(PAPERS._known, paper.id, bare)
    assert shown(run) == []


def empty(runs: dict[str, list[StoredRun]]) -> dict[str, Any]:
    return {"data": [], "layout": {}}
