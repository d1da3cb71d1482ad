"""What the measures of activations share: statistics of sites, streamed through a watched forward pass.

One pass, chunk by chunk, gives the counts of every activation and the moments of every layer; the next measure that
asks for the same finds it in the snapshot's memo. Nothing the size of the data is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from grokscope.errors import unknown
from grokscope.linalg.moments import Moments, merged, moments
from grokscope.measures.base import DoesNotApply
from grokscope.visits import Visit

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

WHERE = {
    "layers": ("linear", "convolution", "attention", "recurrent"),
    "activations": ("nonlinearity", "recurrent"),
}
"""``layers``: what layers put out, before any nonlinearity; ``activations``: what comes out of nonlinearities. A
recurrent layer holds its own nonlinearity: it is in both."""

EXAMPLES = 10_000
CHUNK = 256
COLUMNS = 1024
MEMORY = 2**30
BLOCK = 2**22
"""How many numbers are cast to float64 at once."""

Sample = Callable[[Visit, slice], "tuple[Tensor, Tensor | None] | None"]
"""(visit, its rows of the inputs) -> samples (n, units) and their classes (n,) or None; None passes over the visit."""


@dataclass(frozen=True)
class UnitCounts:
    """What is known of the units of one site after a pass over the samples: examples × positions.

    Attributes:
        samples: how many there were.
        mean_square: the mean of a² over samples and units.
        nonpositive: (units,), samples with a ≤ 0.
        zero: (units,), samples with a = 0.
        smallest_positive: the smallest a > 0 of all units; infinite if there is none.
        smallest_magnitude: the smallest |a| > 0 of all units; infinite if there is none.
    """

    samples: int
    mean_square: float
    nonpositive: Tensor
    zero: Tensor
    smallest_positive: float
    smallest_magnitude: float


@dataclass(frozen=True)
class Layer:
    """The moments of the output of a layer with ``units``; None where it is not finite for all samples."""

    units: int
    moments: Moments | None


def chosen_rows(snapshot: Snapshot, probe: str, examples: int) -> Tensor:
    """Return the rows of a probe that are looked at, ascending: those that count, at most ``examples``, drawn once.

    Raises:
        DoesNotApply: there is no such probe, or nothing in it.
    """
    if probe not in snapshot.probes:
        raise DoesNotApply(f"this snapshot has no data called {probe!r}.")
    batch = snapshot.probe(probe)
    rows = torch.arange(len(batch)) if batch.weights is None else batch.weights.cpu().nonzero().flatten()
    if not len(rows):
        raise DoesNotApply(f"there are no examples in the {probe} data.")
    if len(rows) > examples:
        drawn = torch.randperm(len(rows), generator=snapshot.generator("activations", 1))[:examples]
        rows = rows[drawn.sort().values]
    return rows.to(batch.inputs.device)


def chosen_inputs(snapshot: Snapshot, probe: str, examples: int) -> Tensor:
    """Return the inputs of :func:`chosen_rows`."""
    rows = chosen_rows(snapshot, probe, examples)
    return snapshot.probe(probe).inputs[rows]


def chosen_columns(snapshot: Snapshot, site: str, units: int, columns: int) -> Tensor | None:
    """Return which ``columns`` of a site's units are looked at, ascending, the same at every step; None for all."""
    if units <= columns:
        return None
    drawn = torch.randperm(units, generator=snapshot.generator(f"activations/{site}", 1))[:columns]
    return drawn.sort().values


def stream(snapshot: Snapshot, inputs: Tensor, see: Callable[[Visit, slice], None], *, chunk: int = CHUNK) -> None:
    """Run the forward pass on ``chunk`` inputs at a time; show each visit with the rows of ``inputs`` it is of."""
    size = max(1, min(chunk, snapshot.eval_chunk or chunk))
    for first in range(0, len(inputs), size):
        part = inputs[first : first + size]
        rows = slice(first, first + len(part))
        snapshot.watch(part, lambda visit, rows=rows: see(visit, rows))


