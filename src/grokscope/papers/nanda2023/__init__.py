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
        Figure("accuracy", "Accuracy", EVERY, "grokscope.papers.nanda2023.figures:accuracy"),
        Figure("loss", "Loss", EVERY, "grokscope.papers.nanda2023.figures:loss"),
        Figure("progress", "Restricted and excluded loss", EVERY, "grokscope.papers.nanda2023.figures:progress"),
        Figure("spectrum", "Fourier spectrum", EVERY, "grokscope.papers.nanda2023.figures:spectrum"),
        Figure("weights", "Weights", EVERY, "grokscope.papers.nanda2023.figures:weights"),
    ),
)
