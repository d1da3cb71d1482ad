"""Nanda, Chan, Lieberum, Smith & Steinhardt 2023: progress measures for grokking on modular addition."""

from grokscope.paper import Figure, Paper
from grokscope.papers.nanda2023.claims import CLAIMS
from grokscope.papers.nanda2023.experiments import EXPERIMENTS

BIBTEX = """@inproceedings{nanda2023progress,
  title = {Progress measures for grokking via mechanistic interpretability},
  author = {Nanda, Neel and Chan, Lawrence and Lieberum, Tom and Smith, Jess and Steinhardt, Jacob},
  booktitle = {International Conference on Learning Representations},
  year = {2023},
  eprint = {2301.05217},
  archivePrefix = {arXiv}
}"""

EVERY = tuple(experiment.name for experiment in EXPERIMENTS)

PAPER = Paper(
    id="nanda2023",
    title="Progress measures for grokking via mechanistic interpretability",
    bibtex=BIBTEX,
    experiments=EXPERIMENTS,
    claims=CLAIMS,
    figures=(
        Figure(
            "accuracy",
            "Accuracy",
            EVERY,
            "grokscope.papers.nanda2023.figures:accuracy",
            ("train/accuracy", "test/accuracy", "leak_free/accuracy", "fourier/restricted_accuracy"),
            "Accuracy on trained and held-out pairs. About as many held-out pairs as the train fraction have their "
            "mirror image (b, a) among the trained ones; a network that has only learned that addition commutes "
            "answers those, so the dashed curve leaves them out.",
        ),
        Figure(
            "loss",
            "Loss",
            EVERY,
            "grokscope.papers.nanda2023.figures:loss",
            ("train/loss", "test/loss"),
            "Cross-entropy over all outputs, log-softmax in float64.",
        ),
        Figure(
            "progress",
            "Restricted and excluded loss",
            EVERY,
            "grokscope.papers.nanda2023.figures:progress",
            ("fourier/restricted_loss", "fourier/excluded_loss", "test/loss", "train/loss"),
            "Hidden progress: keeping only the key frequencies of the final network (restricted), or removing only "
            "them (excluded). In a run that generalises both move long before the test loss falls.",
        ),
        Figure(
            "spectrum",
            "Fourier spectrum over training",
            EVERY,
            "grokscope.papers.nanda2023.figures:fourier_spectrum",
            ("fourier/key_frequencies",),
            "Norm of each frequency of the neuron-to-logit map, over neurons; the key frequencies are those "
            "above a quarter of the largest at the end.",
        ),
        Figure(
            "weights",
            "Weights",
            EVERY,
            "grokscope.papers.nanda2023.figures:weights",
            ("weights/sum_of_squares", "gini/embedding", "gini/neuron_to_logit"),
            "In cleanup the sum of squares falls sharply and the Fourier spectra become sparse.",
        ),
    ),
)
