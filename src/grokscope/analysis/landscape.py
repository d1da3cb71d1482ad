"""The loss at fixed norms of the weights: where test loss is least, and how far train and test part beyond it.

The reduced loss of a norm w is that of the parameters which minimise the training loss among all of norm w (Liu et al.
2023). Between the norms given, logarithms of losses are linear in the logarithm of the norm.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from grokscope.errors import UsageError

Values = Sequence[float] | np.ndarray
FITTED = 0.01
"""Share of the training loss at the smallest norm below which a norm fits."""
WORSE = 2.0
"""How many times the least test loss is a bad one."""


@dataclass(frozen=True)
class Minimum:
    """Where a loss is least over norms; ``interior`` unless that is the smallest or the largest norm."""

    norm: float
    loss: float
    interior: bool


def least_loss(norms: Values, losses: Values) -> Minimum:
    """Return the minimum by the parabola of ln loss in ln norm through the least loss and its two neighbours.

    Args:
        norms: positive and rising.
        losses: positive, one a norm.

    Raises:
        UsageError: fewer than three norms, not rising, or values that are not positive and finite.

    Example:
        >>> found = least_loss([0.5, 1.0, 2.0], [4.0, 2.0, 4.0])
        >>> found.interior, found.norm, round(found.loss, 3)
        (True, 1.0, 2.0)
    """
    w, loss = _logarithms(norms, losses)
    at = int(np.argmin(loss))
    if at in (0, len(w) - 1):
        return Minimum(float(norms[at]), float(losses[at]), False)
    x, y = w[at - 1 : at + 2] - w[at], loss[at - 1 : at + 2] - loss[at]
    left, right = y[0] / x[0], y[2] / x[2]
    bend = (right - left) / (x[2] - x[0])
    if bend <= 0:  # three equal losses
        return Minimum(float(norms[at]), float(losses[at]), True)
    slope = left - bend * x[0]
    lowest = -slope / (2 * bend)
    return Minimum(float(np.exp(w[at] + lowest)), float(np.exp(loss[at] - slope**2 / (4 * bend))), True)


def largest_norm(norms: Values, values: Values, level: float) -> float:
    """Return the largest norm at which a quantity is at ``level`` or above, NaN where it never is.

    It is linear in ln w between the norms given.

    Args:
        norms: positive and rising.
        values: one a norm, an accuracy say.
        level: what it is to reach.

    Example:
        >>> round(largest_norm([1.0, 10.0, 100.0], [0.1, 0.9, 0.5], 0.7), 2)
        31.62
    """
    w, high = np.log(np.asarray(norms, float)), np.asarray(values, float)
    reaching = np.flatnonzero(high >= level)
    if not len(reaching):
        return float("nan")
    at = int(reaching[-1])
    if at == len(w) - 1:
        return float(norms[at])
    share = (high[at] - level) / (high[at] - high[at + 1])
    return float(np.exp(w[at] + share * (w[at + 1] - w[at])))


def grokking_window(
    norms: Values,
    train: Values,
    test: Values,
    *,
    fitted: float = FITTED,
    worse: float = WORSE,
) -> list[tuple[float, float]]:
    """Return the stretches of norms, above that of least test loss, that fit and test badly, each by its two ends.

    Args:
        norms: positive and rising.
        train: reduced training losses, positive.
        test: reduced test losses, positive.
        fitted: a training loss below this share of that at the smallest norm is fitted.
        worse: a test loss above so many times the least one given is bad.

    Raises:
        UsageError: as :func:`least_loss`.

    Example:
        >>> [(low, high)] = grokking_window([1, 10, 100], [1.0, 1e-4, 1e-4], [1.0, 0.1, 0.4])
        >>> round(low, 2), round(high, 2)
        (31.62, 100.0)
    """
    inside = [(low, high) for low, high, _ in _pieces(norms, train, test, fitted, worse)]
    joined: list[tuple[float, float]] = []
    for low, high in inside:
        if joined and joined[-1][1] == low:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return [(float(np.exp(low)), float(np.exp(high))) for low, high in joined]


def mismatch(
    norms: Values,
    train: Values,
    test: Values,
    *,
    fitted: float = FITTED,
    worse: float = WORSE,
) -> float:
    """Return ∫ ln(test / train) d ln w over the grokking window, 0 where there is none; arguments are the same.

    Example:
        >>> round(mismatch([1, 10, 100], [1.0, 1e-4, 1e-4], [1.0, 0.1, 0.4]), 2)  # ln(10) / 2 · (ln 2000 + ln 4000) / 2
        9.15
    """
    return sum(area for _, _, area in _pieces(norms, train, test, fitted, worse))


def _pieces(
    norms: Values, train: Values, test: Values, fitted: float, worse: float
) -> list[tuple[float, float, float]]:
    """Return (from, to, integral) of each stretch of the window in which both logarithms are linear, in ln w."""
    w, low = _logarithms(norms, train)
    high = _logarithms(norms, test)[1]
    fit, bad = low[0] + np.log(fitted), high.min() + np.log(worse)
    least = w[np.argmin(high)]
    ends = sorted(at for at in {*w.tolist(), *_crossings(w, low, fit), *_crossings(w, high, bad)} if at >= least)
    found = []
    for a, b in itertools.pairwise(ends):
        below, above = (np.interp([a, b], w, one) for one in (low, high))
        # linear in between, and its crossings are ends: the middle speaks for all
        if below.mean() <= fit and above.mean() >= bad and b > a:
            found.append((a, b, float((above - below).mean() * (b - a))))
    return found


def _crossings(x: np.ndarray, y: np.ndarray, level: float) -> list[float]:
    """Return where a broken line crosses a level between its points."""
    found = []
    for (a, b), (at, to) in zip(itertools.pairwise(x), itertools.pairwise(y - level), strict=True):
        if at * to < 0:
            found.append(float(a + (b - a) * at / (at - to)))
    return found


def _logarithms(norms: Values, losses: Values) -> tuple[np.ndarray, np.ndarray]:
    w, loss = np.asarray(norms, float), np.asarray(losses, float)
    if len(w) < 3 or w.shape != loss.shape or not (np.diff(w) > 0).all():
        raise UsageError(
            f"a landscape was given {len(w)} norms and {len(loss)} losses: give three norms or more, rising, and a "
            "loss for each."
        )
    bad = [float(value) for value in (*w, *loss) if not (np.isfinite(value) and value > 0)]
    if bad:
        raise UsageError(f"a landscape holds the value {bad[0]:g}: norms and losses must be positive and finite.")
    return np.log(w), np.log(loss)
