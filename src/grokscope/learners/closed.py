"""Gradients without autograd, of models that know how to pull them back themselves.

Members that train on the same data are multiplied with it together: products become few and large.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokscope.batch import Batch
from grokscope.learners.output_scale import ALPHA, SCALE

if TYPE_CHECKING:
    from grokscope.spec import Spec

Pull = Callable[[Tensor], dict[str, Tensor]]
"""From ∂L/∂outputs to ∂L/∂parameters, by name."""


class Pullback(Protocol):
    """A model whose gradients are written out, for many members at once."""

    def pullback(self, parameters: Mapping[str, Tensor], inputs: Tensor) -> tuple[Tensor, Pull]:
        """Return outputs (groups, members, examples, outputs) and what pulls their gradient back.

        Parameters have the leading axes (groups, members), inputs (groups, examples): each group of members has the
        data of its own.
        """
        ...


@dataclass(frozen=True)
class Closed:
    """Loss and gradients of all members: those that ``update.gradient`` gives, up to rounding.

    Attributes:
        model: any instance of the model; its own parameters are not read.
        loss: a key of :data:`SLOPES`.
        dtype: the precision of the loss.
        stacked: whether tensors have a leading member axis; without it there is one member, and no axis.
    """

    model: Pullback
    loss: str
    dtype: torch.dtype
    stacked: bool = True

    def __call__(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], batch: Batch
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return losses (members,) and gradients by name, of stacked parameters on a batch (groups, examples, …)."""
        groups = len(batch.inputs) if self.stacked else 1
        if not self.stacked:
            inputs, targets, weights = (
                None if one is None else one[None] for one in (batch.inputs, batch.targets, batch.weights)
            )
            assert inputs is not None
            batch = Batch(inputs, targets, weights)

        def folded(tensors: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
            """Give each tensor the leading axes (groups, members)."""
            chosen = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            return {
                name.removeprefix(prefix): t.unflatten(0, (groups, -1)) if self.stacked else t.view(1, 1, *t.shape)
                for name, t in chosen.items()
            }

        outputs, pull = self.model.pullback(folded(parameters), batch.inputs)
        start = folded(buffers, f"{SCALE}start.")
        if start:
            outputs = outputs - self.model.pullback(start, batch.inputs)[0]
        alpha = buffers.get(ALPHA)
        if alpha is not None:
            alpha = alpha.view(groups, -1, 1, 1)
            outputs = alpha * outputs
        assert batch.targets is not None
        losses, slopes = SLOPES[self.loss](outputs.to(self.dtype), batch.targets, _shares(batch, self.dtype))
        slopes = slopes.to(outputs.dtype)
        gradients = pull(slopes if alpha is None else alpha * slopes)
        losses = losses.flatten(0, 1) if self.stacked else losses[0, 0]
        return losses, {name: gradients[name].reshape(one.shape) for name, one in parameters.items()}


def closed_of(module: nn.Module, spec: Spec, loss: str, *, stacked: bool) -> Closed | None:
    """Return gradients without autograd, where the model and the loss have them and nothing acts on the way."""
    learner: Any = spec.learner
    acted_on = any(part.point in ("data", "activation", "loss") for part in spec.interventions)
    known = hasattr(module, "pullback") and loss in SLOPES
    if not known or acted_on or learner.objective != "loss":
        return None
    model: Any = module
    return Closed(model, loss, getattr(torch, learner.loss_dtype), stacked)


def _shares(batch: Batch, dtype: torch.dtype) -> Tensor:
    """Return what each example counts in the mean, (groups, 1, examples), or (1, 1, 1) where all count the same."""
    if batch.weights is None:
        return torch.full((1, 1, 1), 1 / batch.inputs.shape[1], dtype=dtype, device=batch.inputs.device)
    weights = batch.weights.to(dtype)
    return (weights / weights.sum(1, keepdim=True))[:, None]


def cross_entropy(outputs: Tensor, targets: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Return losses (groups, members) and their gradient by the outputs (groups, members, examples, classes).

    Args:
        outputs: logits.
        targets: classes, (groups, examples).
        shares: what each example counts.
    """
    if outputs.shape[-1] == 2:
        # of two classes only the difference of the logits matters
        towards = (1 - 2 * targets).to(outputs.dtype)[:, None]
        behind = towards * (outputs[..., 1] - outputs[..., 0])
        slope = towards * behind.sigmoid() * shares
        losses = -(functional.logsigmoid(-behind) * shares).sum(-1)
        return losses, torch.stack([-slope, slope], -1)
    index = targets[:, None, :, None].expand(*outputs.shape[:3], 1)
    logs = outputs.log_softmax(-1)
    losses = -(logs.gather(-1, index).squeeze(-1) * shares).sum(-1)
    slopes = logs.exp_()
    slopes.scatter_add_(-1, index, torch.full((), -1.0, dtype=slopes.dtype, device=slopes.device).expand(index.shape))
    return losses, slopes.mul_(shares[..., None])


def mean_squared_error(outputs: Tensor, targets: Tensor, shares: Tensor) -> tuple[Tensor, Tensor]:
    """Return losses (groups, members) and their gradient; class targets are one-hot. See :func:`cross_entropy`."""
    size = outputs.shape[-1]
    if not targets.is_floating_point():
        # as one_hot, without its look at whether the classes are in range
        targets = targets[..., None] == torch.arange(size, device=targets.device)
    apart = outputs - targets.reshape(*targets.shape[:2], size).to(outputs.dtype)[:, None]
    losses = (apart.square().sum(-1) * shares).sum(-1) / size
    return losses, apart.mul_(2 / size).mul_(shares[..., None])


SLOPES: dict[str, Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "cross-entropy": cross_entropy,
    "mean-squared-error": mean_squared_error,
}
"""Losses whose gradients are written out, by name."""
