"""Looking into a forward pass: every use of a layer and of a nonlinearity, functional ones included.

Layers are found by hooks on the modules that hold weights; nonlinearities by watching the functions that
are called, so that ``F.relu(x)`` in somebody's ``forward`` is seen as well as an ``nn.ReLU`` that is used
twice. Only a private copy is ever watched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Kind = Literal["linear", "convolution", "embedding", "attention", "recurrent", "nonlinearity"]

LAYERS: tuple[tuple[type[nn.Module], Kind], ...] = (
    (nn.Linear, "linear"),
    (nn.Bilinear, "linear"),
    (nn.modules.conv._ConvNd, "convolution"),
    (nn.Embedding, "embedding"),
    (nn.EmbeddingBag, "embedding"),
    (nn.MultiheadAttention, "attention"),
    (nn.RNNBase, "recurrent"),
    (nn.RNNCellBase, "recurrent"),
)


def kind_of(module: nn.Module) -> Kind | None:
    """Return what kind of layer a module is, or None if it holds no weights of its own kind."""
    return next((kind for layer, kind in LAYERS if isinstance(module, layer)), None)


_NAMES = (
    *("relu", "relu6", "leaky_relu", "prelu", "rrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "softplus"),
    *("hardtanh", "hardswish", "hardsigmoid", "logsigmoid", "tanh", "sigmoid", "threshold", "softsign"),
    *("tanhshrink", "softshrink", "hardshrink"),
)

NONLINEARITIES: dict[Callable[..., Any], str] = {
    function: name
    for name in _NAMES
    for home in (functional, torch, Tensor)
    for spelling in (name, f"{name}_")
    if (function := getattr(home, spelling, None)) is not None
}
"""Function -> the name of the nonlinearity it is: elementwise, one tensor in, one of the same shape out."""

_CLAMPS = frozenset(
    getattr(home, f"{name}{end}")
    for home in (torch, Tensor)
    for name in ("clamp", "clip", "clamp_min")
    for end in ("", "_")
)
PIECEWISE_LINEAR = frozenset({"relu", "relu6", "leaky_relu", "prelu", "rrelu", "hardtanh", "threshold"})
"""Those that cut the input space into linear regions."""


@dataclass(frozen=True)
class Visit:
    """One use of a layer or a nonlinearity in a forward pass.

    Attributes:
        name: the path of the module, with the function's name where a nonlinearity is called in a
            ``forward``; the second use of the same in one pass is called ``name#2``.
        kind: what it is.
        operation: the name of the nonlinearity (``relu``), or of the layer's class.
        inputs: what went in: the pre-activation of a nonlinearity.
        output: what came out.
        axis: the axis along which the units lie: 1 for the channels of a convolution, else -1.
    """

    name: str
    kind: Kind
    operation: str
    inputs: Tensor
    output: Tensor
    axis: int

    def features(self, which: Literal["inputs", "output"] = "output") -> Tensor:
        """Return its units as columns: (examples × positions, units); every position counts as a sample."""
        tensor = self.inputs if which == "inputs" else self.output
        tensor = tensor.movedim(1, -1) if self.axis == 1 else tensor
        return tensor.reshape(-1, tensor.shape[-1]) if tensor.ndim > 1 else tensor.reshape(-1, 1)


def _rectifier(function: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> str | None:
    """Return ``relu`` if a function is called as ``clamp(x, min=0)`` is, else None."""
    if function not in _CLAMPS:
        return None
    low, high = (*args[1:], None, None)[:2]
    low, high = keywords.get("min", low), keywords.get("max", high)
    return "relu" if high is None and isinstance(low, int | float) and low == 0 else None


@contextmanager
def watched(module: nn.Module, see: Callable[[Visit], None]) -> Iterator[None]:
    """Within the context, call ``see`` at every use of a layer or nonlinearity in forwards of ``module``.

    Example:
        >>> names = []
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> with watched(net, lambda visit: names.append((visit.name, visit.operation))):
        ...     _ = net(torch.zeros(1, 2))
        >>> names
        [('0', 'Linear'), ('1', 'relu')]
    """
    watcher = _Watcher(see)
    handles = []
    try:
        for name, part in module.named_modules():
            handles.append(part.register_forward_pre_hook(watcher.entering(name), prepend=True))
            handles.append(part.register_forward_hook(watcher.leaving(name), with_kwargs=True, always_call=True))
        with watcher:
            yield
    finally:
        for handle in handles:
            handle.remove()


class _Watcher(TorchFunctionMode):
    """Follows which module runs, and sees nonlinear functions as they are called."""

    def __init__(self, see: Callable[[Visit], None]) -> None:
        super().__init__()
        self._see = see
        self._inside: list[tuple[str, nn.Module]] = []
        self._times: Counter[str] = Counter()
        self._channels: tuple[int, ...] | None = None

    def entering(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, _inputs: Any) -> None:
            if not self._inside:
                self._times.clear()
                self._channels = None
            self._inside.append((name, module))

        return hook

    def leaving(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], keywords: dict[str, Any], output: Any) -> None:
            while self._inside and self._inside.pop()[1] is not module:
                pass
            kind = kind_of(module)
            value = output[0] if isinstance(output, tuple) and output else output
            if kind is None or not isinstance(value, Tensor):
                return
            given = next((v for v in (*inputs, *keywords.values()) if isinstance(v, Tensor)), value)
            self._channels = tuple(value.shape) if kind == "convolution" else None
            self._tell(Visit(name, kind, type(module).__name__, given, value, 1 if kind == "convolution" else -1))

        return hook

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        keywords = kwargs or {}
        operation = NONLINEARITIES.get(function) or _rectifier(function, args, keywords)
        given = args[0] if args else keywords.get("input")
        if operation is None or not self._inside or not isinstance(given, Tensor) or not given.is_floating_point():
            return function(*args, **keywords)
        in_place = keywords.get("inplace") or function.__name__.endswith("_") or any(one is True for one in args[1:])
        before = given.clone() if in_place else given
        output = function(*args, **keywords)
        path, module = self._inside[-1]
        # a module that is nothing but the function is its own name
        own = not list(module.children()) and type(module).__module__ == "torch.nn.modules.activation"
        name = path if own else f"{path}.{operation}" if path else operation
        axis = 1 if before.ndim >= 4 or (self._channels is not None and tuple(before.shape) == self._channels) else -1
        self._tell(Visit(name or operation, "nonlinearity", operation, before, output, axis))
        return output

    def _tell(self, visit: Visit) -> None:
        self._times[visit.name] += 1
        times = self._times[visit.name]
        name = visit.name if times == 1 else f"{visit.name}#{times}"
        self._see(replace(visit, name=name))
