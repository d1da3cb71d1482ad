"""How much of the weight norm the training data cannot see (after Golechha 2024, whose norms it splits)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.measures.activations import chosen_inputs, stream
from grokscope.measures.base import DoesNotApply, Key, Measure, Result
from grokscope.visits import Visit

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

EXAMPLES = 100_000


def dead_entries(weight: Tensor, active: Tensor, *, operation: str = "Linear") -> Tensor:
    """Return which entries of a weight only ever meet inputs that are 0, as a mask of its shape.

    Args:
        weight: (outputs, inputs) of a linear layer, (out, in / groups, *kernel) of a convolution, (in, out / groups,
            *kernel) of a transposed one, (tokens, width) of an embedding.
        active: (inputs,), whether an input unit, channel or token was ever other than 0, or looked up.
        operation: the class of the layer.

    Example:
        >>> dead_entries(torch.ones(2, 3), torch.tensor([True, False, True])).tolist()
        [[False, True, False], [False, True, False]]
    """
    dead = ~active
    if operation.startswith(("Embedding", "ConvTranspose")):
        return dead.view(-1, *[1] * (weight.ndim - 1)).expand_as(weight)
    groups = len(dead) // weight.shape[1]
    # each group of outputs reads channels of its own
    rows = dead.view(groups, weight.shape[1]).repeat_interleave(weight.shape[0] // groups, 0)
    return rows.view(*rows.shape, *[1] * (weight.ndim - 2)).expand_as(weight)


def measure(snapshot: Snapshot, *, probe: str = "train", examples: int = EXAMPLES, chunk: int = 256) -> Result:
    """Return the norm of all parameters, split into those that meet an input other than 0 and those that never do."""
    parameters = snapshot.parameters
    seen: dict[str, tuple[Tensor, str]] = {}

    def see(visit: Visit, _: slice) -> None:
        if visit.kind not in ("linear", "convolution", "embedding"):
            return
        name = f"{visit.name.partition('#')[0]}.weight".lstrip(".")
        weight = parameters.get(name)
        if weight is None or visit.operation == "Bilinear":
            return
        if visit.kind == "embedding":
            active = torch.zeros(len(weight), dtype=torch.bool, device=weight.device)
            active[visit.inputs.flatten().long()] = True
        else:
            units = visit.inputs.movedim(1, -1) if visit.kind == "convolution" else visit.inputs
            active = (units != 0).reshape(-1, units.shape[-1]).any(0)
        known = seen.get(name)
        seen[name] = (active if known is None else known[0] | active, visit.operation)

    stream(snapshot, chosen_inputs(snapshot, probe, examples), see, chunk=chunk)
    if not seen:
        raise DoesNotApply(
            "dead_weights looks at the inputs of linear layers, convolutions and embeddings; none was used."
        )
    squares = {name: _squares(tensor) for name, tensor in parameters.items() if tensor.is_floating_point()}
    total = math.fsum(squares.values())
    dead = {
        name: _squares(parameters[name][dead_entries(parameters[name], active, operation=operation)])
        for name, (active, operation) in seen.items()
    }
    lost = math.fsum(dead.values())
    return {
        "live_norm": math.sqrt(max(total - lost, 0.0)),
        "dead_norm": math.sqrt(lost),
        "dead_share": lost / total if total > 0 else math.nan,
        "dead_inputs": {name: float((~active).double().mean()) for name, (active, _) in seen.items()},
        "matrix_dead_share": {n: value / squares[n] if squares[n] > 0 else math.nan for n, value in dead.items()},
    }


def _squares(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) ** 2


DEAD_WEIGHTS = Measure(
    name="dead_weights",
    version=1,
    keys={
        "live_norm": Key("√Σθ² of what meets an input", "parameters", low=0, direction="as a norm is said to go"),
        "dead_norm": Key("√Σw² of weights whose input is always 0", "parameters", low=0),
        "dead_share": Key("share of the dead in Σθ²", low=0, high=1),
        "dead_inputs": Key("share of the inputs of one layer that are always 0", low=0, high=1),
        "matrix_dead_share": Key("share of the dead in Σw² of one layer", low=0, high=1),
    },
    reference="Golechha 2024, Fig. 2 and 3, split",
    cites=("golechha2024",),
    compute=measure,
    needs=("module", "train"),
)
