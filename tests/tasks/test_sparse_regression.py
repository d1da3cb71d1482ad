"""Sparse regression: what its targets are, that they are the seeds' alone, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from grokscope.errors import UsageError
from grokscope.spec import Seeds, resolve
from grokscope.tasks.base import Task


def build(seed: int = 100, **settings: Any) -> Task:
    spec = resolve(
        {
            "task": {"name": "sparse-regression", **settings},
            "model": {"name": "diagonal-network"},
            "learner": {"name": "label-noise"},
        },
        seed=seed,
    )
    seeds: Seeds = spec.seed
    return spec.task.build(seeds)


def test_targets_are_signed_sums_of_the_first_coordinates() -> None:
    task = build(dimension=9, examples=20, relevant=3)
    found = [torch.linalg.lstsq(batch.inputs, batch.targets).solution for batch in task.probes.values()]
    for weights in found:
        torch.testing.assert_close(weights[3:], torch.zeros(6, 1, dtype=torch.float64), atol=1e-12, rtol=0)
        torch.testing.assert_close(weights[:3].abs(), torch.ones(3, 1, dtype=torch.float64))
    torch.testing.assert_close(found[0], found[1])
    assert task.loss == "mean-squared-error"
    assert task.facts.chance.loss == 3
    assert task.facts.classes is None


def test_inputs_are_standard_normal_and_test_inputs_are_others() -> None:
    task = build(dimension=100, examples=300, test_examples=300)
    inputs = task.probes["train"].inputs
    assert float(inputs.mean()) == pytest.approx(0, abs=0.02)
    assert float(inputs.square().mean()) == pytest.approx(1, abs=0.03)
    assert not torch.equal(inputs, task.probes["test"].inputs)
    # chance is what no look at the input achieves
    targets = task.probes["train"].targets
    assert targets is not None
    assert float(targets.square().mean()) == pytest.approx(task.facts.chance.loss or 0, rel=0.3)


def test_the_seed_decides_all() -> None:
    one, again, other = build(100), build(100), build(101)
    assert torch.equal(one.probes["test"].inputs, again.probes["test"].inputs)
    assert not torch.equal(one.probes["test"].inputs, other.probes["test"].inputs)


def test_more_relevant_coordinates_than_there_are() -> None:
    with pytest.raises(UsageError, match="relevant = 4 of 3 coordinates: give a number that is not larger"):
        build(dimension=3, relevant=4)
