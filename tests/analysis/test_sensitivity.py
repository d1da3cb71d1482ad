from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from curves import GRIDS, LAST, RULE, over, reader, sigmoid
from grokscope.analysis.definitions import DEFINITIONS, PHASE_RULE_VERSION, Definitions
from grokscope.analysis.overview import overview
from grokscope.analysis.phases import boundaries
from grokscope.analysis.sensitivity import OUTCOMES, VARIATIONS, sensitivity
from grokscope.analysis.transitions import TransitionRule
from grokscope.cadence import Cadence
from grokscope.papers.nanda2023.reference import reference_series

ALL = np.array(Cadence(every=200, per_decade=10).steps_until(39_000))


def test_every_constant_is_varied_both_ways():
    assert set(VARIATIONS) == {field.name for field in fields(Definitions)}
    for name, (low, high) in VARIATIONS.items():
        assert low < getattr(DEFINITIONS, name) < high


def test_the_first_row_is_what_is_declared_and_each_other_differs_by_what_it_says():
    rows = sensitivity(reference_series(ALL), RULE, 39_000)
    declared = rows[0]
    found = boundaries(reference_series(ALL), RULE)
    assert {key: declared[key] for key in found.steps()} == found.steps()
    assert declared["phases"] == ["memorisation", "circuit formation", "cleanup", "generalised"]
    assert (declared["constant"], declared["changed"]) == (None, [])
    # two for each constant, each level of the rule and its sustain
    assert len(rows) == 1 + 2 * (len(VARIATIONS) + 3)
    for row in rows[1:]:
        assert row["changed"] == [key for key in OUTCOMES if row[key] != declared[key]]
        assert row["value"] != row["declared"]
    json.dumps(rows, allow_nan=False)


def test_what_moves_is_what_the_constant_is_about():
    rows = {(row["constant"], row["value"]): row for row in sensitivity(reference_series(ALL), RULE, 39_000)}
    assert rows["final_band", 0.1]["changed"] == ["cleanup_end"]
    assert rows["final_band", 0.1]["cleanup_end"] < rows[None, None]["cleanup_end"]
    assert rows["test_loss_share", 0.25]["circuit_formation_end"] > rows[None, None]["circuit_formation_end"]
    assert rows["sigmoid_tail", 0.2]["changed"] == ["sharpness"]
    assert rows["transition.generalise.level", 0.8]["generalise_step"] < rows[None, None]["generalise_step"]
    assert rows["decline_share", 0.8]["changed"] == []


def test_levels_that_are_no_shares_are_halved_and_doubled():
    rule = TransitionRule(
        fit=("train/loss", 0.01, "absolute", "falling"), generalise=("test/loss", 2.0, "absolute", "falling")
    )
    tried = [
        (row["constant"], row["value"])
        for row in sensitivity(reference_series(ALL), rule, 39_000)
        if str(row["constant"]).startswith("transition")
    ]
    assert tried == [
        ("transition.fit.level", 0.005),
        ("transition.fit.level", 0.02),
        ("transition.generalise.level", 1.0),
        ("transition.generalise.level", 4.0),
        ("transition.sustain", 1),
        ("transition.sustain", 6),
    ]


def test_each_scalar_is_read_once():
    asked = []
    read = reference_series(ALL)

    def counting(key):
        asked.append(key)
        return read(key)

    sensitivity(counting, RULE, 39_000)
    assert len(asked) == len(set(asked))


def test_without_a_rule_the_circuit_alone_is_varied():
    rows = sensitivity(reference_series(ALL), None, 39_000)
    assert len(rows) == 1 + 2 * len(VARIATIONS)
    assert rows[0]["cleanup_end"] == 14_000
    assert rows[0]["sharpness"] is None


def test_overview_of_the_reference_run():
    told = overview(reference_series(ALL), RULE, 39_000)
    assert told["definitions"] == PHASE_RULE_VERSION
    assert [band["name"] for band in told["bands"]] == ["memorisation", "circuit formation", "cleanup", "generalised"]
    assert told["sharpness"] == pytest.approx(0.14, abs=0.02)
    assert told["sharpness_resolved"] is True
    assert (told["collapse_step"], told["misgrokking_step"], told["slingshots"]) == (None, None, 0)
    assert {name: one["agrees"] for name, one in told["second_detector"].items()} == dict.fromkeys(
        ("fit_step", "generalise_step", "memorisation_end", "circuit_formation_end", "cleanup_end"), True
    )
    assert {"constant": "final_band", "value": 0.1, "declared": 0.05, "cleanup_end": 13_400.0} in told["sensitivity"]
    json.dumps(told, allow_nan=False)


def test_overview_of_a_run_that_collapses_and_of_nothing():
    steps = GRIDS["mixed"]
    test = np.where(steps < 8000, sigmoid(steps, 1000, 0.2), 0.3)
    told = overview(over(steps, train__accuracy=steps >= 100, test__accuracy=test), RULE, LAST)
    assert 7800 <= told["collapse_step"] <= 8000
    assert told["bands"][-1] == {"name": "anti-grokking", "start": told["collapse_step"], "end": LAST}
    assert told["second_detector"]["collapse_step"]["agrees"]
    nothing = overview(reader({}), RULE, 10)
    assert (nothing["sharpness"], nothing["second_detector"], nothing["sensitivity"]) == (None, {}, [])


def test_the_tables_of_the_document_are_what_its_code_prints(capsys):
    text = (Path(__file__).parents[2] / "docs" / "phases.md").read_text(encoding="utf-8")
    codes = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(codes) == 2
    for code in codes:
        exec(code, {})
        assert capsys.readouterr().out.strip() in text
    assert f"**version {PHASE_RULE_VERSION}**" in text
    for field in fields(Definitions):
        assert f"`{field.name}`" in text or field.name in ("smoothing", "sigmoid_tail")
