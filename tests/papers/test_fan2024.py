"""What the claims on deep grokking read off curves that are known, the experiments as specs, and their figures."""

from __future__ import annotations

import doctest
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import grokscope as gs
from grokscope.cadence import Cadence
from grokscope.errors import UsageError
from grokscope.papers.fan2024 import (
    PAPER,
    images,
    images_experiments,
    images_figures,
    images_statistics,
    transformers,
    transformers_figures,
)
from grokscope.papers.fan2024.images_experiments import LARGE, MIDDLE, PROBE, RANK, SMALL, named
from grokscope.papers.fan2024.images_statistics import collapse_step, regime
from grokscope.registry import PAPERS
from grokscope.spec import resolve

STEPS = np.array(Cadence(per_decade=15).steps_until(100_000))
PLACES = np.log10(np.maximum(STEPS, 0.5))
WIDTH = 400


class Curves:
    """A run of known scalars."""

    def __init__(self, depth: int = 12, **curves: np.ndarray | float) -> None:
        self.spec = {"model": {"widths": [WIDTH] * (depth - 1)}, "seed": {"base": 0}}
        self.status = "finished"
        self.directory = Path()
        self.curves: dict[str, np.ndarray] = {}
        for key, value in curves.items():
            self.set(key.replace("__", "/"), value)

    def set(self, key: str, value: np.ndarray | float) -> None:
        self.curves[key] = np.broadcast_to(np.asarray(value, float), STEPS.shape)

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        if key not in self.curves:
            raise UsageError(f"unknown key {key!r}")
        return STEPS, self.curves[key]


