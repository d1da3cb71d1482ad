"""The curves of the paper's own mainline run, for overlays and for calibrating detectors; imports no torch.

Nanda, Chan, Lieberum, Smith & Steinhardt 2023, ICLR (arXiv 2301.05217), a + b mod 113, seed 0. The numbers
were read from the vector figures released with the paper's code (github.com/neelnanda-io/Grokking), and
interpolated to shared steps: the error of a value is up to about 10 %. Losses are natural-log cross-entropy.
"""

from __future__ import annotations

import numpy as np

from grokscope.analysis.series import Series
from grokscope.errors import unknown

SOURCE = "Nanda et al. 2023 (arXiv 2301.05217), read from the released vector figures; error up to about 10 %"

REFERENCE_STEPS: tuple[int, ...] = (
    0, 200, 600, 1000, 1400, 2000, 4000, 6000, 8000, 9000, 9400, 10000, 10500, 11000, 12000, 14000, 20000, 39000,
)  # fmt: skip

REFERENCE: dict[str, tuple[float, ...]] = {
    "train/loss": (
        4.75, 0.020, 3.5e-4, 6.3e-6, 4.3e-7, 3.4e-7, 3.2e-7, 2.9e-7, 2.6e-7, 2.4e-7, 2.2e-7, 1.8e-7, 1.6e-7, 1.4e-7,
        1.2e-7, 1.05e-7, 1.0e-7, 9.9e-8,
    ),
    "test/loss": (
        4.76, 16.1, 19.0, 23.1, 25.7, 25.2, 22.1, 18.9, 12.2, 6.7, 4.1, 0.57, 0.032, 2.0e-3, 1.7e-4, 7.4e-7, 3.1e-7,
        3.0e-7,
    ),
    "fourier/restricted_loss": (
        4.75, 4.61, 3.86, 3.34, 3.02, 2.63, 1.73, 0.99, 0.29, 0.048, 6.4e-3, 4.5e-5, 2.3e-6, 3.6e-7, 2.4e-8, 4.2e-8,
        5.1e-8, 5.5e-8,
    ),
    "fourier/excluded_loss": (
        4.76, 1.24, 0.53, 0.34, 0.316, 0.39, 0.95, 2.57, 6.87, 10.3, 11.6, 13.4, 13.0, 11.3, 9.0, 6.2, 5.9, 6.0,
    ),
    "fourier/test_loss_ratio": (
        1, 3.5, 5.0, 7.1, 8.7, 9.6, 12.9, 19, 42, 135, 576, 1.4e4, 1.6e4, 5.7e3, 6.9e3, 17, 5.9, 5.5,
    ),
    "weights/sum_of_squares": (
        1783, 3650, 3610, 3650, 3380, 3000, 2690, 2510, 2300, 2110, 2000, 1750, 1510, 1320, 1150, 995, 964, 955,
    ),
    "test/accuracy": (
        0.009, 0.040, 0.060, 0.070, 0.075, 0.081, 0.096, 0.128, 0.225, 0.37, 0.51, 0.84, 0.99, 0.999, 1, 1, 1, 1,
    ),
    "fourier/restricted_accuracy": (
        0.009, 0.14, 0.34, 0.39, 0.46, 0.45, 0.53, 0.59, 0.71, 0.89, 0.97, 1, 1, 1, 1, 1, 1, 1,
    ),
    "fourier/excluded_accuracy": (
        0.009, 0.17, 0.88, 0.91, 0.91, 0.88, 0.69, 0.34, 0.089, 0.037, 0.025, 0.020, 0.018, 0.022, 0.022, 0.007,
        0.014, 0.016,
    ),
    "weights/tensor_sum_of_squares@W_E": (
        116, 329, 354, 378, 404, 437, 436, 410, 376, 346, 327, 286, 250, 222, 194, 171, 166, 165,
    ),
    "weights/tensor_sum_of_squares@W_in": (
        512, 916, 878, 883, 765, 581, 462, 427, 387, 353, 334, 289, 247, 215, 185, 159, 155, 155,
    ),
}  # fmt: skip
"""Values at ``REFERENCE_STEPS`` by the key under which our runs store the same quantity; ``test_loss_ratio`` is
test loss over restricted loss, excluded values are on train pairs, restricted ones on all pairs."""

HAND_BOUNDARIES: tuple[float, float, float] = (1400.0, 9400.0, 14_000.0)
"""Ends of memorisation, circuit formation and cleanup as the paper draws them by hand (Sec. 5.2)."""

FITTED_BY = 200
"""No figure shows train accuracy; the train loss is 0.020 nats here, and the paper has it at 100 % from 200 on."""


def reference(key: str) -> tuple[np.ndarray, np.ndarray]:
    """Return steps and values of a reference curve, each of shape (18,), float64.

    Raises:
        UsageError: there is no reference curve of this key.

    Example:
        >>> steps, values = reference("test/accuracy")
        >>> float(values[steps == 10000][0])
        0.84
    """
    if key not in REFERENCE:
        raise unknown("reference curve", key, REFERENCE)
    return np.array(REFERENCE_STEPS, dtype=np.float64), np.array(REFERENCE[key], dtype=np.float64)


def reference_series(steps: np.ndarray | None = None) -> Series:
    """Return a reader of the reference curves, and of ``train/accuracy``, as analysis asks of a run.

    Train accuracy is read from no figure: it is 1/114 at step 0 and 1 from ``FITTED_BY`` on.

    Args:
        steps: where to interpolate to, linear in log-step (losses and Σw² in their logarithm); absent: where
            the curves were read.
    """

    def read(key: str) -> tuple[np.ndarray, np.ndarray]:
        at = np.array(REFERENCE_STEPS, dtype=np.float64) if steps is None else np.asarray(steps, dtype=np.float64)
        if key == "train/accuracy":
            return at, np.where(at >= FITTED_BY, 1.0, 1 / 114)
        known, values = reference(key)
        if steps is None:
            return known, values
        # step 0 has no logarithm: what lies between it and the next step is taken from one decade below that
        places = np.log10(np.maximum(known, known[1] / 10))
        there = np.log10(np.maximum(at, known[1] / 10))
        if key.endswith("accuracy"):
            return at, np.interp(there, places, values)
        return at, np.exp(np.interp(there, places, np.log(values)))

    return read
