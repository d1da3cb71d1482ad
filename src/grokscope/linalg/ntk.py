"""The empirical neural tangent kernel, exact, in bounded memory (Jacot et al. 2018; Kumar et al. 2024).

The Jacobian J[i, c, :] = ∂f_c(x_i)/∂θ of n examples, C outputs and P parameters has nCP numbers. The kernel is a sum
over outputs and parameters, so it can be contracted from blocks. Where the Jacobian does not fit into the memory given,
the weights of linear layers, convolutions and embeddings are done by factors, without their gradients
(:mod:`grokscope.linalg.ntk_factors`), and the others in blocks of outputs, of parameters too if nP numbers do not fit,
and of pairs of blocks of examples if those of a single tensor do not. The numbers are the same up to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.jacobians import PASSES, Function, Method, Rows, output_count
from grokscope.linalg.ntk_factors import add_products, products

MEMORY = 2**28
"""Bytes that blocks of the Jacobian may take at a time, by default."""


def empirical_ntk(
    function: Function,
    parameters: Mapping[str, Tensor],
    inputs: Tensor,
    others: Tensor | None = None,
    *,
    outputs: Literal["sum", "each"] = "sum",
    directions: Tensor | None = None,
    memory: int = MEMORY,
    method: Method = "auto",
) -> Tensor:
    """Return the tangent kernel K_ij = Σ_c ⟨∂f_c(x_i)/∂θ, ∂f_c(x'_j)/∂θ⟩, (n, m), or that of each output, (C, n, m).

    Units: outputs²/parameters². Positive semidefinite where x' = x. For many outputs, ``directions`` ξ_k with
    E ξξ^T = 1 (:func:`signs`) give the unbiased estimate (1/k) Σ_k ⟨ξ_k^T J_i, ξ_k^T J_j⟩, itself positive
    semidefinite. Its precision is that of the parameters: give float64. Reference: Jacot et al. 2018; Kumar et al.
    2024.

    Args:
        function: (parameters, inputs (n, ...)) -> outputs (n, ...), each example by itself: no batch statistics.
        parameters: name -> real tensor; those with respect to which it is differentiated.
        inputs: (n, ...).
        others: (m, ...), the x'; ``inputs`` if None.
        outputs: their ``sum``, or ``each`` by itself (each direction, if there are any).
        directions: (k, C), or None for all outputs exactly.
        memory: bytes that blocks of the Jacobian, or factors, may take; at least those of one weight are held.
        method: as in :func:`grokscope.linalg.jacobians.jacobian`; the two that are named use no factors.

    Raises:
        UsageError: no examples, parameters or outputs, something not finite, or directions of another width.

    Example:
        >>> x = torch.tensor([[1.0], [2.0]])
        >>> empirical_ntk(lambda p, x: 3 * x @ p["w"], {"w": torch.ones(1, 1)}, x).tolist()
        [[9.0, 18.0], [18.0, 36.0]]
    """
    count = output_count(function, parameters, inputs)
    if outputs not in ("sum", "each"):
        raise UsageError(f"outputs = {outputs!r}: it is 'sum' or 'each'.")
    if others is not None and (others.shape[1:] != inputs.shape[1:] or not len(others)):
        raise UsageError(
            f"inputs of shape {tuple(inputs.shape)} and others of shape {tuple(others.shape)} were given: "
            "they must be examples of one shape."
        )
    first = next(iter(parameters.values()))
    if directions is not None and (directions.ndim != 2 or directions.shape[1] != count or not len(directions)):
        raise UsageError(
            f"directions of shape {tuple(directions.shape)} were given for {count} outputs: give (directions, {count})."
        )
    total = count if directions is None else len(directions)
    right = inputs if others is None else others
    kernel = first.new_zeros(*([] if outputs == "sum" else [total]), len(inputs), len(right))
    sizes = {name: tensor.numel() for name, tensor in parameters.items()}
    held = len(inputs) + (0 if others is None else len(right))
    numbers = memory // first.element_size()
    if method == "auto" and held * total * sum(sizes.values()) > numbers > 0:
        for name in _by_factors(kernel, function, parameters, inputs, others, directions, total, count, numbers):
            del sizes[name]
    rows = Rows(function, parameters, method)
    for block in plan(sizes, examples=held, outputs=total, memory=numbers) if sizes else ():
        for start in range(0, total, block.outputs):
            stop = min(start + block.outputs, total)
            some = _directions(directions, start, stop, count, first)
            target = kernel if outputs == "sum" else kernel[start:stop]
            _contract(rows, block, inputs, others, some, target)
    return kernel if directions is None or outputs == "each" else kernel / total


def signs(count: int, outputs: int, generator: torch.Generator) -> Tensor:
    """Return random output directions ξ of ±1, int8, (count, outputs): E ξξ^T = 1 with the smallest variance.

    Example:
        >>> signs(2, 3, torch.Generator().manual_seed(0)).abs().sum().item()
        6
    """
    return torch.randint(0, 2, (count, outputs), generator=generator, dtype=torch.int8) * 2 - 1


@dataclass(frozen=True)
class Block:
    """What is differentiated at a time: some parameters, so many outputs, so many examples (None: all)."""

    names: tuple[str, ...]
    outputs: int
    examples: int | None


def plan(sizes: Mapping[str, int], *, examples: int, outputs: int, memory: int) -> list[Block]:
    """Return the blocks whose Jacobians hold at most ``memory`` numbers, in as few passes as that allows.

    Example:
        >>> plan({"w": 6, "b": 2}, examples=10, outputs=4, memory=170)
        [Block(names=('w', 'b'), outputs=2, examples=None)]
        >>> plan({"w": 6, "b": 2}, examples=10, outputs=4, memory=24)
        [Block(names=('w',), outputs=1, examples=2), Block(names=('b',), outputs=1, examples=None)]
    """
    if memory < 1:
        raise UsageError(f"memory for {memory} numbers was given: give at least 1.")
    whole = examples * sum(sizes.values())
    if whole <= memory:
        return [Block(tuple(sizes), min(outputs, PASSES, memory // max(whole, 1)), None)]
    blocks: list[Block] = []
    group: list[str] = []
    for name, size in sizes.items():
        if examples * size > memory:
            # two blocks of examples are held at a time
            blocks.append(Block((name,), 1, max(1, memory // (2 * size))))
            continue
        if examples * (size + sum(sizes[other] for other in group)) > memory:
            blocks.append(Block(tuple(group), 1, None))
            group = []
        group.append(name)
    return [*blocks, Block(tuple(group), 1, None)] if group else blocks


def _by_factors(
    kernel: Tensor,
    function: Function,
    parameters: Mapping[str, Tensor],
    inputs: Tensor,
    others: Tensor | None,
    directions: Tensor | None,
    total: int,
    count: int,
    memory: int,
) -> list[str]:
    """Add to a kernel what the weight matrices give that are used in products only; return their names."""
    first = next(iter(parameters.values()))
    fixed = {name: tensor.detach() for name, tensor in parameters.items()}
    numbers = products(function, fixed, inputs)
    if numbers:
        some = [_directions(directions, index, index + 1, count, first) for index in range(total)]
        add_products(kernel, function, fixed, inputs, others, numbers=numbers, directions=some, memory=memory)
    return list(numbers)


def _directions(directions: Tensor | None, start: int, stop: int, outputs: int, like: Tensor) -> Tensor:
    if directions is not None:
        return directions[start:stop].to(like)
    some = like.new_zeros(stop - start, outputs)
    some[torch.arange(stop - start), torch.arange(start, stop)] = 1
    return some


def _contract(
    rows: Rows, block: Block, inputs: Tensor, others: Tensor | None, directions: Tensor, kernel: Tensor
) -> None:
    """Add to a kernel what one block of parameters and outputs gives."""
    for left, here in _parts(inputs, block.examples):
        jacobian = rows(block.names, here, directions)
        for right, there in _parts(inputs if others is None else others, block.examples):
            if others is None and right.start < left.start:
                continue
            other = jacobian if others is None and right == left else rows(block.names, there, directions)
            product = _product(jacobian, other, kernel.ndim == 3)
            kernel[..., left, right] += product
            if others is None and right != left:
                kernel[..., right, left] += product.transpose(-1, -2)


def _product(one: Tensor, other: Tensor, each: bool) -> Tensor:
    if each:
        return one.transpose(0, 1) @ other.permute(1, 2, 0)
    return one.flatten(1) @ other.flatten(1).T


def _parts(inputs: Sequence[Tensor] | Tensor, size: int | None) -> Iterator[tuple[slice, Tensor]]:
    step = size or len(inputs)
    for start in range(0, len(inputs), step):
        where = slice(start, min(start + step, len(inputs)))
        yield where, inputs[where]  # type: ignore[misc]
