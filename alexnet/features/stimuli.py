"""What is shown to a network for its responses: a folder of pictures or one, an array of images, or a prepared set."""

import hashlib
import os
import unicodedata
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from alexnet import arrays, files, machine
from alexnet.data.decoding import LIMIT, Refused
from alexnet.data.folders import files_below
from alexnet.data.loader import Loader, Loading
from alexnet.data.shards import PreparedSet
from alexnet.data.squaring import Geometry, Squaring
from alexnet.errors import InputError

Placing = Geometry | Literal["whole"]
"""How a picture is brought to the stored square, of which the network sees the middle; "whole": see `Showing`."""

_AHEAD = 2  # blocks being read while one is computed with


@dataclass(frozen=True)
class Showing:
    """How a picture of any size becomes the stored S×S, of which the network sees the central C×C.

    Attributes:
        squaring: how it becomes so, but where `whole` is another way.
        crop: C.
        whole: the longer side becomes C, so that nothing is cut away, and the rest of the C×C is filled. A picture of
            C×C is shown pixel for pixel.
        grey: only pictures whose three channels are equal are taken, and what is filled has this level.
    """

    squaring: Squaring
    crop: int
    whole: bool = False
    grey: int | None = None

    @property
    def size(self) -> int:
        """S."""
        return self.squaring.size

    def of_file(self, data: bytes, limit: int = LIMIT) -> np.ndarray:
        """uint8 `[S,S,3]` of an image file's bytes, of `limit` pixels at most; raises Refused."""
        return self.of_pixels(self._filling.decoded(data, limit))

    def of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 `[S,S,3]` of uint8 `[H,W,3]`; raises Refused."""
        if self.grey is not None and (pixels != pixels[:, :, :1]).any():
            raise Refused("it has colour, and greyscale was asked for")
        seen = self._filled(self._filling.of_pixels(pixels))
        if not self.whole:
            return seen
        start = (self.size - self.crop) // 2
        canvas = np.zeros((self.size, self.size, 3), np.uint8)  # around what is seen, so of no account
        canvas[start : start + self.crop, start : start + self.crop] = seen
        return canvas

    @property
    def _filling(self) -> Squaring:
        """How a picture becomes what is filled by it, the S×S or the C×C."""
        return replace(self.squaring, size=self.crop, geometry="pad") if self.whole else self.squaring

    def _filled(self, pixels: np.ndarray) -> np.ndarray:
        """`pixels` with what padding filled, the only colour there is, made grey."""
        if self.grey is not None:
            pixels = pixels.copy()
            pixels[pixels[:, :, 0] != pixels[:, :, 2]] = self.grey
        return pixels


class Block(NamedTuple):
    """Consecutive images of a source."""

    count: int  # type: ignore[assignment]  # images of the source, those refused included
    images: Tensor
    """uint8 `[n,3,S,S]`: those that could be read."""
    refused: list[tuple[int, str]]
    """(place in the source, reason) of the others."""


@dataclass(frozen=True, eq=False)
class Stimuli:
    """N images in a fixed order."""

    described: dict[str, Any]
    """Kind, path, split and fingerprint, as JSON values."""
    preprocessing: dict[str, Any]
    """How they became S×S, as JSON values."""
    paths: Sequence[str]
    """N, relative to the source."""
    labels: Sequence[str]
    """N names of classes; "" where there are none."""
    blocks: Callable[[int, int], Iterator[Block]]
    """From an image on, so many at a time, the next ones being read meanwhile."""

    def __len__(self) -> int:
        return len(self.paths)


def of_folder(path: Path, showing: Showing) -> Stimuli:
    """Every visible file below `path`, those of a folder before its folders, by name; links are followed.

    The label is the name of the first folder on the way, as in preparation. Files are read where they are, and told
    apart by name and length. One whose name has a control character, such as a line break, is refused.
    """
    names = [file.relative_to(path).as_posix() for file in files_below(path)]
    if not names:
        raise InputError(f"{path} holds no visible files; name a folder of pictures.")
    labels = [name.split("/")[0] if "/" in name else "" for name in names]
    digest = hashlib.sha256()
    for name in names:
        length = (path / name).stat().st_size if (path / name).exists() else "no file"
        digest.update(os.fsencode(f"{name}\t{length}\n"))

    def read(index: int) -> np.ndarray:
        if any(unicodedata.category(character) == "Cc" for character in names[index]):
            raise Refused("its name has a control character")
        try:
            return showing.of_file((path / names[index]).read_bytes())
        except OSError as error:
            raise Refused(f"cannot be read: {error.strerror or error}") from None

    described = {"kind": "folder", "path": str(path.resolve()), "fingerprint": digest.hexdigest()}
    return Stimuli(described, _stored(showing), names, labels, partial(_read, read, len(names), showing.size))


def of_array(array: np.ndarray, path: Path | None, showing: Showing) -> Stimuli:
    """The images of an array, or of the file `path` that it was mapped from.

    Raises:
        InputError: the array is not uint8 `[N,H,W,3]`, or empty.
    """
    name = "the array" if path is None else str(path)
    if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3:
        raise InputError(
            f"{name} is {array.dtype} {list(array.shape)}; images are uint8 [N, H, W, 3], RGB on 0..255: scale and "
            "round values on 0..1, repeat a grey channel three times, put the channels last."
        )
    if 0 in array.shape:
        raise InputError(f"{name} is {list(array.shape)}: it holds no images.")
    digest = hashlib.sha256(np.ascontiguousarray(array).data).hexdigest() if path is None else files.checksum(path)
    described = {"kind": "array", "path": path and str(path.resolve()), "fingerprint": digest}
    names = [f"{path.name if path else ''}[{number}]" for number in range(len(array))]

    def read(index: int) -> np.ndarray:
        return showing.of_pixels(array[index])

    blocks = partial(_read, read, len(array), showing.size)
    return Stimuli(described, _stored(showing), names, [""] * len(array), blocks)


def of_file(path: Path, showing: Showing) -> Stimuli:
    """The images of a `.npy` file, memory-mapped; or the one picture that the file is.

    Raises:
        InputError: it is neither, or as for `of_array`.
    """
    try:
        if not _is_array(path):
            return _of_picture(path, showing)
        array = arrays.mapped(path)
    except (OSError, InputError, Refused) as error:
        raise InputError(
            f"{path} is neither a folder nor a picture nor an array file: name a folder of pictures, a picture, a .npy "
            f"file of images (uint8 [N, H, W, 3]) or a prepared set. ({error})"
        ) from None
    return of_array(array, path, showing)


def _is_array(path: Path) -> bool:
    """Whether a file means to be one of numpy's, by its name or its first bytes."""
    if path.suffix.lower() in (".npy", ".npz"):
        return True
    with path.open("rb") as file:
        return file.read(6) == b"\x93NUMPY"


