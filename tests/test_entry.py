"""What is registered, what is public, and the examples in docstrings."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any

import pytest
from pydantic_core import PydanticUndefined

import grokscope
from grokscope import registry
from grokscope.errors import GrokscopeError, UsageError
from grokscope.measures.base import Measure
from grokscope.paper import Paper
from grokscope.registry import Registry, load
from grokscope.settings import (
    InterventionSettings,
    LearnerSettings,
    ModelSettings,
    OptimizerSettings,
    Part,
    Settings,
    TaskSettings,
)

KINDS: dict[str, tuple[Registry[Any], type[Part]]] = {
    "task": (registry.TASKS, TaskSettings),
    "model": (registry.MODELS, ModelSettings),
    "learner": (registry.LEARNERS, LearnerSettings),
    "optimizer": (registry.OPTIMIZERS, OptimizerSettings),
    "intervention": (registry.INTERVENTIONS, InterventionSettings),
}
BUILTIN = {
    "task": [
        "sparse-classification",
        "margin-gaussian",
        "matrix-completion",
        "sparse-regression",
        "images",
        "reviews",
        "molecules",
        "student-teacher",
        "latent-addition",
        "modular-addition",
        "modular-arithmetic",
        "monitored",
        "polynomial-regression",
    ],
    "model": [
        "mlp",
        "lstm",
        "graph-network",
        "diagonal-network",
        "two-layer-perceptron",
        "symmetric-factorisation",
        "scaled-perceptron",
        "modular-transformer",
        "monitored",
        "polynomial-student",
    ],
    "learner": ["gradient", "diagonal-flow", "completion-flow", "label-noise", "monitored", "polynomial-reduction"],
    "optimizer": ["adam", "adamw", "sgd"],
    "intervention": [
        "activation-clamp",
        "dropout",
        "fourier-ablation",
        "gradient-clip",
        "gradient-filter",
        "parameter-mask",
        "weight-norm",
    ],
}
VALUES: dict[str, Any] = {
    "site": "at_hidden.0",
    "parameters": "W_E",
    "keep": 0.5,
    "norm": 3.0,
    "rate": 0.1,
    "frequencies": (1, 2),
}
MORE: dict[str, dict[str, Any]] = {"activation-clamp": {"factor": 0.5}}
"""What fields without a default are given, and what a part needs besides."""

PARTS = [(kind, name) for kind, names in BUILTIN.items() for name in names]
MODULES = [m.name for m in pkgutil.walk_packages(grokscope.__path__, "grokscope.") if not m.name.endswith("__main__")]


def required(kind: type[Settings]) -> Iterable[str]:
    return (name for name, field in kind.model_fields.items() if field.is_required() and name != "name")


@pytest.mark.parametrize("kind", KINDS)
def test_the_builtin_parts_are_there(kind: str) -> None:
    strangers = {name for name in KINDS[kind][0] if not name.startswith("toy-")} - set(BUILTIN[kind])
    assert set(BUILTIN[kind]) <= set(KINDS[kind][0])
    assert all("grokscope" not in KINDS[kind][0].get(name).__module__ for name in strangers)


@pytest.mark.parametrize(("kind", "name"), PARTS)
def test_every_part_loads_round_trips_and_is_closed(kind: str, name: str) -> None:
    parts, base = KINDS[kind]
    settings = parts.get(name)
    assert issubclass(settings, base)
    assert settings.model_fields["name"].default in (name, PydanticUndefined)
    assert isinstance(settings.version, int)
    assert settings.version >= 1
    assert (settings.__doc__ or "").strip()
    given: Any = settings(**{**{field: VALUES[field] for field in required(settings)}, **MORE.get(name, {})})
    assert given.name == name
    tree = given.model_dump(mode="json")
    assert settings.model_validate(tree) == given
    assert settings.model_validate_json(given.model_dump_json()) == given
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        settings.model_validate({**tree, "no_such_key": 1})
    with pytest.raises(ValueError, match="frozen"):
        given.name = "other"
    if kind == "intervention":
        assert given.point in ("data", "activation", "loss", "gradient", "parameters")


@pytest.mark.parametrize("name", registry.MEASURES.names())
def test_every_measure_declares_itself(name: str) -> None:
    measure: Measure = registry.MEASURES.get(name)
    assert isinstance(measure, Measure)
    assert measure.name == name or name not in BUILTIN_MEASURES
    assert measure.version >= 1
    assert measure.reference
    assert measure.keys
    assert all(about.description for about in measure.keys.values())
    assert all("@" not in measure.key(key) and "/" in measure.key(key) for key in measure.keys)
    assert (measure.kind == "hindsight") == (measure.hindsight is not None)
    assert measure.compute is not None or measure.hindsight is not None
    assert measure.cost in ("cheap", "normal", "heavy")


BUILTIN_MEASURES = (
    "lazy_prediction",
    "completion",
    "transition_forecast",
    "early_predictor",
    "ablation",
    "agop",
    "circles",
    "circuit",
    "circuit_complexity",
    "cka",
    "correlation_traps",
    "trap_removal",
    "feature_rank",
    "fourier",
    "gini",
    "gradient",
    "htsr",
    "information",
    "input_jacobian",
    "linear_mapping_number",
    "linear_probe",
    "local_complexity",
    "maps",
    "marchenko_pastur",
    "margin",
    "max_margin",
    "neural_collapse",
    "dead_weights",
    "norms",
    "ntk",
    "participation",
    "performance",
    "quadratic_kernel",
    "relative_loss",
    "robustness",
    "sparsity",
    "spectra",
    "stationarity",
    "sufficient_statistics",
    "threshold_accuracy",
    "uniformity",
    "units",
    "weight_entropy",
    "weights",
)


def test_the_builtin_measures_are_there() -> None:
    assert set(BUILTIN_MEASURES) <= set(registry.MEASURES)


def test_the_papers_are_found_by_their_entry_points() -> None:
    points = entry_points(group="grokscope.papers")
    assert "nanda2023" in points.names
    for point in points:
        paper = registry.PAPERS.get(point.name)
        assert isinstance(paper, Paper)
        assert paper.id == point.name
        assert paper.bibtex.startswith("@")


@pytest.mark.parametrize(
    ("name", "scale"),
    [(f"{p}/{e.name}", s) for p in registry.PAPERS for e in registry.PAPERS.get(p).experiments for s in e.scale_names],
)
def test_every_experiment_resolves_at_every_scale(name: str, scale: str) -> None:
    from grokscope.execution.plan import experiment_spec
    from grokscope.spec import Spec, resolve

    spec = experiment_spec(name, scale=scale)
    assert isinstance(spec, Spec)
    assert (spec.name, spec.scale) == (name, scale)
    assert resolve(spec.tree()).training_id == spec.training_id


@pytest.mark.parametrize("paper", registry.PAPERS.names())
def test_what_a_paper_names_can_be_loaded(paper: str) -> None:
    found: Paper = registry.PAPERS.get(paper)
    assert all(callable(claim.function()) for claim in found.claims)
    assert all(callable(load(figure.function)) for figure in found.figures)


def test_a_registry_says_what_is_wrong() -> None:
    things: Registry[Any] = Registry("thing", "grokscope.tests.nothing", {"lost": "grokscope.nowhere:thing"})
    with pytest.raises(GrokscopeError, match=r"'grokscope\.nowhere:thing' cannot be loaded: No module named"):
        things.get("lost")
    with pytest.raises(UsageError, match="unknown thing 'lots': did you mean 'lost'"):
        things.get("lots")
    things.add("found", 3)
    assert things.get("found") == 3
    assert list(things) == ["found", "lost"]


def test_the_public_names() -> None:
    for name in grokscope.__all__:
        assert getattr(grokscope, name) is not None
        assert name in dir(grokscope)
    assert grokscope.measures.gini is importlib.import_module("grokscope.measures.gini")
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        grokscope.nonsense  # noqa: B018  # type: ignore[attr-defined]


@pytest.mark.parametrize("module", ["grokscope", *MODULES])
def test_the_examples_in_docstrings_are_true(module: str) -> None:
    loaded = importlib.import_module(module)
    assert (loaded.__doc__ or "").strip() or not any(
        getattr(thing, "__module__", None) == module for thing in vars(loaded).values()
    ), "a module that defines something says what it is"
    results = doctest.testmod(loaded, verbose=False)
    assert results.failed == 0
