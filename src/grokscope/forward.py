"""Running somebody's module: as a function of its parameters, on a private copy, with outputs that are one tensor."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from grokscope.errors import UsageError, first_line, unknown

Forward = Callable[[Mapping[str, Tensor], Tensor], Tensor]
Call = Callable[[nn.Module, Tensor], Any]
"""How a module is asked to predict: ``lambda model, inputs: model(input_ids=inputs).logits``, say."""


def private_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a module in evaluation mode, without the wrappers of compilation and data parallelism.

    Hooks that others put on the module are left out: what they record is not to see a pass of ours.

    Raises:
        UsageError: the module cannot be copied, or holds parameters without values.
    """
    if not isinstance(model, nn.Module):
        raise UsageError(f"the model is a {type(model).__name__}: give a torch.nn.Module.")
    plain = unwrapped(model)
    memo = {**_hooks_left_out(plain), **_computed(plain)}
    try:
        # a copy made in inference mode could never be differentiated
        with torch.inference_mode(mode=False), torch.no_grad():
            private = copy.deepcopy(plain, memo)
    except Exception as error:
        raise UsageError(
            f"the {type(model).__name__} cannot be copied ({_culprit(plain)}{first_line(error)}): keep what is no "
            "part of the network (files, locks, loggers, iterators) out of its attributes."
        ) from error
    if "_original_forward" in vars(private):
        vars(private)["forward"] = private._original_forward  # accelerate puts mixed precision around it
    for name, child in list(private.named_modules()):
        for part, grandchild in list(child.named_children()):
            if grandchild is not unwrapped(grandchild):
                child.add_module(part, unwrapped(grandchild))
        # a lazy module has parameters that are not tensors of any shape yet
        if isinstance(child, LazyModuleMixin) and child.has_uninitialized_params():  # type: ignore[operator]
            raise UsageError(f"the layer {name!r} has no shape yet (a lazy module): run the model on one batch first.")
    for name, tensor in [*private.named_parameters(), *private.named_buffers()]:
        if tensor.is_meta:
            raise UsageError(f"{name} is on the meta device, where tensors have no values: load the weights first.")
    return private.eval()


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def _hooks_left_out(model: nn.Module) -> dict[int, Any]:
    """Return a memo for ``deepcopy`` by which a module's hooks are not copied; those of torch that make weights are."""
    memo: dict[int, Any] = {}
    for module in model.modules():
        for name in _HOOKS:
            hooks = getattr(module, name)
            own = {key: hook for key, hook in hooks.items() if type(hook).__module__.startswith("torch.nn.utils.")}
            memo[id(hooks)] = OrderedDict(own)
    return memo


def _computed(model: nn.Module) -> dict[int, Tensor]:
    """Return a memo for ``deepcopy`` in which tensors that were computed have plain copies.

    Such are the activations that a forward leaves in an attribute, or weights that are made before each forward.
    """
    memo: dict[int, Tensor] = {}
    seen: set[int] = set()

    def visit(value: Any) -> None:
        if isinstance(value, Tensor):
            if not value.is_leaf:
                memo[id(value)] = value.detach().clone()
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            for part in value.values() if isinstance(value, dict) else value:
                visit(part)

    with torch.inference_mode(mode=False), torch.no_grad():
        for module in model.modules():
            for value in vars(module).values():
                visit(value)
    return memo


def _culprit(model: nn.Module) -> str:
    """Return which attribute it is that cannot be copied, for a message; nothing where it is not one alone."""
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name in _HOOKS or isinstance(value, nn.Module) or name == "_modules":
                continue
            try:
                copy.deepcopy(value, _computed(module))
            except Exception:
                return f"its attribute {path + '.' if path else ''}{name} is a {type(value).__name__}: "
    return ""


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module that ``torch.compile``, DataParallel or DistributedDataParallel wraps, or the module itself."""
    while True:
        parallel = isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel)
        inner = model.module if parallel else getattr(model, "_orig_mod", None)
        if not isinstance(inner, nn.Module):
            return model
        model = inner


def module_forward(module: nn.Module, *, fast: bool = False, call: Call | None = None) -> Forward:
    """Return the functional forward of a module over named tensors: its ``fast_forward`` if asked, or ``call``.

    The forward returns one tensor: of a tuple the first, of a mapping or object its ``logits``.

    Example:
        >>> forward = module_forward(nn.Linear(2, 1, bias=False))
        >>> forward({"weight": torch.ones(1, 2)}, torch.ones(1, 2)).tolist()
        [[2.0]]
    """
    if not fast and call is None:
        return lambda tensors, inputs: outputs(torch.func.functional_call(module, dict(tensors), (inputs,)))
    wrapper = _Called(module, call or (lambda plain, inputs: plain.fast_forward(inputs)))  # type: ignore[operator]
    return lambda tensors, inputs: outputs(
        torch.func.functional_call(wrapper, {f"plain.{name}": tensor for name, tensor in tensors.items()}, (inputs,))
    )


class _Called(nn.Module):
    """The same parameters under another forward, so that ``functional_call`` reaches it."""

    def __init__(self, plain: nn.Module, call: Call) -> None:
        super().__init__()
        self.plain = plain
        self.call = call

    def forward(self, inputs: Tensor) -> Any:
        return self.call(self.plain, inputs)


def outputs(value: Any) -> Tensor:
    """Return the tensor that a model's output is or holds: the first of a tuple, ``logits`` of a mapping or object.

    Raises:
        UsageError: there is no tensor where one is looked for.

    Example:
        >>> outputs((torch.zeros(2), "state")).shape
        torch.Size([2])
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Mapping) and "logits" in value:
        return outputs(value["logits"])
    if (logits := getattr(value, "logits", None)) is not None:
        return outputs(logits)
    if isinstance(value, tuple | list) and value:
        return outputs(value[0])
    raise UsageError(
        f"the model returned a {type(value).__name__}: say which tensor is its prediction with "
        "forward=lambda model, inputs: model(inputs).…"
    )


@contextmanager
def sites(
    module: nn.Module, actions: Mapping[str, Callable[[Tensor], Tensor | None]], *, first: bool = False
) -> Iterator[set[str]]:
    """Within the context, pass the outputs of named submodules through functions; yields those that fired.

    A function that returns None only looks; one that returns a tensor replaces the output. ``first`` ones
    act before those already there, which then see the replaced output.

    Raises:
        UsageError: a name is no submodule, or a site did not fire in a forward within the context.
    """
    modules = dict(module.named_modules())
    fired: set[str] = set()
    handles = []
    try:
        for name, action in actions.items():
            if name not in modules:
                raise unknown("site", name, [known for known in modules if known])

            def hook(_module: nn.Module, _inputs: Any, output: Tensor, name: str = name, action: Any = action) -> Any:
                fired.add(name)
                return action(output)

            handles.append(modules[name].register_forward_hook(hook, prepend=first))
        yield fired
        silent = set(actions) - fired
        if silent:
            raise UsageError(
                f"the site {sorted(silent)[0]!r} did not fire: the forward pass does not use that submodule."
            )
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def neutral() -> Iterator[None]:
    """Within the context, compute as if nobody around had asked for autocast, inference mode or gradients."""
    with (
        torch.inference_mode(mode=False),
        torch.no_grad(),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
    ):
        yield
