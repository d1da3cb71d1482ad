"""How long weight decay takes to shrink the weights, where the gradient has nothing to say against it.

After the fit the gradient is small, and decoupled weight decay multiplies every parameter by 1 − ηγ an update: the norm
falls from that of the fit, w, to that of the networks that generalise, w_c, in about ln(w / w_c) / (ηγ) updates
(Liu et al. 2023, Sec. 2).
"""

from __future__ import annotations

import math

from grokscope.errors import UsageError


def decayed_norm(norm: float, learning_rate: float, weight_decay: float, steps: float) -> float:
    """Return w (1 − ηγ)^t, the norm after so many updates of decoupled weight decay alone.

    Args:
        norm: w at the start, above 0.
        learning_rate: η, above 0.
        weight_decay: γ, 0 or more, with ηγ below 1.
        steps: t, 0 or more.

    Raises:
        UsageError: a number is out of its range.

    Example:
        >>> round(decayed_norm(1.0, 1e-3, 0.1, 1000), 6)
        0.904833
    """
    _positive("norm", norm)
    if not steps >= 0:
        raise UsageError(f"steps = {steps:g} was given: it is 0 or more.")
    return norm * math.exp(steps * math.log1p(-_shrinking(learning_rate, weight_decay)))


def decay_steps(norm: float, goal: float, learning_rate: float, weight_decay: float) -> float:
    """Return the updates of decoupled weight decay alone that take a norm to a goal, ln(w / w_c) / −ln(1 − ηγ).

    0 where the norm is at the goal or below, infinity without decay.

    Args:
        norm: w, above 0.
        goal: w_c, above 0.
        learning_rate: η, above 0.
        weight_decay: γ, 0 or more, with ηγ below 1.

    Raises:
        UsageError: a number is out of its range.

    Example:
        >>> round(decay_steps(1.0, 0.904833, 1e-3, 0.1))
        1000
    """
    _positive("norm", norm)
    _positive("goal", goal)
    shrinking = _shrinking(learning_rate, weight_decay)
    if norm <= goal:
        return 0.0
    return math.log(norm / goal) / -math.log1p(-shrinking) if shrinking else math.inf


def _shrinking(learning_rate: float, weight_decay: float) -> float:
    _positive("learning_rate", learning_rate)
    if not 0 <= weight_decay < math.inf:
        raise UsageError(f"weight_decay = {weight_decay:g} was given: it is finite, and 0 or more.")
    if learning_rate * weight_decay >= 1:
        raise UsageError(
            f"learning_rate · weight_decay = {learning_rate * weight_decay:g} was given: an update would take all of "
            "the weights; give less than 1."
        )
    return learning_rate * weight_decay


def _positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise UsageError(f"{name} = {value:g} was given: it is finite and above 0.")
