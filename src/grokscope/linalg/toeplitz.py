"""How far a square matrix is from constant wrapped diagonals: circulant, Hankel, or the two together."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Num
from torch import Tensor

from grokscope.errors import UsageError

Orientation = Literal["circulant", "hankel"]


def projection(matrix: Num[Tensor, "m m"], orientation: Orientation = "circulant") -> Float[Tensor, "m m"]:
    """Return the nearest matrix that is constant where c − r mod m is (``circulant``), or r + c mod m (``hankel``).

    It holds the mean of each wrapped diagonal; in float64. Addition and multiplication modulo p have circulant blocks,
    subtraction and division Hankel ones.

    Raises:
        UsageError: it is no square matrix of finite real numbers, or the orientation is another.

    Example:
        >>> projection(torch.tensor([[1.0, 0.0], [0.0, 0.0]])).tolist()
        [[0.5, 0.0], [0.0, 0.5]]
    """
    rows = _checked(matrix)
    if orientation not in ("circulant", "hankel"):
        raise UsageError(f"orientation = {orientation!r}: it is 'circulant' or 'hankel'.")
    index = torch.arange(len(rows), device=rows.device)
    sign = -1 if orientation == "circulant" else 1
    line = (index[None] + sign * index[:, None]) % len(rows)
    sums = torch.zeros(len(rows), dtype=rows.dtype, device=rows.device).index_add_(0, line.flatten(), rows.flatten())
    return (sums / len(rows))[line]


def deviation(
    matrix: Num[Tensor, "m m"],
    orientation: Orientation = "circulant",
    *,
    normalisation: Literal["sum", "mean"] = "sum",
) -> Float[Tensor, ""]:
    """Return D = ‖B − Π B‖²/‖B‖² with Π the projection on circulant or Hankel matrices, in [0, 1], in float64.

    It is the sum of squared deviations within wrapped diagonals over ‖B‖²: 0 for a circulant matrix, about 1 − 1/m for
    independent entries of mean 0. ``mean`` takes the mean within each diagonal, which is D/m: the axis of the published
    figures. NaN for a zero matrix. Reference: Mallinar et al. 2024, where only the circulant form is written.

    Raises:
        UsageError: as :func:`projection`, or another normalisation.

    Example:
        >>> float(deviation(torch.eye(3))), round(float(deviation(torch.eye(3), "hankel")), 12)
        (0.0, 0.666666666667)
    """
    if normalisation not in ("sum", "mean"):
        raise UsageError(f"normalisation = {normalisation!r}: it is 'sum' or 'mean'.")
    near = projection(matrix, orientation)
    rows = matrix.to(torch.float64)
    share = (rows - near).square().sum() / rows.square().sum()
    return share if normalisation == "sum" else share / len(rows)


def joint_deviation(matrix: Num[Tensor, "m m"]) -> Float[Tensor, ""]:
    """Return J, the share of a matrix that no sum of a circulant and a Hankel matrix explains, in [0, 1], in float64.

    J = 1 − (energy of the two-dimensional DFT of B − mean(B) on the lines l = −k and l = k)/(all of it); for even m the
    two lines share the constant and the mode (−1)^{r+c}, which counts once. For odd m and B of mean 0 it is
    D_circulant + D_hankel − 1. Networks whose blocks are a mixture have neither deviation small, but this one. NaN for
    a constant matrix.

    Raises:
        UsageError: as :func:`projection`.

    Example:
        >>> waves = torch.cos(2 * torch.pi * torch.arange(5, dtype=torch.float64) / 5)
        >>> round(float(joint_deviation(torch.outer(waves, waves))), 12) + 0.0
        0.0
    """
    rows = _checked(matrix)
    size = len(rows)
    centred = rows - rows.mean()
    if float(centred.norm()) <= 1e-14 * float(rows.norm()):
        return torch.tensor(torch.nan, dtype=torch.float64, device=rows.device)
    energy = torch.fft.fft2(centred).abs().square()
    index = torch.arange(size, device=rows.device)
    lines = (index[:, None] == index[None]) | ((index[:, None] + index[None]) % size == 0)
    return (1 - energy[lines].sum() / energy.sum()).clamp(0, 1)


def _checked(matrix: Tensor) -> Tensor:
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise UsageError(f"a matrix of shape {tuple(matrix.shape)} was given: give a square one.")
    if matrix.is_meta or matrix.is_complex():
        raise UsageError("a complex matrix, or one on the meta device, was given: give real numbers.")
    rows = matrix.to(torch.float64)
    if not bool(torch.isfinite(rows).all()):
        raise UsageError("a matrix with NaN or Inf was given: it must be finite.")
    return rows
