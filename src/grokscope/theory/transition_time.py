"""When a network leaves the kernel regime, foreseen from its start, its data and its weight decay (Lyu et al. 2024).

A network that is homogeneous of degree L in its parameters, with f(θ_0) = 0 and a small weight decay λ, is at first
θ(t) = e^{−λt} (θ_0 + δ) with f = e^{−Lλt} ⟨∇f(θ_0), δ⟩. To fit values δ must be as long as e^{Lλt} ‖h‖, where h is
the least change that fits them at θ_0. Classes are never fitted for good: their margin is where the pull of the
loss and decay balance. The regime ends where δ is no longer small beside θ_0.

Times are those of the gradient flow: the sum of the learning rates, not a number of steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scipy.optimize import brentq

from grokscope.errors import UsageError

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
    """Return when ‖θ(t)‖ is ``excess`` times ‖θ_0‖ e^{−λt}, for values that are fitted.

    t = (1/Lλ) log(√((excess² − 1)/L) ‖θ_0‖ / ‖h‖): of a displacement δ the squared norm grows by L ‖δ‖², as δ to
    second order points along θ_0 too (e^{2λt}‖θ‖² grows at the rate 2L e^{2λt} Σ r_i f_i). Derived from Lyu et al.
    2024, Sec. 3.

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
        (2.835, 283455)
    """
    _positive("initial_norm", initial_norm, "a start of 0 is a saddle, which no network leaves")
    _positive("least_change", least_change, "data that need no change are fitted at the start")
    _decay(weight_decay)
    _degree(degree)
    _excess(excess)
    scaled = math.log(_displacement(excess, degree) * initial_norm / least_change) / degree
    return Onset(scaled / weight_decay, scaled)


def classification_onset(
    *, initial_norm: float, margin: float, weight_decay: float, degree: float = 2.0, excess: float = EXCESS
) -> Onset:
    """Return the same for classes, from the margin γ of the tangent features at θ_0 and before any training.

    In the kernel regime the least score q = e^{−Lλt} γ ‖δ‖ follows dq/dt = −Lλq + γ² e^{−2(L−1)λt} e^{−q}, so that it
    stays where both terms nearly cancel: γ² e^{−2(L−1)λt} e^{−q} = λ (Lq − 2(L−1) q/(1 + q)). The onset is where the
    δ that this q needs has the length at which the norm exceeds pure decay. Derived from Lyu et al. 2024, Thm. 3.4,
    whose log log A is q to leading order.

    Args:
        initial_norm: ‖θ_0‖.
        margin: γ = min_i y_i ⟨g_i, h/‖h‖⟩ of the tangent features g_i at θ_0.
        weight_decay: λ, coupled.
        degree: L.
        excess: above 1.

    Raises:
        UsageError: a zero or negative norm, margin or decay, a degree below 1, or an excess that is none.

    Example:
        >>> slow = classification_onset(initial_norm=128.0, margin=31.7, weight_decay=1e-3)
        >>> fast = classification_onset(initial_norm=128.0, margin=31.7, weight_decay=1e-2)
        >>> round(slow.scaled, 2), round(fast.scaled, 2)
        (2.48, 2.69)
    """
    _positive("initial_norm", initial_norm, "a start of 0 is a saddle, which no network leaves")
    _positive("margin", margin, "no linear function of the tangent features separates the classes")
    _decay(weight_decay)
    _degree(degree)
    _excess(excess)
    reach = margin * _displacement(excess, degree) * initial_norm

    def excess_pull(score: float) -> float:
        scaled = math.log(reach / score) / degree
        balance = weight_decay * score * (degree - 2 * (degree - 1) / (1 + score))
        # for small scores of a high degree decay is overtaken: the network is not yet in the regime
        if balance <= 0:
            return math.inf
        return 2 * math.log(margin) - 2 * (degree - 1) * scaled - score - math.log(balance)

    low = max(0.0, (degree - 2) / degree) + 1e-12
    score: float = brentq(lambda q: min(excess_pull(q), 1e6), low, 1e4)  # type: ignore[assignment]
    scaled = math.log(reach / score) / degree
    return Onset(scaled / weight_decay, scaled)


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
    if kind not in ("classification", "regression"):
        raise UsageError(f"kind = {kind!r} was given: it is 'classification' or 'regression'.")
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


def _displacement(excess: float, degree: float) -> float:
    """Return ‖δ‖/‖θ_0‖ at which the norm is ``excess`` times that of pure decay."""
    return math.sqrt((excess**2 - 1) / degree)


def _excess(excess: float) -> None:
    if not excess > 1 or not math.isfinite(excess):
        raise UsageError(f"excess = {excess:g} was given: the norm exceeds that of pure decay, so give more than 1.")


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
