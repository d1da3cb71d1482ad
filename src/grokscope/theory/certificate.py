"""How far a computed solution can be from the exact one, said by numbers anybody can recompute."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Certificate:
    """Bounds on the optimum of a convex minimisation, from a feasible point and a feasible dual point.

    The optimum lies in [dual, primal] by weak duality, whatever found the two points, up to the rounding of the
    numbers themselves.

    Attributes:
        primal: the objective at a feasible point, an upper bound.
        dual: the dual objective at a feasible dual point, a lower bound.
        residual: the largest violation of a constraint by the solution handed out, relative to the constraint's scale.

    Example:
        >>> round(Certificate(primal=2.0, dual=1.9, residual=0.0).gap, 9)
        0.05
    """

    primal: float
    dual: float
    residual: float

    @property
    def gap(self) -> float:
        """(primal − dual) / max(|primal|, |dual|): at least 0 but for rounding; 0 where both are 0."""
        scale = max(abs(self.primal), abs(self.dual))
        return (self.primal - self.dual) / scale if scale else 0.0
