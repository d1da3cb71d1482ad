"""What a monitor is asked for, checked and completed: measures, cadences, the spec of its run, its directory."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from grokscope.analysis import label_free
from grokscope.batch import Batch
from grokscope.cadence import Cadence
from grokscope.errors import UsageError, unknown
from grokscope.forward import unwrapped
from grokscope.measures.base import Measure, named
from grokscope.monitor.settings import MONITORED
from grokscope.monitor.stored import digest, state_of
from grokscope.registry import MEASURES
from grokscope.rng import derive
from grokscope.sinks.base import Sink
from grokscope.snapshot import Snapshot
from grokscope.source import Role
from grokscope.spec import STREAMS, Numerics
from grokscope.store import plain

FEATURES = label_free.FEATURES.rpartition("/")[0]
DEFAULT_MEASURES = ("performance", "weights", "htsr", "sparsity", FEATURES)
"""What is taken where nobody says: cheap, and each without labels but for the first."""
PHASE_MEASURES = ("performance", "weights", FEATURES, "correlation_traps")
"""What the phase without test data is told from (``grokscope.analysis.label_free``)."""
OBSERVE = Cadence(per_decade=10, last=False)
STORE = Cadence(per_decade=4, last=False)


def measures_of(given: Sequence[str | Measure] | None, *, phase: bool) -> list[Measure]:
    """Return the measures of a monitor, each once: those given or the default ones, and those the phase needs.

    Raises:
        UsageError: a name is no measure; the nearest ones are offered.
    """
    if isinstance(given, str | Measure):
        given = [given]
    known = [name for name in DEFAULT_MEASURES if name in MEASURES] if given is None else list(given)
    if phase:
        known += [name for name in PHASE_MEASURES if name.partition(":")[0] in MEASURES]
    found: dict[str, Measure] = {}
    for one in known:
        if not isinstance(one, str | Measure):
            raise UsageError(f"measures hold a {type(one).__name__}: give names, as in ['htsr', 'sparsity'].")
        measure = one if isinstance(one, Measure) else named(one)
        found.setdefault(measure.name, measure)
    return list(found.values())


def cadence_of(given: Cadence | int | None, default: Cadence, name: str) -> Cadence:
    """Return a cadence: the one given, every so many steps for a number, the default for None.

    Raises:
        UsageError: it is neither a cadence nor a number of steps.

    Example:
        >>> cadence_of(50, OBSERVE, "cadence").every
        50
    """
    if given is None:
        return default
    if isinstance(given, Cadence):
        return given.model_copy(update={"last": False})  # no step is known to be the last one
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise UsageError(f"{name} = {given!r}: give a number of steps, 1 or more, or a gs.Cadence(per_decade=10).")
    return Cadence(every=given, last=False)


def spec_tree(
    model: nn.Module,
    initial: Snapshot,
    probes: Mapping[str, Batch],
    counts: Mapping[str, int],
    *,
    name: str,
    measures: Iterable[Measure],
    cadences: tuple[Cadence, Cadence | None],
    numerics: Numerics,
    seed: int,
    loss: str | None,
    forward: bool,
    draws: bool,
    optimizer: Any,
    settings: Mapping[str, Any] | None,
    roles: Mapping[str, Role],
) -> dict[str, Any]:
    """Return the tree of a spec that says of a training what can be known from outside."""
    plain_model, kind = unwrapped(model), type(unwrapped(model))
    observe, store = cadences
    return {
        "paper": "monitor",
        "experiment": name,
        "task": {
            "name": MONITORED,
            "loss": loss,
            "probes": {
                probe: {
                    "given": counts.get(probe, len(batch)),
                    **{what: _described(getattr(batch, what)) for what in ("inputs", "targets", "weights")},
                }
                for probe, batch in probes.items()
            },
        },
        "model": {
            "name": MONITORED,
            "type": f"{kind.__module__}.{kind.__qualname__}",
            "parameters": sum(parameter.numel() for parameter in plain_model.parameters()),
            "initial": digest(state_of(initial)),
            "forward": forward,
            "draws": draws,
        },
        "learner": {
            "name": MONITORED,
            "optimizer": None if optimizer is None else f"{type(optimizer).__module__}.{type(optimizer).__qualname__}",
            "settings": _plain_settings(settings or {}),
        },
        "seed": {"base": seed, **{stream: derive(seed, stream) for stream in STREAMS}},
        "numerics": numerics.model_dump(mode="json"),
        "record": {
            "measures": [measure.name for measure in measures],
            "observe": observe.model_dump(mode="json"),
            "checkpoints": (store or Cadence(first=False, last=True)).model_dump(mode="json"),
        },
        "roles": dict(roles),
    }


def _described(tensor: Tensor | None) -> dict[str, Any] | None:
    if tensor is None:
        return None
    dtype = str(tensor.dtype).removeprefix("torch.")
    return {"shape": list(tensor.shape), "dtype": dtype, "sha256": digest({"": tensor})}


def _plain_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings as JSON has them; what has no JSON form as its text."""
    found: dict[str, Any] = {}
    for key, value in settings.items():
        try:
            found[str(key)] = plain(value)
        except TypeError:
            found[str(key)] = str(value)
    return found


