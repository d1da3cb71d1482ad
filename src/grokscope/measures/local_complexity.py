"""Local complexity: how many units change sign near the data, near held-out data, and elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.errors import UsageError
from grokscope.linalg.cross_polytope import orthonormal_frame
from grokscope.linalg.local_complexity import (
    Cuts,
    Run,
    See,
    boundary_points,
    cut_counts,
    deformations,
    mean_and_interval,
)
from grokscope.linalg.perceptron_complexity import perceptron_cuts
from grokscope.measures.activations import chosen_rows
from grokscope.measures.base import DoesNotApply, Key, Measure
from grokscope.measures.chains import chain
from grokscope.visits import Visit, watched

if TYPE_CHECKING:
    from grokscope.real_inputs import RealInputs
    from grokscope.snapshot import Snapshot

VERSION = 1
OUTPUTS = "outputs"
"""The name of the outputs where they are counted as a site."""

Result = dict[str, "float | dict[str, float]"]


Forward = Callable[[Tensor, Tensor], Tensor]
"""(points (n, ...), the index of the original of each (n,)) -> outputs (n, ...)."""


@dataclass(frozen=True)
class Points:
    """Where local complexity is taken: points (n, ...), and for embedded ones their tokens (n, ...)."""

    points: Tensor
    tokens: Tensor | None


def measure(
    snapshot: Snapshot,
    *,
    radius: float = 0.005,
    directions: int = 25,
    examples: int = 1000,
    include_output: bool = False,
    boundary: int = 0,
    deformation: bool = False,
    double: bool = True,
    chunk: int = 2048,
) -> Result:
    """Return the mean number of units that change sign around training, test and random points, in all and by site.

    Args:
        snapshot: a moment of any model with a nonlinearity, whose inputs are real numbers or embedded tokens.
        radius: of the cross-polytope around a point, in units of the inputs (of the embedding, for tokens).
        directions: how many axes it has, at most as many as an input has numbers.
        examples: points of each kind, at most.
        include_output: whether outputs are counted as if they were a hidden layer, for comparison with others' code.
        boundary: how many pairs of training points a point of the decision boundary is sought between; 0 leaves it out.
        deformation: whether eccentricity and diameter of the embedded cross-polytopes are taken too.
        double: whether the forward pass is in float64; else it is in the type of the weights, of a perceptron in
            float32 with close calls decided in float64.
        chunk: vertices that go through at once.

    Raises:
        DoesNotApply: there are no data, no real inputs, or no nonlinearity.
        UsageError: an option is out of range.
    """
    if min(directions, examples, chunk) < 1 or boundary < 0:
        raise UsageError(
            f"directions = {directions}, examples = {examples}, chunk = {chunk}, boundary = {boundary} were given: "
            "give 1 or more of each, or no boundary."
        )
    seen = snapshot.in_double() if double else snapshot
    chunk = min(chunk, snapshot.eval_chunk or chunk)
    where = _places(snapshot, seen, examples)
    width = where["train"].points[0].numel()
    frame = orthonormal_frame(width, min(directions, width), snapshot.generator("local_complexity", VERSION))
    if boundary:
        where["boundary"] = _boundary(snapshot, seen, where["train"], boundary)
    result: Result = {}
    for name, points in where.items():
        if not len(points.points):
            result[name] = result[f"{name}_error"] = math.nan
            continue
        result |= _summary(
            name, _cuts(seen, points, frame, radius, chunk, include_output=include_output, double=double)
        )
    train = result["train"]
    for name in where:
        if name != "train":
            result[f"{name}_over_train"] = result[name] / train if train else math.nan  # type: ignore[operator]
    if deformation:
        runs = _runner(seen, _forward(seen, where["train"]), include_output=False)
        sizes = deformations(runs, where["train"].points, frame, radius, chunk=chunk)
        result["eccentricity"] = {site: float(mean.mean()) for site, (mean, _) in sizes.items()}
        result["diameter"] = {site: float(largest.mean()) for site, (_, largest) in sizes.items()}
    return result


def _places(snapshot: Snapshot, seen: Snapshot, examples: int) -> dict[str, Points]:
    """Return training points, test points where there are any, and random points in the range of the training data."""
    found: dict[str, Points] = {}
    for name in ("train", "test"):
        if name not in snapshot.probes or (name == "test" and not len(snapshot.probe(name))):
            continue
        rows = chosen_rows(snapshot, name, examples)
        real = _real(seen, name)
        if not bool(torch.isfinite(real.points).all()):
            raise DoesNotApply(f"local_complexity looks around inputs: those of the {name} data are not all finite.")
        found[name] = Points(real.points[rows], None if real.tokens is None else real.tokens[rows])
    train, everything = found["train"], _real(seen, "train").points
    geometry = snapshot.facts.geometry if snapshot.facts is not None else None
    if train.tokens is None and geometry is not None and geometry.bounds is not None:
        low, high = geometry.bounds
    else:
        low, high = float(everything.min()), float(everything.max())
    generator = snapshot.generator("local_complexity/random", VERSION)
    uniform = torch.rand(train.points.shape, generator=generator, dtype=torch.float64)
    drawn = (low + (high - low) * uniform).to(train.points.device, train.points.dtype)
    found["random"] = Points(drawn, train.tokens)
    return found


def _real(seen: Snapshot, name: str) -> RealInputs:
    real = seen.real_inputs(name)
    if real is None:
        raise DoesNotApply(f"local_complexity moves inputs that are real numbers: the {name} data has none.")
    return real


def _forward(seen: Snapshot, points: Points) -> Forward:
    """Return the forward pass of moved points, given also which of the points each of them was."""
    tokens = points.tokens
    if tokens is None:
        return lambda moved, _: seen.predict_plainly(moved)
    call = _real(seen, "train").call
    return lambda moved, rows: call(moved, tokens[rows])


def _runner(seen: Snapshot, forward: Forward, *, include_output: bool) -> Run:
    """Return the forward pass that shows the pre-activation of every nonlinearity."""
    module = seen.module
    assert module is not None

    def run(vertices: Tensor, rows: Tensor, see: See) -> None:
        def look(visit: Visit) -> None:
            if visit.kind == "nonlinearity":
                see(visit.name, visit.inputs)

        with torch.no_grad(), watched(module, look):
            outputs = forward(vertices, rows)
        if include_output:
            see(OUTPUTS, outputs)

    return run


def _cuts(
    seen: Snapshot, points: Points, frame: Tensor, radius: float, chunk: int, *, include_output: bool, double: bool
) -> dict[str, Cuts]:
    """Return the cuts of each site: of perceptrons by what is known of them, of all others by their forward pass."""
    forward, some = _forward(seen, points), torch.arange(min(3, len(points.points)))
    assert seen.module is not None
    beginning = points.points[some]
    perceptron = chain(seen.module, seen.parameters, lambda: forward(beginning, some), beginning)
    if perceptron is None:
        run = _runner(seen, forward, include_output=include_output)
        return cut_counts(run, points.points, frame, radius, chunk=chunk)
    layers = [*perceptron.hidden, *([perceptron.readout] if include_output else [])]
    sites = [*perceptron.sites, *([OUTPUTS] if include_output else [])]
    if not layers:
        return {}
    if double:
        (found,) = perceptron_cuts(layers, points.points, frame, [radius], chunk=chunk)
    else:
        exact = [layer.to(torch.float64) for layer in layers]
        at = points.points.double()
        (found,) = perceptron_cuts(exact, at, frame, [radius], chunk=chunk, arithmetic=torch.float32)
    return dict(zip(sites, found, strict=True))


def _summary(name: str, sites: dict[str, Cuts]) -> Result:
    if not sites:
        raise DoesNotApply(
            "there is no nonlinearity in the forward pass of this model, so nothing that cuts its input space."
        )
    total = torch.stack([cuts.counts for cuts in sites.values()]).sum(0)
    mean, error = mean_and_interval(total)
    by_site = {site: float(cuts.counts.mean()) for site, cuts in sites.items()}
    return {
        name: mean,
        f"{name}_error": error,
        f"{name}_at": by_site,
        f"{name}_share": {site: count / sites[site].units for site, count in by_site.items()},
    }


def _boundary(snapshot: Snapshot, seen: Snapshot, train: Points, count: int) -> Points:
    """Return points on the decision boundary between random pairs of the training points."""
    forward = _forward(seen, train)
    generator = snapshot.generator("local_complexity/boundary", VERSION)
    pairs = torch.randint(0, len(train.points), (2, count), generator=generator).to(train.points.device)
    ones, others = pairs

    def classes(moved: Tensor, which: Tensor) -> Tensor:
        size = snapshot.eval_chunk or len(moved)
        parts = zip(moved.split(size), ones[which].split(size), strict=True)
        with torch.no_grad():
            outputs = torch.cat([forward(part, rows) for part, rows in parts])
        number = snapshot.facts.classes if snapshot.facts is not None else None
        outputs = outputs[..., :number]
        return outputs.argmax(-1) if outputs.shape[-1] > 1 else (outputs > 0).long()

    points, chosen = boundary_points(classes, train.points[ones], train.points[others])
    return Points(points, None if train.tokens is None else train.tokens[ones[chosen]])


_NEAR = "falls after the start, rises while the data are fitted, falls long after"
_RATIO = "rises as regions leave the data"

LOCAL_COMPLEXITY = Measure(
    name="local_complexity",
    version=VERSION,
    keys={
        "train": Key("units that change sign near a training point", "units", low=0, direction=_NEAR),
        "test": Key("units that change sign near a test point", "units", low=0, direction=_NEAR),
        "random": Key("units that change sign near a random point in the range of the data", "units", low=0),
        "boundary": Key("units that change sign near a point of the decision boundary", "units", low=0),
        **{
            f"{name}_{key}": Key(about.format(name), unit, low=0, high=high)
            for name in ("train", "test", "random", "boundary")
            for key, about, unit, high in (
                ("error", "half the 99 % interval of the mean over {} points", "units", None),
                ("at", "the same number at one nonlinearity, near a {} point", "units", None),
                ("share", "the share of a nonlinearity's units that change sign near a {} point", "", 1),
            )
        },
        "test_over_train": Key("near test points over near training points", low=0),
        "random_over_train": Key("near random points over near training points", low=0, direction=_RATIO),
        "boundary_over_train": Key("at the decision boundary over near training points", low=0, direction=_RATIO),
        "eccentricity": Key("mean eccentricity of the embedded cross-polytopes, over the input's", low=0),
        "diameter": Key("mean diameter of the embedded cross-polytopes, over the input's", low=0),
    },
    reference="Humayun et al. 2024, section 3",
    compute=measure,
    needs=("train", "module", "real-inputs"),
    cost="heavy",
    cites=("humayun2024",),
)
