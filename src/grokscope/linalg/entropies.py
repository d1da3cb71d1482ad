"""Entropies of the absolute weights (Golechha 2024)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.linalg.spectra import checked


def absolute_entropy(weight: Tensor) -> Float[Tensor, ""]:
    """Return H = −Σ |w| ln |w|, 0 ln 0 = 0, in nats × weight; at most 1/e for each entry. Golechha 2024.

    It is no Shannon entropy and depends on the scale: H(cW) = c H(W) − c ln c Σ|w|. Negative where most of the mass
    is in entries above 1. Raises UsageError as :func:`grokscope.linalg.spectra.checked`.

    Example:
        >>> round(float(absolute_entropy(torch.tensor([[0.5, -0.5], [1.0, 2.0]]))), 8)
        -0.69314718
    """
    sizes = checked(weight).abs()
    return 0.0 - torch.special.xlogy(sizes, sizes).sum()


def normalised_entropy(weight: Tensor) -> Float[Tensor, ""]:
    """Return H_n = −Σ p ln p with p = |w|/Σ|w|, in [0, ln mn] nats, whatever the scale; NaN for a zero weight.

    Raises UsageError as :func:`grokscope.linalg.spectra.checked`.

    Example:
        >>> round(float(normalised_entropy(torch.ones(2, 4)).exp()), 12)
        8.0
    """
    sizes = checked(weight).abs()
    shares = sizes / sizes.sum()
    return 0.0 - torch.special.xlogy(shares, shares).sum()


def uniform_entropy(entries: int, bound: float) -> float:
    """Return the expectation of H for entries drawn from U(−a, a): mn (a/4 − (a/2) ln a).

    Example:
        >>> round(uniform_entropy(784 * 200, 8 / 784**0.5), 2)
        39261.89
    """
    return entries * (bound / 4 - bound / 2 * math.log(bound))


def summary(weight: Tensor) -> dict[str, float]:
    """Return H, H_n and the share exp(H_n)/mn of the entries that the mass is spread over, as numbers.

    Example:
        >>> summary(torch.eye(2))["used_share"]
        0.5
    """
    normalised = float(normalised_entropy(weight))
    return {
        "absolute_entropy": float(absolute_entropy(weight)),
        "normalised_entropy": normalised,
        "used_share": math.exp(normalised) / weight.numel(),
    }
