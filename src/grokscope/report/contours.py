"""Where a function on a grid has a level, as lines: marching squares, linear along the edges of the grid."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Point = tuple[float, float]


def contour(x: Sequence[float], y: Sequence[float], values: np.ndarray, level: float) -> list[list[Point]]:
    """Return the lines along which ``values`` are ``level``, each as its points (x, y).

    Only squares of the grid whose four corners are all finite are crossed.

    Args:
        x: places of the columns, (columns,).
        y: places of the rows, (rows,).
        values: (rows, columns).
        level: the value looked for.

    Example:
        >>> contour([0, 1], [0, 1], np.array([[0.0, 1.0], [0.0, 1.0]]), 0.25)
        [[(0.25, 0.0), (0.25, 1.0)]]
    """
    values = np.asarray(values, float)
    pieces: list[tuple[Point, Point]] = []
    for row in range(len(y) - 1):
        for column in range(len(x) - 1):
            corners = [(row, column), (row, column + 1), (row + 1, column + 1), (row + 1, column)]
            around = [float(values[corner]) for corner in corners]
            if not all(map(math.isfinite, around)):
                continue
            cuts = []
            for side in range(4):
                # in one order from both squares, so that the lines in them meet to the bit
                (r0, c0), (r1, c1) = sorted((corners[side], corners[(side + 1) % 4]))
                low, high = float(values[r0, c0]), float(values[r1, c1])
                if (low < level) != (high < level):
                    share = (level - low) / (high - low)
                    cuts.append((x[c0] + share * (x[c1] - x[c0]), y[r0] + share * (y[r1] - y[r0])))
            if len(cuts) == 4 and (sum(around) / 4 < level) != (around[0] < level):
                cuts = [cuts[1], cuts[2], cuts[3], cuts[0]]  # a saddle: its middle says which corners belong together
            pieces += [(cuts[at], cuts[at + 1]) for at in range(0, len(cuts), 2)]
    return _joined(pieces)


def levels(values: np.ndarray, most: int = 4) -> list[float]:
    """Return at most ``most`` round numbers strictly inside the range of the positive values.

    They are powers of ten where it has several, else 1, 2 and 5 times these, else its middle to two digits.

    Example:
        >>> levels(np.array([30.0, 4000.0])), levels(np.array([30.0, 400.0])), levels(np.array([1.0, 1.0]))
        ([100.0, 1000.0], [50.0, 100.0, 200.0], [])
    """
    known = np.asarray(values, float)
    known = known[np.isfinite(known) & (known > 0)]
    if not known.size:
        return []
    low, high = float(known.min()), float(known.max())
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5)]
    inside = [value for value in found if low < value < high]
    decades = [value for value in inside if f"{value:e}".startswith("1.0")]
    middle = float(f"{math.sqrt(low * high):.1e}")
    chosen = decades if len(decades) >= 2 else inside or ([middle] if low < middle < high else [])
    return chosen[:: math.ceil(len(chosen) / most)] if chosen else []


def _joined(pieces: Sequence[tuple[Point, Point]]) -> list[list[Point]]:
    """Return pieces that share an end as one line, closed ones with their first point again at the end."""
    left = {index: piece for index, piece in enumerate(pieces) if piece[0] != piece[1]}
    ends: dict[Point, list[int]] = {}
    for index, piece in left.items():
        for point in piece:
            ends.setdefault(point, []).append(index)
    lines = []
    while left:
        # an end that no other piece has comes first, so that a line is walked from its beginning
        index = next((i for i, piece in left.items() if any(len(ends[point]) == 1 for point in piece)), min(left))
        first, second = left.pop(index)
        line = [first, second] if len(ends[first]) == 1 or len(ends[second]) > 1 else [second, first]
        while (following := next((i for i in ends[line[-1]] if i in left), None)) is not None:
            one, other = left.pop(following)
            line.append(other if one == line[-1] else one)
        lines.append(line)
    return lines
