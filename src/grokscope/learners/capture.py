"""The whole update as one CUDA graph: recorded once, then replayed without the host.

At the size of modular addition an update is some hundred small kernels, and launching them costs a GPU more
than running them. A graph launches all of them at once. Everything that changes must then live in tensors:
the step count too, from which learning rate and bias corrections follow on the device.
"""

from __future__ import annotations

import torch
from torch import Tensor

from grokscope.learners.feed import Feed, Resident
from grokscope.learners.optim.base import Optimizer
from grokscope.learners.update import Kernel, Moving, update

WARM_UP = 3
"""Updates made on a copy before recording, so that libraries have chosen kernels and taken their memory."""


def clock_at(step: int, device: torch.device) -> Tensor:
    """Return a step count that lives on ``device``: shape (), float64, exact up to 2⁵³."""
    return torch.tensor(float(step), dtype=torch.float64, device=device)


def update_in_place(kernel: Kernel, optimizer: Optimizer, moving: Moving, feed: Feed, clock: Tensor) -> None:
    """Take the update that ``clock`` counts, in the tensors that are there, and advance the clock.

    Nothing here depends on a value on the host, so that it can be recorded. It equals :func:`update` with the
    step as a number, up to the last bit of learning rate and bias corrections.
    """
    loss = moving.loss
    batch = feed.at_clock(clock) if isinstance(feed, Resident) else feed.at(0)
    update(kernel, optimizer, moving, batch, clock)
    moving.loss = loss.copy_(moving.loss)
    clock.add_(1)


class Captured:
    """The recorded update of one training; its tensors are those of ``moving``, which replays change."""

    def __init__(self, kernel: Kernel, optimizer: Optimizer, moving: Moving, feed: Feed, step: int) -> None:
        self.device = moving.loss.device
        # streams and graphs belong to the current device, which need not be that of the run
        with torch.cuda.device(self.device):
            side = torch.cuda.Stream()
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                trial, trial_clock = moving.map(torch.clone), clock_at(step, self.device)
                for _ in range(WARM_UP):
                    update_in_place(kernel, optimizer, trial, feed, trial_clock)
            torch.cuda.current_stream().wait_stream(side)
            self.clock = clock_at(step, self.device)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph, stream=side):
                update_in_place(kernel, optimizer, moving, feed, self.clock)

    def advance(self, n: int) -> None:
        """Replay the update n times."""
        with torch.cuda.device(self.device):
            for _ in range(n):
                self.graph.replay()
