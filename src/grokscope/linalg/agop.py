"""The average gradient outer product of a function, and its likeness to the feature matrix of a layer.

Radhakrishnan et al. 2024; Mallinar et al. 2024. What a function looks at is where its gradient lies: G weighs the
directions of its input by that. Where a layer with the weights W has learnt features, W^T W is like √G.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from grokscope.differentiation import twice_differentiable
from grokscope.errors import UsageError
from grokscope.linalg.kernels import checked_kernel, cosine
from grokscope.linalg.ntk import signs

Diagonal = Literal["kept", "zeroed", "dropped"]


def agop(
    function: Callable[[Tensor], Tensor],
    points: Float[Tensor, "n ..."],
    *,
    projections: int = 0,
    generator: torch.Generator | None = None,
    centred: bool = False,
    positions: bool = False,
    chunk: int = 256,
) -> Float[Tensor, "d d"]:
    """Return G = (1/n) Σ_i J_i^T J_i with J_i = ∂f(x_i)/∂x_i, (outputs, d), for flattened points of d numbers.

    Units: outputs²/inputs². Positive semidefinite; tr G is the mean squared Frobenius norm of the Jacobian. One
    backward pass for all examples for each output; with ``projections`` one for each random direction ξ of ±1 of the
    outputs, and the mean of (J^T ξ)(J^T ξ)^T is unbiased. Its precision is that of the points: give float64.
    References: Radhakrishnan et al. 2024; Mallinar et al. 2024.

    Args:
        function: points (n, ...) -> outputs (n, ...), each example by itself.
        points: (n, ...), real.
        projections: random directions for each example, or 0 for all outputs exactly.
        generator: of the directions.
        centred: the mean of J_i over examples is taken off first; all examples then share the directions.
        positions: points are (n, positions, d): every position is a sample, and G is (d, d) over the last axis.
        chunk: examples at a time.

    Raises:
        UsageError: the points are not finite real numbers, there are none, or directions without a generator.

    Example:
        >>> agop(lambda x: 3 * (x @ torch.tensor([1.0, 2.0])) ** 2, torch.tensor([[1.0, 0.0]])).tolist()
        [[36.0, 72.0], [72.0, 144.0]]
    """
    _checked(points, projections, generator, centred and positions, chunk)
    size = points.shape[-1] if positions else points[0].numel()
    total, samples = points.new_zeros(size, size), 0
    means: Tensor | None = None
    shared: Tensor | None = None
    for part in points.split(chunk):
        with torch.enable_grad(), twice_differentiable():
            leaf = part.detach().clone().requires_grad_()
            outputs = _outputs(function(leaf), len(part))
        count = outputs.shape[1]
        if means is None:
            means = points.new_zeros(projections or count, size)
            shared = signs(projections, count, generator) if projections and centred and generator else None
        for index in range(projections or count):
            direction = _direction(outputs, index, projections, generator, shared)
            (gradient,) = torch.autograd.grad(outputs, leaf, direction, retain_graph=True, materialize_grads=True)
            rows = gradient.reshape(-1, size)
            total += rows.T @ rows
            means[index] += rows.sum(0)
        samples += part.numel() // size
    assert means is not None
    if centred:
        total -= means.T @ means / samples
    return total / (samples * max(projections, 1))


def _direction(
    outputs: Tensor, index: int, projections: int, generator: torch.Generator | None, shared: Tensor | None
) -> Tensor:
    if not projections:
        direction = torch.zeros_like(outputs)
        direction[:, index] = 1
        return direction
    if shared is not None:
        return shared[index].to(outputs).expand_as(outputs)
    assert generator is not None
    return signs(len(outputs), outputs.shape[1], generator).to(outputs)


def _outputs(outputs: Tensor, examples: int) -> Tensor:
    if outputs.ndim == 0 or len(outputs) != examples or not outputs.numel():
        raise UsageError(
            f"the function returned the shape {tuple(outputs.shape)} for {examples} points: give outputs (points, ...)."
        )
    if not outputs.is_floating_point():
        kind = str(outputs.dtype).removeprefix("torch.")
        raise UsageError(f"the function returned {kind}: its outputs must be real numbers.")
    if not outputs.requires_grad:
        raise UsageError("the function's outputs do not depend on the points in a way that can be differentiated.")
    return outputs.flatten(1) if outputs.ndim > 1 else outputs[:, None]


def _checked(
    points: Tensor, projections: int, generator: torch.Generator | None, centred_positions: bool, chunk: int
) -> None:
    if points.is_meta:
        raise UsageError("points on the meta device were given, where tensors have no values.")
    if not points.is_floating_point():
        kind = str(points.dtype).removeprefix("torch.")
        raise UsageError(f"points of {kind} were given: gradients are taken at real numbers; embed tokens first.")
    if points.ndim < 1 or not points.numel():
        raise UsageError(f"points of shape {tuple(points.shape)} were given: give at least one as (points, ...).")
    if not bool(torch.isfinite(points).all()):
        raise UsageError("points with NaN or Inf were given: they must be finite.")
    if projections < 0 or chunk < 1:
        raise UsageError(f"projections = {projections} and chunk = {chunk}: give 0 or more, and 1 or more.")
    if projections and generator is None:
        raise UsageError(f"{projections} projections were asked for without a generator: give one.")
    if centred_positions:
        raise UsageError("centred = True with positions = True: a Jacobian is centred over examples, not positions.")


def neural_feature_matrix(weight: Float[Tensor, "rows columns"]) -> Float[Tensor, "columns columns"]:
    """Return W^T W of a layer y = W x, in float64, (inputs, inputs).

    Example:
        >>> neural_feature_matrix(torch.tensor([[1.0, 2.0]])).tolist()
        [[1.0, 2.0], [2.0, 4.0]]
    """
    if weight.ndim != 2 or not weight.numel():
        raise UsageError(f"a weight of shape {tuple(weight.shape)} was given: give (rows, columns).")
    matrix = weight.to(torch.float64)
    return matrix.T @ matrix


def matrix_power(matrix: Float[Tensor, "d d"], power: float = 0.5) -> Float[Tensor, "d d"]:
    """Return G^s of a positive semidefinite matrix, in float64; eigenvalues below 0, which rounding makes, are 0.

    Example:
        >>> matrix_power(torch.diag(torch.tensor([4.0, 9.0]))).tolist()
        [[2.0, 0.0], [0.0, 3.0]]
    """
    if not power > 0:
        raise UsageError(f"power = {power:g} was given: it is above 0.")
    values, vectors = torch.linalg.eigh(checked_kernel(matrix, "a matrix"))
    return (vectors * values.clamp_min(0) ** power) @ vectors.T


def feature_alignment(
    one: Float[Tensor, "d d"],
    other: Float[Tensor, "d d"],
    *,
    kind: Literal["cosine", "pearson"] = "pearson",
    diagonal: Diagonal = "kept",
) -> Float[Tensor, ""]:
    """Return the cosine or the Pearson correlation of the entries of two square matrices, in [−1, 1], in float64.

    NaN where one is 0, or, for Pearson, constant. Not a measure of progress by itself: two matrices near multiples of
    the identity agree by their diagonals; without these it says more. Reference: Mallinar et al. 2024, Fig. 6.

    Args:
        one: W^T W, say.
        other: √G, or G.
        kind: ``cosine``, or ``pearson``, which takes off the means.
        diagonal: ``kept``, ``zeroed`` in both (as the code of Mallinar et al. does), or ``dropped``.

    Raises:
        UsageError: they are not square matrices of one shape with finite real numbers.

    Example:
        >>> a, b = torch.tensor([[1.0, 2.0], [2.0, 5.0]]), torch.tensor([[9.0, 1.0], [1.0, 0.0]])
        >>> round(float(feature_alignment(a, b, kind="cosine", diagonal="zeroed")), 12)
        1.0
    """
    if one.ndim != 2 or one.shape[0] != one.shape[1]:
        raise UsageError(f"a matrix of shape {tuple(one.shape)} was given: give a square one.")
    if kind not in ("cosine", "pearson") or diagonal not in ("kept", "zeroed", "dropped"):
        raise UsageError(
            f"kind = {kind!r}, diagonal = {diagonal!r}: give 'cosine' or 'pearson', and 'kept', 'zeroed' or 'dropped'."
        )
    if one.shape != other.shape:
        raise UsageError(f"matrices of shapes {tuple(one.shape)} and {tuple(other.shape)} were given: give one shape.")
    first, second = (_entries(matrix.to(torch.float64), diagonal) for matrix in (one, other))
    if kind == "pearson" and first.numel():
        first, second = (_off_mean(entries) for entries in (first, second))
    return cosine(first, second) if first.numel() else torch.tensor(torch.nan, dtype=torch.float64)


def _entries(matrix: Tensor, diagonal: Diagonal) -> Tensor:
    if diagonal == "kept":
        return matrix.flatten()
    off = ~torch.eye(len(matrix), dtype=torch.bool, device=matrix.device)
    return matrix[off] if diagonal == "dropped" else torch.where(off, matrix, 0).flatten()


def _off_mean(entries: Tensor) -> Tensor:
    centred = entries - entries.mean()
    # rounding leaves a constant with a remainder
    return torch.where(centred.norm() > 1e-14 * entries.norm(), centred, torch.zeros_like(centred))
