"""The part of a tangent kernel that comes from large weight matrices, without a gradient of any of them.

The gradient of a weight used as y_s = W x_s at the positions s of an example is Σ_s g_s x_s^T with g_s = ∂f/∂y_s. Its
products ⟨Σ_s g_s x_s^T, Σ_t g'_t x'_t^T⟩ = Σ_st (g_s·g'_t)(x_s·x'_t) need what goes in and the gradient of what comes
out, from one backward pass for all examples. Uses are found by watching the functions that are called; a weight that is
used in another way, or whose positions do not lie example by example, is left to the general way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from grokscope.differentiation import twice_differentiable
from grokscope.linalg.jacobians import Function

_CONVOLUTIONS = (torch.conv1d, torch.conv2d)
_MATRIX_PRODUCTS = (torch.matmul, torch.mm, torch.addmm, Tensor.matmul, Tensor.mm, Tensor.__matmul__)
_TRANSPOSITIONS = (torch.t, Tensor.t, Tensor.T.__get__, Tensor.mT.__get__)  # type: ignore[attr-defined]
_SAME = 1e-6


@dataclass(frozen=True)
class Factors:
    """A weight's gradient at n examples, Σ_s rows_s columns_s^T: rows (n, s, R), or (n, s) indices of one-hot ones."""

    rows: Tensor
    columns: Tensor

    def __getitem__(self, examples: slice) -> Factors:
        return Factors(self.rows[examples], self.columns[examples])


@dataclass(frozen=True)
class _Use:
    """One use of a weight: what went in, and what came out, of which the gradient is wanted."""

    name: str
    kind: str
    inputs: Tensor
    output: Tensor
    geometry: tuple[Any, ...] = ()
    padding: int | None = None

    def into(self, examples: int) -> Tensor:
        """Return what went in, example by example."""
        if self.kind == "embedding":
            return self.inputs.reshape(examples, -1)
        if self.kind != "convolution":
            return self.inputs.reshape(examples, -1, self.inputs.shape[-1])
        size, stride, padding, dilation = self.geometry
        inputs = self.inputs if self.inputs.ndim == 4 else self.inputs[:, :, None]
        return functional.unfold(inputs, size, dilation, padding, stride).transpose(1, 2)

    def factors(self, gradient: Tensor, examples: int) -> Factors:
        """Return the gradient of the weight by that of what came out."""
        into = self.into(examples)
        if self.kind == "embedding":
            columns = gradient.reshape(*into.shape, -1)
            return Factors(into, columns if self.padding is None else columns * (into != self.padding)[..., None])
        if self.kind == "convolution":
            return Factors(gradient.flatten(2).transpose(1, 2), into)
        out = gradient.reshape(examples, -1, gradient.shape[-1])
        return Factors(out, into) if self.kind == "linear" else Factors(into, out)


class _Watcher(TorchFunctionMode):
    """Sees the uses of parameters; those that are no product with a matrix are told in ``otherwise``."""

    def __init__(self, parameters: Mapping[str, Tensor], wanted: frozenset[str] | None = None) -> None:
        super().__init__()
        # by identity: the tensor, so that it lives as long as its identity counts, its name, whether it is transposed
        self._known = {id(tensor): (tensor, name, False) for name, tensor in parameters.items()}
        self._wanted = wanted
        self.uses: list[_Use] = []
        self.otherwise: set[str] = set()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        keywords = kwargs or {}
        output = function(*args, **keywords)
        used = {self._known[id(tensor)][1] for tensor in _tensors((args, keywords)) if id(tensor) in self._known}
        if not used or not any(True for _ in _tensors(output)):
            return output  # asking for a shape is no use
        if function in _TRANSPOSITIONS and args[0].ndim == 2 and len(args) == 1:
            _, name, transposed = self._known[id(args[0])]
            self._known[id(output)] = output, name, not transposed
            return output
        found = _product(function, args, keywords)
        if found is None or id(found.weight) not in self._known or id(found.inputs) in self._known:
            self.otherwise |= used
            return output
        _, name, transposed = self._known[id(found.weight)]
        kind = {"linear": "stored", "stored": "linear"}.get(found.kind) if transposed else found.kind
        # a bias beside it is used in another way
        self.otherwise |= used - ({name} if kind is not None else set())
        if kind is None or (self._wanted is not None and name not in self._wanted):
            return output
        kept = output if output.requires_grad else output.detach().requires_grad_()
        self.uses.append(_Use(name, kind, found.inputs.detach(), kept, found.geometry, found.padding))
        return kept.clone()  # later steps may write into what they are given


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)


@dataclass(frozen=True)
class _Product:
    """A call that multiplies inputs with a weight: stored as (out, in) it is ``linear``, as (in, out) ``stored``."""

    kind: str
    weight: Tensor
    inputs: Tensor
    geometry: tuple[Any, ...] = ()
    padding: int | None = None


