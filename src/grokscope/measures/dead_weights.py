"""How much of the weight norm the training data cannot see (after Golechha 2024, whose norms it splits).

Two splits. By inputs: weights that only ever meet an input of 0. By gradient: all parameters that no output depends on
for any training example, which adds the weights into units that are never on.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.differentiation import twice_differentiable
from grokscope.measures.activations import chosen_inputs, stream
from grokscope.measures.base import DoesNotApply, Key, Measure, Result
from grokscope.visits import Visit

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

EXAMPLES = 100_000
VERSION = 2


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


def without_gradient(snapshot: Snapshot, inputs: Tensor, *, chunk: int = 256) -> dict[str, Tensor]:
    """Return which entries of each parameter no output depends on, to first order, for any of the inputs.

    They are those at which the gradient of Σ_x ξ_x·f(x) is exactly 0, the ξ drawn from a normal distribution: there,
    gradients of different examples and outputs do not cancel. One backward pass a chunk; masks by parameter name.

    Example:
        >>> import grokscope as gs
        >>> model, inputs = torch.nn.Linear(2, 1), torch.tensor([[1.0, 0.0]])
        >>> without_gradient(gs.Snapshot.of(model, train=(inputs, None)), inputs)["weight"].tolist()
        [[False, True]]
    """
    draw = snapshot.generator("dead_weights", VERSION)
    leaves = {
        name: tensor.detach().clone().requires_grad_()
        for name, tensor in snapshot.parameters.items()
        if tensor.is_floating_point()
    }
    found = {name: torch.ones_like(tensor, dtype=torch.bool) for name, tensor in leaves.items()}
    for part in inputs.split(chunk):
        with torch.enable_grad(), twice_differentiable():
            outputs = snapshot.predict_with(leaves, part)
            if not outputs.requires_grad:
                continue
            direction = torch.randn(outputs.shape, generator=draw).to(outputs)
            gradients = torch.autograd.grad(outputs, list(leaves.values()), direction, allow_unused=True)
        for name, gradient in zip(leaves, gradients, strict=True):
            if gradient is not None:
                found[name] &= gradient == 0
    return found


def measure(snapshot: Snapshot, *, probe: str = "train", examples: int = EXAMPLES, chunk: int = 256) -> Result:
    """Return the norm of all parameters, split by whether they meet an input, and by whether they have a gradient."""
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

    inputs = chosen_inputs(snapshot, probe, examples)
    stream(snapshot, inputs, see, chunk=chunk)
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
    blind = {
        name: _squares(parameters[name][mask]) for name, mask in without_gradient(snapshot, inputs, chunk=chunk).items()
    }
    unreached = math.fsum(blind.values())
    return {
        "live_norm": math.sqrt(max(total - lost, 0.0)),
        "dead_norm": math.sqrt(lost),
        "dead_share": lost / total if total > 0 else math.nan,
        "dead_inputs": {name: float((~active).double().mean()) for name, (active, _) in seen.items()},
        "matrix_dead_share": {n: value / squares[n] if squares[n] > 0 else math.nan for n, value in dead.items()},
        "matrix_dead_norm": {name: math.sqrt(value) for name, value in dead.items()},
        "with_gradient_norm": math.sqrt(max(total - unreached, 0.0)),
        "without_gradient_norm": math.sqrt(unreached),
        "without_gradient_share": unreached / total if total > 0 else math.nan,
    }


def _squares(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor, dtype=torch.float64)) ** 2


DEAD_WEIGHTS = Measure(
    name="dead_weights",
    version=VERSION,
    keys={
        "live_norm": Key("√Σθ² of what meets an input", "parameters", low=0, direction="as a norm is said to go"),
        "dead_norm": Key("√Σw² of weights whose input is always 0", "parameters", low=0),
        "dead_share": Key("share of the dead in Σθ²", low=0, high=1),
        "dead_inputs": Key("share of the inputs of one layer that are always 0", low=0, high=1),
        "matrix_dead_share": Key("share of the dead in Σw² of one layer", low=0, high=1),
        "matrix_dead_norm": Key("√Σw² of the dead weights of one layer", "parameters", low=0),
        "with_gradient_norm": Key("√Σθ² of what an output depends on", "parameters", low=0),
        "without_gradient_norm": Key("√Σθ² of what no output depends on", "parameters", low=0),
        "without_gradient_share": Key("share of those in Σθ²", low=0, high=1),
    },
    reference="Golechha 2024, Fig. 2 and 3, split",
    cites=("golechha2024",),
    compute=measure,
    needs=("module", "train"),
)
