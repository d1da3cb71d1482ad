"""The margin of a classifier on its data, as it is and normalised by parameters, by spectral norms, by its outputs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg import margins as linalg
from grokscope.measures.activations import chosen_rows
from grokscope.measures.base import DoesNotApply, Key, Measure

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

FACTOR = 2.0
"""By how much parameters are scaled to see of which degree the outputs are."""
HOMOGENEOUS = 1e-6
"""Up to which residual a model counts as homogeneous in its parameters."""


def measure(
    snapshot: Snapshot,
    *,
    degree: float | None = None,
    quantile: float = 0.1,
    centred: bool = False,
    embeddings: bool = False,
    examples: int = 64,
    chunk: int = 4096,
) -> dict[str, Tensor | float]:
    """Return statistics of the margins on the training and test data, and the scales they are divided by.

    Args:
        snapshot: a moment of a classifier.
        degree: of homogeneity in the parameters; None finds out whether there is one.
        quantile: which quantile of the margins is reported beside their median.
        centred: whether ``relative`` margins are over the norm of the outputs without their mean.
        embeddings: whether tables of embeddings count in the product of spectral norms.
        examples: on how many training examples the degree is looked for.
        chunk: how many outputs are looked at at a time.

    Raises:
        DoesNotApply: the model has a single output, its targets are no classes, or do not fit its outputs.
        UsageError: an option is out of range.
    """
    if not 0 <= quantile <= 1:
        raise UsageError(f"quantile = {quantile} was given: give 0 to 1.")
    if chunk < 1 or examples < 1:
        raise UsageError(f"examples = {examples} and chunk = {chunk} were given: give 1 or more.")
    fitted, residual = _homogeneity(snapshot, examples)
    power = degree if degree is not None else fitted if residual <= HOMOGENEOUS else math.nan
    parameters = [tensor for tensor in snapshot.parameters.values() if tensor.is_floating_point()]
    size = linalg.parameter_scale(parameters, power) if parameters else math.nan
    product = _log_product(snapshot, embeddings)
    found: dict[str, Tensor | float] = {
        "degree": fitted,
        "inhomogeneity": residual,
        "log_spectral_product": product if math.isfinite(product) else math.nan,
    }
    for probe in ("train", "test"):
        both = _margins(snapshot, probe, centred, chunk)
        if both is None:
            continue
        each, relative = both
        order = each.sort().values
        least, middle = order[0], _quantile(order, 0.5)
        found |= {
            f"{probe}/minimum": least,
            f"{probe}/quantile": _quantile(order, quantile),
            f"{probe}/median": middle,
            f"{probe}/mean": each.mean(),
            f"{probe}/normalised": least / size if size else math.nan,
            f"{probe}/spectral": least * math.exp(-product) if math.isfinite(product) else math.nan,
            f"{probe}/spectral_median": middle * math.exp(-product) if math.isfinite(product) else math.nan,
            f"{probe}/relative": relative[~relative.isnan()].min() if not relative.isnan().all() else math.nan,
            f"{probe}/relative_mean": relative.nanmean(),
        }
    return found


def _margins(snapshot: Snapshot, probe: str, centred: bool, chunk: int) -> tuple[Tensor, Tensor] | None:
    """Return the margins of a probe, as they are and over the norms of the outputs; None without labels."""
    batch = snapshot.probes.get(probe)
    if batch is None or batch.targets is None or not len(batch):
        return None
    targets, outputs = batch.targets, snapshot.logits(probe)
    if targets.is_floating_point():
        raise DoesNotApply(
            "margin needs classes: the targets are real numbers, and being right is not a matter of sides."
        )
    if outputs.shape == targets.shape or outputs.shape[-1] < 2:
        raise DoesNotApply(
            "margin compares the right output with the best other one; this model has one output a target, whose sign "
            "is its answer."
        )
    classes = snapshot.facts.classes if snapshot.facts is not None else None
    outputs = outputs[..., :classes]
    if batch.weights is not None:
        counted = batch.weights != 0
        targets, outputs = targets[counted], outputs[counted]
    if not bool(torch.isfinite(outputs).all()):
        nothing = torch.full((1,), math.nan, dtype=torch.float64, device=outputs.device)
        return nothing, nothing
    try:
        return (
            linalg.margins(outputs, targets, chunk=chunk),
            linalg.relative_margins(outputs, targets, centred=centred, chunk=chunk),
        )
    except UsageError as error:
        raise DoesNotApply(f"margin cannot be taken of these data: {error}") from error


def _quantile(ordered: Tensor, share: float) -> Tensor:
    """Return a quantile of ascending values, linear between two; ``torch.quantile`` takes 16 million at most."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def _homogeneity(snapshot: Snapshot, examples: int) -> tuple[float, float]:
    """Return the degree at which the outputs grow with the parameters, and how far they are from growing so."""
    real = {name: tensor for name, tensor in snapshot.in_double().parameters.items() if tensor.is_floating_point()}
    if not real:
        return math.nan, math.nan
    double = snapshot.in_double()
    inputs = double.probe("train").inputs[chosen_rows(snapshot, "train", examples)]
    scaled = {name: FACTOR * tensor for name, tensor in real.items()}
    before, after = double.predict_with({}, inputs), double.predict_with(scaled, inputs)
    return linalg.homogeneity(before, after, factor=FACTOR)


def _log_product(snapshot: Snapshot, embeddings: bool) -> float:
    matrices = [part.matrix for part in snapshot.matrices() if embeddings or part.kind != "embedding"]
    if not matrices or not all(bool(torch.isfinite(matrix).all()) for matrix in matrices):
        return math.nan
    return linalg.log_spectral_product(matrices)


_RISES = "train turns positive as it is fitted and rises, test later"


def _keys() -> dict[str, Key]:
    about = {
        "minimum": Key("least margin", "outputs", direction=_RISES),
        "quantile": Key("quantile of the margins (a tenth)", "outputs", direction=_RISES),
        "median": Key("median of the margins", "outputs", direction=_RISES),
        "mean": Key("mean margin", "outputs", direction=_RISES),
        "normalised": Key("least margin over ‖θ‖ to the degree", direction="rises long after the data are fitted"),
        "spectral": Key("least margin over the product of spectral norms", direction="rises with generalisation"),
        "spectral_median": Key("median margin over the same", direction="rises with generalisation"),
        "relative": Key("least margin over the norm of its outputs", low=-math.sqrt(2), high=math.sqrt(2)),
        "relative_mean": Key("mean margin over the norm of its outputs", low=-math.sqrt(2), high=math.sqrt(2)),
    }
    return {
        "degree": Key("degree of homogeneity in the parameters, by least squares"),
        "inhomogeneity": Key("how far the model is from homogeneous", low=0, high=1),
        "log_spectral_product": Key("log of the product of spectral norms", "nats", direction="rises, then falls"),
        **{f"{probe}/{key}": one for probe in ("train", "test") for key, one in about.items()},
    }


MARGIN = Measure(
    name="margin",
    version=1,
    keys=_keys(),
    reference="Lyu and Li 2020, section 2; Bartlett et al. 2017, theorem 1.1",
    compute=measure,
    needs=("train", "classes"),
    cost="normal",
    cites=("lyu2020", "bartlett2017"),
)
