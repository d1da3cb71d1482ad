from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from grokscope.claims import STATUSES, Claim, Criterion, judge
from grokscope.errors import GrokscopeError, unknown

INF = math.inf


@dataclass
class FakeRun:
    """A run with one number under the key ``x``, unless it is None."""

    x: float | None
    status: str = "finished"
    directory: Path = Path("runs/p/main")
    spec: dict = field(default_factory=dict)

    def series(self, key):
        if self.x is None or key != "x":
            raise unknown("key", key, ["y"])
        return np.array([0]), np.array([self.x])


def read(runs):
    """Statistic of one seed: x, and its double."""
    x = float(runs["main"].series("x")[1][-1])
    return {"x": x, "double": 2 * x}


def mean(runs):
    """Pooled statistic: the mean of x over seeds."""
    return {"mean": np.mean([run.series("x")[1][-1] for run in runs["main"]])}


def claim(**changes):
    given = {
        "id": "C1.1",
        "statement": "x is small.",
        "figure": "Fig. 7",
        "experiments": ("main",),
        "statistic": read,
        "criterion": {"cpu": Criterion({"x": (0, 1)}, "sheet")},
    }
    return Claim(**(given | changes))


def pooled(low, high, **changes):
    criterion = {"cpu": Criterion({"mean": (low, high)}, "ours", "calibrated on seeds 100–102")}
    return claim(kind="pooled", statistic=mean, criterion=criterion, **changes)


def runs(*values, **options):
    return {seed: {"main": FakeRun(x, directory=Path(f"runs/s{seed}"), **options)} for seed, x in enumerate(values)}


YES, NO, NIL = 0.5, 7.0, None


@pytest.mark.parametrize(
    ("values", "status", "met"),
    [
        # n = 3 needs 2
        ([YES, YES, YES], "reproduced", True),
        ([YES, YES, NO], "reproduced", True),
        ([YES, NO, NO], "not reproduced", False),
        ([NO, NO, NO], "not reproduced", False),
        # a seed without a value counts as neither
        ([YES, YES, NIL], "reproduced", True),
        ([YES, NO, NIL], "inconclusive", None),
        ([YES, NIL, NIL], "inconclusive", None),
        ([NO, NO, NIL], "not reproduced", False),
        ([NIL, NIL, NIL], "inconclusive", None),
        # fewer than 3 seeds judge nothing
        ([YES, YES], "inconclusive", True),
        ([YES, NO], "inconclusive", None),
        ([NO, NO], "inconclusive", False),
        ([YES, NIL], "inconclusive", None),
        ([YES], "inconclusive", True),
        ([NO], "inconclusive", False),
        ([NIL], "inconclusive", None),
        # n = 4 needs 3, n = 5 needs 4, n = 6 needs 4
        ([YES] * 2 + [NO] * 2, "inconclusive", None),
        ([YES] * 3 + [NO], "reproduced", True),
        ([YES] * 3 + [NO] * 2, "inconclusive", None),
        ([YES] * 4 + [NO], "reproduced", True),
        ([YES] + [NO] * 4, "not reproduced", False),
        ([YES] * 3 + [NO] * 3, "inconclusive", None),
        ([YES] * 4 + [NO] * 2, "reproduced", True),
        ([YES] * 4 + [NIL] * 2, "reproduced", True),
        ([YES] * 2 + [NO] * 4, "not reproduced", False),
        # never is a value
        ([YES, INF, INF], "not reproduced", False),
        ([YES, YES, INF], "reproduced", True),
    ],
)
def test_two_thirds_of_the_seeds_decide(values, status, met):
    verdict = judge(claim(), "p", "cpu", runs(*values))
    assert (verdict.status, verdict.met) == (status, met)
    assert verdict.seeds == list(range(len(values)))
    assert verdict.missing == [seed for seed, value in enumerate(values) if value is None]


def test_a_verdict_shows_its_evidence():
    verdict = judge(claim(), "nanda2023", "cpu", runs(0.5, 0.25, 7.0))
    assert (verdict.id, verdict.paper, verdict.scale) == ("nanda2023/C1.1", "nanda2023", "cpu")
    assert (verdict.statement, verdict.figure) == ("x is small.", "Fig. 7")
    assert (verdict.criterion, verdict.criterion_source) == ("0 <= x <= 1", "sheet")
    assert (verdict.value, verdict.interval) == (0.5, (0.25, 7.0))
    assert verdict.values == {"x": [0.5, 0.25, 7.0], "double": [1.0, 0.5, 14.0]}
    assert verdict.runs == ["runs/s0", "runs/s1", "runs/s2"]
    assert verdict.reason == "2 of 3 seeds meet the criterion, 1 fail it."


