"""How near the parameters are to where theory says training ends: a stationary point of the margin or norm problem."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.given import IGNORED
from grokscope.linalg.hessian import Layout, Tensors, value_and_gradient
from grokscope.measures.base import DoesNotApply, Key, Measure
from grokscope.measures.derivatives import differentiable, trained
from grokscope.measures.performance import example_weights, losses

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

Part = Callable[[Tensors], Tensor]


@dataclass(frozen=True)
class Force:
    """The training loss as far as its gradient goes: L has the gradient e^{log_scale} ∇(sum of parts).

    ``complementarity`` is None where it says nothing: targets that are no classes, or examples that are wrong.
    """

    parts: list[Part]
    log_scale: float
    complementarity: float | None


def measure(snapshot: Snapshot, *, chunk: int = 4096) -> dict[str, float]:
    """Return the residual with weight decay, cosine of θ and −∇L, gradient along the sphere, and complementarity.

    Args:
        snapshot: a moment of a training.
        chunk: how many training examples go through the model at a time.

    Raises:
        DoesNotApply: the training data has no labels that count, or the model cannot be differentiated in float64.
        UsageError: a chunk below 1.
    """
    if chunk < 1:
        raise UsageError(f"chunk = {chunk} was given: give 1 or more.")
    parameters = trained(snapshot)
    batch = snapshot.probe("train")
    shares = _shares(batch)
    if not parameters or shares is None:
        raise DoesNotApply(
            "stationarity differentiates the training loss by the parameters: it needs both, and a label that counts."
        )
    classes = batch.targets is not None and not batch.targets.is_floating_point()
    with differentiable("stationarity", "training loss"):
        whole = _leads if classes and (snapshot.loss or "cross-entropy") == "cross-entropy" else _losses
        force = whole(snapshot, shares, chunk)
        slope = value_and_gradient(force.parts, parameters)[1]
    theta = Layout.of(parameters).flat(parameters).to(slope)
    size, steepness = float(theta.norm()), float(slope.norm())
    result: dict[str, float] = {}
    if force.complementarity is not None:
        result["complementarity"] = force.complementarity
    if not math.isfinite(size) or not math.isfinite(steepness):
        return {"cosine": math.nan}
    if size and steepness:
        result["cosine"] = -float(theta @ slope) / (size * steepness)
        along = slope - (slope @ theta) / size**2 * theta
        result["tangent_gradient"] = float(along.norm() * _grown(force))
    decay = 0.0 if snapshot.descent is None else snapshot.descent.weight_decay
    if decay > 0 and size:
        result["residual"] = float((decay * theta + slope * _grown(force)).norm()) / (decay * size)
    if not result:
        raise DoesNotApply("stationarity compares the parameters with the gradient of the loss; one of them is 0.")
    return result


def _grown(force: Force) -> float:
    """Return what the gradient of the parts is to be multiplied with; infinity where no number holds it."""
    return math.exp(force.log_scale) if force.log_scale < 700 else math.inf


def _shares(batch: Batch) -> Tensor | None:
    """Return how much each target counts in the mean loss, in the shape of class targets; None where none does."""
    if batch.targets is None or not len(batch):
        return None
    weights = example_weights(batch)
    each = torch.ones(len(batch)) if weights is None else weights.cpu()
    shares = each.double() / each.double().sum()
    if not batch.targets.is_floating_point() and batch.targets.ndim > 1:
        counted = (batch.targets.cpu() != IGNORED).double().flatten(1)
        shares = shares[:, None] * counted / counted.sum(1, keepdim=True).clamp(min=1)
        shares = shares.view(batch.targets.shape)
    return shares if bool(shares.isfinite().all()) and bool((shares > 0).any()) else None


def _losses(snapshot: Snapshot, shares: Tensor, chunk: int) -> Force:
    double = snapshot.in_double()
    data = double.probe("train")
    assert data.targets is not None
    weights = shares.flatten(1).sum(1) if shares.ndim > 1 else shares
    kind = snapshot.loss or "cross-entropy"

    def part(inputs: Tensor, targets: Tensor, share: Tensor) -> Part:
        return lambda p: (losses(double.predict_with(p, inputs), targets, kind=kind) * share.to(inputs.device)).sum()

    return Force([part(*piece) for piece in _pieces(chunk, data.inputs, data.targets, weights)], 0.0, None)


def _pieces(chunk: int, *tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Yield the rows of tensors chunk by chunk, as copies: data made in inference mode could not be differentiated."""
    for parts in zip(*(tensor.split(chunk) for tensor in tensors), strict=True):
        yield tuple(part.clone() for part in parts)


