"""The whole battery on each of the zoo while it trains, and again on the stored checkpoint: equal, to the bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import grokscope as gs
import zoo
from grokscope.registry import MEASURES
from grokscope.store import open_run

LAST = 3


@pytest.mark.parametrize("name", zoo.ZOO)
def test_the_whole_battery_live_and_post_hoc(name: str, tmp_path: Path) -> None:
    animal = zoo.animal(name, train=12, test=6)
    measures = list(MEASURES)
    optimizer = torch.optim.AdamW(animal.model.parameters(), 1e-2)
    with gs.Monitor(
        animal.model,
        train=animal.train,
        test=animal.test,
        measures=measures,
        cadence=gs.Cadence(steps=(LAST,), first=False, last=False),
        checkpoints=gs.Cadence(steps=(LAST,), first=False, last=False),
        out=tmp_path / "run",
        phase=False,
    ) as monitor:
        for step in range(LAST + 1):
            monitor(step)
            optimizer.zero_grad()
            zoo.loss_of(animal.model(animal.train[0]), animal.train[1]).backward()
            optimizer.step()
    run = open_run(tmp_path / "run")
    live: dict[str, dict[tuple[str, str | None], str]] = {}
    rows = run.rows()
    for key, module, value in zip(rows["key"], rows["module"], rows["value"], strict=True):
        live.setdefault(key, {})[key, module] = repr(float(value))
    reasons = {event["measure"] for event in run.events("measure_does_not_apply")}
    assert run.events("measure_failed") == []
    given = {
        filled.measure: filled for filled in gs.measure(run.directory, measures, model=lambda: zoo.animal(name).model)
    }
    for measure in measures:
        (*readings,) = given[measure].readings
        assert given[measure].problems == ()
        assert (measure in reasons) == (not readings) == (given[measure].reason is not None and not readings)
        for reading in readings:
            assert reading.step == LAST
            for key, module, value, _ in reading.rows:
                assert live[key][key, module] == repr(float(value)), (key, module)
