from __future__ import annotations

import gzip
import lzma
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grokscope.data import cifar as cifar_module
from grokscope.data import data_directory, load, load_cifar10
from grokscope.data.batch_pickle import read_batch_pickle
from grokscope.errors import DataError

COUNT = 4
PIXELS = np.random.default_rng(0).integers(0, 256, (COUNT, 3072), dtype=np.uint8)
LABELS = np.array([3, 9, 0, 3], np.uint8)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar_module, "BATCH", COUNT)


def records(pixels: np.ndarray = PIXELS, labels: np.ndarray = LABELS) -> bytes:
    return np.concatenate([labels[:, None].astype(np.uint8), pixels], axis=1).tobytes()


def pickled(protocol: int = 2, **changes: Any) -> bytes:
    return pickle.dumps(
        {b"data": PIXELS, b"labels": LABELS.tolist(), b"filenames": [b"a.png"] * COUNT, **changes}, protocol
    )


def put(root: Path, name: str, content: bytes, folder: str = "cifar10") -> Path:
    place = root / folder / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return root


def check(samples: Any, name: str) -> None:
    assert samples.inputs.shape == (COUNT, 32, 32, 3)
    assert samples.inputs.dtype == np.uint8
    # red, green and blue planes, row by row
    assert samples.inputs[1, 2, 5].tolist() == [int(PIXELS[1, plane * 1024 + 2 * 32 + 5]) for plane in range(3)]
    assert samples.targets.tolist() == LABELS.tolist()
    assert samples.targets.dtype == np.int64
    assert (samples.name, samples.labels[9]) == (name, "truck")


@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
@pytest.mark.parametrize("folder", ["cifar10", "cifar-10-batches-bin", "."])
def test_the_binary_version(tmp_path: Path, folder: str, suffix: str, pack: Callable[[bytes], bytes]):
    put(tmp_path, f"test_batch.bin{suffix}", pack(records()), folder)
    check(load_cifar10("test", tmp_path), "cifar10/test")


@pytest.mark.parametrize("protocol", range(2, 6))
def test_the_python_version_in_every_binary_protocol(tmp_path: Path, protocol: int):
    put(tmp_path, "test_batch", pickled(protocol), "cifar-10-batches-py")
    check(load_cifar10("test", tmp_path), "cifar10/test")


