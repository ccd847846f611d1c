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
        holdout: float = 0.0,
        test: float = 0.0,
        group: str | None = None,
        seed: int = 0,
        quality: int = 95,
        orientation: bool = True,
        workers: int | None = None,
        json: terminal.Flag = False,
    ) -> int:
        """Pack photographs into a prepared set: 256x256 pictures, their splits, mean image and colour statistics.

        Example: `alexnet prepare photographs prepared --holdout 0.1 --test 0.1`.
        SOURCE is a folder of class folders (or of train/, val/, test/ with class folders in each), of the ILSVRC
        archives as downloaded, or of CIFAR-10's binary batches. What cannot be read goes to rejected.csv. Killed at
        any moment, the same command goes on.

        Args:
            source: where the photographs are.
            prepared: the folder to make.
            encoding: jpeg, or raw pixels: six times as large, faster to read.
            geometry: crop to the centre, as the paper; pad the whole picture with grey; or warp it to a square.
            holdout: the part of train that becomes val, stratified by class.
            test: the part of train that becomes test, stratified by class.
            group: a regular expression on paths; what it finds is kept in one split (a person, a scene).
            seed: decides the splits, and the order in which training pictures are stored.
            quality: of the JPEG encoding, 1 to 100.
            orientation: turn pictures as their EXIF tag says.
            workers: threads; all cores when not given.
            json: print one JSON object alone.
        """
        made = alexnet.prepare(
            source,
            prepared,
            encoding=encoding,
            geometry=geometry,
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
            json: print one JSON object alone.
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
