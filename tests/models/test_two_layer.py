"""The two-layer perceptron: both paths, its start, and its homogeneity."""

from __future__ import annotations

import math

import pytest
import torch

from grokscope.models.two_layer import TwoLayerPerceptron
from grokscope.models.two_layer_settings import TwoLayerPerceptronSettings
from grokscope.spec import Seeds
from grokscope.tasks.modular import ModularAddition

TASK = ModularAddition(modulus=7, train_fraction=0.5, equals_sign=False).build(Seeds.derive(0))
PAIRS = TASK.probes["all"].inputs


def model(**settings: object) -> TwoLayerPerceptron:
    made = TwoLayerPerceptronSettings.model_validate({"hidden_width": 16, **settings})
    built = made.build(TASK.facts, torch.Generator().manual_seed(0))
    assert isinstance(built, TwoLayerPerceptron)
    return built.double()


def test_fast_path_equals_the_plain_one_in_values_and_gradients() -> None:
    net = model()
    torch.nn.init.normal_(net.b_1)
    targets = torch.arange(len(PAIRS)) % 7
    grads = []
    for forward in (net.forward, net.fast_forward):
        net.zero_grad()
        outputs = forward(PAIRS)
        torch.nn.functional.cross_entropy(outputs, targets).backward()
        grads.append((outputs.detach(), [p.grad.clone() for p in net.parameters() if p.grad is not None]))
    torch.testing.assert_close(grads[0][0], grads[1][0], rtol=1e-12, atol=1e-12)
    assert len(grads[0][1]) == 3
    for one, other in zip(grads[0][1], grads[1][1], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-13)


def test_three_times_the_parameters_are_nine_times_the_logits() -> None:
    net = model()
    torch.nn.init.normal_(net.b_1)
    before = net(PAIRS)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= 3
    torch.testing.assert_close(net(PAIRS), 9 * before, rtol=1e-12, atol=1e-12)


def test_start() -> None:
    wide = TwoLayerPerceptronSettings(hidden_width=4096).build(TASK.facts, torch.Generator().manual_seed(1))
    assert isinstance(wide, TwoLayerPerceptron)
    assert float(wide.W_1.detach().std()) == pytest.approx(math.sqrt(2 / 14), rel=0.02)
    assert float(wide.W_2.detach().std()) == pytest.approx(math.sqrt(1 / 4096), rel=0.02)
    assert float(wide.b_1.detach().abs().max()) == 0
    silent = model(zero_readout=True, initial_scale=10.0)
    assert float(silent(PAIRS).detach().abs().max()) == 0
    # the same draw, ten times as large
    torch.testing.assert_close(silent.W_1, 10 * model().W_1)


def test_published_norms() -> None:
    """p = 97, h = 1024: ‖W_1‖ = 45.25 and ‖W_2‖ = 9.85 up to the draw (Lyu et al. 2024, Fig. 2)."""
    table = ModularAddition(modulus=97, train_fraction=0.4, equals_sign=False).build(Seeds.derive(0))
    assert len(table.probes["train"]) == 3763
    net = TwoLayerPerceptronSettings().build(table.facts, torch.Generator().manual_seed(2))
    assert isinstance(net, TwoLayerPerceptron)
    assert float(net.W_1.detach().norm()) == pytest.approx(45.25, rel=0.01)
    assert float(net.W_2.detach().norm()) == pytest.approx(9.85, rel=0.02)
