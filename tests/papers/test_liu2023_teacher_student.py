"""What the claims on a student of a random network read off curves and landscapes that are known."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grokscope as gs
from grokscope.errors import UsageError
from grokscope.paper import Paper
from grokscope.papers.liu2023 import teacher_student, teacher_student_figures
from grokscope.papers.liu2023 import teacher_student_experiments as cells
from grokscope.papers.liu2023 import teacher_student_statistics as statistics
from grokscope.registry import PAPERS
from grokscope.spec import resolve

STEPS = np.array([0, 1, 10, 100, 1000, 10_000])
PAPER = Paper(
    id="student",
    title="the student alone",
    bibtex="@misc{student}",
    experiments=teacher_student.EXPERIMENTS,
    claims=teacher_student.CLAIMS,
    figures=teacher_student.FIGURES,
)


class Curves:
    """A run of known scalars."""

    def __init__(self, scale: float = 2.0, decay: float = 0.1, **curves: Any) -> None:
        self.spec = {
            "model": {"initial_scale": scale},
            "optimizer": {"learning_rate": 1e-3, "weight_decay": decay},
            "seed": {"base": 0},
        }
        self.status, self.directory, self.last_step = "finished", Path(), 10_000
        self.curves = {key.replace("__", "/"): np.asarray(value, float) for key, value in curves.items()}

    def has(self, key: str, module: str | None = None) -> bool:
        return key in self.curves

    def series(self, key: str, module: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        if key not in self.curves:
            raise UsageError(f"unknown key {key!r}")
        return STEPS, self.curves[key]


def accurate(fit: float, generalise: float, *, strict: float | None = None, **more: Any) -> Any:
    """Return a run within the looser threshold from two steps on, and within the stricter one from a third."""
    run = Curves(**more)
    for threshold, late in (("0.01", generalise), ("0.001", generalise if strict is None else strict)):
        run.curves[f"threshold_accuracy/train@{threshold}"] = (fit <= STEPS).astype(float)
        run.curves[f"threshold_accuracy/test@{threshold}"] = (late <= STEPS).astype(float)
    return run


def at_norm(scale: float, train: float, test: float) -> Any:
    losses = {"train__loss": np.full(6, train), "test__loss": np.full(6, test)}
    return Curves(scale, 0.0, weights__sum_of_squares=np.full(6, (8 * scale) ** 2), **losses)


def test_an_l_and_a_u() -> None:
    # train falls to 1e-4 of its largest and stays there; test has its minimum at the usual norm
    shape = {0.25: (1.0, 1.0), 0.5: (0.1, 0.2), 1.0: (1e-4, 0.1), 2.0: (1e-4, 0.2), 4.0: (1e-4, 0.8)}
    runs = {cells.held(scale): at_norm(scale, *losses) for scale, losses in reversed(shape.items())}
    found = statistics.landscape_shape(runs)
    assert found["train_share"] == pytest.approx(1e-4)
    assert found["ends"] == pytest.approx(8)
    # ln 2 on both sides of the least: the parabola is symmetric
    assert found["least_scale"] == pytest.approx(1)
    assert found["window"] == pytest.approx(2)
    assert found["best_train_share"] == pytest.approx(1e-4)
    # from 2 to 4 times the usual norm: a mean log ratio of ln 2000 and ln 8000
    assert found["mismatch"] == pytest.approx(math.log(2) * (math.log(2000) + math.log(8000)) / 2)


def test_the_least_losses_are_read_apart_from_the_last() -> None:
    shape = {0.5: (1.0, 1.0), 1.0: (1e-3, 0.1), 2.0: (1e-3, 0.4)}
    runs = {cells.held(scale): at_norm(scale, *losses) for scale, losses in shape.items()}
    runs[cells.held(2.0)].curves["test/loss"][2] = 0.05
    found = statistics.landscape_shape(runs)
    assert found["ends"] == pytest.approx(4)
    assert found["best_ends"] == pytest.approx(1)
    # a least loss at the largest norm is no U
    assert (found["interior"], found["best_interior"]) == (1, 0)
    criterion = next(claim for claim in PAPER.claims if claim.id == "C1b").criterion["cpu"]
    assert criterion.met({"train_share": 0.001, "interior": 0.0}) is False


def test_a_time_inverse_to_decay_has_the_slope_minus_one() -> None:
    times = {0.03: 10_000.0, 0.3: 1000.0, 1.0: 300.0}
    runs = {cells.named(2.0, decay): accurate(1, late, strict=late) for decay, late in times.items()}
    for run in runs.values():
        run.curves["threshold_accuracy/test@0.01"] = 0.95 * run.curves["threshold_accuracy/test@0.01"]
    found = statistics.decay_slope(runs)
    assert found["strict_slope"] == pytest.approx(-1, abs=0.001)
    # 300 is observed at 1000, as 0.3 is
    expected = np.polyfit(np.log([0.03, 0.3, 1.0]), np.log([10_000, 1000, 1000]), 1)[0]
    assert found["slope"] == pytest.approx(expected, abs=0.001)
    assert found["strict_slope_all"] == pytest.approx(expected, abs=0.001)
    runs[cells.named(2.0, 0.03)] = accurate(10, 100, strict=math.inf)
    assert statistics.decay_slope(runs)["strict_slope"] is None


def test_the_spread_of_fits_is_none_of_theirs_where_one_never_fits() -> None:
    runs = {cells.named(2.0, decay): accurate(fit, 1000) for decay, fit in ((0.03, 100), (1.0, 1000))}
    assert statistics.fit_spread(runs)["spread"] == pytest.approx(9, rel=0.01)
    runs[cells.named(2.0, 0.1)] = accurate(math.inf, math.inf)
    assert statistics.fit_spread(runs)["spread"] == math.inf


def test_a_small_start_against_a_large_one() -> None:
    runs = {cells.named(0.5, decay): accurate(100, 100, strict=100, test__loss=np.ones(6)) for decay in cells.DECAYS}
    for decay, late in ((0.0, math.inf), (0.03, 10_000.0), (1.0, 1000.0)):
        runs[cells.named(2.0, decay)] = accurate(10, 10, strict=late, test__loss=np.ones(6))
    found = statistics.small_start(runs)
    assert found["largest_ratio"] == pytest.approx(1)
    # the large start of the strongest decay is ten times as late; the one that never arrives waits to the end
    assert found["least_gain"] == pytest.approx(10, rel=0.01)
    assert found["large_start_ratio"] == pytest.approx(1)
    runs[cells.named(0.5, 1.0)] = accurate(100, math.inf, strict=math.inf)
    never = statistics.small_start(runs)
    assert (never["largest_ratio"], never["least_gain"]) == (math.inf, 0.0)
    runs[cells.named(0.5, 1.0)] = accurate(math.inf, math.inf)
    assert statistics.small_start(runs)["largest_ratio"] is None


def test_the_forecast_is_the_time_of_a_bare_decay() -> None:
    squares = np.full(6, 400.0)
    run = accurate(100, 10_000, decay=0.1, weights__sum_of_squares=squares)
    [(name, at)] = statistics.forecast(run, 10.0).items()
    assert "theory" in name
    # ln 2 / (1e-3 · 0.1) updates after the fit
    assert at == pytest.approx(statistics.fitted(run) + math.log(2) / 1e-4, rel=1e-3)
    assert statistics.forecast(accurate(100, 10_000, decay=0.0, weights__sum_of_squares=squares), 10.0) == {name: None}
    never = accurate(math.inf, math.inf, weights__sum_of_squares=squares)
    assert statistics.forecast(never, 10.0) == {name: None}


def test_the_landscape_foresees_a_bare_decay() -> None:
    # 95 % is halfway, in the logarithm, between a norm with 100 % and one with 90 %: √2 times 8
    runs: Any = {cells.held(scale): at_norm(scale, 1e-4, 0.1) for scale in (0.5, 1.0, 2.0)}
    for scale, share in ((0.5, 0.2), (1.0, 1.0), (2.0, 0.9)):
        runs[cells.held(scale)].curves["threshold_accuracy/test@0.01"] = np.full(6, share)
    assert statistics.largest_accurate_norm(list(runs.values())) == pytest.approx(8 * math.sqrt(2))
    norm = 8 * math.sqrt(2)
    for decay in (0.1, 1.0):
        run = accurate(1, 10_000, decay=decay, weights__sum_of_squares=np.full(6, (2 * norm) ** 2))
        runs[cells.named(2.0, decay)] = run
    found = statistics.landscape_forecast(runs)
    assert found["forecast_0.1"] == pytest.approx(1 + math.log(2) / 1e-4, rel=1e-3)
    # at ten times the decay the forecast is a tenth, the curve is the same
    assert found["worst_factor"] == pytest.approx(found["generalise_step_1"] / found["forecast_1"])  # type: ignore[operator]
    runs[cells.held(2.0)].curves["threshold_accuracy/test@0.01"] = np.full(6, 0.96)
    assert statistics.landscape_forecast(runs) == {"worst_factor": None}


def test_a_landscape_is_drawn_with_its_window_and_its_minimum() -> None:
    shape = {0.25: (1.0, 1.0), 0.5: (0.1, 0.2), 1.0: (1e-4, 0.1), 2.0: (1e-4, 0.2), 4.0: (1e-4, 0.8)}
    runs: Any = {cells.held(scale): [at_norm(scale, *losses)] for scale, losses in shape.items()}
    drawn = teacher_student_figures.reduced_losses(runs)
    names = [trace.get("name") for trace in drawn["data"]]
    assert {"train", "test", "grokking window", "w_c"} <= set(names)
    assert next(trace for trace in drawn["data"] if trace.get("name") == "test")["x"] == [2.0, 4.0, 8.0, 16.0, 32.0]
    swept: Any = {
        cells.named(2.0, decay): [accurate(100, 1000, decay=decay, weights__sum_of_squares=np.full(6, 400.0))]
        for decay in (0.1, 1.0)
    }
    for scale in shape:
        share = 1.0 if scale <= 1 else 0.0
        runs[cells.held(scale)][0].curves["threshold_accuracy/test@0.01"] = np.full(6, share)
    for some in swept.values():
        some[0].spec["transition"] = cells.RULE.model_dump(mode="json")
    both = teacher_student_figures.by_decay({**swept, **runs})
    assert any("theory" in str(trace.get("name")) for trace in both["data"])
    without = teacher_student_figures.by_decay(swept)
    assert not any("theory" in str(trace.get("name")) for trace in without["data"])


def test_the_experiments_are_the_papers() -> None:
    spec = resolve(PAPER.tree(cells.STUDENT, "paper"))
    assert (spec.model.initial_scale, spec.model.widths) == (2.0, (100, 100))  # type: ignore[union-attr]
    assert (spec.optimizer.learning_rate, spec.optimizer.weight_decay) == (3e-4, 0.03)  # type: ignore[union-attr]
    assert spec.learner.steps == 100_000
    small = resolve(PAPER.tree(cells.STUDENT, "cpu"))
    # as much time ηt
    assert small.optimizer.learning_rate * small.learner.steps == pytest.approx(3e-4 * 100_000)  # type: ignore[union-attr]
    held = resolve(PAPER.tree(cells.held(10.0), "paper"))
    assert [part.norm for part in held.interventions] == ["initial"]  # type: ignore[attr-defined]
    assert len(cells.NORMS) == 11
    assert {claim.id for claim in PAPER.claims} == {"C1b", "C4b", "C4c", "C5b", "C7", "B3b"}
    for claim in PAPER.claims:
        assert callable(claim.function())


def test_a_run_has_its_figures_and_keeps_its_norm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PAPERS._known, "student", PAPER)
    run = gs.run("student/student-teacher-norm-1", scale="smoke", seed=0, out=tmp_path).stored
    squares = run.series("weights/sum_of_squares")[1]
    assert squares == pytest.approx(squares[0], rel=1e-5)
    drawn = teacher_student_figures.accuracy([run], [])
    assert len([trace for trace in drawn["data"] if len(trace.get("x") or [])]) == 4
    assert teacher_student_figures.norm([run], [])["layout"]
    # one norm is no landscape, and is drawn all the same
    assert teacher_student_figures.reduced_losses({cells.held(1.0): [run]})["data"]
    assert teacher_student_figures.sensitivity({cells.held(1.0): [run]})["layout"]
