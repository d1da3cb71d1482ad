"""How uniformly an embedding is laid out: the mean embedding difference (MED) in its variants, and what it misses."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor

from grokscope.errors import UsageError

Variant = Literal["base", "rectangle", "strip"]


def mean_difference(embedding: Num[Tensor, "p width"], *, step: int = 1, wrap: bool = True) -> Float[Tensor, ""]:
    """Return the mean distance between the embeddings of residues that are ``step`` apart.

    MED = (1/p) Σ_i ‖φ(i + step) − φ(i)‖, indices modulo p; without ``wrap`` the mean over the p − step pairs that do
    not pass the end. (p, width) to (), in units of the embedding, from 0; float64. Raises UsageError for a matrix that
    is not 2-D, not finite or too short. Source: Gu et al. 2025, definition 4.2.

    Example:
        >>> mean_difference(torch.tensor([[0.0], [3.0], [4.0]])).item()  # (3 + 1 + 4) / 3
        2.6666666666666665
    """
    rows = _checked(embedding)
    if not 1 <= step < len(rows):
        raise UsageError(f"step = {step} was given for {len(rows)} residues: give 1 to {len(rows) - 1}.")
    ahead = rows.roll(-step, 0)
    differences = (ahead - rows).norm(dim=1)
    return (differences if wrap else differences[:-step]).mean()


def mean_difference_of_code(
    embedding: Num[Tensor, "vocabulary width"], order: int, *, offset: int = 0, variant: Variant = "base"
) -> Float[Tensor, ""]:
    """Return MED as the released code computes it, over the vocabularies of both operands.

    With m_1 the mean of ‖φ(i+1) − φ(i)‖ over the p − 2 steps among ids 0 … p−2, and m_2 that among ids
    offset … offset+p−2: (m_1 + m_2)/2 in the base script, (p−1)(m_1 + m_2) in the script of rectangular holes,
    m_1 + m_2 in that of strips. The last residue and the wrap-around are left out in all three. (vocabulary, width)
    to (), in units of the embedding; float64. Raises UsageError for a vocabulary that is too small, p below 3 or an
    unknown variant. Source: Gu et al. 2025, released code.

    Example:
        >>> mean_difference_of_code(torch.tensor([[0.0], [3.0], [4.0], [9.0]]), 4).item()  # (3 + 1) / 2
        2.0
    """
    rows = _checked(embedding)
    if order < 3 or offset < 0 or offset + order > len(rows):
        raise UsageError(
            f"order = {order} and offset = {offset} were given for {len(rows)} embeddings: give an order of 3 or more, "
            "and offset + order of at most their number."
        )
    first = mean_difference(rows[: order - 1], wrap=False)
    second = mean_difference(rows[offset : offset + order - 1], wrap=False)
    factors = {"base": 0.5, "rectangle": order - 1.0, "strip": 1.0}
    if variant not in factors:
        raise UsageError(f"variant = {variant!r} was given: the known ones are {', '.join(factors)}.")
    return factors[variant] * (first + second)


def spread(embedding: Num[Tensor, "p width"]) -> Float[Tensor, ""]:
    """Return the root mean square distance of the embeddings from their mean, √((1/p) Σ_i ‖φ(i) − φ̄‖²).

    (p, width) to (), in units of the embedding, float64; exactly 0 where all agree up to rounding. Raises UsageError
    for a matrix that is not 2-D, not finite or has one row.

    Example:
        >>> spread(torch.tensor([[1.0], [3.0]])).item()
        1.0
    """
    rows = _checked(embedding)
    found = (rows - rows.mean(0)).square().sum(1).mean().sqrt()
    rounding = 8 * torch.finfo(torch.float64).eps * rows.norm(dim=1).mean()
    return torch.where(found <= rounding, torch.zeros_like(found), found)


def scale_free_difference(embedding: Num[Tensor, "p width"], *, step: int = 1) -> Float[Tensor, ""]:
    """Return MED over the spread of the embeddings: it does not change when they are scaled, shifted or rotated.

    MED(step) / √((1/p) Σ_i ‖φ(i) − φ̄‖²). (p, width) to (), without units, 0 to 2; float64. A wide Gaussian embedding
    has √2, a circle of frequency k has 2 sin(πk/p); nan where all embeddings are equal. Raises UsageError as
    :func:`mean_difference` does.

    Example:
        >>> scale_free_difference(torch.tensor([[5.0], [7.0]])).item()
        2.0
    """
    size = spread(embedding)
    return mean_difference(embedding, step=step) / torch.where(size > 0, size, math.nan)


def orbit_difference(
    embedding: Num[Tensor, "p width"], *, generators_only: bool = True
) -> tuple[Float[Tensor, ""], int]:
    """Return the least scale-free MED over all ways to walk round the residues by equal steps, and that step.

    min over g = 1 … ⌊p/2⌋ of MED(g) over the spread; with ``generators_only`` over the g prime to p, whose walk
    visits every residue (all of them for prime p). Which frequency a circle has does not matter: it is that of
    frequency 1. (p, width) to (), without units, 0 to 2; float64; nan and step 0 where all embeddings are equal.
    Raises UsageError as :func:`mean_difference` does.

    Example:
        >>> angle = 2 * torch.pi * 2 * torch.arange(5, dtype=torch.float64) / 5
        >>> value, step = orbit_difference(torch.stack([angle.cos(), angle.sin()], 1))
        >>> round(value.item(), 6), step
        (1.175571, 2)
    """
    rows = _checked(embedding)
    order, size = len(rows), spread(rows)
    if not bool(size > 0):
        return size.new_full((), math.nan), 0
    steps = [g for g in range(1, order // 2 + 1) if not generators_only or math.gcd(g, order) == 1]
    found = torch.stack([mean_difference(rows, step=step) for step in steps]) / size
    best = int(found.argmin())
    return found[best], steps[best]


def by_discrete_logarithm(embedding: Num[Tensor, "p width"]) -> Num[Tensor, "p_less_1 width"]:
    """Return the embeddings of 1 … p−1 in the order 1, γ, γ², … of the least primitive root γ of the prime p.

    Multiplication modulo p is addition of these places modulo p − 1, so :func:`orbit_difference` of the result is the
    least over walks i → g i. (p, width) to (p−1, width). Raises UsageError where p is not a prime above 2.

    Example:
        >>> by_discrete_logarithm(torch.arange(5)[:, None]).flatten().tolist()  # 2 is a primitive root of 5
        [1, 2, 4, 3]
    """
    order = len(embedding)
    if not is_odd_prime(order):
        raise UsageError(f"{order} embeddings were given: discrete logarithms need their number to be a prime above 2.")
    root, powers = 1, [1]
    while len(powers) < order - 1:
        root, powers = root + 1, [1]
        while (following := powers[-1] * root % order) != 1:
            powers.append(following)
    return embedding[torch.tensor(powers, device=embedding.device)]


def is_odd_prime(number: int) -> bool:
    """Tell whether a number is a prime above 2.

    Example:
        >>> [number for number in range(20) if is_odd_prime(number)]
        [3, 5, 7, 11, 13, 17, 19]
    """
    return number > 2 and all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def class_sum_spread(
    embedding: Num[Tensor, "p width"],
    table: Int[Tensor, "p p"],
    second: Num[Tensor, "p width"] | None = None,
) -> Float[Tensor, ""]:
    """Return how far sums of embeddings with the same answer lie apart, over how far all sums lie apart.

    The mean over answers r of σ_r, over σ of all pairs, with σ = √(mean ‖s − s̄‖²) of the sums s = φ(i) + φ(j) over the
    pairs (i, j) with the answer r. Rows of ``table`` are i, columns j; ``second`` holds φ(j) where the operands have
    embeddings of their own. Where every row and column of the table has every answer once, as in a group, all answers
    have the same mean, and the root mean square of σ_r / σ is 1 whatever the embedding: the result is 1 or a little
    less. To (), without units, from 0; float64; nan where all sums are equal. Raises
    UsageError where the shapes do not fit. Source: after Gu et al. 2025, theorem 3.5.

    Example:
        >>> apart = torch.tensor([[0, 1], [2, 3]])  # every pair has an answer of its own
        >>> class_sum_spread(torch.eye(2), apart).item()
        0.0
    """
    left = _checked(embedding)
    right = left if second is None else _checked(second)
    if table.shape != (len(left), len(right)) or left.shape[1] != right.shape[1]:
        raise UsageError(
            f"a table of shape {tuple(table.shape)} was given for {len(left)} and {len(right)} embeddings of widths "
            f"{left.shape[1]} and {right.shape[1]}: rows are those of the first, columns of the second, widths equal."
        )
    left, right = left - left.mean(0), right - right.mean(0)
    classes = torch.unique(table, return_inverse=True)[1].to(left.device)
    counts = torch.bincount(classes.flatten()).double()
    centres = left.new_zeros(len(counts), left.shape[1])
    # one row of pairs at a time: (p, width) of memory, and squares of differences rather than differences of squares
    for row, answers in zip(left, classes, strict=True):
        centres.index_add_(0, answers, row + right)
    centres /= counts[:, None]
    squares = left.new_zeros(len(counts))
    for row, answers in zip(left, classes, strict=True):
        squares.index_add_(0, answers, (row + right - centres[answers]).square().sum(1))
    everything = (spread(left).square() + spread(right).square()).sqrt()
    return (squares / counts).sqrt().mean() / torch.where(everything > 0, everything, math.nan)


def distance_between(first: Num[Tensor, "p width"], second: Num[Tensor, "p width"]) -> Float[Tensor, ""]:
    """Return how far the vocabularies of the operands lie apart: the Frobenius norm of the difference of their rows.

    √(Σ_i ‖φ_1(i) − φ_2(i)‖²). Two (p, width) to (), in units of the embedding; float64. Raises UsageError where the
    shapes differ. Source: Gu et al. 2025, released code (which leaves out the last residue).

    Example:
        >>> distance_between(torch.zeros(2, 2), torch.tensor([[3.0, 0.0], [0.0, 4.0]])).item()
        5.0
    """
    if first.shape != second.shape:
        raise UsageError(f"embeddings of shapes {tuple(first.shape)} and {tuple(second.shape)} were given: give equal.")
    return (_checked(first) - _checked(second)).norm()


def sphere_uniformity(
    embedding: Num[Tensor, "n width"], *, temperature: float = 2.0, chunk: int = 1024
) -> Float[Tensor, ""]:
    """Return how evenly directions cover the sphere: log of the mean Gaussian potential over pairs of them.

    log mean_{i<j} exp(−t ‖u_i − u_j‖²) with u = φ/‖φ‖. (n, width) to (), in nats, −4t to 0: 0 where all directions
    are equal, lower the more evenly they are spread; float64; nan where a row is zero. ``chunk`` rows are compared with
    all at a time. Raises UsageError for a matrix that is not 2-D, not finite or has one row. Source: Wang and Isola
    2020, eq. 2.

    Example:
        >>> sphere_uniformity(torch.tensor([[1.0, 0.0], [-3.0, 0.0]])).item()  # opposite: -2 times 2 squared
        -8.0
    """
    rows = _checked(embedding)
    directions = rows / rows.norm(dim=1, keepdim=True)
    count = len(directions)
    total = directions.new_zeros(())
    for part, places in zip(directions.split(chunk), torch.arange(count).split(chunk), strict=True):
        squares = (2 - 2 * part @ directions.T).clamp(min=0)
        above = torch.arange(count, device=rows.device) > places[:, None].to(rows.device)
        total = total + torch.where(above, torch.exp(-temperature * squares), 0.0).sum()
    missing = bool(directions.isnan().any())
    return torch.where(torch.tensor(missing, device=rows.device), math.nan, (total / (count * (count - 1) / 2)).log())


def _checked(embedding: Tensor) -> Tensor:
    if embedding.ndim != 2 or len(embedding) < 2 or not embedding.shape[1]:
        raise UsageError(
            f"an embedding of shape {tuple(embedding.shape)} was given: give (rows, width), 2 or more rows."
        )
    if embedding.is_meta:
        raise UsageError("the embedding is on the meta device, where tensors have no values: load the weights first.")
    rows = embedding.to(torch.float64)
    if not bool(torch.isfinite(rows).all()):
        raise UsageError("the embedding holds NaN or Inf: distances need finite numbers.")
    return rows
