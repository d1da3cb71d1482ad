"""Lyu, Jin, Li, Du, Lee & Hu 2024: early and late implicit biases, and the grokking between them."""

from grokscope.citations import ENTRIES
from grokscope.paper import Paper
from grokscope.papers.lyu2024 import completion, diagonal, label_noise, modular

SYSTEMS = (diagonal, completion, modular, label_noise)

PAPER = Paper(
    id="lyu2024",
    title="Dichotomy of early and late phase implicit biases can provably induce grokking",
    bibtex=ENTRIES["lyu2024"],
    experiments=tuple(experiment for system in SYSTEMS for experiment in system.EXPERIMENTS),
    claims=tuple(claim for system in SYSTEMS for claim in system.CLAIMS),
    figures=tuple(figure for system in SYSTEMS for figure in system.FIGURES),
)
