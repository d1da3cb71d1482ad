"""What the run would be at if the network were its first-order model at the start (Kumar et al. 2024).

Trained by the same rule, the model f_0(x) + J(x)(θ − θ_0) has a closed form at every step
(:mod:`grokscope.theory.lazy`). Its parameters after k steps are θ_0 + Δ with Δ = Jᵀa + bθ_0, so that what it says of
test data is a derivative along Δ, and no kernel of test data is built.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from grokscope.linalg.ntk import empirical_ntk
from grokscope.measures.base import DoesNotApply, Key, Measure
from grokscope.measures.derivatives import differentiable
from grokscope.measures.initial_kernel import (
    InitialPoint,
    OwnKernels,
    attempted,
    given,
    initial_kernel,
    initial_point,
)
from grokscope.measures.performance import hits
from grokscope.measures.sampled import Sampled, outputs_of, real_targets, sampled
from grokscope.theory.lazy import LazyModel, Rule, lazy_model

if TYPE_CHECKING:
    from grokscope.snapshot import Snapshot

NAME, VERSION = "lazy_prediction", 1
TRAJECTORY = (
    "train_loss",
    "test_loss",
    "test_loss_relative",
    "train_accuracy",
    "test_accuracy",
    "gap",
    "displacement",
)


@dataclass(frozen=True)
class Linearised:
    """The first-order model of a network at the start of its training.

    Attributes:
        point: θ_0 and the training data.
        targets: real ones, (n, outputs).
        model: its training in closed form.
    """

    point: InitialPoint
    targets: Tensor
    model: LazyModel

    def direction(self, coefficients: np.ndarray, shrunk: float = 0.0) -> dict[str, Tensor]:
        """Return Jᵀa + bθ_0, by parameter."""
        weights = torch.as_tensor(coefficients, dtype=torch.float64, device=self.targets.device)
        pulled = self.point.pulled(weights.reshape(self.targets.shape))
        return {name: part + shrunk * self.point.parameters[name].detach() for name, part in pulled.items()}

    def predict(self, inputs: Tensor, direction: Mapping[str, Tensor]) -> Tensor:
        """Return f_0(x) + J(x) Δ, (m, outputs)."""
        start, along = self.point.moved(inputs, direction)
        return start + along


def measure(
    snapshot: Snapshot, *, examples: int = 512, equations: int = 2048, test_examples: int = 2000
) -> dict[str, float]:
    """Return losses of the first-order model at this step, how far the network is from it, and where it ends.

    Args:
        snapshot: a moment of a training whose start is known.
        examples: training examples up to which it is solved.
        equations: the same of examples times outputs, where outputs have kernels of their own.
        test_examples: how many examples of the test data are looked at, at most.

    Raises:
        DoesNotApply: there are more, their weights differ, or the model cannot be differentiated.
    """
    key = (NAME, examples, equations)
    found = snapshot.lasting(key, lambda: attempted(lambda: _linearised(snapshot, examples, equations)))
    lazy = given(found, NAME)
    classes = snapshot.facts.classes if snapshot.facts is not None else None
    rows = _test_rows(snapshot, test_examples)
    with differentiable(NAME, "outputs"):
        constant = snapshot.lasting((*key, "limit", test_examples), lambda: _limit(lazy, rows, classes))
        result = dict(constant)
        rule = _rule(snapshot)
        if rule is not None:
            result |= _now(snapshot, lazy, rule, rows, constant.get("start_loss", math.nan), classes)
    return {name: value for name, value in result.items() if name != "start_loss"}


def _rule(snapshot: Snapshot) -> Rule | None:
    """Return the rule that the parameters follow, or None where the first-order model has no closed form."""
    descent = snapshot.descent
    if descent is None or not (descent.constant and descent.full_batch) or not descent.learning_rate > 0:
        return None
    train = snapshot.probe("train")
    is_squared = train.targets is not None and train.targets.is_floating_point()
    if snapshot.loss not in ((None, "mean-squared-error") if is_squared else ("mean-squared-error",)):
        return None
    if not descent.is_flow and descent.learning_rate * descent.weight_decay >= 1:
        return None
    return Rule(
        descent.learning_rate,
        descent.weight_decay,
        descent.momentum,
        is_flow=descent.is_flow,
        nesterov=descent.nesterov,
    )


def _now(
    snapshot: Snapshot,
    lazy: Linearised,
    rule: Rule,
    rows: Sampled | None,
    start_loss: float,
    classes: int | None,
) -> dict[str, float]:
    """Return what the first-order model is at now, and how far the network is from it; NaN where that diverges."""
    fitted = torch.as_tensor(lazy.model.predict(snapshot.step, rule), device=lazy.targets.device)
    labels = _classes(snapshot.probe("train").targets, lazy.targets)
    result = _told("train", fitted, lazy.targets, labels, classes)
    coefficients = lazy.model.coefficients(snapshot.step, rule)
    if not np.isfinite(coefficients).all() or not bool(torch.isfinite(fitted).all()):
        absent = TRAJECTORY if labels is not None else [key for key in TRAJECTORY if "accuracy" not in key]
        return dict.fromkeys(absent if rows is not None else ("train_loss", "displacement"), math.nan)
    direction = lazy.direction(coefficients, lazy.model.shrunk(snapshot.step, rule))
    length = torch.stack([part.norm() for part in direction.values()]).norm()
    result["displacement"] = float(length) / lazy.point.norm if lazy.point.norm > 0 else math.nan
    if rows is None or rows.targets is None:
        return result
    result |= _told("test", lazy.predict(rows.inputs, direction), rows.targets, rows.classes, classes)
    with torch.no_grad():
        outputs = outputs_of(snapshot, "all")({}, rows.inputs).reshape(rows.targets.shape)
    measured, expected = float((outputs - rows.targets).square().mean()), result["test_loss"]
    result["test_loss_relative"] = expected / start_loss if start_loss > 0 else math.nan
    result["gap"] = abs(measured - expected) / expected if expected > 0 else math.nan
    return result


def _limit(lazy: Linearised, rows: Sampled | None, classes: int | None) -> dict[str, float]:
    """Return what the start says: of the regression with its kernel, and how far the parameters must move for it."""
    direction = lazy.direction(lazy.model.limit())
    length = float(torch.stack([part.norm() for part in direction.values()]).norm())
    result = {"difficulty": length**2, "laziness": length / lazy.point.norm if lazy.point.norm > 0 else math.nan}
    if rows is None or rows.targets is None:
        return result
    start, along = lazy.point.moved(rows.inputs, direction)
    told = _told("test", start + along, rows.targets, rows.classes, classes)
    first = float((start - rows.targets).square().mean())
    result["regression_error"] = told["test_loss"]
    result["regression_error_relative"] = told["test_loss"] / first if first > 0 else math.nan
    if "test_accuracy" in told:
        result["regression_accuracy"] = told["test_accuracy"]
    return result | {"start_loss": first}


def _told(probe: str, outputs: Tensor, targets: Tensor, labels: Tensor | None, classes: int | None) -> dict[str, float]:
    result = {f"{probe}_loss": float((outputs - targets).square().mean())}
    if labels is not None and outputs.shape[1] > 1:
        result[f"{probe}_accuracy"] = float(hits(outputs, labels, classes=classes).mean())
    return result


def _classes(targets: Tensor | None, values: Tensor) -> Tensor | None:
    several = targets is not None and not targets.is_floating_point() and values.shape[1] > 1
    return targets if several else None


def _test_rows(snapshot: Snapshot, test_examples: int) -> Sampled | None:
    if "test" not in snapshot.probes or not len(snapshot.probe("test")):
        return None
    generator, outputs = snapshot.generator(NAME, VERSION), outputs_of(snapshot, "all")
    with differentiable(NAME, "outputs"):
        rows = sampled(snapshot, "test", examples=test_examples, generator=generator, outputs=outputs, name=NAME)
    fits = rows.targets is not None and rows.inputs.shape[1:] == snapshot.probe("train").inputs.shape[1:]
    return rows if fits else None


def _linearised(snapshot: Snapshot, examples: int, equations: int) -> Linearised:
    point = initial_point(snapshot, examples)
    targets = point.targets if point.kind == "values" else real_targets(point.targets, torch.Size([point.count]))
    if targets is None:
        raise DoesNotApply("needs an output for each class; the classes of these targets do not fit.")
    gram = _gram(snapshot, point, examples, equations)
    still = {name: tensor.detach() for name, tensor in point.parameters.items()}
    start, tangent = point.moved(point.inputs, still)
    arrays = [part.detach().cpu().numpy() for part in (gram, targets, start, tangent)]
    return Linearised(point, targets, lazy_model(arrays[0], arrays[1], start=arrays[2], tangent=arrays[3]))


def _gram(snapshot: Snapshot, point: InitialPoint, examples: int, equations: int) -> Tensor:
    """Return the kernel that all outputs have, (n, n), or that of all outputs, (n · outputs, n · outputs)."""
    if point.kind != "two classes":  # of these the kernel of the difference is known
        try:
            return initial_kernel(snapshot, "", examples).gram
        except OwnKernels:
            pass
    count = len(point.inputs) * point.count
    if count > equations:
        raise DoesNotApply(
            f"solves {count} equations together, as the outputs have kernels of their own; it is asked for at most "
            f"{equations} (its option equations)."
        )

    def function(tensors: Mapping[str, Tensor], rows: Tensor) -> Tensor:
        outputs = point.outputs(tensors, point.inputs[rows // point.count]).reshape(len(rows), -1)
        return outputs.gather(1, (rows % point.count)[:, None])

    gram = empirical_ntk(function, point.parameters, torch.arange(count, device=point.inputs.device))
    if not bool(torch.isfinite(gram).all()):
        raise DoesNotApply("needs a finite kernel; this one is not.")
    return gram


LAZY_PREDICTION = Measure(
    name=NAME,
    version=VERSION,
    keys={
        "train_loss": Key("training loss of the first-order model at this step", "squared units", low=0),
        "test_loss": Key(
            "its test loss", "squared units", low=0, direction="the measured one leaves it where features are learnt"
        ),
        "test_loss_relative": Key("the same over that of the start", low=0),
        "train_accuracy": Key("its training accuracy", low=0, high=1),
        "test_accuracy": Key("its test accuracy", low=0, high=1),
        "gap": Key("|test loss − that of the first-order model| over the latter", low=0, direction="near 0 while lazy"),
        "displacement": Key("‖θ − θ_0‖/‖θ_0‖ of the first-order model", low=0),
        "regression_error": Key("test loss of the regression with the kernel of the start", "squared units", low=0),
        "regression_error_relative": Key("the same over that of the start", low=0),
        "regression_accuracy": Key("test accuracy of that regression", low=0, high=1),
        "difficulty": Key("rᵀ K_0⁻¹ r, r = y − f_0: squared displacement of the lazy fit", "parameters²", low=0),
        "laziness": Key("root of the difficulty over ‖θ_0‖: far above 1 the lazy fit must break", low=0),
    },
    reference="Kumar et al. 2024; Lee et al. 2019",
    cites=("kumar2024", "lee2019", "jacot2018"),
    compute=measure,
    needs=("train", "labels", "initial"),
    cost="normal",
)
