"""What a kernel matrix says about labels and about another kernel: alignment, distance, regression, spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.spectra import effective_rank, participation_ratio

Centring = Literal["double", "one-sided", "none"]

TOLERANCE = 1e-12
"""Eigenvalues below this, relative to the largest, count as zero: a Gram matrix has rounding of that size."""

_ASYMMETRY = 1e-6


def checked_kernel(kernel: Tensor, what: str = "a kernel") -> Float[Tensor, "n n"]:
    """Return a kernel in float64 if it is a symmetric matrix of finite real numbers.

    Raises:
        UsageError: it is not.
    """
    if kernel.ndim != 2 or kernel.shape[0] != kernel.shape[1] or not len(kernel):
        raise UsageError(f"{what} of shape {tuple(kernel.shape)} was given: give a square matrix.")
    _finite(kernel, what)
    found = kernel.to(torch.float64)
    # float32 kernels are symmetric up to their own rounding only
    if float((found - found.T).abs().max()) > _ASYMMETRY * float(found.abs().max()):
        raise UsageError(f"{what} was given that is not symmetric: K[i, j] and K[j, i] must agree.")
    return (found + found.T) / 2


def centred(kernel: Tensor, centring: Centring = "double") -> Float[Tensor, "n n"]:
    """Return HKH (``double``, H = 1 − 11^T/n), HK (``one-sided``: the mean of each column is taken off), or K.

    Example:
        >>> centred(torch.eye(2)).tolist()
        [[0.5, -0.5], [-0.5, 0.5]]
    """
    found = checked_kernel(kernel)
    if centring not in ("double", "one-sided", "none"):
        raise UsageError(f"centring = {centring!r}: it is 'double', 'one-sided' or 'none'.")
    if centring == "none":
        return found
    found = found - found.mean(0, keepdim=True)
    return found - found.mean(1, keepdim=True) if centring == "double" else found


def alignment(kernel: Tensor, targets: Tensor, *, centring: Centring = "double") -> Float[Tensor, ""]:
    """Return the kernel-target alignment A = tr(Y^T K Y) / (‖K_c‖_F ‖Y Y^T‖_F), Y centred over examples.

    In [0, 1] for a positive semidefinite K with double centring (centred kernel alignment, CKA); for one target it
    is y^T K y / (‖K_c‖_F ‖y‖²). The three ways to centre K have the same numerator. NaN where the targets or the
    centred kernel are constant. In float64, without units. References: Cortes, Mohri and
    Rostamizadeh 2012 (double centring); Kumar et al. 2024 (``none``; its notebook is ``one-sided``).

    Args:
        kernel: (n, n), symmetric.
        targets: (n,) or (n, outputs), real; classes one-hot.
        centring: of the kernel in the denominator, as in :func:`centred`.

    Raises:
        UsageError: the shapes do not belong together, or something is not a finite real number.

    Example:
        >>> round(float(alignment(torch.eye(5), torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0]))), 12)  # 1/√(n−1)
        0.5
    """
    matrix = centred(kernel, centring)
    labels = checked_targets(targets, len(matrix))
    labels = labels - labels.mean(0)
    scale = matrix.norm() * (labels.T @ labels).norm()
    # rounding leaves a constant with a remainder
    if float(matrix.norm()) <= TOLERANCE * float(kernel.to(torch.float64).norm()) or float(labels.norm()) == 0:
        return torch.full_like(scale, torch.nan)
    return (labels * (matrix @ labels)).sum() / scale


def cosine(one: Tensor, other: Tensor) -> Float[Tensor, ""]:
    """Return ⟨A, B⟩/(‖A‖ ‖B‖) of two tensors of one shape, in [−1, 1], in float64; NaN where one is 0.

    Example:
        >>> float(cosine(torch.eye(2), 3 * torch.eye(2)))
        1.0
    """
    first, second = _pair(one, other)
    return ((first * second).sum() / (first.norm() * second.norm())).clamp(-1, 1)


def distance(kernel: Tensor, initial: Tensor) -> Float[Tensor, ""]:
    """Return 1 − ⟨K, K_0⟩/(‖K‖_F ‖K_0‖_F): 0 if only rescaled, at most 1 for positive semidefinite kernels.

    NaN where one is 0. Reference: Fort et al. 2020; Kumar et al. 2024.

    Example:
        >>> float(distance(3 * torch.eye(2), torch.eye(2)))
        0.0
    """
    return 1 - cosine(kernel, initial)


def movement(now: Tensor, initial: Tensor) -> Float[Tensor, ""]:
    """Return ‖A − A_0‖/‖A_0‖ (Frobenius) of kernels or of parameter vectors, in float64; NaN where A_0 is 0.

    Example:
        >>> float(movement(3 * torch.eye(2), torch.eye(2)))
        2.0
    """
    first, second = _pair(now, initial)
    scale = second.norm()
    return torch.where(scale > 0, (first - second).norm() / scale, torch.nan)


def regression(kernel: Tensor, targets: Tensor, cross: Tensor, *, ridge: float = 0.0) -> Float[Tensor, "m outputs"]:
    """Return the predictions k(x, X) (K + ridge · (tr K/n) · 1)⁻¹ Y at m points; without ridge by the pseudo-inverse.

    Units: those of the targets. A kernel of too few parameters is singular, and a plain solve then gives garbage; the
    pseudo-inverse leaves out eigenvalues below 1e-12 of the largest.

    Args:
        kernel: (n, n), K of the training points.
        targets: (n,) or (n, outputs).
        cross: (m, n), the kernel between the m points and the training points.
        ridge: in units of the mean eigenvalue; 1e-6 is a usual one.

    Raises:
        UsageError: the shapes do not belong together, something is not finite, or the ridge is negative.

    Example:
        >>> regression(torch.eye(2), torch.tensor([3.0, 4.0]), torch.eye(2)[:1]).tolist()
        [[3.0]]
    """
    inverse = _inverse(kernel, ridge)
    labels = checked_targets(targets, len(inverse))
    if cross.ndim != 2 or cross.shape[1] != len(inverse):
        raise UsageError(
            f"a cross kernel of shape {tuple(cross.shape)} was given for {len(inverse)} training points: give "
            f"(points, {len(inverse)})."
        )
    _finite(cross, "a cross kernel")
    return cross.to(torch.float64) @ (inverse @ labels)


def difficulty(kernel: Tensor, targets: Tensor, *, ridge: float = 0.0) -> Float[Tensor, ""]:
    """Return tr(Y^T K⁻¹ Y), the squared displacement of the parameters in the lazy fit; pseudo-inverse without ridge.

    Units: parameters². Reference: Kumar et al. 2024. Its root over ‖θ_0‖ is a laziness number: far below 1
    the linearised fit is consistent, far above 1 the linearisation must break.

    Args:
        kernel: (n, n).
        targets: (n,) or (n, outputs).
        ridge: as in :func:`regression`.

    Raises:
        UsageError: as :func:`regression`.

    Example:
        >>> float(difficulty(torch.diag(torch.tensor([1.0, 4.0])), torch.tensor([1.0, 2.0])))
        2.0
    """
    inverse = _inverse(kernel, ridge)
    labels = checked_targets(targets, len(inverse))
    return (labels * (inverse @ labels)).sum()


@dataclass(frozen=True)
class Spectrum:
    """The eigenvalues λ of a positive semidefinite matrix, descending, in float64, and what is read off them."""

    eigenvalues: Float[Tensor, " n"]

    @property
    def trace(self) -> float:
        """Σλ."""
        return float(self.eigenvalues.sum())

    @property
    def top(self) -> float:
        """The largest eigenvalue, which is the spectral norm."""
        return float(self.eigenvalues[0])

    @property
    def frobenius(self) -> float:
        """√Σλ²."""
        return float(self.eigenvalues.norm())

    @property
    def effective_rank(self) -> float:
        """exp(−Σ p ln p), p = λ/Σλ, in [1, n]; NaN for a zero matrix (Roy and Vetterli 2007)."""
        return float(effective_rank(self.eigenvalues))

    @property
    def participation_ratio(self) -> float:
        """(Σλ)²/Σλ², in [1, n]; NaN for a zero matrix."""
        return float(participation_ratio(self.eigenvalues.sqrt()))

    @property
    def rank(self) -> int:
        """How many eigenvalues are above 1e-12 of the largest."""
        return int((self.eigenvalues > TOLERANCE * self.eigenvalues[0]).sum())

    @property
    def condition(self) -> float:
        """The largest eigenvalue over the smallest of those that count by ``rank``; NaN for a zero matrix."""
        return float(self.eigenvalues[0] / self.eigenvalues[self.rank - 1]) if self.rank else float("nan")


def spectrum(matrix: Tensor) -> Spectrum:
    """Return the spectrum of a positive semidefinite matrix; eigenvalues below 0, which rounding makes, are 0.

    Raises:
        UsageError: it is no symmetric matrix of finite real numbers.

    Example:
        >>> found = spectrum(torch.diag(torch.tensor([4.0, 4.0, 0.0])))
        >>> found.trace, found.rank, found.condition, round(found.effective_rank, 12)
        (8.0, 2, 1.0, 2.0)
    """
    return Spectrum(torch.linalg.eigvalsh(checked_kernel(matrix, "a matrix")).clamp_min(0).flip(0))


def checked_targets(targets: Tensor, count: int) -> Float[Tensor, "n outputs"]:
    """Return real targets as (n, outputs) in float64.

    Raises:
        UsageError: there are not ``count`` of them, or they are not finite real numbers.
    """
    if targets.ndim not in (1, 2) or len(targets) != count or not targets.numel():
        raise UsageError(
            f"targets of shape {tuple(targets.shape)} were given for {count} examples: give ({count},) or "
            f"({count}, outputs)."
        )
    _finite(targets, "targets")
    return targets.reshape(count, -1).to(torch.float64)


def _inverse(kernel: Tensor, ridge: float) -> Tensor:
    matrix = checked_kernel(kernel)
    if not ridge >= 0:
        raise UsageError(f"ridge = {ridge:g} was given: it is 0 or more, in units of the mean eigenvalue.")
    if ridge == 0:
        return torch.linalg.pinv(matrix, rtol=TOLERANCE, hermitian=True)
    identity = torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    return torch.linalg.inv(matrix + ridge * matrix.trace() / len(matrix) * identity)


def _pair(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    if one.shape != other.shape or not one.numel():
        raise UsageError(f"tensors of shapes {tuple(one.shape)} and {tuple(other.shape)} were given: give one shape.")
    _finite(one, "a tensor")
    _finite(other, "a tensor")
    return one.to(torch.float64), other.to(torch.float64)


def _finite(tensor: Tensor, what: str) -> None:
    if tensor.is_meta:
        raise UsageError(f"{what} on the meta device was given, where tensors have no values: load the weights first.")
    if not tensor.is_floating_point():
        kind = str(tensor.dtype).removeprefix("torch.")
        raise UsageError(f"{what} of {kind} was given: give real numbers (classes one-hot).")
    if not bool(torch.isfinite(tensor).all()):
        raise UsageError(f"{what} with NaN or Inf was given: it must be finite.")
