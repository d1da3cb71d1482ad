"""Named things, found by name and loaded only when used.

A registry maps a name to an object or to a ``"module:attribute"`` string. Third parties add theirs
with an entry point of the registry's group, or with ``add`` in a program. Listing names loads nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Generic, TypeVar

from grokscope.errors import GrokscopeError, unknown

T = TypeVar("T")


def load(target: str) -> Any:
    """Return the object that ``"module:attribute"`` names.

    Example:
        >>> load("math:tau") > 6
        True
    """
    module, _, attribute = target.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise GrokscopeError(f"{target!r} cannot be loaded: {error}.") from error
    return found


class Registry(Generic[T]):
    """Names of one kind of thing; unknown names are answered with the nearest known ones."""

    def __init__(self, kind: str, group: str, builtin: dict[str, str] | None = None) -> None:
        self.kind = kind
        self.group = group
        self._known: dict[str, T | str] = dict(builtin or {})

    @cached_property
    def _installed(self) -> dict[str, str]:
        from importlib.metadata import entry_points

        return {point.name: point.value for point in entry_points(group=self.group)}

    def names(self) -> list[str]:
        """Return every known name, sorted."""
        return sorted({*self._known, *self._installed})

    def __contains__(self, name: str) -> bool:
        return name in self._known or name in self._installed

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def add(self, name: str, target: T | str) -> None:
        """Register ``target`` (an object, or ``"module:attribute"``) in this process under ``name``."""
        self._known[name] = target

    def get(self, name: str) -> T:
        """Return the thing called ``name``, loading it on first use.

        Raises:
            UsageError: nothing is called so; the nearest names are offered.
        """
        target = self._known.get(name, self._installed.get(name))
        if target is None:
            raise unknown(self.kind, name, self.names())
        if isinstance(target, str):
            target = load(target)
            self._known[name] = target
        return target  # type: ignore[return-value]


TASKS: Registry[Any] = Registry(
    "task",
    "grokscope.tasks",
    {
        "modular-addition": "grokscope.tasks.modular:ModularAddition",
        "modular-arithmetic": "grokscope.tasks.modular:ModularArithmetic",
        "images": "grokscope.tasks.images:Images",
        "reviews": "grokscope.tasks.reviews:Reviews",
        "molecules": "grokscope.tasks.molecules:Molecules",
        "student-teacher": "grokscope.tasks.student_teacher:StudentTeacher",
        "latent-addition": "grokscope.tasks.latent_addition:LatentAddition",
        "sparse-classification": "grokscope.tasks.linear:SparseClassification",
        "matrix-completion": "grokscope.tasks.completion:MatrixCompletion",
        "margin-gaussian": "grokscope.tasks.linear:MarginGaussian",
        "sparse-regression": "grokscope.tasks.sparse_regression:SparseRegression",
        "monitored": "grokscope.monitor.settings:MonitoredTask",
        "polynomial-regression": "grokscope.tasks.polynomial:PolynomialRegression",
    },
)
MODELS: Registry[Any] = Registry(
    "model",
    "grokscope.models",
    {
        "modular-transformer": "grokscope.models.settings:ModularTransformerSettings",
        "mlp": "grokscope.models.settings:MLPSettings",
        "lstm": "grokscope.models.lstm_settings:LSTMSettings",
        "scaled-perceptron": "grokscope.models.scaled_perceptron_settings:ScaledPerceptronSettings",
        "symmetric-factorisation": "grokscope.models.factorisation_settings:SymmetricFactorisationSettings",
        "graph-network": "grokscope.models.graph_network_settings:GraphNetworkSettings",
        "two-layer-perceptron": "grokscope.models.two_layer_settings:TwoLayerPerceptronSettings",
        "diagonal-network": "grokscope.models.diagonal_settings:DiagonalNetworkSettings",
        "monitored": "grokscope.monitor.settings:MonitoredModel",
        "polynomial-student": "grokscope.models.polynomial_settings:PolynomialStudentSettings",
    },
)
LEARNERS: Registry[Any] = Registry(
    "learner",
    "grokscope.learners",
    {
        "gradient": "grokscope.learners.settings:GradientSettings",
        "completion-flow": "grokscope.learners.flow_settings:CompletionFlowSettings",
        "diagonal-flow": "grokscope.learners.flow_settings:DiagonalFlowSettings",
        "label-noise": "grokscope.learners.label_noise_settings:LabelNoiseSettings",
        "monitored": "grokscope.monitor.settings:MonitoredLearner",
        "polynomial-reduction": "grokscope.learners.polynomial_settings:PolynomialReductionSettings",
    },
)
OPTIMIZERS: Registry[Any] = Registry(
    "optimizer",
    "grokscope.optimizers",
    {
        "sgd": "grokscope.learners.settings:SGDSettings",
        "adam": "grokscope.learners.settings:AdamSettings",
        "adamw": "grokscope.learners.settings:AdamWSettings",
    },
)
INTERVENTIONS: Registry[Any] = Registry(
    "intervention",
    "grokscope.interventions",
    {
        "weight-norm": "grokscope.interventions.weight_norm:WeightNormClamp",
        "activation-clamp": "grokscope.interventions.activation_clamp:ActivationClamp",
        "dropout": "grokscope.interventions.dropout:Dropout",
        "parameter-mask": "grokscope.interventions.parameter_mask:ParameterMask",
        "gradient-clip": "grokscope.interventions.gradient_clip:GradientClip",
        "gradient-filter": "grokscope.interventions.gradient_filter:GradientFilter",
        "fourier-ablation": "grokscope.interventions.fourier_ablation:FourierAblation",
    },
)
MEASURES: Registry[Any] = Registry(
    "measure",
    "grokscope.measures",
    {
        "performance": "grokscope.measures.performance:PERFORMANCE",
        "weights": "grokscope.measures.weights:WEIGHTS",
        "gini": "grokscope.measures.gini:GINI",
        "fourier": "grokscope.measures.fourier:FOURIER",
        "circles": "grokscope.measures.circles:CIRCLES",
        "circuit": "grokscope.measures.circuit:CIRCUIT",
        "ablation": "grokscope.measures.ablation:ABLATION",
        "maps": "grokscope.measures.maps:MAPS",
        "participation": "grokscope.measures.participation:PARTICIPATION",
        "gradient": "grokscope.measures.gradient:GRADIENT",
        "feature_rank": "grokscope.measures.feature_rank:FEATURE_RANK",
        "neural_collapse": "grokscope.measures.neural_collapse:NEURAL_COLLAPSE",
        "linear_probe": "grokscope.measures.linear_probe:LINEAR_PROBE",
        "cka": "grokscope.measures.cka:CKA",
        "information": "grokscope.measures.information:INFORMATION",
        "units": "grokscope.measures.units:UNITS",
        "sparsity": "grokscope.measures.sparsity:SPARSITY",
        "curvature": "grokscope.measures.curvature:CURVATURE",
        "learning_coefficient": "grokscope.measures.learning_coefficient:LEARNING_COEFFICIENT",
        "linear_mapping_number": "grokscope.measures.linear_mapping_number:LINEAR_MAPPING_NUMBER",
        "local_complexity": "grokscope.measures.local_complexity:LOCAL_COMPLEXITY",
        "ntk": "grokscope.measures.ntk:NTK",
        "lazy_prediction": "grokscope.measures.lazy_prediction:LAZY_PREDICTION",
        "quadratic_kernel": "grokscope.measures.quadratic_kernel:QUADRATIC_KERNEL",
        "sufficient_statistics": "grokscope.measures.sufficient_statistics:SUFFICIENT_STATISTICS",
        "norms": "grokscope.measures.norms:NORMS",
        "dead_weights": "grokscope.measures.dead_weights:DEAD_WEIGHTS",
        "spectra": "grokscope.measures.spectra:SPECTRA",
        "weight_entropy": "grokscope.measures.weight_entropy:WEIGHT_ENTROPY",
        "marchenko_pastur": "grokscope.measures.marchenko_pastur:MARCHENKO_PASTUR",
        "trap_removal": "grokscope.measures.trap_removal:TRAP_REMOVAL",
        "correlation_traps": "grokscope.measures.correlation_traps:CORRELATION_TRAPS",
        "htsr": "grokscope.measures.htsr:HTSR",
        "margin": "grokscope.measures.margin:MARGIN",
        "max_margin": "grokscope.measures.max_margin:MAX_MARGIN",
        "stationarity": "grokscope.measures.stationarity:STATIONARITY",
        "circuit_complexity": "grokscope.measures.circuit_complexity:CIRCUIT_COMPLEXITY",
        "relative_loss": "grokscope.measures.relative_loss:RELATIVE_LOSS",
        "robustness": "grokscope.measures.robustness:ROBUSTNESS",
        "input_jacobian": "grokscope.measures.input_jacobian:INPUT_JACOBIAN",
        "uniformity": "grokscope.measures.uniformity:UNIFORMITY",
        "agop": "grokscope.measures.agop:AGOP",
        "transition_forecast": "grokscope.measures.transition_forecast:TRANSITION_FORECAST",
        "completion": "grokscope.measures.completion:COMPLETION",
        "early_predictor": "grokscope.measures.early_predictor:EARLY_PREDICTOR",
        "threshold_accuracy": "grokscope.measures.threshold_accuracy:THRESHOLD_ACCURACY",
    },
)
PAPERS: Registry[Any] = Registry("paper", "grokscope.papers")
