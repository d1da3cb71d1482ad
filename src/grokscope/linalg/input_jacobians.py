"""How sensitive outputs are to inputs: norms of the Jacobian of each example, exact or by random projections."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.errors import UsageError

Call = Callable[[Tensor], Tensor]


def jacobian_norms(call: Call, points: Tensor) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Return the Frobenius and the spectral norm of each example's Jacobian ∂outputs/∂points, exactly.

    ‖J_i‖_F = √(Σ_k ‖∂z_k/∂x_i‖²) and the largest singular value. Points (n, ...) to two tensors (n,), at least 0, in
    outputs over inputs; float64. ``call`` gives outputs (n, ...), each example by itself; every output takes one
    reverse pass over all points, and n × outputs × inputs numbers are held. Raises UsageError without points or
    outputs.

    Example:
        >>> matrix = torch.tensor([[3.0, 0.0], [0.0, 4.0]])
        >>> frobenius, spectral = jacobian_norms(lambda x: x @ matrix.T, torch.zeros(1, 2))
        >>> frobenius.item(), round(spectral.item(), 6)
        (5.0, 4.0)
    """
    with torch.enable_grad():
        leaf = _leaf(points)
        outputs = _flat(call(leaf), leaf)
        rows = [_gradient(column, leaf) for column in outputs.sum(0)]
    jacobians = torch.stack(rows, 1).flatten(2).double()
    frobenius = jacobians.square().sum((1, 2)).sqrt()
    # of a wide matrix the few singular values are those of a small triangle
    triangle = torch.linalg.qr(jacobians.mT, mode="r").R if jacobians.shape[2] > jacobians.shape[1] else jacobians
    finite = torch.isfinite(triangle).flatten(1).all(1)
    spectral = torch.full_like(frobenius, math.nan)
    spectral[finite] = torch.linalg.matrix_norm(triangle[finite], ord=2)
    return frobenius, spectral


def projected_squares(
    call: Call, points: Tensor, *, projections: int, generator: torch.Generator
) -> Float[Tensor, "n projections"]:
    """Return estimates of the squared Frobenius norm of each example's Jacobian, each from one random projection.

    K ‖vᵀ J_i‖² with v uniform on the unit sphere of the K outputs: its mean is ‖J_i‖_F², whatever J_i. The v of an
    example are drawn in pairwise orthogonal sets of up to K, which leaves the mean as it is and never widens the error;
    K projections together are exact. Points (n, ...) to (n, projections), at least 0; float64; drawn on the CPU.
    Raises UsageError without points, outputs or projections. Source: Hoffman et al. 2019, eq. 8.

    Example:
        >>> call = lambda x: x @ torch.tensor([[3.0, 0.0], [0.0, 4.0]]).T
        >>> generator = torch.Generator().manual_seed(0)
        >>> round(projected_squares(call, torch.zeros(1, 2), projections=2, generator=generator).mean().item(), 4)
        25.0
    """
    if projections < 1:
        raise UsageError(f"projections = {projections} were given: give 1 or more.")
    with torch.enable_grad():
        leaf = _leaf(points)
        outputs = _flat(call(leaf), leaf)
        count, width = outputs.shape
        found = []
        for first in range(0, projections, width):
            several = min(width, projections - first)
            drawn = torch.randn(count, width, several, generator=generator, dtype=torch.float64)
            sides = torch.linalg.qr(drawn).Q.to(outputs.device, outputs.dtype)
            for side in sides.unbind(2):
                row = _gradient((outputs * side).sum(), leaf)
                found.append(width * row.flatten(1).double().square().sum(1))
    return torch.stack(found, 1)


def spectral_norms(call: Call, points: Tensor, *, iterations: int, generator: torch.Generator) -> Float[Tensor, " n"]:
    """Return the largest singular value of each example's Jacobian, by power iteration on Jᵀ J: from below.

    x ← Jᵀ J x / ‖Jᵀ J x‖, then ‖J x‖: one forward and one reverse derivative an iteration, for all examples at once.
    Points (n, ...) to (n,), at least 0 and never above the norm; float64. Run it where the model can be differentiated
    forward (``grokscope.differentiation``). Raises UsageError without points or iterations.

    Example:
        >>> call = lambda x: x @ torch.tensor([[3.0, 0.0], [0.0, 4.0]]).T
        >>> generator = torch.Generator().manual_seed(0)
        >>> round(spectral_norms(call, torch.zeros(1, 2), iterations=30, generator=generator).item(), 4)
        4.0
    """
    if iterations < 1:
        raise UsageError(f"iterations = {iterations} were given: give 1 or more.")
    points = _leaf(points).detach()
    vector = torch.randn(points.shape, generator=generator, dtype=torch.float64).to(points.device, points.dtype)
    largest = torch.zeros(len(points), dtype=torch.float64, device=points.device)
    for _ in range(iterations):
        vector = _unit(vector)
        moved = torch.func.jvp(call, (points,), (vector,))[1].detach()
        largest = moved.flatten(1).double().norm(dim=1)
        with torch.enable_grad():
            leaf = _leaf(points)
            vector = _gradient((call(leaf) * moved).sum(), leaf)
    return largest


def _unit(vector: Tensor) -> Tensor:
    flat = vector.flatten(1)
    return (flat / flat.norm(dim=1, keepdim=True).clamp(min=torch.finfo(flat.dtype).tiny)).view_as(vector)


def _gradient(value: Tensor, leaf: Tensor) -> Tensor:
    """Return the gradient, zero where the outputs do not look at the points at all."""
    if not value.requires_grad:
        return torch.zeros_like(leaf)
    (found,) = torch.autograd.grad(value, leaf, retain_graph=True, allow_unused=True)
    return torch.zeros_like(leaf) if found is None else found


def _leaf(points: Tensor) -> Tensor:
    if not points.is_floating_point() or points.ndim < 2 or not points.numel() or points.is_meta:
        kind = str(points.dtype).removeprefix("torch.")
        raise UsageError(
            f"points are {kind} of shape {tuple(points.shape)}: give real ones (examples, ...), one or more."
        )
    return points.detach().requires_grad_()


def _flat(outputs: Tensor, points: Tensor) -> Tensor:
    if outputs.ndim == 0 or len(outputs) != len(points) or not outputs.numel():
        raise UsageError(
            f"outputs of shape {tuple(outputs.shape)} were returned for {len(points)} points: give (examples, ...)."
        )
    return outputs.reshape(len(points), -1)
