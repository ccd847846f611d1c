"""The prepared set: its format, the memory-mapped reader, and checksums (`packing` writes it).

A prepared set is a folder:

    dataset.json                 classes, policies, splits with the checksum of every file; the same from run to run
    statistics.safetensors       mean float32 [3,S,S] and covariance float64 [3,3] of the training split
    rejected.csv                 path,reason of what could not be used
    identical.csv                pictures that are in more than one split, or class
    SPLIT/shard-00000.tar        JPEG: a WebDataset tar of KEY.jpg, KEY.cls and KEY.json; raw: .npy, uint8 [n,3,S,S]
    SPLIT/labels.npy             int64 [N], in stored order
    SPLIT/index.npy              int64 [N,2]: where the bytes of KEY.jpg begin in their shard, and how many (JPEG only)
    SPLIT/paths.txt              the source's path of each image, a line each

The image index is the stored position: the shards in order, and the images of each in order.
"""

import hashlib
import itertools
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import simplejpeg
import torch
from safetensors.torch import load_file
from torch import Tensor

from alexnet import arrays, files
from alexnet.data.squaring import Filter, Squaring
from alexnet.data.views import Statistics
from alexnet.errors import InputError

FORMAT = 1
SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class ClassName:
    """A class: its folder's name or wnid, and words for people (the same when there are none)."""

    name: str
    words: str


class Paths(Sequence[str]):
    """The source paths of a split's images, kept as one block of text rather than a list of a million strings."""

    def __init__(self, path: Path) -> None:
        self._text = path.read_bytes()
        self._ends = np.flatnonzero(np.frombuffer(self._text, np.uint8) == ord("\n"))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        start = int(self._ends[index - 1]) + 1 if index else 0
        return self._text[start : int(self._ends[index])].decode("utf-8", "surrogateescape")


class Shards:
    """One split of a prepared set, memory-mapped; the image index is the stored position."""

    def __init__(self, folder: Path, shards: Sequence[tuple[str, int]], size: int, encoding: str) -> None:
        """Opens `folder`, whose `shards` are (file name, number of images) in order."""
        self.size, self.encoding = size, encoding
        self.labels: np.ndarray = np.load(folder / "labels.npy")
        self.paths: Sequence[str] = Paths(folder / "paths.txt")
        self._places: np.ndarray | None = np.load(folder / "index.npy") if encoding == "jpeg" else None
        self._files = [folder / name for name, _ in shards]
        self._starts = np.cumsum([0, *(images for _, images in shards)])
        self._maps: dict[int, np.ndarray] = {}
        self._own = threading.local()
        lengths = {len(self.labels), len(self.paths), int(self._starts[-1])}
        if self._places is not None:
            lengths.add(len(self._places))
        if len(lengths) > 1:
            raise InputError(f"{folder} is damaged: its files disagree on the number of images; prepare the set anew.")

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        """Nothing; `out` (uint8 `[n,3,S,S]`, 0..255 RGB) holds the images at `indices` (int64 `[n]`).

        Safe to call from many threads at once; JPEGs are decoded and raw pixels copied without the interpreter's
        lock. Decoding is fastest when `out` is channels-last in memory (a `[n,S,S,3]` array transposed).

        Raises:
            IndexError: an index is not in 0 .. len-1.
            InputError: the stored bytes are damaged.
        """
        if len(indices) and not (int(np.min(indices)) >= 0 and int(np.max(indices)) < len(self)):
            raise IndexError(f"image indices must lie in 0..{len(self) - 1}")
        shards = np.searchsorted(self._starts, indices, side="right") - 1
        if self._places is None:
            self._copy(indices, shards, out)
            return
        for position, index, shard in zip(range(len(indices)), indices.tolist(), shards.tolist(), strict=True):
            self._decode(self._bytes(shard, index), index, out[position])

    def at(self, positions: np.ndarray | Sequence[int]) -> np.ndarray:
        """uint8 `[n,3,S,S]`, 0..255 RGB: the images at n positions, channels-last in memory; errors as for `read`."""
        images = np.empty((len(positions), self.size, self.size, 3), np.uint8).transpose(0, 3, 1, 2)
        self.read(np.asarray(positions, np.int64), images)
        return images

    def jpeg(self, index: int) -> bytes:
        """The stored JPEG of one image, byte for byte (JPEG sets only)."""
        shard = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._bytes(shard, index).tobytes()

    def _copy(self, indices: np.ndarray, shards: np.ndarray, out: np.ndarray) -> None:
        """Copies raw images, a run of one shard's at a time."""
        edges = [0, *(np.flatnonzero(np.diff(shards)) + 1).tolist(), len(indices)]
        for first, last in itertools.pairwise(edges):
            if first < last:
                shard = int(shards[first])
                places = indices[first:last] - self._starts[shard]
                # Straight into `out`; the indices are known to be in range, so "clip" only spares a copy.
                np.take(self._map(shard), places, axis=0, out=out[first:last], mode="clip")

    def _bytes(self, shard: int, index: int) -> np.ndarray:
        assert self._places is not None
        start, length = self._places[index].tolist()
        return self._map(shard)[start : start + length]

    def _decode(self, data: np.ndarray, index: int, out: np.ndarray) -> None:
        rows = out.transpose(1, 2, 0)
        direct = rows.flags.c_contiguous
        buffer = rows if direct else self._buffer()
        try:
            decoded = simplejpeg.decode_jpeg(data, buffer=buffer)
        except ValueError as error:
            raise InputError(
                f"image {index} ({self.paths[index]}) of {self._files[0].parent} is damaged ({error}); "
                "`alexnet verify` lists every damaged shard; prepare the set anew."
            ) from None
        if not direct:
            np.copyto(rows, decoded)

    def _buffer(self) -> np.ndarray:
        """This thread's own `[S,S,3]` array to decode into."""
        if not hasattr(self._own, "buffer"):
            self._own.buffer = np.empty((self.size, self.size, 3), np.uint8)
        buffer: np.ndarray = self._own.buffer
        return buffer

    def _map(self, shard: int) -> np.ndarray:
        """A shard's bytes (JPEG) or images (raw), mapped when first used.

        torch maps a file without keeping it open, numpy does not: ImageNet has more shards than files may be open.
        """
        if shard not in self._maps:
            path = self._files[shard]
            size = path.stat().st_size
            mapped = torch.from_file(str(path), shared=False, size=size, dtype=torch.uint8).numpy()
            mapped.flags.writeable = False
            if self._places is None:
                mapped = mapped[arrays.HEADER :].reshape(-1, 3, self.size, self.size)
            self._maps[shard] = mapped
        return self._maps[shard]


