"""Feature rank: how many directions the outputs of each layer use (Fan, Pascanu and Jaggi 2024)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from grokscope.errors import unknown
from grokscope.linalg.feature_spectrum import LEVELS, feature_ranks, feature_variances, tunnel_length
from grokscope.measures.activations import CHUNK, COLUMNS, EXAMPLES, MEMORY, Layer, layer_moments
from grokscope.measures.base import Key, Measure, Result

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

TUNNEL_WIDTHS = ("own", "widest")


@dataclass(frozen=True)
class FeatureVariances:
    """The variances of a layer's features, descending; None where they are not finite or there is one sample."""

    samples: float
    variances: Tensor | None


def variances_of(layer: Layer) -> FeatureVariances:
    """Return the variances of a layer's features from its moments."""
    found = layer.moments
    if found is None or found.samples < 2:
        return FeatureVariances(math.nan if found is None else found.samples, None)
    return FeatureVariances(found.samples, feature_variances(found))


def measure(
    snapshot: Snapshot,
    *,
    probe: str = "train",
    where: str = "layers",
    explained: float = 0.99,
    tunnel_fraction: float = 0.75,
    tunnel_width: str = "own",
    examples: int = EXAMPLES,
    columns: int = COLUMNS,
    chunk: int = CHUNK,
    memory: int = MEMORY,
    double: bool = False,
) -> Result:
    """Return the ranks of the features of each layer, and the tunnel length."""
    snapshot = snapshot.in_double() if double else snapshot
    if tunnel_width not in TUNNEL_WIDTHS:
        raise unknown("tunnel_width", tunnel_width, TUNNEL_WIDTHS)
    layers: dict[str, FeatureVariances] = layer_moments(
        snapshot,
        probe,
        variances_of,
        where=where,
        examples=examples,
        chunk=chunk,
        columns=columns,
        memory=memory,
    )
    result: dict[str, dict[str, float]] = {}
    for name, layer in layers.items():
        ranks = dict.fromkeys(RANKS, math.nan)
        if layer.variances is not None:
            ranks |= feature_ranks(layer.variances, explained=explained)
            ranks["attainable"] = min(len(layer.variances), layer.samples - 1)
        for key, value in ranks.items():
            result.setdefault(key, {})[name] = value
    attainable = [value for value in result["attainable"].values() if not math.isnan(value)]
    if not attainable:
        return {**result, "tunnel_length": math.nan}
    widths = attainable if tunnel_width == "own" else [max(attainable)] * len(attainable)
    numerical = [value for value in result["numerical"].values() if not math.isnan(value)]
    return {**result, "tunnel_length": tunnel_length(numerical, widths, fraction=tunnel_fraction)}


_FALLS = "falls when the network generalises"
RANKS = (
    "numerical",
    *LEVELS,
    *("effective", "stable", "participation", "components", "attainable"),
)

FEATURE_RANK = Measure(
    name="feature_rank",
    version=1,
    keys={
        "numerical": Key("variances above λ₁ d ε", "directions", low=0, direction=_FALLS),
        "above_0.1": Key("standard deviations above 0.1 of the largest", "directions", low=0, direction=_FALLS),
        "above_0.01": Key("standard deviations above 0.01 of the largest", "directions", low=0, direction=_FALLS),
        "above_0.001": Key("standard deviations above 0.001 of the largest", "directions", low=0, direction=_FALLS),
        "above_1e-6": Key("standard deviations above 1e-6 of the largest", "directions", low=0, direction=_FALLS),
        "effective": Key("exp of the entropy of the standard deviations", "directions", low=1, direction=_FALLS),
        "stable": Key("sum of the variances over the largest", "directions", low=1, direction=_FALLS),
        "participation": Key("(Σλ)²/Σλ² of the variances", "directions", low=1, direction=_FALLS),
        "components": Key("directions that hold 99 % of the variance", "directions", low=0, direction=_FALLS),
        "attainable": Key("the largest rank that width and samples allow", "directions", low=0, direction="constant"),
        "tunnel_length": Key("layers of low numerical rank", "layers", low=0, direction="grows with depth"),
    },
    reference="Fan, Pascanu and Jaggi 2024, Sec. 3",
    compute=measure,
    needs=("module", "train"),
    cost="normal",
    cites=("fan2024", "masarczyk2023", "roy2007"),
)
