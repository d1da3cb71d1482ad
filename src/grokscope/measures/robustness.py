"""Accuracy under attack: what is still right at the worst point that gradient steps find near each example."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.differentiation import twice_differentiable
from grokscope.errors import UsageError
from grokscope.linalg.attacks import attack, random_start, right_share
from grokscope.measures.activations import chosen_rows
from grokscope.measures.base import DoesNotApply, Key, Measure

if TYPE_CHECKING:
    from collections.abc import Callable

    from grokscope.snapshot import Snapshot

VERSION = 1


def measure(
    snapshot: Snapshot,
    *,
    norm: str = "linf",
    epsilon: float = 0.06,
    step: float | None = None,
    steps: int = 10,
    random: bool = True,
    low: float | None = None,
    high: float | None = None,
    probe: str = "",
    examples: int = 256,
    chunk: int = 128,
) -> dict[str, Tensor | float]:
    """Return accuracy as it is, after one gradient step, after many, and how often cross-entropy has no gradient.

    Args:
        snapshot: a moment of a classifier whose inputs are real numbers, or embedded tokens.
        norm: of the ball in which points may be moved, ``linf`` or ``l2``.
        epsilon: its radius, in units of the inputs (of the embedding, for tokens).
        step: length of a step of the long attack; None is 2.5 epsilon / steps.
        steps: how many there are.
        random: whether the long attack begins at a random point of the ball, the same at every step of the training.
        low: least value of an input; without it and ``high`` the bounds that the task states.
        high: greatest value of an input.
        probe: the data; empty is test, and train without it.
        examples: how many are attacked, at most.
        chunk: how many at a time.

    Raises:
        DoesNotApply: there are no classes, a single output, or nothing to differentiate at.
        UsageError: an option is out of range.
    """
    if steps < 1 or chunk < 1 or examples < 1:
        raise UsageError(f"steps = {steps}, examples = {examples}, chunk = {chunk} were given: give 1 or more of each.")
    name = probe or ("test" if "test" in snapshot.probes and len(snapshot.probe("test")) else "train")
    targets = snapshot.probe(name).targets
    real = snapshot.real_inputs(name)
    if real is None or targets is None or targets.is_floating_point():
        raise DoesNotApply(f"robustness attacks a classifier at real inputs: the {name} data has no classes or none.")
    rows = chosen_rows(snapshot, name, examples)
    targets, points = targets[rows], real.points[rows]
    tokens = None if real.tokens is None else real.tokens[rows]
    geometry = snapshot.facts.geometry if snapshot.facts is not None else None
    if low is None and high is None and tokens is None and geometry is not None and geometry.bounds is not None:
        low, high = geometry.bounds
    classes = snapshot.facts.classes if snapshot.facts is not None else None
    dtype = points.dtype
    # a bfloat16 grid is coarser than the ball: points are moved in float32 at least
    points = points if dtype in (torch.float32, torch.float64) else points.float()
    start = random_start(
        points,
        epsilon,
        norm=norm,  # type: ignore[arg-type]
        generator=snapshot.generator("robustness", VERSION),
    )
    length = step if step is not None else 2.5 * epsilon / steps or 1.0

    def call_for(part: slice) -> Callable[[Tensor], Tensor]:
        chosen = None if tokens is None else tokens[part]
        return lambda moved: real.call(moved.to(dtype), chosen)[..., :classes]

    outputs = call_for(slice(0, 1))(points[:1])
    if outputs.shape[:-1] != targets[:1].shape or outputs.shape[-1] < 2:
        raise DoesNotApply(
            f"robustness needs outputs for two classes or more at each target: they have the shape "
            f"{tuple(outputs.shape[1:])} for an example, targets {tuple(targets.shape[1:])}."
        )
    found: dict[str, list[Tensor]] = {}
    with twice_differentiable():
        for first in range(0, len(points), chunk):
            part = slice(first, first + chunk)
            ends = _attacks(
                call_for(part),
                points[part],
                targets[part],
                start[part] if random else None,
                length=length,
                options={"epsilon": epsilon, "norm": norm, "low": low, "high": high},
                steps=steps,
            )
            for key, values in ends.items():
                found.setdefault(key, []).append(values)
    return {key: torch.cat(values).mean() for key, values in found.items()}


def _attacks(
    call: Callable[[Tensor], Tensor],
    points: Tensor,
    targets: Tensor,
    start: Tensor | None,
    *,
    length: float,
    options: dict[str, object],
    steps: int,
) -> dict[str, Tensor]:
    """Return, for each example, how much of it is right before and after each attack, and whether one was stuck."""
    epsilon = float(options["epsilon"]) or 1.0  # type: ignore[arg-type]
    one = attack(call, points, targets, step=epsilon, steps=1, **options)  # type: ignore[arg-type]
    many = attack(call, points, targets, step=length, steps=steps, start=start, **options)  # type: ignore[arg-type]
    plain = many
    if bool(many.stuck.any()):
        plain = attack(
            call,
            points,
            targets,
            step=length,
            steps=steps,
            start=start,
            objective="cross-entropy",
            **options,  # type: ignore[arg-type]
        )
    with torch.no_grad():
        return {
            "clean": right_share(call(points), targets),
            "fgsm": right_share(call(one.points), targets),
            "pgd": right_share(call(many.points), targets),
            "pgd_cross_entropy": right_share(call(plain.points), targets),
            "no_gradient": many.stuck.double(),
        }


_LATE = "falls while the data are fitted, rises long after the test accuracy has"

ROBUSTNESS = Measure(
    name="robustness",
    version=VERSION,
    keys={
        "clean": Key("accuracy on the same examples without attack", low=0, high=1),
        "fgsm": Key("accuracy after one gradient step of length ε", low=0, high=1, direction=_LATE),
        "pgd": Key("accuracy after projected gradient ascent", low=0, high=1, direction=_LATE),
        "pgd_cross_entropy": Key("the same, on the cross-entropy alone", low=0, high=1, direction=_LATE),
        "no_gradient": Key("share of examples whose cross-entropy had no gradient at some step", low=0, high=1),
    },
    reference="Goodfellow et al. 2015; Madry et al. 2018, eq. 2.2; Humayun et al. 2024",
    compute=measure,
    needs=("train", "classes", "real-inputs"),
    cost="heavy",
    cites=("goodfellow2015", "madry2018", "humayun2024"),
)
