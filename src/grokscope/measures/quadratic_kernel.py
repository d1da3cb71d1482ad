"""The tangent kernel of a quadratic network in closed form, and what training with the kernel of the start would give.

K(x, x') = (α²/N) x·x' [1 + ε w̄·(x + x') + ε² x^T M x'] costs a few products of matrices, where differentiating the
network costs all its parameters. What gradient descent with the kernel of the start comes to is known without
training (:mod:`grokscope.theory.lazy`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from grokscope.batch import weighted_mean
from grokscope.linalg import kernels
from grokscope.linalg.quadratic_student import Student, tangent_kernel
from grokscope.measures.base import DoesNotApply, Key, Measure
from grokscope.measures.performance import examples as performed
from grokscope.measures.quadratic import predictor
from grokscope.theory.lazy import LazyModel, Rule, lazy_model

if TYPE_CHECKING:
    from grokscope.batch import Batch
    from grokscope.snapshot import Snapshot

NAME = "quadratic_kernel"
MOVING = ("alignment", "alignment_one_sided", "alignment_raw", "trace", "movement", "distance")


def measure(snapshot: Snapshot, *, examples: int = 256) -> dict[str, float]:
    """Return alignment and movement of the kernel on test inputs, and what a lazy training would be at now.

    Args:
        snapshot: a moment of a network whose module has ``quadratic_student`` and fixed readouts.
        examples: rows of the test data at most that the moving kernel is taken on.
    """
    found = predictor(snapshot, NAME)
    if not getattr(snapshot.module, "has_fixed_readouts", False):
        raise DoesNotApply(f"{NAME} is the kernel of the first layer alone; this model trains its readouts: take ntk.")
    probe = "test" if "test" in snapshot.probes else "train"
    batch = _rows(snapshot.probe(probe), examples)
    inputs, targets = _inputs(batch), batch.targets
    if not found.is_finite:
        return dict.fromkeys(MOVING[:4], math.nan)
    kernel = tangent_kernel(found.now, inputs, inputs)
    result = {"trace": float(kernel.trace())}
    if targets is not None:
        aligned = {"alignment": "double", "alignment_one_sided": "one-sided", "alignment_raw": "none"}
        for key, centring in aligned.items():
            result[key] = float(kernels.alignment(kernel, targets.double(), centring=centring))  # type: ignore[arg-type]
    initial = snapshot.initial
    if initial is None:
        return result
    first = snapshot.lasting((NAME, "start"), lambda: predictor(initial, NAME).now)
    before = snapshot.lasting((NAME, "kernel", examples), lambda: tangent_kernel(first, inputs, inputs))
    result["movement"] = float(kernels.movement(kernel, before))
    result["distance"] = float(kernels.distance(kernel, before))
    return result | _lazily(snapshot, first, is_centred=found.start is not None)


def _rows(batch: Batch, examples: int) -> Batch:
    from grokscope.batch import Batch

    targets = None if batch.targets is None else batch.targets[:examples]
    return Batch(batch.inputs[:examples], targets)


def _inputs(batch: Batch) -> Tensor:
    return batch.inputs.flatten(1).double()


# -- the lazy training ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Lazy:
    """The linearised network on the training data, and what its outputs on the test data are made of.

    Attributes:
        model: its training in closed form.
        cross: K_0 between test and training inputs, (tests, P).
        start: the outputs on the test data at the start, (tests,).
        labels: of the test data, (tests,).
        norm: ‖θ_0‖ of the weights.
    """

    model: LazyModel
    cross: np.ndarray
    start: np.ndarray
    labels: np.ndarray
    norm: float

    def loss(self, predicted: np.ndarray) -> float:
        """Return the mean squared error of predictions on the test data."""
        return float(np.mean(np.square(predicted.reshape(-1) - self.labels)))


def _lazily(snapshot: Snapshot, start: Student, *, is_centred: bool) -> dict[str, float]:
    """Return what the linearised network has for its losses now, and what the start says of the regression."""
    train, test = snapshot.probes.get("train"), snapshot.probes.get("test")
    if train is None or test is None or train.targets is None or test.targets is None:
        return {}
    if train.weights is not None or not (len(train) and len(test)):
        return {}
    lazy = snapshot.lasting((NAME, "lazy"), lambda: _lazy(snapshot, start, train, test, is_centred=is_centred))
    first, coefficients = lazy.loss(lazy.start), lazy.model.limit()[:, 0]
    error = lazy.loss(lazy.start + lazy.cross @ coefficients)
    # K⁺ r has r as its coefficients' product with what they are fitted to
    difficulty = -float(coefficients @ (lazy.model.vectors @ lazy.model.residual[:, 0]))
    result = {
        "regression_error": error,
        "regression_error_relative": error / first if first > 0 else math.nan,
        "difficulty": difficulty,
        "laziness": math.sqrt(max(difficulty, 0.0)) / lazy.norm if lazy.norm > 0 else math.nan,
    }
    descent = snapshot.descent
    if descent is None or not (descent.constant and descent.full_batch) or descent.momentum or descent.weight_decay:
        return result
    rule = Rule(learning_rate=descent.learning_rate)
    labels = train.targets.double().reshape(-1).cpu().numpy()
    fitted = lazy.model.predict(snapshot.step, rule)[:, 0]
    loss = lazy.loss(lazy.model.predict(snapshot.step, rule, lazy.cross, start_cross=lazy.start))
    measured = float(weighted_mean(performed(snapshot, "test")[0], test.weights))
    return result | {
        "lazy_train_loss": float(np.mean(np.square(fitted - labels))),
        "lazy_test_loss": loss,
        "lazy_test_loss_relative": loss / first if first > 0 else math.nan,
        "lazy_gap": abs(measured - loss) / loss if loss > 0 else math.nan,
    }


def _lazy(snapshot: Snapshot, start: Student, train: Batch, test: Batch, *, is_centred: bool) -> Lazy:
    points, held = _inputs(train), _inputs(test)
    initial = snapshot.initial
    assert initial is not None
    assert train.targets is not None
    assert test.targets is not None
    first, other = (torch.zeros(len(x), dtype=torch.float64) if is_centred else start(x).cpu() for x in (points, held))
    labels, others = train.targets.double().reshape(-1).cpu(), test.targets.double().reshape(-1).cpu()
    norm = torch.stack([t.double().norm() for t in initial.parameters.values()]).norm()
    return Lazy(
        model=lazy_model(tangent_kernel(start, points, points).cpu().numpy(), labels.numpy(), start=first.numpy()),
        cross=tangent_kernel(start, held, points).cpu().numpy(),
        start=other.numpy(),
        labels=others.numpy(),
        norm=float(norm),
    )


QUADRATIC_KERNEL = Measure(
    name=NAME,
    version=1,
    keys={
        "alignment": Key(
            "alignment of K with the test labels, centred on both sides", low=0, high=1, direction="rises with features"
        ),
        "alignment_one_sided": Key("the same, the mean of each column taken off K", low=0, high=1),
        "alignment_raw": Key("the same, K not centred", low=0, high=1),
        "trace": Key("tr K on the test inputs", "outputs²/parameters²", low=0),
        "movement": Key("‖K − K_0‖/‖K_0‖", low=0, direction="flat while lazy"),
        "distance": Key("1 − ⟨K, K_0⟩/(‖K‖ ‖K_0‖): 0 if only rescaled", low=0, high=1, direction="flat while lazy"),
        "regression_error": Key("test loss of the regression with K_0", "squared units", low=0),
        "regression_error_relative": Key("the same over that of the start", low=0),
        "difficulty": Key("rᵀ K_0⁻¹ r: squared displacement of the lazy fit", "parameters²", low=0),
        "laziness": Key("root of the difficulty over ‖θ_0‖: far above 1 the lazy fit must break", low=0),
        "lazy_train_loss": Key("training loss of the linearised network at this step", "squared units", low=0),
        "lazy_test_loss": Key(
            "its test loss", "squared units", low=0, direction="the measured one leaves it where features are learnt"
        ),
        "lazy_test_loss_relative": Key("the same over that of the start", low=0),
        "lazy_gap": Key("|measured test loss − lazy one| over the lazy one", low=0, direction="near 0 while lazy"),
    },
    reference="Kumar et al. 2024, Eq. 5",
    cites=("kumar2024", "jacot2018", "cortes2012"),
    compute=measure,
    needs=("module",),
)
