"""What the claims on networks read off curves whose delays are known, and the experiments as specs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grokscope as gs
from grokscope.errors import UsageError
from grokscope.paper import Paper
from grokscope.papers.kumar2024 import networks, networks_figures
from grokscope.papers.kumar2024 import networks_experiments as cells
from grokscope.papers.kumar2024 import networks_statistics as statistics
from grokscope.papers.kumar2024.networks_statistics import Delay
from grokscope.registry import PAPERS
from grokscope.spec import resolve

STEPS = np.array([0, 1, 10, 100, 1000, 10_000, 100_000])
PAPER = Paper(
    id="networks",
    title="the networks alone",
    bibtex="@misc{networks}",
    experiments=networks.EXPERIMENTS,
    claims=networks.CLAIMS,
    figures=networks.FIGURES,
)


class Curves:
    """A run of known scalars."""

    def __init__(self, scale: float = 1.0, **curves: np.ndarray) -> None:
        self.spec = {"learner": {"output_scale": scale}}
        self.status = "finished"
        self.directory = Path()
        self.curves = {key.replace("__", "/").replace("_at_", "@"): value for key, value in curves.items()}

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        if key not in self.curves:
            raise UsageError(f"unknown key {key!r}")
        return STEPS, self.curves[key]


def from_step(step: float) -> np.ndarray:
    return (step <= STEPS).astype(float)


def accurate(fit: float, generalise: float, scale: float = 1.0, **more: np.ndarray) -> Any:
    given = {"train__accuracy": from_step(fit), "test__accuracy": from_step(generalise)}
    return Curves(scale, test__loss=1 - from_step(generalise), **given, **more)


def falling(fit: float, generalise: float, start: float = 4.0) -> Any:
    """Return losses that fall to a hundredth of their start, train and test at their steps."""
    return Curves(
        train__loss=start * np.where(fit <= STEPS, 0.01, 1), test__loss=start * np.where(generalise <= STEPS, 0.01, 1)
    )


def test_a_delay_is_censored_where_it_never_generalises_and_missing_where_it_never_fits() -> None:
    found = statistics.delay_ratio(accurate(10, 1000), 1.0, 0.9)
    assert found is not None
    assert found.value == pytest.approx(79.4, rel=0.01)  # 0.9 of the way from 100 to 1000, in their logarithm
    # of a run that ends at step 100,000 it is only known that it waited so long
    assert statistics.delay_ratio(accurate(10, math.inf), 1.0, 0.9) == Delay(10_000, censored=True)
    assert statistics.delay_ratio(accurate(math.inf, math.inf), 1.0, 0.9) is None
    assert statistics.delay_between(accurate(1, 1), 0.0, 5.0, steps=True) == Delay(4)


@pytest.mark.parametrize(
    ("delays", "least"),
    [
        ([Delay(1), Delay(2), Delay(8)], 2.0),
        ([Delay(3), Delay(1.5), Delay(9)], 0.5),
        ([Delay(2), Delay(4), Delay(8, True)], 2.0),
        ([Delay(2), None, Delay(3)], None),
        # ended before it could be told whether it is the longer
        ([Delay(9), Delay(8, True)], None),
        # and yet one step down is certain
        ([Delay(9), Delay(3), Delay(1, True)], 1 / 3),
        ([Delay(9, True), Delay(3)], 1 / 3),
        ([Delay(2, True), Delay(3)], None),
        ([Delay(5, True), Delay(6, True)], None),
    ],
)
def test_the_least_rise_is_what_is_certain(delays: list[Delay | None], least: float | None) -> None:
    found = statistics.least_rise(delays)
    assert found == (None if least is None else pytest.approx(least))


def test_delays_are_ordered_by_output_scale_whatever_the_order_of_runs() -> None:
    runs = {"c": accurate(10, math.inf, 2.0), "a": accurate(10, 10, 0.5), "b": accurate(10, 1000, 1.0)}
    found = statistics.perceptron_delays(runs)
    assert [name for name in found if name.startswith("ratio")] == ["ratio_0.5", "ratio_1", "ratio_2"]
    assert found["smallest_scale"] == pytest.approx(1, abs=0.25)
    least = found["least_rise"]
    assert least is not None
    assert 10 < least < math.inf
    reverse = statistics.perceptron_delays({"a": accurate(10, math.inf, 0.5), "b": accurate(10, 10, 1.0)})
    fall = reverse["least_rise"]
    assert fall is not None
    assert fall < 0.01


def test_norm_growth_is_of_the_norm() -> None:
    squares = np.linspace(4, 64, len(STEPS))
    run = accurate(100, 10_000, weights__sum_of_squares=squares)
    found = statistics.grows_and_generalises({cells.PERCEPTRON: run})
    assert found["norm_ratio"] == pytest.approx(4)
    assert found["test_accuracy"] == 1
    ratio = found["delay_ratio"]
    assert ratio is not None
    assert ratio > 10


@pytest.mark.parametrize(("fit", "generalise", "delay"), [(10, 1000, 2.0), (100, 100, 0.0), (100, 10, -1.0)])
def test_the_delay_in_loss(fit: int, generalise: int, delay: float) -> None:
    found = statistics.deepest_delay(falling(fit, generalise))
    assert found["fraction"] == 0.1
    assert found["delay"] == pytest.approx(delay, abs=0.1)
    assert found["test_loss"] == pytest.approx(0.01)


def test_the_delay_is_read_off_at_the_lowest_fraction_that_is_reached() -> None:
    run = falling(10, 1000)
    run.curves["test/loss"] = 4.0 * np.where(STEPS >= 1000, 0.3, 1)
    assert statistics.deepest_delay(run)["fraction"] == 0.5
    run.curves["test/loss"] = 4.0 * np.where(STEPS >= 1000, 0.8, 1)
    found = statistics.deepest_delay(run)
    assert found["delay"] == -math.inf
    assert found["fraction"] is None


def test_a_threshold_that_fakes_a_delay() -> None:
    run = falling(100, 100)
    for threshold, test in (("0.01", 100_000), ("0.1", 100)):
        run.curves[f"threshold_accuracy/train@{threshold}"] = from_step(100)
        run.curves[f"threshold_accuracy/test@{threshold}"] = from_step(test)
    found = statistics.threshold_fakes_delay({cells.named(cells.STUDENT, 1): run})
    assert found["loss_delay"] == pytest.approx(0)
    assert found["loose"] == 1
    contrast = found["contrast"]
    assert contrast is not None
    assert contrast > 100


def test_decay_and_laziness_pull_the_other_way() -> None:
    times = {(0.5, 1.0): 1000, (0.5, 5.0): 100, (1.4, 5.0): 10_000}
    runs = {
        cells.named(cells.TRANSFORMER, scale, None if decay == 1 else decay): accurate(10, time)
        for (scale, decay), time in times.items()
    }
    found = statistics.decay_against_laziness(runs)
    for name in ("removed_by_decay", "restored_by_scale"):
        value = found[name]
        assert value is not None
        assert value > 5


def test_all_claims_and_figures_are_about_experiments_that_are_there() -> None:
    assert {claim.id for claim in PAPER.claims} >= {"L4", "L5", "L11", "L12a", "L16a", "L17a"}
    for claim in PAPER.claims:
        assert callable(claim.function())
    for scale, learning_rate in ((1.0, 100.0), (1.96, 100 / 1.96**2)):
        name = cells.PERCEPTRON if scale == 1 else cells.named(cells.PERCEPTRON, scale)
        spec = resolve(PAPER.tree(name, "cpu"))
        assert spec.optimizer is not None
        assert spec.optimizer.learning_rate == pytest.approx(learning_rate)
        assert spec.learner.output_scale == scale  # type: ignore[attr-defined]


def test_a_run_has_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PAPERS._known, "networks", PAPER)
    student = gs.run("networks/student-teacher-scale-1", scale="smoke", seed=0, out=tmp_path)
    runs = [student.stored]
    drawn = networks_figures.thresholds(runs, [])
    # seven thresholds on two probes
    assert len([trace for trace in drawn["data"] if len(trace.get("x") or [])]) == 14
    relative = networks_figures.loss(runs, [])
    assert [trace["y"][0] for trace in relative["data"][:2]] == [1.0, 1.0]
    assert networks_figures.laziness(runs, [])["layout"]


def test_a_sweep_is_drawn_over_its_output_scale() -> None:
    figure = next(figure for figure in PAPER.figures if figure.id == "mnist-by-scale")
    assert figure.together
    assert figure.experiments == tuple(f"mnist-scale-{scale}" for scale in (0.001, 0.01, 0.05, 0.5))
