"""What theory says of a training's data without training: solutions, each with a certificate, and forecasts.

NumPy float64 in and out; tensors are taken as arrays. A function is loaded when it is first used, as in
``gs.theory.max_l2_margin``.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from grokscope.theory.bounds import max_l1_margin_bound as max_l1_margin_bound
    from grokscope.theory.bounds import max_l2_margin_bound as max_l2_margin_bound
    from grokscope.theory.certificate import Certificate as Certificate
    from grokscope.theory.completion import early_completion as early_completion
    from grokscope.theory.completion import minimum_nuclear_norm as minimum_nuclear_norm
    from grokscope.theory.completion import regularised_completion as regularised_completion
    from grokscope.theory.interpolation import kernel_interpolation as kernel_interpolation
    from grokscope.theory.interpolation import kernel_ridge as kernel_ridge
    from grokscope.theory.interpolation import minimum_norm as minimum_norm
    from grokscope.theory.label_noise import label_noise_decay as label_noise_decay
    from grokscope.theory.lazy import Rule as Rule
    from grokscope.theory.lazy import break_time as break_time
    from grokscope.theory.lazy import laziness as laziness
    from grokscope.theory.lazy import lazy_model as lazy_model
    from grokscope.theory.margin import kernel_margin as kernel_margin
    from grokscope.theory.margin import max_l1_margin as max_l1_margin
    from grokscope.theory.margin import max_l2_margin as max_l2_margin
    from grokscope.theory.margin import multiclass_margin as multiclass_margin
    from grokscope.theory.norm_decay import decay_steps as decay_steps
    from grokscope.theory.norm_decay import decayed_norm as decayed_norm
    from grokscope.theory.representation_dynamics import generalisation_time as generalisation_time
    from grokscope.theory.representation_dynamics import reduced_path as reduced_path
    from grokscope.theory.stationarity import alignment as alignment
    from grokscope.theory.stationarity import complementarity as complementarity
    from grokscope.theory.stationarity import decay_residual as decay_residual
    from grokscope.theory.stationarity import margin_stationarity as margin_stationarity
    from grokscope.theory.stationarity import norm_stationarity as norm_stationarity
    from grokscope.theory.transition_time import classification_onset as classification_onset
    from grokscope.theory.transition_time import kernel_regime_end as kernel_regime_end
    from grokscope.theory.transition_time import onset as onset

_HOMES = {
    "Certificate": "certificate",
    "Rule": "lazy",
    "alignment": "stationarity",
    "break_time": "lazy",
    "classification_onset": "transition_time",
    "complementarity": "stationarity",
    "decay_residual": "stationarity",
    "decay_steps": "norm_decay",
    "decayed_norm": "norm_decay",
    "early_completion": "completion",
    "generalisation_time": "representation_dynamics",
    "kernel_interpolation": "interpolation",
    "kernel_margin": "margin",
    "kernel_regime_end": "transition_time",
    "kernel_ridge": "interpolation",
    "label_noise_decay": "label_noise",
    "laziness": "lazy",
    "lazy_model": "lazy",
    "margin_stationarity": "stationarity",
    "max_l1_margin": "margin",
    "max_l1_margin_bound": "bounds",
    "max_l2_margin": "margin",
    "max_l2_margin_bound": "bounds",
    "minimum_norm": "interpolation",
    "minimum_nuclear_norm": "completion",
    "multiclass_margin": "margin",
    "norm_stationarity": "stationarity",
    "onset": "transition_time",
    "reduced_path": "representation_dynamics",
    "regularised_completion": "completion",
}
"""In which module of the package each public name is."""


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name.startswith("_") or find_spec(f"{__name__}.{name}") is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
