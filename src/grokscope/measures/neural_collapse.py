"""Neural collapse of the last features onto one point a class (Papyan, Han and Donoho 2020)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from grokscope.linalg.neural_collapse import geometry, nearest_mean, whitening
from grokscope.measures.activations import CHUNK, EXAMPLES, blocks, chosen_rows, stream
from grokscope.measures.base import DoesNotApply, Key, Measure, Result
from grokscope.measures.features import class_samples, example_axes, known_classes, numbered
from grokscope.visits import Visit

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def readout_of(snapshot: Snapshot, inputs: Tensor) -> str:
    """Return the name of the last linear layer in the forward pass, whose output has the size of the prediction.

    Raises:
        DoesNotApply: there is no linear layer, or what comes out of the last is not the prediction.
    """
    seen: list[tuple[str, int]] = []

    def see(visit: Visit) -> None:
        if visit.kind == "linear" and visit.output.ndim:
            seen.append((visit.name, visit.output.shape[-1]))

    snapshot.watch(inputs[:1], see)
    if not seen:
        raise DoesNotApply(
            "neural_collapse looks at the input of the last linear layer; this model has no such module."
        )
    name, width = seen[-1]
    outputs = snapshot.predict(inputs[:1]).shape[-1]
    if width != outputs:
        raise DoesNotApply(
            f"neural_collapse looks at the input of the readout; the last linear layer, {name}, has {width} outputs "
            f"and the model {outputs}."
        )
    return name


def readout_weight(snapshot: Snapshot, name: str) -> Tensor | None:
    """Return the weight (classes, d) of a readout at the snapshot, tied ones too; None if it is not a parameter."""
    module = snapshot.module
    assert module is not None
    weight = getattr(module.get_submodule(name.partition("#")[0]), "weight", None)
    named = (known for known, tensor in module.named_parameters() if tensor is weight)
    parameter = snapshot.parameters.get(next(named, "")) if isinstance(weight, nn.Parameter) else None
    return parameter if parameter is not None and parameter.ndim == 2 else None


def measure(snapshot: Snapshot, *, probe: str = "train", examples: int = EXAMPLES, chunk: int = CHUNK) -> Result:
    """Return NC1 to NC4 of the input of the readout; of sequences with one label each, at the last position."""
    rows = chosen_rows(snapshot, probe, examples)
    targets, known = known_classes("neural_collapse", snapshot, probe, rows)
    inputs = snapshot.probe(probe).inputs[rows]
    name = readout_of(snapshot, inputs)
    weight = readout_weight(snapshot, name)
    batch = example_axes(snapshot, inputs).get(name)

    def samples(visit: Visit, part: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Return features, the network's decisions and the classes, numbered among the known ones."""
        count = part.stop - part.start
        found = class_samples(visit.inputs, count, batch, targets[part], "last")
        decided = class_samples(visit.output.argmax(-1, keepdim=True), count, batch, targets[part], "last")
        if found is None or decided is None:
            raise DoesNotApply(f"the input of the readout, {name}, is not laid out as the labels are.")
        return found[0], numbered(decided[0].flatten(), known), numbered(found[1], known)

    sums: Tensor | None = None
    counts = torch.zeros(len(known), dtype=torch.float64, device=inputs.device)

    def add(visit: Visit, part: slice) -> None:
        nonlocal sums
        if visit.name != name:
            return
        features, _, classes = samples(visit, part)
        if sums is None:
            sums = features.new_zeros(len(known), features.shape[1], dtype=torch.float64)
        for some in blocks(features):
            sums.index_add_(0, classes[some], features[some].to(torch.float64))
        counts.index_add_(0, classes, torch.ones_like(classes, dtype=torch.float64))

    stream(snapshot, inputs, add, chunk=chunk)
    assert sums is not None
    if not bool(sums.isfinite().all()):
        return dict.fromkeys(("within", "nearest_mean"), math.nan)
    means = sums / counts[:, None]
    directions = whitening(means)
    spread, unlike = 0.0, 0

    def compare(visit: Visit, part: slice) -> None:
        nonlocal spread, unlike
        if visit.name != name:
            return
        features, decided, classes = samples(visit, part)
        for some in blocks(features):
            inside = features[some].to(torch.float64) - means[classes[some]]
            spread += float((inside @ directions).square().sum())
            unlike += int((nearest_mean(features[some], means) != decided[some]).sum())

    stream(snapshot, inputs, compare, chunk=chunk)
    total = float(counts.sum())
    rows_known = None
    if weight is not None and int(known.min()) >= 0 and int(known.max()) < len(weight):
        rows_known = weight[known].to(torch.float64)
    shapes = geometry(means, rows_known if rows_known is not None and rows_known.shape == means.shape else None)
    within = spread / total if directions.shape[1] else math.nan
    return {"within": within, **shapes, "nearest_mean": unlike / total}


_FALLS = "falls after the fit"

NEURAL_COLLAPSE = Measure(
    name="neural_collapse",
    version=1,
    keys={
        "within": Key("NC1: scatter within classes over that between them", low=0, direction=_FALLS),
        "means_equinorm": Key("NC2: spread of the norms of the class means", low=0, direction=_FALLS),
        "means_equiangular": Key("NC2: spread of the cosines of the class means", low=0, high=1, direction=_FALLS),
        "means_widest": Key("NC2: distance of these cosines from -1/(K-1)", low=0, high=2, direction=_FALLS),
        "weights_equinorm": Key("NC2: spread of the norms of the classifier's rows", low=0, direction=_FALLS),
        "weights_equiangular": Key("NC2: spread of their cosines", low=0, high=1, direction=_FALLS),
        "weights_widest": Key("NC2: distance of their cosines from -1/(K-1)", low=0, high=2, direction=_FALLS),
        "self_duality": Key("NC3: distance of classifier and class means", low=0, high=4, direction=_FALLS),
        "nearest_mean": Key("NC4: share decided unlike the nearest class mean", low=0, high=1, direction=_FALLS),
    },
    reference="Papyan, Han and Donoho 2020",
    compute=measure,
    needs=("module", "train", "classes"),
    cost="normal",
    cites=("papyan2020",),
)
