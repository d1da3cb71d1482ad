"""The two kinds of criteria that papers' modules write down, and the seeds on which ours are fixed."""

from __future__ import annotations

from grokscope.claims.claim import Bounds, Criterion

CALIBRATION = (100, 101, 102)
"""Seeds on which criteria and settings are fixed; verdicts are by others."""


def sheet(*, calibrated: bool = False, **bounds: Bounds) -> Criterion:
    """Return a criterion that came with the claim; ``calibrated`` where its settings were chosen on our seeds.

    Example:
        >>> sheet(fit_step=(None, 400)).text()
        'fit_step <= 400'
    """
    return Criterion(bounds, source="sheet", calibration=CALIBRATION if calibrated else ())


def ours(reason: str, *, calibrated: bool = True, **bounds: Bounds) -> Criterion:
    """Return a criterion of ours with its reason, fixed on the calibration seeds unless it follows without them.

    Example:
        >>> ours("the claim gives no number", gap=(2, None)).calibration
        (100, 101, 102)
    """
    return Criterion(bounds, source="ours", reason=reason, calibration=CALIBRATION if calibrated else ())


def both(criterion: Criterion) -> dict[str, Criterion]:
    """Return a criterion as that of the cpu and of the paper scale, where both have one size."""
    return {"cpu": criterion, "paper": criterion}
