from __future__ import annotations

import numpy as np
import pytest

from grokscope.analysis.transitions import crossing
from grokscope.errors import UsageError
from grokscope.papers.nanda2023.reference import REFERENCE, REFERENCE_STEPS, reference, reference_series


def test_every_curve_has_a_value_at_every_step():
    assert len(REFERENCE_STEPS) == 18
    assert list(REFERENCE_STEPS) == sorted(set(REFERENCE_STEPS))
    assert {len(values) for values in REFERENCE.values()} == {18}
    assert len(REFERENCE) == 11
    for key in REFERENCE:
        steps, values = reference(key)
        assert (steps.dtype, values.dtype, values.shape) == (np.float64, np.float64, (18,))
        assert values.min() > 0


def test_the_curves_are_consistent_with_each_other():
    ratio = reference("fourier/test_loss_ratio")[1]
    test, restricted = reference("test/loss")[1], reference("fourier/restricted_loss")[1]
    # read from three figures: 10 % each, except where the restricted loss falls by decades between two marks
    assert np.median(np.abs(np.log(ratio / (test / restricted)))) < 0.03
    assert np.abs(np.log(ratio[:10] / (test / restricted)[:10])).max() < 0.1
    parts = reference("weights/tensor_sum_of_squares@W_E")[1] + reference("weights/tensor_sum_of_squares@W_in")[1]
    assert (parts < reference("weights/sum_of_squares")[1]).all()
    # at the start: 114 tokens of norm 1, 512 neurons, and log 114 nats
    assert reference("weights/tensor_sum_of_squares@W_E")[1][0] == pytest.approx(114, rel=0.03)
    assert reference("weights/tensor_sum_of_squares@W_in")[1][0] == pytest.approx(512, rel=0.03)
    assert reference("train/loss")[1][0] == pytest.approx(np.log(114), rel=0.01)


@pytest.mark.parametrize(
    ("key", "level", "expected"),
    [
        ("test/accuracy", 0.5, 9390),
        ("test/accuracy", 0.9, 10_090),
        ("test/accuracy", 0.99, 10_516),
        ("fourier/restricted_accuracy", 0.9, 9040),
        ("fourier/restricted_accuracy", 0.99, 9470),
    ],
)
def test_levels_are_crossed_where_the_figures_cross_them(key, level, expected):
    # the table has a mark every few hundred steps there
    assert crossing(*reference(key), level) == pytest.approx(expected, rel=0.05)


def test_a_reader_gives_train_accuracy_as_well_and_interpolates_in_log_step():
    read = reference_series()
    assert read("train/accuracy")[1].tolist() == [1 / 114] + [1.0] * 17
    assert read("test/loss")[1].tolist() == list(REFERENCE["test/loss"])
    between = np.array([0, 200, np.sqrt(4000 * 6000), 39_000])
    steps, accuracy = reference_series(between)("test/accuracy")
    assert accuracy == pytest.approx([0.009, 0.040, (0.096 + 0.128) / 2, 1])
    assert steps.tolist() == between.tolist()
    loss = reference_series(between)("test/loss")[1]
    assert loss == pytest.approx([4.76, 16.1, np.sqrt(22.1 * 18.9), 3.0e-7])
    assert reference_series(between)("train/accuracy")[1].tolist() == [1 / 114, 1, 1, 1]


def test_an_unknown_curve_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match="unknown reference curve 'test/acuracy': did you mean 'test/accuracy'"):
        reference("test/acuracy")
    with pytest.raises(UsageError, match="unknown reference curve"):
        reference_series()("gini/embedding")
