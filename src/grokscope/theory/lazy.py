"""Training of a network's first-order model, exactly and without training: what a lazy run is at any step.

Linearised at its start, a network is f(x) = f_0(x) + J(x) (θ − θ_0). On the mean squared error its gradient descent
moves each eigenvector of the tangent kernel K_0 = J Jᵀ by itself, so that the state after any number of steps has a
closed form (Jacot et al. 2018; Lee et al. 2019). The run leaves it where the network learns features (Kumar et al.
2024).

The loss is the mean over examples and outputs of (f − y)². With c = 2/(number of examples · number of outputs) and a
coupled weight decay λ, θ − θ_0 = Jᵀa + bθ_0 follows a' = −c (r_0 + K_0 a + b Jθ_0) − λa and b' = −λ (1 + b).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from grokscope.errors import UsageError
from grokscope.theory.arrays import Array, kernel, real
from grokscope.theory.interpolation import ROUNDING, columns, difference, evaluated, kernel_interpolation

BREAK = 0.05
"""Relative difference from the lazy test loss at which a run counts as having left lazy training."""


@dataclass(frozen=True)
class Rule:
    """How the parameters are moved, at a constant rate and with the gradient of all examples.

    Attributes:
        learning_rate: η of a step; in a gradient flow the time of a step.
        weight_decay: λ, coupled: added to the gradient as λθ.
        momentum: m of heavy-ball momentum, v ← mv + g, θ ← θ − ηv.
        is_flow: gradient flow instead of steps.
        nesterov: momentum that looks ahead, θ ← θ − η (g + mv).

    Raises:
        UsageError: a rate that is not positive, a negative decay, a decay that takes all of the parameters in a step,
            or a momentum outside [0, 1) or in a flow.
    """

    learning_rate: float
    weight_decay: float = 0.0
    momentum: float = 0.0
    is_flow: bool = False
    nesterov: bool = False

    def __post_init__(self) -> None:
        if not self.learning_rate > 0 or not math.isfinite(self.learning_rate):
            raise UsageError(f"learning_rate = {self.learning_rate:g} was given: it must be positive.")
        if not self.weight_decay >= 0 or not math.isfinite(self.weight_decay):
            raise UsageError(f"weight_decay = {self.weight_decay:g} was given: it is 0 or more.")
        if not self.is_flow and self.learning_rate * self.weight_decay >= 1:
            raise UsageError(
                f"learning_rate · weight_decay = {self.learning_rate * self.weight_decay:g} was given: a step would "
                "take all of the parameters; give less than 1."
            )
        if not 0 <= self.momentum < 1:
            raise UsageError(f"momentum = {self.momentum:g} was given: it is 0 or more and less than 1.")
        if self.is_flow and self.momentum:
            raise UsageError(f"momentum = {self.momentum:g} was given for a gradient flow, which has none: give 0.")


@dataclass(frozen=True)
class LazyModel:
    """A first-order model on its training data, in the eigenvectors of K_0.

    Attributes:
        eigenvalues: μ of K_0, ascending, (modes,): n of a kernel that all outputs share, else n · outputs.
        vectors: the eigenvectors, (modes, modes).
        residual: r_0 = f_0 − y in them, (modes, columns): a column an output of a shared kernel, else one.
        tangent: J θ_0 in them, as ``residual``; 0 without.
        start: f_0 at the training points, (n, outputs).
        outputs: of an example.
    """

    eigenvalues: Array
    vectors: Array
    residual: Array
    tangent: Array
    start: Array
    outputs: int

    @property
    def curvature(self) -> Array:
        """The eigenvalues cμ of the loss's Hessian, (modes,): 2μ over examples times outputs."""
        return 2 / self.start.size * self.eigenvalues

    def largest_rate(self, *, weight_decay: float = 0.0, momentum: float = 0.0, nesterov: bool = False) -> float:
        """Return the learning rate above which it diverges: 2 (1 + m)/(cμ + λ), over 1 + 2m where it looks ahead."""
        sharpness = (float(self.curvature[-1]) + weight_decay) * (1 + 2 * momentum if nesterov else 1)
        return 2 * (1 + momentum) / sharpness if sharpness > 0 else math.inf

    def coefficients(self, steps: float, rule: Rule) -> Array:
        """Return a with θ − θ_0 = Jᵀa + bθ_0 after so many steps, (n, outputs) or (n · outputs, 1).

        Raises:
            UsageError: a negative number of steps, or a broken one that is not of a flow.
        """
        _steps(steps, rule)
        with np.errstate(over="ignore", invalid="ignore"):
            to_residual, to_tangent = self._responses(steps, rule)
            return self.vectors @ (to_residual[:, None] * self.residual + to_tangent[:, None] * self.tangent)

    def shrunk(self, steps: float, rule: Rule) -> float:
        """Return b, by which a weight decay moves the parameters along θ_0; 0 without."""
        return _shrunk(steps, rule)

    def predict(
        self, steps: float, rule: Rule, cross: Any = None, *, start_cross: Any = None, tangent_cross: Any = None
    ) -> Array:
        """Return f after so many steps, (m, outputs); infinite or NaN where training diverges.

        Args:
            steps: of gradient descent, or of time ``rule.learning_rate`` in a flow, where it may be broken.
            rule: how the parameters move.
            cross: K_0(x, X), (m, n), or (m · outputs, n · outputs) as the kernel; the training points if None.
            start_cross: f_0 at the m points, (m,) or (m, outputs); 0 if None.
            tangent_cross: J(x) θ_0, as ``start_cross``; needed with a weight decay.

        Raises:
            UsageError: the shapes do not belong together, or as :meth:`coefficients`.
        """
        shrunk = self.shrunk(steps, rule)
        if cross is None:
            _steps(steps, rule)
            with np.errstate(over="ignore", invalid="ignore"):
                to_residual, to_tangent = self._responses(steps, rule)
                moved = (1 + self.eigenvalues * to_residual)[:, None] * self.residual
                moved = moved + (self.eigenvalues * to_tangent + shrunk)[:, None] * self.tangent
                found = self.vectors @ (moved - self.residual)
            return self.start + found.reshape(self.start.shape)
        if rule.weight_decay and tangent_cross is None:
            raise UsageError("a weight decay shrinks θ_0 too: give tangent_cross, J(x) θ_0 at the new points.")
        found = evaluated(cross, self.coefficients(steps, rule)).reshape(-1, self.outputs)
        for name, values, factor in (("start_cross", start_cross, 1.0), ("tangent_cross", tangent_cross, shrunk)):
            if values is not None and factor:
                found = found + factor * _of_points(name, values, found)
        return found

    def displacement(self, steps: float, rule: Rule) -> float:
        """Return ‖Jᵀa‖ after so many steps: without weight decay this is ‖θ − θ_0‖."""
        shares = self.vectors.T @ self.coefficients(steps, rule)
        return float(np.sqrt(np.sum(self.eigenvalues[:, None] * np.square(shares))))

    def limit(self) -> Array:
        """Return a = −K_0⁺ r_0, to which training without weight decay comes: the kernel regression.

        Shaped as :meth:`coefficients`; eigenvalues below 1e-12 of the largest count as zero.
        """
        kept = self.eigenvalues > ROUNDING * self.eigenvalues[-1]
        return -self.vectors[:, kept] @ (self.residual[kept] / self.eigenvalues[kept, None])

    def _responses(self, steps: float, rule: Rule) -> tuple[Array, Array]:
        """Return what a is, in the eigenvectors, for r_0 = 1 and for Jθ_0 = 1, (modes,) each."""
        if rule.momentum:
            return _by_powers(self.eigenvalues, 2 / self.start.size, int(steps), rule)
        scale = 2 / self.start.size
        rate, decay = rule.learning_rate, rule.weight_decay
        pull, shrink = rate * scale * self.eigenvalues, rate * decay
        if rule.is_flow:
            decayed = -rate * scale * _flowed(pull + shrink, steps)
            return decayed, -decayed - rate * scale * math.exp(-shrink * steps) * _flowed(pull, steps)
        # Σ_j q^(k−1−j) and Σ_j q^(k−1−j) p^j with q = 1 − shrink − pull and p = 1 − shrink
        decayed = -rate * scale * geometric(pull + shrink, int(steps))
        kept = math.exp((steps - 1) * math.log1p(-shrink)) if steps else 0.0
        return decayed, -decayed - rate * scale * kept * geometric(pull / (1 - shrink), int(steps))


