"""What a network is in the kernel regime: the shortest change of its start that separates, or fits, its training data.

A network of classes comes to the classifier of maximal margin on the tangent features at its start, one of values to
the interpolation of minimal norm (Lyu et al. 2024, Thm. 3.4 and 3.9; K1 and K2 here). Both are x ↦ J(x) h*, with
h* = Σ_ic A_ic ∇f_c(x_i) a gradient at θ_0: a prediction is a derivative along h*, and no kernel of test data is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.ntk import empirical_ntk
from grokscope.measures.base import DoesNotApply
from grokscope.measures.initial_kernel import (
    InitialPoint,
    Kind,
    OwnKernels,
    attempted,
    given,
    initial_kernel,
    initial_point,
)
from grokscope.measures.sampled import Outputs
from grokscope.theory.interpolation import kernel_interpolation
from grokscope.theory.margin import kernel_margin, multiclass_margin

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


@dataclass(frozen=True)
class EarlySolution:
    """The early solution of a training, float64.

    Attributes:
        kind: of its targets, as :class:`grokscope.measures.initial_kernel.InitialPoint` says.
        size: the margin γ of the tangent features for classes, ‖h*‖ for values.
        error: for classes the relative duality gap; for values max |f − y| / max |y − f_0| on the training data, which
            is 0 unless the kernel is singular.
        coefficients: A, (n, outputs).
        direction: h*, by parameter.
        point: θ_0 and the training data.
    """

    kind: Kind
    size: float
    error: float
    coefficients: Tensor
    direction: Mapping[str, Tensor]
    point: InitialPoint

    def predict(self, inputs: Tensor) -> Tensor:
        """Return J(x) h*, (m, outputs); for values f_0(x) + J(x) h*."""
        start, along = self.point.moved(inputs, self.direction)
        return start + along if self.kind == "values" else along


def early_solution(snapshot: Snapshot, name: str, *, examples: int, constraints: int = 0) -> EarlySolution:
    """Return the early solution of the training that a snapshot is of, computed once a training.

    Args:
        snapshot: a moment of a training whose start is known.
        name: of the measure that asks, for messages.
        examples: training examples up to which it is solved.
        constraints: of several outputs with kernels of their own, up to how many equations (values) or inequalities
            (classes) of all examples together.

    Raises:
        DoesNotApply: there are more, the data cannot be used, or no classifier on the tangent features is right on all.
    """
    key = ("early solution", examples)
    found = snapshot.lasting(key, lambda: attempted(lambda: _shared(snapshot, examples)))
    if isinstance(found, OwnKernels) and constraints:
        key = (*key, constraints)
        found = snapshot.lasting(key, lambda: attempted(lambda: _joint(snapshot, examples, constraints)))
    return given(found, name)


def _shared(snapshot: Snapshot, examples: int) -> EarlySolution:
    """Return the solution where all outputs have one kernel, or there is one score."""
    kernel = initial_kernel(snapshot, "", examples)
    point = initial_point(snapshot, examples)
    gram, targets = kernel.gram.cpu().numpy(), point.targets.cpu().numpy()
    if kernel.kind == "values":
        return _fitted(point, gram, targets)
    _check_classes(point)
    try:
        if kernel.kind == "two classes":
            binary = kernel_margin(gram, 2.0 * targets - 1)
            scores = np.stack([-binary.coefficients, binary.coefficients], 1)
            return _solution(point, binary.margin, binary.certificate.gap, scores)
        several = multiclass_margin(gram, targets, kernel.classes)
        return _solution(point, several.margin, several.certificate.gap, several.coefficients)
    except UsageError as reason:
        raise _unsolved(reason) from reason


def _joint(snapshot: Snapshot, examples: int, constraints: int) -> EarlySolution:
    """Return the solution where outputs have kernels of their own, from the kernel of all outputs or constraints."""
    point = initial_point(snapshot, examples)
    count = len(point.inputs) * (point.count - (point.kind != "values"))
    if count > constraints:
        raise DoesNotApply(
            f"solves {count} constraints together, as the outputs have kernels of their own; it is asked for at most "
            f"{constraints} (its option constraints)."
        )
    example, output = np.divmod(np.arange(len(point.inputs) * point.count), point.count)
    if point.kind == "values":
        rows = np.stack([example, output, np.full_like(output, -1)], 1)
        return _fitted(point, _gram(point, rows), point.targets.cpu().numpy())
    _check_classes(point)
    right = point.targets.cpu().numpy()[example]
    wrong = right != output
    rows = np.stack([example, right, output], 1)[wrong]
    try:
        solved = kernel_margin(_gram(point, rows), np.ones(len(rows)))
    except UsageError as reason:
        raise _unsolved(reason) from reason
    scores = np.zeros((len(point.inputs), point.count))
    np.add.at(scores, (rows[:, 0], rows[:, 1]), solved.coefficients)
    np.add.at(scores, (rows[:, 0], rows[:, 2]), -solved.coefficients)
    return _solution(point, solved.margin, solved.certificate.gap, scores)


def _fitted(point: InitialPoint, gram: np.ndarray, targets: np.ndarray) -> EarlySolution:
    with torch.no_grad():
        start = point.outputs({}, point.inputs).reshape(targets.shape).cpu().numpy()
    if len(gram) != len(targets):  # of all outputs of all examples
        fit = kernel_interpolation(gram, targets.reshape(-1), start=start.reshape(-1), singular="pseudo-inverse")
    else:
        fit = kernel_interpolation(gram, targets, start=start, singular="pseudo-inverse")
    return _solution(point, fit.norm, fit.certificate.residual, fit.coefficients.reshape(targets.shape))


def _solution(point: InitialPoint, size: float, error: float, coefficients: np.ndarray) -> EarlySolution:
    scores = torch.as_tensor(coefficients, dtype=torch.float64, device=point.inputs.device)
    return EarlySolution(point.kind, size, error, scores, point.pulled(scores), point)


def _gram(point: InitialPoint, rows: np.ndarray) -> np.ndarray:
    """Return the kernel of f_c − f_c' at (example, c, c'), or of f_c where c' = −1, (rows, rows)."""
    function = _differences(point.outputs, point.inputs)
    found = empirical_ntk(function, point.parameters, torch.as_tensor(rows, device=point.inputs.device))
    if not bool(torch.isfinite(found).all()):
        raise DoesNotApply("needs a finite kernel; this one is not.")
    return found.cpu().numpy()


def _differences(outputs: Outputs, inputs: Tensor) -> Outputs:
    def function(tensors: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        found = outputs(tensors, inputs[rows[:, 0]]).reshape(len(rows), -1)
        other = found.gather(1, rows[:, 2:].clamp(min=0))
        return found.gather(1, rows[:, 1:2]) - other * (rows[:, 2:] >= 0)

    return function


def _check_classes(point: InitialPoint) -> None:
    low, high = int(point.targets.min()), int(point.targets.max())
    if low < 0 or high >= point.count:
        raise DoesNotApply(
            f"needs an output for each class; it was given the class {low if low < 0 else high} and {point.count} "
            f"output{'s' if point.count > 1 else ''}."
        )


def _unsolved(reason: UsageError) -> DoesNotApply:
    return DoesNotApply(f"has no early solution to compare with: {reason}")
