"""What is computed of a seed's runs, or of all seeds' runs, for each claim of the paper; imports no torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from grokscope.analysis.phases import boundaries
from grokscope.analysis.series import Series, running_median
from grokscope.papers.nanda2023.experiments import TRANSITION
from grokscope.papers.nanda2023.reference import HAND_BOUNDARIES, reference_series
from grokscope.recipes.readings import first

Runs = Mapping[str, Any]
Seeds = Mapping[str, Sequence[Any]]
Values = dict[str, float | None]
MAIN = "modular-addition"
WITHOUT = "no-weight-decay"


def generalised(run: Any) -> float:
    """Return the step at which test accuracy passes 0.9 for three observations in a row."""
    return first(run, "test/accuracy", 0.9, sustain=3)


def last(run: Any, key: str) -> float:
    """Return the value of ``key`` at the run's last observation; NaN where it was last measured before that.

    What is measured at a few steps and at the end has only early values in a run that diverged.
    """
    steps, values = run.series(key)
    return float(values[-1]) if steps[-1] == run.series("test/loss")[0][-1] else math.nan


def delayed_generalisation(runs: Runs) -> Values:
    """Return when train accuracy passes 0.999, and test accuracy 0.9 and 0.99 for three observations in a row."""
    run = runs[MAIN]
    return {
        "train_step": first(run, "train/accuracy", 0.999),
        "test_90_step": generalised(run),
        "test_99_step": first(run, "test/accuracy", 0.99, sustain=3),
    }


def sparse_weights(runs: Runs) -> Values:
    """Return how many key frequencies the final network has, and how much of the neuron-to-logit map they miss.

    ``rank_gap`` is σ_{2K+1} / σ_{2K} of that map for K key frequencies, ``embedding_keys`` how many the embedding has.
    """
    run = runs[MAIN]
    return {
        "residual": last(run, "circuit/neuron_to_logit_residual"),
        "keys": last(run, "circuit/key_frequencies"),
        "embedding_keys": last(run, "circuit/key_frequencies_embedding"),
        "rank_gap": last(run, "circuit/rank_gap"),
    }


def trigonometric_directions(runs: Runs) -> Values:
    """Return the variance explained by waves of a + b: least over the directions read off, and of the logits."""
    run = runs[MAIN]
    return {
        "directions": last(run, "circuit/direction_variance_explained"),
        "logits": last(run, "circuit/logit_variance_explained"),
    }


def single_frequency_neurons(runs: Runs) -> Values:
    """Return the share of neurons of which one frequency explains more than 0.85 of the variance."""
    return {"share": last(runs[MAIN], "circuit/neurons_single_frequency")}


def ablations(runs: Runs) -> Values:
    """Return what keeping and removing parts of the circuit does to the loss on all pairs.

    ``restricted_ratio``, ``keep_3x3_ratio``, ``cosines_ratio`` and ``polynomial_ratio`` are over the unchanged
    network's loss, all at the end; ``complement_excess`` is the loss with only the complement of the key
    directions of the neurons, less ln p; ``key_removed_ratio`` the least, over the key frequencies, of the loss
    with that one removed. ``restricted_at_half`` is restricted over test loss where test accuracy passes 0.5.
    """
    run = runs[MAIN]
    base = last(run, "ablation/base")
    half = first(run, "test/accuracy", 0.5)
    at_half = None
    if math.isfinite(half):
        test, restricted = run.series("test/loss"), run.series("fourier/restricted_loss")
        at_half = float(np.interp(half, *restricted) / np.interp(half, *test))
    prefix = "ablation/frequency_removed@"
    frequencies = range(1, run.spec["task"]["modulus"] // 2 + 1)
    removed = [last_of(run, f"{prefix}{k}") for k in frequencies if run.has(f"{prefix}{k}")]
    chance = math.log(run.spec["task"]["modulus"])
    return {
        "restricted_at_half": at_half,
        "restricted_ratio": last(run, "ablation/restricted") / base,
        "complement_excess": last(run, "ablation/neurons_complement") - chance,
        "keep_3x3_ratio": last(run, "ablation/keep_3x3") / base,
        "cosines_ratio": last(run, "ablation/cosines") / base,
        "polynomial_ratio": last(run, "ablation/neurons_polynomial") / base,
        "key_removed_ratio": min(removed) / base if removed else None,
    }


def last_of(run: Any, flat: str) -> float:
    """Return the last value of a key with its module, ``key@module``, at the run's last step; else infinity.

    A frequency that was a key early on and is none at the end has no value there.
    """
    steps, values = run.series(flat)
    return float(values[-1]) if steps[-1] == run.series("test/loss")[0][-1] else math.inf


def restricted_leads(runs: Runs) -> Values:
    """Return by how many steps restricted accuracy passes 0.5 and 0.9 before test accuracy does."""
    run = runs[MAIN]
    leads: Values = {}
    for level, name in ((0.9, "lead_90"), (0.5, "lead_50")):
        test = first(run, "test/accuracy", level, sustain=3)
        circuit = first(run, "fourier/restricted_accuracy", level, sustain=3)
        leads[name] = test - circuit if math.isfinite(test) else None
    return leads


def excluded_rises(runs: Runs) -> Values:
    """Return where excluded loss is lowest, and how many times higher it is when test accuracy passes 0.9.

    The loss is smoothed by a running median of 3 observations; the lowest point is sought from the step
    at which train accuracy passes 0.99.
    """
    run = runs[MAIN]
    fit, end = first(run, "train/accuracy", 0.99), generalised(run)
    steps, values = run.series("fourier/excluded_loss")
    smooth = running_median(values)
    after = steps >= fit
    if not after.any() or not math.isfinite(end):
        return {"minimum_step": None, "rise": None}
    # as in analysis.phases: of the two smoothed values that tie beside a minimum, the raw one decides
    lowest = int(np.lexsort((values, np.where(after, smooth, np.inf)))[0])
    then = float(np.interp(end, steps, smooth))
    return {"minimum_step": float(steps[lowest]), "rise": then / float(smooth[lowest])}


def circuit_ends(series: Series) -> tuple[float | None, float | None, float | None]:
    """Return where memorisation, circuit formation and cleanup end, in steps; None what is not found."""
    found = boundaries(series, TRANSITION)
    return found.memorisation_end, found.circuit_formation_end, found.cleanup_end


def three_phases(runs: Runs) -> Values:
    """Return how many of the boundaries are found, in order, and how far the detector is off on the paper's curves.

    ``boundaries`` counts ends of memorisation, circuit formation and cleanup, each after the one before;
    ``reference_error`` is the largest |found / drawn by hand - 1| on the curves of the paper's mainline run,
    infinity if one is not found.
    """
    count, before = 0, 0.0
    for end in circuit_ends(runs[MAIN].series):
        if end is None or end <= before:
            break
        count, before = count + 1, end
    pairs = zip(circuit_ends(reference_series()), HAND_BOUNDARIES, strict=True)
    return {
        "boundaries": float(count),
        "reference_error": max(math.inf if end is None else abs(end / drawn - 1) for end, drawn in pairs),
    }


def weight_norm_falls(runs: Runs) -> Values:
    """Return Σw² at the end, and at step 14 000 where the run is that long, over its largest value."""
    steps, values = runs[MAIN].series("weights/sum_of_squares")
    later = values[steps >= 14_000]
    return {
        "final_share": float(values[-1] / values.max()),
        "share_14000": float(later[0] / values.max()) if later.size else None,
    }


def gini_jumps(runs: Runs) -> Values:
    """Return how much faster the Gini coefficient of W_L rises in cleanup than in circuit formation, a step.

    ``speed_ratio`` is infinite where it rises in cleanup only, 0 where it rises in neither; ``final`` is the
    coefficient at the end.
    """
    run = runs[MAIN]
    t1, t2, t3 = circuit_ends(run.series)
    steps, values = run.series("gini/neuron_to_logit")
    speed = None
    if t1 is not None and t2 is not None and t3 is not None:
        at = np.interp([t1, t2, t3], steps, values)
        formation, cleanup = (at[1] - at[0]) / max(t2 - t1, 1.0), (at[2] - at[1]) / max(t3 - t2, 1.0)
        speed = float(cleanup / formation) if formation > 0 else math.inf if cleanup > 0 else 0.0
    return {"speed_ratio": speed, "final": float(values[-1])}


def never_without_decay(runs: Runs) -> Values:
    """Return how well the run without weight decay ever did, and how long it was given.

    ``leak_free_accuracy`` is the largest accuracy on test pairs whose mirror image was not trained on,
    ``test_accuracy`` the largest on all, ``budget`` its steps over those at which the same seed with
    weight decay passes test accuracy 0.9, ``excluded_loss`` the largest after train accuracy 0.99.
    """
    run, end = runs[WITHOUT], generalised(runs[MAIN])
    steps, excluded = run.series("fourier/excluded_loss")
    after = steps >= first(run, "train/accuracy", 0.99)
    return {
        "leak_free_accuracy": float(run.series("leak_free/accuracy")[1].max()),
        "test_accuracy": float(run.series("test/accuracy")[1].max()),
        "budget": float(run.series("test/accuracy")[0][-1]) / end if math.isfinite(end) else None,
        "excluded_loss": float(excluded[after].max()) if after.any() else None,
    }


def decay_slope(runs: Seeds) -> Values:
    """Return the slope of log(step of generalisation) against log(weight decay), by least squares.

    A run at the smallest weight decay that never generalised counts with its last step, which only makes the slope
    less steep; ``never`` counts them. One at a larger weight decay says that there is no such law: no slope.
    """
    found = [run for seeds in runs.values() for run in seeds]
    decays = np.array([run.spec["optimizer"]["weight_decay"] for run in found])
    ends = np.array([generalised(run) for run in found])
    never = ~np.isfinite(ends)
    if len(set(decays.tolist())) < 2 or any(map(diverged, found)) or bool((never & (decays > decays.min())).any()):
        return {"slope": None, "never": float(never.sum())}
    steps = np.array([run.series("test/accuracy")[0][-1] for run in found])
    slope = np.polyfit(np.log(decays), np.log(np.where(never, steps, ends)), 1)[0]
    return {"slope": float(slope), "never": float(never.sum())}


def by_fraction(runs: Runs) -> dict[float, Any]:
    """Return a seed's runs by the share of the table they train on, the largest first; none that diverged."""
    found = {run.spec["task"]["train_fraction"]: run for run in runs.values() if not diverged(run)}
    return {fraction: found[fraction] for fraction in sorted(found, reverse=True)}


