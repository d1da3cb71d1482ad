"""How well a few waves describe a network that adds modulo p: its logits, its neuron-to-logit map, its neurons.

Notation as in ``fourier`` and ``progress``; W (p, n), here ``neuron_to_logit``, maps neurons to logits.
A share of variance explained is 1 − RSS/TSS of least squares with a constant, TSS about the mean over all
pairs; the waves being orthogonal, it is a ratio of sums of squared coefficients. All functions compute in
float64 and stay on the device of what they are given.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.fourier import (
    PerFrequency,
    check_square,
    checked_keys,
    fourier_basis,
    frequency_energy,
    in_float64,
    key_rows,
    wave_coefficients,
    wave_pairs,
)
from grokscope.linalg.progress import Diagonal, Scalar, Table, anti_diagonal_mean

PerNeuron = Float[Tensor, " n"]
Shares = Float[Tensor, "k n"]

SINGLE_FREQUENCY = 0.85
"""Share of a neuron's variance above which one frequency is said to explain it (Nanda et al. 2023, section 4.3)."""

_ROUNDING = 1e-24  # of a sum of squares: what float64 leaves of the variance of a constant


def cosine_coefficients(diagonal: Diagonal) -> PerFrequency:
    """Return α_k, the coefficient of the logits on the unit vector along cos w_k(a+b−c), (⌊p/2⌋,).

    α_k = ⟨L, cos w_k(a+b−c)⟩ / √(p³/2) = p Σ_{s,c} G[s, c] cos w_k(s−c) / √(p³/2); for even p the last
    norm is √(p³). α_k/‖L‖ is the cosine similarity. Raises UsageError where the classes are not the p
    residues. Reference: Nanda et al. 2023, section 4.2.

    Example:
        >>> table = torch.cos(2 * math.pi * (torch.arange(5)[:, None] - torch.arange(5)) / 5)
        >>> round(cosine_coefficients(table)[0].item() / math.sqrt(125 / 2), 6)
        1.0
    """
    check_square(diagonal, 2, "the mean logits (p, p) of the p residues (drop classes such as '=')")
    modulus = len(diagonal)
    residues = torch.arange(modulus, device=diagonal.device)
    by_error = diagonal.to(torch.float64)[(residues[:, None] + residues) % modulus, residues].sum(dim=1)
    # Unit waves on p residues: the p³ cube holds p² copies of each, so its unit vector is 1/p of this one.
    return wave_coefficients(by_error[:, None])[:, 0, 0]


def cosine_component(coefficients: PerFrequency, keys: Iterable[int], modulus: int) -> Float[Tensor, "p p"]:
    """Return Σ_k α_k cos w_k(s−c) over √(p³/2) for the keys, (p, p): the logits' part along these directions.

    Row s is that of every pair with the answer s. ``coefficients`` are those of ``cosine_coefficients``.
    Raises UsageError for a key outside 1, …, ⌊p/2⌋. Reference: Nanda et al. 2023, section 4.4.

    Example:
        >>> table = torch.cos(2 * math.pi * (torch.arange(5)[:, None] - torch.arange(5)) / 5).double()
        >>> torch.allclose(cosine_component(cosine_coefficients(table), [1], 5), table, atol=1e-6)
        True
    """
    chosen = checked_keys(keys, modulus)
    waves = wave_pairs(modulus, chosen, coefficients.device)[:, 0]
    by_error = coefficients.to(torch.float64)[[key - 1 for key in chosen]] @ waves / modulus
    residues = torch.arange(modulus, device=coefficients.device)
    return by_error[(residues[:, None] - residues) % modulus]


def squares_of_logits(logits: Float[Tensor, "p p p"]) -> tuple[Scalar, Scalar]:
    """Return ‖L‖² and Σ (L − mean)² over all p³ logits; the second is 0 where it is rounding error only.

    Raises UsageError where the logits have other than 3 axes.

    Example:
        >>> [float(total) for total in squares_of_logits(torch.full((3, 3, 3), 2.0))]
        [108.0, 0.0]
    """
    logits = in_float64(logits, "logits", 3)
    flat, mean = logits.flatten(), logits.mean()
    centred = flat - mean
    squares, variation = flat.dot(flat), centred.dot(centred)
    # Constant logits leave the mean's rounding error, whose shares mean nothing.
    return squares, torch.where(variation > len(flat) * (1e-15 * mean).square(), variation, 0.0)


