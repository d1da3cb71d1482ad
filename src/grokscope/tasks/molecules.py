"""A property of small molecules, read as graphs; from a table or, without any, of random graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from grokscope.errors import DataError
from grokscope.facts import Chance, Facts, GraphLayout, InputGeometry
from grokscope.rng import generator
from grokscope.settings import TaskSettings

if TYPE_CHECKING:
    from grokscope.spec import Seeds
    from grokscope.tasks.base import Task

SYNTHETIC = "synthetic"
MOST_SYNTHETIC = 20_000


class Molecules(TaskSettings):
    """Inputs are graphs of atoms and bonds, padded to ``nodes`` atoms; the target is one real number.

    An atom has eleven numbers, in the order of PyTorch Geometric's QM9: one-hot of H, C, N, O, F; atomic number;
    aromatic, sp, sp2, sp3 as far as a SMILES tells; hydrogens bound to it. A bond is single, double, triple or
    aromatic. Hydrogens are atoms of their own only with ``hydrogens``. ``dataset`` is ``qm9``, read from ``directory``
    or else the data directory, with ``target`` a column of its table (``gap`` in eV); or ``synthetic``, a substitute
    for where no data are at hand: random graphs, and the outputs of a random graph network on them.

    Of a molecule that the table lists twice the first row counts. Taken are the ``first`` train_examples +
    test_examples, the same for every seed, or as many drawn at ``random``; which of them are trained on is drawn in
    both cases. Targets are ``standardised`` by mean and deviation over the train set: a loss of 1 is that of its mean.
    """

    name: Literal["molecules"] = "molecules"
    cites: ClassVar[tuple[str, ...]] = ("gilmer2017", "ramakrishnan2014")
    dataset: Literal["qm9", "synthetic"] = "qm9"
    directory: str | None = Field(default=None, description="the data directory, if not that of GROKSCOPE_DATA")
    target: str = Field(default="gap", min_length=1, description="the column of the table that is predicted")
    train_examples: int = Field(default=50, ge=2)
    test_examples: int = Field(default=50, ge=2)
    subset: Literal["first", "random"] = "first"
    standardised: bool = True
    hydrogens: bool = Field(default=False, description="whether hydrogens are atoms of their own")
    nodes: int = Field(
        default=9, ge=1, le=100, description="atoms a molecule is padded to; QM9 has 9, 29 with hydrogens"
    )
    batch_size: int | None = Field(default=None, ge=1, description="molecules an update sees; none: all of them")
    batch_order: Literal["cyclic", "shuffled"] = "shuffled"

    @model_validator(mode="after")
    def _possible(self) -> Molecules:
        if self.dataset == SYNTHETIC and self.train_examples + self.test_examples > MOST_SYNTHETIC:
            raise ValueError(f"of synthetic molecules at most {MOST_SYNTHETIC} are drawn: ask for fewer examples")
        if self.dataset == SYNTHETIC and (self.hydrogens or self.target != "gap"):
            raise ValueError("synthetic graphs have no hydrogens and one target: leave task.hydrogens and task.target")
        if self.dataset == SYNTHETIC and self.nodes < 2:
            raise ValueError(f"nodes = {self.nodes} leaves synthetic graphs no edge: set it to 2 at least")
        if self.batch_size is not None and self.batch_size > self.train_examples:
            raise ValueError(
                f"batch_size = {self.batch_size} of {self.train_examples} train_examples: make it smaller, or leave "
                "it out to train on all at once"
            )
        return self

    def absent(self) -> str | None:
        """Return the sentence that says which data file is missing; None where all are there."""
        if self.dataset == SYNTHETIC:
            return None
        from grokscope.data import catalogue, locate

        dataset = catalogue()["qm9"]
        try:
            locate(dataset, dataset.files[0].path, self.directory)
        except DataError as error:
            return str(error)
        return None

    def build(self, seeds: Seeds) -> Task:
        """Return the task; the split stream decides on the molecules, the order stream on shuffled batches.

        Raises:
            DataError: the table is missing or no such table, lacks the target, or holds too few molecules; a molecule
                cannot be read, or has more atoms than ``nodes``.
        """
        import torch

        from grokscope.batch import Batch
        from grokscope.minibatches import Minibatches
        from grokscope.tasks.base import Task
        from grokscope.tasks.molecule_features import FEATURES, KINDS

        graphs, targets = self._examples(seeds.split)
        train_targets = targets[: self.train_examples]
        if self.standardised:
            deviation = train_targets.std()
            if not deviation > 0:
                raise DataError(
                    f"all {self.train_examples} targets trained on are {train_targets[0]:g}, and cannot be "
                    "standardised: train on more molecules, or set task.standardised = false."
                )
            targets = (targets - train_targets.mean()) / deviation
        parts = {"train": slice(self.train_examples), "test": slice(self.train_examples, None)}
        probes = {
            name: Batch(torch.tensor(graphs[part]), torch.tensor(targets[part, None], dtype=torch.float32))
            for name, part in parts.items()
        }
        test_targets = targets[self.train_examples :]
        layout = GraphLayout(self.nodes, FEATURES, KINDS)
        facts = Facts(
            outputs=1,
            # the best constant is the mean
            chance=Chance(loss=float(test_targets.var())),
            geometry=InputGeometry(shape=layout.shape),
            graph=layout,
        )
        stream = None
        if self.batch_size is not None:
            stream = Minibatches(probes["train"], self.batch_size, self.batch_order, seeds.order)
        return Task(facts=facts, probes=probes, train=probes["train"], stream=stream, loss="mean-squared-error")

    def _examples(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Return graphs, (examples, nodes, …), and their targets, float64 (examples,), those trained on first."""
        import torch

        count = self.train_examples + self.test_examples
        if self.dataset == SYNTHETIC:
            from grokscope.tasks.molecules_synthetic import synthetic

            return synthetic(count, self.nodes, seed)
        from grokscope.data.qm9 import load_qm9
        from grokscope.data.smiles import read_smiles
        from grokscope.tasks.molecule_features import molecules_as_graphs

        samples = load_qm9("train", self.directory, target=self.target)
        _, rows = np.unique(samples.inputs.astype(str), return_index=True)
        rows.sort()
        if count > len(rows):
            raise DataError(
                f"{samples.name} holds {len(rows)} different molecules, fewer than the {count} asked for: ask for "
                "fewer."
            )
        if self.subset == "first":
            rows = rows[:count]
        rows = rows[torch.randperm(len(rows), generator=generator(seed, "examples"))[:count].numpy()]
        molecules = [read_smiles(str(text)).without_hydrogens() for text in samples.inputs[rows]]
        if self.hydrogens:
            molecules = [one.with_hydrogens() for one in molecules]
        return molecules_as_graphs(molecules, self.nodes), samples.targets[rows]
