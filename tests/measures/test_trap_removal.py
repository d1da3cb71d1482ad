"""trap_removal on networks whose traps are put there by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import grokscope as gs
from grokscope.errors import UsageError
from grokscope.measures.base import DoesNotApply, evaluate
from grokscope.measures.trap_removal import TRAP_REMOVAL, measure


def network(*, large: float | None = None) -> tuple[nn.Sequential, torch.Tensor, torch.Tensor]:
    """Return a perceptron whose labels are its own answers, and one large weight from a pixel that is always 1."""
    draw = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) / 5)
        first, last = (one for one in model if isinstance(one, nn.Linear))
        if large is not None:
            first.weight[7, 0] = large
            last.weight[:, 7] = torch.tensor([8.0, 0.0, 0.0, 0.0])
    inputs = torch.rand(200, 30, generator=draw)
    inputs[:, 0] = 1.0
    return model, inputs, model(inputs).argmax(1)


def taken(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor | None) -> gs.Snapshot:
    given = inputs if targets is None else (inputs, targets)
    return gs.Snapshot.of(model, train=given, test=None if targets is None else (inputs, targets))


def test_no_trap_and_no_row() -> None:
    model, inputs, targets = network()
    found = measure(taken(model, inputs, targets))
    assert set(found["count"].values()) == {0.0}
    assert "jsd" not in found
    assert "error_change" not in found


def test_a_weight_that_decides_everything_is_missed() -> None:
    model, inputs, targets = network(large=40.0)
    found = measure(taken(model, inputs, targets), noise=False)
    assert found["count"]["0.weight"] == 1
    assert set(found["jsd"]) == {"0.weight[0]"} | {name for name in found["jsd"] if name.startswith("2.")}
    # with it all are of class 0; without it many are not
    assert torch.bincount(targets, minlength=4).tolist() == [200, 0, 0, 0]
    with torch.no_grad():
        dict(model.named_parameters())["0.weight"][7, 0] = 0.0
        changed = float((model(inputs).argmax(1) != targets).double().mean())
    assert found["error_change"]["0.weight[0]"] == pytest.approx(changed, abs=0.15)
    assert 0.05 < found["jsd"]["0.weight[0]"] <= math.log(2)
    # on normal inputs the pixel is often near 0.5: most are of class 0 still
    assert found["shuffled_share"] > 0.9
    assert 0 <= found["normal_entropy"] <= math.log(4)


def test_a_trap_whose_unit_leads_nowhere_is_benign() -> None:
    model, inputs, _ = network(large=40.0)
    with torch.no_grad():
        dict(model.named_parameters())["2.weight"][:, 7] = 0.0
    snapshot = taken(model, inputs, model(inputs).argmax(1))
    found = measure(snapshot, noise=False)
    # the trap's vectors reach a little into the other rows
    assert found["jsd"]["0.weight[0]"] < 0.01
    minded, at_home, classes = network(large=40.0)
    missed = measure(taken(minded, at_home, classes), noise=False)
    assert missed["jsd"]["0.weight[0]"] > 20 * found["jsd"]["0.weight[0]"]


def test_the_same_each_time_and_without_labels() -> None:
    model, inputs, targets = network(large=40.0)
    first, second = (evaluate(TRAP_REMOVAL, taken(model, inputs, targets)).rows for _ in range(2))
    assert first == second
    bare = measure(taken(model, inputs, None))
    assert "error_change" not in bare
    assert bare["jsd"]["0.weight[0]"] == dict(((k, m), v) for k, m, v in first)["trap_removal/jsd", "0.weight[0]"]


def test_what_it_does_not_apply_to() -> None:
    inputs = torch.rand(20, 5)
    with pytest.raises(DoesNotApply, match="these outputs are none"):
        measure(gs.Snapshot.of(nn.Linear(5, 1), train=(inputs, torch.rand(20, 1))))
    with pytest.raises(DoesNotApply, match="this model has no training data"):
        measure(gs.Snapshot.of(nn.Linear(5, 3)))
    with pytest.raises(UsageError, match="samples = 0, most = 10 and examples = 2000: give at least 1 of each"):
        measure(gs.Snapshot.of(nn.Linear(5, 3), train=inputs), samples=0)
