"""What is wrong with settings, in one sentence with the dotted key it is about; imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from grokscope.errors import UsageError, nearest
from grokscope.settings import Settings


def validated(kind: type[Any], values: dict[str, Any], section: str) -> Any:
    """Return ``values`` as settings of ``kind``; ``section`` is where in the spec they stand, empty for all of it.

    Raises:
        UsageError: an unknown key (the nearest valid ones are offered), a missing one, or a value out of range.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UsageError(_sentence(kind, values, error, section)) from error


def _sentence(kind: type[Settings], values: Mapping[str, Any], error: ValidationError, section: str) -> str:
    """Say the first problem of a validation in one sentence, with the dotted key it is about."""
    # a misspelled key comes before what is missing because of it
    problem = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    alternatives = _alternatives(kind, error, problem)
    location = [str(word) for word in problem["loc"]][: -1 if alternatives else None]
    key = ".".join([section, *location] if section else location)
    if problem["type"] == "extra_forbidden":
        owner = _owner(kind, location[:-1])
        names = list(owner.model_fields) if owner else []
        inside = [f"{part}.{location[-1]}" for part in names if location[-1] in _fields_of(values.get(part))]
        if inside and not section:
            return f"unknown key {key}: did you mean {' or '.join(inside)}?"
        close = nearest(location[-1], names)
        offered = [".".join([*key.split(".")[:-1], name]) for name in (close or names)]
        hint = f"did you mean {' or '.join(offered)}?" if close else f"the known ones are {', '.join(offered)}."
        return f"unknown key {key}: {hint}"
    if problem["type"] == "missing":
        if section.startswith("interventions."):
            return f"{key} is missing: give it, as in --intervene {values.get('name')}:{location[-1]}=VALUE."
        return f"{key} is missing: set it, for example with --set {key}=VALUE."
    messages = [one["msg"].removeprefix("Value error, ").removeprefix("Input should be ") for one in alternatives]
    message = " or ".join(messages) or problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    stem = "it must be " if problem["msg"].startswith("Input should be ") else ""
    if problem["type"] == "string_pattern_mismatch" and (owner := _owner(kind, location[:-1])):
        # a pattern is no sentence: what the field is, is said in its description
        message, stem = owner.model_fields[location[-1]].description or message, "it must be "
    shown = "" if isinstance(problem["input"], dict) else f" = {problem['input']!r}"
    return f"{key}{shown}: {stem}{message}."


def _alternatives(kind: type[Settings], error: ValidationError, problem: Any) -> list[Any]:
    """Return what each kind of a value that may be of several has against it; empty where it is of one kind.

    The last word of where such a problem is names a kind (``constrained-float``), which is no key.
    """
    *path, last = problem["loc"] or ("",)
    if not path or isinstance(last, int) or _owner(kind, [str(word) for word in path]):
        return []
    beside = [one for one in error.errors() if one["loc"][:-1] == tuple(path) and one["input"] is problem["input"]]
    return beside if len(beside) > 1 else []


def _fields_of(section: Any) -> Iterable[str]:
    return type(section).model_fields if isinstance(section, Settings) else ()


def _owner(kind: type[Settings], path: list[str]) -> type[Settings] | None:
    for word in path:
        field = kind.model_fields.get(word)
        annotation = getattr(field, "annotation", None)
        if not (isinstance(annotation, type) and hasattr(annotation, "model_fields")):
            return None
        kind = annotation
    return kind
