"""A model that cannot read a task says so in one sentence, as wrong usage."""

from __future__ import annotations

import pytest

from grokscope.errors import UsageError
from grokscope.facts import Facts
from grokscope.registry import MODELS
from grokscope.rng import generator


@pytest.mark.parametrize(
    "name", ["mlp", "two-layer-perceptron", "modular-transformer", "diagonal-network", "symmetric-factorisation"]
)
def test_inputs_it_cannot_read_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=r": (change|set) task\.name"):
        MODELS.get(name)().build(Facts(outputs=2, classes=2), generator(0, "init"))
