"""When the network will leave the kernel regime, from its start, its data and its weight decay (Lyu et al. 2024)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from grokscope.errors import UsageError
from grokscope.linalg.margins import homogeneity
from grokscope.measures.base import DoesNotApply, Key, Measure
from grokscope.measures.early_solution import early_solution
from grokscope.measures.initial_kernel import InitialKernel, initial_kernel
from grokscope.theory.transition_time import EXCESS, classification_onset, onset

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

FACTOR = 2.0
HOMOGENEOUS = 1e-6
"""Up to which residual a model counts as homogeneous in its parameters."""
SMALL_OUTPUT = 0.05
"""Outputs at the start up to this share of the targets' size (of 1 for classes) count as the 0 that theory asks for."""


def measure(snapshot: Snapshot, *, examples: int = 512, excess: float = EXCESS) -> dict[str, float]:
    """Return the norm over that of pure decay, the displacement, and the forecast onset where there is one.

    Args:
        snapshot: a moment of gradient descent with coupled weight decay.
        examples: training examples up to which the fit with the initial kernel is solved.
        excess: the norm over that of pure decay that counts as the onset.

    Raises:
        DoesNotApply: it is not known that the parameters follow gradient descent with coupled weight decay.
    """
    if snapshot.descent is None or "time" not in snapshot.clocks:
        raise DoesNotApply(
            "transition_forecast needs plain gradient descent with coupled weight decay and its clock; these "
            "parameters follow another rule, or it is not known."
        )
    decay, shift = snapshot.descent.weight_decay, snapshot.descent.weight_decay * snapshot.clocks["time"]
    assert snapshot.initial is not None
    start = {n: t.double() for n, t in snapshot.initial.parameters.items() if t.is_floating_point()}
    now = {name: snapshot.parameters[name].double() for name in start}
    before, after = (float(torch.stack([t.norm() for t in some.values()]).norm()) for some in (start, now))
    if before == 0:
        raise DoesNotApply("transition_forecast compares with the norm at the start, which is 0.")
    # e^{λt} overflows long after the regime has ended: infinity is then what the ratio is
    grown = math.exp(shift) if shift < 700 else math.inf
    result = {"norm_ratio": after / before * grown, "displacement": math.inf}
    if math.isfinite(grown):
        moved = torch.stack([(grown * now[name] - start[name]).norm() for name in start]).norm()
        result["displacement"] = float(moved) / before
    if decay > 0:
        key = ("transition forecast", examples, excess)
        result |= snapshot.lasting(key, lambda: _forecast(snapshot, examples, before, decay, excess))
    return result


def _forecast(snapshot: Snapshot, examples: int, norm: float, decay: float, excess: float) -> dict[str, float]:
    """Return when the kernel regime ends; nothing where theory does not apply or the kernel cannot be solved for."""
    start = snapshot.initial
    assert start is not None
    if "train" not in start.probes:
        return {}
    try:
        kernel = initial_kernel(snapshot, "transition_forecast", examples)
        degree = _degree(start)
        if degree is None or not _starts_at_zero(kernel):
            return {}
        size = early_solution(snapshot, "transition_forecast", examples=examples).size
        given = {"initial_norm": norm, "weight_decay": decay, "degree": degree, "excess": excess}
        if kernel.kind == "values":
            found, named = onset(least_change=size, **given), {"least_change": size}
        else:
            found, named = classification_onset(margin=size, **given), {"kernel_margin": size}
    except UsageError:  # no such kernel, or classes that no linear function of it separates
        return {}
    return {"onset_time": found.time, "onset_scaled": found.scaled, **named}


def _degree(start: Snapshot) -> float | None:
    """Return L, or None where the outputs are not homogeneous in the parameters. At f = 0 everything is: move first."""
    double = start.in_double()
    inputs = double.probe("train").inputs[:64]
    real = {name: tensor for name, tensor in double.parameters.items() if tensor.is_floating_point()}
    generator = start.generator("transition_forecast", VERSION)
    moved = {
        name: tensor + 0.1 * (tensor.abs().mean() + 1e-3) * torch.randn(tensor.shape, generator=generator).to(tensor)
        for name, tensor in real.items()
    }
    scaled = {name: FACTOR * tensor for name, tensor in moved.items()}
    degree, residual = homogeneity(
        double.predict_with(moved, inputs), double.predict_with(scaled, inputs), factor=FACTOR
    )
    return degree if residual <= HOMOGENEOUS and degree >= 1 - HOMOGENEOUS else None


def _starts_at_zero(kernel: InitialKernel) -> bool:
    with torch.no_grad():
        outputs = kernel.function({}, kernel.inputs)
    size = float(kernel.targets.square().mean().sqrt()) if kernel.kind == "values" else 1.0
    return float(outputs.square().mean().sqrt()) <= SMALL_OUTPUT * size


VERSION = 1

TRANSITION_FORECAST = Measure(
    name="transition_forecast",
    version=VERSION,
    keys={
        "norm_ratio": Key(
            "‖θ(t)‖ over ‖θ_0‖ e^{−λt}",
            low=0,
            direction="1 in the kernel regime; above 1.05 it is left, before test accuracy moves",
        ),
        "displacement": Key(
            "‖e^{λt} θ(t) − θ_0‖ over ‖θ_0‖", low=0, direction="far below 1 in the kernel regime, grows as e^{Lλt}"
        ),
        "onset_time": Key("forecast time at which the kernel regime is left", "time of the gradient flow"),
        "onset_scaled": Key("the same times λ"),
        "least_change": Key("norm of the least change of θ_0 that fits values to first order", "parameters", low=0),
        "kernel_margin": Key("largest margin of the tangent features at θ_0, for classes", "outputs/parameters", low=0),
    },
    reference="Lyu et al. 2024, Thm. 3.4 and 3.9",
    cites=("lyu2024",),
    compute=measure,
    needs=("initial",),
    cost="normal",
)
