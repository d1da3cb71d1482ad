"""What all snapshots of one training share: how to predict, the data, the facts, the roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from grokscope.batch import Batch
from grokscope.facts import Facts
from grokscope.forward import Call, Forward, module_forward
from grokscope.matrices import Structure
from grokscope.roles import Role as Role
from grokscope.roles import roles_of


@dataclass(frozen=True)
class StepRecord:
    """The update that leaves a moment: parameters before, gradient, parameters after, by name."""

    before: Mapping[str, Tensor]
    gradient: Mapping[str, Tensor]
    after: Mapping[str, Tensor]
    loss: float


@dataclass(frozen=True)
class Descent:
    """Gradient descent on loss + (λ/2) ‖θ‖² as theory speaks of it: weight decay λ is coupled, added to the gradient.

    Attributes:
        learning_rate: η, of a step, or of a unit of the step count in a gradient flow; the largest one, where a
            schedule makes it smaller.
        weight_decay: λ.
        momentum: of heavy-ball momentum.
        full_batch: whether every step sees the whole training set.
        constant: whether η stays the same from step to step.
        is_flow: whether it is a gradient flow, of which a step is the time η.
        nesterov: whether momentum looks ahead.
    """

    learning_rate: float
    weight_decay: float = 0.0
    momentum: float = 0.0
    full_batch: bool = True
    constant: bool = True
    is_flow: bool = False
    nesterov: bool = False


@dataclass(frozen=True)
class Source:
    """What every snapshot of one training shares: how to predict, the data, the facts, the roles.

    ``loss`` names the loss trained on, where it is known. ``plain`` is the forward pass through the
    module's submodules, which ``activations`` looks at; the module's own if absent. ``structure`` says what
    belongs to which layer where the module itself is not there. ``descent`` is the rule the parameters follow,
    where it is gradient descent with coupled weight decay. ``lasting`` holds what snapshots computed for all.
    """

    forward: Forward
    probes: Mapping[str, Batch]
    facts: Facts | None = None
    roles: Mapping[str, Role] | None = None
    module: nn.Module | None = None
    eval_chunk: int | None = None
    measure_seed: int = 0
    plain: Forward | None = None
    loss: str | None = None
    structure: Structure | None = None
    descent: Descent | None = None
    lasting: dict[Any, Any] = field(default_factory=dict, compare=False, repr=False)


def source_of(
    private: nn.Module,
    *,
    probes: Mapping[str, Batch],
    facts: Facts | None = None,
    roles: Mapping[str, Role] | None = None,
    eval_chunk: int | None = None,
    forward: Call | None = None,
    loss: str | None = None,
    measure_seed: int = 0,
) -> Source:
    """Return what snapshots of a module share; the module must be a private copy. Roles not given are inferred."""
    return Source(
        forward=module_forward(private, call=forward),
        probes=probes,
        facts=facts,
        roles=roles_of(private, roles),
        module=private,
        eval_chunk=eval_chunk,
        measure_seed=measure_seed,
        loss=loss,
        plain=module_forward(private, call=forward),
    )
