"""embed."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

import alexnet
from alexnet.cli import terminal


def embed(arguments: list[str]) -> int:
    """`alexnet embed RUN SOURCE FEATURES`."""

    def command(
        run: Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]],
        source: Positional[Annotated[Path, tyro.conf.arg(metavar="SOURCE")]],
        features: Positional[Annotated[Path, tyro.conf.arg(metavar="FEATURES")]],
        *,
        stage: str = "",
        split: str | None = None,
        half: terminal.Flag = False,
        geometry: Literal["crop", "pad", "warp", "whole"] | None = None,
        greyscale_as_is: terminal.Flag = False,
        edit: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
        untrained: int | None = None,
        best: terminal.Flag = False,
        device: str = "auto",
        json: terminal.Flag = False,
    ) -> int:
        """Write the responses of any stages to pictures: STAGE.npy, a row a picture, and images.csv, which is which.

        Examples: `alexnet embed cifar10 photographs features`, `alexnet embed runs/one stimuli.npy features --stage
        conv1,relu5,relu7 --half`, `alexnet embed runs/one prepared features --split test --edit tower2=zero`.
        If it is stopped or killed, the same command goes on where it stopped.

        Args:
            run: a run's folder, a classifier file, or the name of one that ships.
            source: a folder of pictures, nested or flat; one picture; a .npy file of images (uint8 [N,H,W,3]); or a
                prepared set.
            features: the folder to make.
            stage: the stages wanted, with commas between them. Without it the last that is rectified: relu7.
            split: which split of a prepared set; val when not given.
            half: keep float16 rather than float32.
            geometry: how pictures become square: crop, pad or warp, as for preparation, of which the network sees the
                middle; or whole: the whole picture, and one of the network's own size pixel for pixel. Without it as
                the classifier's training set was prepared.
            greyscale_as_is: keep grey grey: subtract one number everywhere rather than the mean image and its colours.
                Pictures with colour are refused.
            edit: set units to zero on the way: conv3:0,5=zero (units 0 and 5), conv3:0-5=zero (0 to 5), tower2=zero
                (that half of every row that two towers hold), conv3=zero (all of it, so that nothing later sees the
                picture). May be given several times.
            untrained: draw the weights anew from this seed, as before training.
            best: take a run's classifier at its lowest validation error, not the last.
            device: auto (the best there is), cpu, cuda, cuda:1 or mps.
            json: print one JSON object and nothing else.
        """
        made = alexnet.embed(
            run,
            source,
            features,
            [name.strip() for name in stage.split(",") if name.strip()],
            split=split,
            half=half,
            geometry=geometry,
            greyscale_as_is=greyscale_as_is,
            edit=edit,
            untrained=untrained,
            best=best,
            device=device,
        )
        terminal.print_json({"features": str(made.path), **made.described}) if json else print(made.path)
        return 0

    return _stoppable(lambda: terminal.parse(command, arguments, "embed"))


class _Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def _stoppable(command: Callable[[], int]) -> int:
    """The exit code of `command`, which SIGTERM ends as Ctrl-C does, so that what is finished is noted."""

    def terminated(_: int, __: FrameType | None) -> None:
        raise _Terminated

    main = threading.current_thread() is threading.main_thread()  # elsewhere whoever called handles signals
    before = signal.signal(signal.SIGTERM, terminated) if main else None
    try:
        return command()
    except KeyboardInterrupt as stopped:
        code = 143 if isinstance(stopped, _Terminated) else 130
        return terminal.fail("stopped; the same command goes on where it stopped.", code)
    finally:
        if main:
            signal.signal(signal.SIGTERM, before)
