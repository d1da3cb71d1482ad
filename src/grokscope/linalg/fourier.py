"""Fourier analysis on Z/p: what a network that adds modulo p computes, and what is left without it.

Notation, after Nanda et al. 2023: p is the modulus, w_k = 2πk/p, L (p, p, C) are the logits of all
pairs (a, b), and G (p, C), called ``diagonal`` here, is their mean over the pairs with a + b = s. Every
projection of L on functions of a + b is a projection of G on functions of s, so restricted and excluded
losses cost p rows instead of p². All functions compute in float64, whatever they are given (a float32
log-softmax is quantised at 1.2e-7, above the losses of a generalised run), and stay on its device.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from grokscope.errors import UsageError

Diagonal = Float[Tensor, "p c"]
ResidueLogits = Float[Tensor, "n p"]
Sums = Int[Tensor, " n"]
PerFrequency = Float[Tensor, " k"]
Counts = Num[Tensor, " p"]
Scalar = Float[Tensor, ""]
Device = torch.device | str | None

_SAFE_EXPONENT = 600.0  # e^±600 times a sum of many still fits float64 (e^±708)


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


def fourier_basis(modulus: int, *, dtype: torch.dtype = torch.float64, device: Device = None) -> Float[Tensor, "p p"]:
    """Return the orthonormal real Fourier basis of functions on Z/p, one basis vector per row.

    Row 0 is 1/√p; rows 2k−1 and 2k are cos(w_k a) and sin(w_k a) over √(p/2); for even p the last row
    is (−1)^a/√p. Raises UsageError for a modulus below 2. Reference: Nanda et al. 2023, section 4.

    Example:
        >>> torch.allclose(fourier_basis(6) @ fourier_basis(6).T, torch.eye(6, dtype=torch.float64))
        True
    """
    waves = _wave_pairs(modulus, frequencies(modulus), device).flatten(0, 1)
    constant = waves.new_full((1, modulus), 1 / math.sqrt(modulus))
    return torch.cat([constant, waves])[:modulus].to(dtype)


def frequency_norms(matrix: Float[Tensor, "p n"]) -> PerFrequency:
    """Return, for each frequency k, the norm of a matrix's cosine and sine components along axis 0.

    √(‖F_{2k−1} M‖² + ‖F_{2k} M‖²) with F of ``fourier_basis``; (p, n) to (⌊p/2⌋,), in the matrix's units.
    Raises UsageError where the matrix is not 2-D or p < 2. Reference: Nanda et al. 2023, section 4.1.

    Example:
        >>> [round(norm, 6) for norm in frequency_norms(3 * fourier_basis(5)[:3].T).tolist()]
        [4.242641, 0.0]
    """
    return torch.linalg.vector_norm(_spectrum(matrix), dim=1)


def component_norms(matrix: Float[Tensor, "p n"]) -> Float[Tensor, " p-1"]:
    """Return the norm of each Fourier component of a matrix along axis 0, the constant one dropped.

    ‖F_i M‖ for i = 1, …, p−1 with F of ``fourier_basis``; (p, n) to (p−1,): cosine and sine apart, as
    the Gini coefficient of Nanda et al. 2023 takes them. Raises UsageError as ``frequency_norms`` does.

    Example:
        >>> [round(norm, 6) for norm in component_norms(3 * fourier_basis(5)[:3].T).tolist()]
        [3.0, 3.0, 0.0, 0.0]
    """
    spectrum = _spectrum(matrix)
    parts = torch.stack([spectrum.real, spectrum.imag], dim=1)
    return torch.linalg.vector_norm(parts, dim=2).flatten()[: len(matrix) - 1]


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


def anti_diagonal_mean(logits: Num[Tensor, "p p c"]) -> Diagonal:
    """Return the mean of the logits over the pairs of each sum: G[s, c] = (1/p) Σ_{a+b≡s} L[a, b, c].

    (p, p, C) to (p, C). Raises UsageError where the first two axes differ.

    Example:
        >>> anti_diagonal_mean(torch.tensor([[[1.0], [2.0]], [[4.0], [3.0]]])).tolist()
        [[2.0], [3.0]]
    """
    _check_square(logits, 3, "logits (p, p, classes) of all p² pairs")
    first = torch.arange(len(logits), device=logits.device)
    second = (first[:, None] - first) % len(logits)
    return logits[first, second].mean(dim=1, dtype=torch.float64)


def key_component(diagonal: Diagonal, keys: Iterable[int]) -> Diagonal:
    """Return the projection of G on the waves cos w_k s and sin w_k s of the key frequencies.

    (p, C) to (p, C); row a+b is the projection of the logits of (a, b). Zero for no keys. Raises
    UsageError for a key outside 1, …, ⌊p/2⌋ or where G is not 2-D.

    Example:
        >>> wave = fourier_basis(5)[1:2].T
        >>> torch.allclose(key_component(wave + 7, [1]), wave)
        True
    """
    diagonal = _float64(diagonal, "diagonal", 2)
    modulus = len(diagonal)
    waves = _wave_pairs(modulus, _checked_keys(keys, modulus), diagonal.device).flatten(0, 1)
    return waves.T @ (waves @ diagonal)


def restricted_logits(diagonal: Diagonal, keys: Iterable[int]) -> Diagonal:
    """Return the logits of the circuit alone: the mean over all pairs plus the key component.

    R[s] = mean_s G + P_keys G, (p, C) to (p, C); with no keys, the mean only. Raises UsageError as
    ``key_component`` does. Reference: Nanda et al. 2023, section 5.1 (there called bias correction).

    Example:
        >>> restricted_logits(torch.tensor([[1.0], [3.0], [2.0]]), []).tolist()
        [[2.0], [2.0], [2.0]]
    """
    component = key_component(diagonal, keys)
    return diagonal.mean(dim=0, dtype=torch.float64) + component


def cross_entropy(logits: Float[Tensor, "*batch c"], targets: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Return −log softmax(logits)[target] for each item, in nats, computed in float64.

    (…, C) and (…) to (…). Raises UsageError where the shapes disagree; a target outside 0, …, C−1
    raises torch's index error (checking it here would stall a GPU).

    Example:
        >>> round(cross_entropy(torch.zeros(5), torch.tensor(2)).item(), 6)
        1.609438
    """
    if logits.ndim == 0 or logits.shape[:-1] != targets.shape:
        raise UsageError(
            f"logits {[*logits.shape]} and targets {[*targets.shape]} disagree: "
            "give one target per row of logits, the classes on the last axis."
        )
    likelihoods = torch.log_softmax(logits.to(torch.float64), dim=-1)
    return -likelihoods.gather(-1, targets.to(torch.int64)[..., None])[..., 0]


