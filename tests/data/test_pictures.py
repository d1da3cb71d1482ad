from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from grokscope.data import data_directory, load, load_image_folder, load_imagenette, load_omniglot
from grokscope.errors import DataError, UsageError

pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
RNG = np.random.default_rng(0)


def encoded(pixels: Any, kind: str = "PNG", mode: str | None = None) -> bytes:
    picture = pillow.fromarray(np.asarray(pixels))
    content = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(content, kind)
    return content.getvalue()


def grey(value: int, height: int = 4, width: int = 6) -> bytes:
    return encoded(np.full((height, width), value, np.uint8))


def red(value: int, height: int = 4, width: int = 6) -> bytes:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = value
    return encoded(pixels)


FLOWERS = {"tulip/b.png": grey(3), "rose/2.PNG": grey(2), "rose/10.png": grey(1), "tulip/deep/a.png": grey(4)}


def put(root: Path, files: dict[str, bytes], packed: bool = False) -> Path:
    if packed:
        with zipfile.ZipFile(root / "pictures.zip", "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
        return root / "pictures.zip"
    for name, content in files.items():
        place = root / "pictures" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    return root / "pictures"


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("above", ["", "flowers/", "a/b/c/"])
def test_a_folder_a_class_from_a_folder_or_a_zip(tmp_path: Path, packed: bool, above: str):
    clutter = {"rose/.hidden.png": b"", "rose/notes.txt": b"", "tulip/Thumbs.db": b""}
    files = {above + name: content for name, content in {**FLOWERS, **clutter}.items()}
    samples = load_image_folder(put(tmp_path, {**files, "__MACOSX/x/y.png": b""}, packed))
    assert samples.labels == ("rose", "tulip")
    assert samples.targets.tolist() == [0, 0, 1, 1]
    assert samples.targets.dtype == np.int64
    assert samples.inputs.shape == (4, 4, 6)
    assert samples.inputs.dtype == np.uint8
    assert samples.inputs[:, 0, 0].tolist() == [1, 2, 3, 4]


def test_every_folder_is_a_class_if_asked_for(tmp_path: Path):
    samples = load_image_folder(put(tmp_path, FLOWERS), deep=True)
    assert samples.labels == ("rose", "tulip", "tulip/deep")
    assert samples.targets.tolist() == [0, 0, 1, 2]


def test_grey_and_coloured_pictures_together_have_three_channels(tmp_path: Path):
    root = put(tmp_path, {"a/1.png": grey(9), "b/1.png": red(7)})
    samples = load_image_folder(root)
    assert samples.inputs.shape == (2, 4, 6, 3)
    assert samples.inputs[:, 0, 0].tolist() == [[9, 9, 9], [7, 0, 0]]
    assert load_image_folder(root, colour="rgb", limit=1).inputs.tolist() == samples.inputs[:1].tolist()
    # ITU-R 601: 0.299 of red
    assert load_image_folder(root, colour="grey").inputs[:, 0, 0].tolist() == [9, 2]


def test_modes_that_pictures_come_in(tmp_path: Path):
    pixels = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    one = encoded(np.array([[True, False], [False, True]]))
    root = put(tmp_path, {"a/1.png": one, "b/1.png": one})
    assert load_image_folder(root).inputs[0].tolist() == [[255, 0], [0, 255]]
    kinds = {"a/rgba.png": encoded(pixels, mode="RGBA"), "b/palette.png": encoded(pixels, mode="P")}
    coloured = load_image_folder(put(tmp_path / "more", kinds)).inputs
    assert coloured[0].tolist() == pixels.tolist()
    assert coloured.shape == (2, 8, 8, 3)


def test_a_jpeg_is_near_what_was_drawn(tmp_path: Path):
    ramp = np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8
    root = put(tmp_path, {"a/1.jpg": encoded(ramp, "JPEG"), "b/1.JPEG": encoded(ramp, "JPEG")})
    assert np.abs(load_image_folder(root).inputs[1].astype(int) - ramp).max() <= 6


def test_pictures_are_scaled_on_reading(tmp_path: Path):
    root = put(tmp_path, {"a/1.png": grey(9), "b/1.png": grey(7, 30, 20)})
    with pytest.raises(DataError, match=r"differ in size \(a/1.png has 4x6 pixels, b/1.png has 30x20\): scale them on"):
        load_image_folder(root)
    assert load_image_folder(root, size=5).inputs.shape == (2, 5, 5)
    scaled = load_image_folder(root, size=(3, 5)).inputs
    assert scaled.shape == (2, 3, 5)
    assert scaled[:, 1, 1].tolist() == [9, 7]
    checks = np.kron(np.indices((4, 4)).sum(0) % 2, np.ones((4, 4))).astype(np.uint8) * 200
    root = put(tmp_path / "more", {"a/1.png": encoded(checks), "b/1.png": encoded(checks)})
    # antialiased: the mean stays
    assert load_image_folder(root, size=2).inputs.mean() == pytest.approx(100, abs=3)


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"a/1.txt": b""}, r"holds no picture \(.png, .jpg, .jpeg\): name a folder or a zip file with one folder"),
        ({"a/1.png": grey(1), "a/2.png": grey(1)}, r"holds pictures of one class \(a\), where at least two are needed"),
        ({"1.png": grey(1), "a/2.png": grey(1)}, "the picture 1.png in .* lies in no folder of its class"),
        ({"1.png": grey(1), "2.png": grey(1)}, "the picture 1.png in .* lies in no folder of its class"),
        ({"a/1.png": grey(1)[:-30], "b/1.png": grey(1)}, r"the picture a/1.png in .* cannot be decoded \("),
        ({"a/1.png": b"", "b/1.png": grey(1)}, r"cannot be decoded \(it is no PNG or JPEG\): replace it or remove it"),
        ({"a/1.jpg": b"<html>", "b/1.png": grey(1)}, r"a/1.jpg in .* cannot be decoded \(it is no PNG or JPEG\)"),
        (
            {"a/1.jpg": encoded(RNG.random((9, 9)) > 0.5, "JPEG")[:-60], "b/1.png": grey(1)},
            "a/1.jpg .* cannot be decoded",
        ),
        ({"a/1.png": encoded(np.zeros((2, 2), np.uint16)), "b/1.png": grey(1)}, "where 8 bits a channel are needed"),
        ({"a/1.png": encoded(np.zeros((2, 2), np.uint8), "GIF"), "b/1.png": grey(1)}, "it is no PNG or JPEG"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_wrong_with_pictures_is_told(tmp_path: Path, packed: bool, files: dict[str, bytes], sentence: str):
    with pytest.raises(DataError, match=sentence) as caught:
        load_image_folder(put(tmp_path, files, packed))
    assert "\n" not in str(caught.value)


def test_a_picture_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = put(tmp_path, FLOWERS)
    monkeypatch.setattr(pillow, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(DataError, match=r"rose/10.png .* cannot be decoded \(.*exceeds limit"):
        load_image_folder(root)


@pytest.mark.parametrize("name", ["../a/1.png", "/a/1.png"])
def test_a_zip_that_climbs_out_is_refused(tmp_path: Path, name: str):
    with pytest.raises(DataError, match="holds the unsafe member name"):
        load_image_folder(put(tmp_path, {name: grey(1), "b/1.png": grey(1)}, packed=True))


def test_what_is_no_folder_is_told(tmp_path: Path):
    with pytest.raises(DataError, match=r"nowhere does not exist: name a folder or a zip file with one folder of"):
        load_image_folder(tmp_path / "nowhere")
    (tmp_path / "file").write_text("no zip")
    with pytest.raises(DataError, match="file is not a whole zip file"):
        load_image_folder(tmp_path / "file")
    with pytest.raises(UsageError, match="size must be at least 1 and is 0"):
        load_image_folder(put(tmp_path, FLOWERS), size=0)
    with pytest.raises(UsageError, match="limit must be at least 1 and is 0"):
        load_image_folder(put(tmp_path, FLOWERS), limit=0)


def test_links_in_a_circle_end(tmp_path: Path):
    root = put(tmp_path, FLOWERS)
    (root / "rose" / "again").symlink_to(root, target_is_directory=True)
    assert len(load_image_folder(root).targets) == 4


def test_a_link_to_nothing_is_told(tmp_path: Path):
    root = put(tmp_path, FLOWERS)
    (root / "rose" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DataError, match=r"cannot read the picture .*gone\.png: No such file"):
        load(str(root), "train")


def test_an_absent_pillow_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = put(tmp_path, FLOWERS)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError) as caught:
        load_image_folder(root)
    assert str(caught.value) == (
        "reading pictures needs the package Pillow, which is not installed: run pip install 'grokscope[data]'."
    )


def test_a_path_takes_the_place_of_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = put(tmp_path, FLOWERS)
    first = load(str(root), "train")
    assert load(str(root), "train") is first
    assert first.name == f"{root}/train"
    (root / "rose" / "3.png").write_bytes(grey(9))
    assert len(load(str(root), "train").targets) == 5
    monkeypatch.chdir(tmp_path)
    assert len(load("./pictures", "train", size=3).targets) == 5
    with pytest.raises(
        UsageError, match=r"unknown split of the data set '\./pictures' 'test': the known ones are train"
    ):
        load("./pictures", "test")
    with pytest.raises(DataError, match="nowhere does not exist"):
        load("./nowhere", "train")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("test", ["test", "val"])
def test_folders_train_and_test_are_splits(tmp_path: Path, packed: bool, test: str):
    files = {f"set/train/{name}": content for name, content in FLOWERS.items()}
    files |= {f"set/{test}/rose/x.png": grey(6), f"set/{test}/tulip/y.png": grey(5)}
    root = str(put(tmp_path, files, packed))
    assert load(root, "train").inputs[:, 0, 0].tolist() == [1, 2, 3, 4]
    tested = load(root, "test")
    assert tested.inputs[:, 0, 0].tolist() == [6, 5]
    assert tested.labels == ("rose", "tulip")


def test_omniglot_and_imagenette_as_they_are_published(tmp_path: Path):
    letters = {f"images_background/{name}/0394_01.png": grey(0) for name in ("Greek/character01", "Latin/character01")}
    (tmp_path / "omniglot").mkdir()
    put(tmp_path, letters, packed=True).rename(tmp_path / "omniglot" / "images_background.zip")
    samples = load("omniglot", "background", tmp_path)
    assert samples.labels == ("Greek/character01", "Latin/character01")
    assert (samples.inputs.shape, samples.name) == ((2, 4, 6), "omniglot/background")
    assert load_omniglot("background", tmp_path, size=2, limit=1).inputs.shape == (1, 2, 2)
    pictures = {"val/n01440764/a.JPEG": grey(3), "val/n02102040/b.JPEG": grey(4)}
    put(tmp_path, pictures, packed=True).rename(tmp_path / "imagenette_96_val.zip")
    found = load_imagenette("val", tmp_path)
    assert (found.inputs.shape, found.labels) == ((2, 4, 6, 3), ("n01440764", "n02102040"))
    with pytest.raises(UsageError, match="unknown split of the data set 'imagenette' 'test'"):
        load("imagenette", "test", tmp_path)


@pytest.mark.parametrize(
    ("name", "split", "shape", "classes"),
    [("omniglot", "background", (105, 105), 964), ("imagenette", "val", (96, 96, 3), 10)],
)
def test_the_real_files(name: str, split: str, shape: tuple[int, ...], classes: int):
    if data_directory() is None:
        pytest.skip(f"the real {name} is not here: GROKSCOPE_DATA is not set")
    try:
        samples = load(name, split, limit=40)
    except DataError as error:
        pytest.skip(f"the real {name} is not here: {error}")
    assert samples.inputs.shape == (40, *shape)
    assert samples.classes == classes
