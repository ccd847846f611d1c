"""A file that one process holds at a time, on disks and systems that know locks."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl

    _LOCKS = True
except ImportError:  # Windows
    _LOCKS = False


@contextmanager
def alone(path: Path, waiting: Callable[[], object] | None = None) -> Iterator[bool]:
    """Within the block, whether no other process that asks for the lock file `path` gets it.

    The file is gone after the block. Where the system or the disk knows no locks, nobody is kept out.

    Args:
        waiting: called once where another process has the file, before that one is waited for; without it, the block
            is given False instead.
    """
    told = False
    while True:
        file = _opened(path)
        if file is None:
            yield True
            return
        with file:
            if not _taken(file, wait=told):
                if waiting is None:
                    yield False
                    return
                waiting()
                told = True
                _taken(file, wait=True)
            if not _is(path, file):  # whoever had it took it away
                continue
            try:
                yield True
            finally:
                if _is(path, file):
                    path.unlink()
            return


def _opened(path: Path) -> BinaryIO | None:
    """The file, made with the folders above it; None where nothing can be locked or written."""
    if not _LOCKS:
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")
    except OSError:
        return None


def _taken(file: BinaryIO, *, wait: bool) -> bool:
    """Whether `file` is locked until it is closed, or cannot be on this disk."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def _is(path: Path, file: BinaryIO) -> bool:
    """Whether `path` is `file`: not if a process that ended took it away after this one had opened it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
