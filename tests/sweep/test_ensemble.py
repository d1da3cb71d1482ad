"""A sweep as one computation: which cells are together, what is found stored, what a kill leaves, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands import NAME, TINY, ask, refused, setting
from grokscope.errors import GrokscopeError
from grokscope.execution import train as training
from grokscope.execution.posthoc import snapshot_at
from grokscope.execution.train import train
from grokscope.registry import LEARNERS
from grokscope.settings import LearnerSettings
from grokscope.spec import parse_assignment
from grokscope.store import find_runs, open_run
from grokscope.sweep import ensemble
from grokscope.sweep.ensemble import run_ensemble
from grokscope.sweep.plan import Sweep, parse_grid, plan

GRID = ["optimizer.weight_decay=0,1", "optimizer.learning_rate=0.001,0.01"]


def planned(*grid: str, seeds: int = 1, **changes: Any) -> Sweep:
    given = dict(parse_assignment(word) for word in TINY if "=" in word)
    given |= {key.replace("__", "."): value for key, value in changes.items()}
    return plan(NAME, parse_grid(grid), scale="smoke", seeds=range(seeds), changes=given)


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """How many members each training has, by the weight decay of each."""
    trained: list[list[int]] = []
    whole = ensemble.train

    def noting(specs: Any, **options: Any) -> list[Path]:
        trained.append([spec.optimizer.weight_decay for spec in specs])
        return whole(specs, **options)

    monkeypatch.setattr(ensemble, "train", noting)
    return trained


def test_a_grid_is_one_ensemble_and_each_cell_a_run_of_its_own(groups: list[list[int]], tmp_path: Path) -> None:
    sweep = planned(*GRID, seeds=2, numerics__dtype="float64")
    told: list[str] = []
    done = run_ensemble(sweep, tmp_path, tell=told.append)
    assert [len(group) for group in groups] == [8]
    assert told == ["[1/1] 8 members of 8: done"]
    assert [open_run(one.directory).status for one in done] == ["finished"] * 8
    for one in done[::3]:
        spec = open_run(one.directory).spec
        rates = (spec["optimizer"]["weight_decay"], spec["optimizer"]["learning_rate"])
        assert rates == tuple(one.cell.values.values())
        assert (spec["seed"]["base"], spec["engine"]) == (one.cell.seed, "ensemble")
        (alone,) = train([one.cell.spec], root=tmp_path / "alone")
        _, values = open_run(one.directory).series("train/loss")
        np.testing.assert_allclose(open_run(alone).series("train/loss")[1], values, rtol=0, atol=1e-9)
        with snapshot_at(open_run(alone), 6) as mine, snapshot_at(open_run(one.directory), 6) as member:
            for name, tensor in mine.parameters.items():
                torch.testing.assert_close(member.parameters[name], tensor, rtol=0, atol=6e-10)
    run_ensemble(sweep, tmp_path)
    assert len(groups) == 1  # all is stored


def test_what_is_stored_is_not_run_again_whoever_trained_it(groups: list[list[int]], tmp_path: Path) -> None:
    (alone,) = train([planned("optimizer.weight_decay=0").cells[0].spec], root=tmp_path)
    first = run_ensemble(planned("optimizer.weight_decay=0,1,2"), tmp_path)
    assert first[0].directory == alone
    larger = run_ensemble(planned("optimizer.weight_decay=0,1,2,3,4"), tmp_path)
    assert groups == [[1, 2], [3, 4]]
    assert [one.directory for one in larger[:3]] == [one.directory for one in first]
    assert len(find_runs(tmp_path / "nanda2023")) == 5


def dying(*given: Any) -> None:
    """Die at the first look at how far a training is."""
    raise KeyboardInterrupt


def test_a_killed_batch_goes_on_where_it_was(
    groups: list[list[int]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also where a member has ended already: the rest is no ensemble of its own."""
    given = dict(parse_assignment(word) for word in TINY if "=" in word)
    given |= {"stop": {"key": "weights/sum_of_squares", "level": 200, "sustain": 1}, "record.observe.every": 2}
    cells = plan(NAME, {"model.initial_scale": [4.0, 1.0]}, scale="smoke", changes=given)
    with monkeypatch.context() as patch:
        patch.setattr(training, "_moment", dying)
        with pytest.raises(KeyboardInterrupt):
            run_ensemble(cells, tmp_path)
    assert sorted(open_run(path).status for path in find_runs(tmp_path / "nanda2023")) == ["interrupted"] * 2
    before = find_runs(tmp_path / "nanda2023")
    done = run_ensemble(cells, tmp_path)
    assert sorted(one.directory for one in done) == before
    assert [open_run(one.directory).status for one in done] == ["stopped", "finished"]


