"""The disk a training takes is told before its first step, and near what it then takes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from grokscope.cadence import Cadence, Window
from grokscope.execution.disk import DiskUse, size
from grokscope.execution.plan import experiment_spec
from grokscope.execution.progress import Silent
from grokscope.execution.train import train

USE = DiskUse(checkpoints=29, checkpoint_bytes=4_800_000, observations=71, observed_bytes=2_130_000, free=10**12)


class Listening(Silent):
    """Remembers what was said, and at which step."""

    def __init__(self) -> None:
        self.said: list[tuple[int, str]] = []
        self.step = -1

    def update(self, moment: Any) -> None:
        self.step = moment.step

    def note(self, text: str) -> None:
        self.said.append((self.step, text))


@pytest.mark.parametrize("seeds", [(0,), (0, 1)], ids=["single", "ensemble"])
def test_it_is_told_before_the_first_step_and_is_about_right(tmp_path: Path, seeds: tuple[int, ...]) -> None:
    specs = [experiment_spec("nanda2023", scale="smoke", seed=seed) for seed in seeds]
    specs = [spec.with_group(specs) for spec in specs] if len(seeds) > 1 else specs
    listening = Listening()
    directories = train(specs, root=tmp_path, progress=listening)
    ((step, told),) = listening.said
    assert step == -1  # before the display has shown any step
    assert "3 checkpoints of" in told
    assert "17 observations of" in told
    number, unit = told.removeprefix("it will take about ").split(" of disk")[0].split()
    foretold = float(number) * {"kB": 1e3, "MB": 1e6}[unit]
    taken = sum(
        path.stat().st_size
        for path in tmp_path.rglob("*")
        if path.name.endswith((".safetensors", ".jsonl")) and "environment" not in path.name
    )
    assert 0.5 < foretold / taken < 2
    # one that is found again says nothing
    again = Listening()
    assert train(specs, root=tmp_path, progress=again) == directories
    assert again.said == []


def test_the_sentence() -> None:
    assert USE.total == 29 * 4_800_000 + 2_130_000
    assert str(USE) == "it will take about 141 MB of disk: 29 checkpoints of 4.8 MB and 71 observations of 30.0 kB"
    assert str(dataclasses.replace(USE, free=3_000_000)).endswith(
        "; only 3 MB are free there: free some, or widen record.checkpoints and record.observe"
    )
    assert "1 checkpoint of" in str(dataclasses.replace(USE, checkpoints=1))
    assert (size(99_000), size(120_000), size(3.2e9)) == ("99.0 kB", "120 kB", "3.2 GB")


@pytest.mark.parametrize(
    "cadence",
    [
        Cadence(every=7),
        Cadence(per_decade=12, first=False),
        Cadence(every=50, steps=(3, 4), windows=(Window(start=10, stop=20),), last=False),
    ],
)
def test_steps_are_counted_as_they_come(cadence: Cadence) -> None:
    assert cadence.count(1000) == len(cadence.steps_until(1000))


def test_ten_million_steps_are_counted_without_listing_them() -> None:
    assert Cadence(every=1).count(10**7) == pytest.approx(10**7, rel=1e-5)
