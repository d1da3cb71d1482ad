"""A run, fully said: frozen, resolved, hashable, and free of torch.

A spec is a tree of sections (``task``, ``model``, ``learner``, ``optimizer``, ``interventions``,
``seed``, ``numerics``, ``record`` …). It is made from a tree of plain values by :func:`resolve`,
changed with dotted overrides (``{"task.modulus": 53}``), and written out whole beside the results,
so that a default that changes later cannot change an old run.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny

from grokscope import registry
from grokscope.analysis.transitions import TransitionRule
from grokscope.cadence import Cadence
from grokscope.errors import UsageError
from grokscope.rng import derive
from grokscope.settings import (
    InterventionSettings,
    LearnerSettings,
    ModelSettings,
    OptimizerSettings,
    Settings,
    TaskSettings,
)
from grokscope.validation import validated

STREAMS = ("init", "split", "order", "noise", "measure")
PARTS = {
    "task": registry.TASKS,
    "model": registry.MODELS,
    "learner": registry.LEARNERS,
    "optimizer": registry.OPTIMIZERS,
}


class Seeds(Settings):
    """One seed a stream; ``base`` is the number they were derived from, a label only."""

    base: int = 0
    init: int
    split: int
    order: int
    noise: int
    measure: int

    @classmethod
    def derive(cls, base: int, **given: int) -> Seeds:
        """Return the seeds that ``--seed base`` means, with ``given`` streams set by hand."""
        return cls(base=base, **{stream: derive(base, stream) for stream in STREAMS} | given)


class Numerics(Settings):
    """What moves the last bits of a run, and with them its transitions; part of its identity."""

    dtype: Literal["float32", "float64"] = "float32"
    threads: int = Field(default=1, ge=1, le=1024)
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="cpu, cuda or cuda:N")
    path: Literal["auto", "plain", "fast", "graph"] = "auto"
    eval_chunk: int | None = Field(default=None, ge=1, description="inputs a forward pass of a measure takes at once")


class Recording(Settings):
    """Some measures on a cadence of their own."""

    measures: tuple[str, ...]
    cadence: Cadence


class Record(Settings):
    """What is written down and when; no part of a run's identity."""

    measures: tuple[str, ...] = ("performance", "weights")
    observe: Cadence = Cadence(per_decade=20)
    extra: tuple[Recording, ...] = ()
    checkpoints: Cadence = Cadence(per_decade=4)

    def plan(self) -> tuple[Recording, ...]:
        """Return all recordings, the main one first."""
        return (Recording(measures=self.measures, cadence=self.observe), *self.extra)


class Parent(Settings):
    """Where a fork came from: the state of a training at a step, and for people what was changed there.

    ``run`` and ``changes`` are labels; the rest is part of the fork's identity. No changes: the control.
    """

    training_id: str
    step: int = Field(ge=0)
    state: str = Field(description="SHA-256 of the state, which is in inputs/")
    run: str = ""
    changes: tuple[str, ...] = ()


class StopRule(Settings):
    """Stop early: once ``key`` has been at or above ``level`` for ``sustain`` observations in a row."""

    key: str
    level: float
    sustain: int = Field(default=3, ge=1)