def logit_variance_explained(logits: Float[Tensor, "p p p"], keys: Iterable[int], table: Table | None = None) -> Scalar:
    """Return the share of the logits' variance that cos w_k(a+b−c), k in keys, explain: 1 − RSS/TSS.

    Least squares with a constant (the softmax ignores it), TSS about the mean of all p³ logits. The
    waves are orthogonal to each other and to the constant, so this is Σ_k α_k² / TSS. ``table`` holds the
    answers, as for ``anti_diagonal_mean``. nan for constant logits, 0 for no keys. Raises UsageError where
    the cube is not (p, p, p) or a key is out of range. Reference: Nanda et al. 2023, section 4.2.

    Example:
        >>> a, b, c = torch.meshgrid(*[torch.arange(5)] * 3, indexing="ij")
        >>> round(logit_variance_explained(torch.cos(2 * math.pi * (a + b - c) / 5) + 1, [1]).item(), 6)
        1.0
    """
    logits = in_float64(logits, "logits", 3)
    coefficients = cosine_coefficients(anti_diagonal_mean(logits - logits.mean(), table))
    chosen = [key - 1 for key in checked_keys(keys, len(logits))]
    total = squares_of_logits(logits)[1]
    return torch.where(total > 0, coefficients[chosen].square().sum() / total, math.nan)


def residual_outside(norms: PerFrequency, constant: float | Scalar, keys: Iterable[int]) -> Scalar:
    """Return ‖M − F_SᵀF_S M‖/‖M‖, what a matrix has outside its key rows S, from the norms of its components.

    ``norms`` are those of ``frequency_norms`` and ``constant`` is ‖F_0 M‖, which counts as outside. 0 to 1;
    nan for a matrix of zeros. Raises UsageError for a key that has no norm. Reference: Nanda et al. 2023,
    section 4.2 (below 0.0055 there).

    Example:
        >>> round(residual_outside(torch.tensor([4.0, 0.0]), 3.0, [1]).item(), 6)
        0.6
    """
    squares = norms.to(torch.float64).square()
    outside = squares.clone()
    outside[[key - 1 for key in checked_keys(keys, 2 * len(norms) + 1)]] = 0.0
    fixed = torch.as_tensor(constant, dtype=torch.float64, device=norms.device).square()
    return ((outside.sum() + fixed) / (squares.sum() + fixed)).sqrt()


def rank_gap(singular_values: PerNeuron, keys: Iterable[int], modulus: int) -> Scalar:
    """Return σ_{R+1}/σ_R of the neuron-to-logit map, R = 2K the number of waves of its K key frequencies.

    ``singular_values`` descend. R counts 1 for the frequency p/2, which has one wave. 0 to 1: 0 where the rank
    is at most R, 1 without keys. Raises UsageError for a key out of range.
    Reference: Nanda et al. 2023, section 4.2 (rank 10 of 5 key frequencies).

    Example:
        >>> rank_gap(torch.tensor([4.0, 2.0, 0.5, 0.1]), [1], 7).item()
        0.25
    """
    rank = len(key_rows(modulus, keys))
    values = singular_values.to(torch.float64)
    if rank == 0:
        return values.new_ones(())
    return values[rank] / values[rank - 1] if rank < len(values) else values.new_zeros(())