def _leads(snapshot: Snapshot, shares: Tensor, chunk: int) -> Force:
    """Return the force of the cross-entropy, by the leads q = z_y − z_c of the right output over each wrong one.

    −∇L = Σ r_ic ∇q_ic, r_ic = share_i softmax(z_i)_c. Only the ratios of the r enter the direction:
    from their logarithms they are right when the loss itself is too small for a floating-point number.
    """
    double = snapshot.in_double()
    data = double.probe("train")
    assert data.targets is not None
    logits, targets = double.logits("train"), data.targets
    if logits.shape[:-1] != targets.shape or logits.shape[-1] < 2:
        raise DoesNotApply("stationarity compares the right output with others; this model has one output a target.")
    shares = shares.to(logits.device)
    counted = shares > 0
    right = targets[counted][:, None]
    logs = logits[counted].log_softmax(1) + shares[counted].log()[:, None]
    logs = logs.scatter(1, right, -math.inf)
    largest = float(logs.max())
    if not math.isfinite(largest):
        return Force([lambda p: next(iter(p.values())).sum() * math.nan], 0.0, None)
    ratios = torch.zeros_like(logits)
    ratios[counted] = (logs - largest).exp()
    leads = (logits[counted].gather(1, right) - logits[counted]).scatter(1, right, math.inf)
    complementarity, least = None, leads.min()
    if least > 0:
        weighed, leads = ratios[counted], leads.scatter(1, right, 0)
        excess = (leads - least).scatter(1, right, 0)
        complementarity = float((weighed * excess).sum() / (weighed * leads).sum())

    def part(inputs: Tensor, right: Tensor, weights: Tensor) -> Part:
        def behind(tensors: Tensors) -> Tensor:
            outputs = double.predict_with(tensors, inputs)
            own = outputs.gather(-1, right.clamp(min=0)[..., None])[..., 0]
            return (weights * outputs).sum() - (weights.sum(-1) * own).sum()

        return behind

    return Force([part(*piece) for piece in _pieces(chunk, data.inputs, targets, ratios)], largest, complementarity)


STATIONARITY = Measure(
    name="stationarity",
    version=1,
    keys={
        "residual": Key(
            "‖λθ + ∇L‖ over λ‖θ‖ of descent with weight decay λ",
            low=0,
            direction="1 in the kernel regime, below 0.1 once the late solution is reached",
        ),
        "cosine": Key("cosine between θ and −∇L", low=-1, high=1, direction="rises towards 1 late"),
        "tangent_gradient": Key(
            "‖∇L − (∇L·θ) θ / ‖θ‖²‖, of ∇L what lies in the sphere of the same norm",
            "loss / parameters",
            low=0,
            direction="falls to 0 where training with a held norm has converged",
        ),
        "complementarity": Key(
            "Σ r (q − q_min) over Σ r q, of leads q with forces r; once all examples are right",
            low=0,
            high=1,
            direction="falls towards 0 late",
        ),
    },
    reference="Lyu et al. 2024, theorems 3.5 and 3.10; Lyu and Li 2020, section 4.3",
    compute=measure,
    needs=("train", "labels"),
    cost="normal",
    cites=("lyu2024", "lyu2020"),
)