class Spec(Settings):
    """A resolved run."""

    paper: str = "user"
    experiment: str = "run"
    scale: str = "custom"
    task: SerializeAsAny[TaskSettings]
    model: SerializeAsAny[ModelSettings] | None = None
    learner: SerializeAsAny[LearnerSettings]
    optimizer: SerializeAsAny[OptimizerSettings] | None = None
    interventions: tuple[SerializeAsAny[InterventionSettings], ...] = ()
    seed: Seeds
    numerics: Numerics = Numerics()
    record: Record = Record()
    stop: StopRule | None = None
    transition: TransitionRule | None = None
    roles: dict[str, str] = Field(default_factory=dict)
    engine: Literal["single", "ensemble"] = "single"
    group: str | None = None
    parent: Parent | None = None

    @property
    def name(self) -> str:
        """``paper/experiment``."""
        return f"{self.paper}/{self.experiment}"

    @property
    def intervention_labels(self) -> tuple[str, ...]:
        """The names of the interventions, numbered where two have the same."""
        names = [part.name for part in self.interventions]
        return tuple(name if names.count(name) == 1 else f"{name}.{index}" for index, name in enumerate(names))

    def tree(self) -> dict[str, Any]:
        """Return the spec as plain values, as it is written to ``spec.json``; only a fork's names a parent."""
        return self.model_dump(mode="json", exclude={"parent"} if self.parent is None else None)

    @property
    def training_id(self) -> str:
        """Hash of all that decides the parameters and what measures draw and compute: 64 hexadecimal digits.

        The recording plan, the step limit, labels and the transition rule are outside it.
        """
        return _digest(self._identity() | {"engine": self.engine, "group": self.group})

    @property
    def versions(self) -> dict[str, int]:
        """The version of each part, by its section; of an intervention by its name."""
        parts = {"task": self.task, "model": self.model, "learner": self.learner, "optimizer": self.optimizer}
        return {name: part.version for name, part in parts.items() if part is not None} | {
            f"intervention {part.name}": part.version for part in self.interventions
        }

    def training_id_of(self, stored: Mapping[str, Any], versions: Mapping[str, int]) -> str:
        """Return the training id of a tree this spec was made from, by earlier versions of its parts.

        Settings that the tree does not have, because they came into being later, are left out.
        """
        identity = _written(self._identity(), stored) | {"versions": dict(versions)}
        return _digest(identity | {"engine": self.engine, "group": self.group})

    @property
    def solo_id(self) -> str:
        """The training id this run would have alone; equal for a run and the member that repeats it."""
        return _digest(self._identity() | {"engine": "single", "group": None})

    def _identity(self) -> dict[str, Any]:
        parts = {"task": self.task, "model": self.model, "learner": self.learner, "optimizer": self.optimizer}
        tree = self.tree()
        tree["learner"].pop("steps", None)
        origin = self.parent.model_dump(exclude={"run", "changes"}) if self.parent is not None else None
        return {
            **({"parent": origin} if origin is not None else {}),
            **{name: tree[name] for name in (*parts, "interventions", "numerics")},
            "seed": {stream: tree["seed"][stream] for stream in STREAMS},
            "versions": self.versions,
        }

    def with_group(self, members: list[Spec]) -> Spec:
        """Return this run as a member of the ensemble of ``members``."""
        group = _digest({"members": [member.solo_id for member in members]})[:16]
        return self.model_copy(update={"engine": "ensemble", "group": group})


