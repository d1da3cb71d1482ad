"""``grokscope scan`` as people type it: the table, the document, the page, and what is refused."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from commands import ask, refused
from grokscope.cli import scan as command


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict with a heavy entry, a fused projection, a tie, and things that are no weights."""
    draw = torch.Generator().manual_seed(0)
    shared = torch.randn(30, 12, generator=draw)
    spiked = torch.randn(40, 30, generator=draw)
    spiked[3, 4] = 60.0
    tensors = {
        "wte.weight": shared,
        "h.0.attn.c_attn.weight": torch.randn(36, 12, generator=draw),
        "h.0.mlp.weight": spiked,
        "h.0.ln.weight": torch.ones(12),
        "head.weight": shared,
        "ids": torch.arange(12)[None],
        "dead.weight": torch.zeros(20, 20),
    }
    path = tmp_path_factory.mktemp("scan") / "model.pt"
    torch.save(tensors, path)
    return path


def test_the_document(file: Path) -> None:
    answer = ask("scan", file, "--json")
    assert answer.code == 0
    document = answer.document
    assert (document["schema"], document["file"], document["format"]) == (1, str(file), "PyTorch")
    layers = {layer["name"]: layer for layer in document["layers"]}
    assert list(layers) == [
        "wte.weight", *(f"h.0.attn.c_attn.weight[{part}]" for part in ("query", "key", "value")),
        "h.0.mlp.weight", "ids", "dead.weight",
    ]  # fmt: skip
    one = layers["h.0.mlp.weight"]
    assert (one["shape"], one["dtype"], one["kind"]) == ([40, 30], "float32", "linear")
    assert one["correlation_traps/traps"] == 1
    assert one["marchenko_pastur/spikes"] == 1
    assert one["htsr/alpha"] > 1
    assert layers["wte.weight"]["tied"] == ["head.weight"]
    assert layers["ids"] == {
        "name": "ids", "kind": None, "shape": [1, 12], "dtype": "int64",
        "note": "holds int64, not real weights: dequantise it first.",
    }  # fmt: skip
    assert layers["dead.weight"]["htsr/alpha"] == "nan"  # JSON knows no number for it
    assert document["measures"] == {
        "htsr": 1, "spectra": 1, "marchenko_pastur": 1, "norms": 1, "weight_entropy": 1, "correlation_traps": 1,
    }  # fmt: skip
    assert (document["summary"]["matrices"], document["summary"]["not_measured"]) == (6, 1)
    assert document["summary"]["traps"] == 1
    assert document["notes"] == ["Vectors and biases that were passed over: 1."]


def test_the_table_and_what_is_said_under_it(file: Path) -> None:
    lines = ask("scan", file).stdout.splitlines()
    assert lines[0] == "matrix\tshape\ttype\tα\tD\txmin\ttail\tstable rank\tspikes\ttraps"
    assert lines[1].startswith("wte.weight\t30×12\tfloat32\t")
    assert lines[7].split("\t") == ["dead.weight", "20×20", "float32", *["–"] * 7]
    text = "\n".join(lines[8:])
    for sentence in (
        "ids: holds int64, not real weights: dequantise it first.",
        "dead.weight: is zero everywhere: its spectrum is empty.",
        "6 matrices, and 1 tensor that was not measured.",
        "Correlation traps: 1 in 1 matrix.",
        "An α below 2 or a trap is no proof of a collapse: networks that generalise well have them too",
    ):
        assert sentence in text


def test_names_with_control_characters_break_no_line_and_reach_no_terminal(tmp_path: Path) -> None:
    torch.save({"a\tb\n\x1b[31m.weight": torch.zeros(12, 12)}, tmp_path / "odd.pt")
    text = ask("scan", tmp_path / "odd.pt", "--no-traps").stdout
    shown = "a\\x09b\\x0a\\x1b[31m.weight"
    assert text.splitlines()[1].split("\t")[0] == shown
    assert f"{shown}: is zero everywhere" in text


def test_measures_are_chosen_and_shown_whole(file: Path) -> None:
    answer = ask("scan", file, "--measures", "norms", "--layers", "h.0.mlp", "--json")
    (layer,) = answer.document["layers"]
    assert sorted(key for key in layer if "/" in key) == [
        f"norms/{key}" for key in ("l1", "l2", "largest", "nuclear", "spectral")
    ]
    lines = ask("scan", file, "--measures", "norms", "--layers", "h.0.mlp").stdout.splitlines()
    assert lines[0] == "matrix\tshape\ttype\tl1\tl2\tlargest\tspectral\tnuclear"
    assert "traps" not in "\n".join(lines)
    options = ask("scan", file, "--measures", "htsr:mode=ww", "--traps", "--layers", "h.0.mlp", "--json").document
    assert list(options["measures"]) == ["htsr:mode=ww", "correlation_traps"]
    assert options["layers"][0]["htsr:mode=ww/alpha"] > 1
    assert options["summary"]["alphas"] == 1
    several = ask(
        "scan", file, "--measures", "htsr:layout=flat,mode=ww,norms", "--layers", "h.0.mlp", "--json"
    ).document
    assert list(several["measures"]) == ["htsr:layout=flat,mode=ww", "norms"]
    assert "α" in ask("scan", file, "--measures", "htsr:mode=ww", "--layers", "h.0.mlp").stdout.splitlines()[0]


