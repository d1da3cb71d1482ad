"""A symmetric matrix as a difference of two squares, U Uᵀ − V Vᵀ, read entry by entry (Lyu et al. 2024, Sec. 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from grokscope.errors import UsageError

if TYPE_CHECKING:
    from grokscope.facts import Facts
    from grokscope.models.factorisation_settings import SymmetricFactorisationSettings


class SymmetricFactorisation(nn.Module):
    """Indices (batch, 2) to entries of W, (batch, 1); homogeneous of degree 2 in (U, V)."""

    def __init__(self, settings: SymmetricFactorisationSettings, facts: Facts, generator: torch.Generator) -> None:
        super().__init__()
        if facts.sequence is None or facts.sequence.length != 2:
            raise UsageError("a factorisation needs pairs of indices: set task.name = matrix-completion.")
        size = facts.sequence.vocabulary
        start = settings.initial_scale * torch.eye(size)
        draws = [settings.perturbation * torch.randn(size, size, generator=generator) for _ in range(2)]
        self.U, self.V = (nn.Parameter(start + draw if settings.perturbation else start.clone()) for draw in draws)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the entries that the indices name."""
        entries = completed_matrix({"U": self.U, "V": self.V}).flatten()
        return entries[inputs[:, :1] * len(self.U) + inputs[:, 1:]]

    def pullback(
        self, parameters: Mapping[str, Tensor], inputs: Tensor
    ) -> tuple[Tensor, Callable[[Tensor], dict[str, Tensor]]]:
        """Return outputs and gradients of many members, as :class:`grokscope.learners.closed.Pullback` says."""
        left, right = (parameters[name].flatten(0, 1) for name in ("U", "V"))
        whole = torch.baddbmm(right @ right.mT, left, left.mT, beta=-1)
        members, size = parameters["U"].shape[1], whole.shape[-1]

        def places(row: Tensor, column: Tensor) -> Tensor:
            return (row * size + column).repeat_interleave(members, 0)

        named, mirrored = places(*inputs.unbind(2)), places(*inputs.flip(2).unbind(2))
        outputs = whole.flatten(1).gather(1, named)

        def pull(slopes: Tensor) -> dict[str, Tensor]:
            moved = slopes.flatten(0, 1).squeeze(-1)
            # ∂L/∂W and its transpose, which is the same by the mirrored entry
            both = torch.zeros_like(whole).flatten(1).scatter_add_(1, named, moved).scatter_add_(1, mirrored, moved)
            both = both.view_as(whole)
            found = {"U": both @ left, "V": (both @ right).neg_()}
            return {name: one.view_as(parameters[name]) for name, one in found.items()}

        return outputs.view(-1, members, outputs.shape[1], 1), pull


def completed_matrix(parameters: Mapping[str, Tensor]) -> Tensor:
    """Return W = U Uᵀ − V Vᵀ, (d, d).

    Example:
        >>> completed_matrix({"U": torch.tensor([[2.0]]), "V": torch.tensor([[1.0]])}).tolist()
        [[3.0]]
    """
    return parameters["U"] @ parameters["U"].mT - parameters["V"] @ parameters["V"].mT
