"""What is left of a network that adds modulo p when only some waves, or only some directions, are kept.

Notation as in ``fourier`` and ``circuit``; S is the 2-D spectrum of functions of (a, b). All functions
compute in float64 and stay on the device of what they are given.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.fourier import check_square, checked_keys, fourier_basis, key_rows

Spectrum = Float[Tensor, "p p n"]
OfPairs = Float[Tensor, "p p n"]


def keep_products(spectrum: Spectrum, keys: Iterable[int]) -> OfPairs:
    """Return functions of (a, b) with only their constant and, for each key k, {1, cos, sin}w_k a ⊗ {1, cos, sin}w_k b.

    The constant and 8 components a key; ``spectrum`` (p, p, n) is that of ``spectrum_2d``. (p, p, n) to
    (p, p, n). Raises UsageError where the first two axes differ or a key is out of range. Reference: Nanda
    et al. 2023, section 4.4 (all but 40 components removed).

    Example:
        >>> keep_products(torch.eye(5)[..., None], [1])[..., 0].trace().item() - 3 < 1e-12
        True
    """
    return _kept(spectrum, [[0, *key_rows(len(spectrum), [key])] for key in checked_keys(keys, len(spectrum))])


def keep_block(spectrum: Spectrum, keys: Iterable[int]) -> OfPairs:
    """Return functions of (a, b) with only their constant and, for each key k, {cos, sin}w_k a ⊗ {cos, sin}w_k b.

    The constant and 4 components a key: the waves of a + b and of a − b. Arguments and errors as for
    ``keep_products``. Reference: Nanda et al. 2023, released code.

    Example:
        >>> keep_block(torch.ones(5, 5, 1), [])[..., 0].unique().tolist()
        [0.2]
    """
    return _kept(spectrum, [key_rows(len(spectrum), [key]) for key in checked_keys(keys, len(spectrum))])


def single_frequency_fit(spectrum: Spectrum, frequency: Int[Tensor, " n"]) -> OfPairs:
    """Return each neuron's fit on the constant and the 8 components of its own frequency, (p, p, n).

    ``frequency`` (n,) are those of ``best_frequency``; a neuron of frequency 0 keeps its constant. Raises
    UsageError where the shapes do not fit or a frequency is out of range. Reference: Nanda et al. 2023,
    section 4.3 (there: polynomials of degree 2 in sines and cosines).

    Example:
        >>> single_frequency_fit(torch.ones(5, 5, 1), torch.tensor([0]))[..., 0].unique().tolist()
        [0.2]
    """
    check_square(spectrum, 3, "the 2-D spectrum (p, p, n)")
    if frequency.shape != spectrum.shape[2:]:
        raise UsageError(
            f"frequencies of shape {[*frequency.shape]} were given: give one a neuron, {[spectrum.shape[2]]}."
        )
    fit = torch.empty(spectrum.shape, dtype=torch.float64, device=spectrum.device)
    for key in frequency.unique().tolist():
        members = frequency == key
        fit[..., members] = keep_products(spectrum[..., members], [key] if key else [])
    return fit


def span(directions: Float[Tensor, "r n"]) -> Float[Tensor, "n k"]:
    """Return an orthonormal basis of the span of rows, one basis vector a column; k is their rank.

    Raises UsageError where ``directions`` is not 2-D.

    Example:
        >>> span(torch.tensor([[3.0, 0.0], [6.0, 0.0]])).abs().round(decimals=9).tolist()
        [[1.0], [0.0]]
    """
    if directions.ndim != 2:
        raise UsageError(f"directions of shape {[*directions.shape]} were given: give a matrix, a direction a row.")
    left, values, _ = torch.linalg.svd(directions.to(torch.float64).T, full_matrices=False)
    return left[:, values > 1e-12 * values.max()] if len(values) else left


def _kept(spectrum: Tensor, blocks: list[list[int]]) -> Tensor:
    """Return the inverse transform of the constant and of the square blocks of coefficients, which share no other."""
    check_square(spectrum, 3, "the 2-D spectrum (p, p, n)")
    coefficients = spectrum.to(torch.float64)
    basis = fourier_basis(len(spectrum), device=spectrum.device)
    kept = (coefficients[0, 0] / len(spectrum)).expand(spectrum.shape).clone()
    for rows in blocks:
        block = coefficients[rows][:, rows]
        if 0 in rows:
            block[0, 0] = 0.0
        kept += torch.einsum("ia,jb,ijn->abn", basis[rows], basis[rows], block)
    return kept
