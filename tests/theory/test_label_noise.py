"""The weight decay that label noise amounts to: by hand, against the Hessian's trace, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from grokscope.errors import UsageError
from grokscope.theory.label_noise import label_noise_decay


def test_by_hand() -> None:
    found = label_noise_decay([[1.0, 2.0], [3.0, 0.0]], learning_rate=0.1, noise=2.0)
    np.testing.assert_allclose(found, [8 * 0.1 * 4 * 5, 8 * 0.1 * 4 * 2])
    assert label_noise_decay([[1.0]], learning_rate=0.1, noise=0.0).tolist() == [0.0]


def test_amounts_to_the_trace_of_the_hessian() -> None:
    """At an interpolating θ: (ησ²/2) tr H, by second differences, is ½ Σ_j λ_j (u_j² + v_j²)."""
    drawing = np.random.default_rng(0)
    inputs, theta, h = drawing.normal(size=(3, 4)), drawing.normal(size=8), 1e-3
    targets = inputs @ (theta[:4] ** 2 - theta[4:] ** 2)

    def loss(values: np.ndarray) -> float:
        return float(np.mean((inputs @ (values[:4] ** 2 - values[4:] ** 2) - targets) ** 2))

    trace = sum((loss(theta + h * row) + loss(theta - h * row) - 2 * loss(theta)) / h**2 for row in np.eye(8))
    decay = label_noise_decay(inputs, learning_rate=0.01, noise=3.0)
    squares = theta[:4] ** 2 + theta[4:] ** 2
    assert 0.5 * float(decay @ squares) == pytest.approx(0.5 * 0.01 * 9 * trace, rel=1e-5)


@pytest.mark.parametrize(
    ("inputs", "given", "message"),
    [
        ([1.0], {}, "inputs has the shape"),
        ([[np.nan]], {}, "NaN or infinite"),
        ([[1.0]], {"learning_rate": 0.0}, "learning rate is 0.0: give a positive number"),
        ([[1.0]], {"learning_rate": np.inf}, "give a positive number"),
        ([[1.0]], {"noise": -1.0}, "noise is -1.0: give its standard deviation"),
        ([[1.0]], {"noise": np.nan}, "give its standard deviation"),
    ],
)
def test_wrong_use_is_told(inputs: Any, given: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        label_noise_decay(inputs, **{"learning_rate": 0.1, "noise": 1.0, **given})
