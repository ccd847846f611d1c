"""A run's figures and its report.html: one file that shows what was computed, how it went, where and how fast."""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from alexnet import config, drawing, files
from alexnet.analysis import page
from alexnet.analysis.confusion import confusion
from alexnet.analysis.curves import curves
from alexnet.analysis.kernels import kernels
from alexnet.analysis.predictions import chosen, predictions
from alexnet.data.shards import PreparedSet, Shards
from alexnet.errors import InputError, counted
from alexnet.evaluation import metrics
from alexnet.evaluation.classifier import Classifier
from alexnet.training.run import Run

_MATRIX_IMAGES = 4000  # half a minute on two CPU cores
_BATCH = 128


@dataclass(frozen=True)
class Shown:
    """A figure, the file's name without its ending, and what is seen."""

    name: str
    figure: Figure
    caption: str


def report(run: Path | str, device: str = "auto") -> Path:
    """The report.html of the run at `run`, its figures drawn anew beside it as .png; also of a living run.

    The pictures are of the `val` split, or of `train` where there is none; `test` is never looked at.

    Args:
        device: where the classifier answers for the figures.

    Raises:
        InputError: there is no run at `run`.
    """
    opened = Run.open(Path(run))
    shown, notes = _figures(opened, device)
    parts = [page.tiles(_numbers(opened)), *map(page.note, notes)]
    for figure in shown:
        png = drawing.rendered(figure.figure)
        files.write_bytes(opened.path / f"{figure.name}.png", png)
        parts.append(page.picture(png, figure.caption, narrow=figure.name == "confusion"))
    parts += _tables(opened)
    epochs = _epochs(opened)
    most = opened.recipe.schedule.epochs
    under = f"run {opened.path.resolve().name}, {len(epochs)} of at most {counted(most, 'epoch')}"
    path = opened.path / "report.html"
    files.write_bytes(path, page.page(f"AlexNet: {opened.recipe.name}", under, parts))
    return path


def _figures(run: Run, device: str) -> tuple[list[Shown], list[str]]:
    """The figures that can be drawn now, and why others cannot."""
    caption = "Loss and top-1 error over the epochs; dashed: the learning rate falls."
    shown = [Shown("curves", curves(run.journal()), caption)]
    if not (run.path / "weights.safetensors").is_file():
        return shown, ["The other figures come with the first finished epoch."]
    try:
        classifier = Classifier.load(run.path, device)
    except InputError as error:
        return shown, [str(error)]
    notes = []
    try:
        shards, split = _pictures(run)
        shown += [_predictions(classifier, shards, split), _confusion(classifier, shards, split)]
    except InputError as error:
        notes.append(f"No pictures: {error}")
    try:
        caption = (
            "The first convolution's kernels (figure 3 of the paper), each scaled by its own largest weight; "
            "grey is zero."
        )
        shown.append(Shown("kernels", kernels(classifier.network), caption))
    except InputError as error:
        notes.append(str(error))
    return shown, notes


def _pictures(run: Run) -> tuple[Shards, str]:
    """Images that the report may look at, with words for where they are from."""
    prepared = PreparedSet.open(run.data["path"])
    if prepared.fingerprint != run.data["fingerprint"]:
        raise InputError(f"{prepared.path} is no longer the set that this run was trained on.")
    if prepared.counts.get("val"):
        return prepared.split("val"), "validation images"
    return prepared.split("train"), "training images (the set has no validation split)"


def _predictions(classifier: Classifier, shards: Shards, split: str) -> Shown:
    positions = chosen(shards.labels)
    labels = shards.labels[positions].tolist()
    figure = predictions(
        classifier, torch.from_numpy(shards.at(positions)), labels, [shards.paths[i] for i in positions]
    )
    each = "each over its true label and the most probable ones; the true one's bar is red"
    caption = f"{len(positions)} of the {split}, {each}."
    return Shown("predictions", figure, caption)


def _confusion(classifier: Classifier, shards: Shards, split: str) -> Shown:
    count = min(len(shards), _MATRIX_IMAGES)
    positions = np.linspace(0, len(shards), count, endpoint=False).astype(np.int64)
    answers = torch.cat(
        [
            classifier.log_probabilities(torch.from_numpy(shards.at(positions[i : i + _BATCH]))).argmax(1).cpu()
            for i in range(0, count, _BATCH)
        ]
    )
    matrix = metrics.confusion(torch.from_numpy(shards.labels[positions]), answers, len(classifier.classes))
    which = "all" if count == len(shards) else f"{count:,} evenly chosen of {len(shards):,}"
    caption = f"What each class was taken for, centre view: {which} {split}."
    return Shown("confusion", confusion(matrix.numpy(), classifier.labels), caption)