def lazy_model(gram: Any, targets: Any, *, start: Any = None, tangent: Any = None) -> LazyModel:
    """Return the first-order model of a network on its training data.

    Source: Lee et al. 2019, Eq. 10; Kumar et al. 2024.

    Args:
        gram: K_0 = J Jᵀ on the training points: (n, n) where all outputs have this kernel and none between them, else
            (n · outputs, n · outputs), the outputs of an example next to each other.
        targets: y, (n,) or (n, outputs), real; classes one-hot.
        start: f_0, as targets; 0 if None.
        tangent: J θ_0, as targets, which is L f_0 for a network homogeneous of degree L; only a weight decay asks for
            it; 0 if None.

    Raises:
        UsageError: the matrix is no kernel, the shapes do not belong together, or something is not finite.

    Example:
        >>> model = lazy_model([[1.0, 0.0], [0.0, 4.0]], [1.0, 1.0])
        >>> model.predict(2, Rule(learning_rate=0.1)).round(6).tolist()  # 1 − (1 − 0.1 μ)²
        [[0.19], [0.64]]
    """
    matrix = kernel("gram", gram)
    count = len(real("targets", targets, axes=2 if np.ndim(targets) > 1 else 1))
    left = difference(targets, start, count=count)
    outputs = left.shape[1]
    if len(matrix) not in (count, count * outputs):
        raise UsageError(
            f"a kernel of {len(matrix)} rows was given for {count} examples of {outputs} outputs: give ({count}, "
            f"{count}), or ({count * outputs}, {count * outputs}) where outputs have kernels of their own."
        )
    first = np.zeros_like(left) if start is None else columns("start", start, count=count)
    along = np.zeros_like(left) if tangent is None else columns("tangent", tangent, count=count)
    if along.shape != left.shape:
        raise UsageError(f"tangent has {along.shape[1]} outputs an example and targets {outputs}: give as many.")
    values, vectors = np.linalg.eigh(matrix)
    residual, along = (vectors.T @ part.reshape(len(matrix), -1) for part in (-left, along))
    return LazyModel(np.maximum(values, 0), vectors, residual, along, first, outputs)