def test_a_pickle_as_python_2_wrote_it():
    # protocol 2 with byte strings, as in the published files
    content = (
        b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(K\x06K\x09eU\x04dataq\x04cnumpy.core.multiarray\n_reconstruct\nq\x05"
        b"cnumpy\nndarray\nq\x06K\x00\x85q\x07U\x01bq\x08\x87q\x09Rq\x0a(K\x01K\x02K\x03\x86q\x0bcnumpy\ndtype\nq\x0c"
        b"U\x02u1q\x0dK\x00K\x01\x87q\x0eRq\x0f(K\x03U\x01|q\x10NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x11b"
        b"\x89U\x06\x01\x02\x03\x04\x05\xffq\x12tq\x13bu."
    )
    found = read_batch_pickle(content, "data_batch_1")
    assert found["labels"] == [6, 9]
    assert found["data"].tolist() == [[1, 2, 3], [4, 5, 255]]


def test_the_training_batches_that_are_there_are_named(tmp_path: Path):
    put(put(tmp_path, "data_batch_1.bin", records()), "data_batch_4", pickled())
    samples = load_cifar10("train", tmp_path)
    assert samples.name == "cifar10/train (batch 1, 4 of 5)"
    assert samples.targets.tolist() == [*LABELS, *LABELS]
    for number in (2, 3, 5):
        put(tmp_path, f"data_batch_{number}.bin", records(255 - PIXELS, LABELS[::-1]))
    whole = load_cifar10("train", tmp_path)
    assert whole.name == "cifar10/train"
    assert whole.targets.tolist() == [*LABELS, *LABELS[::-1], *LABELS[::-1], *LABELS, *LABELS[::-1]]
    assert load_cifar10("train", tmp_path, limit=5).targets.tolist() == whole.targets[:5].tolist()


def test_no_more_files_are_read_than_the_limit_needs(tmp_path: Path):
    put(put(tmp_path, "data_batch_1.bin", records()), "data_batch_2.bin", b"broken")
    samples = load_cifar10("train", tmp_path, limit=3)
    assert samples.targets.tolist() == LABELS[:3].tolist()
    assert samples.inputs.base is None


def test_class_names_come_from_the_file(tmp_path: Path):
    put(tmp_path, "test_batch.bin", records())
    names = [f"thing {number}" for number in range(10)]
    put(tmp_path, "batches.meta", pickle.dumps({"label_names": names}, 2))
    assert load_cifar10("test", tmp_path).labels == tuple(names)
    put(tmp_path, "batches.meta.txt", "\n".join("abcdefghij").encode() + b"\n\n")
    assert load_cifar10("test", tmp_path).labels == tuple("abcdefghij")
    put(tmp_path, "batches.meta.txt", b"a\nb\n")
    with pytest.raises(DataError, match=r"batches.meta.txt names 2 classes, where CIFAR-10 has 10"):
        load_cifar10("test", tmp_path)


class Harmful:
    """Makes a file where a pickle of it is loaded by pickle itself."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return (Path.touch, (self.place,))


def test_a_harmful_pickle_runs_nothing(tmp_path: Path):
    mark = tmp_path / "run"
    content = pickle.dumps({"data": Harmful(mark)}, 2)
    put(tmp_path, "test_batch", content)
    with pytest.raises(DataError, match=r"the pickle .*test_batch asks for .*, which no batch of CIFAR-10 needs and"):
        load_cifar10("test", tmp_path)
    assert not mark.exists()
    pickle.loads(content)
    assert mark.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
        b"\x80\x02cbuiltins\neval\nX\x01\x00\x00\x001\x85R.",
        b"\x80\x02cnumpy\nload\nX\x01\x00\x00\x00a\x85R.",
        b"\x80\x02cnumpy.core.multiarray\nfromfile\n.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00zip\x86R.",
        b"\x80\x04X\x02\x00\x00\x00osX\x06\x00\x00\x00system\x93.",
        b"\x80\x02K\x01Q.",
    ],
)
def test_names_that_no_array_needs_are_refused(content: bytes):
    with pytest.raises(DataError, match="could run code: do not use it") as caught:
        read_batch_pickle(content, "batch")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", r"has 0 bytes, which is no multiple of 3073"),
        (records()[:-1], "has 12291 bytes, which is no multiple of 3073, the bytes of one image of CIFAR-10 and its"),
        (records()[:-3073], "holds 3 images, where a file of CIFAR-10 holds 4: it is cut off or another file"),
        (records(labels=LABELS + 1), "holds the label 10, where CIFAR-10 has 0 to 9"),
        (pickled()[:-20], "test_batch.bin is no whole pickle"),
        (b"\x80\x02K\x01.", "holds int, where a batch of CIFAR-10 holds a dictionary"),
        (b"\x80\x02}.", r"lacks 'data' \(it has none\)"),
        (pickle.dumps({"data": PIXELS}), r"lacks 'labels' \(it has 'data'\)"),
        (pickle.dumps({"data": 3, "labels": []}), r"has data of int, where \(n, 3072\) is needed"),
        (pickle.dumps({"data": PIXELS[:, :9], "labels": []}), r"has data of shape \(4, 9\), where \(n, 3072\)"),
        (
            pickle.dumps({"data": PIXELS.astype(float), "labels": []}),
            r"an array of 'f8', where bytes \('u1'\) are needed",
        ),
        (pickle.dumps({"data": PIXELS, "labels": [1, 2]}), "holds 4 images and 2 labels"),
        (pickle.dumps({"data": PIXELS, "labels": list("abcd")}), "labels that are no list of whole numbers"),
        (pickle.dumps({"data": PIXELS, "labels": 5}), "labels that are no list of whole numbers"),
        (pickle.dumps({"data": PIXELS, "labels": [0, 1, 2, -1]}), "holds the label -1, where CIFAR-10 has 0 to 9"),
        (pickle.dumps({"data": PIXELS, "labels": [0, 1, 2, 10**30]}), "labels that are no list of whole numbers"),
        (pickle.dumps(PIXELS), "holds array, where a batch of CIFAR-10 holds a dictionary"),
        (b"\x80\x02}X\x01\x00\x00\x00acnumpy\nndarray\n)\x81s.", "is no whole pickle|holds|lacks"),
    ],
)
def test_what_is_wrong_with_a_file_is_told(tmp_path: Path, content: bytes, sentence: str):
    put(tmp_path, "test_batch.bin", content)
    with pytest.raises(DataError, match=sentence) as caught:
        load_cifar10("test", tmp_path)
    assert "\n" not in str(caught.value)


def test_arrays_that_do_not_fill_their_shape_are_told():
    content = pickle.dumps({"data": np.zeros(6, np.uint8)}, 2).replace(b"K\x06\x85", b"K\x07\x85")
    with pytest.raises(DataError, match=r"an array of shape \(7,\) and 6 bytes, which do not fill it"):
        read_batch_pickle(content, "batch")
    columns = np.asfortranarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    for protocol in (2, 4, 5):
        assert read_batch_pickle(pickle.dumps({"a": columns}, protocol), "b")["a"].tolist() == columns.tolist()


def test_no_file_of_a_split_is_told(tmp_path: Path):
    with pytest.raises(DataError, match=r"data_batch_1.bin of the data set 'cifar10' was not found in"):
        load_cifar10("train", tmp_path)


def test_the_real_files(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cifar_module, "BATCH", 10_000)
    if data_directory() is None:
        pytest.skip("the real CIFAR-10 is not here: GROKSCOPE_DATA is not set")
    try:
        samples = load("cifar10", "test")
    except DataError as error:
        pytest.skip(f"the real CIFAR-10 is not here: {error}")
    assert samples.inputs.shape == (10_000, 32, 32, 3)
    assert samples.targets[:4].tolist() == [3, 8, 8, 0]
    assert np.bincount(samples.targets).tolist() == [1000] * 10
    assert samples.labels[0] == "airplane"
