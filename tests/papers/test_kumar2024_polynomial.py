"""The polynomial student: statistics on curves whose answers are known, experiments as specs, figures of small runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import grokscope as gs
from grokscope.paper import Paper
from grokscope.papers.kumar2024 import polynomial, polynomial_figures
from grokscope.papers.kumar2024 import polynomial_statistics as statistics
from grokscope.papers.kumar2024.polynomial_experiments import NARROW
from grokscope.registry import PAPERS, load
from grokscope.spec import resolve

STEPS = np.array([0, 1, 10, 100, 1000, 2000, 8000, 25_000])
PAPER = Paper(
    id="polynomial",
    title="the polynomial student alone",
    bibtex="@misc{polynomial}",
    experiments=polynomial.EXPERIMENTS,
    claims=polynomial.CLAIMS,
    figures=polynomial.FIGURES,
)


class Curves:
    """A run of known scalars."""

    status = "finished"

    def __init__(self, alpha: float = 1.0, epsilon: float = 0.25, **curves: Any) -> None:
        self.spec = {"learner": {"output_scale": alpha}, "model": {"epsilon": epsilon}}
        given = {key.replace("__", "/"): np.broadcast_to(value, STEPS.shape) for key, value in curves.items()}
        self.curves: dict[str, np.ndarray] = given

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        return STEPS, self.curves[key].astype(float)


def falling(fit: float, generalise: float, **more: Any) -> Curves:
    """Return losses that fall to nothing at two steps."""
    curves = {"train": np.where(fit <= STEPS, 0.0, 1.0), "test": np.where(generalise <= STEPS, 0.0, 1.0)}
    return Curves(relative_loss__train=curves["train"], relative_loss__test=curves["test"], **more)


def test_a_delay_that_is_not_over_is_infinite_and_never_zero() -> None:
    assert statistics.log_ratio(falling(1, 100), 0.2) == pytest.approx(2, abs=0.9)
    assert statistics.log_ratio(falling(1, 1e9), 0.2) == math.inf
    assert math.isnan(statistics.log_ratio(falling(1e9, 1e9), 0.2))


def test_rank_correlation_takes_ties_and_infinities_and_no_constants() -> None:
    assert statistics.rank_correlation([1, 2, 3], [5, 6, math.inf]) == pytest.approx(1)
    assert statistics.rank_correlation([1, 2, 3], [3, 2, 1]) == pytest.approx(-1)
    assert statistics.rank_correlation([1, 2, 3, 4], [1, 2, 2, 4]) == pytest.approx(0.9486832980505138)
    assert statistics.rank_correlation([1, 2, 3], [5, 5, 5]) is None
    assert statistics.rank_correlation([1, 2], [math.nan, 1]) is None


def test_the_main_run() -> None:
    run = Curves(
        relative_loss__test=[1, 1, 1.1, 1.2, 1.2, 1, 0.5, 0.1],
        relative_loss__train=[1, 0.9, 0.9, 0.8, 0.8, 0.8, 0.2, 0.0],
        quadratic_kernel__regression_error_relative=0.7,
        quadratic_kernel__lazy_gap=[0, 0, 0, 0.01, 0.02, 0.02, 0.2, 0.9],
        quadratic_kernel__alignment=[0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.012, 0.015],
        weights__sum_of_squares=[4, 4, 4, 4, 4, 4, 8, 16],
    )
    runs = {"polynomial": run}
    assert statistics.grokking_in_loss(runs) == {"late_test": 0.1, "peak": 1.2, "plateau": 0.8, "kernel_error": 0.7}
    lazy = statistics.lazy_until(runs)
    assert lazy["early_gap"] == 0.02
    assert 2000 < (lazy["break_step"] or 0) < 8000
    grown = statistics.features_align(runs)
    assert grown["alignment_ratio"] == pytest.approx(1.5)
    assert grown["norm_ratio"] == 2
    assert (grown["least_late_growth"] or 0) == pytest.approx(0.3)
    assert statistics.features_align({"statistics": run}) == grown


def test_which_part_rises_and_which_falls() -> None:
    named = "sufficient_statistics__{}".format
    run = Curves(
        **{
            named("population_loss"): [1, 0.9, 0.9, 1.0, 1.2, 1.1, 0.5, 0.2],
            named("linear_power"): [0, 0.1, 0.1, 0.2, 0.4, 0.3, 0.1, 0.1],
            named("misalignment"): [0.8, 0.8, 0.8, 0.8, 0.76, 0.7, 0.3, 0.06],
            named("loss_ratio"): [1, 1, 1.05, 1, 0.9, 1, 5, 5],
            "relative_loss__test": 0.2,
        }
    )
    assert statistics.parts_of_the_loss({"statistics": run}) == pytest.approx(
        {
            "linear_rise": 0.4,
            "misalignment_change": 0.05,
            "misalignment_share": 0.7,
            "prediction_error": 0.1,
            "end": 0.2,
        }
    )


def test_two_neurons_that_diverge_are_counted_and_are_no_success() -> None:
    good, bad, lost = falling(1, 10), falling(1, 1e9), falling(1, 10)
    lost.status = "diverged"
    seeds = {NARROW[0]: [good, good], NARROW[1]: [bad], NARROW[2]: [lost]}
    assert statistics.two_neurons(seeds) == {"success_fraction": 0.5, "diverged_fraction": 0.25, "runs": 4.0}


def test_output_scales_in_order() -> None:
    runs = {
        f"alpha-{alpha:g}": falling(10, when, quadratic_kernel__movement=0.2 / alpha)
        for alpha, when in ((1 / 16, 10), (1 / 4, 100), (1, 1000), (4, 8000), (16, 1e9))
    }
    found = statistics.output_scale(runs)
    assert found["delay_order"] == pytest.approx(1)
    assert found["smallest_ratio"] == pytest.approx(0, abs=1e-9)
    assert found["largest_ratio"] == math.inf
    assert statistics.kernel_movement(runs) == pytest.approx({"spread": 1, "mean": 0.2})
    runs["alpha-1"] = falling(1e9, 1e9, quadratic_kernel__movement=0.2)
    assert statistics.kernel_movement(runs) == {"spread": None, "mean": None}


def test_cells_that_never_generalise_are_counted_and_ranked_last() -> None:
    seeds = {}
    for row, alpha in enumerate((0.5, 1, 2, 4)):
        for column, epsilon in enumerate((0.125, 0.25, 0.5, 1)):
            when = 1e9 if (row, column) == (3, 3) else (100, 1000, 2000, 8000)[row]
            seeds[f"phase-{row + 1}-{column + 1}"] = [falling(10, when, alpha=alpha, epsilon=epsilon)] * 3
    found = statistics.phase_diagram(seeds)
    assert found["censored"] == 1
    assert found["delay_alpha"] == pytest.approx(1)
    assert (found["delay_alpha_censored"] or 0) > 0.9
    assert abs(found["ratio_epsilon"] or 0) < 0.3


def test_only_the_paper_s_diagram_is_judged_with_censored_cells_ranked_last() -> None:
    claims = {claim.id: claim for claim in polynomial.CLAIMS}
    for name, key in (("L8a", "delay_alpha"), ("L8b", "ratio_epsilon")):
        criterion = claims[name].criterion
        assert list(criterion["cpu"].bounds) == [key]
        assert list(criterion["paper"].bounds) == [f"{key}_censored"]


def test_one_parameter_compares_within_groups() -> None:
    def run(size: float) -> Curves:
        return falling(10, 1e9, weights__sum_of_squares=4.0, weights__distance=2 * size)

    runs = {
        "alpha-4": run(0.6), "sigma-2-alpha-1": run(0.6), "alpha-1": run(1.5), "sigma-2-alpha-0.25": run(1.5),
        "sigma-0.5-alpha-4": run(1.8), "alpha-0.25": run(3), "sigma-0.5-alpha-1": run(3),
    }  # fmt: skip
    assert statistics.one_parameter(runs) == pytest.approx(
        {"movement_spread": 0.2, "final_spread": 0, "peak_spread": 0}
    )


def test_sizes_and_aligned_starts() -> None:
    seeds = {
        f"examples-{size}{draw}": [Curves(relative_loss__train=0.0, relative_loss__test=end)]
        for size, end in ((50, 0.9), (120, 0.5), (500, 0.0))
        for draw in ("", "-draw-2")
    }
    found = statistics.sample_size(seeds)
    assert (found["end_50"], found["end_120"], found["end_500"]) == pytest.approx((0.9, 0.5, 0))
    assert found["least_step"] == pytest.approx(0.4)
    assert found["runs"] == 2
    times = {0.0: 1e9, 0.05: 25_000, 0.1: 8000, 0.2: 1000, 0.35: 10}
    aligned = statistics.aligned_start({f"aligned-{c:g}": falling(1, when) for c, when in times.items()})
    assert aligned["peak"] == 1
    assert 0 < (aligned["slowest_step"] or 0) < 1


@pytest.mark.parametrize("scale", ["smoke", "cpu", "paper"])
def test_every_experiment_is_a_spec_and_every_claim_has_its_runs(scale: str) -> None:
    batches: dict[str | None, set[tuple[Any, Any]]] = {}
    for experiment in PAPER.experiments:
        spec = resolve(PAPER.tree(experiment.name, scale))
        assert spec.numerics.dtype == "float64"
        batches.setdefault(experiment.batch, set()).add((spec.learner.steps, spec.record))
    # what is trained together has one length and one plan
    assert all(len(found) == 1 for batch, found in batches.items() if batch is not None and scale != "smoke")
    for claim in PAPER.claims:
        assert callable(claim.function())
        assert claim.at(scale).experiments


SMOKED = [experiment.name for experiment in PAPER.experiments if experiment.cell_of is None]


@pytest.fixture(scope="module")
def smoked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    PAPERS.add("polynomial", PAPER)
    root = tmp_path_factory.mktemp("smoked")
    yield {name: gs.run(f"polynomial/{name}", scale="smoke", seed=0, out=root).stored for name in SMOKED}
    PAPERS._known.pop("polynomial")


def test_smoke_runs_measure_what_the_figures_draw(smoked: dict[str, Any]) -> None:
    assert set(SMOKED) == {"polynomial", "statistics", "eigenvector-70", "alpha-1", "examples-120", "aligned-0"}
    for name, run in smoked.items():
        assert run.status == "finished"
        assert run.events("measure_failed") == []
        for figure in PAPER.figures:
            if name not in figure.experiments:
                continue
            draw = load(figure.function)
            drawn = draw({name: [run]}) if figure.together else draw([run], [])
            assert drawn["data"] or figure.id.endswith("statistics")
            assert drawn["layout"]["title"]["text"]


def test_the_phase_diagram_marks_cells_that_never_generalised(smoked: dict[str, Any]) -> None:
    drawn = polynomial_figures.phase_diagram({"alpha-1": [smoked["alpha-1"]]})
    assert any(trace.get("name") in ("never generalised", "never fitted") for trace in drawn["data"])
