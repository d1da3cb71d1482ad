"""Local complexity: how many units change sign within a small cross-polytope around a point."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.averages import mean_and_error
from grokscope.linalg.cross_polytope import checked_offsets, deformation

See = Callable[[str, Tensor], None]
"""Called with the name of a site and the pre-activations there, one row a vertex."""

Run = Callable[[Tensor, Tensor, See], None]
"""(vertices (v, ...), the index of the point of each (v,), see): a forward pass that shows its sites."""

CI99 = 2.576


@dataclass(frozen=True)
class Cuts:
    """What cuts the neighbourhoods of points at one site.

    Attributes:
        counts: (n,), units that change sign around each point; NaN where a pre-activation is NaN. float64.
        units: how many there are: channels × positions of a convolution.
    """

    counts: Float[Tensor, " n"]
    units: int


def is_cut(low: Tensor, high: Tensor) -> Tensor:
    """Tell which units change sign, from their least and greatest pre-activation: sign ∈ {−1, 0, 1}.

    A unit that is 0 at all vertices is not cut, one that is 0 at some of them is. Signs are compared and not
    multiplied, so that nothing underflows.

    Example:
        >>> is_cut(torch.tensor([-1e-30, 0.0, 0.0, 1.0]), torch.tensor([1e-30, 0.0, 1e-30, 2.0])).tolist()
        [True, False, True, False]
    """
    return low.sign() != high.sign()


def cut_counts(run: Run, points: Tensor, frame: Tensor, radius: float, *, chunk: int = 2048) -> dict[str, Cuts]:
    """Return how many units of each site change sign between the vertices x ± r v_p around each point.

    LC_ℓ(x) = #{j : the signs of a_ℓj over the 2P vertices are not all equal}. At the first layer that is exact:
    |w·x + b| ≤ r max_p |w·v_p|. At deeper ones the hull of the embedded vertices stands for the embedded neighbourhood,
    exact for small r. Only the extremes of the units of ``chunk`` vertices are held.

    Args:
        run: see :data:`Run`. A site that does not show one row a vertex does not depend on the input and is left out.
        points: (n, ...), of the type that ``run`` takes.
        frame: (P, numbers of a point), from :func:`grokscope.linalg.cross_polytope.orthonormal_frame`.
        radius: r, in units of the points.
        chunk: vertices that go through at once.

    Raises:
        UsageError: the points are not finite real numbers, the frame does not fit them, or a number is out of range.

    Source: Humayun et al. 2024, section 3.

    Example:
        >>> rows, bias = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.tensor([-0.05, -0.3, -0.12])
        >>> run = lambda vertices, _, see: see("hidden", vertices @ rows.T + bias)
        >>> [cut_counts(run, torch.zeros(1, 2), torch.eye(2), r)["hidden"].counts.item() for r in (0.1, 0.15)]
        [1.0, 2.0]
    """
    if chunk < 1:
        raise UsageError(f"chunk = {chunk} was given: at least one vertex goes through at once.")
    offsets = checked_offsets(points, frame, radius)
    found: dict[str, Cuts] = {}
    for rows in torch.arange(len(points), device=points.device).split(max(1, chunk // len(offsets))):
        extremes: dict[str, tuple[Tensor, Tensor]] = {}
        for part in offsets.split(min(chunk, len(offsets))):

            def see(site: str, values: Tensor, part: Tensor = part, rows: Tensor = rows, known=extremes) -> None:
                by_point = _by_point(values, len(rows), len(part))
                if by_point is None:
                    return
                low, high = by_point.amin(1), by_point.amax(1)  # faster than both at once
                if site in known:
                    low, high = torch.minimum(low, known[site][0]), torch.maximum(high, known[site][1])
                known[site] = low, high

            vertices = points[rows].flatten(1)[:, None] + part
            run(vertices.view(-1, *points.shape[1:]), rows.repeat_interleave(len(part)), see)
        for site, (low, high) in extremes.items():
            counts = is_cut(low, high).sum(1, dtype=torch.float64)
            counts[low.isnan().any(1)] = math.nan
            whole = found.setdefault(site, Cuts(counts.new_zeros(len(points)), low.shape[1]))
            whole.counts[rows] = counts
    return found


def _by_point(values: Tensor, points: int, vertices: int) -> Tensor | None:
    """Return pre-activations as (points, vertices, units); None where no axis is that of the vertices."""
    rows = points * vertices
    if not values.numel():
        return None
    if values.shape[0] != rows:
        if rows in values.shape:  # sequences come first in some models
            values = values.movedim(values.shape.index(rows), 0)
        elif values.shape[0] % rows:  # else positions were folded into the rows
            return None
    return values.reshape(points, vertices, -1)


def deformations(
    run: Run, points: Tensor, frame: Tensor, radius: float, *, chunk: int = 2048
) -> dict[str, tuple[Float[Tensor, " n"], Float[Tensor, " n"]]]:
    """Return how the cross-polytope around each point is deformed at each site: mean eccentricity and diameter.

    Both are over those of the cross-polytope itself, 2√2 r: 1 where a layer is an isometry. See
    :func:`grokscope.linalg.cross_polytope.deformation`; arguments are those of :func:`cut_counts`.

    Raises:
        UsageError: as there; or fewer than all vertices of a point, or of two directions, go through at once.

    Example:
        >>> run = lambda vertices, _, see: see("hidden", 3 * vertices)
        >>> found = deformations(run, torch.zeros(1, 2), torch.eye(2), 0.1)["hidden"]
        >>> [round(size.item(), 4) for size in found]
        [3.0, 3.0]
    """
    offsets = checked_offsets(points, frame, radius)
    if chunk < len(offsets) or len(frame) < 2:
        raise UsageError(
            f"{len(frame)} directions and a chunk of {chunk} were given: a deformation needs two, and all vertices of "
            "a point at once."
        )
    found: dict[str, tuple[Tensor, Tensor]] = {}
    for rows in torch.arange(len(points), device=points.device).split(chunk // len(offsets)):

        def see(site: str, values: Tensor, rows: Tensor = rows) -> None:
            by_point = _by_point(values, len(rows), len(offsets))
            if by_point is not None:
                sizes = deformation(by_point)
                kept = found.setdefault(site, (sizes[0].new_zeros(len(points)), sizes[0].new_zeros(len(points))))
                for into, size in zip(kept, sizes, strict=True):
                    into[rows] = size / (2 * math.sqrt(2) * radius)

        vertices = points[rows].flatten(1)[:, None] + offsets
        run(vertices.view(-1, *points.shape[1:]), rows.repeat_interleave(len(offsets)), see)
    return found


def mean_and_interval(counts: Float[Tensor, " n"]) -> tuple[float, float]:
    """Return the mean over points and the half-width of its 99 % interval, 2.576 s/√n; NaN of a single point.

    Example:
        >>> mean_and_interval(torch.tensor([1.0, 3.0]))
        (2.0, 2.576)
    """
    mean, error = mean_and_error(counts)
    return mean, CI99 * error


def critical_radii(
    preactivations: Callable[[Tensor], Mapping[str, Tensor]], points: Tensor, frame: Tensor
) -> dict[str, Float[Tensor, "n units"]]:
    """Return the radius from which on each unit is cut, to first order: |a_j(x)| / max_p |J_j v_p|.

    Counts of radii up to r are the local complexity of every r at once: exact at the first layer, and at deeper ones
    where no unit before them is cut. 0/0 is infinite: a unit that is 0 everywhere is never cut. One forward-mode pass a
    direction.

    Args:
        preactivations: (n, ...) -> {site: (n, units ...)}, differentiable, each point by itself.
        points: (n, ...).
        frame: (P, numbers of a point).

    Raises:
        UsageError: the points are not finite real numbers, or the frame does not fit them.

    Example:
        >>> rows, bias = torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.tensor([-0.05, -0.12])
        >>> found = critical_radii(lambda x: {"hidden": x @ rows.T + bias}, torch.zeros(1, 2), torch.eye(2))
        >>> [round(radius, 4) for radius in found["hidden"][0].tolist()]
        [0.05, 0.12]
    """
    directions = checked_offsets(points, frame, 1.0)[: len(frame)]
    values: Mapping[str, Tensor] = {}
    slopes: dict[str, Tensor] = {}
    for direction in directions:
        tangent = direction.view(1, *points.shape[1:]).expand_as(points).contiguous()
        values, moved, *_ = torch.func.jvp(preactivations, (points,), (tangent,))
        for site, slope in moved.items():
            size = slope.abs().flatten(1)
            slopes[site] = torch.maximum(slopes[site], size) if site in slopes else size
    found = {}
    for site, slope in slopes.items():
        radius = values[site].abs().flatten(1) / slope
        found[site] = torch.where(slope == 0, torch.inf, radius)
    return found


def boundary_points(
    classes: Callable[[Tensor, Tensor], Tensor], ones: Tensor, others: Tensor, *, halvings: int = 40
) -> tuple[Tensor, Tensor]:
    """Return points on the decision boundary between pairs of different predicted class, and which pairs those are.

    The segment from one to the other is halved so that the end near the first keeps its class. The points are as near
    to the boundary as 2^−halvings of the segment, on the side of the first.

    Args:
        classes: (points (m, ...), which of the pairs each is of (m,)) -> what is predicted, (m, ...) integers.
        ones: (n, ...), first points of the pairs.
        others: (n, ...), second points.
        halvings: how many.

    Returns:
        Points (m, ...) and their pairs (m,), ascending; m = 0 where no pair differs.

    Raises:
        UsageError: the pairs do not match.

    Example:
        >>> sign = lambda points, _: (points[:, 0] > 0.3).long()
        >>> points, pairs = boundary_points(sign, torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]]))
        >>> [round(x, 6) for x in points.flatten().tolist()], pairs.tolist()
        ([0.3], [0])
    """
    if ones.shape != others.shape or not ones.is_floating_point():
        raise UsageError(
            f"points of shapes {tuple(ones.shape)} and {tuple(others.shape)} were given: pairs are of equal shape."
        )
    every = torch.arange(len(ones), device=ones.device)
    if not len(every):
        return ones, every
    first, second = (classes(part, every).reshape(len(every), -1) for part in (ones, others))
    pairs = (first != second).any(1).nonzero().flatten()
    if not len(pairs):
        return ones[:0], pairs
    here, there, expected = ones[pairs], others[pairs], first[pairs]
    shape = (-1, *[1] * (ones.ndim - 1))
    for _ in range(halvings):
        middle = (here + there) / 2
        same = (classes(middle, pairs).reshape(len(pairs), -1) == expected).all(1).view(shape)
        here, there = torch.where(same, middle, here), torch.where(same, there, middle)
    return here, pairs
