"""Branch against control: forks of one state drawn together, with their parent's curve before the fork."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle
from typing import Any

from grokscope.report import theme
from grokscope.report.figures import Curve, Figure, lines
from grokscope.report.runs import Run

PARENT, CONTROL = "#777777", "#0072B2"
BRANCHES = ("#D55E00", "#009E73", "#AA4499", "#E69F00", "#56B4E9")
CAPTION = (
    "Grey: the run both come from, as far before the dashed line as they go on after it. At that line the branch is "
    "changed and the control is not, so that what differs afterwards is the change's doing, at this seed."
)

Quantity = tuple[str, str, bool]
"""A key, what the legend adds for it, and whether its line is dotted."""


def branch_figures(runs: Sequence[Run]) -> list[tuple[str, str, str, Figure]]:
    """Return (id, title, caption, figure) for each quantity that the forks have stored.

    Args:
        runs: forks of one state, whose series begin with their parent's (``StoredRun.whole``).
    """
    drawn = [
        (
            "branch-accuracy",
            "Branch against control: test accuracy",
            CAPTION,
            figure(runs, "Test accuracy", [("test/accuracy", "", False)], y_title="accuracy"),
        ),
        (
            "branch-after",
            "Branch against control: test accuracy by steps after the fork",
            "The same from the fork on, on a log axis: what a change does at once, and how soon it is made good.",
            after_fork(runs, "Test accuracy after the fork", "test/accuracy", y_title="accuracy"),
        ),
        (
            "branch-loss",
            "Branch against control: test loss",
            f"{CAPTION} Dotted, where stored: the restricted loss, all of the logits but the circuit of that run's "
            "last network taken away (before the fork: of the parent's last network).",
            figure(
                runs,
                "Test loss",
                [("test/loss", "", False), ("fourier/restricted_loss", ", restricted", True)],
                y_title="cross-entropy (nats)",
                log_y=True,
            ),
        ),
        (
            "branch-weights",
            "Branch against control: sum of squared weights",
            CAPTION,
            figure(
                runs, "Sum of squared weights", [("weights/sum_of_squares", "", False)], y_title="Σw² (parameters²)"
            ),
        ),
    ]
    return [one for one in drawn if one[3]["data"]]


def figure(
    runs: Sequence[Run], title: str, quantities: Sequence[Quantity], *, y_title: str, log_y: bool = False
) -> Figure:
    """Return curves of forks over steps, their parent's before them, with a line at the step of the fork.

    Steps are on a linear axis, from as long before the fork as the longest of them goes on.
    """
    at = int(runs[0].spec["parent"]["step"])
    last = max(run.last_step or at for run in runs)
    begin = max(0, at - (last - at))
    curves = [one for quantity in quantities for one in _curves(runs, quantity, at, begin)]
    drawn = lines(title, curves, y_title=y_title, log_x=False, log_y=log_y)
    if curves:
        drawn["layout"]["shapes"] = [*drawn["layout"].get("shapes", ()), _mark(at)]
        drawn["layout"]["annotations"] = [*drawn["layout"].get("annotations", ()), _label(at)]
    return drawn


def after_fork(runs: Sequence[Run], title: str, key: str, *, y_title: str) -> Figure:
    """Return curves of forks over the steps made since they began, on a log axis."""
    at = int(runs[0].spec["parent"]["step"])
    found = [_fork_curve(run, colour, (key, "", False), at) for run, colour in _coloured(runs) if run.has(key)]
    curves = [replace(one, steps=one.steps - at) for one in found]
    return lines(title, curves, x_title="optimizer steps after the fork", y_title=y_title)


def label_of(run: Run) -> str:
    """Return what a fork changed, as a legend says it."""
    changes = run.spec["parent"]["changes"]
    return "branch: " + ", ".join(changes) if changes else "control: nothing changed"


def _curves(runs: Sequence[Run], quantity: Quantity, at: int, begin: int) -> list[Curve]:
    """Return the parent's curve, then those of the forks.

    What is measured in hindsight is the parent's at the fork only where the control says it: a branch has another
    last network.
    """
    key, addition, dotted = quantity
    having = [(run, colour) for run, colour in _coloured(runs) if run.has(key)]
    found: list[Curve] = []
    controls = [run for run, _ in having if _is_control(run)]
    for run in controls[:1] or [run for run, _ in having[:1]]:
        steps, values = run.series(key)
        before = (steps >= begin) & ((steps <= at) if controls else (steps < at))
        if before.sum() > 1:
            dash = "dot" if dotted else "solid"
            found.append(Curve(f"before the fork{addition}", steps[before], values[before], PARENT, dash))
    return [*found, *(_fork_curve(run, colour, quantity, at) for run, colour in having)]


def _fork_curve(run: Run, colour: str, quantity: Quantity, at: int) -> Curve:
    key, addition, dotted = quantity
    steps, values = run.series(key)
    after = steps >= at
    return Curve(f"{label_of(run)}{addition}", steps[after], values[after], colour, "dot" if dotted else "solid")


def _coloured(runs: Sequence[Run]) -> list[tuple[Run, str]]:
    """Return the runs with their colours, which are the same in every figure."""
    colours = cycle(BRANCHES)
    return [(run, CONTROL if _is_control(run) else next(colours)) for run in runs]


def _is_control(run: Run) -> bool:
    return not run.spec["parent"]["changes"]


def _mark(at: int) -> dict[str, Any]:
    """Return the vertical line at the fork."""
    return {
        "type": "line", "xref": "x", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1, "layer": "below",
        "line": {"color": theme.INK, "width": 1.5, "dash": "dash"}, "name": "fork",
    }  # fmt: skip


def _label(at: int) -> dict[str, Any]:
    return {
        "text": f"fork, step {at:,}", "x": at, "xref": "x", "y": 1, "yref": "paper", "yanchor": "bottom",
        "showarrow": False, "font": {"size": 13, "color": theme.INK},
    }  # fmt: skip
