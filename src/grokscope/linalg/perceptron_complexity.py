"""Local complexity of perceptrons, without sending every vertex of a cross-polytope through every layer.

The first layer is linear: z = W x + b of the points and u_p = W v_p of the directions give all vertices z ± r u_p. At
later layers few units can be cut at all, those with |a_j(x)| ≤ ‖w_j‖ max ‖h(vertex) − h(x)‖ (Cauchy and Schwarz; the
spread grows from layer to layer by no more than the spectral norm). Each of them is followed back to the first layer
along the units that are on at x: in between, the network is linear but for units that are cut themselves, which add a
term each. Where too many can be cut, and for other nonlinearities than rectifiers, the vertices go through after all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from grokscope.errors import UsageError
from grokscope.linalg.cross_polytope import checked_offsets
from grokscope.linalg.local_complexity import Cuts, See, cut_counts, is_cut

CERTAIN = 8
"""So many times the rounding of a layer away from 0 a sign is certain."""

WORTH = 1.0
"""Units a direction and point, up to which they are taken one by one."""


@dataclass(frozen=True)
class Layer:
    """An affine map whose output is a site, and the nonlinearity that follows (of the last one it is not used).

    Attributes:
        weight: (after, before).
        bias: (after,), or None.
        activation: elementwise; ``torch.relu`` is the one that is known to be linear on either side of 0.
    """

    weight: Tensor
    bias: Tensor | None
    activation: Callable[[Tensor], Tensor] = torch.relu

    def to(self, dtype: torch.dtype) -> Layer:
        """Return the layer in another type."""
        return Layer(self.weight.to(dtype), None if self.bias is None else self.bias.to(dtype), self.activation)

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the affine map of inputs (..., before)."""
        return functional.linear(inputs, self.weight, self.bias)


