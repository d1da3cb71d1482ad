"""What a correlation trap is made of, put back where it came from, and a matrix without it.

A shuffle of a weight shows traps as singular values beyond the edge. Each is a component of rank one of the *shuffled*
matrix. With its entries put back in their own places it is what of the weight makes the trap, and may be taken out.
Reference: Prakash and Martin 2026 (arXiv 2605.12394), and the trap removal of WeightWatcher.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import marchenko_pastur
from grokscope.linalg.shuffles import entry_variance


@dataclass(frozen=True)
class Trap:
    """One trap of a matrix.

    Attributes:
        value: s, the singular value of the shuffled matrix.
        score: how far s² is beyond the edge for independent entries, in Tracy–Widom units.
        artefact: s u vᵀ with the entries where those of the matrix are, of its shape.
    """

    value: float
    score: float
    artefact: Tensor


def traps(
    weight: Float[Tensor, "rows columns"],
    *,
    generator: torch.Generator,
    score: float = marchenko_pastur.TW_SCORE,
    most: int | None = None,
) -> list[Trap]:
    """Return the traps of one shuffle of a matrix, the largest first.

    Args:
        weight: of any real dtype; what is returned is float64.
        generator: of the shuffle, on the CPU.
        score: above which z a singular value is a trap, see
            :func:`grokscope.linalg.marchenko_pastur.outlier_scores`.
        most: how many are returned at most.

    Raises:
        UsageError: the weight is no matrix, or not finite.

    Example:
        >>> weight = torch.randn(40, 60, generator=torch.Generator().manual_seed(0))
        >>> weight[3, 5] = 40.0
        >>> (found,) = traps(weight, generator=torch.Generator().manual_seed(0))
        >>> divmod(int(found.artefact.abs().argmax()), 60)
        (3, 5)
    """
    if weight.ndim != 2:
        raise UsageError(f"traps are those of a matrix: one with {weight.ndim} axes was given.")
    if not bool(torch.isfinite(weight).all()):
        raise UsageError("the traps of a matrix with values that are not finite were asked for.")
    matrix = weight.detach().to(torch.float64)
    variance = float(entry_variance(matrix.flatten()))
    if min(matrix.shape) < 2 or variance == 0:
        return []
    order = torch.randperm(matrix.numel(), generator=generator).to(matrix.device)
    left, values, right = torch.linalg.svd(matrix.flatten()[order].view(matrix.shape), full_matrices=False)
    scores = marchenko_pastur.outlier_scores(values.square(), (matrix.shape[0], matrix.shape[1]), variance)
    count = int((scores > score).sum())
    found: list[Trap] = []
    for mode in range(count if most is None else min(count, most)):
        shuffled = values[mode] * torch.outer(left[:, mode], right[mode])
        artefact = torch.empty_like(matrix).flatten()
        artefact[order] = shuffled.flatten()
        found.append(Trap(float(values[mode]), float(scores[mode]), artefact.view(matrix.shape)))
    return found


def without(
    weight: Float[Tensor, "rows columns"], removed: Sequence[Trap], *, generator: torch.Generator | None = None
) -> Float[Tensor, "rows columns"]:
    """Return W − Σ T + Σ R: R is normal noise of the mean and the variance of T's entries, and 0 without a generator.

    Args:
        weight: the matrix the traps are of.
        removed: which are taken out.
        generator: of the noise, on the CPU.

    Example:
        >>> weight = torch.randn(40, 60, generator=torch.Generator().manual_seed(0))
        >>> weight[3, 5] = 40.0
        >>> found = traps(weight, generator=torch.Generator().manual_seed(0))
        >>> abs(float(without(weight, found)[3, 5])) < 5
        True
    """
    left = weight.detach().to(torch.float64).clone()
    for trap in removed:
        left -= trap.artefact
        if generator is not None:
            noise = torch.randn(trap.artefact.shape, generator=generator, dtype=torch.float64).to(left.device)
            left += trap.artefact.mean() + trap.artefact.std(unbiased=False) * noise
    return left.to(weight.dtype)


def jensen_shannon(
    first: Float[Tensor, "*batch classes"], second: Float[Tensor, "*batch classes"], *, temperature: float = 1.0
) -> Float[Tensor, "*batch"]:
    """Return the Jensen–Shannon divergence of softmax(z/T) and softmax(z'/T), in nats: 0 to ln 2.

    ½ KL(p‖m) + ½ KL(q‖m), m = (p + q)/2.

    Args:
        first: logits z.
        second: logits z'.
        temperature: T.

    Raises:
        UsageError: the temperature is not positive.

    Example:
        >>> round(float(jensen_shannon(torch.tensor([99.0, 0.0]), torch.tensor([0.0, 99.0]))), 6)
        0.693147
    """
    if not 0 < temperature < math.inf:
        raise UsageError(f"temperature = {temperature:g}: give a positive number.")
    p, q = (torch.log_softmax(z.to(torch.float64) / temperature, -1) for z in (first, second))
    middle = torch.logaddexp(p, q) - math.log(2)
    found = (p.exp() * (p - middle) + q.exp() * (q - middle)).sum(-1) / 2
    return found.clamp(0, math.log(2))
