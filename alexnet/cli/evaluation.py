"""evaluate, calibrate, predict."""

from pathlib import Path
from typing import Annotated

import tyro
from rich.markup import escape
from tyro.conf import Positional

import alexnet
from alexnet.cli import terminal
from alexnet.data.shards import PreparedSet
from alexnet.errors import counted
from alexnet.evaluation.calibration import Calibration
from alexnet.evaluation.classifier import Prediction, ViewsName
from alexnet.evaluation.evaluate import Evaluation
from alexnet.training.run import learnt_from

_BAR = 30

Run = Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]
Runs = Positional[Annotated[tuple[Path, ...], tyro.conf.arg(metavar="RUN [RUN ...]", help_behavior_hint="")]]
Images = Positional[Annotated[tuple[str, ...], tyro.conf.arg(metavar="IMAGE [IMAGE ...]", help_behavior_hint="")]]


def evaluate(arguments: list[str]) -> int:
    """`alexnet evaluate RUN [RUN ...] --data PREPARED`."""

    def command(
        runs: Runs,
        *,
        data: Path,
        split: str = "val",
        views: ViewsName = "centre",
        best: terminal.Flag = False,
        out: Path | None = None,
        save_probabilities: terminal.Flag = False,
        edit: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
        device: str = "auto",
        json: terminal.Flag = False,
    ) -> int:
        """Measure top-1 and top-5 error and loss on a split; several RUNs answer together, as an ensemble.

        Example: `alexnet evaluate runs/one runs/two --data prepared --split test --views ten`.
        The errors of each class, the confusion matrix and the answer to each image are written to files, and the worst
        pictures to errors.html.

        Args:
            runs: runs' folders, classifier files (a run's weights.safetensors), or names of those that ship (cifar10).
            data: the prepared set.
            split: which of its splits: train, val or test.
            views: answer for the centre of a picture, or for the mean over the paper's ten crops, or over nine
                (CIFAR-10).
            best: take a run's classifier at its lowest validation error, not the last.
            out: the folder to write to. Without it one run's files go to its own evaluation-SPLIT-VIEWS (with -on-SET
                behind it where the run did not learn from this set), and nothing is written for several.
            save_probabilities: write each image's probabilities too.
            edit: set units to zero on the way: conv3=zero, conv3:0,5=zero (units 0 and 5), tower2=zero (that half of
                every row that two towers hold). May be given several times; files are then written to --out alone.
            device: auto (the best there is), cpu, cuda, cuda:1 or mps.
            json: print one JSON object and nothing else.
        """
        if not runs:
            return terminal.fail("evaluate wants at least one RUN: `alexnet evaluate RUN --data PREPARED`.", 2)
        if out is None and len(runs) == 1 and runs[0].is_dir() and not edit:
            out = runs[0] / f"evaluation-{split}-{views}{'-best' if best else ''}{_on(runs[0], data)}"
        if out is None and save_probabilities:
            return terminal.fail("--save-probabilities wants a folder to write to: --out FOLDER.", 2)
        with terminal.bar("evaluating", PreparedSet.open(data).counts.get(split, 0), "images") as progress:
            result = alexnet.evaluate(
                runs,
                data,
                split,
                views,
                best=best,
                out=out,
                probabilities=save_probabilities,
                edit=edit,
                device=device,
                progress=progress,
            )
        terminal.print_json(result.to_json()) if json else _tell(result, split, out)
        if out is None and (len(runs) > 1 or edit):
            terminal.note("Nothing was written; --out FOLDER writes errors by class, confusion and answers.")
        return 0

    return terminal.parse(command, arguments, "evaluate")


def calibrate(arguments: list[str]) -> int:
    """`alexnet calibrate RUN --data PREPARED`."""

    def command(
        run: Run,
        *,
        data: Path,
        split: str = "val",
        views: ViewsName = "centre",
        best: terminal.Flag = False,
        out: Path | None = None,
        device: str = "auto",
        json: terminal.Flag = False,
    ) -> int:
        """Fit the temperature at which a classifier's probabilities mean what they say, and keep it in its file.

        Example: `alexnet calibrate runs/one --data prepared`.
        Before and after are compared on the test split, and a table tells what share of the images can be answered
        with what error; the figure is reliability.png beside the classifier.

        Args:
            run: a run's folder, or a classifier file.
            data: the prepared set.
            split: where the temperature is fitted: val or test.
            views: the views that the classifier will answer by.
            best: take the run's classifier at its lowest validation error, not the last.
            out: write the calibrated classifier to this file, and leave that of RUN as it is.
            device: auto (the best there is), cpu, cuda, cuda:1 or mps.
            json: print one JSON object and nothing else.
        """
        counts = PreparedSet.open(data).counts
        total = sum(counts.get(name, 0) for name in {split, "test"})
        with terminal.bar("calibrating", total, "images") as progress:
            found = alexnet.calibrate(run, data, split, views, best=best, out=out, device=device, progress=progress)
        terminal.print_json(found.to_json()) if json else _tell_calibration(found)
        if found.worse or found.farther:
            terminal.note(f"alexnet: on {found.measured} {_warning(found)}")
        return 0

    return terminal.parse(command, arguments, "calibrate")


