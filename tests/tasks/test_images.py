"""Images from files and drawn ones: subsets, pooling, batches, what is told where something is missing."""

from __future__ import annotations

import gzip
import itertools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from grokscope.data import Samples
from grokscope.errors import DataError, UsageError
from grokscope.spec import Seeds, resolve
from grokscope.tasks.images import Images, synthetic

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 28, 28), dtype=np.uint8)
LABELS = (np.arange(40) % 10).astype(np.uint8)


def mnist(root: Path) -> Path:
    """Write forty digits as both files of MNIST; the test file holds them the other way round."""
    (root / "mnist").mkdir()
    for prefix, order in (("train", slice(None)), ("t10k", slice(None, None, -1))):
        for kind, array in (("images-idx3", PIXELS[order]), ("labels-idx1", LABELS[order])):
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (root / "mnist" / f"{prefix}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes(), 1))
    return root


def small(**more: Any) -> Images:
    return Images(**{"dataset": "synthetic", "train_examples": 25, "test_examples": 15, **more})


def rows_of(inputs: torch.Tensor) -> list[int]:
    """Return which digit of PIXELS each image is."""
    flat = torch.tensor(PIXELS).flatten(1).float() / 255
    return torch.cdist(inputs.flatten(1), flat).argmin(1).tolist()


def test_a_random_subset_of_the_train_file_and_others_of_it(tmp_path: Path) -> None:
    settings = Images(directory=str(mnist(tmp_path)), train_examples=25, test_examples=15)
    assert settings.absent() is None
    task = settings.build(Seeds.derive(1))
    train, test = task.probes["train"], task.probes["test"]
    assert train.inputs.shape == (25, 1, 28, 28)
    assert train.inputs.dtype == torch.float32
    found = rows_of(train.inputs) + rows_of(test.inputs)
    assert sorted(found) == list(range(40))
    assert train.targets is not None
    assert train.targets.tolist() == [LABELS[row] for row in found[:25]]
    assert torch.equal(train.inputs[0, 0], torch.tensor(PIXELS[found[0]]).float() / 255)
    assert (task.facts.outputs, task.facts.classes) == (10, 10)
    assert task.facts.geometry is not None
    assert task.facts.geometry.shape == (1, 28, 28)
    assert task.stream is None
    again = settings.build(Seeds.derive(9, split=Seeds.derive(1).split))
    assert torch.equal(again.probes["train"].inputs, train.inputs)
    assert not torch.equal(settings.build(Seeds.derive(2)).probes["train"].inputs, train.inputs)


def test_the_test_file(tmp_path: Path) -> None:
    settings = Images(directory=str(mnist(tmp_path)), train_examples=40, test_examples=40, test_source="test")
    probes = settings.build(Seeds.derive(1)).probes
    assert sorted(rows_of(probes["test"].inputs)) == list(range(40))


def test_pooling_is_the_mean_of_squares_of_pixels() -> None:
    whole, pooled = small().build(Seeds.derive(0)), small(pool=2).build(Seeds.derive(0))
    image, smaller = whole.probes["test"].inputs[3, 0], pooled.probes["test"].inputs[3, 0]
    assert smaller.shape == (14, 14)
    assert float(smaller[2, 5]) == pytest.approx(float(image[4:6, 10:12].mean()), rel=1e-6)


def test_synthetic_classes_can_be_told_apart_by_their_pattern() -> None:
    images = synthetic(200, 3)
    values = images.inputs.reshape(200, -1).astype(float)
    means = np.stack([values[images.targets == c][:10].mean(0) for c in range(10)])
    nearest = ((values[100:, None] - means) ** 2).sum(2).argmin(1)
    assert (nearest == images.targets[100:]).all()
    assert np.array_equal(images.inputs, synthetic(200, 3).inputs)


@pytest.mark.parametrize("order", ["cyclic", "shuffled"])
def test_each_pass_sees_every_image_once(order: str) -> None:
    task = small(batch_size=10, batch_order=order).build(Seeds.derive(0))
    whole = task.probes["train"].inputs

    def seen(step: int) -> list[int]:
        return torch.cdist(task.batch(step).inputs.flatten(1), whole.flatten(1)).argmin(1).tolist()

    passes = [[seen(3 * number + place) for place in range(3)] for number in range(2)]
    assert [len(batch) for batch in passes[0]] == [10, 10, 5]
    assert [sorted(itertools.chain(*one)) for one in passes] == [list(range(25))] * 2
    assert (passes[0] == passes[1]) == (order == "cyclic")
    # a pure function of the step
    assert seen(4) == passes[1][1]
    assert task.train is task.probes["train"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "imdb"}, "dataset = 'imdb' is none that can be read: choose among synthetic, mnist, .* or a path"),
        ({"dataset": "digits", "test_source": "test"}, "digits has no file of test images: set test_source = 'train'"),
        ({"dataset": "mnist", "resize": 14}, "the images of mnist have one size and are not scaled to resize = 14"),
        ({"batch_size": 30}, "batch_size = 30 of 25 train_examples: make it smaller, or leave it out"),
        ({"train_examples": 20_000}, "of synthetic images at most 20000 are drawn: ask for fewer"),
    ],
)
def test_what_is_wrong_is_told(changes: dict[str, Any], message: str) -> None:
    task = {"name": "images", "dataset": "synthetic", "train_examples": 25, "test_examples": 15, **changes}
    tree = {"task": task, "model": {"name": "mlp"}, "learner": {"name": "gradient"}, "optimizer": {"name": "sgd"}}
    with pytest.raises(UsageError, match=message):
        resolve(tree)


