"""Fan, Pascanu & Jaggi 2024: deep networks grok later, in several stages, and their feature rank falls as they do."""

from grokscope.citations import ENTRIES
from grokscope.paper import Paper
from grokscope.papers.fan2024 import images, transformers

SYSTEMS = (images, transformers)

PAPER = Paper(
    id="fan2024",
    title="Deep grokking: would deep neural networks generalize better?",
    bibtex=ENTRIES["fan2024"],
    experiments=tuple(experiment for system in SYSTEMS for experiment in system.EXPERIMENTS),
    claims=tuple(claim for system in SYSTEMS for claim in system.CLAIMS),
    figures=tuple(figure for system in SYSTEMS for figure in system.FIGURES),
)
