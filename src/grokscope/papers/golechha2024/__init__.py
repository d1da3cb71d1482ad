"""Golechha 2024: progress measures for grokking on real-world tasks, inside and outside of a range of norms."""

from grokscope.citations import ENTRIES
from grokscope.paper import Paper
from grokscope.papers.golechha2024 import mnist

SYSTEMS = (mnist,)

PAPER = Paper(
    id="golechha2024",
    title="Progress measures for grokking on real-world tasks",
    bibtex=ENTRIES["golechha2024"],
    experiments=tuple(experiment for system in SYSTEMS for experiment in system.EXPERIMENTS),
    claims=tuple(claim for system in SYSTEMS for claim in system.CLAIMS),
    figures=tuple(figure for system in SYSTEMS for figure in system.FIGURES),
)
