"""Small cross-polytopes around points: their frame, their vertices, and how a network deforms them."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.errors import UsageError


def orthonormal_frame(dimensions: int, directions: int, generator: torch.Generator) -> Float[Tensor, "p d"]:
    """Return random orthonormal rows, uniformly distributed over all such frames.

    V = Qᵀ of the QR decomposition of a Gaussian (D, P) matrix, columns signed so that R has a positive diagonal. Shape
    (P, D), float64, drawn on the CPU. Source: Humayun et al. 2024; Mezzadri 2007 for the signs.

    Raises:
        UsageError: there are fewer dimensions than directions, or no direction.

    Example:
        >>> frame = orthonormal_frame(5, 2, torch.Generator().manual_seed(0))
        >>> torch.allclose(frame @ frame.T, torch.eye(2, dtype=torch.float64))
        True
    """
    if not 1 <= directions <= dimensions:
        raise UsageError(
            f"{directions} orthonormal directions were asked for in {dimensions} dimensions: take 1 to {dimensions}."
        )
    gaussian = torch.randn(dimensions, directions, generator=generator, dtype=torch.float64)
    orthonormal, triangle = torch.linalg.qr(gaussian)
    # without the signs the frame would depend on a convention of LAPACK, and not be uniform
    return (orthonormal * triangle.diagonal().sign()).T.contiguous()


def cross_polytope(points: Float[Tensor, "n d"], frame: Float[Tensor, "p d"], radius: float) -> Tensor:
    """Return the vertices x + r v_1 … x + r v_P, x − r v_1 … x − r v_P of each point, shape (n, 2P, d).

    Raises:
        UsageError: the shapes do not fit, or the radius is not positive.

    Example:
        >>> cross_polytope(torch.zeros(1, 2), torch.eye(2), 0.5).tolist()
        [[[0.5, 0.0], [0.0, 0.5], [-0.5, 0.0], [0.0, -0.5]]]
    """
    return points.flatten(1)[:, None] + checked_offsets(points, frame, radius)


def checked_offsets(points: Tensor, frame: Tensor, radius: float) -> Tensor:
    """Return the vertices about the origin, (2P, d), of the type and on the device of the points (n, ...).

    Raises:
        UsageError: the points are not finite real numbers, the frame does not fit, or the radius is not positive.
    """
    if not points.is_floating_point() or points.is_meta or points.ndim < 2 or not points.numel():
        raise UsageError(
            f"points of shape {tuple(points.shape)} and dtype {points.dtype} were given: give real ones, (n, ...)."
        )
    if not bool(torch.isfinite(points).all()):
        raise UsageError("points with NaN or Inf were given: a cross-polytope is around finite points.")
    width = points[0].numel()
    if frame.ndim != 2 or frame.shape[1] != width or not len(frame) or not frame.is_floating_point():
        raise UsageError(
            f"a frame of shape {tuple(frame.shape)} was given for points of {width} numbers: give rows of {width}."
        )
    if not (radius > 0 and math.isfinite(radius)):
        raise UsageError(f"radius = {radius:g} was given: a cross-polytope has a positive radius.")
    scaled = radius * frame.to(points.device, points.dtype)
    return torch.cat([scaled, -scaled])


def deformation(embedded: Float[Tensor, "n v f"]) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Return the mean eccentricity and the diameter of the graph that embedded cross-polytopes are.

    Vertices are joined unless they are opposite, edges are as long as their ends are apart. The eccentricity of a
    vertex is the longest of its shortest paths, the diameter the largest eccentricity. In units of the embedding;
    before any layer both are 2√2 r. Source: Humayun et al. 2024, figure 5.

    Args:
        embedded: (n, 2P, features), vertex p opposite to vertex p + P.

    Raises:
        UsageError: there are fewer than two directions, or an odd number of vertices.

    Example:
        >>> vertices = cross_polytope(torch.zeros(1, 3), torch.eye(3), 0.5)
        >>> [round(size.item(), 6) for size in deformation(vertices)]
        [1.414214, 1.414214]
    """
    if embedded.ndim != 3 or embedded.shape[1] % 2 or embedded.shape[1] < 4 or not embedded.is_floating_point():
        raise UsageError(
            f"embedded vertices of shape {tuple(embedded.shape)} were given: they are (points, 2 × directions, "
            "features), with two directions or more."
        )
    count = embedded.shape[1]
    values = embedded.double()
    # centred, so that no digits are lost to where the point is
    values = values - values.mean(1, keepdim=True)
    lengths = torch.cdist(values, values, compute_mode="donot_use_mm_for_euclid_dist")
    index = torch.arange(count, device=values.device)
    opposite = (index + count // 2) % count
    # an edge is never longer than a detour; opposite vertices are joined by the best detour over a single other one
    both = lengths + lengths[:, opposite]
    both[:, index, index] = math.inf
    both[:, index, opposite] = math.inf
    lengths[:, index, opposite] = both.amin(2)
    eccentricities = lengths.amax(2)
    return eccentricities.mean(1), eccentricities.amax(1)
