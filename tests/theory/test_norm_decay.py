"""How fast decoupled weight decay shrinks a norm: the closed form against the optimizer itself."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from grokscope.errors import UsageError
from grokscope.learners.settings import AdamWSettings
from grokscope.theory.norm_decay import decay_steps, decayed_norm


def test_it_is_what_the_optimizer_does_without_a_gradient() -> None:
    optimizer = AdamWSettings(learning_rate=1e-3, weight_decay=0.1).build()
    parameters = {"w": torch.tensor([3.0, 4.0], dtype=torch.float64)}
    state = optimizer.init(parameters)
    for step in range(1000):
        optimizer.update(parameters, {"w": torch.zeros(2, dtype=torch.float64)}, state, step)
    assert float(parameters["w"].norm()) == pytest.approx(5 * 0.904833, rel=1e-6)
    assert decayed_norm(5, 1e-3, 0.1, 1000) == pytest.approx(float(parameters["w"].norm()), rel=1e-12)


@given(st.floats(0.1, 100), st.floats(1e-5, 1e-1), st.floats(1e-3, 2), st.floats(0, 1e4))
def test_one_undoes_the_other(norm: float, rate: float, decay: float, steps: float) -> None:
    goal = decayed_norm(norm, rate, decay, steps)
    if goal > 1e-300 and goal < norm:
        assert decay_steps(norm, goal, rate, decay) == pytest.approx(steps, rel=1e-6, abs=1e-6 / (rate * decay))


def test_the_ends_and_the_law() -> None:
    assert decay_steps(1, 2, 1e-3, 0.1) == 0
    assert decay_steps(2, 1, 1e-3, 0.0) == math.inf
    # for small ηγ the time is inverse to the decay
    assert decay_steps(2, 1, 1e-4, 0.1) / decay_steps(2, 1, 1e-4, 0.2) == pytest.approx(2, rel=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: decayed_norm(0, 1e-3, 0.1, 1), r"norm = 0 was given: it is finite and above 0\."),
        (lambda: decayed_norm(1, 1e-3, 0.1, -1), r"steps = -1 was given: it is 0 or more\."),
        (lambda: decay_steps(1, 0, 1e-3, 0.1), r"goal = 0 was given: it is finite and above 0\."),
        (lambda: decay_steps(1, 1, 0, 0.1), r"learning_rate = 0 was given: it is finite and above 0\."),
        (lambda: decay_steps(1, 1, 1e-3, -1), r"weight_decay = -1 was given: it is finite, and 0 or more\."),
        (lambda: decay_steps(1, 1, 1, 1), r"learning_rate · weight_decay = 1 was given: .* give less than 1\."),
    ],
)
def test_what_is_out_of_range_is_refused(call, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()
