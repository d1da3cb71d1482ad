from __future__ import annotations

import math

import pytest

from grokscope.claims import Claim, Criterion
from grokscope.claims.claim import number_text
from grokscope.errors import GrokscopeError, UsageError

BOTH = Criterion({"fit_step": (None, 400), "generalise_step": (1000, 5000)}, "sheet")


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (BOTH.bounds, "fit_step <= 400 and 1000 <= generalise_step <= 5000"),
        ({"ratio": (2.5, None)}, "ratio >= 2.5"),
        ({"peaks": (3, 3)}, "peaks = 3"),
        ({"slope": (None, None)}, "slope is known"),
        ({"loss": (1e-7, math.inf)}, "1e-07 <= loss <= inf"),
    ],
)
def test_text(bounds, expected):
    assert Criterion(bounds, "sheet").text() == expected


@pytest.mark.parametrize(("value", "text"), [(0.1, "0.1"), (1 / 3, repr(1 / 3)), (123456789, "123456789.0")])
def test_numbers_lose_nothing(value, text):
    assert number_text(value) == text
    assert float(text) == value


@pytest.mark.parametrize(
    ("fit", "generalise", "expected"),
    [
        (400, 1000, True),
        (400, 5000, True),
        (400.1, 2000, False),
        (300, 999, False),
        (300, 5001, False),
        (300, math.inf, False),
        (-math.inf, 1000, True),
        (300, None, None),
        (300, math.nan, None),
        (500, None, None),
    ],
)
def test_bounds_are_included_and_infinity_compares(fit, generalise, expected):
    assert BOTH.met({"fit_step": fit, "generalise_step": generalise}) is expected


def test_never_can_be_what_is_claimed():
    never = Criterion({"generalise_step": (40_000, None)}, "sheet")
    assert never.met({"generalise_step": math.inf}) is True


def test_a_statistic_that_is_not_there_is_no_value_and_others_do_not_matter():
    assert BOTH.met({"fit_step": 300}) is None
    assert BOTH.met({"fit_step": 300, "generalise_step": 2000, "delay": None}) is True


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        ((1.0, 2.0), True),
        ((1.2, 1.8), True),
        ((0.9, 1.8), None),
        ((1.2, 2.1), None),
        ((0.0, 3.0), None),
        ((0.0, 1.0), None),
        ((0.0, 0.99), False),
        ((2.01, math.inf), False),
        (None, None),
    ],
)
def test_an_interval_settles_a_criterion_inside_or_wholly_outside(interval, expected):
    assert Criterion({"slope": (1.0, 2.0)}, "sheet").settled({"slope": interval}) is expected


@pytest.mark.parametrize(("second", "expected"), [((5, 6), True), ((3, 6), None), ((1, 2), False)])
def test_all_intervals_must_be_inside_and_one_outside_is_enough(second, expected):
    criterion = Criterion({"a": (0, 1), "b": (4, None)}, "sheet")
    assert criterion.settled({"a": (0.2, 0.4), "b": second}) is expected
    assert criterion.settled({"a": (0.2, 1.4), "b": second}) is (False if expected is False else None)


@pytest.mark.parametrize(
    ("bounds", "source", "reason", "said"),
    [
        ({}, "sheet", "", "at least one"),
        ({"a": (2, 1)}, "sheet", "", "low one first"),
        ({"a": (math.nan, 1)}, "sheet", "", "NaN"),
        ({"a": (0, 1)}, "mine", "", "sheet, ours"),
        ({"a": (0, 1)}, "ours", "", "needs its reason"),
    ],
)
def test_a_wrong_criterion_is_refused(bounds, source, reason, said):
    with pytest.raises(UsageError, match=said):
        Criterion(bounds, source, reason)


def claim(**changes):
    given = {
        "id": "C1.1",
        "statement": "It groks.",
        "figure": "Fig. 7",
        "experiments": ("main",),
        "statistic": "math:sqrt",
        "criterion": {"cpu": BOTH},
    }
    return Claim(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "per_run"}, "per_seed, pooled"),
        ({"experiments": ()}, "must list"),
        ({"experiments": "main"}, "must list"),
        ({"statistic": "math.sqrt"}, "module:function"),
        ({"untestable": {"cpu": "4 hours"}}, "both judged and untestable at scale cpu"),
        ({"experiments_by_scale": {"cpu": ("mian",)}}, "about mian at scale cpu, which is not among its experiments"),
    ],
)
def test_a_wrong_claim_is_refused(changes, said):
    with pytest.raises(UsageError, match=said):
        claim(**changes)


def test_the_statistic_is_loaded_when_asked_for():
    assert claim().function() is math.sqrt
    assert claim(statistic=len).function() is len
    with pytest.raises(GrokscopeError, match="nowhere"):
        claim(statistic="nowhere:f").function()


def test_a_claim_on_a_sweep_is_about_the_cells_of_its_scale():
    swept = claim(experiments=("main", "fast", "slow"), experiments_by_scale={"cpu": ("main", "fast")})
    assert swept.at("cpu").experiments == ("main", "fast")
    assert swept.at("paper").experiments == ("main", "fast", "slow")
