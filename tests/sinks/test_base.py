"""What every tracker's adapter uses, without any tracker."""

from __future__ import annotations

import sys

import pytest

import grokscope as gs
import zoo
from grokscope.errors import UsageError
from grokscope.registry import load
from grokscope.sinks.base import run_name, told, tracker_key

SINKS = {
    "tensorboard": ("grokscope.sinks.tensorboard:TensorBoardSink", "torch.utils.tensorboard"),
    "trackio": ("grokscope.sinks.trackio:TrackioSink", "trackio"),
    "wandb": ("grokscope.sinks.wandb:WandBSink", "wandb"),
    "mlflow": ("grokscope.sinks.mlflow:MLflowSink", "mlflow"),
}


@pytest.mark.parametrize("extra", SINKS)
def test_without_the_library_the_extra_is_named(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, library = SINKS[extra]
    sink = load(place)
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        UsageError, match=rf"^{extra} cannot be imported \(.*\): install it with pip install 'grokscope"
    ):
        sink()


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("train/loss", "train/loss"),
        ("htsr/alpha@fc.weight", "htsr/alpha/fc.weight"),
        ("sparsity:threshold=0.1,where=all/mean@0#1", "sparsity_threshold_0.1_where_all/mean/0_1"),
        ("norms/spectral@rnn.weight_hh_l0[f]", "norms/spectral/rnn.weight_hh_l0_f_"),
    ],
)
def test_keys_are_what_every_tracker_takes(key: str, expected: str) -> None:
    assert tracker_key(key) == expected


@pytest.mark.parametrize("name", ["gpt", "lstm"])
def test_no_two_keys_become_one_and_none_is_the_folder_of_another(name: str) -> None:
    animal = zoo.animal(name)
    monitor = gs.Monitor(
        animal.model, train=animal.train, measures=["weights", "norms", "sparsity", "sparsity:threshold=0.1"]
    )
    monitor(0)
    keys = {tracker_key(key) for key in monitor.series}
    assert len(keys) == len(monitor.series)
    folders = {key[: at + 1] for key in keys for at, letter in enumerate(key) if letter == "/"}
    assert not {f"{key}/" for key in keys} & folders


def test_names_and_events() -> None:
    assert run_name({"name": "mine", "run_dir": "runs/mine.2"}) == "mine.2"
    assert run_name({"name": "mine", "run_dir": None}) == "mine"
    assert told("phase", {"step": 3, "phase": "memorising"}) == ("events/phase", "step: 3, phase: memorising")
    assert told("measure_failed", {"measure": "a:b=1", "reason": "x"})[0] == "events/measure_failed/a_b_1"
