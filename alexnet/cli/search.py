"""similarity, neighbours, codes: features compared, searched and coded."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.markup import escape
from rich.table import Table
from tyro.conf import Positional

import alexnet
from alexnet.cli import terminal
from alexnet.errors import InputError
from alexnet.features.coder import Progress, Settings
from alexnet.features.codes import poor
from alexnet.features.neighbours import Found, Method
from alexnet.features.retrieval import BITS, Way
from alexnet.features.similarity import Similarity

_USAGE = """usage: alexnet codes fit FEATURES CODES [--bits 64] [--stage relu7] [--seed 0]
       alexnet codes evaluate FEATURES QUERIES [--bits 32,64,128,256] [--k 6] [--stage relu7] [--json]

The paper's suggestion in section 6.1: an auto-encoder from the last hidden layer to short binary codes, by which
images are found without comparing 4096 numbers each. `fit` makes codes for `alexnet neighbours CODES IMAGE`;
`evaluate` compares them, by precision and time, with the vectors, with pixels and with random projections.
Example: `alexnet codes fit features codes --bits 64`. `alexnet codes fit --help` and `evaluate --help` tell more."""

Features = Positional[Annotated[Path, tyro.conf.arg(metavar="FEATURES")]]


def similarity(arguments: list[str]) -> int:
    """`alexnet similarity FEATURES|RUN [...] [--source SOURCE] [--with MATRIX.npy]`."""

    def command(
        features: Positional[
            Annotated[tuple[Path, ...], tyro.conf.arg(metavar="FEATURES|RUN [...]", help_behavior_hint="")]
        ],
        *,
        source: Path | None = None,
        split: str | None = None,
        stage: str = "",
        with_: Annotated[tyro.conf.UseAppendAction[tuple[Path, ...]], tyro.conf.arg(name="with")] = (),
        out: Path | None = None,
        device: str = "auto",
        json: terminal.Flag = False,
    ) -> int:
        """Compare stages, seeds, recipes and measured responses: rank correlation of dissimilarities, and linear CKA.

        Examples: `alexnet similarity features`, `alexnet similarity runs/0 runs/1 --source stimuli --stage
        conv1,relu7`, `alexnet similarity features --with voxels.npy --out compared`.
        All must be of the same images in the same order. Of N images a set takes 6 N² bytes of memory, and what is
        done once 48 N²; with blocks of 0.3 GB, 3,490 images of two sets take 1 GB.

        Args:
            features: folders that `alexnet embed` wrote; or runs and classifier files, with --source.
            source: what runs are shown: a folder of pictures, a .npy file of images, or a prepared set.
            split: which split of a prepared set; val when not given.
            stage: the stages to compare, with commas between them, each where it exists; all when not given, of a run
                relu7.
            with_: a .npy file of measured responses, a row an image; or of dissimilarities, images by images. May be
                given several times.
            out: a folder for the figures, the table, and all matrices as .npy.
            device: auto (the best there is), cpu, cuda, cuda:1 or mps.
            json: print one JSON object and nothing else.
        """
        if not features and not with_:
            return terminal.fail("similarity wants at least one FEATURES or RUN.", 2)
        result = alexnet.similarity(
            features, source=source, split=split, stages=_listed(stage), measured=with_, out=out, device=device
        )
        terminal.print_json(result.to_json()) if json else _tell(result, out)
        return 0

    return terminal.parse(command, arguments, "similarity")


def neighbours(arguments: list[str]) -> int:
    """`alexnet neighbours FEATURES IMAGE...`."""

    def command(
        features: Positional[Annotated[Path, tyro.conf.arg(metavar="FEATURES|CODES")]],
        images: Positional[
            Annotated[tuple[Path, ...], tyro.conf.arg(metavar="IMAGE [IMAGE ...]", help_behavior_hint="")]
        ],
        *,
        stage: str | None = None,
        k: int = 6,
        search: Method = "auto",
        classifier: Path | None = None,
        out: Path | None = None,
        source: Path | None = None,
        device: str = "auto",
        json: terminal.Flag = False,
    ) -> int:
        """Find the images whose vectors are nearest to those of other images, as in figure 4 on the right.

        Examples: `alexnet neighbours features cat.jpg --out nearest.png`, `alexnet neighbours codes queries/ --json`.
        Images go through the classifier that the features are of. One that cannot be read gets a line with the reason,
        the others are answered all the same, and the exit code is then 1.

        Args:
            features: a folder that `alexnet embed` wrote, or `alexnet codes fit`.
            images: files, or folders (all pictures below them).
            stage: which stage, where the features have several.
            k: how many neighbours.
            search: exact compares all vectors; index asks an index by faiss, made beside the features when first used;
                auto is exact up to a million vectors.
            classifier: where the classifier is now, if it has moved.
            out: a picture to write (.png, .svg or .pdf): each image with its neighbours.
            source: for the picture: where the images of the features are now, if they have moved.
            device: auto (the best there is), cpu, cuda, cuda:1 or mps.
            json: print one line of JSON an image, and nothing else.
        """
        if not images:
            return terminal.fail("neighbours wants at least one IMAGE: `alexnet neighbours FEATURES IMAGE`.", 2)
        found = alexnet.neighbours(
            features,
            images,
            k,
            stage=stage,
            method=search,
            classifier=classifier,
            out=out,
            source=source,
            device=device,
        )
        for each in found:
            terminal.print_json(each.to_json()) if json else _list(each)
        if out is not None and not json:
            print(out)
        return int(any(each.error is not None for each in found))

    return terminal.parse(command, arguments, "neighbours")


def codes(arguments: list[str]) -> int:
    """`alexnet codes fit FEATURES CODES`, `alexnet codes evaluate FEATURES QUERIES`."""
    commands = {"fit": _fit, "evaluate": _evaluate}
    word = arguments[0] if arguments else ""
    if word in ("-h", "--help"):
        print(_USAGE)
        return 0
    if word not in commands:
        return terminal.fail("codes wants `fit` or `evaluate`; `alexnet codes --help` tells more.", 2)
    return commands[word](arguments[1:])


def _fit(arguments: list[str]) -> int:
    def command(
        features: Features,
        codes: Positional[Annotated[Path, tyro.conf.arg(metavar="CODES")]],
        *,
        bits: int = 64,
        stage: str | None = None,
        seed: int = 0,
        json: terminal.Flag = False,
    ) -> int:
        """Fit an auto-encoder to vectors and write the binary code of each; labels are not used.

        Example: `alexnet codes fit features codes --bits 64`.

        Args:
            features: a folder that `alexnet embed` wrote.
            codes: the folder to make.
            bits: the length of a code: 32 to 256 are short.
            stage: which stage, where the features have several.
            seed: of the first weights, the order and the noise.
            json: print one JSON object and nothing else.
        """

        def say(each: Progress) -> None:
            terminal.note(f"epoch {each.epoch}: error {each.training:.4f}, held out {each.validation:.4f}")

        made = alexnet.codes(features, codes, Settings(bits=bits, seed=seed), stage=stage, say=say)
        if warning := poor(made):
            terminal.note(f"alexnet: {warning}")
        described = {"bits": made.coder.bits, "images": len(made), "stage": made.stage, "fitted": made.fitted}
        terminal.print_json({"codes": str(made.path), **described}) if json else print(made.path)
        return 0

    return terminal.parse(command, arguments, "codes fit")


def _evaluate(arguments: list[str]) -> int:
    def command(
        features: Features,
        queries: Positional[Annotated[Path, tyro.conf.arg(metavar="QUERIES")]],
        *,
        bits: str = ",".join(map(str, BITS)),
        k: int = 6,
        stage: str | None = None,
        no_pixels: terminal.Flag = False,
        seed: int = 0,
        json: terminal.Flag = False,
    ) -> int:
        """Compare ways to search: how many of the k nearest are of the query's class, and the time a query takes.

        Example: `alexnet codes evaluate features/train features/test`.
        Searched are the pixels (reduced to 32×32), codes of them, the vectors, codes of them, and signs of random
        projections. The codes are fitted anew to FEATURES, a minute or so each for ten thousand images.

        Args:
            features: a folder that `alexnet embed` wrote, of images with classes: searched.
            queries: another, of other images: asked for.
            bits: the lengths of codes, with commas between them.
            k: how many neighbours.
            stage: which stage, where the features have several.
            no_pixels: leave pixels out, so that the images need not be there.
            seed: of the auto-encoders.
            json: print one JSON object and nothing else.
        """
        try:
            lengths = [int(word) for word in _listed(bits)]
        except ValueError:
            raise InputError(f"--bits {bits}: whole numbers with commas between them are wanted.") from None
        ways = alexnet.retrieval(
            features,
            queries,
            stage=stage,
            bits=lengths,
            k=k,
            pixels=not no_pixels,
            settings=Settings(seed=seed),
            say=terminal.note,
        )
        terminal.print_json({"k": k, "searches": [way.to_json() for way in ways]}) if json else _table(ways, k)
        return 0

    return terminal.parse(command, arguments, "codes evaluate")


def _listed(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _tell(result: Similarity, out: Path | None) -> None:
    """Each pair with both measures."""
    table = Table(box=None, header_style="")
    for column in ("one", "other", "rank correlation", "linear CKA", "debiased"):
        table.add_column(column, justify="left" if "o" in column[:2] else "right")
    for pair in result.to_json()["pairs"]:
        measures = (pair[name] for name in ("rank_correlation", "cka", "debiased_cka"))
        shown = ("–" if value is None else f"{value:.3f}" for value in measures)
        table.add_row(escape(pair["one"]), escape(pair["other"]), *shown)
    terminal.console().print(table)
    for name, kind in result.measured.items():
        terminal.note(f"{name}: taken for {kind}")
    for sentence in result.absent:
        terminal.note(sentence)
    terminal.note(f"{result.images:,} images" + (f"; {out}" if out else "; --out FOLDER writes figure and matrices"))


def _list(found: Found) -> None:
    """An image's neighbours, a line each; an image without is told of on standard error."""
    if found.error is not None:
        terminal.note(f"{found.image}: {found.error}")
        return
    print(found.image)
    for (path, distance), label in zip(found.neighbours, found.labels, strict=True):
        print(
            f"  {distance:9{'d' if isinstance(distance, int) else '.3f'}}  {path}" + (f"  ({label})" if label else "")
        )


def _table(ways: list[Way], k: int) -> None:
    table = Table(box=None, header_style="")
    table.add_column("nearest by")
    for column in (f"precision at {k}", "ms a query", "bytes an image"):
        table.add_column(column, justify="right")
    for way in ways:
        precision = f"{way.precision:.3f} ± {way.standard_error:.3f}"
        table.add_row(escape(way.name), precision, f"{1000 * way.seconds:.3f}", f"{way.bytes:,}")
    terminal.console().print(table)
