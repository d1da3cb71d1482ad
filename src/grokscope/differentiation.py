"""Making anybody's forward pass differentiable as often as the mathematics asks for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Within the context, run only kernels that can be differentiated twice, forward and under ``torch.func``.

    Fused attention, and the recurrent layers of cuDNN and oneDNN, know their first derivative only; in
    evaluation mode cuDNN's recurrent layers do not know even that one. Here attention is computed step by step,
    and recurrent layers cell by cell; results agree up to rounding. Recurrent layers cannot be batched by ``vmap``
    here: differentiate in a loop where it fails. The switches are global: all is put back.

    Example:
        >>> lstm, inputs = torch.nn.LSTM(1, 1), torch.ones(2, 1, requires_grad=True)
        >>> with twice_differentiable():
        ...     (slope,) = torch.autograd.grad(lstm(inputs)[0].sum(), inputs, create_graph=True)
        ...     (curvature,) = torch.autograd.grad(slope.sum(), inputs)
        >>> curvature.shape
        torch.Size([2, 1])
    """
    backends = torch.backends
    before = backends.cudnn.enabled, bool(backends.mkldnn.enabled), backends.mha.get_fastpath_enabled()
    # the backends' own ``flags`` would set precision and determinism too
    _switch(False, False, False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        _switch(*before)


def _switch(cudnn: bool, mkldnn: bool, fast_path: bool) -> None:
    torch.backends.cudnn.enabled = cudnn
    torch.backends.mkldnn.enabled = mkldnn  # type: ignore[assignment]
    torch.backends.mha.set_fastpath_enabled(fast_path)
