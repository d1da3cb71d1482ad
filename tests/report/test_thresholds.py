from __future__ import annotations

import numpy as np
import pytest

from curves import RULE
from grokscope.analysis.agreement import agreement
from grokscope.analysis.phases import boundaries
from grokscope.analysis.sensitivity import OUTCOMES, sensitivity
from grokscope.papers.nanda2023.reference import reference_series
from grokscope.report.page import page
from grokscope.report.thresholds import COLUMNS, thresholds

READ = reference_series(np.arange(100, 39_001, 100))
ROWS = sensitivity(READ, RULE, 39_000)
TOLD = [one.as_dict() for one in agreement(READ, RULE, boundaries(READ, RULE))]


def test_every_outcome_but_the_names_has_a_column():
    assert (*COLUMNS, "phases") == (*OUTCOMES[:8], "sharpness", "phases")


def test_the_declared_come_first_and_only_what_changes_is_listed():
    shown = thresholds(ROWS)
    changed = [row for row in ROWS if row["changed"]]
    assert shown.count("<tr>") == 2 + len(changed)
    assert "as declared" in shown
    assert f"{len(changed)} of {len(ROWS) - 1} variations" in shown
    assert "<details><summary>" in shown
    assert "final band" in shown
    assert "early gain" not in shown
    (wider,) = (row for row in ROWS if (row["constant"], row["value"]) == ("final_band", 0.1))
    assert f"<strong>{wider['cleanup_end']:,.0f}</strong>" in shown
    assert COLUMNS["collapse_step"] not in shown


def test_what_the_second_detector_found_is_told():
    shown = thresholds(ROWS, TOLD)
    agreeing = sum(one["agrees"] for one in TOLD)
    assert f"agrees with {agreeing} of {len(TOLD)} boundaries" in shown
    assert "<code>fourier/excluded_loss</code>" in shown
    assert '<td data-label="Agrees">yes</td>' in shown


def test_a_change_of_names_alone_is_a_change():
    row = {**ROWS[0], "constant": "abrupt_width", "value": 1.0, "declared": 0.5, "changed": ["phases"]}
    shown = thresholds([ROWS[0], row])
    assert "abrupt width" in shown
    assert "memorisation, circuit formation, cleanup, generalised</p>" in shown


@pytest.mark.parametrize("rows", [[], ROWS])
def test_the_section_is_there_with_rows_only(rows):
    html = page(title="t", subtitle="s", sensitivity=rows)
    assert ("How phases depend on the thresholds" in html) == bool(rows)


def test_names_are_text():
    row = {**ROWS[0], "constant": "<b>x", "value": 1.0, "declared": 0.5, "changed": ["fit_step"]}
    told = [{**TOLD[0], "boundary": "<i>", "key": "<u>"}]
    shown = thresholds([ROWS[0], row], told)
    assert "<b>" not in shown
    assert "<i>" not in shown
    assert "<u>" not in shown
