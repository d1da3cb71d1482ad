"""The tangent kernel at the start, in the form in which a fit to all training data needs it (Lyu et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from grokscope.linalg.ntk import empirical_ntk
from grokscope.measures.base import DoesNotApply
from grokscope.measures.derivatives import differentiable, trained
from grokscope.measures.sampled import Outputs, outputs_of

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

Kind = Literal["values", "two classes", "classes"]
SHARED = 1e-8
"""Up to which relative difference the kernels of all outputs count as one, and those between outputs as none."""


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
    found = snapshot.lasting(("initial kernel", examples), lambda: _attempt(snapshot, examples))
    if isinstance(found, str):
        raise DoesNotApply(f"{name} {found}")
    return found


def _attempt(snapshot: Snapshot, examples: int) -> InitialKernel | str:
    try:
        with torch.enable_grad(), differentiable("", "outputs"):
            return _computed(snapshot, examples)
    except DoesNotApply as reason:
        return str(reason).strip()


def _computed(snapshot: Snapshot, examples: int) -> InitialKernel | str:
    start = snapshot.initial
    if start is None:
        return "compares with the start of the training; this snapshot does not know it."
    batch = start.in_double().probe("train")
    if batch.targets is None:
        return "needs labelled training data; this snapshot has none."
    if len(batch) > examples:
        return (
            f"solves for all {len(batch)} training examples; it is asked for at most {examples} (its option examples)."
        )
    if batch.weights is not None and not bool((batch.weights == batch.weights[0]).all()):
        return "solves for examples that count alike; these have weights."
    parameters, outputs = trained(start), outputs_of(start, "all")
    if not parameters:
        return "differentiates with respect to the parameters; this model has none that are real."
    inputs, targets = batch.inputs, batch.targets
    with torch.no_grad():
        shape = outputs({}, inputs[:1]).shape[1:]
    if len(shape) > 1 or targets.ndim > 2 or (targets.ndim > 1 and not targets.is_floating_point()):
        return "looks at one prediction an example; these outputs have positions."
    count = shape.numel()
    norm = float(torch.stack([tensor.norm() for tensor in parameters.values()]).norm())
    kind: Kind = "values" if targets.is_floating_point() else "two classes" if count == 2 else "classes"
    function = outputs
    if kind == "two classes":
        function = _difference(outputs)
    elif count > 1:
        if not _shared(outputs, parameters, inputs):
            return f"solves for {count} outputs with one kernel; these have kernels of their own."
        function = _first(outputs)
    gram = empirical_ntk(function, parameters, inputs)
    if not bool(torch.isfinite(gram).all()):
        return "needs a finite kernel; this one is not."
    if kind == "values":
        targets = targets.reshape(len(targets), -1)
    return InitialKernel(kind, gram, targets, count, norm, function, parameters, inputs)


def _difference(outputs: Outputs) -> Outputs:
    def function(tensors: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        found = outputs(tensors, inputs)
        return found[:, 1:] - found[:, :1]

    return function


def _first(outputs: Outputs) -> Outputs:
    return lambda tensors, inputs: outputs(tensors, inputs)[:, :1]


def _shared(outputs: Outputs, parameters: dict[str, Tensor], inputs: Tensor) -> bool:
    """Tell whether all outputs have one kernel and none between them, on two examples: K ⊗ 1."""
    some = inputs[:2]
    jacobian = torch.func.jacrev(lambda tensors: outputs(tensors, some))(parameters)
    rows = torch.cat([part.flatten(2) for part in jacobian.values()], -1)  # (2, outputs, P)
    blocks = torch.einsum("iap,jbp->ijab", rows, rows)
    means = blocks.diagonal(dim1=2, dim2=3).mean(-1)
    expected = means[..., None, None] * torch.eye(blocks.shape[-1], dtype=blocks.dtype, device=blocks.device)
    return bool((blocks - expected).abs().max() <= SHARED * means.abs().max())
