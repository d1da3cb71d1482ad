"""The phase told without test data: each branch of the rule, on series made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from grokscope.analysis.label_free import FEATURES, MEASURES, NORM, RULE, TRAPS, Scalars, assess, history

STEPS = np.array([0, 10, 100, 1000, 10_000, 100_000])


def scalars(
    *,
    accuracy: list[float] | None = None,
    loss: list[float] | None = None,
    ranks: dict[str, list[float]] | None = None,
    norm: list[float] | None = None,
    traps: float | None = None,
) -> Scalars:
    """Return what a monitor would have, with what is None not measured."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if accuracy is not None:
        found["train/accuracy"] = (STEPS, np.array(accuracy))
    if loss is not None:
        found["train/loss"] = (STEPS, np.array(loss))
    for layer, values in (ranks or {}).items():
        found[f"{FEATURES}@{layer}"] = (STEPS, np.array(values))
    if norm is not None:
        found[NORM] = (STEPS, np.array(norm) ** 2)
    if traps is not None:
        found[f"{TRAPS}@weight"] = (STEPS, np.full(6, traps))
    return found


FITTED = [0.1, 0.5, 1.0, 1.0, 1.0, 1.0]
KEPT = {"a": [30.0, 20.0, 25.0, 25.5, 26.0, 26.0], "b": [30.0, 20.0, 25.0, 26.0, 26.0, 25.0]}
NARROWED = {"a": [30.0, 20.0, 25.0, 25.5, 24.0, 20.0], "b": [30.0, 20.0, 25.0, 20.0, 10.0, 9.0]}
STEADY = [50.0, 50.0, 50.0, 48.0, 45.0, 40.0]
GROWN = [50.0, 50.0, 50.0, 55.0, 70.0, 90.0]


def test_kept_features_are_memorising_and_narrowed_ones_generalising() -> None:
    assert assess(scalars(accuracy=FITTED, ranks=KEPT, norm=STEADY, traps=0)).phase == "memorising"
    found = assess(scalars(accuracy=FITTED, ranks=NARROWED, norm=STEADY, traps=3))
    assert (found.phase, found.step) == ("generalising", 100_000)
    fit, features, norm, traps = found.evidence
    assert fit.says == "fitted from step 100"
    assert features.value == pytest.approx(20 / 25.5)  # the less compressed of the two layers
    assert norm.value == 1.0
    assert traps.value == 3


def test_traps_and_growth_are_a_collapse_together_only() -> None:
    def phase(norm: list[float], traps: float) -> str:
        return assess(scalars(accuracy=FITTED, ranks=NARROWED, norm=norm, traps=traps)).phase

    assert phase(GROWN, 1.0) == "collapsing"
    assert phase(GROWN, 0.0) == "generalising"
    assert phase(STEADY, 5.0) == "generalising"
    # memorising weights run away too: the features decide
    assert assess(scalars(accuracy=FITTED, ranks=KEPT, norm=GROWN, traps=2)).phase == "memorising"


def test_hardly_compressed_features_of_runaway_weights_are_in_conflict() -> None:
    ranks = {"a": [30.0, 20.0, 25.0, 25.0, 24.0, 22.5]}
    found = assess(scalars(accuracy=FITTED, ranks=ranks, norm=GROWN, traps=1))
    assert found.phase == "unknown"
    assert found.rule.endswith("the evidence is in conflict.")


def test_before_the_fit_and_soon_after_nothing_is_told() -> None:
    never = assess(scalars(accuracy=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], ranks=NARROWED))
    assert never.phase == "unknown"
    assert never.evidence[0].says == "0.6, not fitted (0.95) so far"
    assert assess(scalars(accuracy=FITTED, ranks=KEPT), step=1000).rule.startswith("fewer than 3 observations")
    assert assess({}).phase == "unknown"
    assert "has not been fitted" in never.rule


def test_a_loss_stands_in_for_an_accuracy_and_without_labels_the_fit_is_not_asked_for() -> None:
    by_loss = assess(scalars(loss=[2.0, 1.0, 0.05, 0.01, 0.01, 0.01], ranks=NARROWED))
    assert (by_loss.phase, by_loss.evidence[0].says) == ("generalising", "fitted from step 100")
    blind = assess(scalars(ranks=NARROWED, norm=STEADY))
    assert blind.phase == "generalising"
    assert blind.evidence[0].value is None
    assert "no training labels" in str(blind)
    assert "since the first observation (no labels: whether the training data is fitted is not known)" in blind.rule
    assert "since the first observation" in assess(scalars(ranks=NARROWED), step=1).rule


def test_deep_networks_need_not_narrow_their_first_layers() -> None:
    deep = {f"layer{i}": [30.0, 20.0, 25.0, 25.0, 24.0, 25.0 if i < 2 else 12.0] for i in range(10)}
    assert assess(scalars(accuracy=FITTED, ranks=deep)).phase == "generalising"
    deep |= {f"layer{i}": [25.0] * 6 for i in range(2, 5)}
    assert assess(scalars(accuracy=FITTED, ranks=deep)).phase == "memorising"


def test_history_tells_what_would_have_been_told() -> None:
    found = history(scalars(accuracy=FITTED, ranks=NARROWED, norm=GROWN, traps=1))
    assert [one.step for one in found] == STEPS.tolist()
    assert [one.phase for one in found] == ["unknown"] * 4 + ["unknown", "collapsing"]
    later = assess(scalars(accuracy=FITTED, ranks=NARROWED, norm=GROWN, traps=1), step=10_000)
    assert later == found[4]


def test_undefined_numbers_are_no_evidence() -> None:
    ranks = {"a": [30.0, 20.0, 25.0, 25.0, 24.0, 12.0], "dead": [np.nan] * 6}
    assert assess(scalars(accuracy=FITTED, ranks=ranks)).phase == "generalising"


@pytest.mark.parametrize("end", [np.nan, np.inf])
def test_of_weights_that_are_not_finite_nothing_is_told(end: float) -> None:
    broken = assess(scalars(accuracy=FITTED, ranks=NARROWED, norm=[*STEADY[:-1], end], traps=1))
    assert (broken.phase, broken.rule) == ("unknown", "the weights are not finite: the training has diverged.")
    mended = [*STEADY[:-2], end, STEADY[-1]]
    assert assess(scalars(accuracy=FITTED, ranks=NARROWED, norm=mended)).phase == "generalising"


def test_it_prints_rule_and_evidence() -> None:
    text = str(assess(scalars(accuracy=FITTED, ranks=NARROWED, norm=GROWN, traps=1)))
    assert text.splitlines()[0] == "collapsing (step 100000)"
    assert len(text.splitlines()) == 6
    assert f"runs away from {RULE.growth:g}" in text
    document = assess(scalars(accuracy=FITTED, ranks=KEPT)).as_dict()
    assert document["rule_version"] == 2
    assert {FEATURES, NORM, TRAPS} == {
        f"{m}/{k}"
        for m, k in zip((MEASURES[2], MEASURES[0], MEASURES[3]), ("effective", "sum_of_squares", "traps"), strict=True)
    }
