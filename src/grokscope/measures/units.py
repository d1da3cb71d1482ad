"""Units that are never on, and units that always are: what a share of small activations does not tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from grokscope.errors import UsageError
from grokscope.measures.activations import CHUNK, EXAMPLES
from grokscope.measures.base import Key, Measure, Result
from grokscope.measures.sparsity import below

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def dead_and_always_on(shares: Tensor) -> tuple[int, int]:
    """Return how many units are dead (below the threshold for all samples) and always on (for none).

    Args:
        shares: (units,), the share of samples for which each unit is below the threshold.

    Raises:
        UsageError: there is no unit, or a share is not in [0, 1].

    Example:
        >>> import torch
        >>> dead_and_always_on(torch.tensor([1.0, 0.25, 0.0, 1.0]))
        (2, 1)
    """
    if shares.ndim != 1 or not len(shares):
        raise UsageError(f"shares of shape {tuple(shares.shape)} were given: give one share a unit.")
    if not bool(((shares >= 0) & (shares <= 1)).all()):
        raise UsageError("a share outside [0, 1] was given: give shares of samples.")
    return int((shares == 1).sum()), int((shares == 0).sum())


def measure(
    snapshot: Snapshot,
    *,
    probe: str = "train",
    threshold: float = 1e-9,
    mode: str = "relative",
    magnitude: bool = True,
    per_unit: bool = False,
    examples: int = EXAMPLES,
    chunk: int = CHUNK,
) -> Result:
    """Return the shares and numbers of dead and always-on units of each nonlinearity and recurrent layer."""
    found = below(snapshot, probe, threshold=threshold, mode=mode, magnitude=magnitude, examples=examples, chunk=chunk)
    units = {name: len(site.counts) for name, site in found.items()}
    shares = {name: site.shares for name, site in found.items()}
    finite = {name: share for name, share in shares.items() if not bool(share.isnan().any())}
    numbers = {name: dead_and_always_on(share) for name, share in finite.items()}
    nan = (float("nan"), float("nan"))
    dead = {name: numbers.get(name, nan)[0] for name in found}
    on = {name: numbers.get(name, nan)[1] for name in found}
    arrays = {f"below/{name}": share for name, share in shares.items()} if per_unit else {}
    return {
        "dead": {name: dead[name] / units[name] for name in found},
        "always_on": {name: on[name] / units[name] for name in found},
        "dead_units": dead,
        "always_on_units": on,
        "dead_mean": sum(dead[name] / units[name] for name in found) / len(found),
        "always_on_mean": sum(on[name] / units[name] for name in found) / len(found),
        **arrays,
    }


UNITS = Measure(
    name="units",
    version=1,
    keys={
        "dead": Key("share of units that are off for every input", low=0, high=1, direction="flat; a rise is a loss"),
        "always_on": Key("share of units that are on for every input", low=0, high=1, direction="falls in cleanup"),
        "dead_units": Key("number of units that are off for every input", "units", low=0),
        "always_on_units": Key("number of units that are on for every input", "units", low=0),
        "dead_mean": Key("mean of the shares of dead units over layers", low=0, high=1),
        "always_on_mean": Key("mean of the shares of always-on units over layers", low=0, high=1),
    },
    reference="Golechha 2024, Sec. 3; ours",
    compute=measure,
    needs=("module", "train"),
    cites=("golechha2024",),
)