def restricted_loss(diagonal: Diagonal, keys: Iterable[int], counts: Counts | None = None) -> Scalar:
    """Return the loss of the circuit alone, Σ_s (n_s/n) CE(R[s], s), in nats.

    ``counts`` holds n_s, the number of the split's pairs with sum s; None means all p² pairs. Raises
    UsageError where the classes are not the p residues, a key is out of range or the counts hold no
    pair. Reference: Nanda et al. 2023, section 5.1.

    Example:
        >>> round(restricted_loss(torch.zeros(5, 5), [1]).item(), 6)
        1.609438
    """
    restricted = restricted_logits(_residue_logits(diagonal), keys)
    sums = torch.arange(len(restricted), device=restricted.device)
    return _mean_over_pairs(cross_entropy(restricted, sums), counts)


def restricted_accuracy(diagonal: Diagonal, keys: Iterable[int], counts: Counts | None = None) -> Scalar:
    """Return the share of pairs that the circuit alone answers correctly, Σ_s (n_s/n) [argmax R[s] = s].

    Arguments and errors as for ``restricted_loss``; a tie goes to torch's argmax.

    Example:
        >>> restricted_accuracy(torch.eye(5), [1, 2]).item()
        1.0
    """
    restricted = restricted_logits(_residue_logits(diagonal), keys)
    sums = torch.arange(len(restricted), device=restricted.device)
    return _mean_over_pairs((restricted.argmax(dim=-1) == sums).to(torch.float64), counts)


def excluded_logits(logits: ResidueLogits, sums: Sums, diagonal: Diagonal, keys: Iterable[int]) -> ResidueLogits:
    """Return the logits of given pairs once the circuit of the key frequencies is removed, (N, p).

    L[a, b] − (P_keys G)[a+b]: the mean logits stay. ``logits`` (N, p) and ``sums`` (N,) are those of the
    pairs asked for (the train split, in the paper); ``diagonal`` is fitted on all pairs. Raises UsageError
    where shapes, sums or keys do not fit. Reference: Nanda et al. 2023, section 5.1.

    Example:
        >>> excluded_logits(torch.ones(2, 5), torch.tensor([0, 3]), torch.zeros(5, 5), [1]).unique().item()
        1.0
    """
    logits, sums, diagonal = _checked_pairs(logits, sums, diagonal)
    return logits - key_component(diagonal, keys)[sums]


def excluded_loss(logits: ResidueLogits, sums: Sums, diagonal: Diagonal, keys: Iterable[int]) -> Scalar:
    """Return the mean cross-entropy of ``excluded_logits``, in nats.

    Example:
        >>> table = torch.cos(2 * math.pi * (torch.arange(5)[:, None] - torch.arange(5)) / 5)
        >>> round(excluded_loss(table, torch.arange(5), table, [1]).item(), 6)
        1.609438
    """
    return cross_entropy(excluded_logits(logits, sums, diagonal, keys), sums).mean()


