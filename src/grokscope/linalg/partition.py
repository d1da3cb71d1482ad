"""The exact partition of a two-dimensional slice of the input space into the linear regions of a perceptron.

Layer by layer each convex polygon carries the affine map from the slice to the pre-activations on it; the lines on
which these are 0 cut it. All polygons that one unit cuts are cut at once. No graph library, float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.perceptron_complexity import Layer

TOLERANCE = 1e-12
"""A vertex is on a line where its value is at most this, times the largest offset of the layer if that is above 1."""


@dataclass(frozen=True)
class Slice:
    """The plane x(c) = origin + c₁ basis₁ + c₂ basis₂; origin (D,), basis (2, D) with orthonormal rows."""

    origin: Float[Tensor, " d"]
    basis: Float[Tensor, "2 d"]

    def at(self, coordinates: Float[Tensor, "... 2"]) -> Float[Tensor, "... d"]:
        """Return the points of the input space at coordinates in the slice."""
        return self.origin.double() + coordinates.double() @ self.basis.double()


@dataclass(frozen=True)
class Partition:
    """Linear regions of a slice. On region i the outputs are ``slopes[i] @ c + offsets[i]``.

    Attributes:
        vertices: (R, V, 2), corners in coordinates of the slice, in order; of region i the first ``sizes[i]`` count.
        sizes: (R,).
        slopes: (R, K, 2).
        offsets: (R, K).
        patterns: (R, hidden units), which units are on; no two regions have the same.
    """

    vertices: Float[Tensor, "r v 2"]
    sizes: Int[Tensor, " r"]
    slopes: Float[Tensor, "r k 2"]
    offsets: Float[Tensor, "r k"]
    patterns: Bool[Tensor, "r h"]

    def __len__(self) -> int:
        return len(self.sizes)

    @property
    def valid(self) -> Bool[Tensor, "r v"]:
        """Which of the corners count."""
        return torch.arange(self.vertices.shape[1]) < self.sizes[:, None]

    @property
    def areas(self) -> Float[Tensor, " r"]:
        """The area of each region, in squared units of the slice."""
        here, there = self.vertices, _following(self.vertices, self.sizes)
        # about the first corner, so that small regions far out keep their digits
        here, there = here - self.vertices[:, :1], there - self.vertices[:, :1]
        cross = here[..., 0] * there[..., 1] - here[..., 1] * there[..., 0]
        return torch.where(self.valid, cross, 0.0).sum(1).abs() / 2

    @property
    def centres(self) -> Float[Tensor, "r 2"]:
        """A point inside each region: the mean of its corners."""
        return torch.where(self.valid[..., None], self.vertices, 0.0).sum(1) / self.sizes[:, None]


def slice_through(points: Float[Tensor, "3 d"]) -> Slice:
    """Return the slice through three points, about their mean (Gram and Schmidt).

    Raises:
        UsageError: they are not three finite points, or lie on a line.

    Example:
        >>> found = slice_through(torch.tensor([[0.0, 0, 1], [3, 0, 1], [0, 3, 1]]))
        >>> found.origin.tolist(), found.basis.abs().tolist()
        ([1.0, 1.0, 1.0], [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    """
    if points.ndim != 2 or len(points) != 3 or not bool(torch.isfinite(points).all()):
        raise UsageError(f"points of shape {tuple(points.shape)} were given: a slice goes through three finite ones.")
    values = points.double().cpu()
    first, second = values[1] - values[0], values[2] - values[0]
    rows = []
    for edge in (first, second):
        for row in rows:
            edge = edge - (edge @ row) * row
        length = float(edge.norm())
        if length <= 1e-9 * max(float(first.norm()), float(second.norm())):
            raise UsageError("three points on a line were given: through them goes more than one slice.")
        rows.append(edge / length)
    return Slice(values.mean(0), torch.stack(rows))


def square(half: float, centre: tuple[float, float] = (0.0, 0.0)) -> Float[Tensor, "4 2"]:
    """Return the corners of a square of side 2 ``half`` in a slice.

    Example:
        >>> square(1.0).tolist()
        [[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]
    """
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64)
    return half * corners + torch.tensor(centre, dtype=torch.float64)


def partition(
    layers: Sequence[Layer],
    plane: Slice,
    domain: Float[Tensor, "v 2"],
    *,
    negative_slope: float = 0.0,
    chunk: int = 4096,
) -> Partition:
    """Return the linear regions of a perceptron of (leaky) rectifiers within a convex polygon of a slice, exactly.

    Time grows with regions × units, memory with ``chunk`` × units beside the result. Source: Humayun et al. 2023
    (SplineCam), the task; the algorithm is ours.

    Args:
        layers: affine maps, the last of which gives the outputs; between them are rectifiers.
        plane: the slice.
        domain: corners of a convex polygon in it, in order.
        negative_slope: of the rectifiers below 0.
        chunk: polygons that are cut at once.

    Raises:
        UsageError: the layers do not fit, are not finite, or the domain is no polygon.

    Example:
        >>> lines = Layer(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.tensor([0.0, 0.0, -0.5]))
        >>> plane = Slice(torch.zeros(2), torch.eye(2))
        >>> len(partition([lines, Layer(torch.ones(1, 3), None)], plane, square(1.0)))
        7
    """
    maps = _checked(layers, plane, domain, chunk)
    weight, bias = maps[0]
    basis, origin = plane.basis.double().cpu(), plane.origin.double().cpu()
    first = torch.cat([weight @ basis.T, (weight @ origin + bias)[:, None]], 1)
    corners = domain.double().cpu()
    no_units = torch.zeros(1, 0, dtype=torch.bool)
    waiting = [(1, corners[None], torch.tensor([len(corners)]), first[None], no_units)]
    done: list[tuple[Tensor, ...]] = []
    while waiting:
        at, vertices, sizes, affine, patterns = waiting.pop()
        if at == len(maps):
            done.append((vertices, sizes, affine, patterns))
            continue
        vertices, sizes, owner = _cut_by_all(vertices, sizes, affine)
        weight, bias = maps[at]
        for part in torch.arange(len(sizes)).split(chunk):
            mine = affine[owner[part]]
            centre = Partition(vertices[part], sizes[part], mine, mine, mine).centres
            on = (mine[..., :2] @ centre[..., None])[..., 0] + mine[..., 2] > 0
            after = weight @ torch.where(on[..., None], mine, negative_slope * mine)
            after[..., 2] += bias
            widest = int(sizes[part].max())
            together = torch.cat([patterns[owner[part]], on], 1)
            waiting.append((at + 1, vertices[part, :widest], sizes[part], after, together))
    widest = max(vertices.shape[1] for vertices, *_ in done)
    padded = [torch.nn.functional.pad(part[0], (0, 0, 0, widest - part[0].shape[1])) for part in done]
    affine = torch.cat([part[2] for part in done])
    sizes, patterns = torch.cat([part[1] for part in done]), torch.cat([part[3] for part in done])
    return Partition(torch.cat(padded), sizes, affine[..., :2], affine[..., 2], patterns)


def decision_boundary(regions: Partition) -> tuple[Float[Tensor, "m 2 2"], Int[Tensor, "m 2"]]:
    """Return the segments on which the largest output changes, and the two classes that meet there.

    In a region outputs are affine: of the line on which two are equal, what is within it and below no third is kept. A
    single output changes where it is 0, between the classes 0 and 1.

    Example:
        >>> plane = Slice(torch.zeros(2), torch.eye(2))
        >>> net = [Layer(torch.eye(2), torch.ones(2)), Layer(torch.eye(2), None)]
        >>> segments, classes = decision_boundary(partition(net, plane, square(0.5)))
        >>> segments.abs().tolist(), classes.tolist()
        ([[[0.5, 0.5], [0.5, 0.5]]], [[0, 1]])
    """
    slopes, offsets = regions.slopes, regions.offsets
    if slopes.shape[1] == 1:
        slopes, offsets = (torch.cat([torch.zeros_like(value), value], 1) for value in (slopes, offsets))
    segments, classes = [], []
    count = slopes.shape[1]
    for one in range(count):
        for other in range(one + 1, count):
            slope, offset = slopes[:, one] - slopes[:, other], offsets[:, one] - offsets[:, other]
            values = (regions.vertices @ slope[..., None])[..., 0] + offset[:, None]
            following = _following(values[..., None], regions.sizes)[..., 0]
            leaves = regions.valid & (values > 0) & (following <= 0)
            enters = regions.valid & (values <= 0) & (following > 0)
            rows = (leaves.any(1) & enters.any(1)).nonzero().flatten()
            if not len(rows):
                continue
            ends = [_crossing(regions, values, following, edge, rows) for edge in (leaves, enters)]
            at = [(slopes[rows] @ end[..., None])[..., 0] + offsets[rows] for end in ends]
            ahead = [value[:, [one]] - value for value in at]
            low, high = _nonnegative(ahead[0], ahead[1], skip=(one, other))
            kept = high > low + 1e-12
            chord = (ends[1] - ends[0])[kept]
            start = ends[0][kept]
            pair = [start + low[kept, None] * chord, start + high[kept, None] * chord]
            segments.append(torch.stack(pair, 1))
            classes.append(torch.tensor([[one, other]]).expand(int(kept.sum()), 2))
    if not segments:
        return torch.zeros(0, 2, 2, dtype=torch.float64), torch.zeros(0, 2, dtype=torch.long)
    return torch.cat(segments), torch.cat(classes)


def _checked(
    layers: Sequence[Layer], plane: Slice, domain: Tensor, chunk: int
) -> list[tuple[Float[Tensor, "after before"], Float[Tensor, " after"]]]:
    width = plane.origin.shape[0] if plane.origin.ndim == 1 else -1
    if plane.basis.shape != (2, width):
        raise UsageError(
            f"a slice with origin {tuple(plane.origin.shape)} and basis {tuple(plane.basis.shape)} was given: they are "
            "(d,) and (2, d)."
        )
    maps = []
    for layer in layers:
        weight = layer.weight.detach().double().cpu()
        bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().double().cpu()
        if weight.shape[1] != width:
            raise UsageError(f"a layer of shape {tuple(weight.shape)} was given where {width} numbers come in.")
        if not bool(torch.isfinite(weight).all() & torch.isfinite(bias).all()):
            raise UsageError("a layer with NaN or Inf was given: it has no linear regions.")
        maps.append((weight, bias))
        width = len(weight)
    if not maps:
        raise UsageError("no layer was given: a perceptron has one or more.")
    if domain.ndim != 2 or domain.shape[1] != 2 or len(domain) < 3 or not bool(torch.isfinite(domain).all()):
        raise UsageError(
            f"a domain of shape {tuple(domain.shape)} was given: give three or more finite corners, (v, 2)."
        )
    edges = domain.double().roll(-1, 0) - domain.double()
    turns = edges[:, 0] * edges.roll(-1, 0)[:, 1] - edges[:, 1] * edges.roll(-1, 0)[:, 0]
    if (bool((turns < 0).any()) and bool((turns > 0).any())) or not bool(turns.any()):
        raise UsageError("a domain that is not convex, or has no area, was given: give a polygon's corners in order.")
    if chunk < 1:
        raise UsageError(f"chunk = {chunk} was given: at least one polygon is cut at once.")
    return maps


def _cut_by_all(vertices: Tensor, sizes: Tensor, affine: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cut each polygon by all lines on which its affine maps (R, H, 3) are 0; ``owner`` says of which it was part."""
    owner = torch.arange(len(sizes))
    tolerance = TOLERANCE * affine[..., 2].abs().amax(1).clamp(min=1)
    whole = (vertices @ affine[..., :2].mT) + affine[:, None, :, 2]
    valid = (torch.arange(vertices.shape[1]) < sizes[:, None])[..., None]
    low = torch.where(valid, whole, torch.inf).amin(1) < -tolerance[:, None]
    crossed = low & (torch.where(valid, whole, -torch.inf).amax(1) > tolerance[:, None])
    for unit in crossed.any(0).nonzero().flatten().tolist():
        some = crossed[owner, unit].nonzero().flatten()
        line = affine[owner[some], unit]
        values = (vertices[some] @ line[:, :2, None])[..., 0] + line[:, 2:]
        values = torch.where(values.abs() <= tolerance[owner[some], None], 0.0, values)
        valid = torch.arange(vertices.shape[1]) < sizes[some, None]
        split = (valid & (values > 0)).any(1) & (valid & (values < 0)).any(1)
        if not bool(split.any()):
            continue
        rows, values = some[split], values[split]
        positive = _half(vertices[rows], sizes[rows], values)
        negative = _half(vertices[rows], sizes[rows], -values)
        widest = max(vertices.shape[1], positive[0].shape[1], negative[0].shape[1])

        def pad(given: Tensor, widest: int = widest) -> Tensor:
            return torch.nn.functional.pad(given, (0, 0, 0, widest - given.shape[1]))

        vertices = pad(vertices)
        vertices[rows], sizes = pad(positive[0]), sizes.index_copy(0, rows, positive[1])
        vertices = torch.cat([vertices, pad(negative[0])])
        sizes, owner = torch.cat([sizes, negative[1]]), torch.cat([owner, owner[rows]])
    return vertices, sizes, owner


def _half(vertices: Tensor, sizes: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the parts of convex polygons on which values, affine and not 0 all over, are at least 0."""
    count, width, _ = vertices.shape
    following, after = _following(vertices, sizes), _following(values[..., None], sizes)[..., 0]
    valid = torch.arange(width) < sizes[:, None]
    crossing = valid & (values * after < 0)
    share = torch.where(crossing, values / torch.where(crossing, values - after, 1.0), 0.0)
    between = vertices + share[..., None] * (following - vertices)
    # each corner, and after it the point on the edge that follows
    slots = torch.stack([vertices, between], 2).reshape(count, 2 * width, 2)
    kept = torch.stack([valid & (values >= 0), crossing], 2).reshape(count, 2 * width)
    found = kept.sum(1)
    order = kept.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, : int(found.max())]
    return slots.gather(1, order[..., None].expand(-1, -1, 2)), found


def _following(values: Tensor, sizes: Tensor) -> Tensor:
    """Return at each corner what is at the next one, (R, V, …)."""
    index = torch.arange(1, values.shape[1] + 1).expand(len(values), -1)
    index = torch.where(index >= sizes[:, None], 0, index)
    return values.gather(1, index[..., None].expand(-1, -1, values.shape[2]))


def _crossing(regions: Partition, values: Tensor, following: Tensor, edges: Tensor, rows: Tensor) -> Tensor:
    """Return where values reach 0 on the one edge of each polygon that is chosen, (rows, 2)."""
    which = edges[rows].to(torch.int8).argmax(1)
    here, there = values[rows, which], following[rows, which]
    ends = _following(regions.vertices[rows], regions.sizes[rows])[torch.arange(len(rows)), which]
    start = regions.vertices[rows, which]
    return start + (here / (here - there))[:, None] * (ends - start)


def _nonnegative(start: Tensor, end: Tensor, *, skip: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Return from where to where on [0, 1] all columns of values that go from start to end are at least 0."""
    others = [column for column in range(start.shape[1]) if column not in skip]
    low, high = start.new_zeros(len(start)), start.new_ones(len(start))
    for column in others:
        here, there = start[:, column], end[:, column]
        root = here / torch.where(here == there, 1.0, here - there)
        low = torch.where((here < 0) & (there >= 0), torch.maximum(low, root), low)
        high = torch.where((here >= 0) & (there < 0), torch.minimum(high, root), high)
        high = torch.where((here < 0) & (there < 0), -1.0, high)
    return low, high