def test_what_is_wrong_with_the_data_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROKSCOPE_DATA", raising=False)
    seeds = Seeds.derive(0)
    absent = Images().absent()
    assert absent is not None
    assert "set GROKSCOPE_DATA, or pass --set task.directory=DIR" in absent
    with pytest.raises(DataError, match="no data directory is set"):
        Images().build(seeds)
    root = str(mnist(tmp_path))
    with pytest.raises(DataError, match="mnist/train holds 40 images, fewer than the 60 asked for"):
        Images(directory=root, train_examples=30, test_examples=30).build(seeds)
    with pytest.raises(DataError, match="images of 28x28 pixels cannot be pooled by 3: choose a divisor"):
        small(pool=3).build(seeds)


def test_the_first_images_are_those_of_the_file_for_every_seed(tmp_path: Path) -> None:
    settings = Images(directory=str(mnist(tmp_path)), train_examples=25, test_examples=15, subset="first")
    for seed in (0, 7):
        task = settings.build(Seeds.derive(seed))
        assert rows_of(task.probes["train"].inputs) == list(range(25))
        assert rows_of(task.probes["test"].inputs) == list(range(25, 40))
    test_file = settings.model_copy(update={"test_source": "test", "test_examples": 40}).build(Seeds.derive(0))
    assert rows_of(test_file.probes["train"].inputs) == list(range(25))


def test_a_stratified_subset_holds_as_many_of_each_class(tmp_path: Path) -> None:
    settings = Images(directory=str(mnist(tmp_path)), train_examples=30, test_examples=10, subset="stratified")
    task = settings.build(Seeds.derive(0))
    train, test = task.probes["train"], task.probes["test"]
    assert train.targets is not None
    assert torch.bincount(train.targets).tolist() == [3] * 10
    assert sorted(rows_of(train.inputs) + rows_of(test.inputs)) == list(range(40))
    other = settings.build(Seeds.derive(1)).probes["train"]
    assert sorted(rows_of(other.inputs)) != sorted(rows_of(train.inputs))
    # in no order of classes
    assert train.targets.tolist() != sorted(train.targets.tolist())
    with pytest.raises(DataError, match="cannot be the same number of each of 10 classes: choose a multiple of 10"):
        settings.model_copy(update={"train_examples": 25}).build(Seeds.derive(0))
    labels = LABELS.astype(np.int64)
    labels[labels == 3] = 4
    with pytest.raises(DataError, match="mnist/train holds 0 images of class 3, fewer than the 3 asked for"):
        settings._rows(Samples(PIXELS, labels, 10, "mnist/train"), 40, 0)


