"""Norm and messiness: the path against closed forms, and the predicted time against the path."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from grokscope.errors import UsageError
from grokscope.theory.representation_dynamics import generalisation_time, reduced_path

RATES: dict[str, Any] = {"decoder_rate": 0.1, "representation_rate": 0.3, "weight_decay": 0.5}


def test_a_quadratic_loss_has_exponentials() -> None:
    # l = 2 w² + m²: w falls at η_D (4 + γ), m at 2 η_R
    times, w, m = reduced_path(3.0, 0.8, lambda w, m: (4 * w, 2 * m), time=5.0, steps=4000, **RATES)
    np.testing.assert_allclose(w, 3 * np.exp(-0.1 * 4.5 * times), rtol=1e-5)
    np.testing.assert_allclose(m, 0.8 * np.exp(-0.6 * times), rtol=1e-5)


def test_the_midpoint_rule_is_of_second_order() -> None:
    def error(steps: int) -> float:
        _, w, _ = reduced_path(3.0, 0.8, lambda w, m: (4 * w, 2 * m), time=5.0, steps=steps, **RATES)
        return abs(float(w[-1]) - 3 * math.exp(-2.25))

    assert error(100) / error(200) == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize(("height", "angle"), [(0.0, 0.3), (0.4, 0.8), (0.4, -0.5)])
def test_the_path_meets_the_boundary_when_predicted(height: float, angle: float) -> None:
    """On flat ground, and with a representation that does not learn, it is where ln w = ln w_c − m tan θ."""
    start, distance = 4.0, 1.5
    predicted = generalisation_time(distance, height, angle, 0.1, 0.5)
    times, w, m = reduced_path(start, height, lambda w, m: (0.0, 0.0), time=2 * predicted, steps=20_000, **RATES)
    outside = np.log(w) > math.log(start) - distance - m * math.tan(angle)
    assert times[int(np.argmin(outside))] == pytest.approx(predicted, rel=1e-3)


def test_the_ends() -> None:
    assert generalisation_time(-1, 0.5, 0.3, 0.1, 0.1) == 0
    assert generalisation_time(1, 0.5, 0.3, 0.1, 0.0) == math.inf
    assert generalisation_time(1, 0, 0.3, 0.1, 0.2) == pytest.approx(generalisation_time(1, 0, 0.3, 0.1, 0.1) / 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: generalisation_time(1, -1, 0, 1, 1), r"height = -1 was given: it is finite, and 0 or more\."),
        (lambda: generalisation_time(1, 1, 2, 1, 1), r"angle = 2 was given: it is in radians, between −π/2 and π/2\."),
        (lambda: generalisation_time(1, 1, 0, 0, 1), r"decoder_rate = 0 was given: it is finite and above 0\."),
        (
            lambda: reduced_path(1, 1, lambda w, m: (0.0, 0.0), time=1, steps=0, **RATES),
            r"steps = 0 was given: it is finite, and 1 or more\.",
        ),
    ],
)
def test_what_is_out_of_range_is_refused(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()
