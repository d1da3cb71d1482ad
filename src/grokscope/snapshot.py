"""One moment of a training, seen through one interface: parameters, a functional forward, data, facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from grokscope.batch import Batch
from grokscope.errors import GrokscopeError, UsageError, unknown
from grokscope.facts import Facts
from grokscope.forward import Call, module_forward, private_copy, sites
from grokscope.given import Given, batch_of, checked
from grokscope.linalg.spectra import Layout, singular_values
from grokscope.matrices import WeightMatrix, weight_matrices
from grokscope.real_inputs import RealInputs, real_inputs
from grokscope.registry import load
from grokscope.rng import generator
from grokscope.roles import infer_roles as infer_roles
from grokscope.source import Descent as Descent
from grokscope.source import Role as Role
from grokscope.source import Source as Source
from grokscope.source import StepRecord as StepRecord
from grokscope.source import source_of
from grokscope.visits import Visit, watched


class Snapshot:
    """An immutable view of one moment; what is expensive is computed once and shared.

    Valid during the call it was made for; afterwards every use raises. ``freeze()`` gives one to keep.

    Example:
        >>> snapshot = Snapshot.of(nn.Linear(2, 3), train=(torch.zeros(4, 2), torch.zeros(4).long()))
        >>> snapshot.logits("train").shape, snapshot.role("readout").shape
        (torch.Size([4, 3]), torch.Size([3, 2]))
    """

    def __init__(
        self,
        source: Source,
        *,
        step: int,
        parameters: Mapping[str, Tensor],
        buffers: Mapping[str, Tensor] | None = None,
        initial: Snapshot | None = None,
        clocks: Mapping[str, float] | None = None,
        trial: Callable[[], StepRecord] | None = None,
    ) -> None:
        self.step = step
        self._source = source
        self._parameters = MappingProxyType(dict(parameters))
        self._buffers = MappingProxyType(dict(buffers or {}))
        self._initial = initial
        self.clocks = MappingProxyType(dict(clocks or {}))
        self._trial = trial
        self._memo: dict[Any, Any] = {}
        self._open = True

    @classmethod
    def of(
        cls,
        model: nn.Module,
        *,
        step: int = 0,
        train: Given | None = None,
        test: Given | None = None,
        probes: Mapping[str, Given] | None = None,
        facts: Facts | None = None,
        roles: Mapping[str, Role] | None = None,
        initial: Snapshot | None = None,
        eval_chunk: int | None = None,
        forward: Call | None = None,
        loss: str | None = None,
    ) -> Snapshot:
        """Return a snapshot of any module, to keep: its parameters are copied, the module is left alone.

        Predictions are those of a private copy in evaluation mode (no dropout, running statistics).

        Args:
            model: any module.
            step: the optimizer step it is at.
            train: (inputs, targets) it was trained on, or the inputs alone, if measures are to see them.
            test: the same of held-out data, if there are any.
            probes: further data by name.
            facts: what is known about the task.
            roles: parameter names (or functions of the parameters) by role, where inference from the
                module is not wanted.
            initial: the snapshot at the start, for measures that compare with it.
            eval_chunk: inputs to a forward pass; None is all at once.
            forward: how the model is asked to predict, where ``model(inputs)`` is not it:
                ``lambda model, inputs: model(input_ids=inputs).logits``.
            loss: ``cross-entropy`` or ``mean-squared-error``, where the targets do not say it.

        Raises:
            UsageError: the module cannot be copied or has parameters without values, or the data cannot be used.
        """
        private = private_copy(model)
        given = {"train": train, "test": test, **(probes or {})}
        source = source_of(
            private,
            probes={n: checked(n, batch_of(n, data, empty=True)) for n, data in given.items() if data is not None},
            facts=facts,
            roles=roles,
            eval_chunk=eval_chunk,
            forward=forward,
            loss=loss,
        )
        return cls.of_private(source, private, step=step, initial=initial)

    @classmethod
    def of_private(cls, source: Source, private: nn.Module, *, step: int, initial: Snapshot | None = None) -> Snapshot:
        """Return a snapshot that owns a private module and, without a further copy, its parameters."""
        return cls(
            source,
            step=step,
            parameters={name: parameter.detach() for name, parameter in private.named_parameters()},
            buffers={name: buffer.detach() for name, buffer in private.named_buffers()},
            initial=initial,
        )

    # -- lifetime ---------------------------------------------------------------------------------

    def close(self) -> None:
        """End the snapshot's life: every later use raises."""
        self._open = False
        self._memo.clear()

    def freeze(self) -> Snapshot:
        """Return a copy that stays valid; its tensors are its own."""
        self._check()
        return Snapshot(
            self._source,
            step=self.step,
            parameters={name: p.clone() for name, p in self._parameters.items()},
            buffers={name: b.clone() for name, b in self._buffers.items()},
            initial=self._initial,
            clocks=self.clocks,
            trial=self._trial,
        )

    def _check(self) -> None:
        if not self._open:
            raise GrokscopeError(
                f"the snapshot of step {self.step} was used after the call it was made for: keep snapshot.freeze()."
            )

    # -- what it holds ----------------------------------------------------------------------------

    @property
    def parameters(self) -> Mapping[str, Tensor]:
        """Parameters by name, detached copies."""
        self._check()
        return self._parameters

    @property
    def buffers(self) -> Mapping[str, Tensor]:
        """Buffers by name, detached copies."""
        self._check()
        return self._buffers

    @property
    def initial(self) -> Snapshot | None:
        """The snapshot at step 0, if it is known."""
        self._check()
        return self._initial

    @property
    def facts(self) -> Facts | None:
        """What is known about the task."""
        return self._source.facts

    @property
    def loss(self) -> str | None:
        """The name of the loss trained on (``cross-entropy``, ``mean-squared-error``), where it is known."""
        return self._source.loss

    @property
    def descent(self) -> Descent | None:
        """The rule the parameters follow, where it is known to be gradient descent with coupled weight decay."""
        return self._source.descent

    @property
    def probes(self) -> Mapping[str, Batch]:
        """The named batches measures may look at."""
        self._check()
        return self._source.probes

    def probe(self, name: str) -> Batch:
        """Return the batch called ``name``.

        Raises:
            UsageError: there is no such probe.
        """
        if name not in self.probes:
            raise unknown("probe", name, self.probes)
        return self.probes[name]

    def role(self, name: str) -> Tensor | None:
        """Return the tensor that plays a role (embedding, readout …), or None where the role is not filled."""
        self._check()
        role = (self._source.roles or {}).get(name)
        if role is None:
            return None
        if callable(role) or ":" in role:
            function = role if callable(role) else load(role)
            try:
                return function(self._parameters)
            except KeyError:
                return None  # the function is for another model's parameters
        if role not in self._parameters:
            raise unknown(f"parameter for the role {name}", role, self._parameters)
        return self._parameters[role]

    def generator(self, name: str, version: int) -> torch.Generator:
        """Return the generator of one measure: equal at every step and whatever else runs."""
        return generator(self._source.measure_seed, name, version)

    def trial_step(self) -> StepRecord | None:
        """Return the update that leaves this moment, taken on a private copy; None where there is none."""
        self._check()
        return None if self._trial is None else self.memo("trial step", self._trial)

    # -- what is computed once --------------------------------------------------------------------

    def memo(self, key: Any, compute: Callable[[], Any]) -> Any:
        """Return ``compute()``, computed once a snapshot for each ``key``."""
        self._check()
        if key not in self._memo:
            with torch.no_grad():
                self._memo[key] = compute()
        return self._memo[key]

    def lasting(self, key: Any, compute: Callable[[], Any]) -> Any:
        """Return ``compute()``, computed once a training for each ``key``: what theory says about the data, say.

        It must depend on the data, the facts, the initial snapshot and the module's structure only, which stay.
        """
        self._check()
        lasting = self._source.lasting
        if key not in lasting:
            with torch.no_grad():
                lasting[key] = compute()
        return lasting[key]

    def keep_lasting(self, store: dict[Any, Any]) -> None:
        """Take what lasts from ``store`` and put it there: for snapshots of one training that was restored anew."""
        self._source = replace(self._source, lasting=store)

    def predict(self, inputs: Tensor) -> Tensor:
        """Return the outputs for ``inputs``, at most ``eval_chunk`` at a time; differentiable in ``inputs``."""
        self._check()
        everything = {**self._parameters, **self._buffers}
        chunk = self._source.eval_chunk
        if chunk is None or len(inputs) <= chunk:
            return self._source.forward(everything, inputs)
        return torch.cat([self._source.forward(everything, part) for part in inputs.split(chunk)])

    def predict_with(self, tensors: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """Return the outputs for ``inputs`` with other values of some parameters; differentiable in both.

        All inputs go through at once: the caller bounds their number.
        """
        self._check()
        return self._source.forward({**self._parameters, **self._buffers, **tensors}, inputs)

    def logits(self, probe: str) -> Tensor:
        """Return the outputs on a probe, shape (examples, outputs); part of a larger probe is looked up there."""
        batch = self.probe(probe)

        def compute() -> Tensor:
            if batch.parent is not None and batch.rows is not None:
                return self.logits(batch.parent)[batch.rows]
            return self.predict(batch.inputs)

        return self.memo(("logits", probe), compute)

    def has_site(self, site: str) -> bool:
        """Tell whether the model has a submodule called ``site``, whose output ``activations`` could give."""
        module = self._source.module
        return module is not None and site in dict(module.named_modules())

    def activations(self, probe: str, site: str) -> Tensor:
        """Return what the submodule ``site`` puts out on a probe.

        Raises:
            UsageError: the model has no such submodule, or it was not used in the forward pass.
        """
        batch = self.probe(probe)
        return self.memo(("activations", probe, site), lambda: self._activations(batch, site))

    def _activations(self, batch: Batch, site: str) -> Tensor:
        module = self._source.module
        if module is None:
            raise UsageError("this learner has no module whose activations could be read.")
        found: list[Tensor] = []
        plain = self._source.plain or module_forward(module)
        chunk = self._source.eval_chunk or max(len(batch), 1)
        with sites(module, {site: lambda output: found.append(output.detach())}):
            for part in batch.inputs.split(chunk):
                plain({**self._parameters, **self._buffers}, part)
        return torch.cat(found)

    @property
    def eval_chunk(self) -> int | None:
        """How many inputs a forward pass takes at once; None is all of them."""
        return self._source.eval_chunk

    @property
    def module(self) -> nn.Module | None:
        """The private module, for its structure: its own parameters need not be those of the snapshot."""
        return self._source.module

    def watch(self, inputs: Tensor, see: Callable[[Visit], None]) -> None:
        """Run the forward pass chunk by chunk, and show ``see`` each use of a layer or nonlinearity in it.

        Tensors of a visit are those of one chunk; nothing is kept. The pass is the module's own, not its fast path.

        Raises:
            UsageError: there is no module to look into.
        """
        self._check()
        if self._source.module is None:
            raise UsageError("this learner has no module whose forward pass could be watched.")
        with torch.no_grad(), watched(self._source.module, see):
            for part in inputs.split(self._source.eval_chunk or max(len(inputs), 1)):
                self.predict_plainly(part)

    def predict_plainly(self, inputs: Tensor, tensors: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the outputs by the module's own forward pass, where hooks on ``module`` fire; differentiable."""
        self._check()
        module = self._source.module
        plain = self._source.forward if module is None else self._source.plain or module_forward(module)
        return plain({**self._parameters, **self._buffers, **(tensors or {})}, inputs)

    def real_inputs(self, probe: str) -> RealInputs | None:
        """Return the points of a probe at which derivatives with respect to the input can be taken, or None.

        The inputs themselves where they are real numbers; where they are tokens, the output of the embedding.
        """
        batch = self.probe(probe)
        everything = {**self._parameters, **self._buffers}
        return self.memo(("real inputs", probe), lambda: real_inputs(self._source, everything, batch))

    def in_double(self) -> Snapshot:
        """Return the same moment in float64, parameters, buffers and data: for derivatives of second order."""

        def compute() -> Snapshot:
            def cast(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
                return {name: t.double() if t.is_floating_point() else t for name, t in tensors.items()}

            probes = {name: batch.to(batch.inputs.device, torch.float64) for name, batch in self.probes.items()}
            return Snapshot(
                replace(self._source, probes=probes, lasting=self._source.lasting.setdefault("in double", {})),
                step=self.step,
                parameters=cast(self._parameters),
                buffers=cast(self._buffers),
                initial=self._initial,
                clocks=self.clocks,
            )

        return self.memo("in double", compute)

    def matrices(self) -> list[WeightMatrix]:
        """Return the weight matrices: fused projections split, tied weights once; those without values left out."""
        module = self._source.module
        layout = self._source.structure if module is None else module
        return self.memo("matrices", lambda: weight_matrices(self._parameters, layout)[0])

    def singular_values(self, name: str, layout: Layout = "flat") -> Tensor:
        """Return the singular values of a weight matrix or a parameter, descending, in float64.

        Args:
            name: of one of ``matrices()`` (``attn.in_proj_weight[query]``), or of a parameter, which is then seen as
                (rows, everything else).
            layout: of a convolution, see :func:`grokscope.linalg.spectra.as_slices`.

        Raises:
            UsageError: nothing is called so, or it has values that are not finite.
        """

        def compute() -> Tensor:
            for matrix in self.matrices():
                if matrix.name == name:
                    if matrix.tensor.ndim == 2 and layout != "flat":
                        return self.singular_values(name)  # one matrix has one layout, and one SVD is enough
                    return singular_values(matrix.tensor, layout=layout)
            if name not in self._parameters:
                raise unknown("weight matrix", name, [*self._parameters, *(m.name for m in self.matrices())])
            return singular_values(self._parameters[name].flatten(1))

        return self.memo(("singular values", name, layout), compute)
