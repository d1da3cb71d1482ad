from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from grokscope.errors import StoreError
from grokscope.store.lock import DirectoryLock, is_locked

HOLD = """
import sys, time
from grokscope.store import DirectoryLock
lock = DirectoryLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(600)
"""

FORK = """
import os, sys, time
from grokscope.store import DirectoryLock
lock = DirectoryLock(sys.argv[1])
lock.acquire()
child = os.fork()
if child:
    os.read(int(sys.argv[2]), 1)
    print(child, flush=True)
else:
    os.write(int(sys.argv[3]), b"x" if not lock.held else b"?")
time.sleep(600)
"""


def start(script, *arguments, pass_fds=()):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=pass_fds,
    )


def test_kill_9_frees_the_lock_at_once(tmp_path):
    with start(HOLD, tmp_path) as process:
        assert process.stdout.readline() == "held\n"
        assert is_locked(tmp_path)
        with pytest.raises(StoreError, match=rf"another process \(pid {process.pid}\); wait for it or stop it\."):
            DirectoryLock(tmp_path).acquire()
        process.kill()
        process.wait()
    assert not is_locked(tmp_path)
    with DirectoryLock(tmp_path):
        assert is_locked(tmp_path)
    assert not is_locked(tmp_path)


def test_a_forked_worker_does_not_keep_a_killed_writers_lock(tmp_path):
    reading, writing = os.pipe()
    with start(FORK, tmp_path, reading, writing, pass_fds=(reading, writing)) as process:
        child = int(process.stdout.readline())
        try:
            assert is_locked(tmp_path)
            process.kill()
            process.wait()
            os.kill(child, 0)  # it is alive
            assert not is_locked(tmp_path)
        finally:
            os.kill(child, signal.SIGKILL)
    os.close(reading)
    os.close(writing)


def test_the_same_process_is_refused_too_and_told_so(tmp_path):
    with DirectoryLock(tmp_path) as lock:
        lock.acquire()  # one's own again: nothing
        with pytest.raises(StoreError, match="this process"):
            DirectoryLock(tmp_path).acquire()
        assert lock.held
    assert not lock.held
    lock.release()


def test_a_lock_that_is_thrown_away_is_released(tmp_path):
    lock = DirectoryLock(tmp_path)
    lock.acquire()
    del lock
    assert not is_locked(tmp_path)


def test_asking_changes_nothing(tmp_path):
    assert not is_locked(tmp_path)
    assert not is_locked(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_directory_is_told(tmp_path):
    with pytest.raises(StoreError, match=r"could not write \.lock in"):
        DirectoryLock(tmp_path / "missing").acquire()
