"""A symmetric matrix as a difference of two squares, U Uᵀ − V Vᵀ, read entry by entry (Lyu et al. 2024, Sec. 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from grokscope.facts import Facts
    from grokscope.models.factorisation_settings import SymmetricFactorisationSettings


class SymmetricFactorisation(nn.Module):
    """Indices (batch, 2) to entries of W, (batch, 1); homogeneous of degree 2 in (U, V)."""

    def __init__(self, settings: SymmetricFactorisationSettings, facts: Facts, generator: torch.Generator) -> None:
        super().__init__()
        if facts.sequence is None or facts.sequence.length != 2:
            raise TypeError("a factorisation needs pairs of indices; the task's facts have another layout")
        size = facts.sequence.vocabulary
        start = settings.initial_scale * torch.eye(size)
        draws = [settings.perturbation * torch.randn(size, size, generator=generator) for _ in range(2)]
        self.U, self.V = (nn.Parameter(start + draw if settings.perturbation else start.clone()) for draw in draws)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the entries that the indices name."""
        entries = completed_matrix({"U": self.U, "V": self.V}).flatten()
        return entries[inputs[:, :1] * len(self.U) + inputs[:, 1:]]


def completed_matrix(parameters: Mapping[str, Tensor]) -> Tensor:
    """Return W = U Uᵀ − V Vᵀ, (d, d).

    Example:
        >>> completed_matrix({"U": torch.tensor([[2.0]]), "V": torch.tensor([[1.0]])}).tolist()
        [[3.0]]
    """
    return parameters["U"] @ parameters["U"].mT - parameters["V"] @ parameters["V"].mT
