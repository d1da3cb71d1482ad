"""Every registered measure on models as outsiders write them: a number, or one sentence that says why not."""

from __future__ import annotations

import math

import pytest
import torch

import zoo
from grokscope.measures.base import DoesNotApply, Measure, Reading, battery, evaluate
from grokscope.registry import MEASURES
from grokscope.snapshot import Snapshot

NAMES = list(MEASURES)


def snapshot_of(name: str, *, dtype: torch.dtype = torch.float32, labelled: bool = True) -> Snapshot:
    """Return a snapshot of one of the zoo after no training, with a start to compare with."""
    animal = zoo.animal(name)
    start = zoo.animal(name, seed=1)

    def data(pair: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor | None]:
        inputs = pair[0].to(dtype) if pair[0].is_floating_point() else pair[0]
        return inputs, pair[1] if labelled else None

    given = {"train": data(animal.train), "test": data(animal.test)}
    initial = Snapshot.of(start.model.to(dtype), **given)  # type: ignore[arg-type]
    return Snapshot.of(animal.model.to(dtype), initial=initial, **given)  # type: ignore[arg-type]


def one(measure: str, snapshot: Snapshot) -> Reading | str:
    (found,) = battery(snapshot, [measure]).values()
    return found


def is_sentence(text: str) -> bool:
    return text.endswith(".") and " " in text and "\n" not in text and len(text) < 300


@pytest.mark.parametrize("measure", NAMES)
@pytest.mark.parametrize("name", zoo.ZOO)
def test_a_measure_gives_numbers_or_its_reason(name: str, measure: str) -> None:
    snapshot = snapshot_of(name)
    before = {key: tensor.clone() for key, tensor in snapshot.parameters.items()}
    generator = torch.get_rng_state()
    found = one(measure, snapshot)
    if isinstance(found, str):
        assert is_sentence(found)
        with pytest.raises(DoesNotApply):
            evaluate(measure, snapshot)
        return
    assert found.rows or found.arrays
    declared: Measure = MEASURES.get(measure)
    ranges = {declared.key(key): about for key, about in declared.keys.items()}
    for key, module, value in found.rows:
        assert not math.isinf(value), (key, module)
        about = ranges.get(key.removesuffix("_online"))
        if about is not None and not math.isnan(value):
            assert about.low is None or value >= about.low - 1e-6, (key, module, value)
            assert about.high is None or value <= about.high + 1e-6, (key, module, value)
    assert all(torch.equal(before[key], tensor) for key, tensor in snapshot.parameters.items())
    assert torch.equal(torch.get_rng_state(), generator)
    # again, on another copy, as if autocast and inference mode were on around it
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.inference_mode():
        again = one(measure, snapshot_of(name))
    assert isinstance(again, Reading)
    assert [(key, module, repr(value)) for key, module, value in again.rows] == [
        (key, module, repr(value)) for key, module, value in found.rows
    ]


@pytest.mark.parametrize("measure", NAMES)
@pytest.mark.parametrize("name", ["mlp", "gpt"])
def test_bfloat16_weights_are_measured_too(name: str, measure: str) -> None:
    whole, half = one(measure, snapshot_of(name)), one(measure, snapshot_of(name, dtype=torch.bfloat16))
    assert isinstance(half, str) == isinstance(whole, str)
    if isinstance(half, Reading) and isinstance(whole, Reading):
        assert {row[:2] for row in half.rows} == {row[:2] for row in whole.rows}


@pytest.mark.parametrize("measure", NAMES)
def test_without_labels_or_data_there_are_numbers_or_a_reason(measure: str) -> None:
    for snapshot in (snapshot_of("mlp", labelled=False), Snapshot.of(zoo.animal("mlp").model)):
        found = one(measure, snapshot)
        assert is_sentence(found) if isinstance(found, str) else found.rows or found.arrays