def test_seeds_come_in_order_whatever_the_order_they_are_given_in():
    given = runs(0.1, 0.2, 0.3)
    verdict = judge(claim(), "p", "cpu", {seed: given[seed] for seed in (2, 0, 1)})
    assert verdict.seeds == [0, 1, 2]
    assert verdict.values["x"] == [0.1, 0.2, 0.3]


def test_six_seeds_show_a_bootstrap_interval():
    verdict = judge(claim(), "p", "cpu", runs(0.1, 0.2, 0.3, 0.4, 0.5, 90.0))
    assert verdict.value == pytest.approx(0.35)
    assert verdict.interval[0] >= 0.1
    assert verdict.interval[1] < 90.0


def test_a_statistic_that_raises_leaves_the_seed_without_a_value_and_is_told():
    def fails(runs):
        if runs["main"].x == 7.0:
            raise ZeroDivisionError("no peaks")
        return {"x": runs["main"].x}

    verdict = judge(claim(statistic=fails), "p", "cpu", runs(0.5, 7.0, 0.5))
    assert (verdict.status, verdict.missing) == ("reproduced", [1])
    assert verdict.values["x"] == [0.5, None, 0.5]
    assert "Seed 1: ZeroDivisionError: no peaks." in verdict.reason


def test_a_statistic_without_the_needed_name_is_told():
    verdict = judge(claim(statistic=lambda runs: {"y": 1.0}), "p", "cpu", runs(1, 1, 1))
    assert (verdict.status, verdict.value, verdict.interval) == ("inconclusive", None, None)
    assert "Seed 0: no value of x." in verdict.reason


def test_nan_is_no_value():
    verdict = judge(claim(), "p", "cpu", runs(0.5, math.nan, 0.5))
    assert (verdict.status, verdict.missing, verdict.value) == ("reproduced", [1], 0.5)


def test_the_median_over_seeds_may_be_never():
    verdict = judge(claim(), "p", "cpu", runs(0.5, INF, INF))
    assert (verdict.value, verdict.interval) == (INF, (0.5, INF))


@pytest.mark.parametrize(("status", "counts"), [
    ("finished", True), ("stopped", True), ("diverged", True),
    ("running", False), ("interrupted", False), ("failed", False),
])  # fmt: skip
def test_a_run_that_has_ended_counts_even_if_it_diverged(status, counts):
    verdict = judge(claim(), "p", "cpu", runs(YES, YES, YES, status=status))
    assert (verdict.status == "reproduced") is counts
    assert verdict.missing == ([] if counts else [0, 1, 2])
    assert counts or f"Seed 0: main is {status}; resume it." in verdict.reason


def test_without_a_criterion_for_the_scale_it_is_not_testable_and_says_why():
    untestable = claim(untestable={"smoke": "The transition needs 10 000 steps, about 15 minutes."})
    verdict = judge(untestable, "p", "smoke", runs(YES, YES, YES))
    assert (verdict.status, verdict.met, verdict.criterion) == ("not testable here", None, "")
    assert verdict.reason == "The transition needs 10 000 steps, about 15 minutes."
    assert "no criterion for the scale paper" in judge(untestable, "p", "paper", {}).reason


def test_an_experiment_without_any_run_is_not_testable_and_named():
    two = claim(experiments=("main", "control"))
    verdict = judge(two, "p", "cpu", runs(YES, YES, YES))
    assert verdict.status == "not testable here"
    assert verdict.reason == "There are no runs of p/control at scale cpu."
    assert judge(two, "p", "cpu", {}).reason == "There are no runs of p/main, p/control at scale cpu."


def test_a_seed_without_one_of_its_runs_has_no_value():
    given = runs(YES, YES, YES, YES)
    for seed in (0, 1, 2):
        given[seed]["control"] = FakeRun(1.0)
    verdict = judge(claim(experiments=("main", "control")), "p", "cpu", given)
    assert (verdict.status, verdict.missing) == ("reproduced", [3])
    assert "Seed 3 has no run of control." in verdict.reason
    assert verdict.runs == ["runs/s0", "runs/p/main", "runs/s1", "runs/s2", "runs/s3"]


def test_a_statistic_sees_only_the_experiments_of_its_claim():
    seen = []
    given = {0: {"main": FakeRun(1.0), "other": FakeRun(2.0)}}
    judge(claim(statistic=lambda runs: seen.append(sorted(runs)) or {"x": 1.0}), "p", "cpu", given)
    assert seen == [["main"]]


def test_a_statistic_that_cannot_be_loaded_is_an_error_of_the_paper():
    with pytest.raises(GrokscopeError, match="nowhere"):
        judge(claim(statistic="nowhere:f"), "p", "cpu", runs(YES))


