"""Perceptrons found in a forward pass: affine maps and nonlinearities in turn, however they were written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokscope.linalg.perceptron_complexity import Layer
from grokscope.visits import Visit, watched

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "mish": functional.mish,
    "selu": functional.selu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "softsign": functional.softsign,
}
"""Nonlinearities without settings; that the one in the forward pass is it, is checked on its values."""


@dataclass(frozen=True)
class Chain:
    """A forward pass, or the end of one, that is a perceptron.

    Attributes:
        hidden: affine maps, each with the nonlinearity that follows it.
        sites: the names of these nonlinearities.
        readout: the last affine map, whose outputs are those of the model.
    """

    hidden: tuple[Layer, ...]
    sites: tuple[str, ...]
    readout: Layer

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the outputs for inputs (n, ...)."""
        values = inputs.flatten(1)
        for layer in self.hidden:
            values = layer.activation(layer(values))
        return self.readout(values)


def chain(
    module: nn.Module,
    parameters: Mapping[str, Tensor],
    forward: Callable[[], Tensor],
    start: Tensor | str,
) -> Chain | None:
    """Return the perceptron that a forward pass is from some values on, or None where it is none.

    Each affine map has to get exactly what the nonlinearity before it gave, and each has to be what its name says: this
    is seen on the values of one pass.

    Args:
        module: what is watched while ``forward`` runs it.
        parameters: of that pass, by name.
        forward: runs a few examples and gives their outputs.
        start: what the first affine map gets, (n, ...), or the name of the nonlinearity it follows.

    Example:
        >>> net, points = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)), torch.ones(2, 2)
        >>> chain(net, dict(net.named_parameters()), lambda: net(points), points).sites
        ('1',)
    """
    visits: list[Visit] = []

    def keep(visit: Visit) -> None:
        # what is changed in place afterwards is not to be compared
        copies = visit.inputs.detach().clone(), visit.output.detach().clone()
        visits.append(Visit(visit.name, visit.kind, visit.operation, *copies, visit.axis))

    with torch.no_grad(), watched(module, keep):
        outputs = forward()
    if isinstance(start, str):
        begin = next((at for at, visit in enumerate(visits) if visit.name == start), len(visits))
        if begin == len(visits):
            return None
        values, rest = visits[begin].output, visits[begin + 1 :]
    else:
        values, rest = start, [visit for visit in visits if visit.kind != "embedding"]
    return _followed(values, rest, outputs, parameters)


def _followed(values: Tensor, visits: list[Visit], outputs: Tensor, parameters: Mapping[str, Tensor]) -> Chain | None:
    hidden: list[Layer] = []
    sites: list[str] = []
    if len(visits) % 2 == 0 or not len(values):
        return None
    affine: Layer | None = None
    for at, visit in enumerate(visits):
        got = visit.inputs
        if got.ndim != 2 or len(got) != len(values) or not torch.equal(got, values.reshape(len(values), -1)):
            return None
        if at % 2 == 0:
            affine = _affine(visit, parameters)
            if affine is None:
                return None
        else:
            activation = ACTIVATIONS.get(visit.operation) if visit.kind == "nonlinearity" else None
            if affine is None or activation is None or not torch.allclose(activation(got), visit.output, rtol=1e-5):
                return None
            hidden.append(Layer(affine.weight, affine.bias, activation))
            sites.append(visit.name)
        values = visit.output
    if affine is None or not torch.equal(values, outputs.reshape(len(values), -1)):
        return None
    return Chain(tuple(hidden), tuple(sites), affine)


def _affine(visit: Visit, parameters: Mapping[str, Tensor]) -> Layer | None:
    """Return the affine map that a visit is, with the parameters of its name, or None."""
    name = visit.name.partition("#")[0]
    prefix = f"{name}." if name else ""
    weight, bias = parameters.get(f"{prefix}weight"), parameters.get(f"{prefix}bias")
    if visit.operation != "Linear" or weight is None or weight.ndim != 2 or weight.shape[1] != visit.inputs.shape[1]:
        return None
    expected = functional.linear(visit.inputs, weight, bias)
    if expected.shape != visit.output.shape or not torch.allclose(expected, visit.output, rtol=1e-5):
        return None
    return Layer(weight, bias)
