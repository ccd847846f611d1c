"""prepare, verify."""

from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

import alexnet
from alexnet.cli import terminal
from alexnet.data.shards import PreparedSet

Prepared = Positional[Annotated[Path, tyro.conf.arg(metavar="PREPARED")]]


def prepare(arguments: list[str]) -> int:
    """`alexnet prepare SOURCE PREPARED`."""

    def command(
        source: Positional[Annotated[Path, tyro.conf.arg(metavar="SOURCE")]],
        prepared: Prepared,
        *,
        encoding: Literal["jpeg", "raw"] = "jpeg",
        geometry: Literal["crop", "pad", "warp"] = "crop",
        filter: Literal["area", "pillow-bilinear", "opencv-linear"] = "area",
        size: int | None = None,
        holdout: float = 0.0,
        test: float = 0.0,
        group: str | None = None,
        seed: int = 0,
        quality: int = 95,
        orientation: bool = True,
        workers: int | None = None,
        json: terminal.Flag = False,
    ) -> int:
        """Pack photographs into a prepared set: a folder of 256x256 pictures, divided for training and measuring.

        Example: `alexnet prepare photographs prepared --holdout 0.1 --test 0.1`.
        SOURCE is a folder that holds a folder of pictures for each class (or train/, val/ and test/ with class folders
        in each), or the ILSVRC archives as downloaded, or CIFAR-10's binary batches. Files that are no pictures are
        listed in PREPARED/rejected.csv with the reason. If it is killed, the same command goes on where it stopped.

        Args:
            source: where the photographs are.
            prepared: the folder to make.
            encoding: jpeg, or raw pixels: six times as large, faster to read.
            geometry: crop to the centre, as the paper; pad the whole picture with grey; or warp it to a square.
            filter: by what pictures are resized: averages over areas; or as torchvision (pillow-bilinear) or Caffe
                (opencv-linear) do, to measure a classifier that was imported from there.
            size: the side of the stored pictures, 32 to 256; 256 when not given.
            holdout: the share of each class's training pictures that becomes val, the split watched while training.
            test: the share of each class's training pictures that becomes test, the split for the final measurement.
            group: a regular expression on paths; paths in which it finds the same text (a person, a scene) stay
                in one split.
            seed: decides the splits, and the order in which training pictures are stored.
            quality: of the stored JPEGs, 1 to 100.
            orientation: turn pictures as their EXIF tag says.
            workers: threads; all cores when not given.
            json: print one JSON object and nothing else.
        """
        made = alexnet.prepare(
            source,
            prepared,
            encoding=encoding,
            geometry=geometry,
            filter=filter,
            size=size,
            holdout=holdout,
            test=test,
            group=group,
            seed=seed,
            quality=quality,
            orientation=orientation,
            workers=workers,
        )
        # For people the function itself has told on standard error.
        if json:
            terminal.print_json(_described(made))
        return 0

    return terminal.parse(command, arguments, "prepare")


def verify(arguments: list[str]) -> int:
    """`alexnet verify PREPARED`."""

    def command(prepared: Prepared, *, json: terminal.Flag = False) -> int:
        """Compare every file of a prepared set with its checksum; the exit code is 1 if any differs.

        Example: `alexnet verify prepared`.

        Args:
            prepared: the prepared set.
            json: print one JSON object and nothing else.
        """
        PreparedSet.open(prepared)
        size = sum(path.stat().st_size for path in prepared.rglob("*") if path.is_file())
        with terminal.bar("verifying", size, "bytes") as progress:
            wrong = alexnet.verify(prepared, progress)
        if json:
            terminal.print_json({"prepared": str(prepared), "wrong": wrong})
        elif not wrong:
            print(f"{prepared}: every checksum agrees.")
        for sentence in () if json else wrong:
            terminal.note(f"{prepared}: {sentence}")
        return int(bool(wrong))

    return terminal.parse(command, arguments, "verify")


def _described(prepared: PreparedSet) -> dict[str, object]:
    return {
        "prepared": str(prepared.path),
        "classes": len(prepared.classes),
        "images": prepared.counts,
        "rejected": prepared.rejected,
        "fingerprint": prepared.fingerprint,
    }
