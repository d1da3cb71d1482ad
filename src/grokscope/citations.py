"""BibTeX of the papers that parts come from; what a part cites is said where the part is.

Settings classes and measures have ``cites``: keys of :data:`ENTRIES`, or whole BibTeX entries of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from grokscope.errors import unknown

ENTRIES: Mapping[str, str] = {
    "gromov2023": """@misc{gromov2023grokking,
  title = {Grokking modular arithmetic},
  author = {Gromov, Andrey},
  year = {2023},
  eprint = {2301.02679},
  archivePrefix = {arXiv}
}""",
    "hurley2009": """@article{hurley2009comparing,
  title = {Comparing Measures of Sparsity},
  author = {Hurley, Niall and Rickard, Scott},
  journal = {IEEE Transactions on Information Theory},
  volume = {55},
  number = {10},
  pages = {4723--4741},
  year = {2009},
  doi = {10.1109/TIT.2009.2027527}
}""",
    "kingma2015": """@inproceedings{kingma2015adam,
  title = {Adam: A Method for Stochastic Optimization},
  author = {Kingma, Diederik P. and Ba, Jimmy},
  booktitle = {International Conference on Learning Representations},
  year = {2015},
  eprint = {1412.6980},
  archivePrefix = {arXiv}
}""",
    "lee2024": """@misc{lee2024grokfast,
  title = {Grokfast: Accelerated Grokking by Amplifying Slow Gradients},
  author = {Lee, Jaerin and Kang, Bong Gyun and Kim, Kihoon and Lee, Kyoung Mu},
  year = {2024},
  eprint = {2405.20233},
  archivePrefix = {arXiv}
}""",
    "liu2023": """@inproceedings{liu2023omnigrok,
  title = {Omnigrok: Grokking Beyond Algorithmic Data},
  author = {Liu, Ziming and Michaud, Eric J. and Tegmark, Max},
  booktitle = {International Conference on Learning Representations},
  year = {2023},
  eprint = {2210.01117},
  archivePrefix = {arXiv}
}""",
    "loshchilov2019": """@inproceedings{loshchilov2019decoupled,
  title = {Decoupled Weight Decay Regularization},
  author = {Loshchilov, Ilya and Hutter, Frank},
  booktitle = {International Conference on Learning Representations},
  year = {2019},
  eprint = {1711.05101},
  archivePrefix = {arXiv}
}""",
    "minegishi2023": """@misc{minegishi2023grokking,
  title = {Grokking Tickets: Lottery Tickets Accelerate Grokking},
  author = {Minegishi, Gouki and Iwasawa, Yusuke and Matsuo, Yutaka},
  year = {2023},
  eprint = {2310.19470},
  archivePrefix = {arXiv}
}""",
    "nanda2023": """@inproceedings{nanda2023progress,
  title = {Progress measures for grokking via mechanistic interpretability},
  author = {Nanda, Neel and Chan, Lawrence and Lieberum, Tom and Smith, Jess and Steinhardt, Jacob},
  booktitle = {International Conference on Learning Representations},
  year = {2023},
  eprint = {2301.05217},
  archivePrefix = {arXiv}
}""",
    "power2022": """@misc{power2022grokking,
  title = {Grokking: Generalization Beyond Overfitting on Small Algorithmic Datasets},
  author = {Power, Alethea and Burda, Yuri and Edwards, Harri and Babuschkin, Igor and Misra, Vedant},
  year = {2022},
  eprint = {2201.02177},
  archivePrefix = {arXiv}
}""",
    "singh2024": """@inproceedings{singh2024what,
  title = {What needs to go right for an induction head? A mechanistic study of in-context learning circuits and
    their formation},
  author = {Singh, Aaditya K. and Moskovitz, Ted and Hill, Felix and Chan, Stephanie C. Y. and Saxe, Andrew M.},
  booktitle = {International Conference on Machine Learning},
  year = {2024},
  eprint = {2404.07129},
  archivePrefix = {arXiv}
}""",
    "srivastava2014": """@article{srivastava2014dropout,
  title = {Dropout: A Simple Way to Prevent Neural Networks from Overfitting},
  author = {Srivastava, Nitish and Hinton, Geoffrey and Krizhevsky, Alex and Sutskever, Ilya and
    Salakhutdinov, Ruslan},
  journal = {Journal of Machine Learning Research},
  volume = {15},
  number = {56},
  pages = {1929--1958},
  year = {2014}
}""",
    "truong2020": """@article{truong2020selective,
  title = {Selective review of offline change point detection methods},
  author = {Truong, Charles and Oudre, Laurent and Vayatis, Nicolas},
  journal = {Signal Processing},
  volume = {167},
  pages = {107299},
  year = {2020},
  doi = {10.1016/j.sigpro.2019.107299}
}""",
    "vaswani2017": """@inproceedings{vaswani2017attention,
  title = {Attention Is All You Need},
  author = {Vaswani, Ashish and Shazeer, Noam and Parmar, Niki and Uszkoreit, Jakob and Jones, Llion and
    Gomez, Aidan N. and Kaiser, {\\L}ukasz and Polosukhin, Illia},
  booktitle = {Advances in Neural Information Processing Systems},
  year = {2017},
  eprint = {1706.03762},
  archivePrefix = {arXiv}
}""",
}
"""Author and year -> one BibTeX entry."""

METHODS: Mapping[str, tuple[str, ...]] = {"change points": ("truong2020",)}
"""Analyses that every run with a transition rule may be shown with, and what they cite."""


MEASURES: Mapping[str, tuple[str, ...]] = {
    "ablation": ("nanda2023",),
    "circles": ("nanda2023",),
    "circuit": ("nanda2023",),
    "fourier": ("nanda2023",),
    "gini": ("nanda2023", "hurley2009"),
    "gradient": (),
    "maps": ("nanda2023",),
    "participation": ("gromov2023",),
    "performance": ("power2022",),
    "weights": ("nanda2023",),
}
"""The ``cites`` of our own measures once more, so that a report can be written without loading torch.

A test holds them to what the measures say; one that is not here is loaded and asked.
"""


def entry(cite: str) -> str:
    """Return the BibTeX entry that a part's ``cites`` means: a key of :data:`ENTRIES`, or an entry itself.

    Raises:
        UsageError: it is neither.

    Example:
        >>> entry("hurley2009").splitlines()[0]
        '@article{hurley2009comparing,'
    """
    if cite.lstrip().startswith("@"):
        return cite.strip()
    if cite not in ENTRIES:
        raise unknown("citation", cite, ENTRIES)
    return ENTRIES[cite]


def label(bibtex: str) -> str:
    r"""Return the label of a BibTeX entry, by which ``\cite`` knows it; empty if it has none.

    Example:
        >>> label("@misc{power2022grokking, year = 2022}")
        'power2022grokking'
    """
    found = re.match(r"\s*@\w+\s*\{\s*([^\s,}]+)", bibtex)
    return found[1] if found else ""


def distinct(entries: Iterable[str]) -> list[str]:
    """Return BibTeX entries in their order, each label once."""
    kept: dict[str, str] = {}
    for bibtex in entries:
        kept.setdefault(label(bibtex) or bibtex, bibtex)
    return list(kept.values())
