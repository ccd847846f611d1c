"""Files that are whole or absent: written aside, flushed to the disk, renamed; and their checksums."""

import csv
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alexnet.errors import InputError

_BLOCK = 1 << 22


@contextmanager
def write_aside(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; when the block ends without an error it becomes `path`, in one step.

    The bytes are flushed to the disk before the rename and the folder after it, so a crash leaves either the
    old file or the new one, never half of one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    aside = Path(name)
    try:
        yield aside
        aside.chmod(0o666 & ~_umask())
        flush(aside)
        aside.replace(path)
        flush(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def forget_parts(folder: Path) -> None:
    """Nothing; what writers that were killed midway left in `folder` is gone."""
    for file in folder.glob(".*.part"):
        file.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Nothing; `path` holds `data`, whole."""
    with write_aside(path) as aside:
        aside.write_bytes(data)


def write_json(path: Path, data: Any) -> None:
    """Nothing; `path` holds `data` as indented JSON with sorted keys."""
    write_bytes(path, json_text(data, indent=2, sort_keys=True).encode() + b"\n")


def read_json(path: Path) -> Any:
    """The JSON value in `path`.

    Raises:
        InputError: there is no such file, or it is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path} does not exist.") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not valid JSON ({error}); restore it or make it anew.") from None


def json_text(data: Any, *, indent: int | None = None, sort_keys: bool = False) -> str:
    """`data` as JSON, which any encoding of Unicode can write.

    A byte of a file's name that is no text, which Python holds as half a surrogate pair, is escaped as JSON escapes
    (\\udcff): so the JSON is valid, and what reads it has the name that `os.fsencode` makes that byte of again.
    """
    text = json.dumps(data, indent=indent, sort_keys=sort_keys, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode()


def write_csv(path: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Nothing; `path` holds the table, whole. Names of files need not be text: their odd bytes come back as read."""
    with write_aside(path) as aside, aside.open("w", newline="", encoding="utf-8", errors="surrogateescape") as f:
        writer = csv.writer(f, lineterminator="\n")
        quoting = csv.writer(f, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(header)
        for row in map(list, rows):
            # Before Python 3.13 csv leaves a carriage return bare, where every reader sees the end of a line.
            (quoting if any("\r" in str(value) for value in row) else writer).writerow(row)


def link(file: Path, name: Path) -> None:
    """Nothing; `name` is another name of `file`, whose bytes nothing changes in place, or a copy where links fail."""
    with write_aside(name) as aside:
        aside.unlink()
        try:
            aside.hardlink_to(file.resolve())
        except OSError:
            shutil.copyfile(file, aside)


def flush(path: Path) -> None:
    """Nothing; the file or folder at `path` is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def checksum(path: Path, progress: Callable[[int], object] = lambda _: None) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal; `progress` is told the number of bytes of each block read."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            progress(len(block))
    return digest.hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