def test_cells_of_other_shapes_are_other_batches(groups: list[list[int]], tmp_path: Path) -> None:
    sweep = planned("model.hidden_width=4,8", "optimizer.weight_decay=0,1,2")
    run_ensemble(sweep, tmp_path)
    assert groups == [[0, 1, 2], [0, 1, 2]]
    groups.clear()
    run_ensemble(planned("optimizer.weight_decay=3,4,5"), tmp_path, limit=2)
    assert groups == [[3, 4], [5]]


def test_a_batch_that_fails_is_told_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = ensemble.train

    def failing(specs: Any, **options: Any) -> list[Path]:
        if specs[0].optimizer.weight_decay == 0:
            raise GrokscopeError("the disk is full.")
        return whole(specs, **options)

    monkeypatch.setattr(ensemble, "train", failing)
    words = ["--grid", "optimizer.weight_decay=0,1,2,3", "--engine", "ensemble", "--batch", 2]
    answer = ask("sweep", NAME, *TINY, *words, "--out", tmp_path, "--json")
    assert answer.code == 1
    assert [row["failed"] for row in answer.document["rows"]] == [1, 1, 0, 0]
    assert [row["state"] for row in answer.document["rows"]] == ["failed", "failed", "never fitted", "never fitted"]
    assert "[1/2] 2 members of 4: the disk is full." in answer.stderr
    assert Path(answer.document["report"]).read_text().count('id="figure-phase-diagram"') == 1


def test_the_command_ends_in_a_phase_diagram(tmp_path: Path) -> None:
    words = [word for line in GRID for word in ("--grid", line)]
    answer = ask("sweep", NAME, *TINY, *words, "--engine", "ensemble", "--out", tmp_path)
    assert answer.code == 0, answer.stderr
    page = Path(answer.stdout.splitlines()[-1].removeprefix("phase diagram: "))
    assert page.name == "phase-diagram.html"
    text = page.read_text()
    assert "never fitted" in text
    assert all(line.partition("=")[0] in text for line in GRID)
    one = ask("sweep", NAME, *TINY, "--grid", GRID[0], "--engine", "ensemble", "--out", tmp_path, "--json").document
    assert "fitted" in Path(one["report"]).read_text()


class AloneSettings(LearnerSettings):
    """A learner without ensembles."""

    name: str = "only-alone"


def test_wrong_usage_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def said(*words: object, code: int = 2) -> str:
        sentence = refused(code, "sweep", NAME, *TINY, "--out", tmp_path, *words)
        assert not list(tmp_path.iterdir())
        return sentence

    ensembles = ["--engine", "ensemble"]
    assert "ensemble" in said("--grid", GRID[0], "--engine", "ensembles")
    assert said("--grid", "optimizer.weight_decay=1", *ensembles) == (
        "the sweep is one run, and an ensemble needs two: give more values or seeds, or --engine pool."
    )
    assert said("--grid", "model.activation=relu,gelu", *ensembles) == (
        "members of an ensemble cannot differ in model.activation, so that no two of the 2 cells can be trained "
        "together: use --engine pool."
    )
    # a change of shape is found by building
    assert "differ in task.modulus, so that no two of the 2 cells" in said("--grid", "task.modulus=5,7", *ensembles)
    assert said("--grid", GRID[0], *ensembles, "--jobs", 2).startswith("jobs = 2 is of --engine pool")
    assert said("--grid", GRID[0], *ensembles, "--batch", 1).startswith("batch = 1: it is of --engine ensemble, and at")
    assert said("--grid", GRID[0], "--batch", 4).startswith("batch = 4: it is of --engine ensemble")
    monkeypatch.setitem(LEARNERS._known, "only-alone", AloneSettings)
    alone = setting("learner.name=only-alone", "learner.steps=6", "optimizer=null")
    assert said("--grid", "task.train_fraction=0.4,0.5", *alone, *ensembles) == (
        "the learner only-alone trains one member at a time: use --engine pool."
    )
