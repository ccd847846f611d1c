"""The folder in which features grow until they are whole: rows appended in a thread, and how far it has come.

plan.json        features.json but for its counts: what the folder will hold
progress.json    how many images of the source are read, their rows on the disk, and which were refused
.lock            held by the process that writes
"""

import os
import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from alexnet import arrays, config, files, locks
from alexnet.errors import InputError

LOCK = ".lock"
"""The file in a growing folder that tells a second process of the first; it is gone once that ends in order."""
_PENDING = 2  # blocks waiting for the disk
_SECONDS = 5.0  # between two notes of how far the files are: what a kill can cost


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Within the block no other process that asks for `folder`, made if it is not there, gets it.

    Where the system or the disk knows no locks nobody is kept out.

    Raises:
        InputError: another process has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locks.alone(folder / LOCK) as mine:
            if not mine:
                raise InputError(f"{folder} is being embedded by another process; wait for it.")
            yield
    finally:
        with suppress(OSError):  # it holds something, or has its name
            folder.rmdir()


class Growing:
    """Features on their way, for one who is `alone` with their folder.

    Attributes:
        read: how many images of the source are done.
        refused: (place in the source, reason) of those without a row.
    """

    def __init__(self, folder: Path, plan: dict[str, Any]) -> None:
        """Goes on in `folder`, if it was begun with the same plan, or begins.

        Raises:
            InputError: another plan was begun there.
        """
        self.folder, self._plan = folder, plan
        self._type = np.dtype(plan["type"])
        self._kept = torch.float16 if plan["type"] == "float16" else torch.float32
        self._shapes: dict[str, list[int]] = {entry["name"]: entry["shape"] for entry in plan["stages"]}
        self.read, self.refused = 0, list[tuple[int, str]]()
        for begun in ("plan.json", "features.json"):
            if (folder / begun).is_file():
                require_same(plan, files.read_json(folder / begun), folder)
        if (folder / "progress.json").is_file():
            state = files.read_json(folder / "progress.json")
            self.read, self.refused = state["read"], [(place, reason) for place, reason in state["refused"]]
        self._files: dict[str, BinaryIO] = {}
        self._pending: deque[Future[None]] = deque()
        self._noted, self._broken = time.monotonic(), False

    @property
    def rows(self) -> int:
        """How many rows are written, or will be once what is pending is."""
        return self.read - len(self.refused)

    def size(self, images: int) -> int:
        """Bytes of all stages for so many images."""
        return sum(arrays.HEADER + images * self._row(name) for name in self._shapes)

    def require_space(self, images: int) -> None:
        """Nothing, if so many images have room on the disk; else an InputError."""
        free = shutil.disk_usage(_existing(self.folder)).free
        if (missing := self.size(images) - self.size(self.rows)) > free:
            raise InputError(
                f"the features need {told(missing)} in {self.folder.parent}, where {told(free)} are free; choose fewer "
                "or later stages (--stage), float16 (--half) or another disk."
            )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Within the block `append` may be called; at its end everything is on the disk and noted."""
        files.write_json(self.folder / "plan.json", self._plan)
        with ExitStack() as stack:
            for name in self._shapes:
                self._files[name] = stack.enter_context(self._opened(name))
            with ThreadPoolExecutor(1, thread_name_prefix="alexnet-features") as self._thread:
                try:
                    yield
                finally:
                    try:
                        self._wait(0)
                    finally:
                        # Where writing failed, what was written before is noted if it can be.
                        with suppress(OSError) if self._broken else nullcontext():
                            self._note()

    def append(self, count: int, refused: Sequence[tuple[int, str]], responses: Mapping[str, Tensor]) -> None:
        """Nothing; the rows of the next `count` images are handed to the thread, which may be two blocks behind.

        Args:
            refused: those of them that have no row.
            responses: float32 `[n, ...]` by stage, of the others.

        Raises:
            InputError: a response of an earlier block is no finite number in the type kept.
        """
        self._wait(_PENDING - 1)
        self._pending.append(self._thread.submit(self._write, count, refused, responses))

    def finish(self, paths: Sequence[str], labels: Sequence[str]) -> None:
        """Nothing; the folder holds the whole features of a source with these paths and labels, and nothing else."""
        without = {place for place, _ in self.refused}
        kept = [place for place in range(len(paths)) if place not in without]
        for name, shape in self._shapes.items():
            with (self.folder / f"{name}.npy").open("r+b") as file:
                file.write(arrays.header(self._type, (self.rows, *shape)))
            files.flush(self.folder / f"{name}.npy")
        images = ([row, paths[place], labels[place]] for row, place in enumerate(kept))
        files.write_csv(self.folder / "images.csv", ["row", "path", "label"], images)
        refused = ([paths[place], reason] for place, reason in self.refused)
        files.write_csv(self.folder / "rejected.csv", ["path", "reason"], refused)
        counts = {"images": self.rows, "rejected": len(self.refused)}
        files.write_json(self.folder / "features.json", {**self._plan, **counts})

    def tidy(self) -> None:
        """Nothing; what only served while the folder grew is gone."""
        for name in ("progress.json", "plan.json", LOCK):
            (self.folder / name).unlink(missing_ok=True)
        files.forget_parts(self.folder)

    def _row(self, name: str) -> int:
        return prod(self._shapes[name]) * int(self._type.itemsize)

    def _opened(self, name: str) -> BinaryIO:
        """The stage's file after its last row that is noted."""
        path, end = self.folder / f"{name}.npy", arrays.HEADER + self.rows * self._row(name)
        path.touch()
        if self.read and path.stat().st_size < end:
            raise InputError(f"{path} is shorter than was noted; remove {self.folder}, and embed anew.")
        file = path.open("r+b")
        file.truncate(end)
        file.seek(end)
        return file

    def _wait(self, most: int) -> None:
        while len(self._pending) > most:
            self._pending.popleft().result()

    def _write(self, count: int, refused: Sequence[tuple[int, str]], responses: Mapping[str, Tensor]) -> None:
        if self._broken:
            return  # what came before it is not there
        self._broken = True
        for name, file in self._files.items():
            values = responses[name].to(self._kept).cpu().contiguous()
            # The sum is finite only if all are, and takes a tenth of the time of looking at each.
            if not torch.isfinite(values.sum(dtype=torch.float32)):
                raise InputError(f"{name} {_beyond(self._type)}")
            file.write(values.numpy().data)
        self.read += count
        self.refused += refused
        self._broken = False
        if time.monotonic() - self._noted > _SECONDS:
            self._note()

    def _note(self) -> None:
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        files.write_json(self.folder / "progress.json", {"read": self.read, "refused": self.refused})
        self._noted = time.monotonic()


