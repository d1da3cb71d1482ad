from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from grokscope.data import DataFile, DataSet, Samples, catalogue, inventory, load
from grokscope.data import protocol as protocol_module
from grokscope.data.datasets import CATALOGUE, find, names
from grokscope.errors import DataError, UsageError

INPUTS = np.zeros((3, 2))

# A package as it would be installed: a data set of texts and one with a broken module.
MODULE = """
import json
import numpy as np
from grokscope.data import DataFile, DataSet, Samples, locate, read_bytes


def read(split, directory=None, *, limit=None):
    lines = read_bytes(locate("reviews", f"{split}.jsonl", directory)).splitlines()[:limit]
    rows = [json.loads(line) for line in lines]
    texts = np.array([row["text"] for row in rows], dtype=object)
    return Samples(texts, np.array([row["label"] for row in rows], np.int64), 2, f"reviews/{split}")


REVIEWS = DataSet(
    name="reviews", title="Reviews", files=(DataFile("train.jsonl"),), splits=("train",),
    load="reviews_package:read", source="https://example.org", licence="none", citation="",
)
"""
ENTRY_POINTS = """[grokscope.data]
reviews = reviews_package:REVIEWS
broken = no_such_module:DATA
misnamed = reviews_package:REVIEWS
function = reviews_package:read
mnist = reviews_package:REVIEWS
"""


