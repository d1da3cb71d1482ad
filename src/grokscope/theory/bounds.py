"""Bounds on the test error of classifiers of maximal margin on sparse labels: of use for their scaling only."""

from __future__ import annotations

import math

from grokscope.errors import UsageError


def max_l1_margin_bound(*, sparsity: int, dimension: int, examples: int, probability: float = 0.05) -> float:
    """Return 4k √(2 ln(2d)/n) + 3 √(ln(2/δ)/(2n)): the error of the maximal L1 margin, with probability 1 − δ.

    For labels sign(Σ_{j≤k} s_j x_j) of uniform signs x in d dimensions, k odd. A share of examples; above 1 it says
    nothing. Raises UsageError for counts below 1, an even k, or δ outside (0, 1). Source: Lyu et al. 2024, appendix E.

    Example:
        >>> round(max_l1_margin_bound(sparsity=1, dimension=100, examples=10_000), 4)
        0.171
    """
    tail = _tail(sparsity, dimension, examples, probability)
    return 4 * sparsity * math.sqrt(2 * math.log(2 * dimension) / examples) + tail


def max_l2_margin_bound(*, sparsity: int, dimension: int, examples: int, probability: float = 0.05) -> float:
    """Return 4 √(kd/n) + 3 √(ln(2/δ)/(2n)): the error of the maximal L2 margin, with probability 1 − δ.

    As :func:`max_l1_margin_bound`; it needs n to grow as d where that needs ln d. Source: Lyu et al. 2024, appendix E.

    Example:
        >>> round(max_l2_margin_bound(sparsity=1, dimension=100, examples=10_000), 4)
        0.4407
    """
    tail = _tail(sparsity, dimension, examples, probability)
    return 4 * math.sqrt(sparsity * dimension / examples) + tail


def _tail(sparsity: int, dimension: int, examples: int, probability: float) -> float:
    if min(sparsity, dimension, examples) < 1 or sparsity > dimension or sparsity % 2 == 0:
        raise UsageError(
            f"sparsity = {sparsity}, dimension = {dimension} and examples = {examples} were given: give counts of at "
            "least 1, and an odd sparsity up to the dimension."
        )
    if not 0 < probability < 1:
        raise UsageError(f"probability = {probability} was given: give one between 0 and 1.")
    return 3 * math.sqrt(math.log(2 / probability) / (2 * examples))