def _written(identity: dict[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return an identity with only those settings that a stored tree has."""

    def kept(section: Any, given: Any) -> Any:
        if isinstance(section, list):
            return [kept(one, other) for one, other in zip(section, given, strict=True)]
        return {key: value for key, value in section.items() if key in given} if isinstance(section, dict) else section

    return (
        identity
        | {name: kept(identity[name], stored.get(name) or {}) for name in (*PARTS, "numerics")}
        | {"interventions": kept(identity["interventions"], stored.get("interventions") or [])}
    )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def override(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``tree`` with dotted ``changes`` laid over it.

    Changing a part's ``name`` drops the settings of the part it replaces.

    Example:
        >>> override({"task": {"name": "a", "modulus": 5}}, {"task.modulus": 7})
        {'task': {'name': 'a', 'modulus': 7}}
    """
    result = json.loads(json.dumps(tree))
    for key in sorted(changes, key=lambda key: not key.endswith(".name")):
        *path, last = key.split(".")
        node = result
        for word in path:
            if not isinstance(node.get(word), dict):
                node[word] = {}
            node = node[word]
        if last == "name" and node.get("name") not in (None, changes[key]):
            node.clear()
        node[last] = changes[key]
    return result


def parse_value(text: str) -> Any:
    """Return the value that ``text`` writes: a JSON value (``0.5``, ``true``, ``[1,2]``), else the text.

    Example:
        >>> parse_value("1e-3"), parse_value("adamw")
        (0.001, 'adamw')
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def parse_assignment(text: str) -> tuple[str, Any]:
    """Return (key, value) of ``KEY=VALUE``.

    Raises:
        UsageError: there is no ``=`` or no key.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"{text!r} is not KEY=VALUE: write for example task.modulus=53.")
    return key.strip(), parse_value(value.strip())


def read_file(path: Path) -> dict[str, Any]:
    """Return the tree of a TOML or JSON spec file; dotted keys are allowed at the top level.

    Raises:
        UsageError: the file is missing, is neither TOML nor JSON, or does not parse.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"the spec file {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the spec file {path} is not text: give a TOML or JSON file.") from error
    try:
        tree = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise UsageError(f"the spec file {path} does not parse: {error}.") from error
    if not isinstance(tree, dict):
        raise UsageError(f"the spec file {path} must hold sections such as [task] and [model].")
    dotted = {key: value for key, value in tree.items() if "." in key}
    return override({key: value for key, value in tree.items() if "." not in key}, dotted)


def resolve(tree: Mapping[str, Any], *, seed: int | None = None) -> Spec:
    """Return the spec that a tree of plain values means; every default is filled in.

    Args:
        tree: sections of settings; ``seed`` may be ``{"base": N}`` with single streams set by hand.
        seed: the base seed, which stands before the one in ``tree``.

    Raises:
        UsageError: an unknown key or name (the nearest valid ones are offered) or a value out of range.
    """
    values = dict(tree)
    for section, parts in PARTS.items():
        if values.get(section) is not None:
            values[section] = _part(section, values[section], parts)
    if not isinstance(values.get("interventions") or (), list | tuple):
        raise UsageError(
            f"interventions = {values['interventions']!r}: give a list of sections, each with a name, or --intervene."
        )
    values["interventions"] = tuple(
        _intervention(f"interventions.{index}", entry, values.get("task"))
        for index, entry in enumerate(values.get("interventions") or ())
    )
    given = values.get("seed") or {}
    if not isinstance(given, dict):
        given = {"base": given}
    base = given.get("base", 0) if seed is None else seed
    derived = {stream: derive(base, stream) for stream in STREAMS} if isinstance(base, int) else {}
    values["seed"] = {**derived, **given, "base": base}
    spec = validated(Spec, values, "")
    _check_measures(spec)
    return _resolve_path(spec)


def _part(section: str, value: Any, parts: registry.Registry[Any]) -> Any:
    if isinstance(value, Settings):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise UsageError(
            f"{section} must say which {parts.kind} it is: set {section}.name to one of {', '.join(parts.names())}."
        )
    return validated(parts.get(value["name"]), value, section)


def _intervention(section: str, entry: Any, task: Any) -> InterventionSettings:
    part: InterventionSettings = _part(section, entry, registry.INTERVENTIONS)
    known = part.from_task(task) if isinstance(task, TaskSettings) else {}
    return validated(type(part), {**part.model_dump(), **known}, section) if known else part


def _check_measures(spec: Spec) -> None:
    known = set(registry.MEASURES)
    for recording in spec.record.plan():
        for name in recording.measures:
            base = name.partition(":")[0]
            if base not in known:
                registry.MEASURES.get(base)  # raises, with the nearest names


def _resolve_path(spec: Spec) -> Spec:
    """Choose the forward path before step 0: clamps at activations need the plain module."""
    offered = spec.model.paths if spec.model is not None else ("plain",)
    clamped = any(part.point == "activation" for part in spec.interventions)
    path = spec.numerics.path
    if path == "auto":
        path = "fast" if "fast" in offered and not clamped else "plain"
    elif path == "graph":
        if not spec.numerics.device.startswith("cuda"):
            raise UsageError("numerics.path = 'graph' records an update on a CUDA device: add --device cuda.")
        if spec.interventions:
            raise UsageError(
                "numerics.path = 'graph' replays an update without the host, which interventions need: use plain."
            )
    elif path not in offered:
        raise UsageError(
            f"numerics.path = {path!r}: the model {spec.model.name if spec.model else 'none'} offers "
            f"{', '.join(offered)}."
        )
    elif path == "fast" and clamped:
        raise UsageError("numerics.path = 'fast' skips the activation that an intervention acts on: use plain.")
    return spec.model_copy(update={"numerics": spec.numerics.model_copy(update={"path": path})})
