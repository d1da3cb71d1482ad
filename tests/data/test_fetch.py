from __future__ import annotations

import errno
import hashlib
import http.server
import io
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grokscope.cli.main import call
from grokscope.data import DataFile, DataSet, Download
from grokscope.data import fetch as fetch_package
from grokscope.data.entries import CATALOGUE
from grokscope.data.fetch import fetch, fetchable
from grokscope.errors import DataError, UsageError

CONTENT = b"published content" * 99
SHA256, MD5 = hashlib.sha256(CONTENT).hexdigest(), hashlib.md5(CONTENT).hexdigest()


class Answer(http.server.BaseHTTPRequestHandler):
    """Sends what the test put on the server, with another length where it says so."""

    def do_GET(self) -> None:
        server: Any = self.server
        server.asked.append(self.path)
        if self.path not in server.content:
            self.send_error(404)
            return
        content = server.content[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) + server.lacking))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Any]:
    made: Any = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    made.content, made.asked, made.lacking = {"/a.bin": CONTENT, "/b.bin": CONTENT}, [], 0
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("GROKSCOPE_DATA", raising=False)


def register(monkeypatch: pytest.MonkeyPatch, *downloads: Download, files: tuple[DataFile, ...] = ()) -> DataSet:
    files = files or (DataFile("a.bin", SHA256), DataFile("b.bin", md5=MD5))
    toy = DataSet("toy", "Toy", files, ("train",), None, "https://example.org", "none", "", ("toy", "."))
    toy = DataSet(**{**vars(toy), "downloads": downloads})
    monkeypatch.setitem(CATALOGUE, "toy", toy)
    return toy


def two(server: Any, **changes: Any) -> tuple[Download, Download]:
    base = f"http://127.0.0.1:{server.server_port}/"
    first = {"sha256": SHA256, **changes}
    return Download(base + "a.bin", ("a.bin",), **first), Download(base + "b.bin", ("b.bin",), md5=MD5)


