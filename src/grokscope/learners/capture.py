"""Whole updates as one CUDA graph: recorded once, then replayed without the host.

At the size of modular addition an update is some hundred small kernels, and launching them costs a GPU more
than running them. A graph launches all of them at once. Everything that changes must then live in tensors:
the step count too, from which learning rate and bias corrections follow on the device.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from grokscope.batch import Batch
from grokscope.errors import UsageError
from grokscope.learners.feed import Feed, Resident, Streamed
from grokscope.learners.optim.base import Optimizer
from grokscope.learners.update import Kernel, Moving, update

WARM_UP = 3
"""Updates made on a copy before recording, so that libraries have chosen kernels and taken their memory."""
LONGEST = 100
"""Updates of a pass at most that are recorded at once."""


def clock_at(step: int, device: torch.device) -> Tensor:
    """Return a step count that lives on ``device``: shape (), float64, exact up to 2⁵³."""
    return torch.tensor(float(step), dtype=torch.float64, device=device)


def update_in_place(kernel: Kernel, optimizer: Optimizer, moving: Moving, batch: Batch, clock: Tensor) -> None:
    """Take the update that ``clock`` counts, in the tensors that are there, and advance the clock.

    Nothing here depends on a value on the host, so that it can be recorded. It equals :func:`update` with the
    step as a number, up to the last bit of learning rate and bias corrections.
    """
    loss = moving.loss
    update(kernel, optimizer, moving, batch, clock)
    moving.loss = loss.copy_(moving.loss)
    clock.add_(1)


def updates_in_place(
    kernel: Kernel, optimizer: Optimizer, moving: Moving, feed: Feed, clock: Tensor, *, whole: bool = False
) -> None:
    """Take one update in place or, from the beginning of a pass over minibatches, all of the ``whole`` pass.

    The order of a pass is drawn once for all of its updates, and once for each where they are taken one by one.
    """
    if not isinstance(feed, Resident):
        update_in_place(kernel, optimizer, moving, feed.at(0), clock)
        return
    for batch in feed.pass_at(clock) if whole else [feed.at_clock(clock)]:
        update_in_place(kernel, optimizer, moving, batch, clock)


class Captured:
    """The recorded updates of one training; their tensors are those of ``moving``, which replays change.

    Of minibatches a whole pass is recorded too, so that a replay takes several steps.
    """

    def __init__(self, kernel: Kernel, optimizer: Optimizer, moving: Moving, feed: Feed, step: int) -> None:
        self.device = moving.loss.device
        self.passing = feed.updates if isinstance(feed, Resident) and 1 < feed.updates <= LONGEST else 1
        self.clock = clock_at(step, self.device)

        def record(whole: bool) -> torch.cuda.CUDAGraph:
            # streams and graphs belong to the current device, which need not be that of the run
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                trial, trial_clock = moving.map(torch.clone), clock_at(0, self.device)
                for _ in range(WARM_UP):
                    updates_in_place(kernel, optimizer, trial, feed, trial_clock, whole=whole)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=side):
                updates_in_place(kernel, optimizer, moving, feed, self.clock, whole=whole)
            return graph

        with torch.cuda.device(self.device):
            self.one = record(False)
            self.whole = record(True) if self.passing > 1 else None

    def advance(self, step: int, n: int) -> None:
        """Replay updates ``step`` to ``step + n - 1``."""
        with torch.cuda.device(self.device):
            for whole in strides(step, n, self.passing):
                graph = self.whole if whole else self.one
                assert graph is not None
                graph.replay()


def strides(step: int, n: int, passing: int) -> Iterator[bool]:
    """Yield True for each whole pass of ``passing`` updates among the n from ``step``, False for each single one.

    Example:
        >>> list(strides(3, 9, 5))
        [False, False, True, False, False]
    """
    last = step + n
    while step < last:
        whole = passing > 1 and step % passing == 0 and last - step >= passing
        yield whole
        step += passing if whole else 1


def check_capture(feed: Feed) -> None:
    """Refuse to record updates whose batches only the host can make, or that differ in size."""
    if isinstance(feed, Streamed):
        raise UsageError(
            "numerics.path = 'graph' records an update whose data lie on the GPU; this task makes its batches on the "
            "host: leave numerics.path out."
        )
    if isinstance(feed, Resident) and feed.examples % feed.size:
        raise UsageError(
            f"numerics.path = 'graph' records batches of one size, and {feed.examples} examples are no multiple of "
            f"task.batch_size = {feed.size}: choose a divisor, or leave numerics.path out."
        )
