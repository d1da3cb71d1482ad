"""Mutual information of hidden layers with input and label, by a scale-free estimator (de Mello Koch, Ghosh 2025)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from grokscope.errors import unknown
from grokscope.linalg.information import (
    RULES,
    binned_information,
    kernel_information,
    median_square,
    noise_of,
    squared_distances,
)
from grokscope.measures.activations import CHUNK, COLUMNS, chosen_rows
from grokscope.measures.base import DoesNotApply, Key, Measure, Result
from grokscope.measures.features import class_targets, features
from grokscope.measures.performance import IGNORED

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

ESTIMATORS = (*RULES, "binning")
BAND = (("", 1.0, "upper"), ("_narrow", 0.5, "upper"), ("_wide", 2.0, "upper"), ("_lower", 1.0, "lower"))
"""What is added to a key, the factor of the noise variance, and the bound."""


def measure(
    snapshot: Snapshot,
    *,
    probe: str = "train",
    where: str = "activations",
    positions: str = "auto",
    estimator: str = "median",
    bandwidth: float = 0.1,
    bins: int = 30,
    examples: int = 1000,
    columns: int = COLUMNS,
    chunk: int = CHUNK,
) -> Result:
    """Return I(T;X) and, for class labels, I(T;Y) of each hidden layer, with the band of half and twice the noise."""
    if estimator not in ESTIMATORS:
        raise unknown("estimator", estimator, ESTIMATORS)
    rows = chosen_rows(snapshot, probe, examples)
    if len(rows) < 2:
        raise DoesNotApply(f"information needs at least two examples; there is one in the {probe} data.")
    inputs = snapshot.probe(probe).inputs[rows]
    labels = class_targets(snapshot, probe, rows)
    if labels is not None and labels.ndim > 1:
        labels = labels[:, -1]
    layers = features(snapshot, inputs, where=where, positions=positions, columns=columns, chunk=chunk)
    result: dict[str, dict[str, float]] = {}
    for name, layer in layers.items():
        if not bool(layer.isfinite().all()):
            found = {"input": math.nan}
        elif estimator == "binning":
            found = _binned(layer, labels, bins)
        else:
            found = _kernel(layer, labels, estimator, bandwidth)
        for key, value in found.items():
            result.setdefault(key, {})[name] = value
    return {**result, "largest": math.log(len(rows))}


def _kernel(layer: Tensor, labels: Tensor | None, rule: str, bandwidth: float) -> dict[str, float]:
    distances = squared_distances(layer)
    noise = noise_of(distances, rule=rule, bandwidth=bandwidth, units=layer.shape[1])
    median = noise.variance / bandwidth if rule == "median" else median_square(distances)[0]
    found = {
        "median_distance": math.sqrt(median),
        "noise": math.sqrt(noise.variance),
        "degenerate": float(noise.degenerate),
    }
    kept = _labelled(labels)
    everything = kept is not None and bool(kept.all())
    for suffix, factor, bound in BAND:
        variance = factor * noise.variance
        whole = kernel_information(distances, variance, labels if everything else None, bound=bound)
        found[f"input{suffix}"] = whole.input
        if everything:
            found[f"label{suffix}"] = whole.label
        elif labels is not None and kept is not None and bool(kept.any()):
            part = distances[kept][:, kept]
            found[f"label{suffix}"] = kernel_information(part, variance, labels[kept], bound=bound).label
    return found


def _binned(layer: Tensor, labels: Tensor | None, bins: int) -> dict[str, float]:
    found = {"input": binned_information(layer, bins=bins).input}
    kept = _labelled(labels)
    if labels is not None and kept is not None and bool(kept.any()):
        found["label"] = binned_information(layer[kept], labels[kept], bins=bins).label
    return found


def _labelled(labels: Tensor | None) -> Tensor | None:
    return None if labels is None else labels != IGNORED


_INPUT = "rises until generalisation begins, then falls"
_LABEL = "rises, most while it generalises"

INFORMATION = Measure(
    name="information",
    version=1,
    keys={
        "input": Key("I(T;X), upper estimate", "nats", low=0, direction=_INPUT),
        "input_narrow": Key("I(T;X) with half the noise variance", "nats", low=0, direction=_INPUT),
        "input_wide": Key("I(T;X) with twice the noise variance", "nats", low=0, direction=_INPUT),
        "input_lower": Key("I(T;X), lower estimate", "nats", low=0, direction=_INPUT),
        "label": Key("I(T;Y), by the upper estimate", "nats", direction=_LABEL),
        "label_narrow": Key("I(T;Y) with half the noise variance", "nats", direction=_LABEL),
        "label_wide": Key("I(T;Y) with twice the noise variance", "nats", direction=_LABEL),
        "label_lower": Key("I(T;Y), by the lower estimate", "nats", direction=_LABEL),
        "median_distance": Key("median distance of two samples", "units of the layer", low=0, direction="as the norm"),
        "noise": Key("standard deviation of the noise", "units of the layer", low=0, direction="as the norm"),
        "degenerate": Key("1 where most pairs coincide and the others' median is taken", low=0, high=1),
        "largest": Key("ln N, the largest I(T;X) of N samples", "nats", low=0, direction="constant"),
    },
    reference="de Mello Koch and Ghosh 2025; Kolchinsky and Tracey 2017",
    compute=measure,
    needs=("module", "train"),
    cost="normal",
    cites=("demellokoch2025", "kolchinsky2017", "saxe2018"),
)