def unit_counts(
    snapshot: Snapshot, probe: str, *, examples: int = EXAMPLES, chunk: int = CHUNK
) -> dict[str, UnitCounts]:
    """Return the counts of every activation on a probe, by site.

    Raises:
        DoesNotApply: there are no data, or the forward pass has no nonlinearity.
    """
    store = _store(snapshot, probe, examples, chunk)
    if "counts" not in store:
        store["counts"] = counts = {}
        stream(snapshot, chosen_inputs(snapshot, probe, examples), lambda v, _: _count(v, counts), chunk=chunk)
    if not store["counts"]:
        raise DoesNotApply("there is no nonlinearity in the forward pass of this model, so no activation to look at.")
    return store["counts"]


def layer_moments(
    snapshot: Snapshot,
    probe: str,
    finish: Callable[[Layer], Any],
    *,
    where: str = "layers",
    examples: int = EXAMPLES,
    chunk: int = CHUNK,
    columns: int = COLUMNS,
    memory: int = MEMORY,
) -> dict[str, Any]:
    """Return what ``finish`` makes of the moments of each layer on a probe, by site; every position is a sample.

    The same pass fills in :func:`unit_counts`.

    Args:
        snapshot: the moment.
        probe: the data.
        finish: called once a layer, whose moments are not kept.
        where: see :data:`WHERE`; of a module without such sites the other ones are taken.
        examples: at most so many.
        chunk: examples a forward pass takes at once.
        columns: of wider layers so many units are drawn.
        memory: bytes that moments may take; beyond them, more passes are made.

    Raises:
        UsageError: there is no such ``where``.
        DoesNotApply: there are no data, or the forward pass has neither layers nor nonlinearities.
    """
    if where not in WHERE:
        raise unknown("where", where, WHERE)
    store = _store(snapshot, probe, examples, chunk)
    key = (where, columns, finish)
    if key not in store:
        inputs = chosen_inputs(snapshot, probe, examples)
        store[key] = {}
        for place in (where, *(set(WHERE) - {where})):
            counts: dict[str, UnitCounts] = {}
            store[key] = gather(
                snapshot,
                inputs,
                lambda visit, _, kinds=WHERE[place]: (visit.features(), None) if visit.kind in kinds else None,
                finish,
                also=None if "counts" in store else lambda visit, counts=counts: _count(visit, counts),
                chunk=chunk,
                columns=columns,
                memory=memory,
            )
            store.setdefault("counts", counts)
            if store[key]:
                break
    if not store[key]:
        raise DoesNotApply("the forward pass of this model has neither layers nor nonlinearities to look at.")
    return store[key]


def _store(snapshot: Snapshot, probe: str, examples: int, chunk: int) -> dict[Any, Any]:
    return snapshot.memo(("activations", probe, examples, chunk), dict)


def gather(
    snapshot: Snapshot,
    inputs: Tensor,
    sample: Sample,
    finish: Callable[[Layer], Any],
    *,
    also: Callable[[Visit], None] | None = None,
    classes: int = 1,
    chunk: int = CHUNK,
    columns: int = COLUMNS,
    memory: int = MEMORY,
) -> dict[str, Any]:
    """Return what ``finish`` makes of the moments of the samples that ``sample`` takes from visits, by site.

    As many layers are gathered in a pass as fit into ``memory``; the others wait for the next pass.

    Args:
        snapshot: the moment.
        inputs: (examples, …), what goes through.
        sample: see :data:`Sample`.
        finish: called once a layer, whose moments are not kept.
        also: shown every visit of the first pass.
        classes: how many classes there are.
        chunk: examples a forward pass takes at once.
        columns: of wider layers so many units are drawn.
        memory: bytes.
    """
    finished: dict[str, Any] = {}
    order: dict[str, None] = {}
    while True:
        one = _Pass(snapshot, sample, frozenset(finished), classes, columns, memory, also)
        stream(snapshot, inputs, one.see, chunk=chunk)
        order |= dict.fromkeys(one.seen)
        finished |= {name: finish(Layer(one.units[name], found)) for name, found in one.moments.items()}
        also = None
        if not one.waiting:
            # in the order of the forward pass, however many passes it took
            return {name: finished[name] for name in order if name in finished}


