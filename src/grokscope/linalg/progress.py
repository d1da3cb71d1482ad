"""Restricted and excluded loss: what the Fourier circuit alone achieves, and what is left without it.

Notation, after Nanda et al. 2023: L (p, p, C) are the logits of all pairs (a, b), s = a + b mod p their
answers (or a − b: the functions take any table of answers in which each residue occurs p times), and
G (p, C), called ``diagonal`` here, is the mean of L over the pairs of each answer. Every projection of L
on functions of s is a projection of G, so restricted and excluded losses cost p rows instead of p². All
functions compute in float64, whatever they are given (a float32 log-softmax is quantised at 1.2e-7,
above the losses of a generalised run), and stay on its device.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.fourier import (
    PerFrequency,
    check_square,
    checked_keys,
    frequencies,
    in_float64,
    wave_coefficients,
    wave_pairs,
)

Diagonal = Float[Tensor, "p c"]
ResidueLogits = Float[Tensor, "n p"]
Sums = Int[Tensor, " n"]
Table = Int[Tensor, "p p"]
PerSum = Float[Tensor, " p"]
Counts = Num[Tensor, " p"]
Scalar = Float[Tensor, ""]

_SAFE_EXPONENT = 600.0  # e^±600 times a sum of many still fits float64 (e^±708)


def anti_diagonal_mean(logits: Num[Tensor, "p p c"], table: Table | None = None) -> Diagonal:
    """Return the mean of the logits over the pairs of each answer: G[s, c] = (1/p) Σ_{a+b≡s} L[a, b, c].

    (p, p, C) to (p, C). ``table`` (p, p) holds the answer of each pair; None is a + b mod p. Raises
    UsageError where the first two axes differ, or the table does not hold each residue p times.

    Example:
        >>> anti_diagonal_mean(torch.tensor([[[1.0], [2.0]], [[4.0], [3.0]]])).tolist()
        [[2.0], [3.0]]
    """
    check_square(logits, 3, "logits (p, p, classes) of all p² pairs")
    modulus = len(logits)
    if table is None:
        residues = torch.arange(modulus, device=logits.device)
        answers = ((residues[:, None] + residues) % modulus).flatten()
    else:
        answers = _checked_table(table, modulus).to(logits.device).flatten()
    totals = torch.zeros(modulus, logits.shape[2], dtype=torch.float64, device=logits.device)
    return totals.index_add_(0, answers, logits.flatten(0, 1).to(torch.float64)) / modulus


def key_component(diagonal: Diagonal, keys: Iterable[int]) -> Diagonal:
    """Return the projection of G on the waves cos w_k s and sin w_k s of the key frequencies.

    (p, C) to (p, C); row a+b is the projection of the logits of (a, b). Zero for no keys. Raises
    UsageError for a key outside 1, …, ⌊p/2⌋ or where G is not 2-D.

    Example:
        >>> from grokscope.linalg.fourier import fourier_basis
        >>> wave = fourier_basis(5)[1:2].T
        >>> torch.allclose(key_component(wave + 7, [1]), wave)
        True
    """
    diagonal = in_float64(diagonal, "diagonal", 2)
    modulus = len(diagonal)
    waves = wave_pairs(modulus, checked_keys(keys, modulus), diagonal.device).flatten(0, 1)
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
    logits = logits.to(torch.float64)
    # Of the margins, not of the logits: where the target leads, the largest is 0 and no digit is lost to it.
    return (logits - logits.gather(-1, targets.to(torch.int64)[..., None])).logsumexp(dim=-1)


def answers_of_sums(logits: Float[Tensor, "p p"]) -> tuple[PerSum, PerSum]:
    """Return the loss (nats) and the hit (1 or 0) of logits that depend on the answer s alone, each (p,).

    Row s of ``logits`` (p, p) is that of every pair with the answer s; a tie goes to torch's argmax. Raises
    UsageError where the classes are not the p residues.

    Example:
        >>> answers_of_sums(torch.eye(3))[1].tolist()
        [1.0, 1.0, 1.0]
    """
    logits = _residue_logits(logits)
    sums = torch.arange(len(logits), device=logits.device)
    return cross_entropy(logits, sums), (logits.argmax(dim=-1) == sums).to(torch.float64)


def mean_over_pairs(values: PerSum, counts: Counts | None = None) -> Scalar:
    """Return Σ_s (n_s/n) v_s, the mean over a split's pairs of what depends on the answer alone.

    ``counts`` holds n_s, the number of the split's pairs with the answer s; None means all p² pairs.
    Raises UsageError where the shapes differ, or the counts are negative or hold no pair.

    Example:
        >>> mean_over_pairs(torch.tensor([1.0, 5.0]), torch.tensor([3, 1])).item()
        2.0
    """
    if counts is None:
        return values.mean()
    if counts.shape != values.shape:
        raise UsageError(f"counts of shape {[*counts.shape]} were given: give one per sum, {[*values.shape]}.")
    if bool((counts < 0).any()) or not bool(counts.any()):
        raise UsageError("the counts are negative or all zero: give the split's number of pairs of each sum.")
    weights = counts.to(values)
    return (weights * values).sum() / weights.sum()


def restricted_loss(diagonal: Diagonal, keys: Iterable[int], counts: Counts | None = None) -> Scalar:
    """Return the loss of the circuit alone, Σ_s (n_s/n) CE(R[s], s), in nats.

    ``counts`` holds n_s, the number of the split's pairs with sum s; None means all p² pairs. Raises
    UsageError where the classes are not the p residues, a key is out of range or the counts hold no
    pair. Reference: Nanda et al. 2023, section 5.1.

    Example:
        >>> round(restricted_loss(torch.zeros(5, 5), [1]).item(), 6)
        1.609438
    """
    return mean_over_pairs(answers_of_sums(restricted_logits(diagonal, keys))[0], counts)


def restricted_accuracy(diagonal: Diagonal, keys: Iterable[int], counts: Counts | None = None) -> Scalar:
    """Return the share of pairs that the circuit alone answers correctly, Σ_s (n_s/n) [argmax R[s] = s].

    Arguments and errors as for ``restricted_loss``; a tie goes to torch's argmax.

    Example:
        >>> restricted_accuracy(torch.eye(5), [1, 2]).item()
        1.0
    """
    return mean_over_pairs(answers_of_sums(restricted_logits(diagonal, keys))[1], counts)


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
    amplitude = math.sqrt(2 / modulus) * wave_coefficients(diagonal).norm(dim=1).max()
    # Beyond this the product of two exponentials could leave float64's range; nan comes here too.
    if not bool(margins.abs().max() + 2 * amplitude <= _SAFE_EXPONENT):
        return torch.stack([excluded_loss(logits, sums, diagonal, [k]) for k in frequencies(modulus)])
    # The true class left out, its odds being 1: log1p then keeps the digits of a loss near 0.
    odds = margins.exp().scatter(1, sums[:, None], 0.0)
    by_sum = _grouped(odds, sums, modulus)
    losses = []
    for waves in wave_pairs(modulus, frequencies(modulus), diagonal.device).split(chunk):
        components = waves.transpose(1, 2) @ (waves @ diagonal)
        true_class = components.diagonal(dim1=1, dim2=2)[..., None]
        totals = by_sum @ (true_class - components).exp().permute(1, 2, 0)
        losses.append(totals.log1p().sum(dim=(0, 1)) / len(sums))
    return torch.cat(losses)


def _residue_logits(diagonal: Tensor) -> Tensor:
    check_square(diagonal, 2, "the mean logits (p, p) of the p residues (drop classes such as '=')")
    return diagonal.to(torch.float64)


def _grouped(rows: Tensor, sums: Tensor, modulus: int) -> Tensor:
    """Return rows (N, C) by their sum, (p, most of one sum, C), filled up with zeros."""
    counts = torch.bincount(sums, minlength=modulus)
    order = sums.argsort(stable=True)
    first = (counts.cumsum(0) - counts)[sums[order]]
    places = torch.arange(len(sums), device=sums.device) - first
    grouped = rows.new_zeros(modulus, int(counts.max()), rows.shape[1])
    grouped[sums[order], places] = rows[order]
    return grouped


def _checked_table(table: Tensor, modulus: int) -> Tensor:
    """Return a table of answers (p, p), which hold each residue p times, as they do in a group."""
    fits = table.shape == (modulus, modulus) and not table.is_floating_point() and bool((table >= 0).all())
    if not fits or bool((torch.bincount(table.flatten(), minlength=modulus) != modulus).any()):
        raise UsageError(
            f"a table of answers {[*table.shape]} was given that does not hold each of {modulus} residues {modulus} "
            "times: give that of a + b or a - b modulo p."
        )
    return table


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