def left(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_what_is_missing_is_fetched_and_what_is_there_is_not(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    register(monkeypatch, *two(server))
    told: list[tuple[str, int, int | None]] = []
    rows = fetch("toy", tmp_path / "new", progress=lambda *given: told.append(given))
    assert [(row["file"], row["status"]) for row in rows] == [("a.bin", "fetched"), ("b.bin", "fetched")]
    assert left(tmp_path / "new") == ["toy/a.bin", "toy/b.bin"]
    assert Path(rows[0]["path"]).read_bytes() == CONTENT
    assert told == [("a.bin", len(CONTENT), len(CONTENT)), ("b.bin", len(CONTENT), len(CONTENT))]
    assert {row["status"] for row in fetch("toy", tmp_path / "new")} == {"found"}
    assert server.asked == ["/a.bin", "/b.bin"]
    (tmp_path / "new" / "toy" / "b.bin").write_bytes(CONTENT[::-1])
    assert [row["status"] for row in fetch("toy", tmp_path / "new")] == ["found", "fetched"]
    assert server.asked[2:] == ["/b.bin"]


def test_what_has_another_checksum_is_not_kept(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    register(monkeypatch, *two(server, sha256="0" * 64))
    with pytest.raises(
        DataError, match=rf"a.bin sent has the sha256 {SHA256}, where 0+ is published, and was not kept"
    ):
        fetch("toy", tmp_path)
    assert left(tmp_path) == []
    server.content["/b.bin"] = b"other"
    register(monkeypatch, *two(server))
    with pytest.raises(DataError, match=rf"b.bin sent has the md5 .*, where {MD5} is published"):
        fetch("toy", tmp_path)
    assert left(tmp_path) == ["toy/a.bin"]


def test_what_is_cut_off_is_not_kept(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    register(monkeypatch, *two(server))
    server.lacking = 5
    with pytest.raises(DataError, match=r"a.bin (ended after 1683 of 1688 bytes|cannot be reached)"):
        fetch("toy", tmp_path)
    assert left(tmp_path) == []


def test_a_file_that_has_moved_is_told(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    register(monkeypatch, *two(server))
    del server.content["/a.bin"]
    with pytest.raises(DataError, match=r"a.bin answered 404 \(Not Found\): the file has moved or is refused"):
        fetch("toy", tmp_path)
    assert left(tmp_path) == []


def test_without_a_network_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    register(monkeypatch, Download(f"http://127.0.0.1:{port}/a.bin", ("a.bin",)))
    with pytest.raises(DataError) as caught:
        fetch("toy", tmp_path)
    assert str(caught.value) == (
        f"http://127.0.0.1:{port}/a.bin cannot be reached (Connection refused): check the network, or fetch on "
        "a machine that has one and copy the files here."
    )
    assert left(tmp_path) == []


def test_what_cannot_be_fetched_says_where_to_get_it(tmp_path: Path):
    with pytest.raises(DataError, match=r"'imagenette' cannot be fetched \(mnist, .* can\): get it from https://"):
        fetch("imagenette", tmp_path)
    with pytest.raises(DataError, match="mnist was not fetched, because no data directory is set: set GROKSCOPE_DATA"):
        fetch("mnist")
    with pytest.raises(UsageError, match="unknown data set 'minst': did you mean 'mnist'"):
        fetch("minst", tmp_path)
    assert fetchable()[:4] == ["mnist", "fashion-mnist", "cifar10", "omniglot"]


def test_every_download_of_ours_has_a_checksum_and_brings_listed_files():
    for dataset in CATALOGUE.values():
        for download in dataset.downloads:
            assert download.sha256 or download.md5
            assert set(download.files) <= {file.path for file in dataset.files}


def test_a_full_disk_is_told(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    register(monkeypatch, *two(server))

    class Full(io.BytesIO):
        def write(self, *_: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    real = fetch_package._receive
    monkeypatch.setattr(fetch_package, "_receive", lambda download, stream, *rest: real(download, Full(), *rest))
    with pytest.raises(DataError, match=r"cannot write in .*toy \(No space left on device\), .*: make room, or name"):
        fetch("toy", tmp_path)
    assert left(tmp_path) == []


def test_a_place_that_cannot_be_written_is_told(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    register(monkeypatch, *two(server))
    (tmp_path / "toy").write_text("a file")
    with pytest.raises(
        DataError, match=r"cannot write in .*toy \(File exists\), .*: name a data directory that can be"
    ):
        fetch("toy", tmp_path)


def packed(*members: tuple[str, bytes | None]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, one in members:
            information = tarfile.TarInfo(name)
            if one is None:
                information.type, information.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(information)
            else:
                information.size = len(one)
                archive.addfile(information, io.BytesIO(one))
    return content.getvalue()


def archived(server: Any, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    server.content["/all.tar.gz"] = content
    download = Download(f"http://127.0.0.1:{server.server_port}/all.tar.gz", ("a.bin", "b.bin"), archive=True)
    register(monkeypatch, download, files=(DataFile("a.bin", others=("a",)), DataFile("b.bin", optional=True)))


def test_an_archive_gives_its_files_and_nothing_else(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    archived(server, monkeypatch, packed(("x/b.bin", b"B"), ("x/readme.html", b"no"), ("x/a", b"A")))
    rows = fetch("toy", tmp_path)
    assert left(tmp_path) == ["toy/a.bin", "toy/b.bin"]
    assert (tmp_path / "toy" / "a.bin").read_bytes() == b"A"
    assert {row["status"] for row in rows} == {"fetched"}
    assert {row["status"] for row in fetch("toy", tmp_path)} == {"found"}
    assert server.asked == ["/all.tar.gz"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            packed(("../a.bin", b"A"), ("b.bin", b"B")),
            r"holds the unsafe member name '\.\./a\.bin', which is absolute or",
        ),
        (packed(("/a.bin", b"A"), ("b.bin", b"B")), "holds the unsafe member name '/a.bin'"),
        (packed(("a.bin", None), ("b.bin", b"B")), r"all.tar.gz holds no file a.bin, and nothing was kept"),
        (packed(("a.bin", b"A")), "holds no file b.bin"),
        (b"no archive", r"all.tar.gz cannot be unpacked \(.*\), and nothing was kept"),
        (packed(("a.bin", bytes(range(256)) * 99), ("b.bin", b"B"))[:90], r"all.tar.gz cannot be unpacked \("),
    ],
)
def test_archives_that_are_not_what_they_should_be_leave_nothing(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, sentence: str
):
    archived(server, monkeypatch, content)
    with pytest.raises(DataError, match=sentence):
        fetch("toy", tmp_path)
    assert left(tmp_path) == []


def test_the_command(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    register(monkeypatch, *two(server))
    assert call(["data", "fetch", "toy", "--directory", str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines()[1] == f"a.bin\tfetched\t{tmp_path / 'toy' / 'a.bin'}"
    monkeypatch.setenv("GROKSCOPE_DATA", str(tmp_path))
    assert call(["data", "fetch", "toy", "--json"]) == 0
    assert '"status": "found"' in capsys.readouterr().out
    for arguments, code, sentence in (
        (["fetch"], 2, "name the data set to fetch: grokscope data fetch NAME, one of mnist, "),
        (["fetsch", "toy"], 2, "unknown action of grokscope data 'fetsch': did you mean 'fetch'?"),
        (["fetch", "qm9"], 1, "the data set 'qm9' cannot be fetched"),
    ):
        assert call(["data", *arguments]) == code
        assert sentence in capsys.readouterr().err