@pytest.fixture
def _third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    information = site / "reviews_package-1.0.dist-info"
    information.mkdir(parents=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: reviews-package\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(ENTRY_POINTS)
    (site / "reviews_package.py").write_text(MODULE)
    monkeypatch.syspath_prepend(site)


def toy(load: object) -> DataSet:
    return DataSet("toy", "Toy", (DataFile("a.csv"),), ("train",), load, "nowhere", "none", "")  # type: ignore[arg-type]


def test_every_registered_set_is_described_and_its_loader_importable():
    for name, dataset in CATALOGUE.items():
        assert dataset.name == name
        assert dataset.files
        assert dataset.splits
        assert dataset.citation.startswith("@")
        assert dataset.source.startswith("http")
        if dataset.load is not None:
            assert callable(protocol_module._loader(dataset))


def test_an_unknown_set_offers_the_nearest():
    with pytest.raises(UsageError, match=r"unknown data set 'minst': did you mean 'mnist'"):
        load("minst", "train")
    with pytest.raises(UsageError, match=r"unknown split of the data set 'mnist' 'trian': did you mean 'train'"):
        load("mnist", "trian")


def test_a_set_without_a_loader_says_how_to_open_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(protocol_module, "find", lambda name: toy(None))
    with pytest.raises(UsageError, match=r"no loader: .*\.locate\('toy', 'a.csv'\)"):
        load("toy", "train")


def test_what_is_not_scaled_is_told():
    with pytest.raises(UsageError, match="the data set 'mnist' is read as it is and cannot be scaled to 14"):
        load("mnist", "train", size=14)


@pytest.mark.parametrize("target", ["no_such_module:read", "json:no_such_function", "json", ""])
def test_a_loader_that_cannot_be_imported_is_told(monkeypatch: pytest.MonkeyPatch, target: str):
    monkeypatch.setattr(protocol_module, "find", lambda name: toy(target))
    with pytest.raises(DataError, match=r"the loader '.*' of the data set 'toy' cannot be imported \("):
        load("toy", "train")


def test_the_arguments_reach_a_callable_loader_and_its_result_is_checked(monkeypatch: pytest.MonkeyPatch):
    received: list[object] = []

    def read(split: str, directory: object = None, *, limit: int | None = None) -> Samples:
        received.append((split, directory, limit))
        return Samples(INPUTS, np.array([0.5, 1.5, 2.5]), None, "toy/train")

    monkeypatch.setattr(protocol_module, "find", lambda name: toy(read))
    assert load("toy", "train", "somewhere", limit=3).classes is None
    assert received == [("train", "somewhere", 3)]
    monkeypatch.setattr(protocol_module, "find", lambda name: toy(lambda *_, **__: (INPUTS, INPUTS)))
    with pytest.raises(DataError, match=r"should return grokscope.data.Samples and returned tuple"):
        load("toy", "train")


@pytest.mark.parametrize(
    ("targets", "classes", "sentence"),
    [
        (np.array([0, 1]), 2, r"one target for each input, .* \(3, 2\) and targets of shape \(2,\)"),
        (np.array([0, 1, 2]), 2, "class indices from 0 to 2, where 2 classes allow 0 to 1"),
        (np.array([0, -1, 1]), 2, "class indices from -1 to 1"),
        (np.array([0, 1, 1], np.int32), 2, "dtype int64, and has .* dtype int32"),
        (np.array([[0], [1], [1]]), 2, r"shape \(n,\) .* shape \(3, 1\)"),
        (np.array(1), None, "one target for each input"),
    ],
)
def test_samples_that_do_not_agree_are_refused(targets: np.ndarray, classes: int | None, sentence: str):
    with pytest.raises(DataError, match=sentence):
        Samples(INPUTS, targets, classes, "toy/train")


def test_no_samples_are_samples():
    assert Samples(INPUTS[:0], np.zeros(0, np.int64), 10, "toy/none").inputs.shape == (0, 2)


@pytest.mark.usefixtures("_third_party")
def test_a_third_partys_texts_come_through_the_same_protocol(tmp_path: Path):
    (tmp_path / "train.jsonl").write_text('{"text": "good", "label": 1}\n{"text": "bad film", "label": 0}\n')
    samples = load("reviews", "train", tmp_path)
    assert samples.inputs.tolist() == ["good", "bad film"]
    assert samples.targets.tolist() == [1, 0]
    assert load("reviews", "train", tmp_path, limit=1).inputs.tolist() == ["good"]


@pytest.mark.usefixtures("_third_party")
def test_broken_third_parties_are_told_and_hide_nobody(tmp_path: Path):
    assert {"reviews", "broken", "misnamed", "function"} <= set(names())
    assert find("mnist") is CATALOGUE["mnist"]
    with pytest.raises(DataError, match=r"'broken' of the package reviews-package cannot be imported \(ModuleNot"):
        find("broken")
    with pytest.raises(DataError, match=r"'misnamed' of the package reviews-package .* is the data set 'reviews'"):
        find("misnamed")
    with pytest.raises(DataError, match=r"'function' of the package reviews-package .* is function"):
        find("function")
    with pytest.raises(DataError, match=r"repair or uninstall"):
        catalogue()
    rows = {row["dataset"]: row for row in inventory(tmp_path)}
    assert rows["reviews"]["status"] == rows["mnist"]["status"] == "missing"
    assert rows["broken"]["status"] == "unreadable"
    assert "cannot be imported" in str(rows["broken"]["how"])


def test_the_catalogue_holds_ours():
    assert {"mnist", "omniglot", "imagenette"} <= set(catalogue())


def test_a_split_is_read_once_until_its_file_changes(tmp_path: Path):
    def write(text: str, time: int) -> None:
        place.write_text(text)
        os.utime(place, ns=(time, time))

    place = tmp_path / "qm9_gap.csv"
    write("SMILES,gap\nC,1\nN,2\n", 10**18)
    first = load("qm9", "train", tmp_path)
    assert load("qm9", "train", str(tmp_path)) is first
    assert load("qm9", "train", tmp_path, limit=1).targets.tolist() == [1.0]
    with pytest.raises(ValueError, match="read-only"):
        first.targets[0] = 5.0
    with pytest.raises(ValueError, match="read-only"):
        first.inputs[0] = "O"
    write("SMILES,gap\nC,3\nN,2\n", 10**18 + 1)
    assert load("qm9", "train", tmp_path).targets.tolist() == [3.0, 2.0]
    place.unlink()
    with pytest.raises(DataError, match="was not found"):
        load("qm9", "train", tmp_path)
