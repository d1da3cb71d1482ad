"""Lazy training in closed form against training the linearised model step by step, and limits known by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from grokscope.errors import UsageError
from grokscope.theory.interpolation import kernel_interpolation
from grokscope.theory.lazy import LazyModel, Rule, break_time, geometric, laziness, lazy_model


class Linear:
    """f = f_0 + J (θ − θ_0) on training and other points, n examples of C outputs and P parameters."""

    def __init__(self, seed: int, *, outputs: int = 1, count: int = 6, parameters: int = 15) -> None:
        draw = np.random.default_rng(seed).standard_normal
        self.jacobian, self.other = draw((count * outputs, parameters)), draw((4 * outputs, parameters))
        self.start, self.other_start = draw((count, outputs)), draw((4, outputs))
        self.initial, self.targets = draw(parameters), draw((count, outputs))

    @property
    def gram(self) -> np.ndarray:
        return self.jacobian @ self.jacobian.T

    @property
    def cross(self) -> np.ndarray:
        return self.other @ self.jacobian.T

    @property
    def model(self) -> LazyModel:
        tangent = (self.jacobian @ self.initial).reshape(self.targets.shape)
        return lazy_model(self.gram, self.targets, start=self.start, tangent=tangent)

    def gradient(self, theta: np.ndarray, decay: float) -> np.ndarray:
        left = self.start.ravel() + self.jacobian @ (theta - self.initial) - self.targets.ravel()
        return 2 / left.size * self.jacobian.T @ left + decay * theta

    def trained(self, steps: int, rule: Rule) -> np.ndarray:
        theta, velocity = self.initial.copy(), np.zeros_like(self.initial)
        for _ in range(steps):
            gradient = self.gradient(theta, rule.weight_decay)
            velocity = rule.momentum * velocity + gradient
            ahead = gradient + rule.momentum * velocity if rule.nesterov else velocity
            theta = theta - rule.learning_rate * ahead
        return theta

    def predict(self, theta: np.ndarray) -> np.ndarray:
        return self.other_start + (self.other @ (theta - self.initial)).reshape(self.other_start.shape)

    def lazily(self, steps: float, rule: Rule) -> np.ndarray:
        tangent = (self.other @ self.initial).reshape(self.other_start.shape)
        return self.model.predict(steps, rule, self.cross, start_cross=self.other_start, tangent_cross=tangent)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 10**6),
    st.sampled_from([1, 3]),
    st.sampled_from([0, 1, 2, 7, 150]),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([0.0, 0.9]),
    st.floats(0.01, 0.95),
    st.booleans(),
)
def test_equal_to_training_step_by_step(
    seed: int, outputs: int, steps: int, decay: float, momentum: float, share: float, nesterov: bool
) -> None:
    """To 1e-10, up to rates at which the largest mode changes its sign at every step."""
    linear = Linear(seed, outputs=outputs)
    rate = share * linear.model.largest_rate(weight_decay=decay, momentum=momentum, nesterov=nesterov)
    rule = Rule(min(rate, 0.9 / decay if decay else rate), decay, momentum, nesterov=nesterov)
    theta = linear.trained(steps, rule)
    at_home = linear.start + (linear.jacobian @ (theta - linear.initial)).reshape(linear.start.shape)
    assert linear.model.predict(steps, rule) == pytest.approx(at_home, rel=1e-10, abs=1e-10)
    assert linear.lazily(steps, rule) == pytest.approx(linear.predict(theta), rel=1e-10, abs=1e-10)
    if not decay:
        displaced = np.linalg.norm(theta - linear.initial)
        assert linear.model.displacement(steps, rule) == pytest.approx(displaced, rel=1e-8, abs=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.2])
def test_flow_against_an_integrator(decay: float) -> None:
    linear, rule = Linear(1, outputs=2), Rule(0.5, decay, is_flow=True)
    solved = solve_ivp(
        lambda t, theta: -linear.gradient(theta, decay),
        (0, 3.5),
        linear.initial,
        method="DOP853",
        rtol=1e-11,
        atol=1e-12,
    )
    # a step is half a unit of time, and may be broken
    assert linear.lazily(7, rule) == pytest.approx(linear.predict(solved.y[:, -1]), abs=1e-8)
    finer = Rule(0.25, decay, is_flow=True)
    assert linear.lazily(3.5, rule) == pytest.approx(linear.lazily(7, finer), rel=1e-12)


def test_small_steps_are_the_flow() -> None:
    linear = Linear(2)
    flow = linear.lazily(1, Rule(2.0, 0.1, is_flow=True))
    errors = [np.abs(linear.lazily(steps, Rule(2.0 / steps, 0.1)) - flow).max() for steps in (1000, 10000)]
    assert errors[0] / errors[1] == pytest.approx(10, rel=0.05)


def test_more_examples_than_parameters() -> None:
    """The kernel has zero eigenvalues; what they hold of the labels is never fitted, and nothing blows up."""
    linear = Linear(3, count=30, parameters=5)
    rule = Rule(0.5 * linear.model.largest_rate())
    theta = linear.trained(3000, rule)
    assert linear.lazily(3000, rule) == pytest.approx(linear.predict(theta), abs=1e-10)
    many = linear.lazily(10**6, rule)
    regressed = kernel_interpolation(
        linear.gram, linear.targets, linear.cross, start=linear.start, start_cross=linear.other_start,
        singular="pseudo-inverse",
    )  # fmt: skip
    assert many == pytest.approx(regressed.predictions, abs=1e-8)


def test_long_training_is_kernel_regression() -> None:
    linear = Linear(4, outputs=2)
    rule = Rule(linear.model.largest_rate() / 2)
    limit = linear.other_start + (linear.cross @ linear.model.limit()).reshape(4, 2)
    assert linear.lazily(10**7, rule) == pytest.approx(limit, rel=1e-8)
    assert linear.model.predict(10**7, rule) == pytest.approx(linear.targets, abs=1e-8)


def test_long_training_with_decay_is_ridge_regression() -> None:
    """δ of least c/2 ‖r‖² + λ/2 ‖θ_0 + δ‖²: solved as it stands."""
    linear, decay = Linear(5), 0.3
    count = linear.targets.size
    hessian = 2 / count * linear.jacobian.T @ linear.jacobian + decay * np.eye(len(linear.initial))
    theta = linear.initial - np.linalg.solve(hessian, linear.gradient(linear.initial, decay))
    rule = Rule(linear.model.largest_rate(weight_decay=decay) / 2, decay)
    assert linear.lazily(10**5, rule) == pytest.approx(linear.predict(theta), rel=1e-10)
    flow = Rule(1.0, decay, is_flow=True)
    assert linear.lazily(10**5, flow) == pytest.approx(linear.predict(theta), rel=1e-10)


def test_shared_kernel_is_the_full_one_in_blocks() -> None:
    draw = np.random.default_rng(6).standard_normal
    features, targets = draw((5, 9)), draw((5, 3))
    gram, rule = features @ features.T, Rule(0.01, momentum=0.5)
    shared = lazy_model(gram, targets)
    full = lazy_model(np.kron(gram, np.eye(3)), targets)
    cross = draw((2, 9)) @ features.T
    assert shared.predict(9, rule) == pytest.approx(full.predict(9, rule), rel=1e-12)
    everywhere = full.predict(9, rule, np.kron(cross, np.eye(3)))
    assert shared.predict(9, rule, cross) == pytest.approx(everywhere, rel=1e-12)
    assert shared.displacement(9, rule) == pytest.approx(full.displacement(9, rule), rel=1e-12)


def test_scale_of_a_centred_function_does_not_matter() -> None:
    """α (f − f_0) at the rate η/α² moves alike for every α, and its laziness number goes as 1/α."""
    linear = Linear(7)
    one = lazy_model(linear.gram, linear.targets).predict(40, Rule(0.02))
    scaled = lazy_model(100 * linear.gram, linear.targets).predict(40, Rule(0.02 / 100))
    assert scaled == pytest.approx(one, rel=1e-12)
    norm = float(np.linalg.norm(linear.initial))
    numbers = [laziness(scale * linear.gram, linear.targets, norm) for scale in (1, 100)]
    assert numbers[0] / numbers[1] == pytest.approx(10, rel=1e-10)


def test_the_edge_of_stability() -> None:
    linear = Linear(8)
    largest = linear.model.largest_rate()
    assert np.abs(linear.lazily(10**5, Rule(0.999 * largest))).max() < 100
    assert np.abs(linear.lazily(10**4, Rule(1.01 * largest))).max() > 1e6
    for nesterov in (False, True):
        heavy = linear.model.largest_rate(momentum=0.9, nesterov=nesterov)
        assert np.abs(linear.lazily(10**4, Rule(0.999 * heavy, momentum=0.9, nesterov=nesterov))).max() < 1000
        assert np.abs(linear.lazily(1000, Rule(1.02 * heavy, momentum=0.9, nesterov=nesterov))).max() > 1e6
    assert not np.isfinite(linear.lazily(10**7, Rule(2 * largest))).all()
    assert lazy_model(np.zeros((2, 2)), [1.0, 1.0]).largest_rate() == math.inf


def test_homogeneous_start_needs_no_derivative() -> None:
    """f = uv at u = v = 1: J θ_0 = 2 f_0."""
    model = lazy_model([[2.0]], [0.0], start=[1.0], tangent=[2.0])
    rule = Rule(0.1, 0.05)
    u = v = 1.0
    for _ in range(5):
        f = 1 + (u - 1) + (v - 1)
        u, v = u - 0.1 * (2 * f + 0.05 * u), v - 0.1 * (2 * f + 0.05 * v)
    assert model.predict(5, rule)[0, 0] == pytest.approx(u + v - 1, rel=1e-13)


def test_sums_without_loss_of_digits() -> None:
    assert geometric(np.array([1e-20]), 10**6) == pytest.approx(1e6, rel=1e-12)
    assert geometric(np.array([0.0, 1.0, 2.0]), 0).tolist() == [0, 0, 0]
    x = np.array([1e-9, 0.3, 0.7, 1.9])
    assert geometric(x, 11) == pytest.approx(sum((1 - x) ** j for j in range(11)), rel=1e-14)


def test_when_a_run_leaves_lazy_training() -> None:
    assert break_time([1, 2, 3], [1.0, 0.96, 0.9], [1.0, 1.0, 1.0]) == 3
    assert break_time([1, 2, 3], [1.0, 0.96, 0.9], [1.0, 1.0, 1.0], tolerance=0.01) == 2
    assert break_time([1, 2], [1.0, 0.0], [1.0, 0.0]) is None
    assert break_time([1, 2], [1.0, math.nan], [1.0, 1.0]) == 2
    assert break_time([1, 2], [math.inf, 1.0], [math.inf, math.inf]) == 2


def test_laziness_by_hand() -> None:
    assert laziness(np.diag([1.0, 4.0]), [1.0, 2.0], 1.0) == pytest.approx(math.sqrt(2))
    assert laziness(np.diag([1.0, 4.0]), [1.0, 2.0], 1.0, start=[1.0, 0.0]) == pytest.approx(1)


MODEL = lazy_model(np.eye(2), [1.0, 2.0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Rule(0.0), "learning_rate = 0 was given: it must be positive"),
        (lambda: Rule(0.1, -1.0), "weight_decay = -1 was given: it is 0 or more"),
        (lambda: Rule(1.0, 1.0), "a step would take all of the parameters"),
        (lambda: Rule(0.1, momentum=1.0), "momentum = 1 was given: it is 0 or more and less than 1"),
        (lambda: Rule(0.1, momentum=0.5, is_flow=True), "momentum = 0.5 was given for a gradient flow"),
        (lambda: MODEL.predict(-1, Rule(0.1)), "steps = -1 was given: it is 0 or more"),
        (lambda: MODEL.predict(0.5, Rule(0.1)), "gradient descent makes whole ones"),
        (lambda: MODEL.predict(1, Rule(0.1, 0.1), np.eye(2)), "give tangent_cross"),
        (lambda: MODEL.predict(1, Rule(0.1), np.eye(3)), "cross has the shape .3, 3. for 2 training points"),
        (
            lambda: MODEL.predict(1, Rule(0.1), np.eye(2), start_cross=[[1.0, 2.0]] * 2),
            "start_cross has 2 outputs a point, the model 1",
        ),
        (lambda: lazy_model(np.eye(3), [1.0, 2.0]), "a kernel of 3 rows was given for 2 examples of 1 outputs"),
        (lambda: lazy_model(np.eye(2), [1.0, 2.0], tangent=[[1.0, 1.0]] * 2), "tangent has 2 outputs an example"),
        (lambda: lazy_model(-np.eye(2), [1.0, 2.0]), "a kernel matrix has none below 0"),
        (lambda: lazy_model(np.eye(2), [1.0, math.inf]), "targets has 1 entries that are NaN or infinite"),
        (lambda: laziness(np.eye(2), [1.0, 2.0], 0.0), "initial_norm = 0 was given"),
        (lambda: break_time([1.0], [1.0, 2.0], [1.0]), "1 times, 2 measured and 1 lazy losses were given"),
        (lambda: break_time([1.0, 1.0], [1.0, 2.0], [1.0, 1.0]), "times do not ascend"),
        (lambda: break_time([1.0], [1.0], [1.0], tolerance=0.0), "tolerance = 0 was given"),
    ],
)
def test_wrong_arguments(call: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