def rise(*ends: float, low: float = 0.1, high: float = 0.9) -> np.ndarray:
    """Straight in log-step from ``low`` to ``high``, between pairs of ends, with plateaus between them."""
    levels = [low + (high - low) * ((number + 1) // 2) / (len(ends) // 2) for number in range(len(ends))]
    return np.interp(PLACES, np.log10(ends), levels)


def accurate(fit: float, *ends: float, depth: int = 12, high: float = 0.95) -> Any:
    """Return a run that fits at a step and whose test accuracy rises between the ends."""
    run = Curves(depth, train__accuracy=np.where(fit <= STEPS, 1.0, 0.3), test__accuracy=rise(*ends, high=high))
    ranked(run)
    return run


def ranked(run: Any, ranks: np.ndarray | float = 300.0) -> Any:
    """Give every layer the same ranks."""
    for layer in images_statistics.layers_of(run):
        for kind in images_statistics.KINDS:
            run.set(f"{RANK}/{kind}@{layer}", ranks)
    return run


def depths(times: dict[int, tuple[float, float]], examples: int = MIDDLE) -> dict[str, Any]:
    return {
        named(depth, examples): accurate(fit, generalise / 30, generalise, depth=depth, high=0.8)
        for depth, (fit, generalise) in times.items()
    }


def test_the_documented_examples_hold() -> None:
    for module in (images_experiments, images_statistics, transformers):
        assert doctest.testmod(module).failed == 0


def test_deeper_networks_that_are_later() -> None:
    found = images_statistics.depth_delays(depths({4: (100, 200), 8: (300, 1000), 12: (1000, 10_000)}))
    assert found["generalise_rise"] == pytest.approx(5, rel=0.1)
    assert found["fit_rise"] == pytest.approx(3, rel=0.3)
    assert found["gap_rise"] == pytest.approx(0.7, abs=0.1)
    reverse = images_statistics.depth_delays(depths({4: (1000, 10_000), 8: (300, 1000), 12: (100, 200)}))
    assert reverse["generalise_rise"] is not None
    assert reverse["generalise_rise"] < 1
    assert reverse["gap_rise"] is not None
    assert reverse["gap_rise"] < 0


def test_a_deep_network_that_never_generalises_is_later_and_one_that_never_fits_is_not_known() -> None:
    never = images_statistics.depth_delays(depths({4: (100, 200), 8: (300, 1000), 12: (1000, 1e7)}))
    assert never["gap_rise"] == math.inf
    assert never["generalise_rise"] == pytest.approx(5, rel=0.1)
    unfitted = images_statistics.depth_delays(depths({4: (100, 200), 8: (300, 1000), 12: (1e7, 1e7)}))
    assert unfitted["gap_rise"] is None
    assert images_statistics.depth_delays(depths({4: (1e7, 1e7), 8: (300, 1000), 12: (1e4, 1e5)}))["fit_rise"] is None


def test_stages_are_counted_by_depth() -> None:
    runs = {
        named(4, LARGE): accurate(50, 10, 300, depth=4),
        named(8, LARGE): accurate(500, 100, 600, 5000, 30_000, depth=8),
        named(12, LARGE): accurate(1000, 30, 150, 1000, 4000, 20_000, 80_000),
    }
    found = images_statistics.two_stages(runs)
    assert (found["stages_4"], found["stages_8"], found["stages_12"]) == (1, 2, 3)
    assert found["later_gain"] == pytest.approx(2 / 3 * 0.85, abs=0.05)
    (claim,) = (one for one in PAPER.claims if one.id == "C2")
    assert claim.criterion["paper"].met(found)


@pytest.mark.parametrize(("shift", "share"), [(1.0, 1.0), (1.3, 1.0), (3.0, 0.0), (0.3, 0.0)])
def test_a_rank_that_falls_as_accuracy_rises(shift: float, share: float) -> None:
    run = ranked(accurate(100, 12_000, 24_000), 400 - 200 * rise(12_000 * shift, 24_000 * shift, low=0, high=1))
    found = images_statistics.descents({"a": run, "b": run})
    assert found["numerical_share"] == found["effective_share"] == share
    assert found["numerical_lag"] == pytest.approx(math.log10(shift), abs=0.04)


def test_a_rank_that_does_not_move_is_not_near() -> None:
    found = images_statistics.descents({"a": accurate(100, 1000, 5000)})
    assert found["numerical_share"] == 0
    assert found["numerical_lag"] is None


def test_double_descent_is_counted_by_layer() -> None:
    run = accurate(100, 100, 500, 5000, 30_000)
    twice = np.interp(PLACES, [3.5, 3.9, 4.3, 4.8], [400, 350, 400, 300])
    for number in (4, 5, 6, 11):  # the last is the readout
        run.set(f"{RANK}/numerical@layers.{number}", twice)
    found = images_statistics.rank_descents({named(12, LARGE): run})
    assert found == {"numerical_layers": 3, "effective_layers": 0}
    small = np.interp(PLACES, [3.5, 3.9, 4.3, 4.8], [400, 385, 400, 300])  # 15 of 400 is below 5 %
    run.set(f"{RANK}/numerical@layers.4", small)
    assert images_statistics.rank_descents({named(12, LARGE): run})["numerical_layers"] == 2
    # before a thirtieth of the run the paper does not look
    run.set(f"{RANK}/numerical@layers.5", np.interp(PLACES, [1, 2, 3, 3.4], [400, 350, 400, 300]))
    assert images_statistics.rank_descents({named(12, LARGE): run})["numerical_layers"] == 1


def test_probes_that_rise_in_all_layers_or_in_all_but_one() -> None:
    run = accurate(100, 100, 100_000)
    for number, layer in enumerate(images_statistics.layers_of(run)):
        run.set(f"{PROBE}/test@{layer}", np.sqrt(rise(100, 100_000)) / (number + 1))
    assert images_statistics.probe_agreement({"a": run})["least"] == pytest.approx(1)
    run.set(f"{PROBE}/test@layers.0", 1 - rise(100, 100_000))
    found = images_statistics.probe_agreement({"a": run})
    assert found["least"] == found["layer_1"] == pytest.approx(-1)
    run.set(f"{PROBE}/test@layers.0", 0.5)
    assert images_statistics.probe_agreement({"a": run})["least"] is None


def test_norms_and_ranks_by_size() -> None:
    runs = {}
    for examples, norm, rank in ((SMALL, 300.0, 380.0), (MIDDLE, 303.0, 350.0), (LARGE, 306.0, 280.0)):
        run = ranked(accurate(100, 100, 1000), 390.0)
        run.set("weights/sum_of_squares", norm**2)
        run.set(f"{RANK}/numerical@layers.8", rank)
        runs[named(12, examples)] = run
    found = images_statistics.norms_and_ranks(runs)
    assert found["norm_gap"] == pytest.approx(0.02)
    assert found["rank_gap"] == pytest.approx(100 / 400)
    assert found["effective_gap"] == 0
    runs[named(12, SMALL)].set("weights/sum_of_squares", np.where(STEPS > 1000, 306 / 1.4, 300.0) ** 2)
    assert images_statistics.norms_and_ranks(runs)["norm_gap"] == pytest.approx(0.4)


def test_tunnels_are_held_against_the_table() -> None:
    runs = {}
    for examples, table in images_statistics.PAPER_TUNNELS.items():
        for depth, length in table.items():
            runs[named(depth, examples)] = Curves(depth)
            runs[named(depth, examples)].set(f"{RANK}/tunnel_length", length)
    found = images_statistics.tunnels(runs)
    assert (found["difference"], found["disorder"], found["least_growth"]) == (0, 0, 5)
    runs[named(8, MIDDLE)].set(f"{RANK}/tunnel_length", 8)
    found = images_statistics.tunnels(runs)
    assert (found["difference"], found["disorder"]) == (5, 2)


def collapsed() -> Any:
    run = accurate(1000, 500, 5000)
    run.set("train/accuracy", np.where(STEPS > 20_000, 0.5, np.where(STEPS >= 1000, 1.0, 0.2)))
    return ranked(run, np.where(STEPS > 20_000, 30.0, 300.0))


def test_every_regime() -> None:
    assert regime(accurate(1000, 100, 1100)) == "immediate"
    assert regime(accurate(1000, 100, 10_000)) == "grokking"
    assert regime(accurate(1000, 100, 500, 5000, 30_000)) == "two-stage"
    assert regime(accurate(1000, 100, 500, 5000, 30_000, high=0.6)) == "none"
    assert regime(collapsed()) == "collapse"


def test_a_lost_fit_is_a_collapse_only_with_the_rank() -> None:
    assert collapse_step(collapsed()) == pytest.approx(20_000, rel=0.2)
    assert collapse_step(ranked(collapsed(), 300.0)) is None
    # all of its life too poor, with a rank that is gone
    poor = accurate(1e7, 500, 5000)
    assert collapse_step(poor) is None
    assert collapse_step(ranked(poor, np.where(STEPS > 3000, 100.0, 300.0))) == pytest.approx(3000, rel=0.2)
    assert collapse_step(ranked(accurate(100, 500, 5000), np.where(STEPS > 3000, 100.0, 300.0))) is None


def test_the_table_of_regimes() -> None:
    made = {
        "none": accurate(1000, 100, 500, high=0.5),
        "immediate": accurate(1000, 100, 900),
        "grokking": accurate(1000, 100, 20_000),
        "two-stage": accurate(1000, 100, 500, 5000, 10_000),
    }
    runs = {named(12, *cell): made[kind] for cell, kind in images_statistics.REGIMES.items()}
    found = images_statistics.regimes(runs)
    assert found["matches"] == 6
    runs[named(12, SMALL, 0.05)] = collapsed()
    found = images_statistics.regimes(runs)
    assert found["matches"] == 5
    assert found["regime_2000_0.05"] == -1


def test_experiments_are_the_papers() -> None:
    spec = resolve(PAPER.tree(named(12, MIDDLE), "paper"))
    assert spec.model is not None
    assert spec.model.model_dump()["widths"] == (400,) * 11
    assert spec.task.model_dump()["subset"] == "first"
    assert (spec.learner.steps, spec.numerics.dtype) == (100_000, "float64")
    for experiment in images.EXPERIMENTS:
        small = resolve(PAPER.tree(experiment.name, "cpu"))
        assert small.model is not None
        assert min(small.model.model_dump()["widths"]) >= 64
        assert small.task.model_dump()["dataset"] == "mnist"
    assert {claim.id for claim in PAPER.claims} == {*(f"C{number}" for number in range(1, 9)), "C5b"}
    for claim in PAPER.claims:
        assert callable(claim.function())
        assert set(claim.criterion) == {"cpu", "paper"}


def test_a_run_has_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PAPERS._known, "fan2024", PAPER)
    run = gs.run(f"fan2024/{named(12, MIDDLE)}", scale="smoke", seed=0, out=tmp_path)
    runs = [run.stored]
    ranks = images_figures.rank_and_accuracy(runs, [])
    assert len({trace["name"] for trace in ranks["data"]}) == 13  # 12 layers and the test accuracy
    assert len(images_figures.numerical_rank(runs, [])["data"]) == len(ranks["data"])
    assert len(images_figures.probes(runs, [])["data"]) == 13
    assert images_figures.stage_bands(runs, [])["data"]
    (level,) = (one for one in images_figures.profile(runs, [])["data"] if one["name"] == "0.75 of the width")
    assert set(level["y"]) == {12}
    cells = {"a": runs, "b": [*runs, *runs]}
    for figure in (images_figures.by_depth, images_figures.regimes):
        assert len([one for one in figure(cells)["data"] if one.get("showlegend", True)]) == 4
    assert len([one for one in images_figures.norms(cells)["data"] if one.get("yaxis") == "y2"]) >= 2
    assert len([one for one in images_figures.profile_by_depth(cells)["data"] if one.get("showlegend", True)]) == 3


def test_a_transformer_has_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PAPERS._known, "fan2024", PAPER)
    run = gs.run("fan2024/modular-layers-1", scale="smoke", seed=0, out=tmp_path)
    assert len(transformers_figures.ranks([run.stored], [])["data"]) == 2  # its nonlinearity, and test accuracy
    assert len(transformers_figures.by_depth({"a": [run.stored]})["data"]) == 2
