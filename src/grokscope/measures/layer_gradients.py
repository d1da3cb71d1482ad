"""How the outputs move with what goes into each layer: average gradient outer products, layer by layer.

One backward pass for each output direction serves all layers. A layer y = W x (a convolution is one on patches, an
embedding one on one-hot tokens) has ∂f/∂x = W^T ∂f/∂y through it, so its G is W^T Γ W with Γ the mean of
(∂f/∂y)(∂f/∂y)^T over examples, positions and uses. Nothing is assumed of what the layers are used in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from grokscope.differentiation import twice_differentiable
from grokscope.errors import unknown
from grokscope.linalg.ntk import signs

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


@dataclass
class LayerGradients:
    """The weights of a layer and its gradient products, as they are summed up.

    Attributes:
        weight: W, (groups, rows, columns); a layer without groups has one.
        total: the sum of the products of ∂f/∂y, (groups, rows, rows), or of ∂f/∂x, (1, columns, columns).
        of_outputs: whether it is of ∂f/∂y.
        embedding: whether the layer embeds the tokens that the model is given.
        samples: what the sum is divided by: examples × positions × uses.
    """

    weight: Tensor
    total: Tensor
    of_outputs: bool
    embedding: bool
    samples: int = 0

    @property
    def feature_matrix(self) -> Tensor:
        """W^T W, (columns, columns), summed over groups."""
        return torch.einsum("grc,grd->cd", self.weight, self.weight)

    @property
    def outputs_agop(self) -> Tensor:
        """Γ, (groups, rows, rows), or G itself where that was summed."""
        return self.total / self.samples

    @property
    def agop(self) -> Tensor:
        """G, (columns, columns), summed over groups."""
        mean = self.outputs_agop
        return (self.weight.mT @ mean @ self.weight).sum(0) if self.of_outputs else mean[0]


@dataclass(frozen=True)
class _Use:
    """One use of a layer in a forward pass: its weights, and the tensor whose gradient is wanted."""

    name: str
    weight: Tensor
    tensor: Tensor
    of_outputs: bool
    channels: int = -1
    embedding: bool = False

    def rows(self, gradient: Tensor) -> Tensor:
        """Return the gradient as (groups, samples, width): of what came out, or of what went in if that is less."""
        groups, rows, columns = self.weight.shape
        if not self.of_outputs:
            return gradient.reshape(1, -1, columns)
        flat = gradient.movedim(self.channels, -1).reshape(-1, groups, rows).transpose(0, 1)
        return flat if self.sums_outputs else flat @ self.weight

    @property
    def sums_outputs(self) -> bool:
        groups, rows, columns = self.weight.shape
        return self.of_outputs and (groups > 1 or rows <= columns or self.embedding)


def layer_gradients(
    snapshot: Snapshot,
    inputs: Tensor,
    *,
    last: bool,
    projections: int,
    generator: torch.Generator,
    chunk: int,
    widest: int,
    site: str = "",
) -> dict[str, LayerGradients]:
    """Return the gradients at every linear, convolutional and recurrent layer and at the embedding of the tokens.

    Layers with more than ``widest`` inputs are left out, as are those that the outputs do not depend on. Of a recurrent
    layer it is what goes into its first level.

    Args:
        snapshot: a moment of a model with a module, in float64.
        inputs: (n, ...).
        last: only the outputs of the last position of a sequence.
        projections: random output directions of ±1 for each example, or 0 for all outputs exactly.
        generator: of the directions.
        chunk: examples at a time.
        widest: the most inputs of a layer that is looked at; 0 is the embedding alone.
        site: a submodule at whose output, along its last axis, the gradients are taken too, as ``SITE output``.

    Raises:
        UsageError: the model has no such submodule.
    """
    if site and not snapshot.has_site(site):
        raise unknown("site", site, [name for name, _ in snapshot.module.named_modules() if name])  # type: ignore[union-attr]
    found: dict[str, LayerGradients] = {}
    module = snapshot.module
    assert module is not None
    for part in inputs.split(chunk):
        with torch.enable_grad(), twice_differentiable(), _kept(module, part, widest, site) as uses:
            outputs = snapshot.predict_plainly(part)
            outputs = outputs[:, -1] if last and outputs.ndim > 2 else outputs
            outputs = outputs.reshape(len(part), -1)
            if not uses or not outputs.requires_grad:
                continue
            for index in range(projections or outputs.shape[1]):
                if projections:
                    direction = signs(len(part), outputs.shape[1], generator).to(outputs)
                else:
                    direction = torch.zeros_like(outputs)
                    direction[:, index] = 1
                gradients = torch.autograd.grad(
                    outputs, [use.tensor for use in uses], direction, retain_graph=True, allow_unused=True
                )
                for use, gradient in zip(uses, gradients, strict=True):
                    if gradient is not None:
                        _add(found, use, gradient.detach(), first=index == 0)
    for layer in found.values():
        layer.total /= max(projections, 1)
    return found


def _add(found: dict[str, LayerGradients], use: _Use, gradient: Tensor, *, first: bool) -> None:
    rows = use.rows(gradient)
    product = rows.mT @ rows
    if use.name not in found:
        found[use.name] = LayerGradients(use.weight, torch.zeros_like(product), use.sums_outputs, use.embedding)
    found[use.name].total += product
    found[use.name].samples += rows.shape[1] * first


@contextmanager
def _kept(module: nn.Module, tokens: Tensor, widest: int, site: str) -> Iterator[list[_Use]]:
    """Within the context, keep what comes out of layers (or goes into recurrent ones), once for each use."""
    uses: list[_Use] = []
    handles = []

    def keep(tensor: Tensor, use: Callable[[Tensor], _Use]) -> Tensor:
        kept = tensor if tensor.requires_grad else tensor.detach().requires_grad_()
        uses.append(use(kept))
        return kept.clone()  # later steps may write into what they are given

    def leaving(name: str) -> Callable[..., Tensor | None]:
        def hook(layer: Any, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
            weight = layer.weight.detach()
            if isinstance(layer, nn.Embedding):
                given = inputs[0] if inputs else None
                # positions are embedded too: the embedding of the tokens is the one that is given them
                if given is None or given.shape != tokens.shape or not torch.equal(given, tokens):
                    return None
                return keep(output, lambda kept: _Use(name, weight.T[None], kept, True, embedding=True))
            grouped = weight.flatten(1).reshape(getattr(layer, "groups", 1), -1, weight[0].numel())
            channels = -1 if isinstance(layer, nn.Linear) else 1
            return keep(output, lambda kept: _Use(name, grouped, kept, True, channels))

        return hook

    def entering(name: str) -> Callable[..., Any]:
        def hook(layer: Any, inputs: tuple[Any, ...]) -> Any:
            if not inputs or not isinstance(inputs[0], Tensor):
                return None
            found = [w.detach() for n, w in layer.named_parameters(recurse=False) if n.startswith("weight_ih_l0")]
            return (keep(inputs[0], lambda kept: _Use(name, torch.cat(found)[None], kept, False)), *inputs[1:])

        return hook

    def passing(_layer: Any, _inputs: Any, output: Tensor) -> Tensor:
        # no weights: zero rows of as many columns
        nothing = output.new_zeros(1, 0, output.shape[-1])
        return keep(output, lambda kept: _Use(f"{site} output", nothing, kept, False))

    try:
        for name, layer in module.named_modules():
            if site and name == site:
                handles.append(layer.register_forward_hook(passing))
            if isinstance(layer, nn.Embedding):
                handles.append(layer.register_forward_hook(leaving(name), prepend=True))
            elif isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
                if layer.weight[0].numel() <= widest:
                    handles.append(layer.register_forward_hook(leaving(name), prepend=True))
            elif isinstance(layer, nn.RNNBase) and layer.input_size <= widest:
                handles.append(layer.register_forward_pre_hook(entering(name), prepend=True))
        yield uses
    finally:
        for handle in handles:
            handle.remove()
