"""How papers' modules write down their claims: two kinds of criteria, and the seeds on which ours are fixed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from grokscope.claims.claim import Bounds, Claim, Criterion

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


def claims_by(citation: str, module: str, **always: Any) -> Callable[..., Claim]:
    """Return the function with which a module writes its claims: (id, statement, figure, statistic, source, cpu).

    The paper's scale has the criterion of the cpu scale unless ``paper`` is given; further fields of a claim are named.

    Args:
        citation: whose claims they are; comes before each claim's ``source``, a place in the paper.
        module: where the statistics are, dotted.
        always: fields that each claim has unless it says otherwise, such as ``experiments``.

    Example:
        >>> claim = claims_by("Nanda et al. 2023", "grokscope.papers.nanda2023.statistics", experiments=("main",))
        >>> claim("C1", "It groks.", "accuracy", "delay", "Fig. 2", sheet(fit_step=(None, 400))).source
        'Nanda et al. 2023, Fig. 2'
    """

    def claim(
        id: str,
        statement: str,
        figure: str,
        statistic: str,
        source: str,
        cpu: Criterion,
        paper: Criterion | None = None,
        **more: Any,
    ) -> Claim:
        return Claim(
            id=id,
            statement=statement,
            figure=figure,
            statistic=f"{module}:{statistic}",
            criterion={"cpu": cpu, "paper": paper or cpu},
            source=f"{citation}, {source}",
            **{**always, **more},
        )

    return claim


def by_scale(names: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Return the fields of a claim about a sweep: its experiments in all, and those at each scale.

    Example:
        >>> by_scale({"cpu": ("a", "b"), "paper": ("a", "c")})["experiments"]
        ('a', 'b', 'c')
    """
    every = tuple(dict.fromkeys(name for some in names.values() for name in some))
    return {"experiments": every, "experiments_by_scale": dict(names)}
