"""The page of several runs laid over each other, of one experiment or of many; imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grokscope.analysis.transitions import TransitionRule, transition
from grokscope.execution.cite import citations_of
from grokscope.execution.compare import check, differences, names_of, shared_keys
from grokscope.execution.parent import same_origin
from grokscope.execution.reporting import figures_of
from grokscope.report.figures import Curve, lines
from grokscope.report.page import page
from grokscope.report.runs import curve, describe
from grokscope.report.theme import curve_style
from grokscope.store import StoredRun, atomic_write

MOST_KEYS = 12
"""Figures of single keys that a page has unless keys are chosen."""
TOGETHER = (("accuracy", "Accuracy", "accuracy"), ("loss", "Loss", "loss"))
Drawn = tuple[str, str, str, dict[str, Any]]


def write_comparison(runs: Sequence[StoredRun], path: Path, keys: Sequence[str] = ()) -> Path:
    """Write the page of runs side by side and return its path.

    A curve a run: accuracy and loss (train dotted), then each key of its own. Runs that differ in the seed
    alone are also drawn as their paper draws seeds, forks of one state as branches beside their control.

    Raises:
        UsageError: fewer than two runs, a run twice, or a key that no run has.
    """
    atomic_write(path, comparison(runs, keys).encode())
    return path


def comparison(runs: Sequence[StoredRun], keys: Sequence[str] = ()) -> str:
    """Return the page of :func:`write_comparison` as HTML."""
    check(runs)
    names = names_of(runs)
    told = differences([run.spec for run in runs])
    figures = overlays(runs, names, keys)
    if same_origin(runs):
        figures = figures_of(runs) + figures
    elif _alike(runs) and all(one["key"].startswith("seed.") for one in told):
        figures += figures_of(runs)
    experiments = list(dict.fromkeys(f"{run.spec['paper']}/{run.spec['experiment']}" for run in runs))
    return page(
        title=f"{len(runs)} runs side by side",
        subtitle=" · ".join(experiments),
        facts=[(one["key"], " | ".join(_word(value) for value in one["values"])) for one in told[:8]],
        figures=figures,
        runs=[describe(run, _transition(run)) for run in runs],
        citations=[citation.bibtex for citation in citations_of(runs)],
    )


def overlays(runs: Sequence[StoredRun], names: Sequence[str], keys: Sequence[str] = ()) -> list[Drawn]:
    """Return (id, title, caption, figure) of curves, one a run, named by ``names``."""
    runs = [run.whole() for run in runs]
    drawn: list[Drawn] = []
    rest = shared_keys(runs, keys)
    if not keys:
        for word, title, y_title in TOGETHER:
            curves = [
                made
                for key, dash, also in ((f"test/{word}", None, ""), (f"train/{word}", "dot", ", train"))
                for made in _curves(runs, names, key, also, dash)
            ]
            if curves:
                figure = lines(title, curves, y_title=y_title, log_y=word == "loss")
                drawn.append((f"overlay-{word}", title, "Held-out data, and the training data dotted.", figure))
        shown = {f"{probe}/{word}" for probe in ("test", "train") for word, *_ in TOGETHER}
        rest = [key for key in rest if key not in shown and not key.startswith("clock/")][:MOST_KEYS]
    for number, key in enumerate(rest):
        curves = _curves(runs, names, key, "", None)
        figure = lines(key, curves, y_title=key, log_y=key.endswith("loss"))
        drawn.append((f"overlay-{number}", key, "", figure))
    return drawn


def _curves(runs: Sequence[StoredRun], names: Sequence[str], key: str, also: str, dash: Any) -> list[Curve]:
    made = []
    for number, (run, name) in enumerate(zip(runs, names, strict=True)):
        if run.has(key):
            colour, own = curve_style(number)
            made.append(curve(run, key, name=name + also, colour=colour, dash=dash or own))
    return made


def _alike(runs: Sequence[StoredRun]) -> bool:
    return len({(run.spec["paper"], run.spec["experiment"], run.spec["scale"]) for run in runs}) == 1


def _transition(run: StoredRun) -> dict[str, Any] | None:
    rule = run.spec.get("transition")
    return transition(run.whole().series, TransitionRule.model_validate(rule)).as_dict() if rule else None


def _word(value: Any) -> str:
    return "–" if value is None else str(value)
