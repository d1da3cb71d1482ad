from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from grokscope.errors import UsageError, unknown
from grokscope.report import array_over_steps, curve, describe
from grokscope.report.runs import command, remarkable


class FakeRun:
    directory = Path("runs/nanda2023/modular-addition/cpu-s3-1a2b3c4d")
    spec = {"paper": "nanda2023", "experiment": "modular-addition", "scale": "cpu", "seed": {"base": 3}}  # noqa: RUF012
    status = "finished"
    last_step = 100
    wall_seconds = 1.5

    def series(self, key, module=None):
        if not self.has(key, module):
            raise unknown("key", key, ["train/loss"])
        return np.array([0, 100]), np.array([4.0, 0.5])

    def has(self, key, module=None):
        return (key, module) in {("train/loss", None), ("weights/norm", "blocks.0")}

    def array_steps(self, name):
        return [0, 10, 100]

    def array(self, name, step):
        return {"spectrum": np.array([1.0, step])} if step != 10 else {}

    def events(self, kind=None):
        return [{"kind": "status", "status": "running", "time": 1.0}]


def test_a_curve_is_the_stored_series():
    made = curve(FakeRun(), "train/loss", name="train", colour="#0072B2")
    assert (made.name, made.colour, made.axis) == ("train", "#0072B2", "left")
    assert made.values.tolist() == [4.0, 0.5]
    assert curve(FakeRun(), "weights/norm", "blocks.0").name == "weights/norm@blocks.0"
    with pytest.raises(UsageError, match="train/loss"):
        curve(FakeRun(), "train/los")


def test_stored_vectors_are_columns_over_the_steps_that_have_them():
    steps, values = array_over_steps(FakeRun(), "fourier", "spectrum")
    assert steps.tolist() == [0, 100]
    assert values.tolist() == [[1.0, 1.0], [0.0, 100.0]]
    steps, values = array_over_steps(FakeRun(), "fourier", "other")
    assert steps.shape == (0,)
    assert values.shape == (0, 0)


def test_a_run_is_described_by_the_names_of_the_command_line():
    told = describe(FakeRun(), {"fit_step": 5.0})
    assert told["seed"] == 3
    assert told["run_dir"] == str(FakeRun.directory)
    assert told["phases"] == {"fit_step": 5.0}
    assert told["command"] == f"grokscope run {FakeRun.directory}/spec.json"
    assert (told["status"], told["steps"], told["wall_seconds"]) == ("finished", 100, 1.5)


def test_a_directory_with_a_space_is_quoted():
    assert command("my runs/a") == "grokscope run 'my runs/a/spec.json'"


def test_only_what_is_worth_knowing_is_told():
    events = [
        {"kind": "status", "status": "running"},
        {"kind": "observe_share", "share": 0.03},
        {"kind": "measure_failed", "measure": "htsr", "version": 1, "step": 0, "reason": "no SVD"},
        {"kind": "status", "status": "interrupted", "reason": "SIGTERM"},
        {"kind": "resumed", "step": 1200},
        {"kind": "diverged", "step": 1300, "loss": "nan"},
        {"kind": "kicked", "step": 5, "by": 0.5},
        {"kind": "status", "status": "finished", "reason": None},
    ]
    told = remarkable(events)
    assert [kind for kind, _, _ in told] == ["measure failed", "interrupted", "resumed", "diverged", "kicked"]
    assert told[0] == ("measure failed", "0", "htsr: no SVD")
    assert told[1] == ("interrupted", "", "SIGTERM")
    assert told[2][1] == "1,200"
    assert "nan" in told[3][2]
    assert told[4][2] == "by = 0.5"


def test_importing_the_report_loads_neither_torch_nor_plotly():
    code = "import sys, grokscope.report; print(sorted({'torch', 'plotly'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
