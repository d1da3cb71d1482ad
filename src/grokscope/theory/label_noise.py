"""Noise on the labels acts as weight decay: by how much, for diagonal networks (Lyu et al. 2024, App. B.2)."""

from __future__ import annotations

from typing import Any

import numpy as np

from grokscope.errors import UsageError
from grokscope.theory.arrays import Array, real


def label_noise_decay(inputs: Any, *, learning_rate: float, noise: float) -> Array:
    """Return λ_j = 8 η σ² m_j, m_j = Σ_i x_ij² / n: the weight decay that label noise amounts to, (d,).

    Descent on (f(x_i) − y_i + ξ)² with a fresh ξ of variance σ² follows, averaged over the noise and to leading order
    in η, the flow of L + (η σ²/2) tr H. For f = Σ_j (u_j² − v_j²) x_j fitted to the data tr H = 8 Σ_j m_j (u_j² +
    v_j²), so that u_j and v_j decay as e^{−λ_j t}, t = η · steps.

    Args:
        inputs: X, (n, d).
        learning_rate: η, positive.
        noise: σ, the standard deviation of ξ, 0 or more.

    Raises:
        UsageError: the inputs are no finite matrix, or a number is out of its range.

    Example:
        >>> label_noise_decay([[1.0, 2.0], [1.0, 0.0]], learning_rate=0.01, noise=1.0).round(12).tolist()
        [0.08, 0.16]
    """
    points = real("inputs", inputs, axes=2)
    if not learning_rate > 0 or not np.isfinite(learning_rate):
        raise UsageError(f"the learning rate is {learning_rate}: give a positive number.")
    if not noise >= 0 or not np.isfinite(noise):
        raise UsageError(f"the noise is {noise}: give its standard deviation, 0 or more.")
    return 8 * learning_rate * noise**2 * np.square(points).mean(0)