def _product(function: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> _Product | None:
    """Return what a call multiplies, or None if it is no product with a matrix."""
    if function is functional.embedding:
        names = ("input", "weight", "padding_idx", "max_norm", "norm_type", "scale_grad_by_freq")
        given = {**dict(zip(names, args, strict=False)), **keywords}
        if given.get("max_norm") is not None or given.get("scale_grad_by_freq"):
            return None
        weight, padding = given["weight"], given.get("padding_idx")
        padding = None if padding is None else padding % len(weight)
        return _Product("embedding", weight, given["input"], padding=padding)
    if function is Tensor.__getitem__:
        weight, index = args
        chosen = isinstance(index, Tensor) and index.dtype in (torch.int32, torch.int64)
        return (
            _Product("embedding", weight, index) if chosen and weight.ndim == 2 and bool((index >= 0).all()) else None
        )
    if function in _MATRIX_PRODUCTS and not keywords:
        inputs, weight = args[-2:]
        return _Product("stored", weight, inputs) if weight.ndim == 2 and inputs.ndim > 1 else None
    names = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
    given = {**dict(zip(names, args, strict=False)), **keywords}
    if function is functional.linear:
        return _Product("linear", given["weight"], given["input"])
    if function not in _CONVOLUTIONS or isinstance(given.get("padding"), str) or given.get("groups", 1) != 1:
        return None
    weight, inputs = given["weight"], given["input"]
    axes = weight.ndim - 2
    size, *rest = (
        tuple(value) if isinstance(value, Sequence) else (value,) * axes
        for value in (weight.shape[2:], *(given.get(n, d) for n, d in (("stride", 1), ("padding", 0), ("dilation", 1))))
    )
    if inputs.ndim != axes + 2:
        return None
    if axes == 1:  # a picture of height 1
        size, rest = (1, *size), [(edge, *value) for edge, value in zip((1, 0, 1), rest, strict=True)]
    return _Product("convolution", weight, inputs, (size, *rest))


def products(function: Function, parameters: Mapping[str, Tensor], inputs: Tensor) -> dict[str, int]:
    """Return the parameters used as matrices in products only, with the numbers kept of one example for each.

    What goes into each is held, for two examples, against what it is for each of them alone.

    Example:
        >>> given = {"w": torch.ones(4, 3), "b": torch.ones(4)}
        >>> products(lambda p, x: functional.linear(x, p["w"]) + p["b"], given, torch.ones(2, 3))
        {'w': 7}
    """
    some = inputs[[0, -1]] if len(inputs) > 1 else inputs
    together = _watched(function, parameters, some)
    alone = [_watched(function, parameters, example[None]) for example in some]
    numbers: dict[str, int] = {}
    bad = set(together.otherwise)
    for index, use in enumerate(together.uses):
        numbers[use.name] = numbers.get(use.name, 0) + (use.inputs.numel() + use.output.numel()) // len(some)
        if not all(_same(use, some, index, one, position) for position, one in enumerate(alone)):
            bad.add(use.name)
    return {name: count for name, count in numbers.items() if name not in bad}


def _same(use: _Use, some: Tensor, index: int, alone: _Pass, position: int) -> bool:
    if index >= len(alone.uses) or alone.uses[index].name != use.name:
        return False
    leading = use.inputs.numel() % len(some) == 0 and use.output.numel() == len(some) * alone.uses[index].output.numel()
    if not leading or (use.kind == "convolution" and len(use.inputs) != len(some)):
        return False
    mine, own = use.into(len(some))[position], alone.uses[index].into(1)[0]
    return mine.shape == own.shape and torch.allclose(mine.double(), own.double(), rtol=_SAME, atol=_SAME)


@dataclass(frozen=True)
class _Pass:
    """A forward pass: its outputs, (n, C), the uses of matrices in it, and the parameters used in another way."""

    outputs: Tensor
    uses: list[_Use]
    otherwise: set[str]


def _watched(
    function: Function, parameters: Mapping[str, Tensor], inputs: Tensor, wanted: frozenset[str] | None = None
) -> _Pass:
    with torch.enable_grad(), twice_differentiable(), _Watcher(parameters, wanted) as watcher:
        outputs = function(parameters, inputs).reshape(len(inputs), -1)
    return _Pass(outputs, watcher.uses, watcher.otherwise)


def add_products(
    kernel: Tensor,
    function: Function,
    parameters: Mapping[str, Tensor],
    inputs: Tensor,
    others: Tensor | None,
    *,
    numbers: Mapping[str, int],
    directions: Sequence[Tensor],
    memory: int,
) -> None:
    """Add to a kernel, (n, m) or (directions, n, m), what the matrices ``numbers`` give, holding ``memory`` numbers.

    At least the factors of one weight for all examples are held, whatever the memory.
    """
    examples = len(inputs) + (0 if others is None else len(others))
    # the graph of a forward pass holds a few tensors for each that is looked at
    chunk = max(1, memory // (8 * sum(numbers.values())))
    for group in _groups(numbers, memory // (2 * examples)):
        sides = [_Side(function, parameters, side, group, chunk) for side in (inputs, others) if side is not None]
        for index, direction in enumerate(directions):
            target = kernel[index] if kernel.ndim == 3 else kernel
            left, *more = [side(direction) for side in sides]
            right = more[0] if more else left
            for name in group:
                if name in left:
                    _add_product(target, left[name], right[name], parameters[name][0].numel(), memory // 4)


def _groups(numbers: Mapping[str, int], most: int) -> list[list[str]]:
    groups: list[list[str]] = []
    held = 0
    for name, count in numbers.items():
        if not groups or held + count > most:
            groups.append([])
            held = 0
        groups[-1].append(name)
        held += count
    return groups


class _Side:
    """Factors of some examples for one direction after another; graphs are kept if all examples are one chunk."""

    def __init__(
        self, function: Function, parameters: Mapping[str, Tensor], inputs: Tensor, names: Sequence[str], chunk: int
    ) -> None:
        self._run = lambda part: _watched(function, parameters, part, frozenset(names))
        self._parts = inputs.split(chunk)
        self._kept: _Pass | None = None

    def __call__(self, direction: Tensor) -> dict[str, list[Factors]]:
        """Return the factors of each weight, one for each use, for one output direction."""
        found: dict[str, list[list[Factors]]] = {}
        for part in self._parts:
            seen = self._kept or self._run(part)
            if len(self._parts) == 1:
                self._kept = seen
            times: Counter[str] = Counter()
            for use, gradient in zip(seen.uses, self._gradients(seen, direction), strict=True):
                pieces = found.setdefault(use.name, [])
                if times[use.name] == len(pieces):
                    pieces.append([])
                pieces[times[use.name]].append(use.factors(gradient.detach(), len(part)))
                times[use.name] += 1
        return {name: [_joined(pieces) for pieces in uses] for name, uses in found.items()}

    def _gradients(self, seen: _Pass, direction: Tensor) -> Sequence[Tensor]:
        tensors = [use.output for use in seen.uses]
        if not seen.outputs.requires_grad:
            return [torch.zeros_like(tensor) for tensor in tensors]
        along = direction.to(seen.outputs).expand_as(seen.outputs)
        with twice_differentiable():
            return torch.autograd.grad(
                seen.outputs, tensors, along, retain_graph=self._kept is not None, materialize_grads=True
            )


def _joined(pieces: list[Factors]) -> Factors:
    return Factors(torch.cat([piece.rows for piece in pieces]), torch.cat([piece.columns for piece in pieces]))


def _add_product(kernel: Tensor, left: list[Factors], right: list[Factors], columns: int, memory: int) -> None:
    """Add the products of two sides, summed over uses: by pairs of positions, or by gradients if that is less work."""
    rows = max((factors.rows.shape[2] for factors in left if factors.rows.ndim == 3), default=0)
    here, there = (sum(factors.columns.shape[1] for factors in side) for side in (left, right))
    n, m = kernel.shape
    pairs = n * here * m * there * (rows + columns)
    gradients = (n * here + m * there + n * m) * rows * columns
    if pairs <= gradients or any(factors.rows.ndim == 2 for factors in (*left, *right)):
        step = max(1, int((memory / max(here * there, 1)) ** 0.5))
        for i in range(0, n, step):
            for j in range(0, m, step):
                one, other = slice(i, i + step), slice(j, j + step)
                kernel[one, other] += sum(_pairs(a[one], b[other]) for a in left for b in right)
        return
    step = max(1, memory // ((n + m) * columns))
    for start in range(0, rows, step):
        one, other = (_gradients(side, slice(start, start + step)) for side in (left, right))
        kernel += one @ other.T


def _pairs(one: Factors, other: Factors) -> Tensor:
    n, s = one.columns.shape[:2]
    m, t = other.columns.shape[:2]
    columns = one.columns.flatten(0, 1) @ other.columns.flatten(0, 1).T
    first, second = one.rows.flatten(0, 1), other.rows.flatten(0, 1)
    if first.ndim == second.ndim == 2:
        rows = first @ second.T
    elif first.ndim == second.ndim == 1:
        rows = (first[:, None] == second[None]).to(columns.dtype)
    else:
        rows = first[:, second] if first.ndim == 2 else second[:, first].T
    return (rows * columns).reshape(n, s, m, t).sum((1, 3))


def _gradients(side: list[Factors], rows: slice) -> Tensor:
    parts = [torch.einsum("nsr,nsc->nrc", factors.rows[..., rows], factors.columns) for factors in side]
    return sum(parts[1:], parts[0]).flatten(1)
