"""Sums of squares of the parameters (Nanda et al. 2023, Fig. 7; Liu et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.measures.base import DoesNotApply, Key, Measure

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def sums_of_squares(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return Σθ² of each parameter, in float64.

    Example:
        >>> float(sums_of_squares({"w": torch.tensor([3.0, 4.0])})["w"])
        25.0
    """
    parts = flat(parameters).square().split([tensor.numel() for tensor in parameters.values()])
    return {name: part.sum() for name, part in zip(parameters, parts, strict=True)}


def flat(parameters: Mapping[str, Tensor], order: Iterable[str] | None = None) -> Tensor:
    """Return all parameters as one vector in float64, in their own order or that of ``order``.

    Example:
        >>> flat({"b": torch.ones(1), "a": torch.zeros(2)}, ["a", "b"]).tolist()
        [0.0, 0.0, 1.0]
    """
    return torch.cat([parameters[name].flatten() for name in order or parameters]).double()


def measure(snapshot: Snapshot) -> dict[str, Tensor | dict[str, Tensor]]:
    """Return Σθ² over all parameters and for each, and how far the parameters are from the initial ones."""
    if not snapshot.parameters:
        raise DoesNotApply("weights needs parameters; this model has none.")
    each = sums_of_squares(snapshot.parameters)
    result: dict[str, Tensor | dict[str, Tensor]] = {
        "sum_of_squares": torch.stack(list(each.values())).sum(),
        "tensor_sum_of_squares": each,
    }
    initial = snapshot.initial
    if initial is not None:
        names = list(snapshot.parameters)
        result["distance"] = (flat(snapshot.parameters, names) - flat(initial.parameters, names)).norm()
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
    cites=("nanda2023",),
    compute=measure,
)
