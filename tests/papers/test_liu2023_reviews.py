"""What the claim on reviews reads off curves whose rise is known, and the experiments as runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grokscope as gs
from grokscope.errors import UsageError
from grokscope.execution.plan import experiment_spec
from grokscope.papers.liu2023 import reviews, reviews_figures
from grokscope.papers.liu2023.reviews_statistics import late_rise, late_rises
from grokscope.spec import resolve

STEPS = np.unique(np.round(10 ** np.linspace(0, 4, 81)).astype(int))


class Curves:
    """A run of known accuracies."""

    def __init__(self, train: np.ndarray, test: np.ndarray) -> None:
        self.spec: dict[str, Any] = {}
        self.status = "finished"
        self.directory = Path()
        self.curves = {"train/accuracy": train, "test/accuracy": test}

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        if key not in self.curves:
            raise UsageError(f"unknown key {key!r}")
        return np.concatenate([[0], STEPS]), np.concatenate([[0.5], self.curves[key]])


FITTED_AT_100 = np.where(STEPS < 100, 0.6, 1.0)


def grokking() -> Curves:
    return Curves(FITTED_AT_100, np.where(STEPS < 1000, 0.5, 0.8))


def usual() -> Curves:
    return Curves(FITTED_AT_100, np.where(STEPS < 60, 0.5, 0.75) + np.where(STEPS < 5000, 0.0, 0.02))


def test_a_late_rise() -> None:
    found = late_rise(grokking())
    assert found["fit_step"] == pytest.approx(100, rel=0.06)
    assert found["test_at_fit"] == pytest.approx(0.5)
    assert found["end"] == pytest.approx(0.8)
    assert found["rise"] == pytest.approx(0.3)
    assert found["lateness"] == pytest.approx(10, rel=0.1)


def test_no_rise_and_no_fit() -> None:
    falling = late_rise(Curves(FITTED_AT_100, np.where(STEPS < 1000, 0.8, 0.7)))
    assert falling["rise"] == pytest.approx(-0.1)
    assert falling["lateness"] == 0
    assert set(late_rise(Curves(np.full(len(STEPS), 0.9), np.full(len(STEPS), 0.9))).values()) == {None}


def test_the_claim_on_curves_that_meet_it_and_on_some_that_do_not() -> None:
    (claim,) = reviews.CLAIMS
    names = [experiment.name for experiment in reviews.EXPERIMENTS]
    statistic: Any = claim.function()
    assert statistic is late_rises
    for pair, met in (((grokking(), usual()), True), ((usual(), usual()), False), ((grokking(), grokking()), False)):
        values = statistic(dict(zip(names, pair, strict=True)))
        assert values["end_standard"] == late_rise(pair[1])["end"]
        for criterion in claim.criterion.values():
            assert criterion.met(values) is met
    unfitted = Curves(np.full(len(STEPS), 0.9), np.full(len(STEPS), 0.9))
    values = statistic(dict(zip(names, (unfitted, usual()), strict=True)))
    assert claim.criterion["cpu"].met(values) is None


def test_the_settings_are_those_of_the_paper() -> None:
    large, standard = (experiment_spec(f"liu2023/{name}", scale="paper") for name in ("imdb-scale-6", "imdb-scale-1"))
    task: Any = large.task
    assert (task.examples, task.train_examples, task.vocabulary, task.length) == (1000, 750, 1000, 500)
    assert (task.batch_size, task.batch_order, task.dataset) == (50, "shuffled", "imdb")
    model: Any = large.model
    assert (model.embedding_width, model.layers, model.hidden_width, model.initial_scale) == (64, 2, 256, 6)
    optimizer: Any = large.optimizer
    assert (optimizer.name, optimizer.learning_rate, optimizer.weight_decay) == ("adamw", 3e-4, 1.0)
    clip: Any = large.interventions[0]
    assert (clip.name, clip.norm) == ("gradient-clip", 5.0)
    assert large.learner.steps == 5000 * 15
    same = standard.tree()
    assert (same["model"]["initial_scale"], same["optimizer"]["weight_decay"]) == (1.0, 0.0)
    assert resolve(same).task == large.task


def test_the_smoke_runs_and_their_figures(tmp_path: Path) -> None:
    runs: dict[str, Any] = {}
    for experiment in reviews.EXPERIMENTS:
        run = gs.run(f"liu2023/{experiment.name}", scale="smoke", seed=0, out=tmp_path)
        assert run.status == "finished"
        steps, accuracy = run.stored.series("train/accuracy")
        assert steps[-1] == 40
        assert accuracy[-1] > 0.6
        runs[experiment.name] = run.stored
    values = late_rises(runs)
    assert set(values) >= {"rise_large", "rise_standard", "lateness"}
    (large, standard) = runs.values()
    assert large.series("weights/sum_of_squares")[1][0] == pytest.approx(
        36 * standard.series("weights/sum_of_squares")[1][0]
    )
    for draw in (reviews_figures.accuracy, reviews_figures.loss, reviews_figures.norm):
        assert draw([large], [])["data"]
    assert len(reviews_figures.starts({name: [run] for name, run in runs.items()})["data"]) == 4
