"""The trace of a symmetric matrix that is only known by its products with vectors: Hutchinson and XTrace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.products import MatVec, checked


@dataclass(frozen=True)
class Trace:
    """An estimate of a trace.

    Attributes:
        value: the trace.
        error: its standard error; 0 where the trace is exact, nan of a single draw.
        products: how many products with the matrix were taken.
        blocks: the traces of diagonal blocks, (blocks,), where they were asked for.
        block_errors: their standard errors, (blocks,).
    """

    value: float
    error: float
    products: int
    blocks: Tensor | None = None
    block_errors: Tensor | None = None


def hutchinson(
    matvec: MatVec,
    dimension: int,
    *,
    probes: int = 20,
    generator: torch.Generator | None = None,
    blocks: Sequence[int] | None = None,
    device: str | torch.device = "cpu",
) -> Trace:
    """Return the mean of vᵀAv over random signs v, unbiased for tr A, with its standard error.

    One probe has the variance 2 Σ_{i≠j} A_ij²: none for a diagonal matrix. With ``blocks``, sizes that add up to
    the dimension, the traces of the diagonal blocks of these sizes, from the same products. Reference:
    Hutchinson 1990.

    Raises:
        UsageError: no probe, blocks that do not add up, or a product that is none.

    Example:
        >>> diagonal = torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)
        >>> found = hutchinson(lambda v: diagonal * v, 3, blocks=(1, 2))
        >>> found.value, found.blocks.tolist()
        (7.0, [1.0, 6.0])
    """
    if probes < 1 or dimension < 1:
        raise UsageError(f"{probes} probes in dimension {dimension} were asked for: give 1 or more.")
    if blocks is not None and sum(blocks) != dimension:
        raise UsageError(f"blocks of {sum(blocks)} rows in all were given: they must add up to {dimension}.")
    generator = generator or torch.Generator().manual_seed(0)
    whole: list[Tensor] = []
    parts: list[Tensor] = []
    for _ in range(probes):
        signs = torch.randint(2, (dimension,), generator=generator).mul(2).sub(1).double().to(device)
        each = signs * checked(matvec(signs), dimension)
        whole.append(each.sum())
        parts.append(torch.stack([part.sum() for part in each.split(list(blocks or [dimension]))]))
    value, error = _mean(torch.stack(whole))
    if blocks is None:
        return Trace(value.item(), error.item(), probes)
    return Trace(value.item(), error.item(), probes, *_mean(torch.stack(parts)))


def _mean(draws: Tensor) -> tuple[Tensor, Tensor]:
    error = draws.std(0) / len(draws) ** 0.5 if len(draws) > 1 else torch.full_like(draws[0], torch.nan)
    return draws.mean(0), error


def xtrace(
    matvec: MatVec,
    dimension: int,
    *,
    products: int = 20,
    generator: torch.Generator | None = None,
    device: str | torch.device = "cpu",
) -> Trace:
    """Return tr A by XTrace: exact on the range of AΩ, Hutchinson on the rest, leaving one column of Ω out at a time.

    With Q_(i) an orthonormal basis of A Ω without column i, the mean over i of tr Q_(i)ᵀ A Q_(i) + r_iᵀ A r_i, where
    r_i is ω_i less its part in Q_(i), at the length √(dimension − m + 1). Unbiased; for a spectrum that decays
    its error falls much faster than 1/√products. The standard error is that of the m = products/2 terms, as in the
    paper; as they share columns it is somewhat too small, by a third at worst in our tests. Where the dimension is at
    most ``products`` the trace is summed exactly.
    Memory is 2 m · dimension numbers. Reference: Epperly, Tropp and Webber 2024, Sec. 1.4 and 2.1.

    Raises:
        UsageError: fewer than 4 products, or a product that is none (:class:`~grokscope.linalg.products.NoMatrix`).

    Example:
        >>> round(xtrace(lambda v: v.sum() * torch.ones_like(v), 50, products=6).value, 9)  # of rank one
        50.0
    """
    if products < 4 or dimension < 1:
        raise UsageError(f"{products} products in dimension {dimension} were asked for: give 4 or more.")
    if dimension <= products:
        units = torch.eye(dimension, dtype=torch.float64, device=device)
        exact = torch.stack([checked(matvec(unit), dimension)[row] for row, unit in enumerate(units)]).sum()
        return Trace(exact.item(), 0.0, dimension)
    generator = generator or torch.Generator().manual_seed(0)
    count = products // 2
    starts = torch.randn(dimension, count, generator=generator, dtype=torch.float64).to(device)
    images = torch.stack([checked(matvec(start), dimension) for start in starts.T.contiguous()], 1)
    if not images.any():  # a matrix that takes random vectors to zero is zero
        return Trace(0.0, 0.0, count)
    q, r = torch.linalg.qr(images)
    inner = torch.empty(count, count, dtype=torch.float64, device=device)  # Qᵀ A Q
    mixed = torch.empty(count, count, dtype=torch.float64, device=device)  # Qᵀ A Ω, row by row
    for column in range(count):
        image = checked(matvec(q[:, column].contiguous()), dimension)
        inner[:, column], mixed[column] = image @ q, image @ starts
    inside = q.T @ starts
    left_out = _left_out(r)
    rest = inside - left_out * (left_out * inside).sum(0)
    length = (starts.square().sum(0) - rest.square().sum(0)) / (dimension - count + 1)
    form = (inside * r).sum(0) - 2 * (mixed * rest).sum(0) + (rest * (inner @ rest)).sum(0)
    each = inner.trace() - (left_out * (inner @ left_out)).sum(0) + form / length
    value, error = _mean(each)
    return Trace(value.item(), error.item(), 2 * count)


def _left_out(r: Tensor) -> Tensor:
    """Return, as columns, the unit vectors that are normal to all columns of a triangular matrix but one."""
    diagonal = r.diagonal()
    # a matrix of low rank leaves zeros on the diagonal: any direction that is left out there is empty
    least = torch.finfo(r.dtype).eps * diagonal.abs().max()
    raised = torch.where(diagonal.abs() < least, least, diagonal) - diagonal
    identity = torch.eye(len(r), dtype=r.dtype, device=r.device)
    normals = torch.linalg.solve_triangular((r + raised.diag()).T, identity, upper=False)
    return normals / normals.norm(dim=0)