def predict(arguments: list[str]) -> int:
    """`alexnet predict RUN IMAGE [IMAGE ...]`."""

    def command(
        run: Run,
        images: Images,
        *,
        top: int = 5,
        views: ViewsName = "centre",
        best: terminal.Flag = False,
        abstain_below: float | None = None,
        device: str = "auto",
        json: terminal.Flag = False,
    ) -> int:
        """Name what photographs show, with probabilities.

        Examples: `alexnet predict runs/one picture.jpg folder/`, `curl ... | alexnet predict runs/one - --json`.
        A picture that cannot be read gets a line with the reason, the others are answered all the same, and the
        exit code is then 1.

        Args:
            run: a run's folder, a classifier file (a run's weights.safetensors), or the name of one that ships
                (cifar10).
            images: files, folders (all pictures below them), or - for one picture on standard input.
            top: how many labels a picture.
            views: answer for the centre of a picture, or for the mean over the paper's ten crops, or over nine
                (CIFAR-10).
            best: take the run's classifier at its lowest validation error, not the last.
            abstain_below: answer "not sure" where the best probability is below this, 0 to 1; `alexnet calibrate`
                first.
            device: auto (the best there is), cpu, cuda, cuda:1 or mps.
            json: print one line of JSON a picture, and nothing else.
        """
        if not images:
            return terminal.fail("predict wants at least one IMAGE: `alexnet predict RUN IMAGE`.", 2)
        failed = False
        asked = alexnet.predict(run, images, top, views, best=best, device=device, abstain_below=abstain_below)
        for prediction in asked:
            failed = failed or prediction.error is not None
            terminal.print_json(prediction.to_json()) if json else _draw(prediction)
        return int(failed)

    return terminal.parse(command, arguments, "predict")


def _on(run: Path, data: Path) -> str:
    """What a set adds to a folder's name that the run is known not to have learnt from: its name, and digits of it."""
    fingerprint = PreparedSet.open(data).fingerprint
    own = learnt_from(run / "weights.safetensors")[-1:]
    if not own or own[0]["fingerprint"] == fingerprint:
        return ""
    return f"-on-{data.resolve().name}-{fingerprint[:8]}"


def _tell(result: Evaluation, split: str, out: Path | None) -> None:
    models = f", {result.models} classifiers averaged" if result.models > 1 else ""
    shown = f"{result.views} view{'' if result.views == 'centre' else 's'}"
    print(f"{counted(result.images, 'image')} of {split}, {shown}{models}")
    if result.edit:
        print(f"lesioned     {', '.join(result.edit)}")
    shares = f"{result.top1_error:.4f} ± {result.top1_standard_error:.4f} (standard error)"
    print(f"top-1 error  {shares}; always one answer: {result.always_one_error:.4f}")
    if len(result.classes) > 5:
        print(f"top-5 error  {result.top5_error:.4f}")
    print(f"loss         {result.loss:.4f}")
    if out is not None:
        print(f"by class     {out}\npictures     {out / 'errors.html'}")


def _tell_calibration(found: Calibration) -> None:
    where = {
        "apart": f"measured on {counted(len(found.errors), 'image')} of {found.measured}",
        "crosswise": f"no other split to measure: {found.measured} itself, each half at the other half's temperature",
        "same": f"no other split to measure: the very images of {found.measured} it was fitted to, so OPTIMISTIC",
    }[found.how]
    shown = f"{found.views} view{'' if found.views == 'centre' else 's'}"
    print(f"temperature {found.temperature:.4g}, fitted on {counted(found.images, 'image')} of {found.split}, {shown}")
    print(f"{where}\n\n{'':<18}{'before':>8}{'after':>8}")
    before, after = found.before, found.after
    for name, values in (
        ("calibration error", (before.calibration_error, after.calibration_error)),
        ("  by chance alone", (before.by_chance, after.by_chance)),
        ("loss", (before.loss, after.loss)),
        ("top-1 error", (before.top1_error, after.top1_error)),
    ):
        print(f"{name:<18}{values[0]:8.4f}{values[1]:8.4f}")
    print("\nanswered   images  abstain below  top-1 error (95 %: Wilson's interval)")
    for row in found.answered:
        low, high = row.interval
        below = f"{row.abstain_below:.4f}" if row.abstain_below == round(row.abstain_below, 4) else row.abstain_below
        print(f"{row.share:8.1%}  {row.images:7,}  {below:>13}  {row.error:.4f} ({low:.4f} to {high:.4f})")
    print(f"\nkept in  {found.file}\nfigure   {found.figure}")


def _warning(found: Calibration) -> str:
    """What is worse at the temperature than at 1, and why: the loss, or only the calibration error."""
    before, after = found.before, found.after
    if found.worse:
        return (
            f"the loss is higher at this temperature than at 1 ({after.loss:.4f}, {before.loss:.4f}): "
            f"{counted(found.images, 'image')} of {found.split} are too few to fit it to. Hold out more "
            "(`alexnet prepare --holdout`), train again and calibrate that."
        )
    told = (
        f"the calibration error is higher at this temperature than at 1 ({after.calibration_error:.4f}, "
        f"{before.calibration_error:.4f}), though the loss is not"
    )
    if found.too_few_to_tell:
        return f"{told}: {counted(len(found.errors), 'image')} are too few to tell, chance alone makes as much."
    return f"{told}, and is more than chance alone makes: look at {found.figure} before you rely on it."


def _draw(prediction: Prediction) -> None:
    """One picture's answers with bars; a picture without answers is told of on standard error."""
    if prediction.error is not None:
        terminal.note(f"{prediction.image}: {prediction.error}")
        return
    console = terminal.console()
    unsure = "  not sure" if prediction.abstained else ""
    console.print(f"[bold]{escape(prediction.image)}[/bold]{unsure}")
    wide = max(len(label) for label, _ in prediction.answers)
    for label, probability in prediction.answers:
        full = round(probability * _BAR)
        console.print(
            f"  {escape(label):<{wide}}  {probability:6.1%}  [cyan]{'█' * full}[/cyan][dim]{'░' * (_BAR - full)}[/dim]"
        )