def excluded_accuracy(logits: ResidueLogits, sums: Sums, diagonal: Diagonal, keys: Iterable[int]) -> Scalar:
    """Return the share of pairs that ``excluded_logits`` answer correctly; a tie goes to torch's argmax.

    Example:
        >>> excluded_accuracy(torch.eye(5), torch.arange(5), torch.zeros(5, 5), [1]).item()
        1.0
    """
    return (excluded_logits(logits, sums, diagonal, keys).argmax(dim=-1) == sums).to(torch.float64).mean()


def excluded_losses(logits: ResidueLogits, sums: Sums, diagonal: Diagonal, *, chunk: int = 8) -> PerFrequency:
    """Return ``excluded_loss`` for every frequency removed alone, (⌊p/2⌋,), in nats.

    With D_k = P_k G, the loss of a pair is log Σ_c e^{L_c − L_s} e^{D_k[s,s] − D_k[s,c]}: the exponentials
    of pairs and of frequencies are taken once each and meet in a product of matrices. ``chunk``
    frequencies are held at a time (chunk·p² numbers). The maximum over k is the excluded loss that needs
    no key set. Raises UsageError as ``excluded_loss`` does, and for a chunk below 1.

    Example:
        >>> table = torch.cos(2 * math.pi * (torch.arange(5)[:, None] - torch.arange(5)) / 5)
        >>> [round(loss, 6) for loss in excluded_losses(table, torch.arange(5), table).tolist()]
        [1.609438, 0.845781]
    """
    logits, sums, diagonal = _checked_pairs(logits, sums, diagonal)
    if chunk < 1:
        raise UsageError(f"chunk is {chunk}: give the number of frequencies to hold at a time, at least 1.")
    modulus = len(diagonal)
    margins = logits - logits.gather(1, sums[:, None])
    amplitude = math.sqrt(2 / modulus) * _spectrum(diagonal).abs().max()
    # Beyond this the product of two exponentials could leave float64's range; nan comes here too.
    if not bool(margins.abs().max() + 2 * amplitude <= _SAFE_EXPONENT):
        return torch.stack([excluded_loss(logits, sums, diagonal, [k]) for k in frequencies(modulus)])
    # The true class left out, its odds being 1: log1p then keeps the digits of a loss near 0.
    odds = margins.exp().scatter(1, sums[:, None], 0.0)
    counts = torch.bincount(sums, minlength=modulus).tolist()
    by_sum = pad_sequence(list(odds[sums.argsort(stable=True)].split(counts)), batch_first=True)
    losses = []
    for waves in _wave_pairs(modulus, frequencies(modulus), diagonal.device).split(chunk):
        components = waves.transpose(1, 2) @ (waves @ diagonal)
        true_class = components.diagonal(dim1=1, dim2=2)[..., None]
        totals = by_sum @ (true_class - components).exp().permute(1, 2, 0)
        losses.append(totals.log1p().sum(dim=(0, 1)) / len(sums))
    return torch.cat(losses)


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
    diagonal = _residue_logits(diagonal)
    modulus = len(diagonal)
    residues = torch.arange(modulus, device=diagonal.device)
    by_error = diagonal[(residues[:, None] + residues) % modulus, residues].sum(dim=1)
    # Unit waves on p residues: the p³ cube holds p² copies of each, so its unit vector is 1/p of this one.
    return _spectrum(by_error[:, None])[:, 0].real


def logit_variance_explained(logits: Float[Tensor, "p p p"], keys: Iterable[int]) -> Scalar:
    """Return the share of the logits' variance that cos w_k(a+b−c), k in keys, explain: 1 − RSS/TSS.

    Least squares with a constant (the softmax ignores it), TSS about the mean of all p³ logits. The
    waves are orthogonal to each other and to the constant, so this is Σ_k α_k² / TSS. nan for constant
    logits, 0 for no keys. Raises UsageError where the cube is not (p, p, p) or a key is out of range.
    Reference: Nanda et al. 2023, section 4.2.

    Example:
        >>> a, b, c = torch.meshgrid(*[torch.arange(5)] * 3, indexing="ij")
        >>> round(logit_variance_explained(torch.cos(2 * math.pi * (a + b - c) / 5) + 1, [1]).item(), 6)
        1.0
    """
    centred = _float64(logits, "logits", 3) - logits.mean(dtype=torch.float64)
    coefficients = cosine_coefficients(anti_diagonal_mean(centred))
    chosen = [key - 1 for key in _checked_keys(keys, len(logits))]
    total = centred.square().sum()
    # Constant logits leave the mean's rounding error, whose shares mean nothing.
    rounding = logits.numel() * (1e-15 * logits.abs().max()).square()
    return torch.where(total > rounding, coefficients[chosen].square().sum() / total, math.nan)