def direction_variance_explained(
    neurons: Float[Tensor, "p p n"],
    neuron_to_logit: Float[Tensor, "p n"],
    keys: Iterable[int],
    table: Table | None = None,
) -> Float[Tensor, " r"]:
    """Return, for each key wave of the logits, how well its own frequency describes what the neurons send there.

    u_k = (F_{2k−1} W)·A and v_k = (F_{2k} W)·A are functions of the pair (A: the neurons' activations);
    the value is the share of their variance in cos w_k(a+b) and sin w_k(a+b). (R,), in the order of
    ``key_rows``; nan for a direction that does not vary. ``table`` holds the answers, as for
    ``anti_diagonal_mean``. Raises UsageError where the shapes do not fit or a key is out of range.
    Reference: Nanda et al. 2023, section 4.2 and table 1.

    Example:
        >>> wave = fourier_basis(5)[1:2]
        >>> sums = (torch.arange(5)[:, None] + torch.arange(5)) % 5
        >>> round(direction_variance_explained(wave.T[sums], wave.T, [1])[0].item(), 6)
        1.0
    """
    check_square(neurons, 3, "activations (p, p, n) of all p² pairs")
    modulus = len(neurons)
    if neuron_to_logit.shape != (modulus, neurons.shape[2]):
        raise UsageError(
            f"a neuron-to-logit map {[*neuron_to_logit.shape]} was given for activations {[*neurons.shape]}: "
            f"give one of shape {[modulus, neurons.shape[2]]}, without classes such as '='."
        )
    chosen = checked_keys(keys, modulus)
    rows = key_rows(modulus, chosen)
    basis = fourier_basis(modulus, device=neurons.device)
    sent = neurons.to(torch.float64) @ (basis[rows] @ neuron_to_logit.to(torch.float64)).T
    # Unit waves on p residues are √p times those on the p² pairs.
    energy = modulus * (basis @ anti_diagonal_mean(sent, table)).square()
    explained = energy.new_zeros(len(rows))
    for column, row in enumerate(rows):
        explained[column] = energy[key_rows(modulus, [(row + 1) // 2]), column].sum()
    flat = sent.flatten(0, 1)
    total = (flat - flat.mean(dim=0)).square().sum(dim=0)
    return _share(explained, total, flat.square().sum(dim=0))


def frequency_shares(spectrum: Float[Tensor, "p p n"]) -> Shares:
    """Return the share of each neuron's variance in the waves of each frequency: its 8 components, (⌊p/2⌋, n).

    The components of k are {1, cos, sin}w_k a ⊗ {1, cos, sin}w_k b without the constant; ``spectrum`` (p, p, n)
    is that of ``spectrum_2d``. 0 to 1; nan for a neuron that is constant. Raises UsageError where the first
    two axes differ. Reference: Nanda et al. 2023, section 4.3.

    Example:
        >>> from grokscope.linalg.fourier import spectrum_2d
        >>> wave = torch.cos(2 * math.pi * 3 * torch.arange(7, dtype=torch.float64) / 7)
        >>> shares = frequency_shares(spectrum_2d((torch.outer(wave, wave) + 0.7)[..., None]))
        >>> [round(share, 6) for share in shares[:, 0].tolist()]
        [0.0, 0.0, 1.0]
    """
    energy = frequency_energy(spectrum)
    products = energy.diagonal(dim1=0, dim2=1).T[1:]
    return _share(energy[1:, 0] + energy[0, 1:] + products, *_totals(energy))


def operand_shares(spectrum: Float[Tensor, "p p n"]) -> Shares:
    """Return the share of variance in cos and sin of w_k a and of w_k b, without their products, (⌊p/2⌋, n).

    Arguments, range and errors as for ``frequency_shares``. Of the attention to a minus that to b, it is
    the variance of a head that one frequency explains. Reference: Nanda et al. 2023, section 4.3.

    Example:
        >>> from grokscope.linalg.fourier import spectrum_2d
        >>> wave = torch.cos(2 * math.pi * torch.arange(5, dtype=torch.float64) / 5)
        >>> round(operand_shares(spectrum_2d((wave[:, None] - wave)[..., None]))[0, 0].item(), 6)
        1.0
    """
    energy = frequency_energy(spectrum)
    return _share(energy[1:, 0] + energy[0, 1:], *_totals(energy))


def best_frequency(shares: Shares) -> tuple[Int[Tensor, " n"], PerNeuron]:
    """Return the frequency (from 1) with the largest share, and that share, (n,) each; 0 and 0 for a constant neuron.

    Example:
        >>> [found.tolist() for found in best_frequency(torch.tensor([[0.25, math.nan], [0.5, math.nan]]))]
        [[2, 0], [0.5, 0.0]]
    """
    explained, index = shares.nan_to_num(0.0).max(dim=0)
    constant = shares.isnan().all(dim=0)
    return torch.where(constant, 0, index + 1), torch.where(constant, 0.0, explained)


def neuron_key_frequencies(
    shares: Shares, *, level: float = SINGLE_FREQUENCY, cluster: float = 0.02
) -> tuple[int, ...]:
    """Return the frequencies that each explain more than ``level`` of at least a share ``cluster`` of the neurons.

    ``shares`` (⌊p/2⌋, n) are those of ``frequency_shares``; a neuron counts for its best frequency.

    Example:
        >>> neuron_key_frequencies(torch.tensor([[0.1, 0.9, 0.9], [0.8, 0.0, 0.1]]))
        (1,)
    """
    frequency, explained = best_frequency(shares)
    sizes = torch.bincount(frequency[explained > level], minlength=len(shares) + 1)
    large = (sizes > 0) & (sizes >= cluster * shares.shape[1])
    return tuple(large[1:].nonzero()[:, 0].add(1).tolist())


def released_key_frequencies(shares: Shares, modulus: int) -> tuple[int, ...]:
    """Return the frequencies assigned to at least one neuron by the released code of Nanda et al. 2023.

    Each neuron goes to the k whose components explain most of it, however little that is, and the code's
    loop ends at ⌊p/2⌋ − 1: for odd p the frequency (p−1)/2 is never found. For comparison only.

    Example:
        >>> released_key_frequencies(torch.tensor([[0.1, 0.01], [0.8, 0.02]]), 5)
        (1,)
    """
    frequency, _ = best_frequency(shares[: modulus // 2 - 1]) if modulus > 3 else (torch.zeros(0), None)
    return tuple(sorted({int(k) for k in frequency.tolist() if k}))


def _totals(energy: Tensor) -> tuple[Tensor, Tensor]:
    varying = energy.clone()
    varying[0, 0] = 0.0  # left out rather than subtracted: a nearly constant neuron keeps its digits
    return varying.sum(dim=(0, 1)), energy.sum(dim=(0, 1))


def _share(part: Tensor, total: Tensor, whole: Tensor) -> Tensor:
    return torch.where(total > _ROUNDING * whole, part / total, math.nan)
