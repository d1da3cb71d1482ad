"""Hindsight measures know the end of each member, not the end of its group."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from grokscope.execution.batches import as_members
from grokscope.execution.plan import experiment_spec
from grokscope.execution.train import train
from grokscope.spec import StopRule
from grokscope.store import open_run


def test_a_member_that_stops_early_is_its_own_reference(tmp_path: Path) -> None:
    specs = as_members([experiment_spec("nanda2023/modular-addition", scale="smoke", seed=seed) for seed in (0, 1)])
    rule = StopRule(key="train/loss", level=0.0, sustain=4)
    specs = [specs[0].model_copy(update={"stop": rule}), specs[1]]
    stopped, finished = (open_run(path) for path in train(specs, root=tmp_path))
    assert (stopped.status, finished.status) == ("stopped", "finished")
    assert stopped.last_step is not None
    assert finished.last_step is not None
    assert stopped.last_step < finished.last_step
    for run in (stopped, finished):
        reference = run.reference("fourier")["spectrum"]
        own_end = run.array("fourier", run.last_step or 0)["spectrum_neuron_to_logit"]
        np.testing.assert_array_equal(reference, own_end)
        assert run.series("fourier/restricted_loss")[0].tolist() == run.series("train/loss")[0].tolist()
        assert "fourier.transient" not in run.arrays()
