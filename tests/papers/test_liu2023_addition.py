"""What the claim on sums of symbols reads off losses that are known, and the experiments as specs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grokscope as gs
from grokscope.paper import Paper
from grokscope.papers.liu2023 import addition, addition_figures
from grokscope.papers.liu2023.addition_statistics import by_messiness
from grokscope.registry import PAPERS
from grokscope.spec import resolve

PAPER = Paper(
    id="sums",
    title="sums of symbols alone",
    bibtex="@misc{sums}",
    experiments=addition.EXPERIMENTS,
    claims=addition.CLAIMS,
    figures=addition.FIGURES,
)


class Losses:
    """A run of known losses."""

    def __init__(self, messiness: float, test: float, scale: float = addition.FITTING) -> None:
        self.spec = {"task": {"messiness": messiness}, "model": {"initial_scale": scale}}
        self.values = {"test/loss": test, "train/loss": test / 10, "weights/sum_of_squares": 4.0}

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        return np.array([0, 10]), np.array([9.0, self.values[key]])


@pytest.mark.parametrize(("losses", "least"), [((0.5, 1.0, 4.0), 2.0), ((0.5, 0.4, 4.0), 0.8)])
def test_the_least_rise_goes_by_messiness(losses: tuple[float, ...], least: float) -> None:
    runs: Any = {f"r{m}": Losses(m, loss) for m, loss in zip((0.0, 0.05, 0.2), losses, strict=True)}
    runs["small"] = Losses(0.05, 0.3, scale=1.0)
    found = by_messiness(dict(reversed(runs.items())))
    assert (found["least_0.05"], found["least_0.2"]) == (0.3, 4.0)
    assert found["least_rise"] == pytest.approx(least)
    assert (found["test_0.2"], found["train_0.2"]) == (4.0, 0.4)


def test_the_experiments_are_the_papers() -> None:
    spec = resolve(PAPER.tree(addition.named(0.2, 4.5), "paper"))
    assert (spec.task.messiness, spec.task.train_examples) == (0.2, 45)  # type: ignore[attr-defined]
    assert (spec.model.activation, spec.model.widths) == ("leaky-relu", (200, 200))  # type: ignore[union-attr]
    assert [part.norm for part in spec.interventions] == ["initial"]  # type: ignore[attr-defined]
    assert len(PAPER.experiments) == 20
    assert callable(PAPER.claims[0].function())


def test_a_run_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PAPERS._known, "sums", PAPER)
    name = addition.named(0.0, 1.0)
    run = gs.run(f"sums/{name}", scale="smoke", seed=0, out=tmp_path).stored
    assert len(addition_figures.by_messiness({name: [run]})["data"]) == 2
    assert len(addition_figures.loss([run], [])["data"]) >= 2
