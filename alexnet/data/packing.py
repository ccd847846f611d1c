"""One shard: read, decode, count and write its pictures; and the record beside it that makes a preparation go on.

A shard's members are fixed by the listing before anything is decoded, so shards are made in any order, by any
number of threads, and a refused picture only makes its own shard shorter.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from alexnet import arrays, files
from alexnet.data.decoding import Refused, encode
from alexnet.data.source import Item, Source
from alexnet.data.squaring import Filter, Geometry, Squaring

_ENDING = ".record.npz"


@dataclass(frozen=True)
class Settings:
    """What decides the bytes of a prepared set, beside the source."""

    encoding: str
    geometry: Geometry
    filter: Filter
    quality: int
    orientation: bool
    limit: int
    holdout: float
    test: float
    group: str | None
    seed: int
    images_per_shard: int

    def to_json(self) -> dict[str, Any]:
        """The values by name, but for the filter "area": sets from before there was a choice are the same sets."""
        values = vars(self).items()
        return {name: value for name, value in values if (name, value) != ("filter", "area")}


@dataclass
class Sums:
    """Exact sums over pixels: of each pixel uint64 `[S,S,3]`, and of the products of channels int `[3,3]`, over `count`
    images. Integers, so that they are the same in any order."""

    total: np.ndarray
    products: np.ndarray
    count: int = 0

    @classmethod
    def zero(cls, size: int) -> "Sums":
        """No image yet; `size` is at most 256, or an image's sum of squares would pass 32 bits."""
        return cls(np.zeros((size, size, 3), np.uint64), np.zeros((3, 3), np.uint64))

    def add(self, pixels: np.ndarray) -> None:
        """Counts one image, uint8 `[S,S,3]`."""
        self.total += pixels
        planes = np.ascontiguousarray(pixels.reshape(-1, 3).T).astype(np.uint32)
        self.products += np.einsum("ip,jp->ij", planes, planes)
        self.count += 1

    def merge(self, other: "Sums") -> None:
        """Counts all of the images of `other`."""
        self.total += other.total
        self.products += other.products
        self.count += other.count

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean image, float32 `[3,S,S]`, and the covariance of RGB over all pixels, float64 `[3,3]`, on 0..255."""
        mean = (self.total / max(self.count, 1)).astype(np.float32).transpose(2, 0, 1)
        pixels = max(self.count * self.total.shape[0] * self.total.shape[1], 1)
        sums = [int(value) for value in self.total.sum((0, 1))]
        # In whole numbers of any length up to the one division: nothing cancels.
        covariance = [
            [(pixels * int(self.products[i, j]) - sums[i] * sums[j]) / pixels**2 for j in range(3)] for i in range(3)
        ]
        return np.ascontiguousarray(mean), np.array(covariance)


@dataclass(frozen=True)
class Record:
    """What a finished shard holds."""

    sha256: str
    labels: np.ndarray
    paths: list[str]
    places: np.ndarray
    digests: np.ndarray
    """uint8 `[n,16]`, of the prepared pixels: the same picture has the same."""
    rejected: list[tuple[str, str]]


def shard_name(number: int, encoding: str) -> str:
    """The file's name of a split's shard."""
    return f"shard-{number:05d}.{'tar' if encoding == 'jpeg' else 'npy'}"


def pack(
    source: Source, items: Sequence[Item], first: int, path: Path, settings: Settings, tick: Callable[[int], object]
) -> None:
    """Nothing; `path` is a whole shard of those of `items` that can be decoded, and its record lies beside it.

    Args:
        first: the first item's place among its split's, from which keys count.
        tick: told 1 for each item; what it raises ends the work.
    """
    labels: list[int] = []
    paths: list[str] = []
    digests: list[bytes] = []
    rejected: list[tuple[str, str]] = []
    sums = Sums.zero(source.size)

    def accepted() -> Iterator[tuple[int, Item, np.ndarray]]:
        for number, item in enumerate(items, first):
            try:
                pixels = _pixels(source, item, settings)
            except Refused as refusal:
                rejected.append((item.path, refusal.reason))
            else:
                labels.append(item.label)
                paths.append(item.path)
                digests.append(hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=16).digest())
                if item.split == "train":
                    sums.add(pixels)
                yield number, item, pixels
            tick(1)

    places = np.zeros((0, 2), np.int64)
    with files.write_aside(path) as aside, aside.open("wb") as file:
        if settings.encoding == "jpeg":
            stored = ((f"{n:08d}", i.label, i.path, encode(p, settings.quality)) for n, i, p in accepted())
            places = write_jpegs(file, stored)
        else:
            write_raw(file, (pixels.transpose(2, 0, 1) for _, _, pixels in accepted()), source.size)
    found = np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 16)
    _write(path, Record(files.checksum(path), np.array(labels, np.int64), paths, places, found, rejected), sums)


def read(path: Path) -> Record | None:
    """The record of the shard at `path`, or None if it is not finished."""
    beside = path.with_name(path.name + _ENDING)
    if not (path.is_file() and beside.is_file()):
        return None
    with np.load(beside) as data:
        text: dict[str, Any] = json.loads(data["text"].tobytes())
        rejected = [(name, reason) for name, reason in text["rejected"]]
        return Record(text["sha256"], data["labels"], text["paths"], data["places"], data["digests"], rejected)


def read_sums(path: Path) -> Sums:
    """The sums over the training pictures of the finished shard at `path`."""
    with np.load(path.with_name(path.name + _ENDING)) as data:
        return Sums(data["total"], data["products"], int(data["count"]))


def forget(folder: Path) -> None:
    """Nothing; `folder` has no records left, nor the remains of killed writes."""
    for pattern in (f"*{_ENDING}", ".*.part"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


def _pixels(source: Source, item: Item, settings: Settings) -> np.ndarray:
    data = source.read(item)
    if source.decoded:
        return np.frombuffer(data, np.uint8).reshape(3, source.size, source.size).transpose(1, 2, 0)
    squaring = Squaring(source.size, settings.geometry, settings.filter, settings.orientation)
    return squaring.of_file(data, settings.limit)


def _write(path: Path, record: Record, sums: Sums) -> None:
    text = {"sha256": record.sha256, "paths": record.paths, "rejected": record.rejected}
    file = io.BytesIO()
    np.savez(
        file,
        text=np.frombuffer(json.dumps(text).encode(), np.uint8),
        labels=record.labels,
        places=record.places,
        digests=record.digests,
        total=sums.total,
        products=sums.products,
        count=np.int64(sums.count),
    )
    files.write_bytes(path.with_name(path.name + _ENDING), file.getvalue())


def write_jpegs(file: BinaryIO, images: Iterable[tuple[str, int, str, bytes]]) -> np.ndarray:
    """int64 `[n,2]`, offset and length of each JPEG; `file` holds the tar of (key, label, source path, JPEG).

    Members stand in a fixed order with fixed times and owners, so the same images give the same bytes.
    """
    places = []
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for key, label, path, jpeg in images:
            places.append((tar.offset + tarfile.BLOCKSIZE, len(jpeg)))
            for ending, data in (
                ("jpg", jpeg),
                ("cls", str(label).encode()),
                ("json", json.dumps({"path": path}).encode()),
            ):
                member = tarfile.TarInfo(f"{key}.{ending}")
                member.size, member.mode = len(data), 0o644
                tar.addfile(member, io.BytesIO(data))
    return np.array(places, np.int64).reshape(-1, 2)


def write_raw(file: BinaryIO, images: Iterable[np.ndarray], size: int) -> int:
    """How many images (uint8 `[3,S,S]` each) were written to `file`, as one .npy array `[n,3,S,S]`."""
    file.write(bytes(arrays.HEADER))
    count = 0
    for image in images:
        file.write(np.ascontiguousarray(image).data)
        count += 1
    file.seek(0)
    file.write(arrays.header(np.dtype(np.uint8), (count, 3, size, size)))
    return count
