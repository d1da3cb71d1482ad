"""The claims of the paper, C1.1 to C1.12 of its specification, with criteria for each scale.

Where a criterion is not the specification's, its reason says so. Those of ours for the cpu scale were fixed on seeds
100-102 and committed before the runs of seeds 0-2 that they judge were made (``LAB.md``). Those of C1.1, C1.6 and C1.10
are older: shorter runs of seeds 0-2 have been seen since, and no bound was changed after that.
"""

from __future__ import annotations

from grokscope.claims import claims_by, ours, sheet

MAIN = "modular-addition"
WITHOUT = "no-weight-decay"
FRACTIONS = ("train-fraction-0.4", MAIN, "train-fraction-0.6", "train-fraction-0.8")
HERE = "grokscope.papers.nanda2023.statistics"


claim = claims_by("Nanda et al. 2023", HERE, experiments=(MAIN,))


CLAIMS = (
    claim(
        "C1.1",
        "Generalisation is delayed: train accuracy is complete long before test accuracy rises.",
        "accuracy",
        "delayed_generalisation",
        "Fig. 2",
        paper=sheet(test_99_step=(5000, 20_000), train_step=(None, 500)),
        cpu=ours(
            "the specification's 1000 to 3000 is for weight decay 2; at weight decay 1, twice as slow, "
            "seeds 100-102 pass 0.9 at 2597, 3737 and 1330",
            test_90_step=(1000, 5000),
            train_step=(None, 400),
        ),
    ),
    claim(
        "C1.2",
        "Neuron-to-logit map and embedding are sparse in the Fourier basis: a few key frequencies are nearly all.",
        "rank",
        "sparse_weights",
        "Sec. 4.1, Fig. 3",
        paper=ours(
            "the specification's residual, keys and gap; its 3 to 6 keys are asked of the embedding as well, which the "
            "claim names (added after seed 0 of this scale was seen, which has 3; it decides no verdict there)",
            calibrated=False,
            residual=(None, 0.03),
            keys=(3, 6),
            embedding_keys=(3, 6),
            rank_gap=(None, 0.05),
        ),
        cpu=ours(
            "the specification's residual, and its gap at K = 3 (σ_7/σ_6) at whatever K a seed has: it has three keys "
            "on its one seed, where 100-102 have 4, 2 and 4 in either matrix (residual 0.04, 0.03, 0.07; gap 0.005, "
            "0.02, 0.04)",
            residual=(None, 0.4),
            keys=(2, 6),
            embedding_keys=(2, 6),
            rank_gap=(None, 0.3),
        ),
    ),
    claim(
        "C1.3",
        "The directions read off the neurons are cosines and sines of w(a + b), and so are the logits.",
        "rank",
        "trigonometric_directions",
        "Sec. 4.2, Table 1",
        paper=sheet(directions=(0.9, None), logits=(0.9, None)),
        cpu=sheet(directions=(0.8, None), logits=(0.55, None)),
    ),
    claim(
        "C1.4",
        "Most neurons are polynomials of the sines and cosines of one frequency.",
        "neurons-by-frequency",
        "single_frequency_neurons",
        "Sec. 4.3, Fig. 5",
        paper=sheet(share=(0.75, None)),
        cpu=sheet(share=(0.5, None)),
    ),
    claim(
        "C1.5",
        "Ablations: the circuit alone does better than the network, and what is left without it knows nothing.",
        "progress",
        "ablations",
        "Sec. 4.4",
        paper=sheet(restricted_ratio=(None, 0.6), complement_excess=(-0.3, None)),
        cpu=sheet(restricted_at_half=(None, 0.05)),
    ),
    claim(
        "C1.6a",
        "Restricted loss leads: the circuit alone generalises long before the network does.",
        "progress",
        "restricted_leads",
        "Fig. 7",
        paper=sheet(lead_50=(3000, None)),
        cpu=sheet(lead_90=(400, None)),
    ),
    claim(
        "C1.6b",
        "Excluded loss rises during circuit formation: without the circuit the network forgets its data.",
        "progress",
        "excluded_rises",
        "Fig. 7",
        paper=ours(
            "the specification asks for the minimum before 2500; that the loss then rises, which the claim "
            "says, is asked for as well: on the paper's reference curve 40-fold",
            calibrated=False,
            minimum_step=(None, 2500),
            rise=(2, None),
        ),
        cpu=ours(
            "the specification's 200 to 600, widened by the interval of observation it was fixed at, as the minimum of "
            "two of the seeds 100-102 (251, 200, 200) is the first observation after the fit; they rise 5.0, 5.6 and "
            "3.5 times, and a rise, which the claim speaks of, is asked for as well",
            minimum_step=(150, 600),
            rise=(2, None),
        ),
    ),
    claim(
        "C1.7",
        "Training has three phases: memorisation, circuit formation, cleanup, in this order.",
        "progress",
        "three_phases",
        "Sec. 5.2, Fig. 7",
        paper=ours(
            "the specification asks that the detector agree within 25 % with the boundaries drawn by hand on the "
            "reference curves; that it find all three in the run, in order, is asked for as well",
            calibrated=False,
            boundaries=(3, None),
            reference_error=(None, 0.25),
        ),
        cpu=ours(
            "the specification's order of the three, by a detector that ends circuit formation at the latest where the "
            "run generalises: on seed 101 its own rule for that boundary never fires",
            boundaries=(3, None),
        ),
    ),
    claim(
        "C1.8",
        "The sum of squared weights falls slowly, then sharply.",
        "weights",
        "weight_norm_falls",
        "Fig. 7",
        paper=sheet(share_14000=(None, 0.35)),
        cpu=sheet(final_share=(None, 0.55)),
    ),
    claim(
        "C1.9",
        "The Fourier spectrum of the neuron-to-logit map becomes sparse faster in cleanup than in circuit formation.",
        "weights",
        "gini_jumps",
        "Fig. 6",
        paper=sheet(speed_ratio=(1, None)),
        cpu=ours(
            "the specification's values at steps 400, 1000 and 2000 are those of one seed at weight decay 2; asked "
            "here is its paper-scale criterion, and a final coefficient within 0.1 of its 0.65 or above; seeds 100-102 "
            "fail the former (0.89, 0.92, 0.78), which is kept, and meet the latter (0.79, 0.87, 0.79)",
            speed_ratio=(1, None),
            final=(0.55, None),
        ),
    ),
    claim(
        "C1.10",
        "Weight decay is necessary: without it the network never generalises, given several times as long.",
        "accuracy",
        "never_without_decay",
        "App. D.1",
        experiments=(MAIN, WITHOUT),
        paper=ours(
            "the specification asks for test accuracy below 0.2 and an excluded loss that stays low: at "
            "most 1 nat, where the reference run with weight decay rises to 13; the same seed with weight "
            "decay must have generalised within half of the steps, or nothing is shown; that test loss keeps rising, "
            "which the specification mentions, is not asked for",
            calibrated=False,
            test_accuracy=(None, 0.2),
            excluded_loss=(None, 1.0),
            budget=(2, None),
        ),
        cpu=ours(
            "the specification's 0.2 is asked of the test pairs whose mirror image is not trained on: half "
            "of the table is trained on here, and a network that has only learned that addition commutes answers "
            "about half of the test pairs (seeds 100-102: 0.46, 0.39, 0.48 of all, 0.02, 0.03, 0.02 leak-free)",
            leak_free_accuracy=(None, 0.2),
            test_accuracy=(None, 0.9),
            excluded_loss=(None, 1.0),
            budget=(3, None),
        ),
    ),
    claim(
        "C1.11",
        "The time to generalise shrinks as weight decay grows, about as its inverse.",
        "accuracy",
        "decay_slope",
        "App. D.1",
        kind="pooled",
        experiments=(MAIN, "weight-decay-0.1", "weight-decay-0.3", "weight-decay-3"),
        experiments_by_scale={"cpu": (MAIN, "weight-decay-0.3", "weight-decay-3")},
        paper=ours(
            "the specification says only that about -1 is expected: within a factor of two of it, as the paper's own "
            "text and its released runs contradict one another",
            calibrated=False,
            slope=(-2.0, -0.5),
        ),
        cpu=ours(
            "the specification's bound, on 0.3, 1 and 3 instead of its 1, 2 and 4: at 2 and 4 hardly a delay is left "
            "at this size, so that the fit would see the time to memorise",
            calibrated=False,
            slope=(None, -0.5),
        ),
    ),
    claim(
        "C1.12a",
        "The less of the table is trained on, the later the network generalises.",
        "accuracy",
        "less_data_is_slower",
        "App. D.2",
        experiments=FRACTIONS,
        paper=sheet(slower=(1, None)),
        cpu=sheet(slower_40=(1, None)),
    ),
    claim(
        "C1.12b",
        "With most of the table there is no gap between fitting and generalising.",
        "loss",
        "no_gap_with_much_data",
        "App. D.2",
        experiments=FRACTIONS,
        paper=ours(
            "the specification says no gap from 60 % on, of which 60 and 80 % are run; a gap is counted as such from a "
            "factor of 2.5, where its table has 1.1 at 80 %, 1.4 at 60 % and 3.7 at 50 %",
            calibrated=False,
            gap_60=(None, 2.5),
            gap_80=(None, 2.5),
        ),
        cpu=ours(
            "the paper scale's factor at 80 % alone: at this size 60 % still has a gap (seeds 100-102: 2.0, 4.5, 2.3 "
            "at 60 % and 0.5, 0.6, 0.7 at 80 %)",
            gap_80=(None, 2.5),
        ),
    ),
)
