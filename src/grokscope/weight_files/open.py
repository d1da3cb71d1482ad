"""Opening a file of weights: its first bytes tell what it is, and what cannot be read is told in a sentence."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path

from grokscope.errors import DataError, UsageError
from grokscope.weight_files.base import AGAIN, WeightFile
from grokscope.weight_files.safetensors_file import LARGEST_HEADER, SafetensorsFile, trouble
from grokscope.weight_files.sharded import INDEX, ShardedFile

READ = "give a .safetensors file, a .pt, .pth, .bin or .ckpt file of torch.save, or a directory that holds one."

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
SINGLE = ("model.safetensors", "pytorch_model.bin")
ENDINGS = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".npz", ".npy")
"""Files in a directory that are taken for weights, and those that go before all others."""

_GGUF = "a GGUF file, whose weights are quantised in blocks: scan the model that it was made from."
_TENSORFLOW = "a TensorFlow or Keras file: load it with its library and save the arrays with numpy.savez."
_FLAX = "a Flax file: load it with flax.serialization and save the arrays with safetensors.numpy.save_file."
_ONNX = "an ONNX file: scan the PyTorch model that it was exported from."
_MAGIC = {b"GGUF": _GGUF, b"\x89HDF\r\n\x1a\n": _TENSORFLOW}
_ENDING = {
    ".gguf": _GGUF, ".h5": _TENSORFLOW, ".hdf5": _TENSORFLOW, ".keras": _TENSORFLOW, ".tflite": _TENSORFLOW,
    ".msgpack": _FLAX, ".onnx": _ONNX,
}  # fmt: skip
_LFS = b"version https://git-lfs"


def open_weights(path: Path | str) -> WeightFile:
    """Return the weights of a file, of an index of shards, or of a directory that holds one of them.

    Raises:
        UsageError: there is nothing at the path.
        DataError: it is damaged, of another format, or ambiguous; the sentence says what to do.

    Example:
        >>> open_weights("model.safetensors").load("lm_head.weight")  # doctest: +SKIP
    """
    path = Path(path)
    if not os.path.lexists(path):
        raise UsageError(f"there is no {path}: {READ}")
    try:
        return _opened(chosen(path) if path.is_dir() else path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def chosen(directory: Path) -> Path:
    """Return the file of weights that a directory means.

    Raises:
        DataError: there is none in it, or more than one.
    """
    names = sorted(one.name for one in directory.iterdir() if not one.name.startswith("."))
    for group in (
        *([name] for name in (INDEXES[0], SINGLE[0], INDEXES[1], SINGLE[1])),
        [name for name in names if name.endswith(INDEX)],
        [name for name in names if name.endswith(ENDINGS)],
    ):
        found = [name for name in group if name in names]
        if len(found) == 1:
            return directory / found[0]
        if found:
            shown = ", ".join(found[:3]) + (", …" if len(found) > 3 else "")
            raise DataError(f"{directory} holds {len(found)} files of weights ({shown}): give one of them.")
    raise DataError(f"{directory} holds no file of weights: {READ}")


def _opened(path: Path) -> WeightFile:
    return ShardedFile(path, _single) if path.name.endswith(INDEX) else _single(path)


def _single(path: Path) -> WeightFile:
    if not path.is_file():
        raise DataError(f"{path} is neither a file nor a directory: {READ}")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes): {AGAIN}")
    with path.open("rb") as file:
        head = file.read(64)
    foreign = next((text for magic, text in _MAGIC.items() if head.startswith(magic)), None)
    foreign = foreign or _ENDING.get(path.suffix.lower())
    if foreign is not None:
        raise DataError(f"{path} is {foreign}")
    if head.startswith(_LFS):
        raise DataError(f"{path} is a pointer of Git LFS in place of the weights: fetch them with git lfs pull.")
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= LARGEST_HEADER:
        return SafetensorsFile(path)
    if head.startswith(b"PK\x03\x04"):
        return _archive(path)
    if head.startswith(b"\x93NUMPY"):
        from grokscope.weight_files.numpy_file import NumpyFile

        return NumpyFile(path)
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        from grokscope.weight_files.torch_file import TorchFile

        return TorchFile(path, mapped=False)
    raise DataError(_stranger(path, head))


def _archive(path: Path) -> WeightFile:
    """Return the weights of a ZIP archive: of torch.save, or of numpy.savez."""
    from grokscope.weight_files.numpy_file import NumpyFile
    from grokscope.weight_files.torch_file import TorchFile

    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is cut off: it is an archive without its end; {AGAIN}") from error
    inside = {name.rsplit("/", 1)[-1] for name in names}
    if "constants.pkl" in inside:
        raise DataError(
            f"{path} is a TorchScript archive, which holds code: load it where you trust it, and save its weights with "
            "safetensors.torch.save_file(torch.jit.load(path).state_dict(), 'model.safetensors')."
        )
    if "data.pkl" in inside:
        if path.suffix == ".safetensors":
            # torch.load would believe the name
            raise DataError(f"{path} is a file of torch.save: rename it, so that it ends in .pt.")
        return TorchFile(path)
    if names and all(name.endswith(".npy") for name in names):
        return NumpyFile(path)
    raise DataError(f"{path} is an archive of something else than weights: {READ}")


def _stranger(path: Path, head: bytes) -> str:
    """Return what is wrong with a file of no known format."""
    if _is_text(head):
        begins = json.dumps(head[:24].decode(errors="replace"), ensure_ascii=False)
        return f"{path} is a text file (it begins with {begins}), not weights: {READ}"
    if path.suffix == ".safetensors":
        return trouble(path) or f"{path} is no safetensors file: {AGAIN}"
    return f"{path} is in no format that is known here: {READ}"


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        text = head[: error.start].decode() if error.start > len(head) - 4 else "\0"
    return bool(text) and all(character.isprintable() or character in "\n\r\t" for character in text)
