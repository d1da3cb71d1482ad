"""The teacher: its draws, its size, and the student that is initialised like it."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from grokscope.errors import UsageError
from grokscope.models.settings import MLPSettings
from grokscope.spec import Seeds, resolve
from grokscope.tasks.student_teacher import StudentTeacher


def test_shapes_loss_and_draws() -> None:
    settings = StudentTeacher(inputs=4, outputs=3, teacher_widths=(7,), train_examples=6, test_examples=5)
    task = settings.build(Seeds.derive(0))
    train, test = task.probes["train"], task.probes["test"]
    assert train.inputs.shape == (6, 4)
    assert train.targets is not None
    assert train.targets.shape == (6, 3)
    assert len(test) == 5
    assert task.loss == "mean-squared-error"
    assert task.facts.classes is None
    targets = torch.cat([train.targets, test.targets]).double()  # type: ignore[list-item]
    assert task.facts.chance.loss == pytest.approx(float((targets - targets.mean(0)).square().mean()))
    again = settings.build(Seeds.derive(5, split=Seeds.derive(0).split)).probes["train"]
    assert torch.equal(again.targets, train.targets)  # type: ignore[arg-type]


def test_one_layer_of_a_tiny_teacher_is_linear() -> None:
    # tanh h = h up to h³: a teacher scaled down is affine in its input, with slope W_2 W_1
    settings = StudentTeacher(inputs=2, outputs=1, teacher_widths=(3,), teacher_scale=1e-2)
    probe = settings.build(Seeds.derive(0)).probes["train"]
    design = torch.cat([probe.inputs, torch.ones(100, 1)], 1).double()
    assert probe.targets is not None
    targets = probe.targets.double()
    fitted = design @ torch.linalg.lstsq(design, targets).solution
    assert float((fitted - targets).abs().max()) < 3e-3 * float(targets.std())


def test_the_teacher_has_the_size_of_a_default_student() -> None:
    task = StudentTeacher(test_examples=2000).build(Seeds.derive(3))
    student = MLPSettings(widths=(100, 100), activation="tanh").build(task.facts, torch.Generator().manual_seed(0))
    probe = task.probes["test"]
    assert probe.targets is not None
    with torch.no_grad():
        spread = student(probe.inputs).std()
    assert math.log(float(probe.targets.std() / spread)) == pytest.approx(0, abs=0.4)


def test_a_bad_setting_is_told() -> None:
    tree: dict[str, Any] = {
        "task": {"name": "student-teacher", "teacher_widths": []},
        "model": {"name": "mlp"},
        "learner": {"name": "gradient"},
        "optimizer": {"name": "sgd"},
    }
    with pytest.raises(UsageError, match=r"task.teacher_widths"):
        resolve(tree)
