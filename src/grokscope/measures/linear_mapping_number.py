"""The linear mapping number: on how many affine maps the network from a hidden layer on is, on the training data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.errors import UsageError, unknown
from grokscope.forward import sites
from grokscope.linalg.linear_mapping import Tail, linearities, mappings
from grokscope.measures.activations import chosen_rows
from grokscope.measures.base import DoesNotApply, Key, Measure
from grokscope.measures.chains import Chain, chain
from grokscope.visits import Visit, watched

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

VERSION = 1
INPUT = "input"
CHECKED = 16
"""So many examples show whether the outputs depend on a site alone."""


@dataclass(frozen=True)
class Start:
    """Where paths are drawn: the name of the place, the values of the examples there, and the model from there on."""

    name: str
    values: Tensor
    tail: Tail


def measure(
    snapshot: Snapshot,
    *,
    start: str = "auto",
    examples: int = 140,
    grid: int = 21,
    probe: str = "train",
    double: bool = True,
    chunk: int = 4096,
) -> dict[str, object]:
    """Return the linear mapping number, its entropy, the mean linearity of pairs and how many examples there were.

    Args:
        snapshot: a moment of any model.
        start: where paths between examples are drawn: ``input`` (real inputs, or the embedding of tokens), the name of
            a nonlinearity or of a submodule, whose output it is; ``auto`` is the first nonlinearity if outputs depend
            on nothing else, and else the input.
        examples: N, at most.
        grid: positions on each path.
        probe: the data.
        double: whether the forward pass is in float64; else in the type of the weights.
        chunk: rows that go through at once.

    Raises:
        DoesNotApply: there are fewer than two examples, outputs depend on more than the place named, or the input that
            paths would begin at are tokens without an embedding.
        UsageError: an option is out of range, or nothing is called as ``start`` says.
    """
    if examples < 2 or grid < 3 or chunk < 1:
        raise UsageError(
            f"examples = {examples}, grid = {grid}, chunk = {chunk} were given: give two examples, three positions and "
            "one row, or more."
        )
    rows = chosen_rows(snapshot, probe, examples)
    if len(rows) < 2:
        raise DoesNotApply(f"linear_mapping_number needs two examples: the {probe} data has one.")
    seen = snapshot.in_double() if double else snapshot
    chunk = min(chunk, snapshot.eval_chunk or chunk)
    begun = _start(seen, start, probe, rows, chunk)
    classes = snapshot.facts.classes if snapshot.facts is not None else None

    def tail(values: Tensor, which: Tensor) -> Tensor:
        with torch.no_grad():
            return begun.tail(values, which)[..., :classes]

    found = mappings(linearities(tail, begun.values, grid=grid, chunk=chunk))
    return {
        "number": {begun.name: found.number},
        "entropy": {begun.name: found.entropy},
        "linearity": {begun.name: found.linearity},
        "examples": float(len(rows)),
        "eigenvalues": found.eigenvalues,
    }


def _start(seen: Snapshot, name: str, probe: str, rows: Tensor, chunk: int) -> Start:
    inputs = seen.probe(probe).inputs[rows]
    if name == INPUT:
        return _from_input(seen, probe, rows)
    module = seen.module
    assert module is not None
    visits: dict[str, bool] = {}

    def look(visit: Visit) -> None:
        visits[visit.name] = visit.kind == "nonlinearity"

    with torch.no_grad(), watched(module, look):
        seen.predict_plainly(inputs[:2])
    places = [visit for visit, nonlinearity in visits.items() if nonlinearity]
    if name == "auto":
        first = places[0] if places else None
        begun = None if first is None else _from_site(seen, first, inputs, chunk, visited=True)
        return begun or _from_input(seen, probe, rows)
    if name not in visits and not (name and seen.has_site(name)):
        raise unknown("place to start at", name, ["auto", INPUT, *places])
    begun = _from_site(seen, name, inputs, chunk, visited=name in visits)
    if begun is None:
        raise DoesNotApply(
            f"linear_mapping_number starts where all that follows depends on: outputs depend on more than {name!r}; "
            "start=input always does."
        )
    return begun


def _from_input(seen: Snapshot, probe: str, rows: Tensor) -> Start:
    real = seen.real_inputs(probe)
    if real is None:
        raise DoesNotApply(
            "linear_mapping_number draws paths between inputs unless outputs depend on a nonlinearity alone: the "
            f"{probe} data has neither inputs that are real numbers nor an embedding."
        )
    points = real.points[rows]
    if real.tokens is None:
        run: Tail = lambda values, _: seen.predict_plainly(values)  # noqa: E731
    else:
        tokens, call = real.tokens[rows], real.call
        run = lambda values, which: call(values, tokens[which])  # noqa: E731
    some = torch.arange(min(3, len(rows)), device=rows.device)
    assert seen.module is not None
    whole = chain(seen.module, seen.parameters, lambda: run(points[some], some), points[some])
    return Start(INPUT, points, run) if whole is None else _of_chain(INPUT, points, whole)


def _from_site(seen: Snapshot, name: str, inputs: Tensor, chunk: int, *, visited: bool) -> Start | None:
    """Return the start at a nonlinearity's or submodule's output, or None where outputs depend on more than that."""
    outputs, values = _values(seen, name, inputs, chunk, visited=visited)
    if values is None or len(values) != len(inputs) or not values.is_floating_point():
        return None

    def tail(given: Tensor, which: Tensor) -> Tensor:
        with torch.no_grad(), _at(seen, name, lambda _: given, visited=visited):
            return seen.predict_plainly(inputs[which])

    some = torch.arange(min(CHECKED, len(inputs)), device=inputs.device)
    others = some.roll(1)
    # what others give there, put in its place: then everything has to be as if the others had gone in
    found, expected = tail(values[others], some), outputs[others]
    scale = expected.abs().max() * torch.finfo(expected.dtype).eps ** 0.5
    if not bool(((found - expected).abs() <= scale).all()) and bool(torch.isfinite(expected).all()):
        return None
    assert seen.module is not None
    few = inputs[: min(3, len(inputs))]
    rest = chain(seen.module, seen.parameters, lambda: seen.predict_plainly(few), name) if visited else None
    return Start(name, values, tail) if rest is None else _of_chain(name, values, rest)


def _of_chain(name: str, values: Tensor, rest: Chain) -> Start:
    """Return the start after the first affine map instead: between its outputs paths are as straight."""
    first, *others = [*rest.hidden, rest.readout]
    moved = first(values.flatten(1))

    def tail(given: Tensor, _: Tensor) -> Tensor:
        before = first
        for layer in others:
            given = layer(before.activation(given))
            before = layer
        return given

    return Start(name, moved, tail)


def _values(seen: Snapshot, name: str, inputs: Tensor, chunk: int, *, visited: bool) -> tuple[Tensor, Tensor | None]:
    """Return the outputs, and what comes out of a place; None where that is not one tensor a pass."""
    outputs: list[Tensor] = []
    found: list[Tensor] = []

    def keep(value: object) -> None:
        if isinstance(value, Tensor):
            found.append(value.detach().clone())

    for part in inputs.split(chunk):
        with torch.no_grad(), _at(seen, name, keep, visited=visited):
            outputs.append(seen.predict_plainly(part))
    return torch.cat(outputs), torch.cat(found) if len(found) == len(outputs) else None


def _at(
    seen: Snapshot, name: str, act: Callable[[Tensor], Tensor | None], *, visited: bool
) -> AbstractContextManager[object]:
    """Return a context in which ``act`` sees what comes out of a place, and replaces it where it gives a tensor."""
    assert seen.module is not None
    if not visited:
        return sites(seen.module, {name: act}, first=True)

    def look(visit: Visit) -> None:
        if visit.name == name:
            given = act(visit.output)
            if given is not None:
                visit.output.copy_(given)  # the very tensor that the forward pass goes on with

    return watched(seen.module, look)


_COUNTS = "rises while the data are fitted, falls steadily until the network generalises"

LINEAR_MAPPING_NUMBER = Measure(
    name="linear_mapping_number",
    version=VERSION,
    keys={
        "number": Key("affine maps that the network from there on is, softly counted", low=1, direction=_COUNTS),
        "entropy": Key("its logarithm", "bits", low=0, direction=_COUNTS),
        "linearity": Key("mean squared correlation of outputs with the place on a path between two examples", "", 0, 1),
        "examples": Key("how many examples: the largest the number could be", low=2),
    },
    reference="Liu, Zhong and Tegmark 2023, section 2",
    compute=measure,
    needs=("train", "module"),
    cost="heavy",
    cites=("liu2023compression",),
)
