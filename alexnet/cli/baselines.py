"""baseline: the rivals in the paper's tables, fitted and measured."""

from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

import alexnet
from alexnet.baselines.fitted import Baseline, Measured
from alexnet.baselines.pipelines import Name
from alexnet.cli import terminal
from alexnet.data.shards import PreparedSet
from alexnet.evaluation import evaluate

_USAGE = """usage: alexnet baseline fit NAME --data PREPARED --out FOLDER [--per-class N] [--seed S] [--threads N]
       alexnet baseline evaluate FOLDER --data PREPARED [--split val] [--out FOLDER] [--threads N] [--json]

The rivals in the paper's tables, on the same prepared sets: fisher-vectors (SIFT and colour statistics, Fisher
vectors; tables 1 and 2) and sparse-coding (SIFT, HOG and LBP, locality-constrained codes; table 1).
Example: `alexnet baseline fit sparse-coding --data prepared --out baselines/sparse --per-class 150`.
They need `pip install 'alexnet[baselines]'`. `alexnet baseline fit --help` and `evaluate --help` tell more."""


def baseline(arguments: list[str]) -> int:
    """`alexnet baseline fit NAME ...`, `alexnet baseline evaluate FOLDER ...`."""
    commands = {"fit": _fit, "evaluate": _evaluate}
    word = arguments[0] if arguments else ""
    if word in ("-h", "--help"):
        print(_USAGE)
        return 0
    if word not in commands:
        return terminal.fail("baseline wants `fit NAME` or `evaluate FOLDER`; `alexnet baseline --help` tells more.", 2)
    return commands[word](arguments[1:])


def _fit(arguments: list[str]) -> int:
    def command(
        name: Positional[Annotated[Name, tyro.conf.arg(metavar="NAME")]],
        *,
        data: Path,
        out: Path,
        per_class: int | None = None,
        seed: int = 0,
        threads: int | None = None,
    ) -> int:
        """Fit a rival to the training split of a prepared set; repeated after a kill, go on.

        Example: `alexnet baseline fit fisher-vectors --data prepared --out baselines/fisher --per-class 150`.

        Args:
            name: fisher-vectors or sparse-coding.
            data: the prepared set.
            out: the folder to make; while it is fitted it holds all pictures' vectors.
            per_class: fit on so many pictures of each class, drawn by the seed; on all when not given.
            seed: of all that is drawn.
            threads: how many cores to use; all when not given.
        """
        alexnet.baseline(
            name,
            data,
            out,
            per_class=per_class,
            seed=seed,
            threads=threads,
            progress=lambda stage, total: terminal.bar(stage, total, "images"),
        )
        print(out)
        return 0

    return terminal.parse(command, arguments, "baseline fit")


def _evaluate(arguments: list[str]) -> int:
    def command(
        folder: Positional[Annotated[Path, tyro.conf.arg(metavar="FOLDER")]],
        *,
        data: Path,
        split: str = "val",
        out: Path | None = None,
        threads: int | None = None,
        json: terminal.Flag = False,
    ) -> int:
        """Measure top-1 and top-5 error and loss of a fitted rival on a split, and the time a picture takes.

        Example: `alexnet baseline evaluate baselines/fisher --data prepared --split test --json`.

        Args:
            folder: what `baseline fit` made.
            data: the prepared set.
            split: which of its splits: train, val or test.
            out: the folder to write per-class errors, the confusion matrix and each picture's answer to.
            threads: how many cores to use; all when not given.
            json: print one JSON object alone.
        """
        fitted = Baseline.open(folder)
        with terminal.bar("evaluating", PreparedSet.open(data).counts.get(split, 0), "images") as progress:
            result = fitted.evaluate(data, split, threads=threads, progress=progress)
        if out is not None:
            evaluate.write(out, result.evaluation)
        terminal.print_json(result.to_json()) if json else _tell(result, split)
        return 0

    return terminal.parse(command, arguments, "baseline evaluate")


def _tell(result: Measured, split: str) -> None:
    found = result.evaluation
    print(f"{found.images} images of {split}, {found.models} classifiers averaged")
    print(f"top-1 error  {found.top1_error:.4f} ± {found.top1_standard_error:.4f} (standard error)")
    if len(found.classes) > 5:
        print(f"top-5 error  {found.top5_error:.4f}")
    print(f"loss         {found.loss:.4f}")
    of_all = f"{1e3 * result.processor_seconds_per_image:.0f} ms of a core"
    print(f"time         {1e3 * result.seconds_per_image:.0f} ms a picture, threads: {result.threads}; {of_all}")
