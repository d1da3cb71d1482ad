"""What analysis and claims ask of a run: its scalars by key, its spec, its status, its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

Series = Callable[[str], tuple[np.ndarray, np.ndarray]]
"""Returns steps and values of a key, both (points,), by step; raises KeyError or ValueError without it."""


class RunLike(Protocol):
    """A run as analysis sees it; a stored run is one, and so is anything with these four names."""

    @property
    def directory(self) -> Path:
        """Where the run lies."""
        ...

    @property
    def spec(self) -> Mapping[str, Any]:
        """The tree of its spec."""
        ...

    @property
    def status(self) -> str:
        """One of running, finished, stopped, interrupted, diverged, failed."""
        ...

    def series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Return steps and values of a key, both of shape (points,), by step.

        Raises:
            UsageError: the run has no such key.
        """
        ...


def finite(series: Series, key: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Return steps and values of a key without the points that are NaN or infinite; None if none are left.

    Example:
        >>> steps, values = finite(lambda key: (np.array([0, 1]), np.array([np.nan, 2.0])), "train/loss")
        >>> steps.tolist(), values.tolist()
        ([1], [2.0])
    """
    try:
        steps, values = series(key)
    except (KeyError, ValueError):
        return None
    kept = np.isfinite(values)
    return (steps[kept], values[kept]) if kept.any() else None


def running_median(values: np.ndarray, width: int = 3) -> np.ndarray:
    """Return the median over ``width`` (odd) observations centred on each; the ends are repeated outwards.

    Example:
        >>> running_median(np.array([1.0, 9.0, 2.0, 3.0])).tolist()
        [1.0, 2.0, 3.0, 3.0]
    """
    padded = np.pad(values, width // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=-1)


def on_clock(clock: tuple[np.ndarray, np.ndarray], steps: np.ndarray) -> np.ndarray:
    """Return where ``steps`` lie on a clock, (points,), by its steps and times; NaN outside of what it covers.

    Example:
        >>> on_clock((np.array([0, 10]), np.array([0.0, 1.0])), np.array([5, 20])).tolist()
        [0.5, nan]
    """
    # held at its last time, the clock would put what comes later where nothing happened
    return np.interp(steps, *clock, left=np.nan, right=np.nan)
