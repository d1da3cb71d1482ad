"""Losses over their values at the start."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from grokscope.measures.base import DoesNotApply, evaluate
from grokscope.measures.relative_loss import measure
from grokscope.snapshot import Snapshot


def line(slope: float) -> nn.Module:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, slope)
    return model


def test_by_hand() -> None:
    """Targets 2x: slope 0 leaves (2x)², slope 1 leaves x²."""
    x = torch.tensor([[1.0], [2.0]])
    data: Any = {"train": (x, 2 * x), "test": (-x, 2 * x)}
    start = Snapshot.of(line(0.0), **data)
    found = measure(Snapshot.of(line(1.0), initial=start, **data))
    assert found == {"train": pytest.approx(0.25), "test": pytest.approx(2.25)}
    assert measure(Snapshot.of(line(0.0), initial=start, **data)) == {"train": 1.0, "test": 1.0}


def test_a_start_without_a_loss_and_one_that_is_not_known() -> None:
    x = torch.ones(2, 1)
    start = Snapshot.of(line(1.0), train=(x, x))
    assert math.isnan(measure(Snapshot.of(line(2.0), initial=start, train=(x, x)))["train"])
    with pytest.raises(DoesNotApply, match="does not know it"):
        evaluate("relative_loss", start)
    with pytest.raises(DoesNotApply, match="labelled"):
        evaluate("relative_loss", Snapshot.of(line(1.0), initial=start, train=x))
