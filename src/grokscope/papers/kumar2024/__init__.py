"""Kumar, Bordelon, Gershman & Pehlevan 2024: grokking as the transition from lazy to rich training."""

from grokscope.citations import ENTRIES
from grokscope.paper import Paper
from grokscope.papers.kumar2024 import networks, polynomial

SYSTEMS = (polynomial, networks)

PAPER = Paper(
    id="kumar2024",
    title="Grokking as the transition from lazy to rich training dynamics",
    bibtex=ENTRIES["kumar2024"],
    experiments=tuple(experiment for system in SYSTEMS for experiment in system.EXPERIMENTS),
    claims=tuple(claim for system in SYSTEMS for claim in system.CLAIMS),
    figures=tuple(figure for system in SYSTEMS for figure in system.FIGURES),
)
