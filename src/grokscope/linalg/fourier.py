"""Fourier analysis on Z/p: its real basis, spectra of matrices and of tables, and which frequencies stand out.

Notation, after Nanda et al. 2023: p is the modulus, w_k = 2πk/p, F the orthonormal real basis, whose rows
2k−1 and 2k are cos and sin of w_k a. All functions compute in float64, whatever they are given, and stay
on its device. What a network's logits owe to these waves is in ``progress`` and ``circuit``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from functools import lru_cache

import torch
from jaxtyping import Float, Num
from torch import Tensor

from grokscope.errors import UsageError

PerFrequency = Float[Tensor, " k"]
Device = torch.device | str | None


def frequencies(modulus: int) -> range:
    """Return every frequency of Z/p: 1, …, ⌊p/2⌋; for even p the last has a cosine only.

    Raises UsageError for a modulus below 2.

    Example:
        >>> list(frequencies(5)), list(frequencies(6))
        ([1, 2], [1, 2, 3])
    """
    if operator.index(modulus) < 2:
        raise UsageError(f"the modulus is {modulus}: Fourier analysis needs an integer of at least 2.")
    return range(1, modulus // 2 + 1)


def checked_keys(keys: Iterable[int], modulus: int) -> list[int]:
    """Return key frequencies as a sorted list, each once.

    Raises UsageError for a key outside 1, …, ⌊p/2⌋.

    Example:
        >>> checked_keys([3, 1, 3], 7)
        [1, 3]
    """
    chosen = sorted({operator.index(key) for key in keys})
    valid = frequencies(modulus)
    if outside := [key for key in chosen if key not in valid]:
        raise UsageError(f"no frequency {outside[0]} exists modulo {modulus}: give keys of 1 to {valid[-1]}.")
    return chosen


def key_rows(modulus: int, keys: Iterable[int]) -> list[int]:
    """Return the rows of ``fourier_basis`` that belong to frequencies: 2k−1 and 2k, and 2k−1 alone at k = p/2.

    Raises UsageError for a key outside 1, …, ⌊p/2⌋.

    Example:
        >>> key_rows(7, [1, 3]), key_rows(6, [3])
        ([1, 2, 5, 6], [5])
    """
    return [row for k in checked_keys(keys, modulus) for row in (2 * k - 1, 2 * k) if row < modulus]


def fourier_basis(modulus: int, *, dtype: torch.dtype = torch.float64, device: Device = None) -> Float[Tensor, "p p"]:
    """Return the orthonormal real Fourier basis of functions on Z/p, one basis vector per row.

    Row 0 is 1/√p; rows 2k−1 and 2k are cos(w_k a) and sin(w_k a) over √(p/2); for even p the last row
    is (−1)^a/√p. Raises UsageError for a modulus below 2. Reference: Nanda et al. 2023, section 4.

    Example:
        >>> torch.allclose(fourier_basis(6) @ fourier_basis(6).T, torch.eye(6, dtype=torch.float64))
        True
    """
    waves = wave_pairs(modulus, frequencies(modulus), device).flatten(0, 1)
    constant = waves.new_full((1, modulus), 1 / math.sqrt(modulus))
    return torch.cat([constant, waves])[:modulus].to(dtype)


def wave_pairs(modulus: int, keys: Iterable[int], device: Device = None) -> Float[Tensor, "k 2 p"]:
    """Return the unit cosine and sine of each frequency, in the order given; at p/2 the sine, which vanishes, is zero.

    Raises UsageError for a modulus below 2.

    Example:
        >>> wave_pairs(5, [2, 1]).shape, bool((wave_pairs(4, [2])[0, 1] == 0).all())
        (torch.Size([2, 2, 5]), True)
    """
    frequencies(modulus)
    # A list of indices copies, so nobody gets hold of the cached waves themselves.
    return _waves(modulus, torch.get_default_device() if device is None else torch.device(device))[
        [key - 1 for key in keys]
    ]


def wave_coefficients(matrix: Num[Tensor, "p n"]) -> Float[Tensor, "k 2 n"]:
    """Return the coefficients of each column on the unit cosine and sine of every frequency, (⌊p/2⌋, 2, n).

    Those of the constant are left out; that of the sine at p/2 is 0. Raises UsageError where the matrix is not
    2-D or p < 2.

    Example:
        >>> wave_coefficients(3 * fourier_basis(5)[2:3].T)[..., 0].round(decimals=9).abs().tolist()
        [[0.0, 3.0], [0.0, 0.0]]
    """
    matrix = in_float64(matrix, "matrix", 2)
    return (_waves(len(matrix), matrix.device).flatten(0, 1) @ matrix).unflatten(0, (-1, 2))


def frequency_norms(matrix: Float[Tensor, "p n"]) -> PerFrequency:
    """Return, for each frequency k, the norm of a matrix's cosine and sine components along axis 0.

    √(‖F_{2k−1} M‖² + ‖F_{2k} M‖²) with F of ``fourier_basis``; (p, n) to (⌊p/2⌋,), in the matrix's units.
    Raises UsageError where the matrix is not 2-D or p < 2. Reference: Nanda et al. 2023, section 4.1.

    Example:
        >>> [round(norm, 6) for norm in frequency_norms(3 * fourier_basis(5)[:3].T).tolist()]
        [4.242641, 0.0]
    """
    return torch.linalg.vector_norm(wave_coefficients(matrix), dim=(1, 2))


def component_norms(matrix: Float[Tensor, "p n"]) -> Float[Tensor, " p-1"]:
    """Return the norm of each Fourier component of a matrix along axis 0, the constant one dropped.

    ‖F_i M‖ for i = 1, …, p−1 with F of ``fourier_basis``; (p, n) to (p−1,): cosine and sine apart, as
    the Gini coefficient of Nanda et al. 2023 takes them. Raises UsageError as ``frequency_norms`` does.

    Example:
        >>> [round(norm, 6) for norm in component_norms(3 * fourier_basis(5)[:3].T).tolist()]
        [3.0, 3.0, 0.0, 0.0]
    """
    return torch.linalg.vector_norm(wave_coefficients(matrix), dim=2).flatten()[: len(matrix) - 1]


def key_frequencies(norms: PerFrequency, *, threshold: float = 0.25, silence: float = 3.0) -> tuple[int, ...]:
    """Return the frequencies (from 1, ascending) whose norm exceeds ``threshold`` times the largest.

    Empty where the largest is below ``silence`` times the median: a run that has not generalised has no
    key set. The median is the lower of the two middle norms, so that one wave among two frequencies
    stands out (p = 5); one frequency alone (p = 2, 3) never does. Norms that are all zero
    or not finite (a diverged run) give the empty set too. Raises UsageError where the norms are not 1-D
    or negative, the threshold outside [0, 1) or the silence negative.

    Example:
        >>> key_frequencies(torch.tensor([0.1, 4.0, 0.2, 2.0, 0.1])), key_frequencies(torch.ones(5))
        ((2, 4), ())
    """
    if norms.ndim != 1 or len(norms) == 0 or bool((norms < 0).any()):
        raise UsageError(f"norms {[*norms.shape]} are not a list of non-negative numbers: give one a frequency.")
    if not 0 <= threshold < 1 or not silence >= 0:
        raise UsageError(f"threshold is {threshold}, silence {silence}: give 0 <= threshold < 1, silence >= 0.")
    norms = norms.to(torch.float64)
    largest = norms.max()
    if bool(largest < silence * norms.median()):
        return ()
    # A comparison with nan or inf is False everywhere: a diverged run comes out empty without a branch.
    return tuple(index + 1 for index in (norms > threshold * largest).nonzero()[:, 0].tolist())


def component_key_frequencies(norms: Float[Tensor, " p-1"], *, threshold: float = 0.25) -> tuple[int, ...]:
    """Return the frequencies whose cosine or sine norm alone exceeds ``threshold`` times the largest of all.

    ``norms`` are those of ``component_norms``: cosine and sine apart, the constant dropped. The rule by
    which a later demonstration of the paper's authors reads the embedding; it always names one. Raises
    UsageError as ``key_frequencies`` does.

    Example:
        >>> component_key_frequencies(torch.tensor([0.1, 0.2, 4.0, 0.1, 0.1, 1.1]))
        (2, 3)
    """
    return tuple(sorted({(row + 1) // 2 for row in key_frequencies(norms, threshold=threshold, silence=0.0)}))


def spectrum_2d(activations: Float[Tensor, "p p n"]) -> Float[Tensor, "p p n"]:
    """Return the real Fourier coefficients of functions of (a, b): S[i, j] = Σ_ab F_ia F_jb A[a, b].

    (p, p, n) to (p, p, n), rows and columns in the order of ``fourier_basis``; the sum of squares over
    (i, j) is that over (a, b). Raises UsageError where the first two axes differ.

    Example:
        >>> round(spectrum_2d(torch.ones(5, 5, 1))[0, 0, 0].item(), 6)
        5.0
    """
    check_square(activations, 3, "activations (p, p, n) of all p² pairs")
    basis = fourier_basis(len(activations), device=activations.device)
    return basis @ (basis @ activations.to(torch.float64).flatten(1)).reshape(activations.shape)


def frequency_energy(spectrum: Float[Tensor, "p p n"]) -> Float[Tensor, "f f n"]:
    """Return the squares of 2-D coefficients with the cosine and sine of each frequency added up, on both axes.

    E[k, l], k, l = 0, …, ⌊p/2⌋, is the energy in {cos, sin} w_k a ⊗ {cos, sin} w_l b, frequency 0 being
    the constant; (p, p, n) to (⌊p/2⌋+1, ⌊p/2⌋+1, n). ``spectrum`` is that of ``spectrum_2d``. Raises
    UsageError where the first two axes differ.

    Example:
        >>> frequency_energy(torch.ones(5, 5, 1))[..., 0].tolist()
        [[1.0, 2.0, 2.0], [2.0, 4.0, 4.0], [2.0, 4.0, 4.0]]
    """
    check_square(spectrum, 3, "the 2-D spectrum (p, p, n)")
    energy = spectrum.to(torch.float64).square()
    for _ in range(2):
        waves = energy[1:]
        if len(waves) % 2:
            waves = torch.cat([waves, torch.zeros_like(waves[:1])])
        energy = torch.cat([energy[:1], waves[0::2] + waves[1::2]]).transpose(0, 1)
    return energy


def in_float64(tensor: Tensor, name: str, axes: int) -> Tensor:
    """Return a tensor in float64 if it has ``axes`` axes, p of at least 2 first.

    Raises UsageError otherwise, which calls it ``name``.

    Example:
        >>> in_float64(torch.ones(2, 3), "matrix", 2).dtype
        torch.float64
    """
    if tensor.ndim != axes or len(tensor) < 2:
        raise UsageError(f"the {name} has shape {[*tensor.shape]}: give {axes} axes, p (at least 2) first.")
    return tensor.to(torch.float64)


def check_square(tensor: Tensor, axes: int, wanted: str) -> None:
    """Raise UsageError, which asks for ``wanted``, unless a tensor has ``axes`` axes, the first two equal.

    Example:
        >>> check_square(torch.ones(3, 3), 2, "a table (p, p)")
    """
    if tensor.ndim != axes or len(tensor) < 2 or tensor.shape[0] != tensor.shape[1]:
        raise UsageError(f"a tensor of shape {[*tensor.shape]} was given: give {wanted}, p at least 2.")


@lru_cache(maxsize=8)
def _waves(modulus: int, device: torch.device) -> Tensor:
    """Return ``wave_pairs`` of every frequency; shared between calls, so not to be changed."""
    frequency = torch.arange(1, modulus // 2 + 1, device=device)[:, None]
    # Reduced modulo p while still an integer: the angle then carries one rounding, whatever k·a is.
    turns = frequency * torch.arange(modulus, device=device) % modulus
    angle = turns.to(torch.float64) * (2 * math.pi / modulus)
    alternating = 2 * frequency == modulus
    scale = ((2 - alternating.to(torch.float64)) / modulus).sqrt()
    return torch.stack([scale * angle.cos(), (scale * angle.sin()).masked_fill(alternating, 0.0)], dim=1)
