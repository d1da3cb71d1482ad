"""Norms of the weights, of each matrix and of all parameters together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.linalg.spectra import matrix_norms
from grokscope.measures.base import Key, Measure, Result
from grokscope.measures.by_matrix import by_matrix, some_matrices

if TYPE_CHECKING:
    from grokscope.matrices import WeightMatrix
    from grokscope.snapshot import Snapshot

PER_MATRIX = ("l1", "l2", "largest", "spectral", "nuclear", "share")


def measure(snapshot: Snapshot) -> Result:
    """Return norms of each weight matrix, and of all parameters (biases and gains included) together."""
    parameters = [tensor for tensor in snapshot.parameters.values() if tensor.is_floating_point()]
    total_l1 = sum(_norm(tensor, 1) for tensor in parameters)
    squares = sum(_norm(tensor, 2) ** 2 for tensor in parameters)

    def numbers(matrix: WeightMatrix) -> dict[str, float]:
        values = snapshot.singular_values(matrix.name)
        found = matrix_norms(matrix.tensor)
        return {
            **found,
            "spectral": float(values[0]),
            "nuclear": float(values.sum()),
            "share": found["l2"] ** 2 / squares if squares > 0 else float("nan"),
        }

    return {
        "total_l1": total_l1,
        "total_l2": squares**0.5,
        **by_matrix(some_matrices(snapshot, "norms"), PER_MATRIX, numbers),
    }


def _norm(tensor: Tensor, order: int) -> float:
    return float(torch.linalg.vector_norm(tensor, order, dtype=torch.float64))


NORMS = Measure(
    name="norms",
    version=1,
    keys={
        "total_l1": Key("Σ|θ| over all parameters", "parameters", low=0),
        "total_l2": Key(
            "√Σθ² over all parameters",
            "parameters",
            low=0,
            direction="falls as a network with weight decay generalises; without it may rise throughout",
        ),
        "l1": Key("Σ|w| of one matrix", "weights", low=0),
        "l2": Key("√Σw² of one matrix (Frobenius)", "weights", low=0),
        "largest": Key("max |w| of one matrix", "weights", low=0),
        "spectral": Key("largest singular value of one matrix", "weights", low=0),
        "nuclear": Key("sum of the singular values of one matrix", "weights", low=0),
        "share": Key("share of one matrix in Σθ² over all parameters", low=0, high=1),
    },
    reference="Liu et al. 2023; Golechha 2024",
    cites=("liu2023", "golechha2024"),
    compute=measure,
)
