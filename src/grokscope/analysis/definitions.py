"""Every constant of the definitions of phases, in one value with a version; ``docs/phases.md`` explains them."""

from __future__ import annotations

from dataclasses import dataclass

PHASE_RULE_VERSION = 2
"""Raised when a boundary of any run can move."""


@dataclass(frozen=True)
class Definitions:
    """The thresholds by which phases, sharpness, decline and slingshots are found.

    Attributes:
        smoothing: observations (odd) in a running median.
        fitted_accuracy: train accuracy above this counts as fitted where the Fourier circuit decides.
        excluded_rise: times its least value that the excluded loss must rise to for memorisation to have ended.
        excluded_rise_nats: nats above its least value that it must rise to as well.
        test_loss_share: share of its running maximum below which the test loss has fallen.
        steeper: how many times steeper than its median d log Σw²/dt is in cleanup.
        final_band: relative distance to its final value within which Σw² has settled.
        final_sustain: observations in a row it must be there.
        settled_ratio: last step over the end of cleanup, at least; less is a run that ended while Σw² moved.
        sigmoid_tail: sharpness is the width from this share of the way to one minus it.
        decline_share: share of its best gain below which a test scalar has declined.
        early_ratio: a scalar that is good by this many times the step of the fit was good early.
        early_gain: share of the way to the level of generalisation that early goodness must have come.
        abrupt_width: decades; a transition without delay is abrupt if it is no wider.
        slingshot_factor: times its running minimum above which the train loss is in a slingshot.
        slingshot_floor: nats; a running minimum below counts as this.
        slingshot_ratio: last over first step of a slingshot, at most; what lasts longer is another course.
    """

    smoothing: int = 3
    fitted_accuracy: float = 0.99
    excluded_rise: float = 1.5
    excluded_rise_nats: float = 0.1
    test_loss_share: float = 0.5
    steeper: float = 1.5
    final_band: float = 0.05
    final_sustain: int = 3
    settled_ratio: float = 1.1
    sigmoid_tail: float = 0.1
    decline_share: float = 0.9
    early_ratio: float = 2.0
    early_gain: float = 0.5
    abrupt_width: float = 0.5
    slingshot_factor: float = 100.0
    slingshot_floor: float = 1e-7
    slingshot_ratio: float = 2.0


DEFINITIONS = Definitions()
"""The definitions of ``PHASE_RULE_VERSION``."""
