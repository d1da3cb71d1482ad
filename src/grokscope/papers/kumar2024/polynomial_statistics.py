"""What is computed of the runs of the polynomial student for each claim; imports no torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.analysis.ranks import rank_correlation
from grokscope.papers.kumar2024.polynomial_experiments import FIRST, NARROW, STATISTICS, eigenvector_name
from grokscope.papers.kumar2024.polynomial_settings import FIFTH, HALF, TENTH
from grokscope.papers.kumar2024.polynomial_sweeps import (
    ALIGNED,
    ALPHAS,
    AT,
    DRAWS,
    EPSILONS,
    SIZES,
    aligned_name,
    alpha_name,
    epsilon_name,
    grid_name,
    scale_name,
    size_name,
)
from grokscope.recipes.readings import first, last, over, until, value_at

Runs = Mapping[str, Any]
Seeds = Mapping[str, Sequence[Any]]
Values = dict[str, float | None]
TRAIN, TEST = "relative_loss/train", "relative_loss/test"
MOVEMENT = "quadratic_kernel/movement"
GROUPS = (((1, 4), (2, 1)), ((1, 1), (2, 0.25), (0.5, 4)), ((1, 0.25), (0.5, 1)))
"""(σ, α) of equal σ² α: 4, 1 and 1/4."""
EARLY, END = 2000, 25_000


def falls(run: Any, key: str, share: float) -> float:
    """Return the step at which a loss is down to a share of its start; infinity if it never is."""
    return first(run, key, share, falling=True)


def log_ratio(run: Any, share: float) -> float:
    """Return log10 of how many times later the test loss falls to a share than the training loss; infinity if never.

    NaN where the training loss never falls that far.
    """
    fit, generalise = falls(run, TRAIN, share), falls(run, TEST, share)
    return math.nan if not math.isfinite(fit) else math.log10(max(generalise, 1.0) / max(fit, 1.0))


# -- the main run ---------------------------------------------------------------------------------


def grokking_in_loss(runs: Runs) -> Values:
    """Return the height of the test loss's early rise, the plateau of the training loss, and the late test loss.

    All relative to the start: ``peak``; ``plateau`` at step 1000; ``late_test`` at step 25,000; ``kernel_error`` of the
    regression with the initial kernel.
    """
    run = runs[FIRST]
    return {
        "late_test": value_at(run, TEST, END),
        "peak": float(over(run, TEST)[1].max()),
        "plateau": value_at(run, TRAIN, 1000),
        "kernel_error": last(run, "quadratic_kernel/regression_error_relative"),
    }


def lazy_until(runs: Runs) -> Values:
    """Return the largest gap to the linearised test loss up to step 2000, and the step at which it passes 5 %."""
    run = runs[FIRST]
    return {
        "early_gap": float(until(run, "quadratic_kernel/lazy_gap", EARLY).max()),
        "break_step": first(run, "quadratic_kernel/lazy_gap", 0.05, sustain=2),
    }


def features_align(runs: Runs) -> Values:
    """Return by what factors kernel alignment and weight norm grow, and the least growth of either after step 3000.

    Of the main run, or of the smaller one of the decomposition where the claim is about that one.
    """
    run = runs[FIRST] if FIRST in runs else runs[STATISTICS]
    alignment, norm = over(run, "quadratic_kernel/alignment"), over(run, "weights/sum_of_squares")
    late = [np.diff(values[steps >= 3000]) / values[0] for steps, values in (alignment, norm)]
    return {
        "alignment_ratio": float(alignment[1][-1] / alignment[1][0]),
        "norm_ratio": math.sqrt(float(norm[1][-1] / norm[1][0])),
        "least_late_growth": float(min(growth.min() for growth in late)) if all(map(len, late)) else None,
    }


def parts_of_the_loss(runs: Runs) -> Values:
    """Return which part of the expected test loss rises early and which falls late, over the loss at the start.

    ``linear_rise`` of the linear power from the start to the peak of the test loss, ``misalignment_change`` the
    largest relative change of misalignment until then, ``misalignment_share`` the part of the fall from the peak to the
    end that misalignment has, ``prediction_error`` the largest relative error of the expected loss, ``end`` the test
    loss at the end.
    """
    run = runs[STATISTICS]
    steps, total = over(run, "sufficient_statistics/population_loss")
    linear, misaligned = (over(run, f"sufficient_statistics/{key}")[1] for key in ("linear_power", "misalignment"))
    # the start itself is no peak: the rise is looked for after the outputs' mean has been learnt
    peak = int(np.argmax(np.where(steps >= 10, total, -np.inf)))
    fall = total[peak] - total[-1]
    ratio = over(run, "sufficient_statistics/loss_ratio")[1]
    return {
        "linear_rise": float(linear[peak] - linear[0]) / float(total[0]),
        "misalignment_change": float(np.abs(misaligned[: peak + 1] / misaligned[0] - 1).max()),
        "misalignment_share": float((misaligned[peak] - misaligned[-1]) / fall) if fall > 0 else None,
        "prediction_error": float(np.abs(ratio[: peak + 1] - 1).max()),
        "end": last(run, TEST),
    }


def two_neurons(seeds: Seeds) -> Values:
    """Return the share of runs with two neurons whose test loss ends below half, and of those that diverged."""
    runs = [run for name in NARROW for run in seeds[name]]
    diverged = [run.status == "diverged" for run in runs]
    ends = [last(run, TEST) for run in runs]
    good = [end < HALF and not lost for end, lost in zip(ends, diverged, strict=True)]
    return {
        "success_fraction": float(np.mean(good)),
        "diverged_fraction": float(np.mean(diverged)),
        "runs": float(len(runs)),
    }


def eigenvector_labels(runs: Runs) -> Values:
    """Return how the test loss does on labels that are the 1st, the 70th and the 100th eigenvector of the kernel.

    ``first_ratio`` is log10 of the delay at a fifth for the 1st; ``middle_flat`` the test loss of the 70th where its
    training loss passes a quarter, ``middle_end`` and ``last_end`` the test losses at the end.
    """
    easy, middle, hard = (runs[eigenvector_name(index)] for index in (1, 70, 100))
    quarter = falls(middle, TRAIN, 0.25)
    return {
        "middle_end": last(middle, TEST),
        "middle_flat": value_at(middle, TEST, quarter) if math.isfinite(quarter) else None,
        "last_end": last(hard, TEST),
        "first_ratio": log_ratio(easy, FIFTH),
    }


# -- the sweeps -----------------------------------------------------------------------------------


def output_scale(runs: Runs) -> Values:
    """Return how delay and final test loss follow the output scale.

    ``delay_order`` and ``final_order`` are rank correlations with α of log10(test/train) at half of the start, and of
    the test loss at the end; ``smallest_ratio`` and ``largest_ratio`` that ratio at the ends of the sweep.
    """
    each = [runs[alpha_name(alpha)] for alpha in ALPHAS]
    ratios = [log_ratio(run, HALF) for run in each]
    return {
        "delay_order": rank_correlation(ALPHAS, ratios),
        "final_order": rank_correlation(ALPHAS, [last(run, TEST) for run in each]),
        "smallest_ratio": ratios[0],
        "largest_ratio": ratios[-1],
    }


def kernel_movement(runs: Runs) -> Values:
    """Return the largest over the least, over α, of α · kernel movement where training is at a tenth; and its mean."""
    each = [(alpha, runs[alpha_name(alpha)]) for alpha in ALPHAS]
    scaled = np.array([alpha * value_at(run, MOVEMENT, falls(run, TRAIN, TENTH)) for alpha, run in each])
    if not np.isfinite(scaled).all():
        return {"spread": None, "mean": None}
    return {"spread": float(scaled.max() / scaled.min()), "mean": float(scaled.mean())}


def nonlinearity(runs: Runs) -> Values:
    """Return how final test loss (at one step for all), peak and delay follow ε, by rank correlations.

    The delay is in steps, at half of the start. The ratio test/train goes the other way, as a small ε also fits late:
    ``ratio_order``.
    """
    each = [runs[epsilon_name(epsilon)] for epsilon in EPSILONS]
    end = min(int(over(run, TEST)[0][-1]) for run in each)
    return {
        "final_order": rank_correlation(EPSILONS, [value_at(run, TEST, end) for run in each]),
        "peak_order": rank_correlation(EPSILONS, [float(over(run, TEST)[1].max()) for run in each]),
        "delay_order": rank_correlation(EPSILONS, [falls(run, TEST, HALF) - falls(run, TRAIN, HALF) for run in each]),
        "ratio_order": rank_correlation(EPSILONS, [log_ratio(run, HALF) for run in each]),
    }


def phase_diagram(seeds: Seeds) -> Values:
    """Return rank correlations over the cells of the phase diagram, each the median of its seeds.

    At a fifth of the start: ``delay_alpha`` and ``delay_epsilon`` of the delay in steps with α and with −ε,
    ``ratio_epsilon`` of log10(test/train) with −ε, over the cells that generalise; two with censored cells ranked last
    as ``…_censored``; ``censored`` counts these.
    """
    rows = []
    for row in range(4):
        for column in range(4):
            runs = seeds[grid_name(row, column)]
            fit = [falls(run, TRAIN, FIFTH) for run in runs]
            generalise = [falls(run, TEST, FIFTH) for run in runs]
            delay, ratio = _median(np.subtract(generalise, fit)), _median([log_ratio(run, FIFTH) for run in runs])
            spec = runs[0].spec
            rows.append((spec["learner"]["output_scale"], -spec["model"]["epsilon"], delay, ratio))
    alphas, epsilons, delays, ratios = (np.array(column) for column in zip(*rows, strict=True))
    seen = np.isfinite(delays) & np.isfinite(ratios)
    return {
        "delay_alpha": rank_correlation(alphas[seen], delays[seen]),
        "ratio_epsilon": rank_correlation(epsilons[seen], ratios[seen]),
        "delay_epsilon": rank_correlation(epsilons[seen], delays[seen]),
        "delay_alpha_censored": rank_correlation(alphas, delays),
        "ratio_epsilon_censored": rank_correlation(epsilons, ratios),
        "censored": float((~seen).sum()),
    }


def _median(values: Any) -> float:
    """Return the median; infinity where half or more are infinite."""
    ordered = np.sort(np.asarray(values, float))
    middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
    return float(middle[0]) if len(middle) == 1 or np.isinf(middle).any() else float(middle.mean())


def one_parameter(runs: Runs) -> Values:
    """Return how far relative parameter movement and test loss at step 8000 differ among runs of one σ² α.

    The largest ratio minus one within the three groups σ² α = 4, 1 and 1/4; ``peak_spread`` the same of the early peak.
    """

    def spread(read: Any) -> float:
        groups = [[read(runs[scale_name(*pair)]) for pair in group] for group in GROUPS]
        return max(max(values) / min(values) - 1 for values in groups)

    return {
        "movement_spread": spread(moved),
        "final_spread": spread(lambda run: value_at(run, TEST, AT)),
        "peak_spread": spread(lambda run: float(over(run, TEST)[1].max())),
    }


def moved(run: Any) -> float:
    """Return ‖θ − θ_0‖/‖θ_0‖ at the step at which initial scales are compared."""
    start = math.sqrt(over(run, "weights/sum_of_squares")[1][0])
    return value_at(run, "weights/distance", AT) / start


def sample_size(seeds: Seeds) -> Values:
    """Return the final test losses over their starts for 50, 120 and 500 examples, means over seeds and draws."""
    ends = {
        examples: float(np.mean([last(run, TEST) for draw in DRAWS for run in seeds[size_name(examples, draw)]]))
        for examples in SIZES
    }
    runs = [run for draw in DRAWS for run in seeds[size_name(500, draw)]]
    return {
        **{f"end_{examples}": end for examples, end in ends.items()},
        "least_step": min(ends[50] - ends[120], ends[120] - ends[500]),
        "ratio_500": _median([log_ratio(run, FIFTH) for run in runs]),
        "runs": float(len(runs)),
    }


def aligned_start(runs: Runs) -> Values:
    """Return what a share of the solution in the start does: the peak at c = 0.2, and the order of the falls.

    ``slowest_step`` is the largest ratio of one fall to the one before, over rising c: below 1 they are ordered.
    """
    times = [falls(runs[aligned_name(share)], TEST, FIFTH) for share in ALIGNED]
    ratios = [later / before for before, later in itertools.pairwise(times) if math.isfinite(before)]
    return {
        "slowest_step": max(ratios) if ratios and math.isfinite(times[-1]) else math.inf,
        "peak": float(over(runs[aligned_name(0.2)], TEST)[1].max()),
        "speed_up": times[0] / times[-1] if math.isfinite(times[-1]) else None,
    }
