"""Entropies of the absolute weights (Golechha 2024)."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.linalg.spectra import checked

BLOCK = 2**16
"""Entries looked at at once: more do not fit the processor's cache."""


def absolute_entropy(weight: Tensor) -> Float[Tensor, ""]:
    """Return H = −Σ |w| ln |w|, 0 ln 0 = 0, in nats × weight; at most 1/e for each entry. Golechha 2024.

    It is no Shannon entropy and depends on the scale: H(cW) = c H(W) − c ln c Σ|w|. Negative where most of the mass
    is in entries above 1. Raises UsageError as :func:`grokscope.linalg.spectra.checked`.

    Example:
        >>> round(float(absolute_entropy(torch.tensor([[0.5, -0.5], [1.0, 2.0]]))), 8)
        -0.69314718
    """
    return _entropy_and_mass(weight)[0]


def normalised_entropy(weight: Tensor) -> Float[Tensor, ""]:
    """Return H_n = −Σ p ln p with p = |w|/Σ|w|, in [0, ln mn] nats, whatever the scale; NaN for a zero weight.

    Raises UsageError as :func:`grokscope.linalg.spectra.checked`.

    Example:
        >>> round(float(normalised_entropy(torch.ones(2, 4)).exp()), 12)
        8.0
    """
    entropy, mass = _entropy_and_mass(weight)
    return mass.log() + entropy / mass


def _entropy_and_mass(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return H and Σ|w|; with them H_n = ln Σ|w| + H/Σ|w|, so that one pass over the logarithms gives both."""
    entropy = mass = torch.zeros((), dtype=torch.float64, device=weight.device)
    for part in checked(weight).flatten().split(BLOCK):
        sizes = part.abs()
        # 0 ln 0 = 0, without the branch of xlogy
        entropy = entropy - (sizes.clamp_min(torch.finfo(torch.float64).tiny).log_() * sizes).sum()
        mass = mass + sizes.sum()
    return entropy, mass


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
    entropy, mass = _entropy_and_mass(weight)
    normalised = float(mass.log() + entropy / mass)
    return {
        "absolute": float(entropy),
        "normalised": normalised,
        "used_share": math.exp(normalised) / weight.numel(),
    }
