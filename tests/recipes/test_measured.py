"""Figures of all that was measured: which there are, their lines, their axes, the phases behind them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from grokscope.recipes.measured import MOST_MODULES, measured_figures, told_phases
from grokscope.store import RunWriter, StoredRun


@pytest.fixture
def run(tmp_path: Path) -> StoredRun:
    """A run with losses, a key of three modules and one of forty, a key that is no number, and told phases."""
    with RunWriter.create(tmp_path / "run", spec={"seed": {"base": 0}}, environment={}) as writer:
        for step, scale in ((0, 1.0), (1, 10.0), (2, 100.0)):
            rows: list[tuple[str, str | None, float, int]] = [
                ("test/loss", None, 2.0, 1),
                ("step/loss", None, 1.0, 1),
                ("train/loss", None, 1.5, 1),
                ("a:x=1/size", None, scale, 1),
                *(("a:x=1/size", module, 2 * scale, 1) for module in ("b", "c", "d")),
                *(("many/rank", f"layer.{index:02d}", float(index), 1) for index in range(40)),
                ("none/value", None, float("nan"), 1),
            ]
            writer.scalars(step, rows)
        for step, phase in ((0, "unknown"), (1, "memorising"), (2, "generalising")):
            writer.event("phase", step=step, phase=phase, reason="a rule.")
    return StoredRun(tmp_path / "run")


def names(figure: dict[str, Any]) -> list[str]:
    return [trace["name"] for trace in figure["data"] if trace.get("legend") != "legend2"]


def test_a_figure_a_key_with_a_line_a_module(run: StoredRun) -> None:
    figures = {name: (title, caption, drawn) for name, title, caption, drawn in measured_figures([run], [])}
    assert list(figures) == ["loss", "a-x-1-size", "many-rank"]  # nothing of what is no number
    assert names(figures["loss"][2]) == ["train", "test", "training batch"]
    title, caption, drawn = figures["a-x-1-size"]
    assert (title, caption) == ("a:x=1/size", "")
    assert names(drawn) == ["all", "b", "c", "d"]
    assert drawn["layout"]["yaxis"]["type"] == "log"
    _, caption, drawn = figures["many-rank"]
    assert len(names(drawn)) == MOST_MODULES
    assert (names(drawn)[0], names(drawn)[-1]) == ("layer.00", "layer.39")
    assert caption == "12 of 40 modules, evenly spread."
    assert drawn["layout"]["yaxis"].get("type") != "log"


def test_phases_that_were_told_are_bands_without_what_was_not_known(run: StoredRun) -> None:
    bands = told_phases(run)
    assert bands == [{"name": "memorising", "start": 1, "end": 2}, {"name": "generalising", "start": 2, "end": None}]
    (_, _, _, drawn), *_ = measured_figures([run], bands)
    assert {shape["name"] for shape in drawn["layout"]["shapes"]} <= {"memorising", "generalising"}
