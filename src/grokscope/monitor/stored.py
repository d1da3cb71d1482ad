"""A monitored run on disk: what is written of a training that is not ours, and snapshots from it afterwards."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from grokscope.batch import Batch
from grokscope.errors import CheckpointError, GrokscopeError, StoreError, UsageError
from grokscope.facts import Chance, Facts, GroupStructure, InputGeometry, SequenceLayout
from grokscope.forward import Call, neutral, private_copy
from grokscope.loop.encoding import decode, encode_tensors
from grokscope.matrices import Structure, structure_of
from grokscope.measures.base import DoesNotApply
from grokscope.monitor.quiet import undisturbed
from grokscope.monitor.subject import Subject
from grokscope.registry import load
from grokscope.snapshot import Snapshot
from grokscope.source import Source
from grokscope.spec import Numerics
from grokscope.store import StoredRun, decode_value, plain

PROBES = "probes.safetensors"
INITIAL = "initial.safetensors"
STRUCTURE = "structure.json"
FACTS = "facts.json"
At = Callable[[int], Snapshot]
State = tuple[Mapping[str, Tensor], Mapping[str, Tensor]]
"""Parameters and buffers by name."""
Code = nn.Module | tuple[nn.Module, Call] | Callable[[], Any] | str
"""A model again: a module, (module, forward), a function that returns either, or FILE.py:function."""


# -- writing --------------------------------------------------------------------------------------


def state_of(snapshot: Snapshot) -> dict[str, Tensor]:
    """Return parameters and buffers as a checkpoint names them."""
    return {
        **{f"parameter/{name}": tensor for name, tensor in snapshot.parameters.items()},
        **{f"buffer/{name}": tensor for name, tensor in snapshot.buffers.items()},
    }


def encoded(state: Mapping[str, Tensor], step: int) -> bytes:
    """Return the bytes of a checkpoint: a safetensors file, whose own order is another, with the order of the names."""
    return encode_tensors(state, {"step": step, "order": list(state)})


def tensors_of(probes: Mapping[str, Batch]) -> dict[str, Tensor]:
    """Return the tensors of probes by ``name/inputs``, ``name/targets`` and ``name/weights``."""
    parts = ("inputs", "targets", "weights")
    named = {f"{name}/{part}": getattr(batch, part) for name, batch in probes.items() for part in parts}
    return {name: tensor for name, tensor in named.items() if tensor is not None}


def inputs_of(initial: Snapshot, probes: Mapping[str, Batch] | None, facts: Facts | None) -> dict[str, bytes]:
    """Return what a run keeps for measuring later: the start, the structure, and the data where they are given."""
    assert initial.module is not None
    structure = json.dumps(asdict(structure_of(initial.module)), sort_keys=True)
    inputs = {INITIAL: encoded(state_of(initial), 0), STRUCTURE: structure.encode()}
    if probes is not None:
        inputs[PROBES] = encode_tensors(tensors_of(probes))
    if facts is not None:
        inputs[FACTS] = json.dumps(plain(asdict(facts)), sort_keys=True).encode()
    return inputs


def bytes_in(directory: Path) -> int:
    """Return how many bytes of data a run keeps for measuring later, its checkpoints apart."""
    return sum(path.stat().st_size for path in (directory / "inputs").glob("*") if path.is_file())


def digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of named tensors: names, shapes, dtypes and bytes.

    Example:
        >>> digest({"a": torch.zeros(2)}) == digest({"a": torch.zeros(2)}) != digest({"a": torch.ones(2)})
        True
    """
    found = hashlib.sha256()
    for name, tensor in tensors.items():
        found.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
        found.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


# -- reading --------------------------------------------------------------------------------------


