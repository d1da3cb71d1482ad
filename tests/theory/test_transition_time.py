"""Forecasts of the onset: the printed numbers, their units and scalings, and every wrong argument."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from grokscope.errors import UsageError
from grokscope.theory.transition_time import (
    classification_onset,
    kernel_regime_end,
    onset,
)

POSITIVE = st.floats(1e-3, 1e3)


@pytest.mark.parametrize(("alpha", "measured"), [(10, 2.32), (30, 3.42), (100, 4.62)])
def test_matrix_completion_of_size_30(alpha: float, measured: float) -> None:
    """X_ij = ij/d² at d = 30, 20 % observed: ‖h*‖ = √2 ‖X_obs‖_F / 4 at α = 1, and ‖θ̄‖ = √(2d)."""
    d = 30
    axis = np.arange(d) / d
    # the expected norm of a fifth of the entries, off the diagonal each with its mirror image
    observed = math.sqrt(0.2 * 2 * float((np.outer(axis, axis) ** 2).sum()))
    change = math.sqrt(2) * observed / 4 / alpha
    found = onset(initial_norm=alpha * math.sqrt(2 * d), least_change=change, weight_decay=1e-3)
    assert found.scaled == pytest.approx(measured, abs=0.25)


@pytest.mark.parametrize(("norm", "measured"), [(32, 1.00), (128, 2.39), (512, 3.77), (2048, 5.16), (8192, 6.55)])
def test_diagonal_networks_of_1000_coordinates(norm: float, measured: float) -> None:
    """n = 128 and γ_2 = 3.92: measured by integrating the flow (each to 0.1 in λt, a slope of exactly 1)."""
    margin = 2 * math.sqrt(2) * 3.92 * norm / math.sqrt(2000)
    found = classification_onset(initial_norm=norm, margin=margin, weight_decay=1e-3)
    assert found.scaled == pytest.approx(measured, abs=0.12)


def test_the_balance_of_pull_and_decay() -> None:
    """Integrate the equation that the forecast takes to be at rest; the onset is where δ is long enough."""
    from scipy.integrate import solve_ivp

    margin, norm, decay, degree = 30.0, 128.0, 1e-3, 3.0
    reach = math.sqrt((1.05**2 - 1) / degree) * norm

    def slope(t: float, length: np.ndarray) -> np.ndarray:
        score = math.exp(-degree * decay * t) * margin * length[0]
        return np.array([math.exp(-(degree - 2) * decay * t) * margin * math.exp(-score)])

    def event(t: float, length: np.ndarray) -> float:
        return float(length[0]) - reach

    event.terminal = True  # type: ignore[attr-defined]
    solved = solve_ivp(slope, (0, 1e5), [0.0], method="LSODA", events=event, rtol=1e-9, atol=1e-12)
    found = classification_onset(initial_norm=norm, margin=margin, weight_decay=decay, degree=degree)
    assert found.time == pytest.approx(float(solved.t_events[0][0]), rel=0.03)


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
    """‖θ(t)‖² = e^{-2λt} (‖θ_0‖² + L ‖δ‖²) with δ of length e^{Lλt} ‖h‖."""
    found = onset(initial_norm=5.0, least_change=0.01, weight_decay=0.1, degree=3, excess=1.2)
    displacement = math.exp(3 * found.scaled) * 0.01
    assert math.sqrt(25 + 3 * displacement**2) / 5 == pytest.approx(1.2)


def test_bounds_of_the_theorems() -> None:
    regression = kernel_regime_end(100.0, 1e-3, kind="regression", constant=0.5)
    assert regression == pytest.approx(1000 * (math.log(100) + 0.5))
    classification = kernel_regime_end(100.0, 1e-3)
    assert classification == pytest.approx(1000 * (math.log(100) - math.log(math.log(1e4 / 1e-3)) / 2))


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
    with pytest.raises(UsageError, match="no linear function"):
        classification_onset(initial_norm=1.0, margin=0.0, weight_decay=0.1)
    with pytest.raises(UsageError, match="a start of 0"):
        classification_onset(initial_norm=0.0, margin=1.0, weight_decay=0.1)
    with pytest.raises(UsageError, match="learning_rate = 0"):
        onset(**good).steps(0.0)


def test_another_kind_of_problem_is_refused() -> None:
    with pytest.raises(UsageError, match="kind = 'ranking' was given: it is 'classification' or 'regression'"):
        kernel_regime_end(100.0, 1e-3, kind="ranking")  # type: ignore[arg-type]
