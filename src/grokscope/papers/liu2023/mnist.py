"""Claims and figures on MNIST."""

from __future__ import annotations

from grokscope.claims import Claim
from grokscope.paper import Figure
from grokscope.papers.liu2023.mnist_experiments import EXPERIMENTS

__all__ = ["CLAIMS", "EXPERIMENTS", "FIGURES"]

CLAIMS: tuple[Claim, ...] = ()
FIGURES: tuple[Figure, ...] = ()