class PreparedSet:
    """A prepared set on disk: what it holds, and the way to its splits and statistics."""

    def __init__(self, path: Path, description: dict[str, Any]) -> None:
        self.path = path
        self.description = description
        self.size: int = description["size"]
        self.encoding: str = description["encoding"]
        way: Filter = description.get("filter", "area")
        self.squaring = Squaring(self.size, description["geometry"], way, description["orientation"])
        self.classes = tuple(ClassName(entry["name"], entry["words"]) for entry in description["classes"])
        splits = description["splits"]
        self.counts: dict[str, int] = {name: splits[name]["images"] for name in SPLITS if name in splits}
        self.rejected: int = description["rejected"]
        self.fingerprint = fingerprint(description)

    @classmethod
    def open(cls, path: Path | str) -> "PreparedSet":
        """The prepared set in the folder `path`.

        Raises:
            InputError: there is none, it is not finished, or a newer version of the package made it.
        """
        path = Path(path)
        if not (path / "dataset.json").is_file():
            if partial(path).is_dir():
                raise InputError(f"{path} is not finished: repeat its `alexnet prepare` command, which goes on.")
            filled = path.is_dir() and any(path.iterdir())
            what = f"{path} PREPARED` makes one of photographs that it holds" if filled else f"SOURCE {path}` makes one"
            raise InputError(f"{path} is not a prepared set; `alexnet prepare {what}.")
        description = files.read_json(path / "dataset.json")
        if not isinstance(description, dict) or description.get("format") != FORMAT:
            raise InputError(f"{path} has another format than this version reads ({FORMAT}); prepare it anew.")
        return cls(path, description)

    @property
    def note(self) -> str:
        """What somebody wrote of the pictures in `note.txt`, which is no part of the set's content; else nothing."""
        file = self.path / "note.txt"
        return " ".join(file.read_text(encoding="utf-8").split()) if file.is_file() else ""

    def split(self, name: str) -> Shards:
        """The images of the split `name`: "train", "val" or "test".

        Raises:
            InputError: the set has no such split; the sentence names those it has.
        """
        splits = self.description["splits"]
        if name not in splits:
            way = "; `alexnet prepare` with `--holdout 0.1` takes one out of train" if name == "val" else ""
            raise InputError(f"{self.path} has no split {name!r}; it has {', '.join(self.counts)}{way}.")
        shards = [(shard["file"], shard["images"]) for shard in splits[name]["shards"]]
        try:
            return Shards(self.path / name, shards, self.size, self.encoding)
        except FileNotFoundError as error:
            raise InputError(f"{error.filename} is missing; prepare the set anew.") from None

    def statistics(self) -> Statistics:
        """The mean image and colour covariance of the training split's pixels, before any re-encoding."""
        tensors: dict[str, Tensor] = load_file(self.path / "statistics.safetensors")
        return Statistics(mean=tensors["mean"], covariance=tensors["covariance"])


def partial(path: Path) -> Path:
    """The folder beside `path` in which the set grows until it is whole."""
    return path.with_name(path.name + ".partial")


def fingerprint(description: dict[str, Any]) -> str:
    """SHA-256, in hexadecimal, of a set's description, which holds the checksums of its files: so of its content."""
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def verify(path: Path | str, progress: Callable[[int], object] = lambda _: None) -> list[str]:
    """What is wrong with the prepared set at `path`, a sentence a file; empty when every checksum agrees.

    `progress` is told the number of bytes of each block read.

    Raises:
        InputError: there is no prepared set at `path`.
    """
    prepared = PreparedSet.open(path)
    wrong = []
    for name, expected in checksums(prepared.description).items():
        if not (prepared.path / name).is_file():
            wrong.append(f"{name} is missing.")
        elif files.checksum(prepared.path / name, progress) != expected:
            wrong.append(f"{name} has changed since it was written.")
    return wrong


def checksums(description: dict[str, Any]) -> dict[str, str]:
    """The SHA-256 of each file of a set, by its path in the set's folder."""
    found = dict(description["files"])
    for name, split in description["splits"].items():
        found.update({f"{name}/{file}": digest for file, digest in split["files"].items()})
        found.update({f"{name}/{shard['file']}": shard["sha256"] for shard in split["shards"]})
    return found
