"""What a scan of a file of weights found: layers, their numbers, and what they are like together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FEW = 50
"""Eigenvalues in a tail below which its α is rough (Clauset, Shalizi and Newman 2009, §3.4)."""


@dataclass(frozen=True)
class Layer:
    """One weight matrix of a file, or a tensor that holds none.

    Attributes:
        name: as in the file; a part of a fused tensor is ``name[query]``.
        kind: what it seems to belong to; None if it was not measured.
        shape: of the tensor, or of the part.
        dtype: of the file.
        tied: other names of the same weights.
        values: stored key -> number.
        note: what a reader must know of it, or why it has no values; None if there is nothing.
        spectrum: what a page draws; None unless asked for, and where there is none.
    """

    name: str
    kind: str | None
    shape: tuple[int, ...]
    dtype: str
    tied: tuple[str, ...] = ()
    values: Mapping[str, float] = field(default_factory=dict)
    note: str | None = None
    spectrum: Mapping[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it JSON-ready, its numbers beside its name."""
        told: dict[str, Any] = {"name": self.name, "kind": self.kind, "shape": list(self.shape), "dtype": self.dtype}
        told |= {"tied": list(self.tied)} if self.tied else {}
        told |= {"note": self.note} if self.note else {}
        return told | dict(self.values)


@dataclass(frozen=True)
class Scan:
    """What a scan found.

    Attributes:
        file: the file.
        format: what it is.
        measures: name -> version of what was measured.
        layers: in the order of the file.
        notes: what a reader should know of the file, a sentence each.
    """

    file: Path
    format: str
    measures: Mapping[str, int]
    layers: Sequence[Layer]
    notes: Sequence[str]

    def values(self, measure: str, key: str) -> list[float]:
        """Return the numbers of a key of a measure, whatever its options are, layer by layer where they are numbers."""
        found = [number_of(layer.values, measure, key) for layer in self.layers]
        return [value for value in found if not math.isnan(value)]

    def summary(self) -> dict[str, Any]:
        """Return how many matrices there are and what their spectra are like together; None where it was not measured.

        ``mean_alpha`` is over the matrices that have an α, ``alpha_on_few`` counts those of them whose tail has fewer
        than :data:`FEW` eigenvalues; ``spikes`` and ``traps`` are sums over matrices.
        """
        alphas = self.values("htsr", "alpha")
        measured = sum(bool(layer.values) for layer in self.layers)
        told: dict[str, Any] = {"matrices": measured, "not_measured": len(self.layers) - measured}
        told["mean_alpha"] = math.fsum(alphas) / len(alphas) if alphas else None
        told["alphas"] = len(alphas)
        told["alpha_below_2"] = sum(alpha < 2 for alpha in alphas)
        told["alpha_above_6"] = sum(alpha > 6 for alpha in alphas)
        told["alpha_on_few"] = sum(count < FEW for count in self.values("htsr", "tail_count"))
        for name, measure in (("spikes", "marchenko_pastur"), ("traps", "correlation_traps")):
            found = self.values(measure, name)
            told[name] = math.fsum(found) if found else None
            told[f"matrices_with_{name}"] = sum(value > 0 for value in found) if found else None
        return told

    def as_dict(self) -> dict[str, Any]:
        """Return the document of ``grokscope scan --json``."""
        return {
            "schema": 1,
            "file": str(self.file),
            "format": self.format,
            "measures": dict(self.measures),
            "summary": self.summary(),
            "notes": list(self.notes),
            "layers": [layer.as_dict() for layer in self.layers],
        }


def number_of(values: Mapping[str, float], measure: str, key: str) -> float:
    """Return a key of a measure, whatever the measure's options are; NaN if it is not there.

    Example:
        >>> number_of({"htsr:mode=ww/alpha": 3.0}, "htsr", "alpha")
        3.0
    """
    for name, value in values.items():
        whole, _, last = name.rpartition("/")
        if last == key and whole.partition(":")[0] == measure:
            return value
    return math.nan
