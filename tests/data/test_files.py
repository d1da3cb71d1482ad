from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from grokscope.data import DataFile, DataSet, data_directory, inventory, locate
from grokscope.data import files as files_module
from grokscope.errors import DataError, UsageError

CONTENT = b"published content"
TOY = DataSet(
    name="toy",
    title="Toy",
    files=(
        DataFile("a.bin.gz", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT)),
        DataFile("b.zip"),
    ),
    splits=("train",),
    load=None,
    source="https://example.org/toy",
    licence="none",
    citation="",
    folders=("toy", "Toy/raw", "."),
)


@pytest.fixture(autouse=True)
def _no_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROKSCOPE_DATA", raising=False)


@pytest.fixture
def toy_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_module, "names", lambda: ["toy"])
    monkeypatch.setattr(files_module, "find", lambda name: TOY)


def put(root: Path, path: str, content: bytes = CONTENT) -> Path:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


def test_explicit_goes_before_the_variable_and_none_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    assert data_directory() is None
    monkeypatch.setenv("GROKSCOPE_DATA", "")
    assert data_directory() is None
    assert data_directory("") is None
    monkeypatch.setenv("GROKSCOPE_DATA", "~/sets")
    assert data_directory() == Path.home() / "sets"
    assert data_directory(tmp_path) == tmp_path


@pytest.mark.parametrize("folder", ["toy", "Toy/raw", "."])
@pytest.mark.parametrize("name", ["a.bin.gz", "a.bin", "a.bin.xz"])
def test_every_folder_and_spelling_is_found(tmp_path: Path, folder: str, name: str):
    place = put(tmp_path, f"{folder}/{name}")
    assert locate(TOY, "a.bin.gz", tmp_path) == place


def test_the_first_folder_and_the_published_name_go_first(tmp_path: Path):
    put(tmp_path, "a.bin.gz")
    unpacked = put(tmp_path, "toy/a.bin")
    assert locate(TOY, "a.bin.gz", tmp_path) == unpacked
    published = put(tmp_path, "toy/a.bin.gz")
    assert locate(TOY, "a.bin.gz", tmp_path) == published


def test_a_directory_of_the_files_name_is_not_the_file(tmp_path: Path):
    (tmp_path / "toy" / "b.zip").mkdir(parents=True)
    with pytest.raises(DataError, match=r"was not found"):
        locate(TOY, "b.zip", tmp_path)


def test_absence_is_one_sentence_that_says_where_and_how(tmp_path: Path):
    with pytest.raises(DataError) as caught:
        locate("mnist", "train-images-idx3-ubyte.gz", tmp_path)
    assert str(caught.value) == (
        f"train-images-idx3-ubyte.gz of the data set 'mnist' was not found in {tmp_path}/mnist or "
        f"{tmp_path}/MNIST/raw or {tmp_path}: run grokscope data fetch mnist, or "
        f"get it from http://yann.lecun.com/exdb/mnist or its mirror "
        f"https://ossci-datasets.s3.amazonaws.com/mnist, or name another data directory with GROKSCOPE_DATA "
        f"or --set task.directory=DIR (directory=DIR in Python)."
    )
    assert caught.value.exit_code == 1


def test_a_directory_that_is_not_there_or_not_set_is_told(tmp_path: Path):
    with pytest.raises(DataError, match=r"and that data directory does not exist: get it from"):
        locate(TOY, "b.zip", tmp_path / "absent")
    with pytest.raises(DataError, match=r"no data directory is set: set GROKSCOPE_DATA, .*example.org/toy"):
        locate(TOY, "b.zip")


def test_unknown_names_offer_the_nearest(tmp_path: Path):
    with pytest.raises(UsageError, match=r"unknown data set 'mnits': did you mean 'mnist'"):
        locate("mnits", "a", tmp_path)
    with pytest.raises(UsageError, match=r"unknown file of the data set 'toy' 'a.bin': did you mean 'a.bin.gz'"):
        locate(TOY, "a.bin", tmp_path)


def test_inventory_of_an_empty_directory_tells_how_to_get_each(tmp_path: Path):
    rows = inventory(tmp_path)
    assert {row["status"] for row in rows if row["dataset"] != "digits"} == {"missing"}
    assert {"mnist", "omniglot", "imagenette"} <= {row["dataset"] for row in rows}
    mnist = [row for row in rows if row["dataset"] == "mnist"]
    assert len(mnist) == 4
    assert mnist[0]["how"] == (
        f"put it in {tmp_path / 'mnist'}; run grokscope data fetch mnist, or "
        f"get it from http://yann.lecun.com/exdb/mnist or its mirror "
        f"https://ossci-datasets.s3.amazonaws.com/mnist"
    )
    assert mnist[0]["path"] is None
    assert mnist[0]["bytes"] is None