def spectrum_2d(activations: Float[Tensor, "p p n"]) -> Float[Tensor, "p p n"]:
    """Return the real Fourier coefficients of functions of (a, b): S[i, j] = Σ_ab F_ia F_jb A[a, b].

    (p, p, n) to (p, p, n), rows and columns in the order of ``fourier_basis``; the sum of squares over
    (i, j) is that over (a, b). Raises UsageError where the first two axes differ.

    Example:
        >>> round(spectrum_2d(torch.ones(5, 5, 1))[0, 0, 0].item(), 6)
        5.0
    """
    _check_square(activations, 3, "activations (p, p, n) of all p² pairs")
    basis = fourier_basis(len(activations), device=activations.device)
    return basis @ (basis @ activations.to(torch.float64).flatten(1)).reshape(activations.shape)


def _wave_pairs(modulus: int, chosen: Iterable[int], device: Device) -> Float[Tensor, "k 2 p"]:
    """Return unit cosine and sine rows per frequency; at p/2 the sine, which vanishes, is a zero row."""
    frequency = torch.tensor(list(chosen), dtype=torch.int64, device=device)[:, None]
    # Reduced modulo p while still an integer: the angle then carries one rounding, whatever k·a is.
    turns = frequency * torch.arange(modulus, device=device) % modulus
    angle = turns.to(torch.float64) * (2 * math.pi / modulus)
    alternating = 2 * frequency == modulus
    scale = ((2 - alternating.to(torch.float64)) / modulus).sqrt()
    return torch.stack([scale * angle.cos(), (scale * angle.sin()).masked_fill(alternating, 0.0)], dim=1)


def _spectrum(matrix: Num[Tensor, "p n"]) -> Tensor:
    """Return cosine − i·sine coefficients on the unit waves, complex (⌊p/2⌋, n), the constant dropped."""
    matrix = _float64(matrix, "matrix", 2)
    modulus = len(matrix)
    scale = matrix.new_full((modulus // 2, 1), math.sqrt(2 / modulus))
    if modulus % 2 == 0:
        scale[-1] = math.sqrt(1 / modulus)
    return torch.fft.rfft(matrix, dim=0)[1:] * scale


def _float64(tensor: Tensor, name: str, axes: int) -> Tensor:
    if tensor.ndim != axes or len(tensor) < 2:
        raise UsageError(f"the {name} has shape {[*tensor.shape]}: give {axes} axes, p (at least 2) first.")
    return tensor.to(torch.float64)


def _check_square(tensor: Tensor, axes: int, wanted: str) -> None:
    if tensor.ndim != axes or len(tensor) < 2 or tensor.shape[0] != tensor.shape[1]:
        raise UsageError(f"a tensor of shape {[*tensor.shape]} was given: give {wanted}, p at least 2.")


def _residue_logits(diagonal: Tensor) -> Tensor:
    _check_square(diagonal, 2, "the mean logits (p, p) of the p residues (drop classes such as '=')")
    return diagonal.to(torch.float64)


def _checked_keys(keys: Iterable[int], modulus: int) -> list[int]:
    chosen = sorted({operator.index(key) for key in keys})
    valid = frequencies(modulus)
    if outside := [key for key in chosen if key not in valid]:
        raise UsageError(f"no frequency {outside[0]} exists modulo {modulus}: give keys of 1 to {valid[-1]}.")
    return chosen


def _mean_over_pairs(values: Tensor, counts: Tensor | None) -> Tensor:
    if counts is None:
        return values.mean()
    if counts.shape != values.shape:
        raise UsageError(f"counts of shape {[*counts.shape]} were given: give one per sum, {[*values.shape]}.")
    if bool((counts < 0).any()) or not bool(counts.any()):
        raise UsageError("the counts are negative or all zero: give the split's number of pairs of each sum.")
    weights = counts.to(values)
    return (weights * values).sum() / weights.sum()


def _checked_pairs(logits: Tensor, sums: Tensor, diagonal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    diagonal = _residue_logits(diagonal)
    modulus = len(diagonal)
    if logits.ndim != 2 or logits.shape[1] != modulus or sums.shape != logits.shape[:1] or len(sums) == 0:
        raise UsageError(
            f"logits {[*logits.shape]} and sums {[*sums.shape]} do not fit modulus {modulus}: "
            f"give (pairs, {modulus}) and (pairs,), for at least one pair."
        )
    if sums.is_floating_point() or bool(((sums < 0) | (sums >= modulus)).any()):
        raise UsageError(f"the sums are not all residues: give integers (a + b) mod p, 0 to {modulus - 1}.")
    return logits.to(torch.float64), sums.to(diagonal.device, torch.int64), diagonal
