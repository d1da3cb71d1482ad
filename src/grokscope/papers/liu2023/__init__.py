"""Liu, Michaud & Tegmark 2023: grokking beyond algorithmic data, induced and removed by the norm of the weights."""

from grokscope.citations import ENTRIES
from grokscope.paper import Paper
from grokscope.papers.liu2023 import addition, landscape, mnist, molecules, reviews, teacher_student, transformer

SYSTEMS = (mnist, landscape, molecules, reviews, teacher_student, transformer, addition)

PAPER = Paper(
    id="liu2023",
    title="Omnigrok: grokking beyond algorithmic data",
    bibtex=ENTRIES["liu2023"],
    experiments=tuple(experiment for system in SYSTEMS for experiment in system.EXPERIMENTS),
    claims=tuple(claim for system in SYSTEMS for claim in system.CLAIMS),
    figures=tuple(figure for system in SYSTEMS for figure in system.FIGURES),
)
