"""Landscapes read off runs on spheres, and what the claims on them are judged by; imports no torch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from grokscope.analysis.landscape import Minimum, grokking_window, largest_norm, least_loss, mismatch
from grokscope.recipes.readings import last, over

Runs = Mapping[str, Any]
Values = dict[str, float | None]
Which = Literal["final", "best"]


@dataclass(frozen=True)
class Landscape:
    """Losses and accuracies at fixed norms, each (norms,), by rising norm."""

    norms: np.ndarray
    train: np.ndarray
    test: np.ndarray
    train_accuracy: np.ndarray
    test_accuracy: np.ndarray

    @property
    def critical(self) -> Minimum:
        """Where the test loss is least: the critical norm w_c."""
        return least_loss(self.norms, self.test)

    def reaching(self, accuracy: float) -> float:
        """Return the largest norm whose test accuracy is so high, NaN where none is."""
        return largest_norm(self.norms, self.test_accuracy, accuracy)

    @property
    def window(self) -> list[tuple[float, float]]:
        """The norms that fit and do not generalise."""
        return grokking_window(self.norms, self.train, self.test)

    @property
    def mismatch(self) -> float:
        """∫ ln(test / train) d ln w over the window."""
        return mismatch(self.norms, self.train, self.test)

    @property
    def parting(self) -> float:
        """The same from the norm of least test loss on, fitted or not."""
        return mismatch(self.norms, self.train, self.test, fitted=math.inf, worse=1.0)


def landscape_of(runs: Iterable[Any], which: Which = "final") -> Landscape:
    """Return the landscape of runs of one seed and training size, with their last values or with the best of each.

    The best over evaluations is what the paper plots: a training that is stopped by its test loss.
    """
    ordered = sorted(runs, key=lambda run: last(run, "weights/sum_of_squares"))

    def read(key: str) -> np.ndarray:
        return np.array([_value(run, key, which) for run in ordered])

    return Landscape(
        np.array([math.sqrt(last(run, "weights/sum_of_squares")) for run in ordered]),
        *(read(key) for key in ("train/loss", "test/loss", "train/accuracy", "test/accuracy")),
    )


def _value(run: Any, key: str, which: Which) -> float:
    if which == "final":
        return last(run, key)
    _, values = over(run, key)
    return float(values.max() if key.endswith("accuracy") else values.min())


def by_size(runs: Runs) -> dict[int, list[Any]]:
    """Return the runs of each number of training images, by rising number."""
    found: dict[int, list[Any]] = {}
    for run in runs.values():
        found.setdefault(int(run.spec["task"]["train_examples"]), []).append(run)
    return dict(sorted(found.items()))


def shapes(runs: Runs) -> Values:
    """Return whether train loss is an L and test loss a U over the norm.

    ``interior``: 1 if the least test loss lies between the norms at the ends. ``train_share``: the largest train loss
    at a norm above that, over the largest of all below. ``left_arm`` and ``right_arm``: test loss at the least and at
    the largest norm, over its least. ``tangent_gradient``: ‖θ‖ times the largest gradient along the sphere, beyond the
    minimum.
    """
    land = landscape_of(runs.values())
    critical = land.critical
    beyond = land.norms > critical.norm
    flat = [last(run, "stationarity/tangent_gradient") for run in _ordered(runs)]
    return {
        "interior": float(critical.interior),
        "train_share": float(land.train[beyond].max() / land.train[~beyond].max()) if beyond.any() else None,
        "left_arm": float(land.test[0] / land.test.min()),
        "right_arm": float(land.test[-1] / land.test.min()),
        "critical_norm": critical.norm,
        "test_accuracy": float(land.test_accuracy[int(np.argmin(land.test))]),
        "last_test_accuracy": float(land.test_accuracy[-1]),
        "best_over_final": float(landscape_of(runs.values(), "best").critical.loss / critical.loss),
        "tangent_gradient": float(np.nanmax(np.where(beyond, flat * land.norms, np.nan))) if beyond.any() else None,
    }


def shrinks(runs: Runs) -> Values:
    """Return the mismatch of the smaller of two training sizes over that of the larger, and both.

    ``ratio`` is of the windows, infinity where the larger has none. ``parting_ratio`` is of all norms above the one of
    least test loss: it does not ask whether they fit, which few steps at a large norm decide.
    """
    lands = {size: landscape_of(some) for size, some in by_size(runs).items()}
    small, large = lands.values()
    best = {size: landscape_of(some, "best").mismatch for size, some in by_size(runs).items()}
    return {
        "ratio": None if small.mismatch == 0 else math.inf if large.mismatch == 0 else small.mismatch / large.mismatch,
        "parting_ratio": small.parting / large.parting if large.parting > 0 else math.inf,
        **{f"mismatch_{size}": land.mismatch for size, land in lands.items()},
        **{f"best_mismatch_{size}": value for size, value in best.items()},
    }


def messy(runs: Runs) -> Values:
    """Return how the least test loss over norms changes with the messiness of the representation, and each.

    ``spread`` is the largest over the least of them.
    """
    groups: dict[float, list[Any]] = {}
    for run in runs.values():
        groups.setdefault(float(run.spec["task"]["messiness"]), []).append(run)
    least = {m: float(landscape_of(some).test.min()) for m, some in sorted(groups.items())}
    return {
        "spread": max(least.values()) / min(least.values()),
        **{f"test_loss_{m:g}": value for m, value in least.items()},
    }


def _ordered(runs: Runs) -> list[Any]:
    return sorted(runs.values(), key=lambda run: last(run, "weights/sum_of_squares"))
