"""How sharply a run generalised: the width, in decades of the step, of a sigmoid fitted to its test scalar."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from grokscope.analysis.decline import decline
from grokscope.analysis.definitions import DEFINITIONS, Definitions
from grokscope.analysis.series import Series, finite
from grokscope.analysis.slingshots import slingshots, until, without
from grokscope.analysis.transitions import TransitionRule, transition

LEAST_OBSERVATIONS = 5
SigmoidFit = Callable[[np.ndarray, np.ndarray], "Sigmoid | None"]

CENTRES, JUMPS, WIDTHS = 64, 8, 24
"""Points of the grid from which the fit starts: the squared error has many local minima."""


@dataclass(frozen=True)
class Sigmoid:
    """v(s) = low + (high - low) / (1 + exp(-(log₁₀ s - log₁₀ centre) / scale)), fitted to observations.

    ``scale`` and ``interval`` are in decades; ``interval`` is the distance of the two observations around
    ``centre``. ``residual`` is the root mean square over (high - low), each observation weighing as many
    decades as it stands for.
    """

    centre: float
    scale: float
    low: float
    high: float
    residual: float
    interval: float

    def width(self, tail: float = 0.1) -> float:
        """Return the decades from ``tail`` to 1 - ``tail`` of the way: 2 ln((1 - tail) / tail) · scale."""
        return 2 * math.log((1 - tail) / tail) * self.scale


@dataclass(frozen=True)
class Sharpness:
    """The width of a transition, in decades, between the two steps at 10 % and at 90 % of the way.

    ``resolved`` is False where no observation lies between the two: the width is then the interval of
    observation, and the true one is at most that.
    """

    width: float
    centre: float
    start: float
    end: float
    low: float
    high: float
    residual: float
    resolved: bool

    def as_dict(self) -> dict[str, float | bool]:
        """Return the fields by name."""
        return asdict(self)


def sharpness(
    series: Series,
    rule: TransitionRule | None,
    definitions: Definitions = DEFINITIONS,
    *,
    fit: SigmoidFit | None = None,
) -> Sharpness | None:
    """Return the sharpness of the scalar by which ``rule`` judges generalisation, or None.

    The sigmoid of :class:`Sigmoid` is fitted from the first positive step to the decline of the scalar, if it
    declines, without slingshots; both levels are fitted, so a plateau above chance is one. Width = 2 ln 9 ·
    scale = 4.394 · scale. None for a run that never generalised by ``rule``, without a rule, with fewer than
    5 observations, or for a scalar that does not move after step 0. ``fit`` stands in for :func:`fit_sigmoid`
    where fits are remembered.

    Example:
        >>> steps, rule = 10 ** np.linspace(0, 5, 101), TransitionRule(fit=("a", 0.9), generalise=("a", 0.9))
        >>> found = sharpness(lambda key: (steps, 1 / (1 + (1000 / steps) ** 4)), rule)
        >>> round(found.width, 3), round(found.centre)
        (0.477, 1000)
    """
    if rule is None:
        return None
    found = transition(series, rule.model_copy(update={"axis": "step"}))
    if found.generalise_step is None:
        return None
    declined = decline(series, rule, definitions)
    steady = without(series, slingshots(series, found.fit_step, definitions))
    read = finite(until(steady, None if declined is None else declined.step), rule.generalise.key)
    fitted = None if read is None else (fit or fit_sigmoid)(*read)
    if fitted is None:
        return None
    return measured(fitted, definitions.sigmoid_tail)


def measured(sigmoid: Sigmoid, tail: float) -> Sharpness:
    """Return the sharpness of a fitted sigmoid between ``tail`` and 1 - ``tail`` of its way."""
    resolved = sigmoid.width(tail) >= sigmoid.interval
    width = max(sigmoid.width(tail), sigmoid.interval)
    half = 10 ** (width / 2)
    return Sharpness(
        width=width,
        centre=sigmoid.centre,
        start=sigmoid.centre / half,
        end=sigmoid.centre * half,
        low=sigmoid.low,
        high=sigmoid.high,
        residual=sigmoid.residual,
        resolved=resolved,
    )


def fit_sigmoid(steps: np.ndarray, values: np.ndarray) -> Sigmoid | None:
    """Return the sigmoid of least squares in log-step, or None where there is none to fit.

    Each observation weighs the decades it stands for, so that a linear and a logarithmic cadence give the
    same fit. Levels are kept within the observed values: a rise that was not seen to its end is not
    extrapolated. The best point of a grid of centres and scales is refined by a trust region (SciPy).

    Args:
        steps: shape (points,), increasing; the step 0 has no logarithm and is left out.
        values: shape (points,), finite.
    """
    from scipy.optimize import least_squares

    positions, observed = np.log10(steps[steps > 0]), values[steps > 0]
    lowest, highest = (float(observed.min()), float(observed.max())) if len(observed) else (0.0, 0.0)
    if len(observed) < LEAST_OBSERVATIONS or not highest > lowest:
        return None
    way, extent = highest - lowest, float(positions[-1] - positions[0])
    weights = np.sqrt(np.gradient(positions) / extent)
    scaled = (observed - lowest) / way
    smallest = float(np.diff(positions).min()) / 20

    def unit(centre: float | np.ndarray, scale: float | np.ndarray) -> np.ndarray:
        return 0.5 + 0.5 * np.tanh((positions - centre) / (2 * scale))

    def residuals(at: np.ndarray) -> np.ndarray:
        return weights * (at[0] + (at[1] - at[0]) * unit(at[2], math.exp(at[3])) - scaled)

    # a step can lie between two observations that are much closer than the points of the grid
    jumps = np.argsort(-np.abs(np.diff(scaled)), kind="stable")[:JUMPS]
    centres = np.concatenate(
        [np.linspace(positions[0], positions[-1], CENTRES), (positions[:-1] + positions[1:])[jumps] / 2]
    )
    scales = np.geomspace(smallest, extent, WIDTHS)
    start = _best_of_grid(unit(centres[:, None, None], scales[None, :, None]), scaled, weights)
    bounds = (
        [-1e-9, -1e-9, positions[0], math.log(smallest)],
        [1 + 1e-9, 1 + 1e-9, positions[-1], math.log(2 * extent)],
    )
    centre, scale, low, high = start[0], start[1], start[2], start[3]
    found = least_squares(
        residuals,
        np.clip([low, high, centres[int(centre)], math.log(scales[int(scale)])], *bounds),
        bounds=bounds,
        x_scale=[1, 1, extent / CENTRES, 1],
    ).x
    low, high, middle, scale = float(found[0]), float(found[1]), float(found[2]), math.exp(found[3])
    if abs(high - low) < 1e-6:
        return None
    after = int(np.clip(np.searchsorted(positions, middle), 1, len(positions) - 1))
    return Sigmoid(
        centre=10**middle,
        scale=scale,
        low=lowest + way * low,
        high=lowest + way * high,
        residual=float(np.sqrt(np.sum(residuals(found) ** 2)) / abs(high - low)),
        interval=float(positions[after] - positions[after - 1]),
    )


def _best_of_grid(units: np.ndarray, observed: np.ndarray, weights: np.ndarray) -> tuple[int, int, float, float]:
    """Return indices of the best (centre, scale) and its levels of weighted least squares."""
    share = weights**2 / np.sum(weights**2)
    mean, height = units @ share, observed @ share
    around = units - mean[..., None]
    spread, together = (around**2) @ share, around @ (share * (observed - height))
    slope = together / np.maximum(spread, 1e-12)
    low = np.clip(height - slope * mean, 0, 1)
    high = np.clip(height + slope * (1 - mean), 0, 1)
    errors = (low[..., None] + (high - low)[..., None] * units - observed) ** 2 @ share
    centre, scale = np.unravel_index(int(np.argmin(errors)), errors.shape)
    return int(centre), int(scale), float(low[centre, scale]), float(high[centre, scale])
