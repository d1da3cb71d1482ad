"""What the claims on the transformer with a free and a held norm read off curves that are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grokscope as gs
from grokscope.errors import UsageError
from grokscope.paper import Paper
from grokscope.papers.liu2023 import transformer, transformer_figures
from grokscope.papers.liu2023 import transformer_statistics as statistics
from grokscope.papers.liu2023.transformer import CLAMPED, FREE
from grokscope.registry import PAPERS
from grokscope.spec import resolve

STEPS = np.array([0, 1, 10, 100, 1000, 10_000])
PAPER = Paper(
    id="held",
    title="the transformer alone",
    bibtex="@misc{held}",
    experiments=transformer.EXPERIMENTS,
    claims=transformer.CLAIMS,
    figures=transformer.FIGURES,
)


class Curves:
    """A run of known scalars."""

    def __init__(self, **curves: Any) -> None:
        self.status, self.directory = "finished", Path()
        self.curves = {key.replace("__", "/"): np.asarray(value, float) for key, value in curves.items()}

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        if key not in self.curves:
            raise UsageError(f"unknown key {key!r}")
        return STEPS, self.curves[key]


def accurate(fit: float, generalise: float, **more: Any) -> Any:
    return Curves(train__accuracy=fit <= STEPS, test__accuracy=generalise <= STEPS, **more)


def test_the_delay_goes_where_the_norm_is_held() -> None:
    found = statistics.clamped_delay({FREE: accurate(100, 10_000), CLAMPED: accurate(100, 100)})
    assert found["clamped_ratio"] == pytest.approx(1)
    assert found["free_ratio"] == pytest.approx(100, rel=0.01)
    never = statistics.clamped_delay({FREE: accurate(100, 10_000), CLAMPED: accurate(100, math.inf)})
    assert never["clamped_ratio"] == math.inf
    unfitted = statistics.clamped_delay({FREE: accurate(100, 10_000), CLAMPED: accurate(math.inf, math.inf)})
    assert unfitted["clamped_ratio"] is None


def test_a_norm_that_peaks_and_falls() -> None:
    losses = [2.0, 2.0, 4.0, 8.0, 1.0, 0.0]
    run = accurate(10, 1000, weights__sum_of_squares=[100, 110, 121, 144, 49, 36], test__loss=losses)
    found = statistics.norm_peak({FREE: run})
    assert found["peak"] == pytest.approx(1.2)
    assert found["peak_step"] == 100
    assert found["peak_loss"] == pytest.approx(4)
    assert found["final"] == pytest.approx(0.6)
    before = found["peak_before"]
    assert before is not None
    assert before == pytest.approx(100 / found["generalise_step"])  # type: ignore[operator]
    never = accurate(10, math.inf, weights__sum_of_squares=[100, 110, 121, 144, 49, 36], test__loss=losses)
    assert statistics.norm_peak({FREE: never})["peak_before"] is None


def test_a_norm_that_only_falls_has_no_peak_above_its_start() -> None:
    run = accurate(10, 1000, weights__sum_of_squares=[100, 90, 80, 70, 60, 50], test__loss=np.ones(6))
    found = statistics.norm_peak({FREE: run})
    assert (found["peak"], found["peak_step"]) == (1.0, 0.0)
    criterion = next(claim for claim in PAPER.claims if claim.id == "C10").criterion["cpu"]
    assert criterion.met(found) is False


def test_the_experiments_are_the_papers() -> None:
    free, held = (resolve(PAPER.tree(name, "paper")) for name in (FREE, CLAMPED))
    assert free.task.modulus == held.task.modulus == 113  # type: ignore[attr-defined]
    assert (free.optimizer.weight_decay, held.optimizer.weight_decay) == (1.0, 0.0)  # type: ignore[union-attr]
    assert (free.model.initial_scale, held.model.initial_scale) == (1.0, 0.8)  # type: ignore[union-attr]
    assert not free.interventions
    assert [part.norm for part in held.interventions] == ["initial"]  # type: ignore[attr-defined]
    for claim in PAPER.claims:
        assert callable(claim.function())


def test_a_held_norm_stays_and_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PAPERS._known, "held", PAPER)
    free, held = (gs.run(f"held/{name}", scale="smoke", seed=0, out=tmp_path).stored for name in (FREE, CLAMPED))
    squares = held.series("weights/sum_of_squares")[1]
    assert squares == pytest.approx(squares[0], rel=1e-5)
    assert free.series("weights/sum_of_squares")[1][-1] != pytest.approx(squares[0], rel=1e-3)
    drawn = transformer_figures.norm([held], [])
    relative = next(trace for trace in drawn["data"] if trace.get("name") == "norm (right axis)")
    assert relative["y"] == pytest.approx([1.0] * len(squares), rel=1e-5)
    assert transformer_figures.accuracy([free], [])["data"]
    assert len(transformer_figures.free_and_clamped({FREE: [free], CLAMPED: [held]})["data"]) == 4
