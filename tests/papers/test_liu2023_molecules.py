"""What the claim on molecules reads off curves whose drop is known, and the experiments as runs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grokscope as gs
from grokscope.errors import UsageError
from grokscope.paper import Paper
from grokscope.papers.liu2023 import molecules, molecules_figures
from grokscope.papers.liu2023.molecules_statistics import late_drop, late_drops
from grokscope.registry import PAPERS
from grokscope.spec import resolve

STEPS = np.unique(np.round(10 ** np.linspace(0, 4, 81)).astype(int))
PAPER = Paper(
    id="molecules-alone",
    title="the molecules alone",
    bibtex="@misc{molecules}",
    experiments=molecules.EXPERIMENTS,
    claims=molecules.CLAIMS,
    figures=molecules.FIGURES,
)


class Curves:
    """A run of known losses."""

    def __init__(self, train: np.ndarray, test: np.ndarray) -> None:
        self.spec: dict[str, Any] = {}
        self.status = "finished"
        self.directory = Path()
        self.curves = {"train/loss": train, "test/loss": test}

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        if key not in self.curves:
            raise UsageError(f"unknown key {key!r}")
        return np.concatenate([[0], STEPS]), np.concatenate([self.curves[key][:1], self.curves[key]])


def grokking(drop: float = 2.0) -> Curves:
    """Return a train loss that falls by two decades a decade of steps, and a test loss with a step at 3000."""
    return Curves(1e4 / STEPS.astype(float) ** 2, 1e3 * np.where(STEPS < 3000, 1.0, 10.0**-drop))


def alike() -> Curves:
    """Return a test loss that has fallen with the train loss, and then rises a little."""
    return Curves(1e4 / STEPS.astype(float) ** 2, np.where(STEPS < 50, 10.0, 0.2 + STEPS / 1e5))


def test_a_late_and_sharp_drop() -> None:
    found = late_drop(grokking())
    assert found["fit_step"] == pytest.approx(100, rel=0.02)  # 1e-4 of the start is 1 / steps² there
    assert found["drop"] == pytest.approx(2)
    assert found["lateness"] == pytest.approx(30, rel=0.1)
    assert found["sharpness"] == pytest.approx(1)
    assert found["end"] == pytest.approx(10)


def test_a_drop_along_with_steps_is_not_sharp() -> None:
    slow = Curves(1e4 / STEPS.astype(float) ** 2, 1e4 / STEPS.astype(float))
    found = late_drop(slow)
    # half a decade of the two from the fit at 100 to the end, whose median is a little above the last value
    assert found["sharpness"] == pytest.approx(0.5 / 1.9, rel=0.1)
    assert found["lateness"] == pytest.approx(10, rel=0.2)


def test_no_drop() -> None:
    found = late_drop(alike())
    assert found["drop"] is not None
    assert -0.3 < found["drop"] < 0
    assert (found["lateness"], found["sharpness"]) == (0, 0)
    unfitted = late_drop(Curves(np.ones(len(STEPS)), np.ones(len(STEPS))))
    assert set(unfitted.values()) == {None}


def test_a_network_that_dies_has_no_drop_of_its_own() -> None:
    """From step 1000 on it predicts the mean of the targets, which is better than what it said before."""
    train = np.where(STEPS < 1000, 1e4 / STEPS.astype(float) ** 2, 1.0)
    found = late_drop(Curves(train, np.where(STEPS < 1000, 1e3, 1.0)))
    assert found["drop"] == pytest.approx(0)
    assert found["fitted_until"] is not None
    assert 850 < found["fitted_until"] < 1000
    # one that had dropped before has
    found = late_drop(Curves(train, np.where(STEPS < 500, 1e3, np.where(STEPS < 1000, 10.0, 1.0))))
    assert found["drop"] == pytest.approx(2)
    assert found["end"] == pytest.approx(10)


@pytest.mark.parametrize(
    ("large", "usual", "met"),
    [
        (grokking(), alike(), True),
        (alike(), alike(), False),
        (grokking(), grokking(), False),
        (grokking(0.5), alike(), False),
    ],
    ids=["as claimed", "no drop", "a drop from both", "a small drop"],
)
def test_the_claim_can_be_met_and_missed(large: Curves, usual: Curves, met: bool) -> None:
    (claim,) = molecules.CLAIMS
    values = late_drops({molecules.named(3.0): large, molecules.named(1.0): usual})
    assert claim.criterion["cpu"].met(values) is met
    assert claim.function() is late_drops
    missing = late_drops(
        {molecules.named(3.0): Curves(np.ones(len(STEPS)), np.ones(len(STEPS))), molecules.named(1.0): usual}
    )
    assert claim.criterion["cpu"].met(missing) is None


def test_scales_are_those_of_the_sheet() -> None:
    for scale in (1.0, 3.0):
        spec: Any = resolve(PAPER.tree(molecules.named(scale), "paper"))
        assert (spec.task.train_examples, spec.task.test_examples, spec.task.subset) == (50, 50, "first")
        assert (spec.task.batch_size, spec.task.hydrogens, spec.task.target) == (32, True, "gap")
        assert (spec.model.widths, spec.model.kernel_width, spec.model.hidden_width) == ((32, 16), 32, 32)
        assert (spec.model.initial_scale, spec.learner.steps) == (scale, 100_000)
        assert (spec.optimizer.name, spec.optimizer.learning_rate, spec.optimizer.weight_decay) == ("adamw", 1e-3, 0)
        smaller: Any = resolve(PAPER.tree(molecules.named(scale), "cpu"))
        assert smaller.model == spec.model
        assert smaller.optimizer == spec.optimizer
        assert smaller.task.dataset == "qm9"


def test_a_smoke_run_has_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PAPERS._known, "molecules-alone", PAPER)
    run = gs.run("molecules-alone/qm9-scale-3", scale="smoke", seed=0, out=tmp_path)
    assert run.status == "finished"
    steps, losses = run.stored.series("train/loss")
    assert steps[-1] == 40
    assert losses[-1] < losses[0]
    drawn = molecules_figures.losses([run.stored], [])
    assert [trace["name"] for trace in drawn["data"][:2]] == ["train", "test"]
    both = molecules_figures.starts({"qm9-scale-3": [run.stored]})
    assert both["data"][0]["name"] == "α = 3, train"
    assert all(math.isfinite(value) for value in both["data"][0]["y"])
