"""``GrokscopeCallback`` for the Trainer of Lightning, as ``lightning`` or as ``pytorch_lightning``."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from grokscope.callbacks.base import Watching, hooked, optimizer_in
from grokscope.sinks.base import library

HOMES = ("lightning.pytorch", "pytorch_lightning")


class Hooks(Watching):
    """Measures a LightningModule while ``Trainer.fit`` trains it; arguments as in ``Watching``.

    Steps are ``trainer.global_step``: updates, not batches. The first and the last are always measured.
    """

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Begin, with parameters, optimizer and step restored."""
        if trainer.is_global_zero:
            optimizers = [*map(optimizer_in, trainer.optimizers), None]
            self._begin(pl_module, trainer.global_step, optimizer=optimizers[0])

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Measure if due; while gradients accumulate the step stays as it is."""
        self._at(trainer.global_step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure what the training leaves, and seal the run."""
        self._at(trainer.global_step, last=True)
        self._end()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """Seal the run as failed, or as interrupted."""
        self._end(exception)


if TYPE_CHECKING:
    GrokscopeCallback = Hooks


def __getattr__(name: str) -> Any:
    if name != "GrokscopeCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # of two libraries the one that the training has imported; a Trainer asks for the hooks, not for its own class
    homes = [home for home in HOMES if home in sys.modules] or [h for h in HOMES if find_spec(h.partition(".")[0])]
    return globals().setdefault(name, hooked(Hooks, library((homes or HOMES)[0], "lightning").Callback))