def less_data_is_slower(runs: Runs) -> Values:
    """Return how the step of generalisation changes with the train fraction, for one seed.

    ``slower`` is the least factor from one fraction to the next smaller one (above 1: time grows as data
    shrinks), ``slower_40`` that from 0.5 to 0.4 where both are there. A run that never generalised is infinitely
    late; a factor from such a run to the next has no value.
    """
    times = {fraction: generalised(run) for fraction, run in by_fraction(runs).items()}
    factors = [
        times[less] / times[more] if math.isfinite(times[more]) else math.nan
        for more, less in itertools.pairwise(times)
    ]
    values: Values = {"slower": None if len(times) < len(runs) or any(map(math.isnan, factors)) else min(factors)}
    if 0.4 in times and 0.5 in times:
        values["slower_40"] = times[0.4] / times[0.5] if math.isfinite(times[0.5]) else None
    return values


def no_gap_with_much_data(runs: Runs) -> Values:
    """Return how many times as late as it fits (train loss 0.01) a run generalises (test loss 1), by fraction.

    ``gap_60`` and ``gap_80`` are those of 60 and 80 % of the table; below 1 the test loss is first.
    """
    values: Values = {}
    for fraction, run in by_fraction(runs).items():
        fitted = first(run, "train/loss", 0.01, falling=True)
        known = first(run, "test/loss", 1.0, falling=True)
        # a run that was stopped because it generalised may not have come to 0.01: there is no gap then either
        values[f"gap_{100 * fraction:.0f}"] = known / min(fitted, float(run.series("train/loss")[0][-1]))
    return values


def diverged(run: Any) -> bool:
    """Tell whether a run ended because its loss was not finite."""
    return run.status == "diverged"
