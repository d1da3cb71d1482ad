"""When a network leaves the kernel regime, foreseen from its start, its data and its weight decay (Lyu et al. 2024).

A network that is homogeneous of degree L in its parameters, with f(θ_0) = 0 and a small weight decay λ, is at first
θ(t) = e^{−λt} (θ_0 + δ) with f = e^{−Lλt} ⟨∇f(θ_0), δ⟩. To fit the data δ must be as long as e^{Lλt} ‖h‖, where h is
the least change that fits them at θ_0: the minimum-norm interpolation for values, log(1 / loss) / γ for classes with
the margin γ of the tangent features. The regime ends where δ is no longer small beside θ_0.

Times are those of the gradient flow: the sum of the learning rates, not a number of steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from grokscope.errors import UsageError
from grokscope.theory.arrays import real

EXCESS = 1.05
"""Norm over that of pure decay at which the kernel regime counts as left."""


@dataclass(frozen=True)
class Onset:
    """When the kernel regime ends.

    Attributes:
        time: t, in the units of the gradient flow; not positive where the network never is in that regime.
        scaled: λ t, without units.
    """

    time: float
    scaled: float

    def steps(self, learning_rate: float) -> float:
        """Return t in steps of a constant learning rate.

        Raises:
            UsageError: the rate is not positive.
        """
        _positive("learning_rate", learning_rate)
        return self.time / learning_rate


def onset(
    *, initial_norm: float, least_change: float, weight_decay: float, degree: float = 2.0, excess: float = EXCESS
) -> Onset:
    """Return when ‖θ(t)‖ is ``excess`` times ‖θ_0‖ e^{−λt}: t = (1/Lλ) log(√(excess² − 1) ‖θ_0‖ / ‖h‖).

    The displacement δ is orthogonal to θ_0 where f(θ_0) = 0 (Euler), so that the norm is √(1 + ‖δ‖²/‖θ_0‖²) times that
    of pure decay: 5 % more is a displacement of 0.32. Derived from Lyu et al. 2024, Sec. 3.

    Args:
        initial_norm: ‖θ_0‖.
        least_change: ‖h‖, the norm of the least change of θ_0 that fits the data to first order.
        weight_decay: λ, coupled. For AdamW's decoupled decay give (learning rate x weight decay) and read the time
            in steps.
        degree: L.
        excess: above 1.

    Raises:
        UsageError: a zero or negative norm or decay, a degree below 1, or an excess that is none.

    Example:
        >>> found = onset(initial_norm=128.0, least_change=0.1, weight_decay=1e-3)
        >>> round(found.scaled, 3), round(found.steps(0.01))
        (3.008, 300783)
    """
    _positive("initial_norm", initial_norm, "a start of 0 is a saddle, which no network leaves")
    _positive("least_change", least_change, "data that need no change are fitted at the start")
    _decay(weight_decay)
    _degree(degree)
    if not excess > 1 or not math.isfinite(excess):
        raise UsageError(f"excess = {excess:g} was given: the norm exceeds that of pure decay, so give more than 1.")
    scaled = math.log(math.sqrt(excess**2 - 1) * initial_norm / least_change) / degree
    return Onset(scaled / weight_decay, scaled)


def classification_change(loss: float, margin: float) -> float:
    """Return ‖h‖ = log(1/loss) / γ, the least change at which the features of margin γ reach a logistic loss.

    Args:
        loss: mean loss on the training data, below 1.
        margin: γ = min_i y_i ⟨g_i, h/‖h‖⟩ of the tangent features at θ_0.

    Raises:
        UsageError: the loss is not between 0 and 1, or the margin is not positive.

    Example:
        >>> round(classification_change(math.exp(-6), 3.0), 6)
        2.0
    """
    if not 0 < loss < 1:
        raise UsageError(
            f"loss = {loss:g} was given: the forecast needs a fitted network, with a loss between 0 and 1."
        )
    _positive("margin", margin, "no linear function of the tangent features separates the classes")
    return math.log(1 / loss) / margin


def kernel_regime_end(
    alpha: float,
    weight_decay: float,
    *,
    degree: float = 2.0,
    constant: float = 0.0,
    kind: Literal["classification", "regression"] = "classification",
) -> float:
    """Return T_max, up to which the kernel regime is proved to last: (1/λ) (log α − (1/L) log log A + ΔT).

    A = α^{2(L−1)} / λ; for regression the middle term is absent (Lyu et al. 2024, Thm. 3.4 and 3.9). ΔT is a constant
    the proof leaves open.

    Args:
        alpha: the scale of the start, θ_0 = α θ̄; above 1.
        weight_decay: λ.
        degree: L.
        constant: ΔT.
        kind: of the problem.

    Raises:
        UsageError: an alpha at which log α is not positive, a decay that is not, a degree below 1, or an A at which
            log log A is undefined.

    Example:
        >>> round(1e-3 * kernel_regime_end(100.0, 1e-3, kind="regression"), 6)
        4.60517
    """
    if not alpha > 1 or not math.isfinite(alpha):
        raise UsageError(f"alpha = {alpha:g} was given: the regime is one of large starts, so give more than 1.")
    _decay(weight_decay)
    _degree(degree)
    delay = 0.0
    if kind == "classification":
        logarithm = 2 * (degree - 1) * math.log(alpha) - math.log(weight_decay)
        if logarithm <= 1:
            raise UsageError(
                f"alpha = {alpha:g} and weight_decay = {weight_decay:g} give log A = {logarithm:.3g}: the bound is for "
                "a large α and a small λ, at which it is above 1."
            )
        delay = math.log(logarithm) / degree
    return (math.log(alpha) - delay + constant) / weight_decay


def label_noise_decay(learning_rate: float, noise: float, second_moments: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the weight decay that label noise is, to leading order: λ_j = 8 η σ² m_j, (d,).

    For a diagonal network and (f − y)² on single examples: noise adds (ησ²/2) tr H to the loss, and tr H is
    8 Σ_j m_j (u_j² + v_j²) (after Li et al. 2022).

    Args:
        learning_rate: η.
        noise: σ, the standard deviation of what is added to a label.
        second_moments: m_j = mean of x_j² over the examples, (d,).

    Raises:
        UsageError: a rate that is not positive, a negative noise, or moments that are not a vector of numbers.

    Example:
        >>> label_noise_decay(1e-3, 1.0, [1.0, 2.0]).tolist()
        [0.008, 0.016]
    """
    _positive("learning_rate", learning_rate)
    if noise < 0 or not math.isfinite(noise):
        raise UsageError(f"noise = {noise:g} was given: a standard deviation is not negative.")
    return 8 * learning_rate * noise**2 * real("second_moments", second_moments, axes=1)


def _positive(name: str, value: float, reason: str = "") -> None:
    if not value > 0 or not math.isfinite(value):
        raise UsageError(f"{name} = {value:g} was given: it must be positive{f' ({reason})' if reason else ''}.")


def _decay(weight_decay: float) -> None:
    if weight_decay < 0 or not math.isfinite(weight_decay):
        raise UsageError(f"weight_decay = {weight_decay:g} was given: it must be positive.")
    if weight_decay == 0:
        raise UsageError("weight_decay = 0 was given: without decay the network stays in the kernel regime or not for "
                         "other reasons than time; give a positive one.")  # fmt: skip


def _degree(degree: float) -> None:
    if not degree >= 1 or not math.isfinite(degree):
        raise UsageError(f"degree = {degree:g} was given: the outputs grow at least linearly, so give 1 or more.")