@contextmanager
def opened(run: StoredRun, model: Code | None = None) -> Iterator[At]:
    """Within the context, a function from a checkpoint's step to its snapshot, under the numerics it was measured with.

    Without the model's code a snapshot holds the weights alone, and measures that run the model do not apply.

    Raises:
        UsageError: the code cannot be loaded, or is not that of the model in the checkpoints.
        CheckpointError: by the function, where there is no usable checkpoint at that step.
    """
    from grokscope.execution.plan import stored_spec

    spec = stored_spec(run)
    numerics = _here(spec.numerics)
    given = _inputs(run)
    state = _state(given[INITIAL]) if INITIAL in given else None
    module, call = (None, None) if model is None else built(model)
    facts: Any = spec.model
    if module is not None and facts.forward and call is None:
        raise UsageError(
            f"{run.directory} was monitored with forward=: have the function return (module, forward), with that one."
        )
    with undisturbed(numerics):
        if module is not None:
            module = like(module, state or _state(run.checkpoints.load(run.checkpoints.steps()[0])))
        source = _source(module, given, spec, numerics, call)
        initial = None if state is None else _snapshot(source, 0, state, numerics)
        last: list[Snapshot] = []

        def at(step: int) -> Snapshot:
            while last:
                last.pop().close()
            snapshot = _snapshot(source, step, _state(run.checkpoints.load(step)), numerics, initial)
            last.append(snapshot)
            return snapshot

        try:
            yield at
        finally:
            while last:
                last.pop().close()


def initial_of(run: StoredRun, subject: Subject, now: Snapshot) -> Snapshot:
    """Return the moment a monitored run began with, or ``now`` where it is not stored."""
    given = _inputs(run)
    if INITIAL not in given or now.module is None:
        return now
    return _snapshot(subject.source(now.module), 0, _state(given[INITIAL]), subject.numerics)


def built(model: Code) -> tuple[nn.Module, Call | None]:
    """Return the module that somebody's code makes, and how it is asked to predict, if that is said.

    Raises:
        UsageError: the code cannot be found, fails, or makes something else.

    Example:
        >>> built(lambda: nn.Linear(2, 1))[0]
        Linear(in_features=2, out_features=1, bias=True)
    """
    made: Any = _loaded(model) if isinstance(model, str) else model
    if not isinstance(made, nn.Module | tuple) and callable(made):
        try:
            made = made()
        except Exception as error:
            raise UsageError(f"the function that makes the model failed: {type(error).__name__}: {error}") from error
    if isinstance(made, nn.Module):
        return made, None
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], nn.Module) and callable(made[1]):
        return made
    raise UsageError(
        f"the model's code gave a {type(made).__name__}: have it return a torch.nn.Module, or (module, forward)."
    )


