"""The diagonal linear network (Woodworth et al. 2020): a linear function whose weights are differences of squares."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from grokscope.errors import UsageError

if TYPE_CHECKING:
    from grokscope.facts import Facts
    from grokscope.models.diagonal_settings import DiagonalNetworkSettings


class DiagonalNetwork(nn.Module):
    """f(x) = Σ_j (u_j² − v_j²) x_j: inputs (batch, d) to f, (batch, 1), or to two logits (−f/2, f/2).

    The cross-entropy of the logits is the logistic loss log(1 + e^{−y f}), their difference f.
    """

    def __init__(self, settings: DiagonalNetworkSettings, facts: Facts) -> None:
        super().__init__()
        if facts.geometry is None:
            raise UsageError("a diagonal network reads vectors of numbers, and this task has none: change task.name.")
        if facts.classes not in (None, 2):
            raise UsageError(f"a diagonal network tells two classes apart, not {facts.classes}: change task.name.")
        dimension = math.prod(facts.geometry.shape)
        value = settings.initial_norm / math.sqrt(2 * dimension)
        self.u = nn.Parameter(torch.full((dimension,), value))
        self.v = nn.Parameter(torch.full((dimension,), value))
        self.classes = facts.classes is not None

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits, or f where the task has no classes."""
        score = inputs.flatten(1) @ linear_predictor({"u": self.u, "v": self.v})
        return torch.stack([-score / 2, score / 2], 1) if self.classes else score[:, None]

    def pullback(
        self, parameters: Mapping[str, Tensor], inputs: Tensor
    ) -> tuple[Tensor, Callable[[Tensor], dict[str, Tensor]]]:
        """Return outputs and gradients of many members, as :class:`grokscope.learners.closed.Pullback` says."""
        x = inputs.flatten(2)
        score = linear_predictor(parameters) @ x.mT
        outputs = torch.stack([score, score], -1) * score.new_tensor([-0.5, 0.5]) if self.classes else score[..., None]

        def pull(slopes: Tensor) -> dict[str, Tensor]:
            moved = (slopes[..., 1] - slopes[..., 0]) / 2 if self.classes else slopes[..., 0]
            by_weight = 2 * (moved @ x)
            return {"u": by_weight * parameters["u"], "v": -by_weight * parameters["v"]}

        return outputs, pull


def linear_predictor(parameters: Mapping[str, Tensor]) -> Tensor:
    """Return the weights w = u² − v² of the linear function that the network is, (d,).

    Example:
        >>> linear_predictor({"u": torch.tensor([2.0, 1.0]), "v": torch.tensor([1.0, 1.0])}).tolist()
        [3.0, 0.0]
    """
    return parameters["u"].square() - parameters["v"].square()
