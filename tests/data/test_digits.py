from __future__ import annotations

import gzip
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from grokscope.data import inventory, load, load_digits
from grokscope.errors import DataError, UsageError

LINE = ",".join(["0", "5", "16", "8", *["1"] * 60, "7"])


def put(root: Path, *lines: str) -> Path:
    (root / "digits").mkdir(exist_ok=True)
    (root / "digits" / "digits.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return root


def test_grey_values_are_scaled_to_bytes(tmp_path: Path):
    samples = load_digits("train", put(tmp_path, LINE, LINE))
    assert samples.inputs.shape == (2, 8, 8)
    assert samples.inputs.dtype == np.uint8
    # 5 * 255 / 16 = 79.69, 16 -> 255, 8 * 255 / 16 = 127.5 to the even neighbour, 255 / 16 = 15.94
    assert samples.inputs[0, 0, :5].tolist() == [0, 80, 255, 128, 16]
    assert samples.targets.tolist() == [7, 7]
    assert (samples.classes, samples.name) == (10, "digits/train")
    assert len(load_digits("train", tmp_path, limit=1).targets) == 1


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ((), r"should hold 65 whole numbers a line, with commas between them, and does not"),
        ((LINE, LINE + ",3"), "should hold 65 whole numbers a line"),
        ((LINE[:-4],), "should hold 65 whole numbers a line"),
        ((LINE.replace("5", "x"),), "should hold 65 whole numbers a line"),
        ((LINE.replace("16", "17"),), "holds the grey value 17, where 0 to 16 are possible"),
        ((LINE.replace("16", "-1"),), "holds the grey value -1, where 0 to 16 are possible"),
        ((LINE[:-1] + "10",), "holds the digit 10, where 0 to 9 are possible"),
    ],
)
def test_what_is_not_the_digits_is_told(tmp_path: Path, lines: tuple[str, ...], sentence: str):
    with pytest.raises(DataError, match=sentence):
        load_digits("train", put(tmp_path, *lines))


def test_another_split_is_told():
    with pytest.raises(UsageError, match="unknown split of the data set 'digits' 'test': the known ones are train"):
        load("digits", "test")


def test_an_absent_package_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError) as caught:
        load("digits", "train", tmp_path)
    assert str(caught.value) == (
        "digits.csv.gz of the data set 'digits' comes with the package sklearn, which is not installed or lacks it: "
        "get it from https://scikit-learn.org, which brings it: pip install 'grokscope[data]'."
    )
    row = next(row for row in inventory(tmp_path) if row["dataset"] == "digits")
    assert row["status"] == "missing"
    assert "pip install 'grokscope[data]'" in str(row["how"])


def test_they_are_those_of_the_library_which_is_not_imported_for_them():
    if importlib.util.find_spec("sklearn") is None:
        pytest.skip("scikit-learn is not installed")
    digits = load("digits", "train")
    assert digits.inputs.shape == (1797, 8, 8)
    assert np.bincount(digits.targets).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    # of sklearn.datasets.load_digits: the first row of the first image is 0 0 5 13 9 1 0 0 of 16
    assert digits.inputs[0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]
    code = "import sys; from grokscope.data import load; load('digits', 'train'); sys.exit('sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
