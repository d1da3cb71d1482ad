"""A network as two numbers, the norm of its decoder and the messiness of its representation (Liu et al. 2023, Sec. 5).

With a loss l(w, m), the decoder learns at the rate η_D under weight decay γ and the representation at η_R:
dw/dt = −η_D (∂l/∂w + γw), dm/dt = −η_R ∂l/∂m. Beyond the fit the loss is flat, the norm decays, and the run generalises
where it meets the boundary of the norms that do. If that is a line in (ln w, m) at the angle θ to the axis of m, a
distance L away at m = 0, a run that stays at the messiness h is L + h tan θ away, and decay moves ln w by η_D γ a unit
of time. That L is in ln w is our reading.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from grokscope.errors import UsageError

Slope = Callable[[float, float], tuple[float, float]]
"""From (w, m) to (∂l/∂w, ∂l/∂m)."""


def generalisation_time(
    distance: float, height: float, angle: float, decoder_rate: float, weight_decay: float
) -> float:
    """Return (L + h tan θ) / (η_D γ); 0 where the run is beyond the boundary, infinity without decay.

    Args:
        distance: L, from the norm of the fit to the boundary at messiness 0, in ln w.
        height: h, the messiness, 0 or more.
        angle: θ, in radians, between −π/2 and π/2.
        decoder_rate: η_D, above 0.
        weight_decay: γ, 0 or more.

    Raises:
        UsageError: a number is out of its range.

    Example:
        >>> round(generalisation_time(1.0, 0.5, math.pi / 4, 1e-3, 0.1))  # 1.5 / 1e-4
        15000
    """
    _at_least("height", height, 0)
    _at_least("weight_decay", weight_decay, 0)
    if not 0 < decoder_rate < math.inf:
        raise UsageError(f"decoder_rate = {decoder_rate:g} was given: it is finite and above 0.")
    if not abs(angle) < math.pi / 2:
        raise UsageError(f"angle = {angle:g} was given: it is in radians, between −π/2 and π/2.")
    way = distance + height * math.tan(angle)
    if way <= 0:
        return 0.0
    return way / (decoder_rate * weight_decay) if weight_decay else math.inf


def reduced_path(
    norm: float,
    messiness: float,
    slope: Slope,
    *,
    decoder_rate: float,
    representation_rate: float,
    weight_decay: float,
    time: float,
    steps: int = 1000,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times, w and m, each (steps + 1,), of the reduced dynamics by the midpoint rule.

    Args:
        norm: w at the start.
        messiness: m at the start.
        slope: both slopes of the loss at (w, m).
        decoder_rate: η_D, 0 or more.
        representation_rate: η_R, 0 or more; 0 keeps the representation.
        weight_decay: γ of the decoder, 0 or more.
        time: until when, 0 or more.
        steps: of equal length, 1 or more.

    Raises:
        UsageError: a number is out of its range.

    Example:
        >>> _, w, _ = reduced_path(
        ...     2.0, 0.0, lambda w, m: (0.0, 0.0), decoder_rate=1.0, representation_rate=0.0, weight_decay=1.0, time=1.0
        ... )
        >>> round(float(w[-1]), 4)  # 2 / e
        0.7358
    """
    given = {"decoder_rate": decoder_rate, "representation_rate": representation_rate, "weight_decay": weight_decay}
    for name, value in {**given, "time": time}.items():
        _at_least(name, value, 0)
    _at_least("steps", steps, 1)

    def velocity(at: np.ndarray) -> np.ndarray:
        by_norm, by_messiness = slope(float(at[0]), float(at[1]))
        return np.array([-decoder_rate * (by_norm + weight_decay * at[0]), -representation_rate * by_messiness])

    step = time / steps
    path = [np.array([norm, messiness], float)]
    for _ in range(steps):
        middle = path[-1] + step / 2 * velocity(path[-1])
        path.append(path[-1] + step * velocity(middle))
    found = np.array(path)
    return np.linspace(0, time, steps + 1), found[:, 0], found[:, 1]


def _at_least(name: str, value: float, least: float) -> None:
    if not least <= value < math.inf:
        raise UsageError(f"{name} = {value:g} was given: it is finite, and {least:g} or more.")