def _epochs(run: Run) -> list[dict[str, Any]]:
    return [line for line in run.journal() if line.get("event") == "epoch"]


def _numbers(run: Run) -> list[tuple[str, str]]:
    """The numbers at the head of the page."""
    epochs, found = _epochs(run), []
    validated = [line for line in epochs if line.get("validation")]
    if validated:
        last = validated[-1]["validation"]
        spread = metrics.standard_error(last["top1_error"], last["images"])
        best = min(validated, key=lambda line: line["validation"]["top1_error"])
        found += [
            (f"{last['top1_error']:.4f}", f"validation top-1 error, ± {spread:.4f}"),
            *([(f"{last['top5_error']:.4f}", "validation top-5 error")] if "top5_error" in _measured(run) else []),
            (f"{last['loss']:.4f}", "validation loss"),
            (f"{best['validation']['top1_error']:.4f}", f"lowest top-1 error, after epoch {best['epoch']}"),
        ]
    elif epochs:
        last = epochs[-1]["training"]
        found += [
            (f"{last['top1_error']:.4f}", "training top-1 error, last epoch"),
            (f"{last['loss']:.4f}", "training loss, last epoch"),
        ]
    timing = run.timing()
    if seconds := sum(line["seconds"] for line in timing):
        speed = sum(line["images_per_second"] * line["seconds"] for line in timing) / seconds
        waiting = sum(line["waiting_for_data"] * line["seconds"] for line in timing) / seconds
        found += [
            (f"{speed:,.0f}", "training images a second"),
            (f"{waiting:.1%}", "of the time waiting for data"),
            (_duration(seconds), "training, validation not counted"),
        ]
    return found


def _tables(run: Run) -> list[str]:
    sessions = run.environment()
    recipe = json.dumps(config.to_json(run.recipe), indent=2)
    measured = [f"val. {name.removesuffix('_error').replace('top', 'top-')}" for name in _measured(run)]
    return [
        page.heading("Epochs"),
        page.numbers(("epoch", "rate", "loss", "top-1", *measured, "images/s"), _rows(run)),
        page.note("Training figures are of the steps as they were computed: augmented, with dropout, while learning."),
        page.heading("What was computed"),
        page.facts(_what(run, sessions)),
        page.folded("the whole recipe", page.verbatim(recipe)),
        page.heading("Where it was computed"),
        *(page.facts(_where(session)) for session in sessions[-1:]),
        *(
            [page.folded("earlier sessions", "<hr>".join(page.facts(_where(s)) for s in sessions[:-1]))]
            if len(sessions) > 1
            else []
        ),
    ]


def _measured(run: Run) -> tuple[str, ...]:
    """The figures of validation: of five classes or fewer, the five best answers are never wrong."""
    return ("loss", "top1_error", *(("top5_error",) if len(run.data["classes"]) > 5 else ()))


def _rows(run: Run) -> list[list[str]]:
    """A row an epoch; a speed is that of the last session that worked on the epoch."""
    speeds = {line["epoch"]: f"{line['images_per_second']:,.0f}" for line in run.timing()}
    rows = []
    for line in _epochs(run):
        training, validation = line["training"], line.get("validation") or {}
        values = [training["loss"], training["top1_error"], *map(validation.get, _measured(run))]
        shown = [f"{value:.4f}" if value is not None else "" for value in values]
        rows.append([str(line["epoch"]), f"{line['rate']:.3g}", *shown, speeds.get(line["epoch"], "")])
    return rows


def _what(run: Run, sessions: list[dict[str, Any]]) -> list[tuple[str, str]]:
    counts = ", ".join(f"{images:,} {split}" for split, images in run.data.get("counts", {}).items())
    start = run.data.get("start")
    seeds = run.recipe.seeds
    return [
        ("recipe", run.recipe.name),
        ("seeds", f"weights {seeds.weights}, data {seeds.data}"),
        ("data", f"{run.data['path']} ({counts}; {counted(len(run.data['classes']), 'class', 'classes')})"),
        ("fingerprint of the data", run.data["fingerprint"]),
        *([("started from", f"{start['path']} ({start['checksum']})")] if start else []),
        *([("command", sessions[0].get("command", "")), ("code", sessions[0].get("commit", ""))] if sessions else []),
        ("drawn anew by", shlex.join(["alexnet", "report", str(run.path)])),
    ]


def _where(session: dict[str, Any]) -> list[tuple[str, str]]:
    """A session of environment.json as names and values, whatever it holds."""
    found = []
    for name, value in session.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {part}" for key, part in value.items())
        found.append((name.replace("_", " "), str(value)))
    return found


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
