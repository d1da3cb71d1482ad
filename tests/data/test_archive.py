from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from grokscope.data import ZipFolder
from grokscope.errors import DataError

MEMBERS = {
    "train/b/2.JPEG": b"second",
    "train/a/1.JPEG": b"first",
    "train/notes.txt": "größer".encode(),
}


def write(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return write(tmp_path / "images.zip", {"train/": b"", **MEMBERS})


def test_names_are_sorted_files_filtered_by_suffix(archive: Path):
    with ZipFolder(archive) as folder:
        assert folder.names() == ["train/a/1.JPEG", "train/b/2.JPEG", "train/notes.txt"]
        assert folder.names(".jpeg") == ["train/a/1.JPEG", "train/b/2.JPEG"]
        assert folder.names(".png") == []


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_members_are_read_and_nothing_is_written(tmp_path: Path, method: int):
    path = write(tmp_path / "images.zip", MEMBERS, method)
    with ZipFolder(str(path)) as folder:
        assert {name: folder.read(name) for name in folder.names()} == MEMBERS
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_member_offers_the_nearest(archive: Path):
    with ZipFolder(archive) as folder:
        with pytest.raises(DataError, match=r"no member 'train/a/1.JPG': did you mean 'train/a/1.JPEG'"):
            folder.read("train/a/1.JPG")
        with pytest.raises(DataError, match=r"no member 'qqqq': names\(\) lists what it holds\."):
            folder.read("qqqq")
        with pytest.raises(DataError, match=r"'train/' in the zip file .* is a directory"):
            folder.read("train/")


def test_a_closed_archive_is_told(archive: Path):
    folder = ZipFolder(archive)
    folder.close()
    folder.close()
    with pytest.raises(DataError, match=r"was closed before 'train/notes.txt' was read"):
        folder.read("train/notes.txt")


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../up.txt", "a/../../up.txt", "a\\..\\up.txt", "\\share\\x", "C:/x", "ok\0/../../x"],
)
def test_unsafe_names_refuse_the_whole_archive(tmp_path: Path, name: str):
    # ZipInfo cleans names, so the unsafe one goes in as its bytes.
    placeholder = "Q" * len(name)
    path = write(tmp_path / "unsafe.zip", {"fine.txt": b"1", placeholder: b"2"})
    path.write_bytes(path.read_bytes().replace(placeholder.encode(), name.encode()))
    with pytest.raises(DataError, match=r"holds the unsafe member name .* absolute or climbs out"):
        ZipFolder(path)


def test_dots_within_a_name_are_fine(tmp_path: Path):
    with ZipFolder(write(tmp_path / "dots.zip", {"a..b/..c.txt": b"x"})) as folder:
        assert folder.read("a..b/..c.txt") == b"x"


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04" + b"\0" * 60])
def test_what_is_not_a_zip_file_is_told(tmp_path: Path, content: bytes):
    path = tmp_path / "images.zip"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"images\.zip is not a whole zip file \(File is not a zip file\)"):
        ZipFolder(path)


def test_a_cut_off_zip_and_a_missing_one_are_told(tmp_path: Path, archive: Path):
    archive.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"is not a whole zip file"):
        ZipFolder(archive)
    with pytest.raises(DataError, match=r"cannot read the zip file .*absent.zip: No such file or directory"):
        ZipFolder(tmp_path / "absent.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_damaged_member_fails_its_checksum_and_the_others_still_read(tmp_path: Path, method: int):
    path = write(tmp_path / "images.zip", {"bad.txt": b"damaged" * 30, "good.txt": b"whole"}, method)
    with zipfile.ZipFile(path) as whole:
        info = whole.getinfo("bad.txt")
    stored = bytearray(path.read_bytes())
    start = info.header_offset + 30 + len(info.filename)
    stored[start + info.compress_size // 2] ^= 0xFF
    path.write_bytes(stored)
    with ZipFolder(path) as folder:
        with pytest.raises(DataError, match=r"member 'bad.txt' of the zip file .* cannot be unpacked \("):
            folder.read("bad.txt")
        assert folder.read("good.txt") == b"whole"


def test_a_false_crc_alone_is_told(tmp_path: Path):
    path = write(tmp_path / "images.zip", {"a.txt": b"content"}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"content", b"contend"))
    with ZipFolder(path) as folder, pytest.raises(DataError, match=r"Bad CRC-32 for file 'a.txt'"):
        folder.read("a.txt")


def _central(path: Path) -> int:
    return path.read_bytes().index(b"PK\x01\x02")


def test_an_encrypted_member_is_refused(archive: Path):
    stored = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as whole:
        name = whole.infolist()[1].filename
    # The flags lie 6 bytes into a local header and 8 into a central one; both come before the name.
    for signature, header, flags in ((b"PK\x03\x04", 30, 6), (b"PK\x01\x02", 46, 8)):
        start = next(
            position
            for position in range(len(stored))
            if stored[position : position + 4] == signature
            and stored[position + header : position + header + len(name)] == name.encode()
        )
        stored[start + flags] |= 0x1
    archive.write_bytes(stored)
    with ZipFolder(archive) as folder, pytest.raises(DataError, match=f"member '{name}' .* is encrypted"):
        folder.read(name)


def test_an_unknown_packing_method_is_told(tmp_path: Path):
    path = write(tmp_path / "images.zip", {"a.txt": b"content"})
    stored = bytearray(path.read_bytes())
    stored[8] = stored[_central(path) + 10] = 99
    path.write_bytes(stored)
    with (
        ZipFolder(path) as folder,
        pytest.raises(DataError, match=r"cannot be unpacked .*compression method"),
    ):
        folder.read("a.txt")
