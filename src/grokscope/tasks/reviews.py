"""Reviews that are good or bad, as sequences of words, from data files or, without any, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from grokscope.data import Samples, catalogue, load
from grokscope.errors import DataError
from grokscope.facts import Chance, Facts, SequenceLayout
from grokscope.rng import generator
from grokscope.settings import TaskSettings
from grokscope.tasks.reviews_text import sequences, stratified, synthetic, vocabulary, words

if TYPE_CHECKING:
    from grokscope.spec import Seeds
    from grokscope.tasks.base import Task

SYNTHETIC = "synthetic"
MOST_SYNTHETIC = 20_000


class Reviews(TaskSettings):
    """Inputs are the tokens of a review, (length,), and the target is its class: 0 bad, 1 good.

    ``examples`` reviews are taken, at random or the ``first`` of the file; ``train_fraction`` of them are trained on
    and the others tested on, of each class the same share, drawn. A text is cut into words of letters alone, in lower
    case and without function words; the ``vocabulary`` most frequent of the training reviews are the tokens 1 …
    ``vocabulary``, other words are left out. The first ``length`` words are kept; a shorter review has the token 0
    before it. Updates see all reviews or, with ``batch_size``, one batch after the other: in the same order in each
    pass (``cyclic``) or in another one (``shuffled``).
    """

    name: Literal["reviews"] = "reviews"
    cites: ClassVar[tuple[str, ...]] = ("liu2023",)
    dataset: str = "imdb"
    directory: str | None = Field(default=None, description="the data directory, if not that of GROKSCOPE_DATA")
    examples: int = Field(default=1000, ge=2, description="reviews, those trained on and those tested on")
    train_fraction: float = Field(default=0.75, gt=0, lt=1)
    subset: Literal["random", "first"] = "random"
    vocabulary: int = Field(default=1000, ge=1, description="words that have a token")
    length: int = Field(default=500, ge=1, description="words of a review that are kept")
    batch_size: int | None = Field(default=None, ge=1, description="reviews an update sees; none: all of them")
    batch_order: Literal["cyclic", "shuffled"] = "cyclic"

    @model_validator(mode="after")
    def _possible(self) -> Reviews:
        texts = (name for name, one in catalogue().items() if one.load is not None and one.contents == "texts")
        known = [SYNTHETIC, *texts]
        if self.dataset not in known:
            raise ValueError(f"dataset = {self.dataset!r} holds no reviews: choose among {', '.join(known)}")
        if self.dataset == SYNTHETIC and self.examples > MOST_SYNTHETIC:
            raise ValueError(f"of synthetic reviews at most {MOST_SYNTHETIC} are drawn: ask for fewer examples")
        if not 0 < self.train_examples < self.examples:
            raise ValueError(
                f"train_fraction = {self.train_fraction} of {self.examples} examples leaves none to "
                f"{'test' if self.train_examples else 'train'} on: choose one nearer to 0.5"
            )
        if self.batch_size is not None and self.batch_size > self.train_examples:
            raise ValueError(
                f"batch_size = {self.batch_size} of {self.train_examples} reviews to train on: make it smaller, or "
                "leave it out to train on all at once"
            )
        return self

    @property
    def train_examples(self) -> int:
        """How many reviews are trained on: ⌊train_fraction · examples⌋."""
        return int(self.train_fraction * self.examples)

    def absent(self) -> str | None:
        """Return the sentence that says which data file is missing; None where all are there."""
        if self.dataset == SYNTHETIC:
            return None
        try:
            load(self.dataset, "train", self.directory, limit=1)
        except DataError as error:
            return str(error)
        return None

    def build(self, seeds: Seeds) -> Task:
        """Return the task; the split stream decides on the reviews, the order stream on shuffled batches.

        Raises:
            DataError: the data file is missing, is not what it should be, holds too few reviews, or none of its words
                is kept.
        """
        import torch

        from grokscope.batch import Batch
        from grokscope.minibatches import Minibatches
        from grokscope.tasks.base import Task

        samples, rows = self._rows(seeds.split)
        targets = samples.targets[rows]
        trained = stratified(targets, self.train_fraction)
        texts = [words(str(samples.inputs[row])) for row in rows]
        tokens = vocabulary((text for text, own in zip(texts, trained, strict=True) if own), self.vocabulary)
        if not tokens:
            raise DataError(
                f"the {self.train_examples} reviews of {samples.name} to train on hold no word that is kept, letters "
                "apart from function words: check the file's texts."
            )
        inputs = torch.tensor(sequences(texts, tokens, self.length))

        def part(chosen: np.ndarray) -> Batch:
            return Batch(inputs[torch.tensor(chosen)], torch.tensor(targets[chosen]))

        probes = {"train": part(trained), "test": part(~trained)}
        shares = np.bincount(targets[~trained], minlength=2) / (~trained).sum()
        facts = Facts(
            outputs=2,
            classes=2,
            chance=Chance(accuracy=float(shares.max()), loss=float(-(shares * np.log(shares.clip(1e-300))).sum())),
            sequence=SequenceLayout(length=self.length, vocabulary=self.vocabulary + 1),
        )
        stream = None
        if self.batch_size is not None:
            stream = Minibatches(probes["train"], self.batch_size, self.batch_order, seeds.order)
        return Task(facts=facts, probes=probes, train=probes["train"], stream=stream)

    def _rows(self, seed: int) -> tuple[Samples, np.ndarray]:
        """Return the reviews of the file and which of them are taken, in the order in which they are split."""
        import torch

        if self.dataset == SYNTHETIC:
            samples = synthetic(self.examples, seed)
        else:
            samples = load(self.dataset, "train", self.directory)
        if samples.inputs.dtype != object or samples.classes != 2:
            raise DataError(
                f"{samples.name} holds inputs of dtype {samples.inputs.dtype} and {samples.classes} classes: the task "
                "reviews takes texts of two classes."
            )
        there = len(samples.targets)
        if self.examples > there:
            raise DataError(
                f"{samples.name} holds {there} reviews, fewer than the {self.examples} asked for: ask for fewer."
            )
        if self.subset == "random":
            order = torch.randperm(there, generator=generator(seed, "subset")).numpy()
            return samples, order[: self.examples]
        return samples, torch.randperm(self.examples, generator=generator(seed, "split")).numpy()
