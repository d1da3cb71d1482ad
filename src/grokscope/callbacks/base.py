"""What the callbacks of all trainers share: a monitor that begins and ends with a training."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from torch import nn

from grokscope.errors import unknown
from grokscope.monitor.monitor import Monitor

if TYPE_CHECKING:
    import torch


class Watching:
    """Holds the monitor of a training, made when that begins; in processes other than the first it does nothing.

    Args:
        module: dotted name of the submodule to measure (``"backbone"``); the whole model if None.
        monitor: arguments of ``gs.Monitor``, but for the model. Where the training is resumed from a checkpoint of
            the trainer's, ``resume`` is true unless given.

    Raises:
        UsageError: an argument is none of the monitor's.
    """

    monitor: Monitor | None = None
    """The monitor: its ``phase``, ``scalars()``, ``events`` and ``run``, in the training and after it."""

    def __init__(self, *, module: str | None = None, **monitor: Any) -> None:
        super().__init__()
        known = set(inspect.signature(Monitor).parameters) - {"model"}
        for name in monitor:
            if name not in known:
                raise unknown("argument", name, {*known, "module"})
        self._module = module
        self._given = monitor

    def _begin(self, model: nn.Module, step: int, **found: Any) -> None:
        """Make a monitor, with what the trainer knows where nothing is given, and measure the beginning."""
        if self.monitor is not None:
            self.monitor.close()
        try:
            target = model if self._module is None else model.get_submodule(self._module)
        except AttributeError as error:
            names = [name for name, _ in model.named_modules() if name]
            raise unknown("module", self._module or "", names) from error
        self.monitor = Monitor(target, **{"resume": step > 0, **found, **self._given})
        self.monitor(step)

    def _at(self, step: int, *, last: bool = False) -> None:
        if self.monitor is not None:
            _ = self.monitor.observe(step) if last else self.monitor(step)

    def _end(self, error: BaseException | None = None) -> None:
        if self.monitor is not None:
            self.monitor.__exit__(None if error is None else type(error), error, None)


def optimizer_in(given: Any) -> torch.optim.Optimizer | None:
    """Return the optimizer that is given or wrapped, None where there is none with parameter groups."""
    inner = getattr(given, "optimizer", given)
    return inner if hasattr(inner, "param_groups") else None


def hooked(hooks: type, base: type) -> Any:
    """Return the callback that a trainer takes: hooks of ours on its library's base class."""
    return type("GrokscopeCallback", (hooks, base), {"__module__": hooks.__module__, "__doc__": hooks.__doc__})
