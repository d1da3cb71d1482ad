"""Probes that are trained: step by step as PyTorch's own Adam, and what so few steps do to large features."""

from __future__ import annotations

import doctest

import pytest
import torch
from torch import nn

from grokscope.errors import UsageError
from grokscope.linalg import trained_probe as module
from grokscope.linalg.moments import moments
from grokscope.linalg.ridge import ridge_probes
from grokscope.linalg.trained_probe import trained_probe


def clouds(scale: float = 1.0, count: int = 700) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes around corners, in four units."""
    generator = torch.Generator().manual_seed(1)
    classes = torch.arange(count) % 3
    centres = torch.tensor([[2.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]])
    return scale * (centres[classes] + 0.5 * torch.randn(count, 4, generator=generator)), classes


def test_the_documented_example_holds():
    assert doctest.testmod(module).failed == 0


def test_as_a_layer_under_pytorchs_adam():
    features, classes = clouds()
    found = trained_probe(features, classes, 3, 1e-3, torch.Generator().manual_seed(7))
    generator = torch.Generator().manual_seed(7)
    rows = torch.randperm(700, generator=generator)[:560]
    layer = nn.Linear(4, 3, dtype=torch.float64)
    start = (2 * torch.rand(5, 3, generator=generator, dtype=torch.float64) - 1) / 2
    with torch.no_grad():
        layer.weight.copy_(start[:-1].T)
        layer.bias.copy_(start[-1])
    optimizer = torch.optim.Adam(layer.parameters(), lr=1e-3)
    for _ in range(30):
        for part in rows[torch.randperm(560, generator=generator)].split(512):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(layer(features[part].double()), classes[part])
            (loss + 1e-3 * layer.weight.norm()).backward()
            optimizer.step()
    assert torch.allclose(found.weights, layer.weight.T, atol=1e-10)
    assert torch.allclose(found.bias, layer.bias, atol=1e-10)


def test_so_few_steps_tell_the_conditioning_where_an_exact_probe_tells_the_classes():
    features, classes = clouds()
    bent = features @ torch.diag(torch.tensor([1e5, 1.0, 1.0, 1e5]))
    few = trained_probe(bent, classes, 3, 1e-3, torch.Generator().manual_seed(0))
    (exact,) = ridge_probes(moments(bent, classes), [1e-3])
    right = [float((probe.classes(bent) == classes).double().mean()) for probe in (few, exact)]
    assert right[0] < 0.8 < 0.95 < right[1]


def test_bad_values_get_one_sentence():
    features, classes = clouds()
    with pytest.raises(UsageError, match="cannot be negative"):
        trained_probe(features, classes, 3, -1.0, torch.Generator())
    with pytest.raises(UsageError, match="needs two"):
        trained_probe(features[:1], classes[:1], 3, 0.0, torch.Generator())
