from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from grokscope.data import data_directory, inventory, load, load_fashion_mnist, load_mnist
from grokscope.errors import DataError, UsageError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
LABELS = np.array([5, 0, 4, 1, 9, 2], np.uint8)


def put(root: Path, images: np.ndarray = IMAGES, labels: np.ndarray = LABELS, prefix: str = "t10k") -> Path:
    codes = {"uint8": 0x08, "int32": 0x0C}
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = struct.pack(f">HBB{array.ndim}I", 0, codes[array.dtype.name], array.ndim, *array.shape)
        content = header + array.astype(array.dtype.newbyteorder(">")).tobytes()
        (root / "mnist").mkdir(exist_ok=True)
        (root / "mnist" / f"{prefix}-{kind}-ubyte.gz").write_bytes(gzip.compress(content))
    return root


def test_a_split_is_loaded_unscaled_with_int64_labels(tmp_path: Path):
    samples = load_mnist("test", put(tmp_path))
    np.testing.assert_array_equal(samples.inputs, IMAGES)
    np.testing.assert_array_equal(samples.targets, LABELS)
    assert samples.inputs.dtype == np.uint8
    assert samples.targets.dtype == np.int64
    assert samples.inputs.flags.writeable
    assert (samples.classes, samples.name) == (10, "mnist/test")


def test_each_split_reads_its_own_files(tmp_path: Path):
    put(put(tmp_path), IMAGES[::-1], LABELS[::-1], prefix="train")
    assert load_mnist("train", tmp_path).targets.tolist() == LABELS[::-1].tolist()
    assert load_mnist("test", tmp_path).targets.tolist() == LABELS.tolist()


def test_limit_keeps_the_first_and_lets_go_of_the_rest(tmp_path: Path):
    samples = load_mnist("test", put(tmp_path), limit=2)
    np.testing.assert_array_equal(samples.inputs, IMAGES[:2])
    assert samples.targets.tolist() == [5, 0]
    assert samples.inputs.base is None
    assert len(load_mnist("test", tmp_path, limit=100).targets) == 6
    with pytest.raises(UsageError, match=r"limit must be at least 1 and is 0"):
        load_mnist("test", tmp_path, limit=0)


def test_the_data_directory_setting_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GROKSCOPE_DATA", str(put(tmp_path)))
    assert len(load("mnist", "test").targets) == 6


def test_an_unknown_split_is_told_before_any_file_is_looked_for(tmp_path: Path):
    with pytest.raises(UsageError, match=r"unknown split of the data set 'mnist' 'tests': did you mean 'test'"):
        load_mnist("tests", tmp_path)


def test_absence_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz of the data set 'mnist' was not found in"):
        load_mnist("train", tmp_path)
    monkeypatch.delenv("GROKSCOPE_DATA", raising=False)
    with pytest.raises(DataError, match=r"no data directory is set: set GROKSCOPE_DATA") as caught:
        load_mnist("train")
    assert "\n" not in str(caught.value)
    assert ". " not in str(caught.value)


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (IMAGES[:, :27], LABELS, r"images-idx3-ubyte.gz should hold .*\(6, 27, 28\) and dtype uint8"),
        (IMAGES[0], LABELS, r"images-idx3-ubyte.gz should hold .*\(28, 28\)"),
        (IMAGES.astype(np.int32), LABELS, "images-idx3-ubyte.gz should hold .* dtype int32"),
        (IMAGES, IMAGES, r"labels-idx1-ubyte.gz should hold .*\(6, 28, 28\)"),
        (IMAGES, LABELS.astype(np.int32), "labels-idx1-ubyte.gz should hold .* dtype int32"),
        (IMAGES, LABELS[:5], "holds 6 images and .* 5 labels: check that both belong to the test split"),
        (IMAGES, LABELS + np.uint8(1), "labels-idx1-ubyte.gz holds the label 10, where MNIST has 0 to 9"),
    ],
)
def test_what_is_not_mnist_is_told(tmp_path: Path, images: np.ndarray, labels: np.ndarray, sentence: str):
    put(tmp_path, images, labels)
    with pytest.raises(DataError, match=sentence):
        load_mnist("test", tmp_path)


@pytest.fixture
def _real_mnist() -> None:
    """Skip unless the ordinary data directory setting leads to MNIST."""
    if data_directory() is None:
        pytest.skip("the real MNIST is not here: GROKSCOPE_DATA is not set")
    if any(row["status"] == "missing" for row in inventory() if row["dataset"] == "mnist"):
        pytest.skip(f"the real MNIST is not here: a file of it is missing in {data_directory()}")


@pytest.mark.usefixtures("_real_mnist")
def test_the_real_training_split():
    samples = load("mnist", "train")
    assert samples.inputs.shape == (60_000, 28, 28)
    assert samples.targets[:5].tolist() == [5, 0, 4, 1, 9]
    counts = np.bincount(samples.targets)
    assert counts.sum() == 60_000
    assert counts.tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    # The mean and deviation that everybody normalises MNIST with.
    assert samples.inputs.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert samples.inputs.std() / 255 == pytest.approx(0.3081, abs=5e-5)


@pytest.mark.usefixtures("_real_mnist")
def test_the_real_test_split():
    samples = load("mnist", "test")
    assert samples.inputs.shape == (10_000, 28, 28)
    assert samples.targets[:3].tolist() == [7, 2, 1]
    assert np.bincount(samples.targets).sum() == 10_000


def test_fashion_mnist_has_the_same_format_and_its_own_folder(tmp_path: Path):
    put(tmp_path)
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte.gz of the data set 'fashion-mnist' was not found in"):
        load_fashion_mnist("test", tmp_path)
    (tmp_path / "mnist").rename(tmp_path / "fashion-mnist")
    samples = load("fashion-mnist", "test", tmp_path)
    np.testing.assert_array_equal(samples.inputs, IMAGES)
    assert samples.targets.tolist() == LABELS.tolist()
    assert (samples.name, samples.labels[9]) == ("fashion-mnist/test", "Ankle boot")
    put(tmp_path, IMAGES, LABELS + np.uint8(1))
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").rename(tmp_path / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz")
    with pytest.raises(DataError, match="holds the label 10, where Fashion-MNIST has 0 to 9"):
        load_fashion_mnist("test", tmp_path)
