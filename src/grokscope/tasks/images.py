"""Small sets of images to classify, from data files or, without any, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator

from grokscope.data import Samples, catalogue, is_path, load
from grokscope.data.datasets import find
from grokscope.errors import DataError
from grokscope.facts import Chance, Facts, InputGeometry
from grokscope.rng import generator
from grokscope.settings import TaskSettings

if TYPE_CHECKING:
    from torch import Tensor

    from grokscope.spec import Seeds
    from grokscope.tasks.base import Task

SYNTHETIC = "synthetic"
SIDE, COARSE, CLASSES = 28, 7, 10
MOST_SYNTHETIC = 20_000


class Images(TaskSettings):
    """Inputs are images (channels, height, width) with values in [0, 1]; the target is their class.

    ``dataset`` is one that ``grokscope data`` lists with a reader, read from ``directory`` or else the data
    directory; or a path to a folder or a zip file of pictures, ROOT/CLASS/NAME.png, of which several sizes are scaled
    to one with ``resize``; or ``synthetic``: ten random patterns of 7x7 blocks with noise, drawn, for where no data are
    at hand. A
    ``subset`` is trained on: drawn at random, ``stratified`` (as many of each class, drawn) or the ``first`` of the
    file, which are the same for every seed. The test images are others of the same file (``test_source = "train"``),
    those that follow or are drawn after it, or a random subset of the test file. ``pool`` averages squares of so many
    pixels a side. Updates see all images or, with ``batch_size``, one batch after the other: in the same order in
    each pass (``cyclic``) or in another one (``shuffled``); the last batch of a pass may be shorter.
    ``messiness`` m below 1 makes the representation easier (Liu et al. 2023, Fig. 8): inputs are m times the image and
    1 − m times a constant image that tells the class, from −½ for the first to ½ for the last.
    """

    name: Literal["images"] = "images"
    cites: ClassVar[tuple[str, ...]] = ()
    dataset: str = "mnist"
    directory: str | None = Field(default=None, description="the data directory, if not that of GROKSCOPE_DATA")
    train_examples: int = Field(default=1000, ge=1)
    test_examples: int = Field(default=2000, ge=1)
    subset: Literal["random", "stratified", "first"] = "random"
    test_source: Literal["train", "test"] = "train"
    resize: int | None = Field(
        default=None, ge=1, le=1024, description="side of the square to which pictures are scaled; none: as they are"
    )
    pool: int = Field(default=1, ge=1, description="side of the squares of pixels that are averaged")
    batch_size: int | None = Field(default=None, ge=1, description="images an update sees; none: all of them")
    batch_order: Literal["cyclic", "shuffled"] = "cyclic"
    messiness: float = Field(default=1.0, ge=0, le=1, description="m: inputs are m · image + (1 − m) · class")

    @model_validator(mode="after")
    def _possible(self) -> Images:
        sets = {name: one for name, one in catalogue().items() if one.load is not None and one.contents == "images"}
        known = [SYNTHETIC, *sets, "or a path to pictures"]
        if self.dataset not in known[:-1] and not is_path(self.dataset):
            raise ValueError(f"dataset = {self.dataset!r} is none that can be read: choose among {', '.join(known)}")
        if self.dataset == SYNTHETIC and self.train_examples + self.test_examples > MOST_SYNTHETIC:
            raise ValueError(f"of synthetic images at most {MOST_SYNTHETIC} are drawn: ask for fewer examples")
        found = sets.get(self.dataset)
        if found is not None and self.test_source == "test" and len(found.splits) < 2:
            raise ValueError(f"{self.dataset} has no file of test images: set test_source = 'train'")
        if self.resize is not None and (self.dataset == SYNTHETIC or (found is not None and not found.resizable)):
            raise ValueError(
                f"the images of {self.dataset} have one size and are not scaled to resize = {self.resize}: leave it "
                "out, or take pool"
            )
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
        try:
            load(self.dataset, find(self.dataset).splits[0], self.directory, limit=1, size=self.resize)
        except DataError as error:
            return str(error)
        return None

    def build(self, seeds: Seeds) -> Task:
        """Return the task; the split stream decides on the images, the order stream on shuffled batches.

        Raises:
            DataError: the data file is missing, is not what it should be, or holds too few images.
        """
        import torch

        from grokscope.batch import Batch
        from grokscope.minibatches import Minibatches
        from grokscope.tasks.base import Task

        train, test, classes = self._samples(seeds.split)
        probes = {}
        for name, one in (("train", train), ("test", test)):
            targets = torch.tensor(one.targets)
            pixels = self._pixels(one)
            if self.messiness < 1:
                pixels = self.messiness * pixels + (1 - self.messiness) * _constant_images(targets, classes)
            probes[name] = Batch(pixels, targets)
        shares = np.bincount(test.targets, minlength=classes) / len(test.targets)
        facts = Facts(
            outputs=classes,
            classes=classes,
            chance=Chance(accuracy=float(shares.max())),
            geometry=InputGeometry(
                shape=tuple(probes["train"].inputs.shape[1:]),
                # of the image [0, 1], of the class [−½, ½]
                bounds=((self.messiness - 1) / 2, (self.messiness + 1) / 2),
            ),
        )
        stream = None
        if self.batch_size is not None:
            stream = Minibatches(probes["train"], self.batch_size, self.batch_order, seeds.order)
        return Task(facts=facts, probes=probes, train=probes["train"], stream=stream)

    def _samples(self, seed: int) -> tuple[Samples, Samples, int]:
        """Return the images trained on, those tested on, and how many classes there are."""
        if self.dataset == SYNTHETIC:
            whole = synthetic(self.train_examples + self.test_examples, seed)
            files = {"train": whole, "test": whole}
        else:
            files = self._files()
        if self.dataset == SYNTHETIC or self.test_source == "train":
            count = self.train_examples + self.test_examples
            rows = self._rows(files["train"], count, seed)
            train, test = (_part(files["train"], some) for some in np.split(rows, [self.train_examples]))
        else:
            train = _part(files["train"], self._rows(files["train"], self.train_examples, seed))
            test = _drawn(files["test"], self.test_examples, seed, "test examples")
        if train.classes is None or train.inputs.ndim not in (3, 4) or train.inputs.dtype != np.uint8:
            raise DataError(
                f"{train.name} holds inputs of shape {train.inputs.shape[1:]} and dtype {train.inputs.dtype}: the task "
                "images takes classes and bytes (height, width) or (height, width, channels)."
            )
        return train, test, train.classes

    def _files(self) -> dict[str, Samples]:
        """Return the samples of the first split and, where they are asked for, of the second, which are tested on."""
        splits = find(self.dataset).splits
        wanted = {"train": splits[0]}
        if self.test_source == "test":
            if len(splits) < 2:
                raise DataError(
                    f"{self.dataset} holds no pictures to test on, in folders train and test: set task.test_source = "
                    "'train'."
                )
            wanted["test"] = splits[1]
        files = {part: load(self.dataset, split, self.directory, size=self.resize) for part, split in wanted.items()}
        train, test = files["train"], files.get("test", files["train"])
        if (train.classes, train.labels) != (test.classes, test.labels):
            raise DataError(
                f"the classes of {test.name} are not those of {train.name}: set task.test_source = 'train' to test on "
                "other images of the classes that are trained on."
            )
        if train.inputs.shape[1:] != test.inputs.shape[1:]:
            raise DataError(
                f"the images of {test.name} have shape {test.inputs.shape[1:]} and those of {train.name} "
                f"{train.inputs.shape[1:]}: set task.resize, or make them alike."
            )
        return files

    def _pixels(self, samples: Samples) -> Tensor:
        import torch
        from torch.nn import functional

        values = samples.inputs if samples.inputs.ndim == 4 else samples.inputs[..., None]
        pixels = torch.tensor(values).movedim(-1, 1).float() / 255
        height, width = pixels.shape[2:]
        if height % self.pool or width % self.pool:
            raise DataError(f"images of {height}x{width} pixels cannot be pooled by {self.pool}: choose a divisor.")
        return functional.avg_pool2d(pixels, self.pool).contiguous()

    def _rows(self, samples: Samples, count: int, seed: int) -> np.ndarray:
        """Return which images are taken, those trained on first."""
        if self.subset == "random":
            return _drawn_rows(samples, count, seed, "examples")
        _check_enough(samples, count)
        if self.subset == "first":
            return np.arange(count)
        order = _drawn_rows(samples, len(samples.targets), seed, "examples")
        classes = samples.classes or 0
        each, over = divmod(self.train_examples, max(classes, 1))
        if over:
            raise DataError(
                f"task.train_examples = {self.train_examples} cannot be the same number of each of {classes} classes: "
                f"choose a multiple of {classes}, or subset = 'random'."
            )
        labels = samples.targets[order]
        of_class = [np.flatnonzero(labels == one)[:each] for one in range(classes)]
        scarce = next((one for one, found in enumerate(of_class) if len(found) < each), None)
        if scarce is not None:
            raise DataError(
                f"{samples.name} holds {len(of_class[scarce])} images of class {scarce}, fewer than the {each} asked "
                "for: ask for fewer, or take subset = 'random'."
            )
        chosen = np.zeros(len(order), bool)
        chosen[np.concatenate(of_class)] = True
        return np.concatenate([order[chosen], order[~chosen]])[:count]


def synthetic(count: int, seed: int) -> Samples:
    """Return ``count`` images of ten classes, uint8 (count, 28, 28): a pattern of 7x7 blocks a class, with noise.

    A pattern's blocks are uniform in 0…255; an image is 0.6 of its pattern and 0.4 of uniform noise.

    Example:
        >>> synthetic(20, 0).inputs.shape
        (20, 28, 28)
    """
    import torch

    def uniform(what: str, *shape: int) -> np.ndarray:
        return torch.rand(shape, generator=generator(seed, "synthetic", what)).numpy()

    patterns = uniform("patterns", CLASSES, COARSE, COARSE).repeat(SIDE // COARSE, 1).repeat(SIDE // COARSE, 2)
    targets = np.arange(count, dtype=np.int64) % CLASSES
    images = 0.6 * patterns[targets] + 0.4 * uniform("noise", count, SIDE, SIDE)
    return Samples((255 * images).astype(np.uint8), targets, CLASSES, SYNTHETIC)


def _check_enough(samples: Samples, count: int) -> None:
    if count > len(samples.targets):
        raise DataError(
            f"{samples.name} holds {len(samples.targets)} images, fewer than the {count} asked for: ask for fewer."
        )


def _drawn_rows(samples: Samples, count: int, seed: int, what: str) -> np.ndarray:
    import torch

    _check_enough(samples, count)
    return torch.randperm(len(samples.targets), generator=generator(seed, what))[:count].numpy()


def _drawn(samples: Samples, count: int, seed: int, what: str) -> Samples:
    return _part(samples, _drawn_rows(samples, count, seed, what))


def _part(samples: Samples, rows: slice | np.ndarray) -> Samples:
    return Samples(samples.inputs[rows], samples.targets[rows], samples.classes, samples.name)


def _constant_images(targets: Tensor, classes: int) -> Tensor:
    """Return a constant image a class, (examples, 1, 1, 1): evenly from −½ for the first class to ½ for the last."""
    import torch

    return torch.linspace(-0.5, 0.5, classes)[targets][:, None, None, None]
