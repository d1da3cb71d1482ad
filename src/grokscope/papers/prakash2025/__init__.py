"""Prakash & Martin 2025: grokking and the collapse of generalisation, seen in the spectra of the weights."""

from grokscope.citations import ENTRIES
from grokscope.paper import Paper
from grokscope.papers.prakash2025 import mnist, traps

SYSTEMS = (mnist, traps)

PAPER = Paper(
    id="prakash2025",
    title="Grokking and generalization collapse: insights from HTSR theory",
    bibtex=ENTRIES["prakash2025"],
    experiments=tuple(experiment for system in SYSTEMS for experiment in system.EXPERIMENTS),
    claims=tuple(claim for system in SYSTEMS for claim in system.CLAIMS),
    figures=tuple(figure for system in SYSTEMS for figure in system.FIGURES),
)
