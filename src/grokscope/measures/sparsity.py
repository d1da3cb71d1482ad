"""Activation sparsity: the share of activations below a threshold (Golechha 2024, Sec. 3)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.errors import UsageError, unknown
from grokscope.linalg.moments import checked_samples
from grokscope.measures.activations import (
    CHUNK,
    EXAMPLES,
    WHERE,
    UnitCounts,
    blocks,
    chosen_inputs,
    stream,
    unit_counts,
)
from grokscope.measures.base import Key, Measure, Result
from grokscope.visits import Visit

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

MODES = ("relative", "absolute")


@dataclass(frozen=True)
class Below:
    """How often the units of one site are below a threshold.

    Attributes:
        counts: (units,), samples below it.
        samples: how many there were.
        threshold: τ in the units of the activations; NaN where they are not all finite.
    """

    counts: Tensor
    samples: int
    threshold: float

    @property
    def shares(self) -> Tensor:
        """The share of samples below the threshold, (units,), in float64; NaN where there is no threshold."""
        return self.counts.to(torch.float64) / (math.nan if math.isnan(self.threshold) else self.samples)


def sparsity(activations: Tensor, *, threshold: float = 1e-9, mode: str = "relative", magnitude: bool = False) -> float:
    """Return the share of activations below a threshold, in [0, 1]: (1/nd) Σ_ij 1[a_ij < τ]; the inequality is strict.

    With ReLU and τ = 0 it is therefore 0 always. Golechha 2024 gives no τ and takes no absolute value.

    Args:
        activations: (samples, units), after the nonlinearity.
        threshold: τ, or τ over the root mean square of all the activations.
        mode: ``relative`` to the root mean square, or ``absolute``.
        magnitude: compare |a| instead of a, for nonlinearities that go below 0.

    Raises:
        UsageError: the activations are not a matrix of finite real numbers, or there is no such mode.

    Example:
        >>> sparsity(torch.tensor([[0.0, 2.0], [0.0, 0.0], [1.0, 3.0]]), threshold=0.5, mode="absolute")
        0.5
    """
    values = checked_samples(activations)
    level = _level(threshold, mode, float(values.square().mean()))
    return float(((values.abs() if magnitude else values) < level).to(torch.float64).mean())


def below(
    snapshot: Snapshot,
    probe: str,
    *,
    threshold: float = 1e-9,
    mode: str = "relative",
    magnitude: bool = False,
    examples: int = EXAMPLES,
    chunk: int = CHUNK,
) -> Mapping[str, Below]:
    """Return how often each unit is below a threshold, by site; exact, however the data are cut into chunks.

    One forward pass is enough where no activation lies between 0 and the threshold, as is usual for a small one;
    otherwise the thresholds that the first pass gave are counted in a second.

    Raises:
        UsageError: there is no such mode.
        DoesNotApply: there are no data, or the forward pass has no nonlinearity.
    """
    counts = unit_counts(snapshot, probe, examples=examples, chunk=chunk)
    levels = {name: _level(threshold, mode, found.mean_square) for name, found in counts.items()}

    def compute() -> dict[str, Below]:
        known = {name: _known(found, levels[name], magnitude=magnitude) for name, found in counts.items()}
        open_ = {name: torch.zeros_like(counts[name].zero) for name, found in known.items() if found is None}
        if open_:
            inputs = chosen_inputs(snapshot, probe, examples)

            def see(visit: Visit, _: slice) -> None:
                if visit.name not in open_ or visit.kind not in WHERE["activations"]:
                    return
                samples = visit.features()
                for part in blocks(samples):
                    values = samples[part].to(torch.float64)
                    open_[visit.name] += ((values.abs() if magnitude else values) < levels[visit.name]).sum(0)

            stream(snapshot, inputs, see, chunk=chunk)
        found = {name: open_[name] if count is None else count for name, count in known.items()}
        return {name: Below(count, counts[name].samples, levels[name]) for name, count in found.items()}

    return snapshot.memo(("below", probe, threshold, mode, magnitude, examples, chunk), compute)


def _level(threshold: float, mode: str, mean_square: float) -> float:
    if mode not in MODES:
        raise unknown("mode", mode, MODES)
    if not math.isfinite(threshold):
        raise UsageError(f"threshold = {threshold} was given: it is a finite number.")
    if not math.isfinite(mean_square):
        return math.nan
    return threshold * math.sqrt(mean_square) if mode == "relative" else threshold


def _known(counts: UnitCounts, level: float, *, magnitude: bool) -> Tensor | None:
    """Return how often each unit is below the level where the first pass can tell, else None."""
    if math.isnan(level):
        return counts.zero
    if level <= 0:
        return torch.zeros_like(counts.zero) if magnitude else None
    smallest = counts.smallest_magnitude if magnitude else counts.smallest_positive
    if level > smallest:
        return None
    return counts.zero if magnitude else counts.nonpositive


def measure(
    snapshot: Snapshot,
    *,
    probe: str = "train",
    threshold: float = 1e-9,
    mode: str = "relative",
    magnitude: bool = False,
    examples: int = EXAMPLES,
    chunk: int = CHUNK,
) -> Result:
    """Return the share of activations below the threshold for each nonlinearity and recurrent layer, and its mean."""
    found = below(snapshot, probe, threshold=threshold, mode=mode, magnitude=magnitude, examples=examples, chunk=chunk)
    shares = {name: float(site.shares.mean()) for name, site in found.items()}
    return {
        "layer": shares,
        "threshold": {name: site.threshold for name, site in found.items()},
        "mean": sum(shares.values()) / len(shares),
    }


SPARSITY = Measure(
    name="sparsity",
    version=1,
    keys={
        "layer": Key("share of activations below the threshold", low=0, high=1, direction="rises; a plateau before"),
        "mean": Key("mean over layers", low=0, high=1, direction="rises; a plateau before"),
        "threshold": Key("the threshold", "units of the activations", direction="follows the activations' size"),
    },
    reference="Golechha 2024, Sec. 3",
    compute=measure,
    needs=("module", "train"),
    cites=("golechha2024",),
)
