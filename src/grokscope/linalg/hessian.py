"""Products of vectors with the Hessian or Gauss–Newton matrix of a function of named tensors, never the matrix itself.

Derivatives are reverse over reverse, so that every operation with a second derivative will do; they are never
compiled. A function may be given in parts whose sum is meant: then one part is held in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from grokscope.differentiation import twice_differentiable
from grokscope.errors import UsageError
from grokscope.linalg.products import MatVec, NoMatrix

Tensors = dict[str, Tensor]
Function = Callable[[Tensors], Tensor]


@dataclass(frozen=True)
class Layout:
    """How named tensors lie one after the other in one vector: names, shapes, and the type they have."""

    shapes: Mapping[str, torch.Size]
    device: torch.device
    dtype: torch.dtype

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Layout:
        """Return the layout of tensors.

        Raises:
            UsageError: there is none, one holds no real numbers, or they differ in device or dtype.
        """
        if not any(tensor.numel() for tensor in tensors.values()):
            raise UsageError("no parameters were given: give a dict of at least one tensor with numbers in it.")
        for name, tensor in tensors.items():
            if tensor.is_meta or not tensor.is_floating_point():
                what = "on the meta device" if tensor.is_meta else f"of {tensor.dtype}"
                raise UsageError(f"the parameter {name!r} is {what}: derivatives need real numbers.")
        kinds = {(tensor.device, tensor.dtype) for tensor in tensors.values()}
        if len(kinds) > 1:
            told = " and ".join(sorted(f"{dtype} on {device}" for device, dtype in kinds))
            raise UsageError(f"the parameters are of {told}: bring them to one dtype and device.")
        device, dtype = kinds.pop()
        return cls({name: tensor.shape for name, tensor in tensors.items()}, device, dtype)

    @property
    def sizes(self) -> dict[str, int]:
        """How many numbers each tensor has."""
        return {name: shape.numel() for name, shape in self.shapes.items()}

    @property
    def dimension(self) -> int:
        """How many numbers there are in all."""
        return sum(self.sizes.values())

    def flat(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return the vector of some tensors, (dimension,)."""
        return torch.cat([tensors[name].reshape(-1) for name in self.shapes])

    def named(self, vector: Tensor) -> Tensors:
        """Return the tensors of a vector, in the layout's dtype; views where it has that dtype already."""
        parts = vector.to(self.device, self.dtype).split(list(self.sizes.values()))
        return {name: part.view(shape) for (name, shape), part in zip(self.shapes.items(), parts, strict=True)}


def parts_of(function: Function | Sequence[Function]) -> list[Function]:
    """Return the parts of a function that is given whole or in parts.

    Raises:
        UsageError: there is no part.
    """
    parts = [function] if callable(function) else list(function)
    if not parts:
        raise UsageError("no part of the function was given: give a function of the parameters, or several.")
    return parts


