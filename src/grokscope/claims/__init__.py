"""Claims of papers and the verdicts on them."""

from __future__ import annotations

from grokscope.claims.claim import Claim, Criterion
from grokscope.claims.criteria import CALIBRATION, both, by_scale, claims_by, ours, sheet
from grokscope.claims.verdict import STATUSES, Verdict, judge

__all__ = [
    "CALIBRATION",
    "STATUSES",
    "Claim",
    "Criterion",
    "Verdict",
    "both",
    "by_scale",
    "claims_by",
    "judge",
    "ours",
    "sheet",
]