def test_messiness_mixes_an_image_with_one_that_tells_its_class() -> None:
    whole, half, none = (small(messiness=m).build(Seeds.derive(1)) for m in (1.0, 0.75, 0.0))
    for probe in ("train", "test"):
        image, mixed, told = (one.probes[probe] for one in (whole, half, none))
        assert image.targets is not None
        tells = (image.targets / 9 - 0.5)[:, None, None, None].expand_as(image.inputs)
        torch.testing.assert_close(told.inputs, tells, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(mixed.inputs, 0.75 * image.inputs + 0.25 * tells, rtol=1e-6, atol=1e-6)
        assert mixed.targets is not None
        assert torch.equal(mixed.targets, image.targets)
    assert whole.facts.geometry is not None
    assert whole.facts.geometry.bounds == (0, 1)
    assert half.facts.geometry is not None
    assert half.facts.geometry.bounds == (-0.125, 0.875)
    low, high = half.facts.geometry.bounds or (0, 0)
    assert low <= float(half.probes["train"].inputs.min())
    assert float(half.probes["train"].inputs.max()) <= high


@pytest.mark.parametrize("messiness", [-0.1, 1.5])
def test_messiness_is_a_share(messiness: float) -> None:
    with pytest.raises(UsageError, match=r"task.messiness"):
        resolve(
            {
                "task": {"name": "images", "messiness": messiness},
                "model": {"name": "mlp"},
                "learner": {"name": "gradient"},
                "optimizer": {"name": "adamw"},
                "seed": 0,
            }
        )


def folder(root: Path, sizes: tuple[int, ...] = (8, 8), splits: tuple[str, ...] = ("train", "test")) -> str:
    """Write ten coloured pictures a class and split; the red of each tells its class and number."""
    from PIL import Image

    for split in splits:
        for one, (name, size) in enumerate(zip(("cat", "dog"), sizes, strict=True)):
            (root / split / name).mkdir(parents=True)
            for number in range(10):
                Image.new("RGB", (size, size), (100 * one + number, 0, 255)).save(root / split / name / f"{number}.png")
    return str(root)


def test_a_folder_of_pictures_is_a_data_set(tmp_path: Path) -> None:
    settings = Images(dataset=folder(tmp_path), train_examples=12, test_examples=8, test_source="test", pool=4)
    assert settings.absent() is None
    probes = settings.build(Seeds.derive(0)).probes
    assert (probes["train"].inputs.shape, probes["test"].inputs.shape) == ((12, 3, 2, 2), (8, 3, 2, 2))
    train = probes["train"]
    assert train.targets is not None
    assert torch.equal((train.inputs[:, 0, 0, 0] * 255 >= 99).long(), train.targets)
    assert settings.build(Seeds.derive(0)).facts.classes == 2


def test_pictures_of_several_sizes_are_scaled(tmp_path: Path) -> None:
    path = folder(tmp_path, (8, 9), ("train",))
    told = Images(dataset=path, train_examples=12, test_examples=8)
    with pytest.raises(DataError, match=r"differ in size .*: scale them on reading, with --set task.resize=SIDE"):
        told.build(Seeds.derive(0))
    scaled = Images(dataset=path, train_examples=12, test_examples=8, resize=4)
    assert scaled.build(Seeds.derive(0)).probes["test"].inputs.shape == (8, 3, 4, 4)


def test_what_is_wrong_with_pictures_is_told(tmp_path: Path) -> None:
    absent = Images(dataset=str(tmp_path / "nowhere")).absent()
    assert absent is not None
    assert "nowhere does not exist: name a folder or a zip file" in absent
    path = Path(folder(tmp_path / "one"))
    (path / "test" / "dog").rename(path / "test" / "cow")
    settings = {"train_examples": 4, "test_examples": 4, "test_source": "test"}
    with pytest.raises(DataError, match=r"the classes of .*/test are not those of .*/train: set task.test_source"):
        Images(dataset=str(path), **settings).build(Seeds.derive(0))
    with pytest.raises(DataError, match="holds no pictures to test on, in folders train and test"):
        Images(dataset=folder(tmp_path / "two", splits=("train",)), **settings).build(Seeds.derive(0))
    for split, size in (("train", 8), ("test", 9)):
        folder(tmp_path / "three", (size, size), (split,))
    with pytest.raises(DataError, match=r"images of .*/test have shape \(9, 9, 3\) and those of .*/train \(8, 8, 3\)"):
        Images(dataset=str(tmp_path / "three"), **settings).build(Seeds.derive(0))


def test_the_digits_of_scikit_learn() -> None:
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    probes = Images(dataset="digits", train_examples=1000, test_examples=797).build(Seeds.derive(0)).probes
    assert (probes["train"].inputs.shape, probes["test"].inputs.shape) == ((1000, 1, 8, 8), (797, 1, 8, 8))
    assert float(probes["train"].inputs.max()) == 1.0
