"""``GrokscopeCallback`` for the Trainer of Hugging Face's transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from grokscope.callbacks.base import Watching, hooked, optimizer_in
from grokscope.sinks.base import library


def predict(model: nn.Module, inputs: Tensor) -> Any:
    """Return what a model of transformers gives for its main input, as ``input_ids=inputs``; any other for inputs."""
    name = getattr(model, "main_input_name", None)
    return model(**{name: inputs}) if isinstance(name, str) else model(inputs)


class Hooks(Watching):
    """Measures the model while ``Trainer.train`` trains it; arguments as in ``Watching``.

    Steps are ``state.global_step``: updates, not batches. The first and the last are always measured, the last before
    ``load_best_model_at_end`` puts other parameters in. Without ``forward=`` the model is asked by ``predict``.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, **about: Any) -> None:
        """Begin, with parameters, optimizer and step restored."""
        if state.is_world_process_zero:
            optimizer = optimizer_in(about.get("optimizer"))
            self._begin(about["model"], state.global_step, forward=predict, optimizer=optimizer)

    def on_step_end(self, args: Any, state: Any, control: Any, **about: Any) -> None:
        """Measure if due, or if no step comes after this one."""
        self._at(state.global_step, last=state.global_step >= state.max_steps)

    def on_train_end(self, args: Any, state: Any, control: Any, **about: Any) -> None:
        """Measure the end of a training that was stopped early, and seal the run."""
        if not args.load_best_model_at_end:
            self._at(state.global_step, last=True)
        self._end()


if TYPE_CHECKING:
    GrokscopeCallback = Hooks


def __getattr__(name: str) -> Any:
    if name != "GrokscopeCallback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault(name, hooked(Hooks, library("transformers", "transformers").TrainerCallback))
