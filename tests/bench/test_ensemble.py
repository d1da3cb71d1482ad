"""What is timed together is what is timed apart: the same members, to rounding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from grokscope.bench import ensemble
from grokscope.bench.ensemble import SEEDS, SETTINGS, Training, benchmark, cells
from grokscope.execution.batches import as_members

SMALL: dict[str, dict[str, Any]] = {
    "sparse-classification": {"task.dimension": 12, "task.examples": 8},
    "matrix-completion": {"task.size": 5, "task.observed": 0.5},
    "modular-addition": {"task.modulus": 5},
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings with less data and two cells, one step a turn."""
    cut = [
        replace(
            setting,
            tree=ensemble.override(setting.tree, SMALL[setting.tree["task"]["name"]]),
            scales=setting.scales[:1],
            decays=setting.decays[:2],
            steps=1,
            alone_steps=1,
        )
        for setting in SETTINGS
    ]
    monkeypatch.setattr(ensemble, "SETTINGS", tuple(cut))


@pytest.mark.usefixtures("small")
def test_members_are_the_runs_they_are_compared_with() -> None:
    found = benchmark(threads=(1,), rounds=1)
    assert [row.name.split(",")[1].strip() for row in found] == [
        "diagonal network",
        "matrix completion",
        "perceptron",
        "transformer",
    ]
    for row in found:
        assert row.details["members"] == 2 * SEEDS
        assert row.details["parameter_difference"] < (1e-12 if "float64" in row.name else 1e-4)
        assert row.details["members_per_second"] == pytest.approx(1000 * 2 * SEEDS / row.ours)
        assert row.details["members_per_second_apart"] == pytest.approx(1000 * 2 * SEEDS / row.baseline)


@pytest.mark.usefixtures("small")
def test_members_that_share_data_are_side_by_side() -> None:
    for setting in ensemble.SETTINGS:
        specs = cells(setting, {})
        assert [spec.seed.base for spec in specs] == [0, 0, 1, 1, 2, 2]
        kernel = Training(as_members(specs)).state.kernel
        assert kernel.sharing == 2
        assert (kernel.closed is None) == ("transformer" in setting.name)
