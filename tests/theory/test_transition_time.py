"""Forecasts of the onset: the printed numbers, their units and scalings, and every wrong argument."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grokscope.errors import UsageError
from grokscope.theory.transition_time import (
    classification_change,
    kernel_regime_end,
    label_noise_decay,
    onset,
)

POSITIVE = st.floats(1e-3, 1e3)


@pytest.mark.parametrize(("alpha", "predicted"), [(10, 2.38), (30, 3.48), (100, 4.68)])
def test_matrix_completion_of_size_30(alpha: float, predicted: float) -> None:
    """X_ij = ij/d² at d = 30, 20 % observed: ‖h*‖ = √2 ‖X_obs‖_F / 4 at α = 1, and ‖θ̄‖ = √(2d)."""
    d = 30
    axis = np.arange(d) / d
    # the expected norm of a fifth of the entries, off the diagonal each with its mirror image
    observed = math.sqrt(0.2 * 2 * float((np.outer(axis, axis) ** 2).sum()))
    change = math.sqrt(2) * observed / 4 / alpha
    found = onset(initial_norm=alpha * math.sqrt(2 * d), least_change=change, weight_decay=1e-3)
    assert found.scaled == pytest.approx(predicted, abs=0.25)


def test_diagonal_network_of_full_size() -> None:
    """d = 1e5: γ_ntk = 2√2 γ_2 with γ_2 = 19.71 at α = 1, ‖θ̄‖ = √(2d): λt = 2.35 at the loss there."""
    alpha = 128 / math.sqrt(2e5)
    change = classification_change(2.7e-3, alpha * 2 * math.sqrt(2) * 19.71)
    assert onset(initial_norm=128.0, least_change=change, weight_decay=1e-3).scaled == pytest.approx(2.35, abs=0.35)


@given(POSITIVE, POSITIVE, st.floats(1.0, 5.0), st.floats(1e-4, 1.0))
def test_scalings(norm: float, change: float, degree: float, decay: float) -> None:
    base = onset(initial_norm=norm, least_change=change, weight_decay=decay, degree=degree)
    assert base.scaled == pytest.approx(decay * base.time, rel=1e-12, abs=1e-12)
    assert base.steps(0.5) == pytest.approx(2 * base.time)
    half = onset(initial_norm=norm, least_change=change, weight_decay=decay / 2, degree=degree)
    assert half.scaled == pytest.approx(base.scaled)
    # θ_0 → c θ_0 makes the features c^{L-1} as large: the onset moves by log c, the slope that theory predicts
    grown = onset(initial_norm=3 * norm, least_change=change / 3 ** (degree - 1), weight_decay=decay, degree=degree)
    assert grown.scaled - base.scaled == pytest.approx(math.log(3), abs=1e-9)


def test_the_forecast_is_where_the_norm_exceeds_pure_decay() -> None:
    """θ(t) = e^{-λt} (θ_0 + δ) with δ ⟂ θ_0 of length e^{Lλt} ‖h‖."""
    found = onset(initial_norm=5.0, least_change=0.01, weight_decay=0.1, degree=3, excess=1.2)
    displacement = math.exp(3 * found.scaled) * 0.01
    assert math.sqrt(25 + displacement**2) / 5 == pytest.approx(1.2)


def test_bounds_of_the_theorems() -> None:
    regression = kernel_regime_end(100.0, 1e-3, kind="regression", constant=0.5)
    assert regression == pytest.approx(1000 * (math.log(100) + 0.5))
    classification = kernel_regime_end(100.0, 1e-3)
    assert classification == pytest.approx(1000 * (math.log(100) - math.log(math.log(1e4 / 1e-3)) / 2))
    assert label_noise_decay(1e-3, 2.0, np.array([1.0])).tolist() == pytest.approx([0.032])


def test_wrong_arguments_are_told() -> None:
    good = {"initial_norm": 1.0, "least_change": 0.1, "weight_decay": 0.1}
    for changes, message in (
        ({"weight_decay": -1.0}, "weight_decay = -1 was given: it must be positive"),
        ({"weight_decay": 0.0}, "weight_decay = 0 was given"),
        ({"initial_norm": 0.0}, "a start of 0 is a saddle"),
        ({"least_change": 0.0}, "fitted at the start"),
        ({"degree": 0.5}, "give 1 or more"),
        ({"excess": 1.0}, "give more than 1"),
        ({"initial_norm": math.nan}, "must be positive"),
    ):
        with pytest.raises(UsageError, match=message):
            onset(**{**good, **changes})
    with pytest.raises(UsageError, match="give more than 1"):
        kernel_regime_end(1.0, 0.1)
    with pytest.raises(UsageError, match="large α and a small λ"):
        kernel_regime_end(1.1, 0.5)
    with pytest.raises(UsageError, match="between 0 and 1"):
        classification_change(1.5, 1.0)
    with pytest.raises(UsageError, match="no linear function"):
        classification_change(0.5, 0.0)
    with pytest.raises(UsageError, match="not negative"):
        label_noise_decay(0.1, -1.0, [1.0])
    with pytest.raises(UsageError, match="learning_rate = 0"):
        onset(**good).steps(0.0)
