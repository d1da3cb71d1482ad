"""Eigenvalues of a symmetric matrix that is only known by its products with vectors: Lanczos in float64.

A matrix is a function ``matvec`` from a vector (dimension,) to a vector (dimension,), such as a Hessian-vector
product, so nothing of its size squared is ever held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.products import MatVec, NoMatrix, checked

DEFLATION = 1e-10
"""A new direction shorter than this share of the longest product is rounding, not a direction."""

ASYMMETRY = 1e-4
"""By how much of their size xᵀAy and yᵀAx may differ; products in float32 differ by about 1e-6."""


@dataclass(frozen=True)
class Eigenpairs:
    """Eigenvalues found, with the certificate of each.

    Attributes:
        values: (k,), descending.
        vectors: (k, dimension), orthonormal rows.
        residuals: (k,), ‖A v − λ v‖; within this distance of λ there is an eigenvalue of A.
        products: how many products with A were taken.
        converged: whether every residual is at most ``tolerance`` times the largest |λ| seen.
    """

    values: Tensor
    vectors: Tensor
    residuals: Tensor
    products: int
    converged: bool


@dataclass(frozen=True)
class SpectralDensity:
    """A spectrum as Gauss quadrature from random starts: Σ_i w_i f(θ_i) estimates tr f(A) / dimension.

    Attributes:
        nodes: (probes, steps), the θ.
        weights: (probes, steps), the w; each row sums to 1.
    """

    nodes: Tensor
    weights: Tensor

    def mean_of(self, function: Callable[[Tensor], Tensor]) -> tuple[float, float]:
        """Return the estimate of tr f(A) / dimension and its standard error over probes."""
        each = (self.weights * function(self.nodes)).sum(1)
        error = each.std().item() / len(each) ** 0.5 if len(each) > 1 else float("nan")
        return each.mean().item(), error

    def at(self, grid: Tensor, *, width: float) -> Tensor:
        """Return the density on a grid, (points,), each node widened to a Gaussian of standard deviation ``width``."""
        distance = (grid.double()[:, None, None] - self.nodes) / width
        bumps = (-distance.square() / 2).exp() / (width * (2 * torch.pi) ** 0.5)
        return (bumps * self.weights).sum(2).mean(1)


def eigenpairs(
    matvec: MatVec,
    dimension: int,
    *,
    largest: int = 3,
    smallest: int = 0,
    generator: torch.Generator | None = None,
    products: int = 300,
    held: int = 80,
    block: int | None = None,
    tolerance: float = 1e-8,
    device: str | torch.device = "cpu",
) -> Eigenpairs:
    """Return the largest and the smallest (most negative) eigenvalues of a symmetric matrix, with residuals.

    Band Lanczos with full re-orthogonalisation (Ruhe 1979), restarted from its best Ritz vectors when the basis
    is full (Wu and Simon 2000). An eigenvalue that is there several times is found up to ``block`` times.
    All in float64, whatever the products are in. Memory is (held + block) · dimension numbers.

    Args:
        matvec: (dimension,) float64 -> (dimension,), linear, symmetric, deterministic.
        dimension: of the matrix.
        largest: how many eigenvalues from the top.
        smallest: how many from the bottom.
        generator: of the start, on the CPU; seed 0 if None.
        products: how many are taken at most.
        held: how many vectors the basis has at most.
        block: how many random vectors it starts from; the larger of ``largest`` and ``smallest`` if None.
        tolerance: a residual counts as converged at this share of the largest |λ| seen.
        device: where vectors live.

    Raises:
        UsageError: a count that is not possible.
        NoMatrix: a product that is not finite or of the wrong shape, or products that cannot be those of one
            symmetric matrix.

    Example:
        >>> diagonal = torch.tensor([3.0, -2.0, 3.0, 1.0], dtype=torch.float64)
        >>> [round(v, 9) for v in eigenpairs(lambda v: diagonal * v, 4, largest=2, smallest=1).values.tolist()]
        [3.0, 3.0, -2.0]
    """
    if dimension < 1 or largest < 0 or smallest < 0 or largest + smallest < 1:
        raise UsageError(
            f"{largest} largest and {smallest} smallest of {dimension} eigenvalues were asked for: ask for one or more."
        )
    wanted = min(largest + smallest, dimension)
    block = min(block or max(largest, smallest), dimension)
    held = min(held, dimension)
    keep = largest + smallest + min(8, max((held - wanted) // 4, 1))
    least = keep + 2 * block
    if held < dimension and held < least:
        raise UsageError(f"held = {held} vectors are too few for {wanted} eigenvalues: give {least} or more.")
    if products < wanted:
        raise UsageError(f"products = {products} are too few for {wanted} eigenvalues: give {wanted} or more.")
    krylov = _Krylov(matvec, dimension, held + block, generator or torch.Generator().manual_seed(0), device)
    krylov.begin(block)
    while True:
        krylov.multiply()
        full = krylov.done == dimension
        if krylov.done < wanted:
            continue
        values, vectors, residuals = krylov.ritz()
        ends = _ends(len(values), largest, smallest)
        scale = values.abs().max()
        converged = full or bool((residuals[ends] <= tolerance * scale).all())
        if converged or krylov.products >= products:
            found = krylov.combine(vectors[:, ends])
            return Eigenpairs(values[ends].to(device), found, residuals[ends].to(device), krylov.products, converged)
        if krylov.done >= held:
            extra = keep - largest - smallest
            more = (largest + (extra if largest else 0), smallest + (extra if smallest else 0))
            kept = _ends(len(values), *(count * keep // sum(more) for count in more))
            krylov.restart(values[kept], vectors[:, kept])


def _ends(count: int, largest: int, smallest: int) -> Tensor:
    """Return where the largest and smallest of ``count`` descending values are; each place once."""
    index = torch.arange(count)
    return index[(index < largest) | (index >= count - smallest)]


class _Krylov:
    """An orthonormal basis that grows by products, and the matrix in it: A Q = Q T for the columns that are done."""

    def __init__(
        self, matvec: MatVec, dimension: int, capacity: int, generator: torch.Generator, device: str | torch.device
    ) -> None:
        self.matvec, self.dimension, self.generator = matvec, dimension, generator
        self.basis = torch.empty(capacity, dimension, dtype=torch.float64, device=device)
        self.matrix = torch.zeros(capacity, capacity, dtype=torch.float64)
        self.count = self.done = self.products = 0
        self.longest = 0.0

    def begin(self, vectors: int) -> None:
        """Take random vectors into the basis."""
        for _ in range(vectors):
            self._append_random()

    def multiply(self) -> None:
        """Multiply the next vector of the basis, and take what is new of the product into the basis."""
        if self.done == self.count:  # what there was is closed under A: go on from elsewhere
            self._append_random()
        product = checked(self.matvec(self.basis[self.done]), self.dimension)
        self.products += 1
        self.longest = max(self.longest, product.norm().item())
        rest, inside = self._orthogonalised(product)
        self.matrix[: self.count, self.done] = inside.cpu()
        norm = rest.norm().item()
        if norm > DEFLATION * self.longest and self.count < self.dimension:
            self._append(rest / norm)
            self.matrix[self.count - 1, self.done] = norm
        self.done += 1

    def ritz(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return the eigenvalues in the basis, descending, their vectors as columns, and the residuals in A."""
        inner = self.matrix[: self.done, : self.done]
        off = (inner - inner.T).abs().max()
        if off > ASYMMETRY * inner.abs().max():
            raise NoMatrix(
                f"the products are not those of one symmetric matrix: xᵀAy and yᵀAx differ by {off.item():.3g}; "
                "the function must be deterministic, without dropout or other draws."
            )
        values, vectors = torch.linalg.eigh((inner + inner.T) / 2)
        values, vectors = values.flip(0), vectors.flip(1)
        return values, vectors, (self.matrix[self.done : self.count, : self.done] @ vectors).norm(dim=0)

    def combine(self, vectors: Tensor) -> Tensor:
        """Return combinations of the basis, given as columns, as rows (k, dimension)."""
        return vectors.T.to(self.basis) @ self.basis[: self.done]

    def restart(self, values: Tensor, vectors: Tensor) -> None:
        """Keep some Ritz vectors and those vectors that are not multiplied yet; forget the rest."""
        waiting, kept = self.count - self.done, len(values)
        coupling = self.matrix[self.done : self.count, : self.done] @ vectors
        self.basis[:kept], queue = self.combine(vectors), self.basis[self.done : self.count].clone()
        self.basis[kept : kept + waiting] = queue
        self.matrix.zero_()
        self.matrix[:kept, :kept] = values.diag()
        self.matrix[kept : kept + waiting, :kept] = coupling
        self.done, self.count = kept, kept + waiting

    def _append_random(self) -> None:
        drawn = torch.randn(self.dimension, generator=self.generator, dtype=torch.float64).to(self.basis.device)
        self._append(drawn / drawn.norm())

    def _append(self, vector: Tensor) -> None:
        # twice: a short remainder loses its orthogonality as it is made longer
        vector, _ = self._orthogonalised(vector)
        self.basis[self.count] = vector / vector.norm()
        self.count += 1

    def _orthogonalised(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        basis = self.basis[: self.count]
        inside = basis @ vector
        rest = vector - inside @ basis
        again = basis @ rest
        return rest - again @ basis, inside + again


def spectral_density(
    matvec: MatVec,
    dimension: int,
    *,
    probes: int = 8,
    steps: int = 30,
    generator: torch.Generator | None = None,
    device: str | torch.device = "cpu",
) -> SpectralDensity:
    """Return the density of the eigenvalues of a symmetric matrix by stochastic Lanczos quadrature.

    Each probe gives a Gauss rule of ``steps`` nodes, exact for polynomials of degree 2·steps − 1 of its own
    vector (Ubaru, Chen and Saad 2017; Ghorbani, Krishnan and Xiao 2019). Takes probes · steps products.

    Raises:
        UsageError: no probe or step asked for.
        NoMatrix: as :func:`eigenpairs`.

    Example:
        >>> density = spectral_density(lambda v: 2 * v, 10, probes=2, steps=3)
        >>> round(density.mean_of(torch.square)[0], 9)
        4.0
    """
    if probes < 1 or steps < 1 or dimension < 1:
        raise UsageError(f"{probes} probes of {steps} steps in dimension {dimension} were asked for: give 1 or more.")
    generator = generator or torch.Generator().manual_seed(0)
    steps = min(steps, dimension)
    nodes, weights = torch.zeros(2, probes, steps, dtype=torch.float64)
    for probe in range(probes):
        krylov = _Krylov(matvec, dimension, steps + 1, generator, device)
        krylov.begin(1)
        while krylov.done < steps and krylov.done < krylov.count:
            krylov.multiply()
        values, vectors, _ = krylov.ritz()
        nodes[probe, : len(values)], weights[probe, : len(values)] = values, vectors[0].square()
    return SpectralDensity(nodes, weights)


def power_iteration(
    matvec: MatVec,
    dimension: int,
    *,
    iterations: int = 100,
    generator: torch.Generator | None = None,
    device: str | torch.device = "cpu",
) -> tuple[float, float]:
    """Return the eigenvalue of largest magnitude and its residual ‖A v − λ v‖, by power iteration.

    It holds two vectors, but converges only as |λ₂/λ₁|ⁿ; :func:`eigenpairs` is better where its basis fits.
    The value is the Rayleigh quotient of the last vector. Reference: von Mises and Pollaczek-Geiringer 1929.

    Raises:
        UsageError: no iteration was asked for.
        NoMatrix: a product is not finite.

    Example:
        >>> value, residual = power_iteration(lambda v: torch.tensor([1.0, -4.0]) * v, 2)
        >>> round(value, 9), residual < 1e-9
        (-4.0, True)
    """
    if iterations < 1 or dimension < 1:
        raise UsageError(f"{iterations} iterations in dimension {dimension} were asked for: give 1 or more.")
    generator = generator or torch.Generator().manual_seed(0)
    vector = torch.randn(dimension, generator=generator, dtype=torch.float64).to(device)
    value = residual = 0.0
    for _ in range(iterations):
        vector = vector / vector.norm()
        product = checked(matvec(vector), dimension)
        value = (vector @ product).item()
        residual = (product - value * vector).norm().item()
        if not product.any():  # the start lies in the kernel of the matrix
            break
        vector = product
    return value, residual
