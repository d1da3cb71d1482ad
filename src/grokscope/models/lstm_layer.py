"""A layer of a long short-term memory for many members at once, forward and back through time.

Everything that does not depend on the step before is done for all steps together, in few large products; what is left
in the loop is one product with the recurrent weights and the arithmetic of the gates.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Pass:
    """What a forward pass leaves for the way back.

    Attributes:
        gates: σ(i), σ(f), tanh(g), σ(o) side by side, (members, length, examples, 4 · hidden).
        cells: c_0 … c_length, (members, length + 1, examples, hidden).
        bounded: tanh(c_1) … tanh(c_length), (members, length, examples, hidden).
        hidden: h_0 … h_length, as the cells.
    """

    gates: Tensor
    cells: Tensor
    bounded: Tensor
    hidden: Tensor


def forward(inputs: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor) -> Pass:
    """Return the forward pass over inputs (members, length, examples, width), from a state of 0.

    Args:
        inputs: what the layer reads.
        weight_ih: (members, 4 · hidden, width).
        weight_hh: (members, 4 · hidden, hidden).
        bias_ih: (members, 4 · hidden).
        bias_hh: (members, 4 · hidden).
    """
    members, length, examples, _ = inputs.shape
    size = weight_hh.shape[-1]
    bias = (bias_ih + bias_hh)[:, None]
    gates = torch.baddbmm(bias, inputs.flatten(1, 2), weight_ih.mT).unflatten(1, (length, examples))
    cells, hidden = (inputs.new_zeros(members, length + 1, examples, size) for _ in range(2))
    bounded = inputs.new_empty(members, length, examples, size)
    recurrent = weight_hh.mT
    for step in range(length):
        now = gates[:, step]
        if step:
            now.baddbmm_(hidden[:, step], recurrent)
        now[..., : 2 * size].sigmoid_()
        now[..., 2 * size : 3 * size].tanh_()
        now[..., 3 * size :].sigmoid_()
        i, f, g, o = now.chunk(4, -1)
        torch.mul(f, cells[:, step], out=cells[:, step + 1])
        cells[:, step + 1].addcmul_(i, g)
        torch.tanh(cells[:, step + 1], out=bounded[:, step])
        torch.mul(o, bounded[:, step], out=hidden[:, step + 1])
    return Pass(gates, cells, bounded, hidden)


def backward(
    done: Pass, inputs: Tensor, weight_ih: Tensor, weight_hh: Tensor, above: Tensor | None, at_end: Tensor | None
) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """Return the gradients of the layer's parameters, in the order of :func:`forward`, and of its inputs.

    Args:
        done: the forward pass over ``inputs``.
        inputs: (members, length, examples, width).
        weight_ih: as in :func:`forward`.
        weight_hh: as in :func:`forward`.
        above: ∂L/∂(hidden states) from the layer above, (members, length, examples, hidden); None is 0.
        at_end: ∂L/∂(last hidden state), (members, examples, hidden), on top of it; None is 0.
    """
    i, f, g, o = done.gates.chunk(4, -1)
    size = i.shape[-1]
    # ∂c/∂(i, f, g) and ∂h/∂o before their nonlinearities, and ∂h/∂c, of all steps at once
    slopes = done.gates * (1 - done.gates)
    slopes[..., 2 * size : 3 * size] = 1 - g.square()
    slopes[..., :size] *= g
    slopes[..., size : 2 * size] *= done.cells[:, :-1]
    slopes[..., 2 * size : 3 * size] *= i
    slopes[..., 3 * size :] *= done.bounded
    through = done.bounded.square().neg_().add_(1).mul_(o)
    length = inputs.shape[1]
    by_cell = torch.zeros_like(done.cells[:, 0])
    by_hidden = torch.zeros_like(by_cell)
    if at_end is not None:
        by_hidden += at_end
    for step in reversed(range(length)):
        if above is not None:
            by_hidden = by_hidden + above[:, step]
        by_cell.addcmul_(by_hidden, through[:, step])
        now = slopes[:, step]  # turned into ∂L/∂(gates before their nonlinearities) in its place
        now[..., : 3 * size].unflatten(-1, (3, size)).mul_(by_cell[..., None, :])
        now[..., 3 * size :].mul_(by_hidden)
        if step:
            by_cell.mul_(f[:, step])
            by_hidden = now @ weight_hh
    flat = slopes.flatten(1, 2)
    by_bias = flat.sum(1)
    by_weights = flat.mT @ inputs.flatten(1, 2), flat.mT @ done.hidden[:, :-1].flatten(1, 2)
    by_inputs = (flat @ weight_ih).unflatten(1, inputs.shape[1:3])
    return (*by_weights, by_bias, by_bias.clone()), by_inputs
