"""What the claims on MNIST read off curves whose course is known, the experiments as specs, and their figures."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grokscope as gs
from grokscope.errors import UsageError
from grokscope.paper import Paper
from grokscope.papers.prakash2025 import mnist, mnist_figures
from grokscope.papers.prakash2025 import mnist_statistics as statistics
from grokscope.papers.prakash2025.mnist_experiments import DECAY, FIRST, HELD, MNIST, SECOND
from grokscope.registry import PAPERS
from grokscope.spec import resolve

STEPS = np.array([0, 1, 10, 30, 100, 300, 1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000, 9000, 10_000])
PAPER = Paper(
    id="prakash",
    title="MNIST alone",
    bibtex="@misc{prakash}",
    experiments=mnist.EXPERIMENTS,
    claims=mnist.CLAIMS,
    figures=mnist.FIGURES,
)


class Curves:
    """A run of known scalars."""

    def __init__(self, **curves: np.ndarray) -> None:
        self.curves = curves

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        if key not in self.curves:
            raise UsageError(f"unknown key {key!r}")
        return STEPS, self.curves[key]


def phased(before: float, peak: float, end: float) -> np.ndarray:
    """Return a value up to the fit at step 100, one up to 3000, and one from there on."""
    return np.select([STEPS <= 100, STEPS <= 3000], [before, peak], end)


def run_of(
    more: dict[str, np.ndarray] | None = None, *, best: float = 0.9, final: float = 0.6, train: float = 1.0
) -> Any:
    """Return a run that fits at step 100, is best from 1000 to 3000, and falls to ``final`` after that."""
    test = np.select([STEPS < 300, STEPS < 1000, STEPS <= 3000], [0.2, 0.5, best], final)
    return Curves(**{"train/accuracy": np.where(STEPS >= 100, train, 0.1), "test/accuracy": test, **(more or {})})


def by_layer(key: str, first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    return {f"{key}@{FIRST}": first, f"{key}@{SECOND}": second}


def test_the_course_of_a_run_that_loses_its_generalisation() -> None:
    found = statistics.course(run_of())
    assert found is not None
    assert 30 < found.fit <= 100
    assert (found.peak, found.best, found.final, found.train) == (1000, 0.9, 0.6, 1.0)
    assert found.drop == pytest.approx(0.3)
    values = statistics.anti_grokking({MNIST: run_of()})
    assert values["drop"] == pytest.approx(0.3)
    assert mnist.CLAIMS[0].criterion["cpu"].met(values)
    assert not mnist.CLAIMS[0].criterion["cpu"].met(statistics.anti_grokking({MNIST: run_of(final=0.85)}))
    # a test accuracy that falls with the fit is no anti-grokking
    assert not mnist.CLAIMS[0].criterion["cpu"].met(statistics.anti_grokking({MNIST: run_of(train=0.9)}))


def test_one_lucky_observation_is_no_best_accuracy() -> None:
    run = run_of()
    run.curves["test/accuracy"][4] = 1.0
    found = statistics.course(run)
    assert found is not None
    assert found.best == 0.9


def test_a_dead_run_has_no_values() -> None:
    dead = run_of({f"htsr/alpha@{FIRST}": np.full(len(STEPS), 5.0)}, train=0.1)
    assert statistics.course(dead) is None
    assert statistics.phases(dead, f"htsr/alpha@{FIRST}") is None
    values = statistics.anti_grokking({MNIST: dead})
    assert values["drop"] is None
    assert mnist.CLAIMS[0].criterion["cpu"].met(values) is None


def test_phases_are_medians_before_the_fit_near_the_best_and_at_the_end() -> None:
    alpha = by_layer("htsr/alpha", phased(5.0, 3.0, 1.0), phased(2.9, 2.3, 2.4))
    alpha[f"htsr/alpha@{FIRST}"][2] = 40.0  # a jump of one observation
    found = statistics.exponents({MNIST: run_of(alpha)})
    assert [found[f"fc1_{phase}"] for phase in ("before", "peak", "end")] == [5.0, 3.0, 1.0]
    assert found["mean_end"] == pytest.approx(1.7)
    assert found["fc1_least_fall"] == pytest.approx(2.0)
    assert found["fc2_least_fall"] == pytest.approx(-0.1)  # it rises at the end
    by_id = {claim.id: claim.criterion["cpu"] for claim in mnist.CLAIMS}
    assert by_id["C2a"].met(found)
    assert not by_id["C2b"].met(found)


def test_traps_are_counted_at_the_start_and_at_the_end() -> None:
    counts = by_layer("correlation_traps/traps_ww", phased(0, 0, 3), phased(0, 1, 1))
    robust = by_layer("correlation_traps/traps", phased(0, 0, 2), phased(0, 1, 1))
    found = statistics.traps({MNIST: run_of(counts | robust)})
    assert (found["fc1_start"], found["fc1_peak"], found["fc1_end"], found["fc1_robust_end"]) == (0, 0, 3, 2)


def test_changes_through_both_phases() -> None:
    run = run_of(
        {
            "sparsity/mean": phased(0.7, 0.8, 0.9),
            "weight_entropy/first": phased(40_000, 10_000, -4000),
            "circuit_complexity/complexity": phased(900, 9, 45),
            "norms/total_l2": phased(90, 100, 400),
        }
    )
    runs = {MNIST: run}
    assert statistics.sparsity_rises(runs) == pytest.approx({"rise_before": 0.1, "rise_after": 0.1})
    assert statistics.entropy_changes_sign(runs)["end_ratio"] == pytest.approx(-0.1)
    assert statistics.complexity_vanishes(runs) == pytest.approx({"peak_ratio": 0.01, "end_ratio": 0.05})
    assert statistics.norm_growth(runs) == pytest.approx({"growth": 400 / 90, "at_peak": 100 / 90})


def test_what_holding_the_norm_prevents_is_a_share_of_what_is_lost_without() -> None:
    more = {f"htsr/alpha@{FIRST}": phased(5, 3, 3), f"correlation_traps/traps_ww@{FIRST}": phased(0, 1, 1)}
    found = statistics.norm_held({MNIST: run_of(), HELD: run_of(more, final=0.84)})
    assert found["share"] == pytest.approx(0.2)
    assert statistics.norm_held({MNIST: run_of(train=0.1), HELD: run_of(more)})["share"] is None


def alarmed(drop: float, alpha: float, traps: float, train: float = 1.0) -> Any:
    """Return a run that loses ``drop`` and ends at an α and at so many traps in FC1."""
    more = {
        **by_layer("htsr/alpha", phased(5, 3, alpha), phased(5, 3, 3)),
        **by_layer("correlation_traps/traps_ww", phased(0, 0, traps), phased(0, 0, 0)),
        **by_layer("correlation_traps/traps", phased(0, 0, traps), phased(0, 0, 0)),
        **by_layer("correlation_traps/largest_entry", phased(0, 0, 0.9), phased(0, 0, 0)),
    }
    return run_of(more, final=0.9 - drop, train=train)


def test_alarms_are_held_against_all_runs_that_are_not_dead() -> None:
    runs = {
        MNIST: [alarmed(0.3, 1.5, 2), alarmed(0.2, 2.5, 1), alarmed(0.3, 1.0, 9, train=0.1)],
        DECAY: [alarmed(0.0, 1.2, 2), alarmed(0.05, 1.9, 0), alarmed(0.01, 2.5, 3)],
    }
    found = statistics.alarms(runs)
    assert (found["collapsed"], found["sound"], found["dead"]) == (2, 3, 1)
    assert (found["alpha_sensitivity"], found["alpha_specificity"]) == (0.5, pytest.approx(1 / 3))
    assert (found["traps_sensitivity"], found["traps_specificity"]) == (1.0, pytest.approx(1 / 3))
    assert (found["largest_entry_sensitivity"], found["largest_entry_specificity"]) == (0.0, 1.0)
    # at any time after the fit: α is below 2 at the end of the first, and of two of the sound ones
    assert (found["alpha_ever_sensitivity"], found["alpha_ever_specificity"]) == (0.5, pytest.approx(1 / 3))
    # a resample may hold no sound run: no value, and no division
    assert statistics.alarms({MNIST: runs[MNIST], DECAY: []})["alpha_specificity"] is None


def test_an_alarm_needs_three_observations_after_the_fit() -> None:
    def run(alpha: np.ndarray) -> Any:
        return run_of(by_layer("htsr/alpha", alpha, np.full(len(STEPS), 3.0)))

    early, twice, thrice = (np.full(len(STEPS), 3.0) for _ in range(3))
    early[:4] = 1.0  # step 30, before the fit
    twice[7:9] = 1.0
    thrice[7:10] = 1.0
    assert [statistics.ever_overtrained(run(alpha)) for alpha in (early, twice, thrice)] == [False, False, True]


@pytest.mark.parametrize("experiment", PAPER.experiments, ids=lambda experiment: experiment.name)
def test_experiments_resolve_at_every_scale(experiment: Any) -> None:
    for scale in experiment.scale_names:
        spec: Any = resolve(PAPER.tree(experiment.name, scale))
        assert spec.learner.loss == "mean-squared-error"
    paper: Any = resolve(PAPER.tree(experiment.name, "paper"))
    assert paper.learner.steps == 10_000_000
    assert (paper.task.batch_size, paper.task.subset, paper.task.test_examples) == (200, "stratified", 10_000)
    assert (paper.model.widths, paper.model.initial_scale, paper.numerics.dtype) == ((200, 200), 8.0, "float64")
    cpu: Any = resolve(PAPER.tree(experiment.name, "cpu"))
    assert cpu.task.dataset == "mnist"
    assert min(cpu.model.widths) >= 64


def test_checkpoints_of_the_longest_run_take_less_than_500_megabytes() -> None:
    paper: Any = resolve(PAPER.tree(MNIST, "paper"))
    parameters = 200 * 784 + 200 + 200 * 200 + 200 + 10 * 200 + 10
    kept = len(paper.record.checkpoints.steps_until(paper.learner.steps))
    assert kept * 3 * 8 * parameters < 300e6  # parameters and both moments of Adam, in float64


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PAPERS._known, PAPER.id, PAPER)
        yield gs.run(f"{PAPER.id}/{HELD}", scale="smoke", seed=0, out=tmp_path_factory.mktemp("runs"))


def test_a_smoke_run_stores_all_that_claims_and_figures_read(smoke: Any) -> None:
    assert smoke.status == "finished"
    runs = {MNIST: smoke.stored, HELD: smoke.stored, DECAY: smoke.stored}
    for claim in mnist.CLAIMS:
        given: Any = {name: [smoke.stored] for name in claim.experiments} if claim.kind == "pooled" else runs
        assert set(claim.function()(given)) >= set(claim.criterion["cpu"].bounds)
    norms = smoke.stored.series("norms/total_l2")
    held = norms[1][norms[0] >= 150]
    assert np.ptp(held) / held[0] < 1e-5


def test_every_figure_is_drawn(smoke: Any) -> None:
    for figure in mnist.FIGURES:
        drawn = getattr(mnist_figures, figure.function.partition(":")[2])([smoke.stored], [])
        assert drawn["data"], figure.id


def test_the_band_of_exponents_lies_where_it_should(smoke: Any) -> None:
    shapes = mnist_figures.exponents([smoke.stored], [])["layout"]["shapes"]
    band, edge = shapes[-2:]
    assert (band["y0"], band["y1"], edge["y0"]) == (2.0, 5.0, 2.0)


def test_the_traps_of_a_spectrum_are_its_largest_shuffled_eigenvalues(smoke: Any) -> None:
    drawn = mnist_figures.spectra([smoke.stored], [])
    counts = [len([x for x in trace["x"] if x is not None]) for trace in drawn["data"] if trace["name"] == "traps"]
    assert len(counts) == 6
    layer, step = FIRST, int(smoke.stored.array_steps("correlation_traps")[0])
    at, traps = smoke.stored.series("correlation_traps/traps", layer)
    assert counts[0] == round(float(traps[list(at).index(step)]))
    # the ratio of the sides is that of the matrix: 16 units over 64 pixels
    lower, upper = (smoke.stored.series(f"marchenko_pastur/{end}", layer)[1][0] for end in ("lower", "upper"))
    edge = math.sqrt(lower / upper)
    assert ((1 - edge) / (1 + edge)) ** 2 == pytest.approx(16 / 64)


def test_nothing_is_drawn_of_a_run_without_spectra() -> None:
    class Bare:
        spec: dict[str, Any] = {}  # noqa: RUF012
        directory = Path()

        def arrays(self) -> list[str]:
            return []

    assert mnist_figures.spectra([Bare()], [])["data"] == []  # type: ignore[list-item]
