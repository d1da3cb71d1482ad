"""Jacobians of each example with respect to named parameters, in blocks of examples, outputs and parameters.

A function takes (parameters by name, inputs (n, ...)) and gives outputs (n, ...), each example by itself; the outputs
of an example are flattened, so that every position of a sequence has its own.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.differentiation import twice_differentiable
from grokscope.errors import UsageError

Function = Callable[[Mapping[str, Tensor], Tensor], Tensor]
Method = Literal["auto", "vectorised", "loop"]

PASSES = 256
"""How many (example, output) pairs are differentiated at a time."""


def output_count(function: Function, parameters: Mapping[str, Tensor], inputs: Tensor) -> int:
    """Return how many outputs a function has for one example.

    Raises:
        UsageError: there are no parameters, examples or outputs, or something is not a finite real number.

    Example:
        >>> output_count(lambda p, x: x @ p["w"], {"w": torch.ones(3, 2)}, torch.ones(5, 3))
        2
    """
    if not parameters:
        raise UsageError("no parameters were given: give at least one tensor of real numbers by name.")
    for name, tensor in parameters.items():
        if tensor.is_meta:
            raise UsageError(f"{name} is on the meta device, where tensors have no values: load the weights first.")
        if not tensor.is_floating_point():
            kind = str(tensor.dtype).removeprefix("torch.")
            raise UsageError(f"{name} holds {kind}: derivatives are taken of parameters that are real numbers.")
        if not bool(torch.isfinite(tensor).all()):
            raise UsageError(f"{name} holds NaN or Inf: a Jacobian needs finite parameters.")
    if inputs.ndim == 0 or not len(inputs):
        raise UsageError(f"inputs of shape {tuple(inputs.shape)} were given: give at least one example.")
    with torch.no_grad():
        outputs = function(parameters, inputs[:1])
    if not outputs.is_floating_point():
        kind = str(outputs.dtype).removeprefix("torch.")
        raise UsageError(f"the function returned {kind}: its outputs must be real numbers.")
    if outputs.ndim == 0 or len(outputs) != 1 or not outputs.numel():
        raise UsageError(
            f"the function returned the shape {tuple(outputs.shape)} for one example: give outputs (examples, ...)."
        )
    return outputs.numel()


def jacobian(
    function: Function, parameters: Mapping[str, Tensor], inputs: Tensor, *, method: Method = "auto"
) -> Float[Tensor, "n outputs parameters"]:
    """Return J[i, c, :] = ∂f_c(x_i)/∂θ with the parameters flattened in their order; (n, outputs, parameters).

    All of it is held at once: for small models. Units: outputs/parameters.

    Args:
        function: (parameters, inputs (n, ...)) -> outputs (n, ...), each example by itself.
        parameters: name -> real tensor; the derivatives have their precision.
        inputs: (n, ...).
        method: ``vectorised`` over examples and outputs, ``loop`` over them, or the first that works (``auto``).

    Raises:
        UsageError: as :func:`output_count`.

    Example:
        >>> jacobian(lambda p, x: x * p["w"], {"w": torch.ones(2)}, torch.tensor([[3.0, 4.0]])).tolist()
        [[[3.0, 0.0], [0.0, 4.0]]]
    """
    count = output_count(function, parameters, inputs)
    rows = Rows(function, parameters, method)
    first = next(iter(parameters.values()))
    return rows(list(parameters), inputs, torch.eye(count, dtype=first.dtype, device=first.device))


class Rows:
    """Products of output directions with the Jacobian, ξ^T J_i, for chosen parameters.

    The first call decides whether the function can be vectorised; afterwards that is kept to.
    """

    def __init__(self, function: Function, parameters: Mapping[str, Tensor], method: Method = "auto") -> None:
        if method not in ("auto", "vectorised", "loop"):
            raise UsageError(f"method = {method!r}: it is 'auto', 'vectorised' or 'loop'.")
        self._function = function
        self._parameters = {name: tensor.detach() for name, tensor in parameters.items()}
        self._method = method

    def __call__(
        self, names: Sequence[str], inputs: Tensor, directions: Float[Tensor, "k outputs"]
    ) -> Float[Tensor, "n k parameters"]:
        """Return ξ_k^T ∂f(x_i)/∂θ for the parameters ``names``, flattened in that order."""
        size = sum(self._parameters[name].numel() for name in names)
        found = directions.new_empty(len(inputs), len(directions), size)
        for some in torch.arange(len(directions)).split(PASSES):
            for rows in torch.arange(len(inputs)).split(max(1, PASSES // len(some))):
                examples = slice(int(rows[0]), int(rows[-1]) + 1)
                columns = slice(int(some[0]), int(some[-1]) + 1)
                found[examples, columns] = self._block(names, inputs[examples], directions[columns])
        return found

    def _block(self, names: Sequence[str], inputs: Tensor, directions: Tensor) -> Tensor:
        chosen = {name: self._parameters[name] for name in names}
        with twice_differentiable():
            if self._method == "loop":
                return self._loop(chosen, inputs, directions)
            if self._method == "vectorised":
                return self._vectorised(chosen, inputs, directions)
            try:
                found = self._vectorised(chosen, inputs, directions)
                self._method = "vectorised"
            except torch.OutOfMemoryError:
                raise
            except (RuntimeError, NotImplementedError, ValueError, TypeError):
                # not every operation is known to vmap; what is wrong with the function itself the loop will say
                found = self._loop(chosen, inputs, directions)
                self._method = "loop"
            return found

    def _of_one(self, chosen: Mapping[str, Tensor], example: Tensor) -> Tensor:
        outputs = self._function({**self._parameters, **chosen}, example[None]).flatten()
        return outputs.to(next(iter(chosen.values())).dtype)

    def _vectorised(self, chosen: Mapping[str, Tensor], inputs: Tensor, directions: Tensor) -> Tensor:
        def pulled(example: Tensor, directions: Tensor) -> Tensor:
            _, pull, *_ = torch.func.vjp(lambda some: self._of_one(some, example), dict(chosen))
            (gradients,) = torch.func.vmap(pull)(directions)
            return torch.cat([gradients[name].flatten(1) for name in chosen], 1)

        with warnings.catch_warnings(), torch.enable_grad():
            # an operation without a batching rule of its own is done in a loop: the numbers are the same
            warnings.filterwarnings("ignore", message="There is a performance drop", category=UserWarning)
            return torch.func.vmap(pulled, in_dims=(0, None))(inputs, directions).detach()

    def _loop(self, chosen: Mapping[str, Tensor], inputs: Tensor, directions: Tensor) -> Tensor:
        with torch.enable_grad():
            leaves = {name: tensor.clone().requires_grad_() for name, tensor in chosen.items()}
            rows: list[Tensor] = []
            for example in inputs:
                outputs = self._of_one(leaves, example)
                if not outputs.requires_grad:
                    rows += [outputs.new_zeros(sum(tensor.numel() for tensor in leaves.values()))] * len(directions)
                    continue
                for direction in directions:
                    gradients = torch.autograd.grad(
                        outputs, list(leaves.values()), direction, retain_graph=True, materialize_grads=True
                    )
                    rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
        return torch.stack(rows).reshape(len(inputs), len(directions), -1).detach()
