"""The tangent kernel at the start, in the form in which a fit to all training data needs it (Lyu et al. 2024)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

import torch
from torch import Tensor

from grokscope.differentiation import twice_differentiable
from grokscope.linalg.jacobians import PASSES
from grokscope.linalg.ntk import empirical_ntk
from grokscope.measures.base import DoesNotApply
from grokscope.measures.derivatives import differentiable, trained
from grokscope.measures.sampled import Outputs, outputs_of, real_targets

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

Found = TypeVar("Found")
Kind = Literal["values", "two classes", "classes"]
SHARED = 1e-8
"""Up to which relative difference the kernels of all outputs count as one, and those between outputs as none."""


class OwnKernels(DoesNotApply):
    """The outputs have not one kernel for all."""


@dataclass(frozen=True)
class InitialPoint:
    """The start of a training with all training data, float64.

    Attributes:
        kind: ``values`` (also of classes trained to one-hot values), ``two classes`` or ``classes``.
        targets: real targets (n, outputs), or classes (n,).
        count: how many outputs there are.
        norm: ‖θ_0‖ of the trained parameters.
        outputs: (parameters, inputs) to (n, outputs).
        parameters: the trained ones.
        inputs: (n, ...).
    """

    kind: Kind
    targets: Tensor
    count: int
    norm: float
    outputs: Outputs
    parameters: Mapping[str, Tensor]
    inputs: Tensor

    def pulled(self, coefficients: Tensor) -> dict[str, Tensor]:
        """Return Jᵀa = Σ_ic a_ic ∇f_c(x_i), by parameter, for a (n, outputs)."""
        leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in self.parameters.items()}
        total = {name: torch.zeros_like(tensor) for name, tensor in self.parameters.items()}
        with torch.enable_grad():
            for rows in torch.arange(len(coefficients)).split(PASSES):
                outputs = self.outputs(leaves, self.inputs[rows]).reshape(len(rows), -1)
                product = (outputs * coefficients[rows]).sum()
                slopes = torch.autograd.grad(product, list(leaves.values()), materialize_grads=True)
                for name, slope in zip(total, slopes, strict=True):
                    total[name] += slope
        return total

    def moved(self, inputs: Tensor, direction: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return f_0(x) and its derivative J(x) h along a direction, (m, outputs) each."""
        parts: list[tuple[Tensor, Tensor]] = []
        with torch.no_grad(), twice_differentiable():
            for some in inputs.split(PASSES):
                start, along, *_ = torch.func.jvp(
                    lambda tensors, some=some: self.outputs(tensors, some).reshape(len(some), -1),
                    (dict(self.parameters),),
                    (dict(direction),),
                )
                parts.append((start, along))
        return torch.cat([start for start, _ in parts]), torch.cat([along for _, along in parts])


@dataclass(frozen=True)
class InitialKernel:
    """The tangent kernel at the start on all training data, float64.

    Attributes:
        kind: ``values`` (one real output, or several with one kernel), ``two classes`` (of the difference of both
            logits), ``classes`` (several logits with one kernel: K ⊗ 1).
        gram: K, (n, n).
        targets: real targets (n, outputs), or classes (n,).
        classes: how many outputs there are.
        norm: ‖θ_0‖ of the trained parameters.
        function: the outputs whose kernel it is.
        parameters: the trained ones at the start.
        inputs: (n, ...).
    """

    kind: Kind
    gram: Tensor
    targets: Tensor
    classes: int
    norm: float
    function: Outputs
    parameters: Mapping[str, Tensor]
    inputs: Tensor

    def cross(self, inputs: Tensor) -> Tensor:
        """Return K(x, training data), (m, n)."""
        return empirical_ntk(self.function, self.parameters, inputs, self.inputs)


def initial_kernel(snapshot: Snapshot, name: str, examples: int) -> InitialKernel:
    """Return the kernel at the start of the training, computed once a training.

    Raises:
        DoesNotApply: more training examples than ``examples``, weighted ones, several outputs that have kernels of
            their own, or a model that cannot be differentiated.
    """
    found = snapshot.lasting(("initial kernel", examples), lambda: attempted(lambda: _computed(snapshot, examples)))
    return given(found, name)