# Of three values the bootstrap interval of the mean is their range: each extreme has 1/27 > 2.5 %.
@pytest.mark.parametrize(
    ("low", "high", "status", "met"),
    [
        (1.0, 3.0, "reproduced", True),
        (None, 3.0, "reproduced", True),
        (1.0, 2.9, "inconclusive", None),
        (1.1, None, "inconclusive", None),
        (3.0, 4.0, "inconclusive", None),
        (3.1, 4.0, "not reproduced", False),
        (None, 0.9, "not reproduced", False),
    ],
)
def test_the_pooled_interval_decides(low, high, status, met):
    verdict = judge(pooled(low, high), "p", "cpu", runs(1.0, 2.0, 3.0))
    assert (verdict.status, verdict.met) == (status, met)
    assert (verdict.value, verdict.interval, verdict.values) == (2.0, (1.0, 3.0), {"mean": [2.0]})
    assert (verdict.criterion_source, verdict.missing) == ("ours", [])
    assert "[1, 3]" in verdict.reason


@pytest.mark.parametrize(
    ("values", "met"), [([1.0, 2.0], True), ([1.0], True), ([9.0, 9.0], False), ([NIL, 2.0], None)]
)
def test_pooled_over_fewer_than_three_seeds_is_inconclusive_with_met(values, met):
    verdict = judge(pooled(0.0, 3.0), "p", "cpu", runs(*values))
    assert (verdict.status, verdict.met) == ("inconclusive", met)
    assert "3 seeds are needed" in verdict.reason


def test_pooled_leaves_out_the_seeds_without_runs():
    given = runs(1.0, 2.0, 3.0, 4.0)
    given[3] = {}
    verdict = judge(pooled(0.0, 5.0), "p", "cpu", given)
    assert (verdict.status, verdict.missing, verdict.value) == ("reproduced", [3], 2.0)
    given[2]["main"].status = "interrupted"
    verdict = judge(pooled(0.0, 5.0), "p", "cpu", given)
    assert (verdict.status, verdict.missing, verdict.value, verdict.met) == (
        "inconclusive",
        [2, 3],
        1.5,
        True,
    )


def test_pooled_without_a_value_is_inconclusive_and_tells_the_error():
    verdict = judge(pooled(0.0, 5.0), "p", "cpu", runs(1.0, 2.0, NIL))
    assert (verdict.status, verdict.value, verdict.interval) == ("inconclusive", None, None)
    assert "UsageError: unknown key 'x'" in verdict.reason
    none_ended = judge(pooled(0.0, 5.0), "p", "cpu", runs(1.0, 2.0, 3.0, status="running"))
    assert (none_ended.status, none_ended.missing) == ("inconclusive", [0, 1, 2])


def test_pooled_lists_keep_the_same_order_of_seeds_and_every_bound_counts():
    def paired(runs):
        pairs = list(zip(runs["main"], runs["control"], strict=True))
        return {"gap": max(abs(a.x - b.x) for a, b in pairs), "least": min(a.x for a, _ in pairs)}

    given = runs(1.0, 2.0, 3.0)
    for seed in given:
        given[seed]["control"] = FakeRun(given[seed]["main"].x)
    for least, status in ((0.0, "reproduced"), (2.0, "inconclusive"), (3.5, "not reproduced")):
        bounds = Criterion({"gap": (0, 0), "least": (least, None)}, "sheet")
        both = claim(kind="pooled", statistic=paired, experiments=("main", "control"), criterion={"cpu": bounds})
        assert judge(both, "p", "cpu", given).status == status


def test_a_pooled_statistic_undefined_on_too_many_resamples_is_inconclusive():
    def needs_three(runs):
        values = {run.x for run in runs["main"]}
        return {"mean": 1.0 if len(values) == 3 else None}

    undefined = claim(kind="pooled", statistic=needs_three, criterion=pooled(0, 2).criterion)
    verdict = judge(undefined, "p", "cpu", runs(1.0, 2.0, 3.0))
    assert (verdict.status, verdict.met, verdict.value, verdict.interval) == ("inconclusive", None, 1.0, None)
    assert "not defined" in verdict.reason


def test_a_verdict_is_the_same_every_time():
    values = list(np.random.default_rng(0).normal(size=12))
    first, second = (judge(pooled(-1.0, 1.0), "p", "cpu", runs(*values)) for _ in range(2))
    assert first == second


def test_as_dict_is_strict_json_with_words_for_what_is_not_finite():
    verdict = judge(claim(), "p", "cpu", runs(0.5, INF, -INF, math.nan, NIL))
    document = verdict.as_dict()
    text = json.dumps(document, allow_nan=False)
    back = json.loads(text)
    assert back["values"]["x"] == [0.5, "inf", "-inf", "nan", None]
    assert back["interval"] == ["-inf", "inf"]
    assert back["missing"] == [3, 4]
    wanted = {"id", "paper", "statement", "figure", "status", "value", "interval", "criterion", "runs"}
    assert wanted <= set(back)
    assert back["status"] in STATUSES
    assert json.loads(json.dumps(judge(claim(), "p", "paper", {}).as_dict()))["interval"] is None
