"""How much the outputs move with the inputs: norms of the input-output Jacobian on the data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.differentiation import twice_differentiable
from grokscope.errors import UsageError
from grokscope.linalg.input_jacobians import jacobian_norms, projected_squares, spectral_norms
from grokscope.measures.activations import chosen_rows
from grokscope.measures.base import DoesNotApply, Key, Measure

if TYPE_CHECKING:
    from collections.abc import Callable

    from grokscope.real_inputs import RealInputs
    from grokscope.snapshot import Snapshot

VERSION = 1


def measure(
    snapshot: Snapshot,
    *,
    of: str = "logits",
    exact: int = 16,
    projections: int = 8,
    iterations: int = 0,
    probe: str = "train",
    examples: int = 256,
    chunk: int = 64,
) -> dict[str, Tensor | float]:
    """Return means over examples of the Frobenius norm of the Jacobian, its square with its error, its spectral norm.

    Args:
        snapshot: a moment of any model whose inputs are real numbers, or embedded tokens.
        of: what is differentiated: ``logits`` (the outputs as they are) or ``probabilities`` (their softmax).
        exact: up to how many outputs an example may have for the Jacobian to be computed and not estimated.
        projections: how many random projections an estimate is made of.
        iterations: of the power iteration for the spectral norm where the Jacobian is estimated; 0 leaves it out.
        probe: the data.
        examples: how many are looked at, at most.
        chunk: how many at a time.

    Raises:
        DoesNotApply: there is nothing to differentiate at, or the outputs are not finite.
        UsageError: an option is out of range.
    """
    if of not in ("logits", "probabilities"):
        raise UsageError(f"of = {of!r} was given: it is logits or probabilities.")
    if projections < 1 or chunk < 1 or examples < 1 or iterations < 0:
        raise UsageError(
            f"projections = {projections}, examples = {examples}, chunk = {chunk}, iterations = {iterations} were "
            "given: give 1 or more of each, or no iteration."
        )
    rows = chosen_rows(snapshot, probe, examples)
    real = snapshot.in_double().real_inputs(probe)
    if real is None:
        raise DoesNotApply(f"input_jacobian differentiates by real inputs: the {probe} data has none.")
    points = real.points[rows]
    tokens = None if real.tokens is None else real.tokens[rows]
    generator = snapshot.generator("input_jacobian", VERSION)
    squares, norms, spectral = [], [], []
    exactly = False
    with twice_differentiable():
        for first in range(0, len(points), chunk):
            part = slice(first, first + chunk)
            call = _call(real, None if tokens is None else tokens[part], of)
            outputs = call(points[part])
            if not bool(torch.isfinite(outputs).all()):
                raise DoesNotApply("input_jacobian differentiates the outputs: those of this model are not finite.")
            exactly = outputs[0].numel() <= exact
            if exactly:
                frobenius, largest = jacobian_norms(call, points[part])
                squares.append(frobenius.square()[:, None])
                norms.append(frobenius)
                spectral.append(largest)
                continue
            squares.append(projected_squares(call, points[part], projections=projections, generator=generator))
            norms.append(squares[-1].mean(1).sqrt())
            if iterations:
                spectral.append(spectral_norms(call, points[part], iterations=iterations, generator=generator))
    every = torch.cat(squares)
    found: dict[str, Tensor | float] = {
        "frobenius": torch.cat(norms).mean(),
        "square": every.mean(),
        "square_error": _error(every, exact=exactly),
        "relative": (torch.cat(norms) * points.flatten(1).norm(dim=1)).mean(),
    }
    if spectral:
        found["spectral"] = torch.cat(spectral).mean()
    return found


def _call(real: RealInputs, tokens: Tensor | None, of: str) -> Callable[[Tensor], Tensor]:
    if of == "probabilities":
        return lambda points: torch.softmax(real.call(points, tokens), -1)
    return lambda points: real.call(points, tokens)


def _error(squares: Tensor, *, exact: bool) -> float:
    """Return the standard error of the mean that comes from random projections alone: 0 without any, nan with one."""
    examples, draws = squares.shape
    if exact:
        return 0.0
    if draws == 1:
        return math.nan
    return float((squares.var(1) / draws).sum().sqrt() / examples)


_GROWS = "rises while the data are fitted, falls as the network generalises"

INPUT_JACOBIAN = Measure(
    name="input_jacobian",
    version=VERSION,
    keys={
        "frobenius": Key("mean Frobenius norm of the Jacobian", "outputs/inputs", low=0, direction=_GROWS),
        "square": Key("mean of its square, without bias", "(outputs/inputs)²", low=0, direction=_GROWS),
        "square_error": Key("standard error of that from random projections", "(outputs/inputs)²", low=0),
        "relative": Key("mean Frobenius norm times the norm of the input", "outputs", low=0, direction=_GROWS),
        "spectral": Key("mean largest singular value of the Jacobian", "outputs/inputs", low=0, direction=_GROWS),
    },
    reference="Novak et al. 2018, section 3; Hoffman et al. 2019, eq. 8",
    compute=measure,
    needs=("train", "real-inputs"),
    cost="heavy",
    cites=("novak2018", "hoffman2019"),
)