def attempted(compute: Callable[[], Found]) -> Found | DoesNotApply:
    """Return what is computed, or why it does not apply: both last as long as the training."""
    try:
        with torch.enable_grad(), differentiable("", "outputs"):
            return compute()
    except DoesNotApply as reason:
        return type(reason)(str(reason).strip())


def given(found: Found | DoesNotApply, name: str) -> Found:
    """Return what :func:`attempted` found, or raise its reason with the measure's name before it."""
    if isinstance(found, DoesNotApply):
        raise type(found)(f"{name} {found}")
    return found


def initial_point(snapshot: Snapshot, examples: int) -> InitialPoint:
    """Return the start of the training with all training data.

    Raises:
        DoesNotApply: as :func:`initial_kernel`; the message begins with a verb.
    """
    start = snapshot.initial
    if start is None:
        raise DoesNotApply("compares with the start of the training; this snapshot does not know it.")
    batch = start.in_double().probe("train")
    if batch.targets is None:
        raise DoesNotApply("needs labelled training data; this snapshot has none.")
    if len(batch) > examples:
        raise DoesNotApply(
            f"solves for all {len(batch)} training examples; it is asked for at most {examples} (its option examples)."
        )
    if batch.weights is not None and not bool((batch.weights == batch.weights[0]).all()):
        raise DoesNotApply("solves for examples that count alike; these have weights.")
    parameters, outputs = trained(start), outputs_of(start, "all")
    if not parameters:
        raise DoesNotApply("differentiates with respect to the parameters; this model has none that are real.")
    inputs, targets = batch.inputs, batch.targets
    if inputs.is_inference():  # made in inference mode, which a backward pass does not take
        inputs = inputs.clone()
    with torch.no_grad():
        shape = outputs({}, inputs[:1]).shape[1:]
    if len(shape) > 1 or targets.ndim > 2 or (targets.ndim > 1 and not targets.is_floating_point()):
        raise DoesNotApply("looks at one prediction an example; these outputs have positions.")
    count = shape.numel()
    kind: Kind = "two classes" if count == 2 else "classes"
    if targets.is_floating_point() or start.loss == "mean-squared-error":
        values = real_targets(targets, shape)
        if values is None:
            raise DoesNotApply("needs a target for each output; these do not fit.")
        kind, targets = "values", values
    norm = float(torch.stack([tensor.norm() for tensor in parameters.values()]).norm())
    return InitialPoint(kind, targets, count, norm, outputs, parameters, inputs)


def _computed(snapshot: Snapshot, examples: int) -> InitialKernel:
    point = initial_point(snapshot, examples)
    kind, outputs, function = point.kind, point.outputs, point.outputs
    if kind == "two classes":
        function = _difference(outputs)
    elif point.count > 1:
        if not _shared(outputs, point.parameters, point.inputs):
            raise OwnKernels(f"solves for {point.count} outputs with one kernel; these have kernels of their own.")
        function = _first(outputs)
    gram = empirical_ntk(function, point.parameters, point.inputs)
    if not bool(torch.isfinite(gram).all()):
        raise DoesNotApply("needs a finite kernel; this one is not.")
    return InitialKernel(kind, gram, point.targets, point.count, point.norm, function, point.parameters, point.inputs)


def _difference(outputs: Outputs) -> Outputs:
    def function(tensors: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        found = outputs(tensors, inputs)
        return found[:, 1:] - found[:, :1]

    return function


def _first(outputs: Outputs) -> Outputs:
    return lambda tensors, inputs: outputs(tensors, inputs)[:, :1]


def _shared(outputs: Outputs, parameters: Mapping[str, Tensor], inputs: Tensor) -> bool:
    """Tell whether all outputs have one kernel and none between them, on two examples: K ⊗ 1."""
    some = inputs[:2]
    jacobian = torch.func.jacrev(lambda tensors: outputs(tensors, some))(dict(parameters))
    rows = torch.cat([part.flatten(2) for part in jacobian.values()], -1)  # (2, outputs, P)
    blocks = torch.einsum("iap,jbp->ijab", rows, rows)
    means = blocks.diagonal(dim1=2, dim2=3).mean(-1)
    expected = means[..., None, None] * torch.eye(blocks.shape[-1], dtype=blocks.dtype, device=blocks.device)
    return bool((blocks - expected).abs().max() <= SHARED * means.abs().max())
