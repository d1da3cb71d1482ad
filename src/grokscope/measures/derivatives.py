"""What measures that differentiate a model share: by which parameters, and how it is told that it cannot be done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from grokscope.measures.base import DoesNotApply

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot


def trained(snapshot: Snapshot) -> dict[str, Tensor]:
    """Return the parameters that are trained, in float64: those that do not ask for a gradient are held fixed.

    Where none asks for one (a model frozen for use), all real ones are given.
    """
    module = snapshot.module
    frozen = set() if module is None else {name for name, p in module.named_parameters() if not p.requires_grad}
    real = {n: t for n, t in snapshot.in_double().parameters.items() if t.is_floating_point() and t.numel()}
    return {name: tensor for name, tensor in real.items() if name not in frozen} or real


@contextmanager
def differentiable(measure: str, what: str) -> Iterator[None]:
    """Within the context, say in one sentence that ``what`` of a model has no derivative, as PyTorch says it in many.

    Raises:
        DoesNotApply: the computation failed; a lack of memory stays what it is.
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, NotImplementedError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise DoesNotApply(
            f"{measure} differentiates the {what} in float64, which this model does not allow ({first[:150]})."
        ) from error
