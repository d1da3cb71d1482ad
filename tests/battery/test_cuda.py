"""Every registered measure on a CUDA device gives what it gives on the CPU."""

from __future__ import annotations

import pytest
import torch

import zoo
from grokscope.measures.base import battery
from grokscope.registry import MEASURES
from grokscope.snapshot import Snapshot

SAMPLED = ("learning_coefficient",)
"""Whose long chains of draws part company in the last bits of the arithmetic."""


def snapshot_on(device: str, name: str) -> Snapshot:
    animal, start = zoo.animal(name), zoo.animal(name, seed=1)
    train = tuple(tensor.to(device) for tensor in animal.train)
    test = tuple(tensor.to(device) for tensor in animal.test)
    initial = Snapshot.of(start.model.double().to(device), train=_double(train), test=_double(test))
    return Snapshot.of(animal.model.double().to(device), train=_double(train), test=_double(test), initial=initial)


def _double(pair: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    inputs, targets = pair
    return (inputs.double() if inputs.is_floating_point() else inputs), targets


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("measure", list(MEASURES))
@pytest.mark.parametrize("name", zoo.ZOO)
def test_a_cuda_device_measures_the_same(name: str, measure: str) -> None:
    (here,), (there,) = (list(battery(snapshot_on(d, name), [measure]).values()) for d in ("cpu", "cuda"))
    assert isinstance(here, str) == isinstance(there, str)
    if isinstance(here, str) or isinstance(there, str):
        return
    assert [row[:2] for row in here.rows] == [row[:2] for row in there.rows]
    if measure not in SAMPLED:
        for (key, module, value), (_, _, other) in zip(here.rows, there.rows, strict=True):
            assert other == pytest.approx(value, rel=1e-5, abs=1e-7, nan_ok=True), (key, module)