def laziness(gram: Any, targets: Any, initial_norm: float, *, start: Any = None) -> float:
    """Return √((y − f_0)ᵀ K_0⁺ (y − f_0)) / ‖θ_0‖: how far the lazy fit moves the parameters, over their size.

    Far below 1 the lazy fit is consistent; far above 1 the linearisation must break before the data are fitted. Of a
    function that is scaled by α and centred it goes as 1/α. Source: Kumar et al. 2024 (its numerator).

    Raises:
        UsageError: ``initial_norm`` is not positive, or as :func:`lazy_model`, for a kernel that outputs share.

    Example:
        >>> laziness([[1.0, 0.0], [0.0, 4.0]], [1.0, 2.0], 2.0) ** 2
        0.5000000000000001
    """
    if not initial_norm > 0 or not math.isfinite(initial_norm):
        raise UsageError(
            f"initial_norm = {initial_norm:g} was given: displacement is compared with it, so give more than 0."
        )
    return kernel_interpolation(gram, targets, start=start, singular="pseudo-inverse").norm / initial_norm


def break_time(
    times: Sequence[float], measured: Sequence[float], lazy: Sequence[float], *, tolerance: float = BREAK
) -> float | None:
    """Return the first time at which the measured loss is off the lazy one by ``tolerance`` of it; None if never.

    A run that never does is censored: None is no time. Source: Kumar et al. 2024.

    Args:
        times: ascending.
        measured: of the network, one for each time.
        lazy: of its first-order model.
        tolerance: relative.

    Raises:
        UsageError: the lengths differ, times do not ascend, or the tolerance is not positive.

    Example:
        >>> break_time([0, 10, 20], [1.0, 0.9, 0.4], [1.0, 0.91, 0.8])
        20.0
    """
    when = real("times", times, axes=1)
    found, expected = (np.asarray(values, dtype=np.float64) for values in (measured, lazy))
    if found.shape != when.shape or expected.shape != when.shape:
        raise UsageError(
            f"{len(when)} times, {found.size} measured and {expected.size} lazy losses were given: give as many."
        )
    if (np.diff(when) <= 0).any():
        raise UsageError("times do not ascend: give each once, in order.")
    if not tolerance > 0:
        raise UsageError(f"tolerance = {tolerance:g} was given: it must be positive.")
    with np.errstate(invalid="ignore"):  # both may have diverged
        off = ~(np.abs(found - expected) < tolerance * np.abs(expected)) & (found != expected)
    return float(when[off][0]) if off.any() else None


