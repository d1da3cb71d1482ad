"""Which measures of progress know the scale of the weights: a ReLU network does the same with c times its weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

import grokscope as gs

INPUTS = torch.randn(30, 6, generator=torch.Generator().manual_seed(3)).relu()
TARGETS = torch.arange(30) % 3
STANDARD = "circuit_complexity:standardise=true"
KEEPS = (
    "sparsity/layer", "sparsity/mean", "units/dead", "units/always_on", "weight_entropy/normalised",
    "weight_entropy/used_share", "circuit_complexity/output_change", "dead_weights/matrix_dead_share",
    f"{STANDARD}/complexity",
)  # fmt: skip
MEASURES = ("sparsity", "units", "weight_entropy", "circuit_complexity", STANDARD, "dead_weights", "weights")


def network(factor: float) -> nn.Sequential:
    """Return a perceptron with c times its weights and c^l times the biases of layer l: c³ times its outputs."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3)).double()
    with torch.no_grad():
        for depth, layer in enumerate(one for one in model if isinstance(one, nn.Linear)):
            layer.weight.mul_(factor)
            layer.bias.mul_(factor ** (depth + 1))
    return model


def readings(factor: float) -> dict[tuple[str, str | None], float]:
    snapshot = gs.Snapshot.of(network(factor), train=(INPUTS.double(), TARGETS))
    return {
        (f"{name}/{key.partition('/')[2]}", module): float(value)
        for name in MEASURES
        for key, module, value in gs.evaluate(name, snapshot).rows
    }


@pytest.mark.parametrize("factor", [0.25, 3.0])
def test_scale_free_measures_do_not_change_with_the_scale_and_the_others_do(factor: float) -> None:
    before, after = readings(1.0), readings(factor)
    kept = [one for one in before if one[0] in KEEPS]
    assert {key for key, _ in kept} == set(KEEPS)
    for one in kept:
        assert after[one] == pytest.approx(before[one], rel=1e-9), one
    for key in ("weight_entropy/sum", "circuit_complexity/complexity"):
        assert abs(after[key, None] / before[key, None] - 1) > 0.1
    # H(cW) = c H(W) − c ln c Σ|w|
    model = network(1.0)
    mass = sum(float(layer.weight.detach().abs().sum()) for layer in model if isinstance(layer, nn.Linear))
    expected = factor * before["weight_entropy/sum", None] - factor * math.log(factor) * mass
    assert after["weight_entropy/sum", None] == pytest.approx(expected)


def test_outputs_that_are_0_have_no_size_to_divide_by() -> None:
    model = nn.Linear(6, 3, bias=False)
    nn.init.zeros_(model.weight)
    snapshot = gs.Snapshot.of(model, train=(INPUTS, TARGETS))
    with pytest.raises(gs.measures.base.DoesNotApply, match=r"divides by the size of the outputs, which is 0\.0"):
        gs.evaluate("circuit_complexity:standardise=true", snapshot)
