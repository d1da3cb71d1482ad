"""The run store: directories of plain files with one writer and any number of readers.

It moves bytes and knows neither torch nor what the numbers mean. ``SCHEMA.md`` beside this file
describes every file.
"""

from grokscope.store.checkpoints import CheckpointStore, Entry
from grokscope.store.columns import flat_key, split_key
from grokscope.store.files import atomic_write
from grokscope.store.jsonl import decode_value, dumps, encode_value, plain, read_lines, repair_tail
from grokscope.store.layout import (
    HISTORY,
    SCHEMA,
    STATE,
    check_writable,
    default_root,
    existing_copies,
    find_runs,
    group_directory,
    resolve_run,
    run_directory,
    runs_at,
)
from grokscope.store.lock import DirectoryLock, is_locked
from grokscope.store.query import runs_table, scalars_of
from grokscope.store.reader import StoredRun, open_run
from grokscope.store.seal import seal
from grokscope.store.writer import ENDED, STATUSES, RunWriter, log_lines

__all__ = [
    "ENDED",
    "HISTORY",
    "SCHEMA",
    "STATE",
    "STATUSES",
    "CheckpointStore",
    "DirectoryLock",
    "Entry",
    "RunWriter",
    "StoredRun",
    "atomic_write",
    "check_writable",
    "decode_value",
    "default_root",
    "dumps",
    "encode_value",
    "existing_copies",
    "find_runs",
    "flat_key",
    "group_directory",
    "is_locked",
    "log_lines",
    "open_run",
    "plain",
    "read_lines",
    "repair_tail",
    "resolve_run",
    "run_directory",
    "runs_at",
    "runs_table",
    "scalars_of",
    "seal",
    "split_key",
]