@pytest.mark.usefixtures("toy_only")
def test_inventory_without_a_directory_names_the_variable():
    assert {(row["status"], "set GROKSCOPE_DATA" in str(row["how"])) for row in inventory()} == {("missing", True)}


@pytest.mark.usefixtures("toy_only")
def test_inventory_compares_checksums_only_when_asked(tmp_path: Path):
    place = put(tmp_path, "toy/a.bin.gz")
    found = {
        "dataset": "toy",
        "file": "a.bin.gz",
        "status": "found",
        "path": str(place),
        "bytes": 17,
        "how": "",
    }
    assert inventory(tmp_path)[0] == found
    assert inventory(tmp_path, verify=True)[0] == found
    put(tmp_path, "toy/a.bin.gz", CONTENT[::-1])
    assert inventory(tmp_path)[0] == found
    changed = inventory(tmp_path, verify=True)[0]
    assert changed["status"] == "checksum differs"
    assert TOY.files[0].sha256 is not None
    assert TOY.files[0].sha256 in str(changed["how"])


@pytest.mark.usefixtures("toy_only")
def test_inventory_sees_a_cut_off_file_by_its_size(tmp_path: Path):
    put(tmp_path, "toy/a.bin.gz", CONTENT[:5])
    row = inventory(tmp_path)[0]
    assert row["status"] == "checksum differs"
    assert "it has 5 bytes, the published file 17" in str(row["how"])


@pytest.mark.usefixtures("toy_only")
def test_inventory_says_what_it_could_not_verify(tmp_path: Path):
    put(tmp_path, "toy/a.bin")
    put(tmp_path, "b.zip")
    rows = inventory(tmp_path, verify=True)
    assert [row["status"] for row in rows] == ["found", "found"]
    assert rows[0]["how"] == "not verified: the published checksum is that of a.bin.gz"
    assert rows[1]["how"] == "not verified: no binding checksum exists"


@pytest.mark.usefixtures("toy_only")
def test_inventory_survives_a_file_the_system_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    put(tmp_path, "toy/a.bin.gz")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files_module.hashlib, "file_digest", refuse)
    row = inventory(tmp_path, verify=True)[0]
    assert (row["status"], row["how"]) == ("unreadable", "Permission denied: check its permissions")


@pytest.mark.parametrize("path", ["", ".", "/a", "../a", "a/../b", "a\\b"])
def test_a_data_file_must_lie_inside_its_folder(path: str):
    with pytest.raises(UsageError, match=r"must be relative"):
        DataFile(path)


def test_importing_the_data_files_does_not_import_torch_or_other_parts():
    code = (
        "import sys, grokscope; before = set(sys.modules); import grokscope.data; "
        "heavy = {'torch', 'pandas', 'scipy', 'pydantic', 'duckdb', 'plotly'} & set(sys.modules); "
        "new = [n for n in set(sys.modules) - before if n.startswith('grokscope.')]; "
        "ours = {n.split('.')[1] for n in new} - {'data', 'errors'}; "
        "sys.exit(f'{heavy} {ours}' if heavy or ours else 0)"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr


def test_inventory_says_which_files_others_can_stand_in_for(tmp_path: Path):
    rows = {row["file"]: str(row["how"]) for row in inventory(tmp_path) if row["dataset"] == "cifar10"}
    assert rows["data_batch_2.bin"].endswith("with the set's other files alone, what they hold is read")
    assert "alone" not in rows["test_batch.bin"]
    assert "run grokscope data fetch cifar10, or get it from https://www.cs.toronto.edu" in rows["test_batch.bin"]


def test_other_names_of_a_file_are_found(tmp_path: Path):
    file = DataFile("whole.csv.xz", others=("part.csv",))
    dataset = DataSet("toy", "Toy", (file,), ("train",), None, "nowhere", "none", "")
    part = put(tmp_path, "part.csv.gz")
    assert locate(dataset, "whole.csv.xz", tmp_path) == part
    whole = put(tmp_path, "whole.csv")
    assert locate(dataset, "whole.csv.xz", tmp_path) == whole
    with pytest.raises(UsageError, match="must be relative"):
        DataFile("a", others=("../b",))
