"""Sums of squares of the parameters (Nanda et al. 2023, Fig. 7; Liu et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.measures.base import Key, Measure

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def sums_of_squares(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return Σθ² of each parameter, in float64.

    Example:
        >>> float(sums_of_squares({"w": torch.tensor([3.0, 4.0])})["w"])
        25.0
    """
    return {name: tensor.double().square().sum() for name, tensor in parameters.items()}


def measure(snapshot: Snapshot) -> dict[str, Tensor | dict[str, Tensor]]:
    """Return Σθ² over all parameters and for each, and how far the parameters are from the initial ones."""
    each = sums_of_squares(snapshot.parameters)
    result: dict[str, Tensor | dict[str, Tensor]] = {
        "sum_of_squares": torch.stack(list(each.values())).sum(),
        "tensor_sum_of_squares": each,
    }
    initial = snapshot.initial
    if initial is not None:
        moved = [(p.double() - initial.parameters[n].double()).square().sum() for n, p in snapshot.parameters.items()]
        result["distance"] = torch.stack(moved).sum().sqrt()
    return result


WEIGHTS = Measure(
    name="weights",
    version=1,
    keys={
        "sum_of_squares": Key("Σθ² over all parameters", "parameters²", low=0, direction="falls sharply in cleanup"),
        "tensor_sum_of_squares": Key("Σθ² of one parameter tensor", "parameters²", low=0),
        "distance": Key("Euclidean distance from the initial parameters", "parameters", low=0),
    },
    reference="Nanda et al. 2023, Fig. 7",
    compute=measure,
)
