"""The journal: one JSON object a line, holding only what the seed decides."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal as objects, in order; an unfinished last line is left out."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]


class Journal:
    """Appends lines to a file that can be cut back to the length that a checkpoint recorded."""

    def __init__(self, path: Path, length: int | None = None) -> None:
        """Opens `path`, made when absent and cut to `length` bytes when that is given."""
        self._file = path.open("ab")
        if length is not None:
            self._file.truncate(length)
            self._file.seek(0, os.SEEK_END)

    def write(self, line: Mapping[str, Any]) -> None:
        """Nothing; `line` stands at the end of the file, whole, for anyone who reads it now."""
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()

    def flushed(self) -> int:
        """The length in bytes, all of it on the disk."""
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Nothing; the file is closed."""
        self._file.close()
