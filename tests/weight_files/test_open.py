"""Files of weights: what is read of each format, and the one sentence for each that is damaged, foreign or unsafe."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from grokscope.errors import DataError, GrokscopeError, UsageError
from grokscope.weight_files import open_weights, torch_file
from grokscope.weight_files.base import Entry, in_order
from grokscope.weight_files.quantised import quantised


def tensors() -> dict[str, Tensor]:
    return {"h.10.w": torch.arange(6.0).reshape(2, 3), "h.9.w": torch.ones(3, 2), "b": torch.zeros(3)}


def shards(directory: Path, index: dict[str, Any] | str, **files: dict[str, Tensor]) -> Path:
    """Write shards and their index, and return the directory."""
    for name, content in files.items():
        save_file(content, directory / f"{name}.safetensors")
    text = index if isinstance(index, str) else json.dumps(index)
    (directory / "model.safetensors.index.json").write_text(text)
    return directory


class Runs:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


# -- what is read ----------------------------------------------------------------------------------


def test_safetensors_in_the_order_of_the_network(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(tensors(), path)
    for given in (path, str(path), tmp_path):
        file = open_weights(given)
        assert (file.path, file.format, file.notes) == (path, "safetensors", ())
        assert list(file.entries) == ["b", "h.9.w", "h.10.w"]
        assert file.entries["h.10.w"] == Entry("h.10.w", (2, 3), "float32")
        assert torch.equal(file.load("h.10.w"), tensors()["h.10.w"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16, torch.float8_e5m2, torch.int8])
def test_types_have_the_names_that_torch_gives_them(tmp_path: Path, dtype: torch.dtype) -> None:
    save_file({"w": torch.ones(2, 2).to(dtype)}, tmp_path / "a.safetensors")
    torch.save({"w": torch.ones(2, 2).to(dtype)}, tmp_path / "b.pt")
    for name in ("a.safetensors", "b.pt"):
        file = open_weights(tmp_path / name)
        assert file.entries["w"].dtype == str(dtype).removeprefix("torch.")
        assert file.load("w").dtype == dtype


def test_a_state_dict_with_ties(tmp_path: Path) -> None:
    shared = torch.ones(2, 3)
    saved = {"wte": shared, "head": shared, "view": shared[:1], "late.10": torch.zeros(1), "late.9": torch.zeros(1)}
    torch.save(saved, tmp_path / "model.pt")
    file = open_weights(tmp_path / "model.pt")
    assert list(file.entries) == ["wte", "view", "late.10", "late.9"]  # the order of the file is that of the network
    assert file.entries["wte"].tied == ("head",)
    assert file.format == "PyTorch"


NESTED: dict[str, tuple[Callable[[dict[str, Tensor]], Any], list[str], str]] = {
    "lightning": (
        lambda w: {"state_dict": w, "optimizer_states": [{"state": {0: {"exp_avg": w["b"]}}}], "epoch": 3},
        ["h.10.w", "h.9.w", "b"],
        "The weights are those under 'state_dict'. Left out as no weights of a model: optimizer_states.",
    ),
    "usual": (
        lambda w: {"model_state_dict": w, "optimizer_state_dict": {"state": {0: {"exp_avg": w["b"]}}}, "loss": 0.5},
        ["h.10.w", "h.9.w", "b"],
        "The weights are those under 'model_state_dict'. Left out as no weights of a model: optimizer_state_dict.",
    ),
    "deeper": (lambda w: {"a": {"module": w}}, ["h.10.w", "h.9.w", "b"], "The weights are those under 'a.module'."),
    "two": (
        lambda w: {"model": w, "ema": {"h.9.w": torch.zeros(3, 2)}},
        ["model.h.10.w", "model.h.9.w", "model.b", "ema.h.9.w"],
        "It holds 2 sets of tensors; names begin with the keys that lead to them.",
    ),
    "list": (lambda w: [w["b"], w["h.9.w"]], ["0", "1"], ""),
    "tensor": (lambda w: w["h.9.w"], ["tensor"], ""),
}


@pytest.mark.parametrize("name", NESTED)
def test_state_dicts_are_found_where_they_are(tmp_path: Path, name: str) -> None:
    made, names, notes = NESTED[name]
    torch.save(made(tensors()), tmp_path / "a.ckpt")
    file = open_weights(tmp_path / "a.ckpt")
    assert list(file.entries) == names
    assert " ".join(file.notes) == notes
    assert all(file.load(one).shape == file.entries[one].shape for one in names)


def test_a_file_is_mapped_anew_and_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(tensors(), tmp_path / "a.pt")
    monkeypatch.setattr(torch_file, "MAPPED", 10)
    file = open_weights(tmp_path / "a.pt")
    for _ in range(2):
        assert all(torch.equal(file.load(name), tensor) for name, tensor in tensors().items())


def test_the_old_format_is_read_whole_and_says_so(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "a.bin", _use_new_zipfile_serialization=False)
    file = open_weights(tmp_path / "a.bin")
    assert torch.equal(file.load("h.9.w"), torch.ones(3, 2))
    assert file.notes == ("It is in PyTorch's format from before 1.6, which is read whole into memory.",)


def test_shards_of_both_kinds(tmp_path: Path) -> None:
    weight_map = {"a.10.w": "one.safetensors", "a.9.w": "two.safetensors"}
    shards(tmp_path, {"weight_map": weight_map}, one={"a.10.w": torch.ones(2, 2)}, two={"a.9.w": torch.zeros(2, 2)})
    for given in (tmp_path, tmp_path / "model.safetensors.index.json"):
        file = open_weights(given)
        assert (list(file.entries), file.format) == (["a.9.w", "a.10.w"], "safetensors, 2 shards")
        assert file.load("a.10.w").sum() == 4
    other = tmp_path / "other"
    other.mkdir()
    torch.save({"w": torch.ones(2, 2)}, other / "pytorch_model-00001-of-00001.bin")
    index = {"metadata": {}, "weight_map": {"w": "pytorch_model-00001-of-00001.bin"}}
    (other / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    assert open_weights(other).format == "PyTorch, 1 shard"


def test_numpy_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", w=np.arange(6, dtype=">f4").reshape(2, 3), objects=np.array([{}], dtype=object))
    file = open_weights(tmp_path / "a.npz")
    assert file.entries["w"] == Entry("w", (2, 3), "float32")
    assert file.load("w").tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(DataError, match=r"^holds Python objects, which are not unpickled here: save the arrays"):
        file.load("objects")
    np.save(tmp_path / "b.npy", np.ones((2, 2)))
    assert list(open_weights(tmp_path / "b.npy").entries) == ["b"]


def test_what_is_what_is_seen_from_the_bytes_not_from_the_name(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "a.safetensors")
    save_file(tensors(), tmp_path / "b.bin")
    assert open_weights(tmp_path / "b.bin").format == "safetensors"
    with pytest.raises(DataError, match=r"a.safetensors is a file of torch.save: rename it, so that it ends in .pt."):
        open_weights(tmp_path / "a.safetensors")


def test_numbers_in_names_count_by_value() -> None:
    assert in_order(["h.2", "h.10", "h.1.b", "h", "10", "9"]) == ["9", "10", "h", "h.1.b", "h.2", "h.10"]


# -- what is refused -------------------------------------------------------------------------------


def whole(tmp_path: Path) -> bytes:
    save_file(tensors(), tmp_path / "whole")
    return (tmp_path / "whole").read_bytes()


BYTES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "a.safetensors": (lambda _: b"", "is empty (0 bytes): get the file again."),
    "text.safetensors": (
        lambda _: b"not weights at all",
        'is a text file (it begins with "not weights at all"), not we',
    ),
    "lfs.safetensors": (
        lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:00",
        "is a pointer of Git LFS in place of the weights: fetch them with git lfs pull.",
    ),
    "data.safetensors": (lambda b: b[:-5], "is cut off: its header tells of "),
    "header.safetensors": (lambda b: b[:40], "is cut off in its header, which has "),
    "json.safetensors": (
        lambda b: b[:8] + b"{" * int.from_bytes(b[:8], "little") + b[8:],
        "has a header that is no valid safetensors header: get the file again.",
    ),
    "junk.safetensors": (lambda _: bytes(range(200, 256)) * 3, "is no safetensors file: its first bytes are not those"),
    "short.safetensors": (lambda _: b"\x01\x02", "is no safetensors file: its first bytes are not those of a header"),
    "junk.bin": (lambda _: bytes(range(200, 256)) * 3, "is in no format that is known here: give a .safetensors file"),
    "zip.pt": (
        lambda _: b"PK\x03\x04" + bytes(90),
        "is cut off: it is an archive without its end; get the file again.",
    ),
    "model.gguf": (
        lambda _: b"GGUF" + bytes(90),
        "is a GGUF file, whose weights are quantised in blocks: scan the mod",
    ),
    "renamed.bin": (
        lambda _: b"GGUF" + bytes(90),
        "is a GGUF file, whose weights are quantised in blocks: scan the mod",
    ),
    "model.h5": (lambda _: b"\x89HDF\r\n\x1a\n", "is a TensorFlow or Keras file: load it with its library and save "),
    "model.onnx": (lambda _: b"\x08\x07", "is an ONNX file: scan the PyTorch model that it was exported from."),
    "flax.msgpack": (lambda _: b"\x83", "is a Flax file: load it with flax.serialization and save the arrays with sa"),
}


@pytest.mark.parametrize("name", BYTES)
def test_damaged_and_foreign_files(tmp_path: Path, name: str) -> None:
    change, sentence = BYTES[name]
    path = tmp_path / name
    path.write_bytes(change(whole(tmp_path)))
    with pytest.raises(DataError) as error:
        open_weights(path)
    assert str(error.value).startswith(f"{path} {sentence}")
    assert str(error.value).endswith(".")


def test_nothing_is_run(tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Runs(trap)))
    torch.save({"w": torch.ones(2, 2), "x": Runs(trap)}, tmp_path / "saved.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    for name, what in (("raw", ""), ("saved", " (posix.mkdir)"), ("module", " (torch.nn.modules.linear.Linear)")):
        with pytest.raises(DataError) as error:
            open_weights(tmp_path / f"{name}.pt")
        assert str(error.value) == (
            f"{tmp_path / name}.pt holds more than tensors{what}, and reading that could run code: load it where you "
            "trust it, and save its weights with safetensors.torch.save_file(model.state_dict(), 'model.safetensors')."
        )
    assert not trap.exists()


def test_the_state_of_an_optimizer_is_no_model_whatever_it_is_called(tmp_path: Path) -> None:
    model = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "alone.pt")
    with pytest.raises(DataError, match=r"alone.pt holds the state of an optimizer and no weights: give the file of"):
        open_weights(tmp_path / "alone.pt")
    torch.save({"net": model.state_dict(), "adam": optimizer.state_dict()}, tmp_path / "both.pt")
    both = open_weights(tmp_path / "both.pt")
    assert set(both.entries) == {"weight", "bias"}
    assert both.notes[1] == "Left out as no weights of a model: adam."


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torch_archives_that_hold_no_state_dict(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "script.pt")
    with pytest.raises(DataError, match="is a TorchScript archive, which holds code: load it where you trust it"):
        open_weights(tmp_path / "script.pt")
    torch.save({"epoch": 3}, tmp_path / "none.pt")
    with pytest.raises(
        DataError, match=r"none.pt holds no tensors, but a dictionary of epoch: give a file of weights."
    ):
        open_weights(tmp_path / "none.pt")
    torch.save(tensors(), tmp_path / "cut.bin", _use_new_zipfile_serialization=False)
    (tmp_path / "cut.bin").write_bytes((tmp_path / "cut.bin").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"cut.bin is damaged or cut off \(.*\): get the file again"):
        open_weights(tmp_path / "cut.bin")
    torch.save(tensors(), tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:-30])
    with pytest.raises(DataError, match=r"cut.pt is cut off: it is an archive without its end"):
        open_weights(tmp_path / "cut.pt")


INDEXES: dict[str, tuple[dict[str, Any] | str, str]] = {
    "missing": (
        {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}},
        "cannot be read, 1 of its 2 shards is missing (two.safetensors): put all files beside the index.",
    ),
    "lacking": (
        {"weight_map": {"a": "one.safetensors", "c": "one.safetensors"}},
        "says that 'c' is in one.safetensors, which has no such tensor: index and shards are of different models, so",
    ),
    "outside": (
        {"weight_map": {"a": "../one.safetensors"}},
        "names the shard '../one.safetensors': shards must lie beside their index.",
    ),
    "itself": (
        {"weight_map": {"a": "model.safetensors.index.json"}},
        "is a text file (it begins with",
    ),
    "text": ("not json", "is no index of shards: it must be a JSON object with a weight_map."),
    "other": ({"weights": {}}, "is no index of shards: it must be a JSON object with a weight_map."),
    "empty": ({"weight_map": {}}, "names no tensor: get the index again."),
}


@pytest.mark.parametrize("name", INDEXES)
def test_indexes_that_do_not_fit(tmp_path: Path, name: str) -> None:
    index, sentence = INDEXES[name]
    shards(tmp_path, index, one={"a": torch.ones(2, 2)})
    with pytest.raises(DataError) as error:
        open_weights(tmp_path)
    assert str(error.value).startswith(f"{tmp_path / 'model.safetensors.index.json'} {sentence}")


def test_a_damaged_shard_is_told_by_its_own_name(tmp_path: Path) -> None:
    shards(tmp_path, {"weight_map": {"a": "one.safetensors"}}, one={"a": torch.ones(2, 2)})
    (tmp_path / "one.safetensors").write_bytes(b"")
    with pytest.raises(DataError, match=r"one.safetensors is empty \(0 bytes\)"):
        open_weights(tmp_path)


def test_paths_that_mean_no_file_or_several(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^there is no .*nowhere.pt: give a .safetensors file, a .pt, .pth, .bin or"):
        open_weights(tmp_path / "nowhere.pt")
    with pytest.raises(DataError, match=r"holds no file of weights: give a .safetensors file"):
        open_weights(tmp_path)
    for name in ("a.pt", "b.pt"):
        torch.save(tensors(), tmp_path / name)
    with pytest.raises(DataError, match=r"holds 2 files of weights \(a.pt, b.pt\): give one of them."):
        open_weights(tmp_path)
    with pytest.raises(DataError, match="is neither a file nor a directory"):
        open_weights("/dev/null")
    (tmp_path / "locked.pt").write_bytes(b"x")
    (tmp_path / "locked.pt").chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(GrokscopeError, match="cannot be read"):
            open_weights(tmp_path / "locked.pt")


# -- quantised -------------------------------------------------------------------------------------


def entries(**types: tuple[tuple[int, ...], str]) -> dict[str, Entry]:
    named = {name.replace("__", "."): value for name, value in types.items()}
    return {name: Entry(name, shape, dtype) for name, (shape, dtype) in named.items()}


def test_quantised_weights_are_known_and_what_lies_beside_them() -> None:
    packed = entries(
        up__qweight=((8, 64), "int32"), up__qzeros=((1, 8), "int32"), up__scales=((1, 64), "float16"),
        up__g_idx=((64,), "int32"), head__weight=((8, 8), "float16"),
    )  # fmt: skip
    reasons, scales, beside = quantised(packed)
    assert list(reasons) == ["up.qweight"]
    assert reasons["up.qweight"].startswith("holds int32, weights quantised and packed (GPTQ, AWQ or alike): dequant")
    assert (scales, beside) == ({}, {"up.qzeros", "up.scales", "up.g_idx"})
    four = entries(
        up__weight=((128, 1), "uint8"), up__weight__absmax=((4,), "float32"), up__weight__quant_map=((16,), "float32"),
        up__weight__quant_state__bitsandbytes__nf4=((90,), "uint8"),
    )  # fmt: skip
    reasons, _, beside = quantised(four)
    assert reasons["up.weight"].startswith("holds uint8, weights quantised to 4 bits by bitsandbytes: dequantise it")
    assert len(beside) == 3
    eight = entries(up__weight=((8, 8), "int8"), up__SCB=((8,), "float32"))
    assert "to 8 bits by bitsandbytes" in quantised(eight)[0]["up.weight"]
    assert quantised(entries(ids=((1, 8), "int64"), w=((8, 8), "float8_e4m3fn"))) == ({}, {}, set())


def test_scales_of_float8() -> None:
    one = entries(up__weight=((8, 8), "float8_e4m3fn"), up__weight_scale=((), "float32"))
    assert quantised(one) == ({}, {"up.weight": "up.weight_scale"}, {"up.weight_scale"})
    blocks = entries(up__weight=((8, 8), "float8_e4m3fn"), up__weight_scale_inv=((2, 2), "float32"))
    reasons, scales, _ = quantised(blocks)
    assert "with scales in up.weight_scale_inv, weights quantised in blocks" in reasons["up.weight"]
    assert scales == {}
