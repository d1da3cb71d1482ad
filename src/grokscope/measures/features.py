"""What chosen examples are at the sites of a network: one row an example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.errors import unknown
from grokscope.measures.activations import CHUNK, COLUMNS, WHERE, chosen_columns, stream
from grokscope.measures.base import DoesNotApply
from grokscope.measures.performance import IGNORED
from grokscope.visits import Visit, watched

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

POSITIONS = ("auto", "all", "mean", "last")


def example_axes(snapshot: Snapshot, inputs: Tensor) -> dict[str, int]:
    """Return the axis of each site's output along which the examples lie; sites without one are not there.

    Found by what grows when three copies of an input go through instead of two: recurrent layers may have their
    positions first, windows may be folded into the examples, and tables of parameters have no examples at all.
    """

    def shapes(count: int) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        assert snapshot.module is not None
        with torch.no_grad(), watched(snapshot.module, lambda visit: found.update({visit.name: visit.output.shape})):
            snapshot.predict_plainly(inputs[:1].expand(count, *inputs.shape[1:]))
        return found

    two, three = shapes(2), shapes(3)
    axes: dict[str, int] = {}
    for name, shape in two.items():
        other = three.get(name, ())
        if len(other) == len(shape):
            grown = [i for i, size in enumerate(shape) if size and 3 * size == 2 * other[i]]
            if len(grown) == 1:
                axes[name] = grown[0]
    return axes


def per_example(output: Tensor, examples: int, batch: int | None, *, axis: int = -1) -> Tensor | None:
    """Return an output as (examples, positions, units), or None where it is not laid out by examples.

    Args:
        output: what came out, or went in.
        examples: how many examples that was of.
        batch: the axis of the examples, see :func:`example_axes`; positions folded into it come after their example.
        axis: along which the units lie: 1 for the channels of a convolution, else -1.

    Example:
        >>> per_example(torch.zeros(2, 3, 4, 4), 2, 0, axis=1).shape
        torch.Size([2, 16, 3])
    """
    if batch is None or not output.numel() or output.shape[batch] % examples:
        return None
    if output.ndim < 2:
        return output.reshape(examples, -1, 1)
    if batch == axis % output.ndim:
        return None
    # the axis of the examples first, that of the units last
    others = [i for i in range(output.ndim) if i not in (batch, axis % output.ndim)]
    ordered = output.permute(batch, *others, axis % output.ndim)
    return ordered.reshape(examples, -1, ordered.shape[-1])


def represent(output: Tensor, examples: int, batch: int | None, positions: str, *, axis: int = -1) -> Tensor | None:
    """Return an output as (examples, features), or None where it is not laid out by examples.

    Args:
        output: what came out, or went in.
        examples: how many examples that was of.
        batch: the axis of the examples, see :func:`example_axes`.
        positions: ``all`` of them are features of their example; their ``mean``; the ``last``; ``auto`` is the mean
            of a map with channels, and the last of a sequence.
        axis: along which the units lie.

    Raises:
        UsageError: there is no such way to treat positions.
    """
    if positions not in POSITIONS:
        raise unknown("positions", positions, POSITIONS)
    found = per_example(output, examples, batch, axis=axis)
    if found is None:
        return None
    if positions == "all":
        return found.flatten(1)
    if positions == "mean" or (positions == "auto" and axis == 1):
        return found.mean(1)
    return found[:, -1]


def features(
    snapshot: Snapshot,
    inputs: Tensor,
    *,
    where: str = "activations",
    positions: str = "auto",
    columns: int = COLUMNS,
    chunk: int = CHUNK,
) -> dict[str, Tensor]:
    """Return what inputs are at each site, (examples, features), in the model's own type; by site.

    Sites that are not laid out by examples are left out. Memory: sites × examples × ``columns`` numbers.

    Args:
        snapshot: the moment.
        inputs: (examples, …), from :func:`grokscope.measures.activations.chosen_inputs`.
        where: ``layers`` or ``activations``; of a module without such sites the other ones are taken.
        positions: see :func:`represent`.
        columns: of wider representations so many features are drawn, the same at every step.
        chunk: examples a forward pass takes at once.

    Raises:
        UsageError: there is no such ``where`` or ``positions``.
        DoesNotApply: the forward pass has neither layers nor nonlinearities.
    """
    if where not in WHERE:
        raise unknown("where", where, WHERE)
    axes = example_axes(snapshot, inputs)
    for place in (where, *(set(WHERE) - {where})):
        parts: dict[str, list[Tensor]] = {}

        def see(visit: Visit, rows: slice, place: str = place, parts: dict[str, list[Tensor]] = parts) -> None:
            if visit.kind not in WHERE[place]:
                return
            count = rows.stop - rows.start
            seen = represent(visit.output, count, axes.get(visit.name), positions, axis=visit.axis)
            if seen is None:
                return
            index = chosen_columns(snapshot, visit.name, seen.shape[1], columns)
            # a copy: a later layer may write into what it was given
            kept = seen.clone() if index is None else seen[:, index.to(seen.device)]
            parts.setdefault(visit.name, []).append(kept)

        stream(snapshot, inputs, see, chunk=chunk)
        if parts:
            return {name: torch.cat(part) for name, part in parts.items()}
    raise DoesNotApply(
        "the forward pass of this model has no layer or nonlinearity whose output is laid out by examples."
    )


def class_targets(snapshot: Snapshot, probe: str, rows: Tensor) -> Tensor | None:
    """Return the class of each chosen example, (examples,) or (examples, positions), or None where there is none."""
    targets = snapshot.probe(probe).targets
    if targets is None or targets.is_floating_point():
        return None
    chosen = targets[rows]
    return chosen.flatten(1) if chosen.ndim > 1 else chosen


def class_samples(
    tensor: Tensor, examples: int, batch: int | None, targets: Tensor, positions: str, *, axis: int = -1
) -> tuple[Tensor, Tensor] | None:
    """Return samples (n, units) with their classes (n,), or None where the tensor is not laid out as the targets.

    With a target for each example, positions are treated as :func:`represent` does; with one for each position, every
    position is a sample, and those marked with -100 are left out.

    Example:
        >>> targets = torch.tensor([[0, 1, -100], [1, 1, 0]])
        >>> samples, classes = class_samples(torch.zeros(2, 3, 5), 2, 0, targets, "auto")
        >>> samples.shape, classes.tolist()
        (torch.Size([5, 5]), [0, 1, 1, 1, 0])
    """
    if targets.ndim == 1:
        samples = represent(tensor, examples, batch, positions, axis=axis)
    else:
        samples = per_example(tensor, examples, batch, axis=axis)
        if samples is not None:
            samples = samples.flatten(0, 1) if samples.shape[1] == targets.shape[1] else None
    if samples is None:
        return None
    classes = targets.flatten()
    kept = classes != IGNORED
    return (samples, classes) if bool(kept.all()) else (samples[kept], classes[kept])


def numbered(classes: Tensor, known: Tensor) -> Tensor:
    """Return the place of each class among the ``known`` ones, which are in ascending order; -1 for another.

    Example:
        >>> numbered(torch.tensor([7, 3, 5]), torch.tensor([3, 7])).tolist()
        [1, 0, -1]
    """
    places = torch.searchsorted(known, classes).clamp(max=len(known) - 1)
    return torch.where(known[places] == classes, places, -1)


def known_classes(name: str, snapshot: Snapshot, probe: str, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the class targets of chosen examples and the classes among them, ascending.

    Raises:
        DoesNotApply: they have none, or all the same.
    """
    targets = class_targets(snapshot, probe, rows)
    if targets is None:
        raise DoesNotApply(f"{name} needs {probe} data labelled with classes; these have none.")
    known = targets.flatten().unique()
    known = known[known != IGNORED]
    if len(known) < 2:
        raise DoesNotApply(f"{name} needs examples of at least two classes in the {probe} data.")
    return targets, known
