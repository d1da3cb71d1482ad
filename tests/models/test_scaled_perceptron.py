"""The perceptron whose forward pass divides: closed forms, parametrisations, what it reads."""

from __future__ import annotations

import math

import pytest
import torch

from grokscope.errors import UsageError
from grokscope.facts import Facts, InputGeometry, SequenceLayout
from grokscope.models.scaled_perceptron_settings import ScaledPerceptronSettings
from grokscope.spec import resolve

PAIRS = Facts(outputs=3, classes=3, sequence=SequenceLayout(length=2, vocabulary=3))
IMAGES = Facts(outputs=2, geometry=InputGeometry(shape=(1, 4, 4)))


def built(settings: ScaledPerceptronSettings, facts: Facts, seed: int = 0) -> torch.nn.Module:
    return settings.build(facts, torch.Generator().manual_seed(seed)).double()


def test_one_hidden_layer_of_squares_is_the_formula_of_the_paper() -> None:
    model = built(ScaledPerceptronSettings(widths=(5,)), PAIRS)
    tokens = torch.tensor([[0, 2], [1, 1]])
    first, second = (layer.weight for layer in model.layers)  # type: ignore[union-attr]
    x = torch.nn.functional.one_hot(tokens, 3).flatten(1).double()
    # f = W2 (W1 x)² / (D N) with D = 6 and N = 5 (Kumar et al. 2024, Fig. 2)
    assert torch.allclose(model(tokens), (x @ first.T) ** 2 @ second.T / (6 * 5), atol=1e-14, rtol=0)


@pytest.mark.parametrize(
    ("parametrisation", "hidden", "output"), [("mean-field", 4.0, 9.0), ("ntk", 4.0, 3.0), ("standard", 1.0, 1.0)]
)
def test_the_parametrisations_divide_by_the_fan_in(parametrisation: str, hidden: float, output: float) -> None:
    settings = ScaledPerceptronSettings(widths=(9,), activation="relu", parametrisation=parametrisation)  # type: ignore[arg-type]
    model = built(settings, IMAGES)
    images = torch.randn(7, 1, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    first, second = (layer.weight for layer in model.layers)  # type: ignore[union-attr]
    by_hand = (images.flatten(1) @ first.T / hidden).relu() @ second.T / output
    assert torch.allclose(model(images), by_hand, atol=1e-13, rtol=0)


def test_weights_have_the_asked_size() -> None:
    facts = Facts(outputs=50, geometry=InputGeometry(shape=(200,)))
    scaled = built(ScaledPerceptronSettings(widths=(400,), initial_weights="he", initial_scale=150), facts)
    plain = built(ScaledPerceptronSettings(widths=(400,)), facts)
    for layer, other, fan_in in zip(scaled.layers, plain.layers, (200, 400), strict=True):  # type: ignore[arg-type]
        assert torch.allclose(layer.weight, other.weight * 150 * math.sqrt(2 / fan_in))
        assert float(other.weight.detach().std()) == pytest.approx(1, abs=0.02)


def test_homogeneity_in_the_weights() -> None:
    one = built(ScaledPerceptronSettings(widths=(5, 4), activation="quadratic"), IMAGES)
    two = built(ScaledPerceptronSettings(widths=(5, 4), activation="quadratic", initial_scale=2), IMAGES)
    images = torch.rand(3, 1, 4, 4, dtype=torch.float64)
    # degree 4 of the first weights, 2 of the second, 1 of the last
    assert torch.allclose(two(images), 2**7 * one(images), rtol=1e-12)


def test_a_bad_setting_is_told() -> None:
    tree = {
        "task": {"name": "modular-addition", "modulus": 5},
        "model": {"name": "scaled-perceptron", "activation": "sine"},
        "learner": {"name": "gradient"},
        "optimizer": {"name": "sgd"},
    }
    with pytest.raises(UsageError, match=r"model.activation.*'quadratic', 'relu', 'tanh' or 'gelu'"):
        resolve(tree)
