"""What cannot be monitored is told in one sentence before anything is written or trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import grokscope as gs
from grokscope.errors import GrokscopeError, UsageError
from grokscope.source import Role

X, Y = torch.zeros(4, 2), torch.zeros(4).long()


def refused(model: Any = None, **given: Any) -> str:
    """Return the sentence in which a monitor was refused."""
    with pytest.raises(GrokscopeError) as found:
        gs.Monitor(nn.Linear(2, 3) if model is None else model, **{"measures": ["weights"], "phase": False, **given})
    sentence = str(found.value)
    assert "\n" not in sentence
    assert sentence.endswith((".", "…", "?"))
    return sentence


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"measures": ["wieghts"]}, "unknown measure 'wieghts': did you mean 'weights'"),
        ({"measures": ["sparsity:treshold=1"]}, "unknown option of sparsity 'treshold': did you mean 'threshold'?"),
        ({"measures": [3]}, "measures hold a int: give names, as in ['htsr', 'sparsity']."),
        ({"model": "resnet"}, "the model is a str: give a torch.nn.Module."),
        ({"train": (X, Y[:3])}, "train has 4 inputs and 3 targets: give one for each example."),
        ({"test": (X[:0], Y[:0])}, "the inputs of test are empty: give at least one example."),
        ({"train": {"input_ids": X}}, "train is a dict of 1: give a tensor of inputs, or (inputs, targets), and where"),
        ({"train": (X, X, Y)}, "train is a tuple of 3: give a tensor of inputs, or (inputs, targets), and where"),
        ({"train": iter([(X, Y)])}, "train is a list_iterator: give a tensor of inputs, (inputs"),
        ({"train": (X, [0, 1, 2, 0])}, "the targets of train are a list: give a tensor (torch.as_tensor makes one)"),
        ({"train": torch.tensor(1.0)}, "the inputs of train are empty"),
        ({"train": torch.empty(4, 2, device="meta")}, "the inputs of train are on the meta device, where"),
        ({"train": X / 0}, "the inputs of train hold NaN or Inf: give data without."),
        ({"train": (X, Y.float() / 0)}, "the targets of train hold NaN or Inf: give data without."),
        ({"train": (X, Y + 3)}, "train has the target 3, and the model gives 3 outputs: classes are counted from 0."),
        ({"train": (X, Y - 1)}, "train has the target -1, and the model gives 3 outputs: classes are counted from 0."),
        ({"train": (X, torch.zeros(4, 5).long())}, "the model's outputs (2, 3) do not fit the targets (2, 5) of train: "
                                                   "classes come last"),
        ({"train": (X, torch.zeros(4, 1).long())}, "the targets (2, 1) of train have an axis more than the model's "
                                                   "outputs (2, 3) leave room for: give targets.squeeze(-1)."),
        ({"train": (X, Y + 1), "model": nn.Linear(2, 1)}, "the model gives one number for each target of train, which "
                                                          "is 0 or 1: give the second class its logit with forward="),
        ({"train": (X, Y + 1), "model": nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))}, "the model gives one number"),
        ({"train": (X, torch.zeros(4, 5))}, "the model's outputs (2, 3) and the targets (2, 5) of train differ"),
        ({"train": (X, torch.zeros(4, dtype=torch.complex64))}, "the targets of train are torch.complex64: "),
        ({"train": X.long()}, "the model does not run on the inputs of train, (4, 2) of int64 (RuntimeError: "),
        ({"train": torch.zeros(4, 7)}, "the model does not run on the inputs of train, (4, 7) of float32"),
        ({"train": X, "forward": lambda model, x: "text"}, "the model returned a str: say which tensor"),
        ({"train": X, "forward": lambda model, x: x.long()}, "the model gives outputs (2, 2) of torch.int64: "),
        ({"loss": "crossentropy"}, "unknown loss 'crossentropy': did you mean 'cross-entropy'?"),
        ({"cadence": 0}, "cadence = 0: give a number of steps, 1 or more, or a gs.Cadence(per_decade=10)."),
        ({"cadence": "log"}, "cadence = 'log': give a number of steps"),
        ({"checkpoints": 0.5, "out": "somewhere"}, "checkpoints = 0.5: give a number of steps"),
        ({"examples": 0}, "examples = 0: give how many examples of each probe to look at, or None for all."),
        ({"eval_chunk": 0}, "eval_chunk = 0: give how many inputs a forward pass may take, or None for all."),
        ({"storage": -1}, "storage = -1: give the bytes that data and checkpoints may take in the run."),
        ({"sinks": ["tensorboard"]}, "sinks hold a str: give objects with start, log, event and close"),
        ({"sinks": "tensorboard"}, "sinks hold a str: give objects with start, log, event and close"),
        ({"sinks": [dict]}, "sinks hold the class dict: give objects with start, log, event and close"),
        ({"roles": {"embedding": "wieght"}}, "unknown parameter for the role embedding 'wieght': did you mean"),
        ({"out": ""}, "out = '' names no directory: give one for the run, or None."),
        ({"optimizer": "adam"}, "the optimizer is a str: give a torch.optim.Optimizer, or none."),
        ({"name": "a/b", "out": "somewhere"}, "name = 'a/b': use letters, digits, '-', '_' and '.'."),
        ({"model": nn.LazyLinear(3)}, "the layer '' has no shape yet (a lazy module): run the model"),
        ({"model": nn.Linear(2, 3, device="meta")}, "weight is on the meta device, where tensors have no values"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_in_one_sentence(
    given: dict[str, Any], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(**given).startswith(sentence)
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_no_directory_for_a_run_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refused(out=tmp_path / "file").endswith("is a file: give a directory for the run.")
    gs.Monitor(nn.Linear(2, 3), measures=["weights"], out=tmp_path / "runs" / "a").close()
    assert "holds runs (a): give a directory of its own in it." in refused(out=tmp_path / "runs")


def test_what_a_run_cannot_keep_is_told(tmp_path: Path) -> None:
    role: Role = lambda parameters: parameters["weight"]  # noqa: E731
    assert refused(roles={"readout": role}, out=tmp_path / "a").startswith("the role readout is a function")
    own = gs.measures.base.Measure("own", 1, {}, "a test", lambda snapshot: {"x": 1.0})
    assert refused(measures=[own], out=tmp_path / "a").startswith("unknown measure 'own'")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("step", [1.0, "1", None, torch.tensor([1, 2]), torch.tensor(1.5)])
def test_a_step_that_is_no_whole_number_is_told(step: Any) -> None:
    monitor = gs.Monitor(nn.Linear(2, 3), measures=["weights"], phase=False)
    with pytest.raises(UsageError, match="is no whole number: give the number of updates made so far"):
        monitor(step)


@pytest.mark.parametrize("step", [-1, True])
def test_steps_count_from_0(step: Any) -> None:
    monitor = gs.Monitor(nn.Linear(2, 3), measures=["weights"], phase=False)
    with pytest.raises(UsageError, match="steps count from 0"):
        monitor(step)


def test_keys_that_were_not_measured_are_told() -> None:
    monitor = gs.Monitor(nn.Linear(2, 3), measures=["weights"], phase=False)
    monitor(0)
    with pytest.raises(UsageError, match="unknown key 'weights/sum_of_square': did you mean 'weights/sum_of_squares'"):
        monitor.scalars("weights/sum_of_square")
    with pytest.raises(UsageError, match="this monitor stores nothing: give it out= for a run"):
        _ = monitor.run


def test_labels_of_small_integers_and_truth_values_are_classes() -> None:
    for targets in (Y.to(torch.uint8), Y.bool(), Y.to(torch.int32), torch.full((4,), -100)):
        monitor = gs.Monitor(nn.Linear(2, 3), train=(X, targets), measures=["performance"], phase=False)
        assert monitor(0)
        assert "train/accuracy" in monitor.series
