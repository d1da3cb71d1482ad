"""Margins of a classifier: how far the right output is above the best wrong one, on which scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Num
from torch import Tensor

from grokscope.errors import UsageError

IGNORED = -100
"""The target of positions that count for nothing, as in ``torch.nn.functional.cross_entropy``."""


def margins(outputs: Num[Tensor, "*examples classes"], targets: Tensor, *, chunk: int = 4096) -> Float[Tensor, " n"]:
    """Return the margin of each example and position that has a target: its output minus the best of the others.

    q_i = z_i[y_i] − max_{c ≠ y_i} z_i[c]. Outputs (..., classes) and integer targets (...) to (n,), those with the
    target -100 left out; in units of the outputs, positive where the answer is right; float64, ``chunk`` of them at a
    time. Raises UsageError where there are fewer than two outputs, the shapes do not fit, targets are no classes or out
    of range, or there is none. Source: Lyu and Li 2020, section 2.

    Example:
        >>> margins(torch.tensor([[1.0, 4.0, 2.0], [1.0, 4.0, 2.0]]), torch.tensor([1, 0])).tolist()
        [2.0, -3.0]
    """
    rows, labels = labelled(outputs, targets)
    found = []
    for part, right in zip(rows.split(chunk), labels.split(chunk), strict=True):
        part = part.double()
        own = part.gather(1, right[:, None])[:, 0]
        others = part.scatter(1, right[:, None], -math.inf).amax(1)
        found.append(own - others)
    return torch.cat(found)


def labelled(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return outputs (n, classes) and classes (n,) of the examples and positions that have a target other than -100.

    Raises UsageError as :func:`margins` does.

    Example:
        >>> rows, labels = labelled(torch.zeros(2, 3, 5), torch.tensor([[0, 1, -100], [2, -100, 4]]))
        >>> rows.shape, labels.tolist()
        (torch.Size([4, 5]), [0, 1, 2, 4])
    """
    if targets.is_floating_point() or targets.is_complex():
        raise UsageError(f"targets are {_kind(targets)}: a margin needs classes, which are whole numbers.")
    if not outputs.is_floating_point():
        raise UsageError(f"outputs are {_kind(outputs)}: a margin is a difference of real numbers.")
    if outputs.is_meta:
        raise UsageError("outputs are on the meta device, where tensors have no values.")
    if outputs.ndim < 2 or outputs.shape[-1] < 2 or outputs.shape[:-1] != targets.shape:
        raise UsageError(
            f"outputs of shape {tuple(outputs.shape)} and targets of shape {tuple(targets.shape)} were given: "
            "give (..., classes) with 2 classes or more, and a target for each (...)."
        )
    counted = targets != IGNORED
    rows, labels = outputs[counted], targets[counted].long()
    if not len(labels):
        raise UsageError("there is no target: give at least one other than -100.")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= outputs.shape[-1]:
        raise UsageError(f"targets go from {low} to {high}: there are outputs for 0 to {outputs.shape[-1] - 1}.")
    return rows, labels


def relative_margins(
    outputs: Num[Tensor, "*examples classes"], targets: Tensor, *, centred: bool = False, chunk: int = 4096
) -> Float[Tensor, " n"]:
    """Return each margin over the norm of the outputs it is of, with ``centred`` after taking off their mean.

    q_i / ‖z_i‖₂. (..., classes) and (...) to (n,), without units, −√2 to √2; float64; nan where the outputs are 0.
    Raises UsageError as :func:`margins` does.

    Example:
        >>> relative_margins(torch.tensor([[3.0, 4.0]]), torch.tensor([1])).tolist()
        [0.2]
    """
    rows, _ = labelled(outputs, targets)
    sizes = []
    for part in rows.split(chunk):
        part = part.double()
        sizes.append((part - part.mean(1, keepdim=True) if centred else part).norm(dim=1))
    return margins(outputs, targets, chunk=chunk) / torch.cat(sizes)


def parameter_scale(parameters: Sequence[Tensor], degree: float) -> float:
    """Return ‖θ‖₂ to the power of a degree of homogeneity, over all tensors together: what a margin is divided by.

    A model with z(cθ) = c^L z(θ) has min_i q_i / ‖θ‖^L, the normalised margin, which does not change when θ is scaled.
    In float64. Raises UsageError without parameters. Source: Lyu and Li 2020, section 2.

    Example:
        >>> parameter_scale([torch.tensor([3.0]), torch.tensor([[4.0]])], 2)
        25.0
    """
    if not parameters:
        raise UsageError("no parameters were given: give at least one tensor.")
    square = sum(float(tensor.detach().double().square().sum()) for tensor in parameters)
    return square ** (degree / 2)


def log_spectral_product(matrices: Sequence[Tensor]) -> float:
    """Return Σ_l ln ‖W_l‖_σ, the logarithm of the product of the largest singular values of matrices.

    Margins over the product are those of Bartlett et al. (2017) without their correction by (2, 1)-norms. In float64;
    −inf with a zero matrix. Raises UsageError where something is no finite matrix, or there is none.

    Example:
        >>> round(log_spectral_product([torch.diag(torch.tensor([3.0, 1.0])), 2 * torch.eye(2)]), 6)  # ln 6
        1.791759
    """
    if not matrices:
        raise UsageError("no matrices were given: give at least one.")
    total = 0.0
    for matrix in matrices:
        if matrix.ndim != 2 or not matrix.numel() or not bool(torch.isfinite(matrix).all()):
            raise UsageError(
                f"a matrix of shape {tuple(matrix.shape)} was given: give finite matrices (rows, columns)."
            )
        largest = float(torch.linalg.matrix_norm(matrix.detach().double(), ord=2))
        total += math.log(largest) if largest else -math.inf
    return total


def homogeneity(outputs: Tensor, scaled: Tensor, *, factor: float) -> tuple[float, float]:
    """Return the degree L of z(cθ) ≈ c^L z(θ), and how far it is from that: ‖z(cθ) − c^L z(θ)‖ / ‖z(cθ)‖.

    c^L is the least-squares factor, so the residual is the sine of the angle between the two, 0 to 1. Outputs at the
    parameters and at ``factor`` c times these, of one shape. In float64; (nan, nan) where one of them is 0, (nan, 1)
    where they point away from each other. Raises UsageError where the shapes differ or c is not positive, or is 1.

    Example:
        >>> degree, residual = homogeneity(torch.tensor([1.0, -2.0]), torch.tensor([8.0, -16.0]), factor=2.0)
        >>> round(degree, 6), round(residual, 6)
        (3.0, 0.0)
    """
    if outputs.shape != scaled.shape or not outputs.numel():
        raise UsageError(
            f"outputs of shapes {tuple(outputs.shape)} and {tuple(scaled.shape)} were given: give equal, and not empty."
        )
    if not factor > 0 or factor == 1:
        raise UsageError(f"factor = {factor} was given: give a positive one other than 1.")
    before, after = outputs.double().flatten(), scaled.double().flatten()
    size, inner = float(before.dot(before)), float(before.dot(after))
    length = float(after.norm())
    if not size or not length:
        return math.nan, math.nan
    slope = inner / size
    if not slope > 0:
        return math.nan, 1.0 if slope == slope else math.nan
    return math.log(slope) / math.log(factor), float((after - slope * before).norm()) / length


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