def require_same(plan: dict[str, Any], other: Any, where: Path) -> None:
    """Nothing, if the features at `where` are of this plan, wherever the files that it names lie now.

    Raises:
        InputError: they are not; the sentence says what differs.
    """

    def identity(described: Any) -> dict[str, Any]:
        found = {key: described.get(key) for key in plan} if isinstance(described, dict) else {}
        # Before there was a choice of filters none was written.
        found["preprocessing"] = {"filter": "area", **(found.get("preprocessing") or {})}
        found["stages"] = [entry["name"] for entry in found.get("stages") or ()]
        for key in ("classifier", "source"):
            found[key] = {name: value for name, value in (found.get(key) or {}).items() if name != "path"}
        return found

    if found := config.difference(identity(other), identity(plan)):
        changes = "; ".join(f"{name} was {old}, now {new}" for name, old, new in found)
        raise InputError(f"{where} holds other features ({changes}); name another folder, or remove it first.")


def told(size: int) -> str:
    """A number of bytes for people."""
    for unit, length in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= length:
            return f"{size / length:.1f} {unit}"
    return f"{size} bytes"


def _beyond(dtype: np.dtype[Any]) -> str:
    if dtype == np.float16:
        return "has a response beyond what float16 holds (65,504); embed without --half."
    return "has a response that is no finite number: the network's weights diverged."


def _existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that is there."""
    return path if path.exists() else _existing(path.parent)