def value_and_gradient(
    function: Function | Sequence[Function], parameters: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return a function's value, (), and its gradient, (dimension,), at named parameters, both detached.

    Raises:
        UsageError: a value that is not one number, or parameters without real numbers.

    Example:
        >>> value, gradient = value_and_gradient(lambda p: p["w"].square().sum(), {"w": torch.tensor([1.0, 2.0])})
        >>> value.item(), gradient.tolist()
        (5.0, [2.0, 4.0])
    """
    layout = Layout.of(parameters)
    value, gradient = torch.zeros((), dtype=layout.dtype, device=layout.device), torch.zeros(layout.dimension)
    gradient = gradient.to(value)
    for part in parts_of(function):
        # once is enough here, but cuDNN's recurrent layers have no derivative at all in evaluation mode
        with torch.enable_grad(), twice_differentiable():
            leaves = _leaves(parameters)
            found = _scalar(part(leaves))
            value += found.detach()
            if found.requires_grad:
                gradient += layout.flat(_gradients(found, leaves))
    return value, gradient


def hessian_product(function: Function | Sequence[Function], parameters: Mapping[str, Tensor]) -> MatVec:
    """Return v -> H v with the Hessian H of a function at named parameters, on vectors (dimension,).

    A function in one part is differentiated once, and its graph is kept as long as the product is; one in several
    parts is evaluated anew, part by part, for every product. Tensors lie in the vector in the order of the dict.

    Raises:
        UsageError: a value that is not one number, or parameters without real numbers.
        NoMatrix: an operation in it has no second derivative.

    Example:
        >>> product = hessian_product(lambda p: (p["a"] ** 2 * p["b"]).sum(), {"a": torch.ones(1), "b": torch.ones(1)})
        >>> product(torch.tensor([1.0, 0.0])).tolist()
        [2.0, 2.0]
    """
    layout, parts = Layout.of(parameters), parts_of(function)

    def prepared(part: Function) -> tuple[Tensors, Tensor | None]:
        leaves = _leaves(parameters)
        value = _scalar(part(leaves))
        if not value.requires_grad:
            return leaves, None
        gradient = layout.flat(_gradients(value, leaves, create_graph=True))
        if not gradient.requires_grad:
            return leaves, None  # linear functions have no second derivative
        _check_second(gradient)
        return leaves, gradient

    def times(leaves: Tensors, gradient: Tensor | None, vector: Tensor, *, keep: bool) -> Tensor:
        if gradient is None:
            return torch.zeros_like(vector)
        return layout.flat(_gradients(gradient @ vector, leaves, retain_graph=keep))

    with torch.enable_grad(), twice_differentiable():
        kept = prepared(parts[0]) if len(parts) == 1 else None

    def product(vector: Tensor) -> Tensor:
        vector = vector.to(layout.device, layout.dtype)
        with torch.enable_grad(), twice_differentiable():
            if kept is not None:
                return times(*kept, vector, keep=True)
            total = torch.zeros_like(vector)
            for part in parts:
                total += times(*prepared(part), vector, keep=False)
            return total

    return product


@dataclass(frozen=True)
class Composed:
    """A function ``loss(outputs(parameters))``, whose Gauss–Newton matrix drops the curvature of ``outputs``."""

    outputs: Function
    loss: Callable[[Tensor], Tensor]

    def __call__(self, tensors: Tensors) -> Tensor:
        """Return its value."""
        return self.loss(self.outputs(tensors))


def gauss_newton_product(function: Composed | Sequence[Composed], parameters: Mapping[str, Tensor]) -> MatVec:
    """Return v -> Jᵀ C J v: J of the outputs in the parameters, C the Hessian of the loss in the outputs.

    For cross-entropy and squared error the matrix is positive semidefinite, and for cross-entropy it is the Fisher
    information of the model. It is the Hessian where the outputs are linear in the parameters. Reference:
    Schraudolph 2002.

    Raises:
        UsageError: as :func:`hessian_product`.

    Example:
        >>> square = Composed(lambda p: p["w"] ** 2, lambda y: (y - 3).square().sum() / 2)
        >>> gauss_newton_product(square, {"w": torch.tensor([2.0])})(torch.ones(1)).tolist()
        [16.0]

    That is (2w)² at w = 2; the Hessian has 2 (w² − 3) more.
    """
    layout, parts = Layout.of(parameters), parts_of(function)

    def product(vector: Tensor) -> Tensor:
        vector = vector.to(layout.device, layout.dtype)
        total = torch.zeros_like(vector)
        with torch.enable_grad(), twice_differentiable():
            for part in parts:
                assert isinstance(part, Composed)
                leaves = _leaves(parameters)
                outputs = part.outputs(leaves)
                if not outputs.requires_grad:
                    continue
                # J v is the derivative of Jᵀ u with respect to u, whatever u
                dummy = torch.zeros_like(outputs, requires_grad=True)
                pulled = layout.flat(_gradients(outputs, leaves, weights=dummy, create_graph=True))
                _check_second(pulled)
                (pushed,) = torch.autograd.grad(pulled @ vector, dummy, retain_graph=True, materialize_grads=True)
                curved = hessian_product(lambda y, part=part: part.loss(y["y"]), {"y": outputs.detach()})
                weighted = curved(pushed.reshape(-1)).view_as(outputs)
                total += layout.flat(_gradients(outputs, leaves, weights=weighted))
        return total

    return product


def _leaves(parameters: Mapping[str, Tensor]) -> Tensors:
    return {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}


def _gradients(
    value: Tensor,
    leaves: Tensors,
    *,
    weights: Tensor | None = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> Tensors:
    found = torch.autograd.grad(
        value,
        list(leaves.values()),
        weights,
        create_graph=create_graph,
        retain_graph=retain_graph,
        materialize_grads=True,
    )
    # the gradient of an embedding may be sparse
    return {name: g.to_dense() if g.is_sparse else g for name, g in zip(leaves, found, strict=True)}


def _check_second(gradient: Tensor) -> None:
    """Look through what a gradient was computed by for operations without a second derivative.

    ``torch.autograd.grad`` does not go through those marked ``once_differentiable``, and would silently give the
    rest of the Hessian.
    """
    seen: set[torch.autograd.graph.Node] = set()
    waiting = [gradient.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if node.name() in ("torch::autograd::Error", "torch::autograd::NotImplemented"):
            raise NoMatrix(
                "the function uses an operation that has a first derivative only (a fused kernel, or one marked "
                "once_differentiable): use the plain operation in its place."
            )
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]


def _scalar(value: Tensor) -> Tensor:
    if not isinstance(value, Tensor) or value.ndim:
        shape = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"type {type(value).__name__}"
        raise UsageError(f"the function gave a value of {shape}: it must give one number, a tensor without axes.")
    return value