class _Pass:
    """One pass over the inputs: the moments of those sites that are not finished and fit into memory."""

    def __init__(
        self,
        snapshot: Snapshot,
        sample: Sample,
        finished: frozenset[str],
        classes: int,
        columns: int,
        memory: int,
        also: Callable[[Visit], None] | None,
    ) -> None:
        self.snapshot, self.sample, self.finished, self.also = snapshot, sample, finished, also
        self.classes, self.columns, self.memory = classes, columns, memory
        self.used = 0
        self.seen: dict[str, None] = {}
        self.waiting: set[str] = set()
        self.units: dict[str, int] = {}
        self.picked: dict[str, Tensor | None] = {}
        self.moments: dict[str, Moments | None] = {}

    def see(self, visit: Visit, rows: slice) -> None:
        if self.also is not None:
            self.also(visit)
        name = visit.name
        if name in self.waiting or name in self.finished:
            return
        found = self.sample(visit, rows)
        if found is None or not found[0].numel():
            return
        self.seen[name] = None
        samples, labels = found
        if name not in self.units and not self._opened(name, samples.shape[1]):
            self.waiting.add(name)
            return
        index = self.picked[name]
        if index is not None:
            samples = samples[:, index.to(samples.device)]
        for part in blocks(samples):
            block = samples[part]
            before = self.moments.get(name)
            if (name in self.moments and before is None) or not bool(block.isfinite().all()):
                self.moments[name] = None
                return
            found_here = moments(block, None if labels is None else labels[part], number=self.classes)
            self.moments[name] = found_here if before is None else merged(before, found_here)

    def _opened(self, name: str, units: int) -> bool:
        width = min(units, self.columns)
        needed = 8 * width * (width + self.classes)
        if self.units and self.used + needed > self.memory:
            return False
        self.used += needed
        self.units[name] = units
        self.picked[name] = chosen_columns(self.snapshot, name, units, self.columns)
        return True


def blocks(samples: Tensor) -> Iterator[slice]:
    """Yield the parts of samples (n, units), of which no more than :data:`BLOCK` numbers are cast to float64 at once.

    Example:
        >>> len(list(blocks(torch.zeros(10, BLOCK // 4))))
        3
    """
    size = max(1, BLOCK // max(samples.shape[1], 1))
    for first in range(0, len(samples), size):
        yield slice(first, first + size)


def _count(visit: Visit, counts: dict[str, UnitCounts]) -> None:
    """Add one visit of an activation to the counts of its site."""
    if visit.kind not in WHERE["activations"] or not visit.output.numel():
        return
    samples = visit.features()
    for part in blocks(samples):
        values = samples[part].to(torch.float64)
        sizes = values.abs()
        new = UnitCounts(
            samples=len(values),
            mean_square=float(values.square().mean()),
            nonpositive=(values <= 0).sum(0),
            zero=(values == 0).sum(0),
            smallest_positive=float(torch.where(values > 0, values, torch.inf).min()),
            smallest_magnitude=float(torch.where(sizes > 0, sizes, torch.inf).min()),
        )
        counts[visit.name] = _together(counts[visit.name], new) if visit.name in counts else new


def _together(one: UnitCounts, other: UnitCounts) -> UnitCounts:
    samples = one.samples + other.samples
    return UnitCounts(
        samples=samples,
        mean_square=one.mean_square + (other.mean_square - one.mean_square) * (other.samples / samples),
        nonpositive=one.nonpositive + other.nonpositive,
        zero=one.zero + other.zero,
        smallest_positive=min(one.smallest_positive, other.smallest_positive),
        smallest_magnitude=min(one.smallest_magnitude, other.smallest_magnitude),
    )