def check_sinks(sinks: Any) -> tuple[Sink, ...]:
    """Return the sinks, each of which has the four methods of one.

    Raises:
        UsageError: something else was given, or the class of a sink instead of one.
    """
    given: tuple[Any, ...] = tuple(sinks) if isinstance(sinks, list | tuple | Iterator) else (sinks,)
    for sink in given:
        if isinstance(sink, type) or not isinstance(sink, Sink):
            what = f"the class {sink.__name__}" if isinstance(sink, type) else f"a {type(sink).__name__}"
            raise UsageError(
                f"sinks hold {what}: give objects with start, log, event and close "
                "(docs/monitor.md names those there are)."
            )
    return given


def check_named(parameters: Iterable[str], roles: Mapping[str, Role]) -> None:
    """Refuse roles of parameters that the model does not have.

    Raises:
        UsageError: there is no parameter of a name.
    """
    known = list(parameters)
    for role, target in roles.items():
        if isinstance(target, str) and ":" not in target and target not in known:
            raise unknown(f"parameter for the role {role}", target, known)


def check_roles(roles: Mapping[str, Role]) -> None:
    """Refuse roles that a run cannot keep.

    Raises:
        UsageError: one is a function.
    """
    for role, target in roles.items():
        if not isinstance(target, str):
            raise UsageError(
                f"the role {role} is a function, which a run cannot keep: name a parameter or 'module:function'."
            )


def check_optimizer(optimizer: Any) -> None:
    """Refuse what has no parameter groups."""
    if optimizer is not None and not hasattr(optimizer, "param_groups"):
        raise UsageError(f"the optimizer is a {type(optimizer).__name__}: give a torch.optim.Optimizer, or none.")


def check_bounds(*, eval_chunk: int | None, storage: int) -> None:
    """Refuse bounds that bound nothing."""
    if eval_chunk is not None and (isinstance(eval_chunk, bool) or not isinstance(eval_chunk, int) or eval_chunk < 1):
        raise UsageError(f"eval_chunk = {eval_chunk!r}: give how many inputs a forward pass may take, or None for all.")
    if isinstance(storage, bool) or not isinstance(storage, int | float) or storage < 0:
        raise UsageError(f"storage = {storage!r}: give the bytes that data and checkpoints may take in the run.")


def rates_of(optimizer: torch.optim.Optimizer | None) -> list[tuple[str, str | None, float]]:
    """Return the learning rate of each parameter group, as rows (key, module, value)."""
    if optimizer is None:
        return []
    rates = [float(group["lr"]) for group in optimizer.param_groups if "lr" in group]
    if len(set(rates)) <= 1:
        return [("step/learning_rate", None, rate) for rate in rates[:1]]
    return [("step/learning_rate", f"group {index}", rate) for index, rate in enumerate(rates)]


def name_of(given: str | None, out: Path | None, model: nn.Module) -> str:
    """Return the name of a run: the one given, that of its directory, or the model's class."""
    if given is not None:
        if not re.fullmatch(r"[\w][\w.-]*", given):
            raise UsageError(f"name = {given!r}: use letters, digits, '-', '_' and '.'.")
        return given
    text = out.resolve().name if out is not None else type(unwrapped(model)).__name__
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "run"