def test_without_traps(file: Path) -> None:
    document = ask("scan", file, "--no-traps", "--json").document
    assert "correlation_traps" not in document["measures"]
    assert document["summary"]["traps"] is None


def test_sorting(file: Path) -> None:
    for key in ("norms/l2", "l2"):
        values = [layer.get("norms/l2") for layer in ask("scan", file, "--sort", key, "--json").document["layers"]]
        numbers = [value for value in values if isinstance(value, float | int)]
        assert numbers == sorted(numbers, reverse=True)
        assert values[-1] is None  # what was not measured comes last
    assert refused(2, "scan", file, "--sort", "alhpa").startswith(
        "unknown key to sort by 'alhpa': did you mean 'alpha'"
    )
    sentence = refused(2, "scan", file, "--sort", "softrank")
    assert sentence == (
        "--sort softrank could mean marchenko_pastur/softrank or correlation_traps/softrank: write it whole."
    )


def test_the_page(file: Path, tmp_path: Path) -> None:
    page = tmp_path / "deep" / "scan.html"
    answer = ask("scan", file, "--html", page)
    assert answer.stdout.splitlines()[-1] == f"page: {page}"
    html = page.read_text()
    assert html.count('<details class="layer"') == 5  # not what is zero, and not what is no weight
    assert "http://" not in html.replace("http://www.w3.org", "").partition("<script>")[0]
    assert ask("scan", file, "--html", page, "--json").document["html"] == str(page)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], 'Command "scan" parameter --file requires an argument. Try: grokscope scan --help'),
        (
            ["nowhere.safetensors"],
            "there is no nowhere.safetensors: give a .safetensors file, a .pt, .pth, .bin or .ckpt",
        ),
        (["FILE", "--measures", "hstr"], "unknown measure 'hstr': did you mean 'htsr'"),
        (["FILE", "--measures", "htsr:mod=ww"], "unknown option of htsr 'mod': did you mean 'mode'?"),
        (["FILE", "--measures", "gradient"], "gradient needs more than weights: a scan takes htsr, spectra, "),
        (["FILE", "--layers", "h.7"], "no weight's name fits --layers 'h.7': there are "),
        (["FILE", "--max-size", "0"], "--max-size 0: give the number of entries of the largest matrix to measure."),
        (["FILE", "--max-size", "big"], 'Invalid value for --max-size: unable to convert "big" into int.'),
        (["FILE", "--html", "/"], "/ is a directory: name a file in it, as in /scan.html."),
        (["FILE", "--device", "cdua"], "the device 'cdua' is not there: give cpu, or cuda where there is a GPU."),
        (["FILE", "--trap"], "Unknown option: --trap."),
    ],
)
def test_what_is_typed_wrong(file: Path, words: list[str], sentence: str) -> None:
    assert refused(2, "scan", *(str(file) if word == "FILE" else word for word in words)).startswith(sentence)


def test_a_page_that_cannot_be_written_is_told_before_anything_is_measured(file: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    sentence = refused(1, "scan", file, "--html", tmp_path / "plain" / "scan.html")
    assert sentence.startswith(f"{tmp_path / 'plain'} is a file: choose another directory")


def test_files_that_cannot_be_scanned_are_work_that_failed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_text("an error page of some web server")
    assert refused(1, "scan", path).startswith(f'{path} is a text file (it begins with "an error page of some we')
    torch.save({"norm.weight": torch.ones(3)}, tmp_path / "b.pt")
    sentence = refused(1, "scan", tmp_path / "b.pt")
    assert sentence == f"{tmp_path / 'b.pt'} holds no weight matrix: all it has are vectors and biases (1)."
    assert (
        refused(1, "scan", tmp_path) == f"{tmp_path} holds 2 files of weights (a.safetensors, b.pt): give one of them."
    )


def test_progress_is_a_line_now_and_then(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "SECONDS", 0.0)
    answer = ask("scan", file, "--measures", "norms")
    lines = answer.stderr.splitlines()
    assert lines[0] == "scan: 0 of 5 tensors done, now wte.weight"
    assert len(lines) == 5


def test_progress_on_a_terminal(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with command._progress() as tell:
        tell(0, 2, "a")
        tell(2, 2, "")


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys; from grokscope.cli.main import call; call(['scan', '--help']); "
        "assert not {'torch', 'scipy', 'plotly', 'safetensors'} & set(sys.modules), 'slow'"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "a .safetensors file" in done.stdout


def test_numbers_that_are_none_come_last() -> None:
    assert sorted([math.nan, 1.0, None, 3.0], key=command._descending)[:2] == [3.0, 1.0]
