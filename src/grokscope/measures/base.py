"""What a measure is: a pure function of a snapshot, with a declaration of what it gives and needs.

Three kinds. A *point* measure looks at one snapshot. A *step* measure looks at the update that leaves
it. A *hindsight* measure needs to know how the run ended: it collects what is sufficient while the run
goes on, and compares it with a reference taken from the last snapshot when the run is sealed; its live
variant, whose keys end in ``_online``, takes each snapshot as its own reference.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from grokscope.errors import GrokscopeError, UsageError, first_line, unknown
from grokscope.forward import neutral
from grokscope.given import TRIED, check_outputs, does_not_run
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


class DoesNotApply(UsageError):
    """A measure has nothing to say about a model; the message is the sentence that says why."""


@dataclass(frozen=True)
class Measure:
    """A named, versioned measure.

    ``needs`` lists what a snapshot must have: ``labels``, ``classes`` (labels that are classes), ``train``, ``test``,
    ``probe:NAME``, ``initial`` (the snapshot at the start), ``module`` (whose forward can be looked into),
    ``real-inputs`` (of the training data, or an embedding), ``cyclic`` (targets are sums modulo the order),
    ``role:NAME``, ``site:NAME`` (a submodule), ``update``. What can only be seen in the model itself a measure
    finds out as it computes, and raises :class:`DoesNotApply`. Keys are written as ``name/key``, except by
    measures with ``bare_keys``, whose keys already have that form. Keyword arguments of ``compute`` are options, which
    :func:`named` sets. ``cites`` are the papers it comes from: keys of
    ``grokscope.citations``, or BibTeX entries.
    """

    name: str
    version: int
    keys: Mapping[str, Key]
    reference: str
    compute: Callable[..., Result] | None = None
    hindsight: Hindsight | None = None
    kind: Literal["point", "step", "hindsight"] = "point"
    needs: tuple[str, ...] = ()
    cost: Literal["cheap", "normal", "heavy"] = "cheap"
    bare_keys: bool = False
    cites: tuple[str, ...] = ()

    @cached_property
    def options(self) -> Mapping[str, Any]:
        """The keyword arguments of ``compute`` with their defaults."""
        if self.compute is None:
            return {}
        arguments = inspect.signature(self.compute).parameters.values()
        return {argument.name: argument.default for argument in arguments if argument.kind is argument.KEYWORD_ONLY}

    def key(self, name: str) -> str:
        """Return the stored form of one of its keys."""
        return name if self.bare_keys else f"{self.name}/{name}"


def named(name: str) -> Measure:
    """Return the registered measure of a name, with options where the name has some: ``sparsity:threshold=0.1``.

    A measure with options is another measure: its keys begin with the whole name, so that no two settings mix.

    Raises:
        UsageError: no such measure, no such option, or a value of the wrong type.

    Example:
        >>> named("weights").name
        'weights'
    """
    base, _, text = name.partition(":")
    measure: Measure = MEASURES.get(base)
    if not text:
        return measure
    given: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"{name!r}: write options of a measure as NAME:key=value,key=value.")
        if key not in measure.options:
            raise unknown(f"option of {base}", key, measure.options)
        given[key] = _value(f"{base}:{key}", value, measure.options[key])
    return with_options(measure, **given)


def with_options(measure: Measure, **options: Any) -> Measure:
    """Return a measure with some options set; without any, or with its defaults, the measure itself.

    Raises:
        UsageError: no such option.
    """
    for key in options:
        if key not in measure.options:
            raise unknown(f"option of {measure.name}", key, measure.options)
    changed = {key: value for key, value in sorted(options.items()) if value != measure.options[key]}
    if not changed or measure.compute is None:
        return measure
    name = f"{measure.name}:{','.join(f'{key}={value}' for key, value in changed.items())}"
    return replace(measure, name=name, compute=partial(measure.compute, **changed))


def _value(option: str, text: str, default: Any) -> Any:
    kind = type(default)
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if default is None:
            return float(text) if text != "none" else None
        return kind(text)
    except (KeyError, ValueError) as error:
        raise UsageError(f"{option} = {text!r}: it takes a value like {default!r}.") from error


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
        if kind == "classes" and not any(
            b.targets is not None and not b.targets.is_floating_point() for b in snapshot.probes.values()
        ):
            return f"{measure.name} needs data labelled with classes; this snapshot has none."
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
        if kind == "initial" and snapshot.initial is None:
            return f"{measure.name} compares with the start of the training; this snapshot does not know it."
        if kind == "module" and snapshot.module is None:
            return f"{measure.name} looks inside a forward pass; this learner has no module to look into."
        if kind == "real-inputs" and ("train" not in snapshot.probes or snapshot.real_inputs("train") is None):
            return (
                f"{measure.name} differentiates with respect to the input; this model has neither training inputs "
                "that are real numbers nor an embedding layer for its tokens."
            )
        if kind == "update" and snapshot.trial_step() is None:
            return f"{measure.name} looks at an update of the parameters; this snapshot has no update to look at."
    return None


def battery(snapshot: Snapshot, measures: Iterable[Measure | str] | None = None) -> dict[str, Reading | str]:
    """Return what each measure gives at a snapshot, or the sentence that says why it does not apply.

    Args:
        snapshot: a moment of any model.
        measures: measures or their names, with options or without; all registered ones if None.
    """
    found: dict[str, Reading | str] = {}
    for given in MEASURES if measures is None else measures:
        measure = named(given) if isinstance(given, str) else given
        try:
            found[measure.name] = evaluate(measure, snapshot)
        except DoesNotApply as reason:
            found[measure.name] = str(reason)
    return found


def evaluate(measure: Measure | str, snapshot: Snapshot) -> Reading:
    """Return what a measure, or the registered one of that name, gives at a snapshot.

    A hindsight measure gives its ``_online`` variant. Autocast and inference mode around the call have no effect.

    Raises:
        DoesNotApply: the measure does not apply to this snapshot; the message says why.
        UsageError: there is no such measure.
    """
    if not hasattr(snapshot, "probes"):
        raise UsageError(
            f"a {type(snapshot).__name__} was given where a snapshot belongs: write "
            "gs.evaluate('norms', gs.Snapshot.of(model))."
        )
    if isinstance(measure, str):
        return evaluate(named(measure), snapshot)
    with neutral():
        try:
            return _evaluate(measure, snapshot)
        except GrokscopeError:
            raise
        except Exception as error:
            # where the model or its data are the cause, that is told
            check_predictions(snapshot)
            if isinstance(error, RuntimeError) and not _runs_in_double(snapshot):
                reason = f"{measure.name} computes in float64, which this model does not allow ({first_line(error)})."
                raise DoesNotApply(reason) from error
            raise


def check_predictions(snapshot: Snapshot) -> None:
    """Refuse a snapshot whose model does not run on its data, or gives what does not fit their targets.

    Raises:
        UsageError: it says how the model fails on the first examples of a probe.
    """
    for name, batch in snapshot.probes.items():
        if not len(batch):
            continue
        try:
            outputs = snapshot.predict(batch.inputs[:TRIED])
        except GrokscopeError:
            raise
        except Exception as error:
            raise does_not_run(name, batch, error) from error
        check_outputs(name, batch, outputs)


def _evaluate(measure: Measure, snapshot: Snapshot) -> Reading:
    reason = why_not(measure, snapshot)
    if reason is not None:
        raise DoesNotApply(reason)
    hindsight = measure.hindsight
    if hindsight is not None:
        collected = snapshot.memo(("collected", measure.name), lambda: hindsight.collect(snapshot))
        result = hindsight.compare(hindsight.reference(snapshot), {**collected.kept, **collected.transient})
        return flatten(measure, result, suffix="_online")
    assert measure.compute is not None
    return flatten(measure, measure.compute(snapshot))


def _runs_in_double(snapshot: Snapshot) -> bool:
    double = snapshot.in_double()
    try:
        for batch in double.probes.values():
            double.predict(batch.inputs[:TRIED])
    except Exception:
        return False
    return True


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
