"""The numerics of a run, applied to torch for as long as it trains, and put back afterwards.

Two settings of the process stay: how glibc keeps freed memory, and the cuBLAS workspace that repeatable
products on a GPU need.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from grokscope.errors import UsageError

if TYPE_CHECKING:
    from grokscope.spec import Numerics


def check_device(device: str) -> None:
    """Tell, before anything is trained, that a device is not there.

    Raises:
        UsageError: CUDA was asked for and there is none, or fewer devices than the number.
    """
    if not device.startswith("cuda"):
        return
    if not torch.cuda.is_available():
        raise UsageError(
            f"numerics.device = {device!r}, but torch sees no CUDA device here: use --device cpu, or install a "
            "CUDA build of torch on a machine that has one."
        )
    _, _, index = device.partition(":")
    if index and int(index) >= torch.cuda.device_count():
        raise UsageError(f"numerics.device = {device!r}, but there are {torch.cuda.device_count()} CUDA devices.")


def keep_freed_memory() -> None:
    """Have glibc keep freed blocks of a few MB instead of giving them back and faulting them in again.

    Every update frees and allocates the same activations; without this a tenth to a quarter of its time
    on a CPU goes into page faults (``docs/performance.md``). Does nothing where there is no glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    try:
        adjust = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    adjust(mmap_threshold, 1 << 25)
    adjust(trim_threshold, 1 << 30)


@contextmanager
def applied(numerics: Numerics) -> Iterator[None]:
    """Within the context: the spec's threads, deterministic algorithms, full-precision products.

    On one CPU thread, numbers too small to be normal (below 1e-38 in float32) are taken as 0. Without
    weight decay the loss falls until gradients and their squares are of that kind, and arithmetic on them
    is several times slower. The processor keeps this switch for each thread and shows it to none, so with
    several threads, where it could not be relied on, it stays off.
    """
    check_device(numerics.device)
    if numerics.device.startswith("cuda"):
        # what cuBLAS needs to be repeatable; read when its first handle is made
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    keep_freed_memory()
    flush = numerics.threads == 1 and numerics.device == "cpu"
    with contextlib.ExitStack() as stack:
        for change, now, wanted in _switches(numerics):
            stack.callback(change, now)
            change(wanted)
        if flush:
            stack.callback(torch.set_flush_denormal, False)
            torch.set_flush_denormal(True)
        yield


def _switches(numerics: Numerics) -> list[tuple[Callable[[Any], Any], Any, Any]]:
    """Return (setter, value now, value wanted) of everything in torch that moves the bits of a run."""
    deterministic, cudnn = torch.utils.deterministic, torch.backends.cudnn  # type: ignore[attr-defined]
    return [
        (torch.set_num_threads, torch.get_num_threads(), numerics.threads),
        # the same switch as use_deterministic_algorithms, which would import the compiler: seconds a process
        (torch.set_deterministic_debug_mode, torch.get_deterministic_debug_mode(), "error"),
        (torch.set_float32_matmul_precision, torch.get_float32_matmul_precision(), "highest"),
        (partial(setattr, cudnn, "allow_tf32"), cudnn.allow_tf32, False),
        (partial(setattr, cudnn, "benchmark"), cudnn.benchmark, False),
        # models are built in float32 and cast, so that every dtype starts from the same draws
        (torch.set_default_dtype, torch.get_default_dtype(), torch.float32),
        # no code of ours reads uninitialised memory, and filling it costs a few per cent of a step
        (
            partial(setattr, deterministic, "fill_uninitialized_memory"),
            deterministic.fill_uninitialized_memory,
            False,
        ),
    ]