def _loaded(text: str) -> Any:
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name.isidentifier():
        raise UsageError(f"{text!r} names no model: write FILE.py:function or package.module:function.")
    file = Path(place)
    if file.suffix == ".py" and not file.is_file():
        raise UsageError(f"there is no {place}: write FILE.py:function with the file that makes the model.")
    where = str(file.resolve().parent if file.suffix == ".py" else Path.cwd())
    sys.path.insert(0, where)  # what it imports lies beside it
    try:
        if file.suffix != ".py":
            return load(text)
        module = _executed(file)
    except GrokscopeError as error:
        raise UsageError(str(error)) from error
    except Exception as error:
        raise UsageError(f"{place} cannot be loaded: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(where)
    if not hasattr(module, name):
        raise UsageError(f"{place} has no {name}: write FILE.py:function with the function that makes the model.")
    return getattr(module, name)


def _executed(file: Path) -> ModuleType:
    described = importlib.util.spec_from_file_location(file.stem, file)
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    sys.modules.setdefault(file.stem, module)  # dataclasses and the like look their module up
    described.loader.exec_module(module)
    return module


def like(model: nn.Module, state: State) -> nn.Module:
    """Return a private copy of a model with parameters that were stored, after checking that they are its own.

    Raises:
        UsageError: a name or a shape differs.
    """
    module = private_copy(model)
    for what, own, stored in zip(
        ("parameter", "buffer"), (dict(module.named_parameters()), dict(module.named_buffers())), state, strict=True
    ):
        for name in sorted(set(own) ^ set(stored)):
            has, lacks = ("the model", "the run") if name in own else ("the run", "the model")
            raise UsageError(
                f"this is not the model that was monitored: {has} has the {what} {name!r}, {lacks} has none such."
            )
        for name, tensor in own.items():
            if tensor.shape != stored[name].shape:
                raise UsageError(
                    f"this is not the model that was monitored: its {what} {name!r} has the shape "
                    f"{tuple(tensor.shape)}, and {tuple(stored[name].shape)} in the run."
                )
    for name, parameter in module.named_parameters():
        parameter.data = state[0][name]  # their dtype too: data are cast to it
    return module


def _source(
    module: nn.Module | None, given: Mapping[str, bytes], spec: Any, numerics: Numerics, call: Call | None
) -> Source:
    probes = _probes(decode(given[PROBES]).tensors) if PROBES in given else {}
    facts = _facts(json.loads(given[FACTS])) if FACTS in given else None
    if module is not None:
        subject = Subject(
            module,
            probes,
            numerics,
            facts=facts,
            roles=spec.roles,
            forward=call,
            loss=spec.task.loss,
            seed=spec.seed.measure,
            draws=spec.model.draws,
        )
        with neutral():
            return subject.source(module.to(numerics.device))
    structure = json.loads(given[STRUCTURE]) if STRUCTURE in given else {"kinds": {}, "ties": {}}
    return Source(
        forward=_no_code,
        probes=probes,
        facts=facts,
        roles=spec.roles,
        eval_chunk=numerics.eval_chunk,
        measure_seed=spec.seed.measure,
        loss=spec.task.loss,
        structure=Structure(**structure),
    )


def _no_code(tensors: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    raise DoesNotApply("this measure runs the model, whose code is no part of a monitored run.")


def _snapshot(
    source: Source,
    step: int,
    state: State,
    numerics: Numerics,
    initial: Snapshot | None = None,
) -> Snapshot:
    parameters, buffers = ({name: t.to(numerics.device) for name, t in tensors.items()} for tensors in state)
    return Snapshot(source, step=step, parameters=parameters, buffers=buffers, initial=initial)


def _state(data: bytes) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    stored = decode(data)
    groups: dict[str, dict[str, Tensor]] = {"parameter": {}, "buffer": {}}
    # sums, and which layer is the first one, depend on the order of the parameters
    for name in stored.values.get("order", stored.tensors):
        kind, _, rest = name.partition("/")
        if kind not in groups:
            raise CheckpointError(f"{name!r} is no parameter or buffer: the file is not of a monitored run.")
        groups[kind][rest] = stored.tensors[name]
    return groups["parameter"], groups["buffer"]


def _probes(tensors: Mapping[str, Tensor]) -> dict[str, Batch]:
    parts: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        probe, _, what = name.rpartition("/")
        parts.setdefault(probe, {})[what] = tensor
    return {name: Batch(p["inputs"], p.get("targets"), p.get("weights")) for name, p in parts.items()}


def _inputs(run: StoredRun) -> dict[str, bytes]:
    recorded = {event["name"]: event["sha256"] for event in run.events("input")}
    found: dict[str, bytes] = {}
    for name in (PROBES, INITIAL, STRUCTURE, FACTS):
        path = run.directory / "inputs" / name
        if not path.is_file():
            continue
        found[name] = path.read_bytes()
        if name in recorded and hashlib.sha256(found[name]).hexdigest() != recorded[name]:
            raise StoreError(f"{path} is not what was stored (its SHA-256 differs): restore it from a copy.")
    return found


def _facts(tree: dict[str, Any]) -> Facts:
    """Return the facts that their JSON form means."""

    def pairs(values: dict[str, Any]) -> dict[str, Any]:
        return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}

    group, geometry, sequence = (tree.get(name) for name in ("group", "geometry", "sequence"))
    if geometry and geometry["bounds"]:
        geometry["bounds"] = tuple(map(decode_value, geometry["bounds"]))
    return Facts(
        outputs=tree["outputs"],
        classes=tree["classes"],
        chance=Chance(**tree["chance"]),
        group=GroupStructure(group["kind"], np.asarray(group["table"]), tuple(group["operands"])) if group else None,
        geometry=InputGeometry(**pairs(geometry)) if geometry else None,
        sequence=SequenceLayout(**pairs(sequence)) if sequence else None,
    )


def _here(numerics: Numerics) -> Numerics:
    """Return the numerics of a run, on the CPU where its device is not here."""
    if numerics.device.startswith("cuda") and not torch.cuda.is_available():
        return numerics.model_copy(update={"device": "cpu"})
    return numerics
