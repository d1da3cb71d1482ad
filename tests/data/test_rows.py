from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from grokscope.data import data_directory, load, load_imdb, load_qm9, read_columns, read_json_lines
from grokscope.errors import DataError, UsageError

REVIEWS = '{"text": "good \u2028 film", "label": 1, "rating": 9}\n\n{"label": 0, "text": "bad"}\n'
TABLE = "SMILES,gap,weight\nC,13.5,16\n\nN#C,-1e-1,27\n"
GOOD_OR_BAD = (("pos", 9), ("neg", 1))
PACKED = [(".xz", lzma.compress), (".gz", gzip.compress), ("", bytes)]


def put(root: Path, path: str, text: str | bytes, pack: Callable[[bytes], bytes] = bytes) -> Path:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(pack(text.encode() if isinstance(text, str) else text))
    return place


@pytest.mark.parametrize(("suffix", "pack"), PACKED)
@pytest.mark.parametrize("stem", ["imdb/imdb_train.jsonl", "imdb/imdb_train_5k.jsonl", "imdb_train.jsonl"])
def test_reviews_are_read_from_every_spelling(tmp_path: Path, stem: str, suffix: str, pack: Callable[[bytes], bytes]):
    put(tmp_path, stem + suffix, REVIEWS, pack)
    samples = load_imdb("train", tmp_path)
    assert samples.inputs.tolist() == ["good \u2028 film", "bad"]
    assert samples.inputs.dtype == object
    assert samples.targets.tolist() == [1, 0]
    assert samples.targets.dtype == np.int64
    assert (samples.classes, samples.name) == (2, "imdb/train (2 of 25000 reviews)")
    first = load_imdb("train", tmp_path, limit=1)
    assert (first.inputs.tolist(), first.name) == (["good \u2028 film"], samples.name)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"imdb_test.jsonl holds no line: check that it is the right file"),
        ('{"text": "a", "label": 1}\n{"text": "b"', r"line 2 of .*imdb_test.jsonl is no JSON \(.*repair or drop"),
        ("[" * 100_000, r"line 1 of .* is no JSON \("),
        ('{"text": "a", "label": 1}\n\n[1]', "line 3 of .* holds list, where a JSON object is needed"),
        ('{"text": "a"}', r"line 1 of .* lacks the field 'label' \(it has 'text'\)"),
        ("{}", r"line 1 of .* lacks the field 'text' \(it has none\)"),
        ('{"text": 3, "label": 1}', "line 1 of .* has text = '3' of type int, where str is needed"),
        ('{"text": "a", "label": "1"}', "has label = '1' of type str, where int is needed"),
        ('{"text": "a", "label": true}', "has label = 'True' of type bool, where int is needed"),
        ('{"text": "a", "label": 2}', r"line 1 of .* has label = 2, where 0 \(bad\) or 1 \(good\) is needed"),
        (b'{"text": "a", "label": 1}\n{"text": "\xff", "label": 1}', "line 2 of .* is not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_line_is_told_with_its_number(tmp_path: Path, text: str | bytes, sentence: str):
    put(tmp_path, "imdb/imdb_test.jsonl", text)
    with pytest.raises(DataError, match=sentence) as caught:
        load_imdb("test", tmp_path)
    assert "\n" not in str(caught.value)


def test_rows_carry_their_line_and_stop_at_the_limit(tmp_path: Path):
    place = put(tmp_path, "a.jsonl", REVIEWS + "no JSON")
    assert read_json_lines(place, {"label": int}, limit=2) == [(1, (1,)), (3, (0,))]


def test_truncated_reviews_are_told(tmp_path: Path):
    put(tmp_path, "imdb/imdb_train.jsonl.xz", lzma.compress(REVIEWS.encode() * 99)[:-9])
    with pytest.raises(DataError, match=r"the xz file .*imdb_train.jsonl.xz .* is cut off or corrupt"):
        load("imdb", "train", tmp_path)
    with pytest.raises(DataError, match=r"imdb_test.jsonl.xz of the data set 'imdb' was not found in"):
        load("imdb", "test", tmp_path)


def archive(members: dict[str, str | bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as packed:
        for name, text in members.items():
            one = text.encode() if isinstance(text, str) else text
            information = tarfile.TarInfo(name)
            information.size = len(one)
            packed.addfile(information, io.BytesIO(one))
    return content.getvalue()


def test_reviews_are_read_from_the_published_archive(tmp_path: Path):
    names = [f"aclImdb/train/{kind}/{number}_{stars}.txt" for number in range(3) for kind, stars in GOOD_OR_BAD]
    others = {"aclImdb/train/unsup/0_0.txt": "?", "aclImdb/README": "?", "aclImdb/test/pos/0_9.txt": "test"}
    put(tmp_path, "imdb/aclImdb_v1.tar.gz", archive({**{name: name for name in names}, **others}))
    samples = load_imdb("train", tmp_path)
    expected = sorted(names, key=lambda name: hashlib.sha1(name.encode()).hexdigest())
    assert samples.inputs.tolist() == expected
    assert samples.targets.tolist() == ["pos" in name for name in expected]
    assert (samples.name, samples.labels) == ("imdb/train (6 of 25000 reviews)", ("bad", "good"))
    assert load_imdb("test", tmp_path).inputs.tolist() == ["test"]
    put(tmp_path, "imdb/imdb_train.jsonl", REVIEWS)
    assert len(load_imdb("train", tmp_path).targets) == 2


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (archive({"aclImdb/train/pos/0_9.txt": "a"}), r"aclImdb_v1.tar.gz holds no review in aclImdb/test/neg or pos"),
        (archive({"aclImdb/test/pos/0_9.txt": bytes(range(127)) * 99})[:90], r"aclImdb_v1.tar.gz cannot be read \("),
        (archive({"aclImdb/test/pos/0_9.txt": b"\xff"}), r"aclImdb_v1.tar.gz cannot be read \(.*utf-8"),
        (b"<html>", r"aclImdb_v1.tar.gz cannot be read \("),
    ],
)
def test_what_is_wrong_with_the_archive_is_told(tmp_path: Path, content: bytes, sentence: str):
    put(tmp_path, "imdb/aclImdb_v1.tar.gz", content)
    with pytest.raises(DataError, match=sentence) as caught:
        load_imdb("test", tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("suffix", "pack"), PACKED)
def test_molecules_and_their_gap(tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]):
    put(tmp_path, f"qm9/qm9_gap.csv{suffix}", TABLE.replace("\n", "\r\n"), pack)
    samples = load_qm9("train", tmp_path)
    assert samples.inputs.tolist() == ["C", "N#C"]
    assert samples.targets.tolist() == [13.5, -0.1]
    assert samples.targets.dtype == np.float64
    assert (samples.classes, samples.name) == (None, "qm9/train (2 of 133885 molecules)")
    assert load_qm9("train", tmp_path, limit=1).targets.tolist() == [13.5]
    with pytest.raises(UsageError, match="unknown split of the data set 'qm9' 'test'"):
        load("qm9", "test", tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"qm9_gap.csv lacks the column 'SMILES' \(its first line names none\)"),
        ("smiles,gap\nC,1\n", r"lacks the column 'SMILES' \(its first line names 'smiles', 'gap'\): name it so"),
        ("SMILES,homo\nC,1\n", "lacks the column 'gap'"),
        ("SMILES,gap\n", "qm9_gap.csv holds no row below its names"),
        ("SMILES,gap\nC,1\nCC\n", "line 3 of .* has 1 values, where 2 columns are named"),
        ("SMILES,gap\nC,1,2\n", "line 2 of .* has 3 values, where 2 columns are named"),
        ("SMILES,gap\nC,1\nCC,wide\n", r"line 3 of .* has gap = 'wide', where a finite number \(in eV\) is needed"),
        ("SMILES,gap\nC,nan\n", "line 2 of .* has gap = 'nan', where a finite number"),
        ("SMILES,gap\nC,1\n ,2\n", "line 3 of .* has no SMILES"),
        (b"SMILES,gap\nC\xff,1\n", "line 2 of .* is not UTF-8"),
        ("SMILES,gap\n" + "C" * 200_000 + ",1\n", "line 2 of .* is no row of a table"),
    ],
)
def test_what_is_wrong_with_a_table_is_told(tmp_path: Path, text: str | bytes, sentence: str):
    put(tmp_path, "qm9/qm9_gap.csv", text)
    with pytest.raises(DataError, match=sentence):
        load_qm9("train", tmp_path)


def test_quoted_values_of_a_table(tmp_path: Path):
    place = put(tmp_path, "a.csv", '\ufeffa,"b,c"\n1,"x, ""y"""\n')
    assert read_columns(place, ["b,c", "a"]) == [(2, ('x, "y"', "1"))]


@pytest.mark.parametrize("name", ["imdb", "qm9"])
def test_the_real_files(name: str):
    if data_directory() is None:
        pytest.skip(f"the real {name} is not here: GROKSCOPE_DATA is not set")
    try:
        samples = load(name, "train")
    except DataError as error:
        pytest.skip(f"the real {name} is not here: {error}")
    if name == "imdb":
        assert np.bincount(samples.targets).tolist() == [len(samples.targets) // 2] * 2
        assert all(samples.inputs)
    else:
        assert samples.inputs[:4].tolist() == ["C", "N", "O", "C#C"]
        assert samples.targets[0] == pytest.approx(13.7363, abs=1e-4)
