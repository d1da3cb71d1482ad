"""A module in somebody's training, from which snapshots are made without touching it."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from grokscope.batch import Batch
from grokscope.errors import GrokscopeError, UsageError, unknown
from grokscope.facts import Facts
from grokscope.forward import Call, neutral, private_copy
from grokscope.given import TRIED, check_outputs, does_not_run
from grokscope.monitor.quiet import device_of, undisturbed
from grokscope.rng import derive
from grokscope.roles import roles_of
from grokscope.snapshot import Snapshot
from grokscope.source import Role, Source, source_of
from grokscope.spec import Numerics

LOSSES = ("cross-entropy", "mean-squared-error")


class Subject:
    """Makes snapshots of a module: a private copy at each moment, nothing kept in between but the data.

    Args:
        model: the module, compiled or wrapped or not.
        probes: batches to measure on.
        numerics: what measures are taken under; ``eval_chunk`` bounds a forward pass.
        facts: what is known about the task.
        roles: parameter names (or functions of the parameters) by role.
        forward: how the model is asked to predict, where ``model(inputs)`` is not it.
        loss: ``cross-entropy`` or ``mean-squared-error``, where the targets do not say it.
        seed: of what measures draw.
        draws: whether predicting draws random numbers; None: found out.

    Raises:
        UsageError: the module cannot be copied, does not run on the probes, or does not fit their targets.
    """

    def __init__(
        self,
        model: nn.Module,
        probes: Mapping[str, Batch],
        numerics: Numerics,
        *,
        facts: Facts | None = None,
        roles: Mapping[str, Role] | None = None,
        forward: Call | None = None,
        loss: str | None = None,
        seed: int = 0,
        draws: bool | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise UsageError(f"the model is a {type(model).__name__}: give a torch.nn.Module.")
        if loss is not None and loss not in LOSSES:
            raise unknown("loss", loss, LOSSES)
        self.model = model
        self.numerics = numerics
        self._probes = dict(probes)
        self._facts = facts
        self._roles = dict(roles or {})
        self._forward = forward
        self._loss = loss
        self._seed = seed
        self._placed: tuple[Any, dict[str, Batch]] | None = None
        self.draws = self._try() if draws is None else draws

    def at(self, step: int, initial: Snapshot | None = None) -> Snapshot:
        """Return a snapshot of the module as it is now; its tensors are private copies."""
        with neutral():
            private = self._copy()
            return Snapshot.of_private(self.source(private), private, step=step, initial=initial)

    def roles(self, private: nn.Module) -> dict[str, Role]:
        """Return what plays which role, given or inferred from a private copy."""
        return roles_of(private, self._roles)

    def source(self, private: nn.Module) -> Source:
        """Return what the snapshots of a private copy of the module share."""
        return source_of(
            private,
            probes=self._at_hand(private),
            facts=self._facts,
            roles=self._roles,
            eval_chunk=self.numerics.eval_chunk,
            forward=_seeded(self._forward, self._seed) if self.draws else self._forward,
            loss=self._loss,
            measure_seed=self._seed,
        )

    def _copy(self) -> nn.Module:
        for name, parameter in self.model.named_parameters():
            if type(parameter.data).__name__ == "DTensor":
                raise UsageError(
                    f"{name} is spread over processes (a DTensor): gather the parameters before measuring."
                )
        private = private_copy(self.model)
        return private if device_of(private).type == "cuda" else private.to("cpu")

    def _at_hand(self, private: nn.Module) -> dict[str, Batch]:
        """Return the probes where the model is, real inputs in its parameters' dtype if they all have one."""
        dtypes = {tensor.dtype for tensor in private.parameters() if tensor.is_floating_point()}
        dtype = dtypes.pop() if len(dtypes) == 1 else None
        device = device_of(private)
        if self._placed is None or self._placed[0] != (device, dtype):
            self._placed = ((device, dtype), {name: _placed(b, device, dtype) for name, b in self._probes.items()})
        return dict(self._placed[1])

    def _try(self) -> bool:
        """Run a few examples of each probe through a copy; return whether that drew random numbers.

        A model that does not run, or targets it has no outputs for, are told before the training goes on: on a GPU
        the latter would end its process.
        """
        with undisturbed(self.numerics):
            drawn = False
            self.draws = False
            snapshot = self.at(0)
            for name, batch in snapshot.probes.items():
                before = self._random_states()
                try:
                    outputs = snapshot.predict(batch.inputs[:TRIED])
                except GrokscopeError:
                    raise
                except Exception as error:
                    if isinstance(self.model, torch.jit.ScriptModule):
                        raise UsageError(
                            f"the {type(self.model).__name__} is TorchScript, which runs with its own parameters only: "
                            "give the Python module it was made from, or no data, to measure the weights alone."
                        ) from error
                    raise does_not_run(name, batch, error) from error
                check_outputs(name, batch, outputs)
                drawn = drawn or before != self._random_states()
            snapshot.close()
        return drawn

    def _random_states(self) -> list[Any]:
        """Return the states a forward may draw from, so that two lists are equal if nothing was drawn."""
        tensors = [torch.get_rng_state()]
        if self.numerics.device.startswith("cuda"):
            tensors.append(torch.cuda.get_rng_state(self.numerics.device))
        arrays = np.random.get_state(legacy=False)["state"]
        return [
            *(tensor.tolist() for tensor in tensors),
            random.getstate(),
            {key: np.asarray(part).tolist() for key, part in arrays.items()},
        ]


def _placed(batch: Batch, device: torch.device, dtype: torch.dtype | None) -> Batch:
    inputs = batch.inputs.to(device=device, dtype=dtype if batch.inputs.is_floating_point() else None)

    def moved(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.to(device)

    return Batch(inputs, moved(batch.targets), moved(batch.weights))


def _seeded(forward: Call | None, seed: int) -> Call:
    """Return a forward that draws the same numbers each time it is asked."""
    call: Callable[[nn.Module, Tensor], Any] = forward or (lambda model, inputs: model(inputs))
    drawn = derive(seed, "forward")

    def seeded(model: nn.Module, inputs: Tensor) -> Any:
        torch.manual_seed(drawn)
        random.seed(drawn)
        np.random.seed(drawn % 2**32)
        return call(model, inputs)

    return seeded