def perceptron_cuts(
    layers: Sequence[Layer],
    points: Tensor,
    frame: Tensor,
    radii: Sequence[float],
    *,
    chunk: int = 2048,
    arithmetic: torch.dtype | None = None,
) -> list[list[Cuts]]:
    """Return what :func:`grokscope.linalg.local_complexity.cut_counts` gives of a perceptron, by radius and layer.

    Points at which some unit is too near to 0 at a vertex for its sign to be sure are counted by the plain forward pass
    of their vertices, in the type of the points.

    Args:
        layers: one or more, each fitting the one before.
        points: (n, ...), flattened before the first layer.
        frame: (P, numbers of a point).
        radii: of the cross-polytopes, in units of the points; they share what the first layer gives.
        chunk: vertices that are held at once; the default stays in a processor's cache at widths of a few hundred.
        arithmetic: the type all but the uncertain points are computed in; that of the points if None.

    Raises:
        UsageError: as ``cut_counts``; or the layers do not fit.

    Example:
        >>> layers = [Layer(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), torch.tensor([-0.05, -0.3, -0.12]))]
        >>> found = perceptron_cuts(layers, torch.zeros(1, 2), torch.eye(2), (0.1, 0.15))
        >>> [one[0].counts.item() for one in found]
        [1.0, 2.0]
    """
    if chunk < 1:
        raise UsageError(f"chunk = {chunk} was given: at least one vertex is held at once.")
    for radius in radii:
        checked_offsets(points, frame, radius)
    widths = [points[0].numel(), *(len(layer.weight) for layer in layers)]
    if not layers or any(layer.weight.shape[1] != width for layer, width in zip(layers, widths, strict=False)):
        raise UsageError(
            f"layers of shapes {[tuple(layer.weight.shape) for layer in layers]} were given for points of {widths[0]} "
            "numbers: each takes what the one before gives."
        )
    dtype = arithmetic or points.dtype
    working = [layer.to(dtype) for layer in layers]
    flat, directions = points.flatten(1).to(dtype), frame.to(points.device, dtype)
    centres, slopes = working[0](flat), directions @ working[0].weight.T
    lengths = flat.norm(dim=1)
    found = []
    for radius in radii:
        around = _Around(working, radius * slopes, len(points), chunk)
        for rows in torch.arange(len(points), device=points.device).split(max(1, chunk // 8)):
            around.count(rows, centres[rows], lengths[rows])
        found.append(around.cuts())
        unsure = around.unsure.nonzero().flatten()
        if len(unsure):
            exact = cut_counts(_plain(layers), points[unsure], frame, radius, chunk=chunk)
            for at, cuts in enumerate(found[-1]):
                cuts.counts[unsure] = exact[str(at)].counts
    return found


def _plain(layers: Sequence[Layer]) -> Callable[[Tensor, Tensor, See], None]:
    def run(vertices: Tensor, _rows: Tensor, see: See) -> None:
        values = vertices.flatten(1)
        for at, layer in enumerate(layers):
            values = layer.to(values.dtype)(values if at == 0 else layers[at - 1].activation(values))
            see(str(at), values)

    return run


class _Around:
    """Counts around some points, chunk by chunk; ``unsure`` tells where a sign is not certain."""

    def __init__(self, layers: Sequence[Layer], slopes: Tensor, points: int, chunk: int) -> None:
        self.layers, self.last, self.slopes, self.chunk = layers, len(layers) - 1, slopes, chunk
        device = slopes.device
        self.counts = torch.zeros(len(layers), points, dtype=torch.float64, device=device)
        self.unsure = torch.zeros(points, dtype=torch.bool, device=device)
        self.norms = [layer.weight.norm(dim=1) for layer in layers]
        self.rectified = all(layer.activation is torch.relu for layer in layers[:-1])
        self.stretch = [_spectral_bound(layer.weight) for layer in layers[1:-1]] if self.rectified else []
        self.epsilon = CERTAIN * torch.finfo(slopes.dtype).eps

    def cuts(self) -> list[Cuts]:
        return [Cuts(counts, len(layer.weight)) for counts, layer in zip(self.counts, self.layers, strict=True)]

    def count(self, rows: Tensor, centres: Tensor, lengths: Tensor) -> None:
        """Count the cuts around points whose first pre-activations are ``centres`` (c, H)."""
        reach = torch.maximum(-self.slopes.amin(0), self.slopes.amax(0))
        cut = self._record(0, rows, centres - reach, centres + reach, lengths)
        if self.last == 0:
            return
        done = self._by_units(rows, centres, cut) if self.rectified else 1
        if done > self.last:
            return
        together = max(1, self.chunk // (2 * len(self.slopes)))
        for part, here in zip(rows.split(together), centres.split(together), strict=True):
            self._by_vertices(done, part, here)

    def _by_units(self, rows: Tensor, centre: Tensor, cut: Tensor) -> int:
        """Count layer by layer the few units that can be cut at all; return the first layer with too many of them."""
        state = _Paths(self.slopes)
        point, unit = cut.nonzero(as_tuple=True)
        moved = self.slopes.T[unit]
        state.add(centre, point, unit, centre[point, unit][:, None] + torch.cat([moved, -moved], 1))
        reached = ((centre > 0) | cut).to(centre.dtype) @ self.slopes.square().T
        spread = 1.01 * reached.amax(1).sqrt()
        for at in range(1, self.last + 1):
            layer, hidden = self.layers[at], centre.relu()
            centre = layer(hidden)
            rounding = self._rounding(at, hidden.norm(dim=1) + spread)
            # a comparison with NaN is false, and what is not known to be uncut is computed
            possible = ~(centre.abs() > self.norms[at] * spread[:, None] + rounding)
            point, unit = possible.nonzero(as_tuple=True)
            if len(point) > WORTH * len(self.slopes) * len(rows):
                return at
            parts = zip(point.split(self.chunk), unit.split(self.chunk), strict=True)
            values = [state.values(self.layers, at, *part) for part in parts] or [centre.new_zeros(0, 1)]
            values = centre[point, unit][:, None] + torch.cat(values)
            low, high = (values.amin(1), values.amax(1)) if len(point) else (values[:, 0], values[:, 0])
            crossed = is_cut(low, high)
            counts = torch.bincount(point[crossed], minlength=len(rows)).double()
            counts[point[low.isnan()]] = math.nan
            self.counts[at, rows] = counts
            self.unsure[rows[point[_near(low, high, rounding[point, unit])]]] = True
            if at < self.last:
                state.add(centre, point[crossed], unit[crossed], values[crossed])
                spread = 1.01 * self.stretch[at - 1] * spread
        return self.last + 1

    def _by_vertices(self, first: int, rows: Tensor, centre: Tensor) -> None:
        """Count the layers from ``first`` on by sending all vertices through; of the last only what can be cut."""
        values = torch.cat([centre[:, None] + self.slopes, centre[:, None] - self.slopes], 1)
        for at in range(1, self.last + 1):
            activation, layer = self.layers[at - 1].activation, self.layers[at]
            hidden, vertices = activation(centre), activation(values)
            length = torch.maximum(hidden.norm(dim=1), vertices[:, 0].norm(dim=1))
            centre = layer(hidden)
            if at == self.last:
                self._last(rows, centre, hidden, vertices, length)
                return
            values = layer(vertices)
            if at >= first:
                self._record(at, rows, values.amin(1), values.amax(1), length)  # faster than both at once

    def _last(self, rows: Tensor, centre: Tensor, hidden: Tensor, vertices: Tensor, length: Tensor) -> None:
        layer, at = self.layers[self.last], self.last
        spread = 1.01 * (vertices - hidden[:, None]).norm(dim=2).amax(1)
        possible = ~(centre.abs() > self.norms[at] * spread[:, None] + self._rounding(at, length))
        most = int(possible.sum(1).max())
        if 3 * most > len(layer.weight):
            values = layer(vertices)
            self._record(at, rows, values.amin(1), values.amax(1), length)
        elif most:
            chosen = possible.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :most]
            values = torch.bmm(vertices, layer.weight[chosen].mT)
            low, high = values.amin(1), values.amax(1)
            if layer.bias is not None:
                low, high = low + layer.bias[chosen], high + layer.bias[chosen]
            self._record(at, rows, low, high, length, chosen)

    def _record(
        self, at: int, rows: Tensor, low: Tensor, high: Tensor, length: Tensor, chosen: Tensor | None = None
    ) -> Tensor:
        """Count units by their least and greatest value, and tell which are cut; ``chosen`` says which units."""
        cut = is_cut(low, high)
        counts = cut.sum(1, dtype=torch.float64)
        counts[low.isnan().any(1)] = math.nan
        self.counts[at, rows] = counts
        rounding = self._rounding(at, length)
        rounding = rounding if chosen is None else rounding.gather(1, chosen)
        self.unsure[rows] |= _near(low, high, rounding).any(1)
        return cut

    def _rounding(self, at: int, length: Tensor) -> Tensor:
        """Return how far from 0 a pre-activation is safe from rounding, (c, H): of the order ε (‖w‖ ‖h‖ + |b|)."""
        bias = self.layers[at].bias
        scale = length[:, None] * self.norms[at]
        return self.epsilon * (at + 1) * (scale if bias is None else scale + bias.abs())


class _Paths:
    """What is known of points up to a layer of rectifiers: units on at the centre, and how cut ones leave their line.

    relu(a) = relu(a₀) + [a₀ > 0] (a − a₀) + δ, with δ = 0 unless the unit is cut. So the pre-activation of any later
    unit is that of the centre, plus what moves along the units that are on, plus a few δ.
    """

    def __init__(self, slopes: Tensor) -> None:
        self.slopes = slopes
        self.on: list[Tensor] = []
        self.bent: list[tuple[Tensor, Tensor]] = []

    def add(self, centre: Tensor, point: Tensor, unit: Tensor, values: Tensor) -> None:
        """Add a layer: pre-activations of the centre (c, H), and those of cut units at the vertices (k, 2P)."""
        self.on.append((centre > 0).to(centre.dtype))
        count = torch.bincount(point, minlength=len(centre))
        most = int(count.max())
        place = torch.arange(len(point), device=point.device) - (count.cumsum(0) - count)[point]
        units = unit.new_zeros(len(centre), most)
        bends = centre.new_zeros(len(centre), 2 * len(self.slopes), most)
        if most:
            before = centre[point, unit][:, None]
            units[point, place] = unit
            bends[point, :, place] = values.relu() - before.relu() - (before > 0) * (values - before)
        self.bent.append((units, bends))

    def values(self, layers: Sequence[Layer], at: int, point: Tensor, unit: Tensor) -> Tensor:
        """Return how far units of layer ``at`` move from their centre to each vertex, (k, 2P)."""
        weight = layers[at].weight[unit]
        total = weight.new_zeros(len(unit), 2 * len(self.slopes))
        for before in range(at - 1, -1, -1):
            units, bends = self.bent[before]
            if units.shape[1]:
                total += torch.bmm(bends[point], weight.gather(1, units[point])[..., None])[..., 0]
            weight = weight * self.on[before][point]
            if before:
                weight = weight @ layers[before].weight
        moved = weight @ self.slopes.T
        return total + torch.cat([moved, -moved], 1)


def _near(low: Tensor, high: Tensor, rounding: Tensor) -> Tensor:
    # a unit that gets nothing but zeros is exactly 0
    return (torch.minimum(low.abs(), high.abs()) <= rounding) & ((low != 0) | (high != 0))


def _spectral_bound(weight: Tensor) -> float:
    """Return a number that is at least the spectral norm, and near it: the 16th root of Σ σ¹⁶."""
    wide = weight if len(weight) <= weight.shape[1] else weight.T
    size = float(wide.norm())
    if not 0 < size < math.inf:
        return size
    power = wide / size
    power = power @ power.T
    power = power @ power
    return size * float((power @ power).norm()) ** 0.125
