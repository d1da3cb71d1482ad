"""A model in several files beside an index that says which tensor is in which (Hugging Face's layout)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from grokscope.errors import DataError
from grokscope.weight_files.base import Entry, WeightFile, in_order

if TYPE_CHECKING:
    from torch import Tensor

INDEX = ".index.json"


class ShardedFile:
    """The tensors that an index ``*.index.json`` names; all shards are looked into before anything is read.

    Args:
        path: the index.
        opened: how one shard is opened.

    Raises:
        DataError: the index is none, a shard is missing or damaged, or lacks a tensor that it should hold.
    """

    def __init__(self, path: Path, opened: Callable[[Path], WeightFile]) -> None:
        self.path = path
        self._where = _weight_map(path)
        shards = list(dict.fromkeys(self._where.values()))
        if missing := [shard for shard in shards if not (path.parent / shard).is_file()]:
            some = f"{len(missing)} of its {len(shards)} shards {'are' if len(missing) > 1 else 'is'}"
            count = some if len(shards) > 1 else "its only shard is"
            shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
            raise DataError(f"{path} cannot be read, {count} missing ({shown}): put all files beside the index.")
        self._shards = {shard: opened(path.parent / shard) for shard in shards}
        known = {name: entry for file in self._shards.values() for name, entry in file.entries.items()}
        tied = {name for entry in known.values() for name in entry.tied}
        for name, shard in self._where.items():
            if name not in self._shards[shard].entries and name not in tied:
                raise DataError(
                    f"{path} says that {name!r} is in {shard}, which has no such tensor: index and shards are of "
                    "different models, so get both again."
                )
        formats = Counter(file.format for file in self._shards.values())
        self.format = f"{' and '.join(formats)}, {len(shards)} shard{'s' * (len(shards) > 1)}"
        self.notes = tuple(dict.fromkeys(note for file in self._shards.values() for note in file.notes))
        self.entries: dict[str, Entry] = {name: known[name] for name in in_order(set(self._where) - tied)}

    def load(self, name: str) -> Tensor:
        """Return one tensor."""
        return self._shards[self._where[name]].load(name)


def _weight_map(path: Path) -> dict[str, str]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        found = document["weight_map"]
        pairs = [(str(name), str(shard)) for name, shard in found.items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is no index of shards: it must be a JSON object with a weight_map.") from error
    if not pairs:
        raise DataError(f"{path} names no tensor: get the index again.")
    for _, shard in pairs:
        # an index from elsewhere does not lead out of its directory
        if Path(shard).name != shard:
            raise DataError(f"{path} names the shard {shard!r}: shards must lie beside their index.")
    return dict(pairs)
