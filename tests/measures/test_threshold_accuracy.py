"""Shares below thresholds: by hand, monotone in the threshold, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import grokscope as gs
from grokscope.errors import UsageError
from grokscope.measures.base import DoesNotApply, evaluate, named
from grokscope.measures.threshold_accuracy import within


def identity(targets: torch.Tensor, inputs: torch.Tensor) -> gs.Snapshot:
    return gs.Snapshot.of(torch.nn.Flatten(), test=(inputs, targets))


def test_by_hand() -> None:
    outputs = torch.tensor([[0.0, 0.0], [0.02, 0.04], [1.0, 1.0]])
    # squared errors averaged over outputs: 0, 0.001 and 1
    rows = evaluate("threshold_accuracy", identity(torch.zeros(3, 2), outputs)).rows
    found = {(key, module): value for key, module, value in rows}
    key = "threshold_accuracy/test"
    assert found[key, "0.0001"] == pytest.approx(1 / 3)
    assert found[key, "0.005"] == pytest.approx(2 / 3)
    assert found[key, "0.1"] == pytest.approx(2 / 3)
    assert len(rows) == 7


def test_class_targets_are_one_hot() -> None:
    outputs = torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    measure = named("threshold_accuracy:thresholds=1e-3 0.02 2")
    rows = evaluate(measure, identity(torch.tensor([0, 0, 0]), outputs)).rows
    assert [(module, round(value, 6)) for _, module, value in rows] == [
        ("0.001", 0.333333),
        ("0.02", 0.666667),
        ("2", 1),
    ]


@given(st.lists(st.floats(0, 10), min_size=1, max_size=20), st.floats(1e-6, 10), st.floats(1, 10))
def test_a_larger_threshold_lets_more_through(errors: list[float], threshold: float, factor: float) -> None:
    values = torch.tensor(errors, dtype=torch.float64)
    assert (within(values, threshold) <= within(values, threshold * factor)).all()


@pytest.mark.parametrize("text", ["", "zero", "-1", "0.1 inf"])
def test_thresholds_must_be_positive_numbers(text: str) -> None:
    snapshot = identity(torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(UsageError, match="give positive numbers with spaces between them"):
        evaluate(named(f"threshold_accuracy:thresholds={text}"), snapshot)


def test_sequences_of_classes_have_no_one_error() -> None:
    model = torch.nn.Embedding(4, 4)
    snapshot = gs.Snapshot.of(model, test=(torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, 3, dtype=torch.int64)))
    with pytest.raises(DoesNotApply, match="these targets are sequences of classes"):
        evaluate("threshold_accuracy", snapshot)