def geometric(x: Array, count: int) -> Array:
    """Return Σ_{j<count} (1 − x)^j = (1 − (1 − x)^count)/x, which is ``count`` at x = 0, without loss of digits.

    Example:
        >>> geometric(np.array([0.0, 0.5, 2.0]), 3).tolist()
        [3.0, 1.75, 1.0]
    """
    small = x < 0.5
    safe = np.where(small, x, 0.25)
    gentle = -np.expm1(count * np.log1p(-safe))
    steep = 1 - np.where(small, 0.5, 1 - x) ** count
    sums = np.where(small, gentle, steep)
    return np.where(x > 0, sums / np.where(x > 0, x, 1.0), float(count))


def _flowed(x: Array, time: float) -> Array:
    """Return ∫_0^time e^{−xs} ds."""
    return np.where(x > 0, -np.expm1(-time * x) / np.where(x > 0, x, 1.0), float(time))


def _by_powers(eigenvalues: Array, scale: float, steps: int, rule: Rule) -> tuple[Array, Array]:
    """Return the responses of momentum, by repeated squaring of the map of one step.

    A mode's state is (a, its velocity, b, its velocity, 1); a is forced by 1 or by b.
    """
    found: list[Array] = []
    for forcing in (4, 2):
        gradient = np.zeros((len(eigenvalues), 2, 5))
        gradient[:, 0, 0] = scale * eigenvalues + rule.weight_decay
        gradient[:, 0, forcing] = scale
        gradient[:, 1, 2] = gradient[:, 1, 4] = rule.weight_decay
        found.append(np.linalg.matrix_power(_momentum(gradient, rule), steps)[:, 0, 4])
    return found[0], found[1]


def _momentum(gradient: Array, rule: Rule) -> Array:
    """Return the map of one step of states (a, velocity, b, velocity, 1), from the gradients along a and b."""
    step = np.zeros((len(gradient), 5, 5))
    step[:, range(5), range(5)] = 1
    for row, velocity in enumerate((1, 3)):
        step[:, velocity] = gradient[:, row]
        step[:, velocity, velocity] += rule.momentum
        direction = gradient[:, row] + rule.momentum * step[:, velocity] if rule.nesterov else step[:, velocity]
        step[:, velocity - 1] -= rule.learning_rate * direction
    return step


def _shrunk(steps: float, rule: Rule) -> float:
    """Return b: θ_0 itself has become (1 + b) θ_0."""
    if not rule.weight_decay:
        return 0.0
    if rule.is_flow:
        return math.expm1(-rule.learning_rate * rule.weight_decay * steps)
    if not rule.momentum:
        return math.expm1(steps * math.log1p(-rule.learning_rate * rule.weight_decay))
    gradient = np.zeros((1, 2, 5))
    gradient[:, 1, 2] = gradient[:, 1, 4] = rule.weight_decay
    return float(np.linalg.matrix_power(_momentum(gradient, rule), int(steps))[0, 2, 4])


def _of_points(name: str, values: Any, predictions: Array) -> Array:
    found = columns(name, values, count=len(predictions))
    if found.shape != predictions.shape:
        raise UsageError(
            f"{name} has {found.shape[1]} outputs a point, the model {predictions.shape[1]}: give as many."
        )
    return found


def _steps(steps: float, rule: Rule) -> None:
    if not steps >= 0 or not math.isfinite(steps):
        raise UsageError(f"steps = {steps:g} was given: it is 0 or more.")
    if not rule.is_flow and steps != int(steps):
        raise UsageError(f"steps = {steps:g} was given: gradient descent makes whole ones; take a flow for others.")
