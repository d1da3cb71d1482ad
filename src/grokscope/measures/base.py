"""What a measure is: a pure function of a snapshot, with a declaration of what it gives and needs.

Three kinds. A *point* measure looks at one snapshot. A *step* measure looks at the update that leaves
it. A *hindsight* measure needs to know how the run ended: it collects what is sufficient while the run
goes on, and compares it with a reference taken from the last snapshot when the run is sealed; its live
variant, whose keys end in ``_online``, takes each snapshot as its own reference.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from grokscope.errors import UsageError
from grokscope.registry import MEASURES

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

Number = float | Tensor
Result = Mapping[str, Any]
"""key -> number, or {module: number}, or a tensor with axes, which is stored as an array."""


@dataclass(frozen=True)
class Key:
    """One number a measure gives: what it is, its unit and range, and what it does in each phase."""

    description: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    direction: str = ""


@dataclass(frozen=True)
class Collected:
    """What a hindsight measure keeps of a moment: ``kept`` for good, ``transient`` until the run is sealed."""

    kept: dict[str, Tensor] = field(default_factory=dict)
    transient: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Hindsight:
    """The three parts of a hindsight measure, all pure."""

    collect: Callable[[Snapshot], Collected]
    reference: Callable[[Snapshot], dict[str, Tensor]]
    compare: Callable[[dict[str, Tensor], dict[str, Tensor]], Result]


@dataclass(frozen=True)
class Measure:
    """A named, versioned measure.

    ``needs`` lists what a snapshot must have: ``labels``, ``train``, ``test``, ``probe:NAME``,
    ``cyclic`` (targets are sums modulo the order), ``role:NAME``, ``site:NAME`` (a submodule), ``update``. Keys
    are written as ``name/key``, except by measures with ``bare_keys``, whose keys already have that form. ``cites`` are
    the papers it comes from: keys of ``grokscope.citations``, or BibTeX entries.
    """

    name: str
    version: int
    keys: Mapping[str, Key]
    reference: str
    compute: Callable[[Snapshot], Result] | None = None
    hindsight: Hindsight | None = None
    kind: Literal["point", "step", "hindsight"] = "point"
    needs: tuple[str, ...] = ()
    cost: Literal["cheap", "normal", "heavy"] = "cheap"
    bare_keys: bool = False
    cites: tuple[str, ...] = ()

    def key(self, name: str) -> str:
        """Return the stored form of one of its keys."""
        return name if self.bare_keys else f"{self.name}/{name}"


@dataclass(frozen=True)
class Reading:
    """What a measure gave at one moment: rows (key, module, value) and arrays by name."""

    rows: list[tuple[str, str | None, float]]
    arrays: dict[str, Tensor] = field(default_factory=dict)


def why_not(measure: Measure, snapshot: Snapshot) -> str | None:
    """Return the sentence that says why a measure does not apply to a snapshot, or None if it does."""
    facts = snapshot.facts
    for need in measure.needs:
        kind, _, name = need.partition(":")
        if kind == "labels" and not any(batch.targets is not None for batch in snapshot.probes.values()):
            return f"{measure.name} needs labelled data; this snapshot has none."
        if kind in ("train", "test") and kind not in snapshot.probes:
            return f"{measure.name} needs {kind} data; this snapshot has none."
        if kind == "probe" and name not in snapshot.probes:
            return (
                f"{measure.name} needs a probe called {name!r}; this task has {', '.join(snapshot.probes) or 'none'}."
            )
        if kind == "cyclic" and (facts is None or facts.group is None or facts.group.kind != "cyclic"):
            return f"{measure.name} needs a task whose targets are sums modulo p; this task is not known to be one."
        if kind == "role" and snapshot.role(name) is None:
            return f"{measure.name} needs to know which parameter is the {name}: give roles={{{name!r}: ...}}."
        if kind == "site" and not snapshot.has_site(name):
            return f"{measure.name} looks at the submodule {name!r}; this model has none of that name."
        if kind == "update" and snapshot.trial_step() is None:
            return f"{measure.name} looks at an update of the parameters; this snapshot has no update to look at."
    return None


def evaluate(measure: Measure | str, snapshot: Snapshot) -> Reading:
    """Return what a measure, or the registered one of that name, gives at a snapshot.

    A hindsight measure gives its ``_online`` variant.

    Raises:
        UsageError: there is no such measure, or it does not apply; the message says why.
    """
    if isinstance(measure, str):
        return evaluate(MEASURES.get(measure), snapshot)
    reason = why_not(measure, snapshot)
    if reason is not None:
        raise UsageError(reason)
    hindsight = measure.hindsight
    if hindsight is not None:
        collected = snapshot.memo(("collected", measure.name), lambda: hindsight.collect(snapshot))
        result = hindsight.compare(hindsight.reference(snapshot), {**collected.kept, **collected.transient})
        return flatten(measure, result, suffix="_online")
    assert measure.compute is not None
    return flatten(measure, measure.compute(snapshot))


def flatten(measure: Measure, result: Result, *, suffix: str = "") -> Reading:
    """Return a result as rows and arrays, with the keys as they are stored."""
    rows: list[tuple[str, str | None, float]] = []
    arrays: dict[str, Tensor] = {}
    for name, value in result.items():
        if not name or "@" in name:
            raise UsageError(f"{measure.name} gave the key {name!r}: keys are words, without @.")
        key = measure.key(name) + suffix
        if isinstance(value, Mapping):
            rows += [(key, module, float(number)) for module, number in value.items()]
        elif isinstance(value, Tensor) and value.ndim:
            arrays[name + suffix] = value
        else:
            rows.append((key, None, float(value)))
    return Reading(rows, arrays)