def _of_picture(path: Path, showing: Showing) -> Stimuli:
    """The one picture in a file; raises Refused."""
    pixels = showing.of_file(path.read_bytes())
    described = {"kind": "picture", "path": str(path.resolve()), "fingerprint": files.checksum(path)}
    return Stimuli(described, _stored(showing), [path.name], [""], partial(_read, lambda _: pixels, 1, showing.size))


def of_prepared(path: Path, split: str, size: int, device: torch.device) -> Stimuli:
    """A split of a prepared set, in stored order; its paths are those of the set's own source.

    Raises:
        InputError: there is no such split, or its images are not S×S.
    """
    prepared = PreparedSet.open(path)
    if prepared.size != size:
        raise InputError(
            f"{path} holds images of {prepared.size}×{prepared.size}, the classifier takes {size}×{size}: prepare the "
            f"pictures with --size {size}."
        )
    shards = prepared.split(split)
    names = [entry.name for entry in prepared.classes]

    def blocks(start: int, count: int) -> Iterator[Block]:
        loader = Loader(shards, Loading(count), device, cache="none")
        skipped = start % count  # where an earlier version, that took other blocks, was stopped
        for batch in loader.in_order(start // count):
            yield Block(batch.count - skipped, batch.images[skipped:], [])
            skipped = 0

    fingerprint = {"split": split, "fingerprint": prepared.fingerprint}
    return Stimuli(
        {"kind": "prepared", "path": str(path.resolve()), **fingerprint},
        {
            **asdict(prepared.squaring),
            **{"encoding": prepared.encoding, "greyscale_as_is": False},
        },
        shards.paths,
        [names[label] for label in shards.labels.tolist()],
        blocks,
    )


def recorded(way: dict[str, Any]) -> Showing:
    """How the images of features were shown, by what features.json says under "preprocessing"."""
    whole, filter_ = way["geometry"] == "whole", way.get("filter", "area")  # before there was a choice
    squaring = Squaring(way["size"], "pad" if whole else way["geometry"], filter_, way["orientation"])
    level = round(way["views"]["mean"][0]) if way["greyscale_as_is"] else None
    return Showing(squaring, way["views"]["crop"], whole, level)


def _stored(showing: Showing) -> dict[str, Any]:
    """How pictures were brought to S×S, as JSON values."""
    return {
        **asdict(showing.squaring),
        **({"geometry": "whole"} if showing.whole else {}),
        **{"encoding": None, "greyscale_as_is": showing.grey is not None},
    }


def _read(read: Callable[[int], np.ndarray], total: int, size: int, start: int, count: int) -> Iterator[Block]:
    """Blocks of `read`'s pictures from `start` on; all cores read ahead, at most `_AHEAD` blocks."""

    def one(index: int, out: np.ndarray) -> str | None:
        try:
            out[:] = read(index)
            return None
        except Refused as refused:
            return refused.reason

    pending: deque[tuple[int, np.ndarray, list[Future[str | None]]]] = deque()
    pool = ThreadPoolExecutor(machine.cores(), thread_name_prefix="alexnet-stimuli")
    try:
        firsts = iter(range(start, total, count))
        while True:
            for first in islice(firsts, _AHEAD + 1 - len(pending)):
                pixels = np.empty((min(count, total - first), size, size, 3), np.uint8)
                reading = [pool.submit(one, first + i, out) for i, out in enumerate(pixels)]
                pending.append((first, pixels, reading))
            if not pending:
                return
            first, pixels, reading = pending.popleft()
            reasons = [future.result() for future in reading]
            good = [i for i, reason in enumerate(reasons) if reason is None]
            refused = [(first + i, reason) for i, reason in enumerate(reasons) if reason is not None]
            kept = pixels if len(good) == len(pixels) else pixels[good]
            yield Block(len(pixels), torch.from_numpy(kept).permute(0, 3, 1, 2), refused)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
