"""`alexnet show`: a figure of a run or classifier, by its kind; each says where its numbers come from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from alexnet import drawing
from alexnet.analysis import pictures
from alexnet.analysis.confusion import confusion as drawn_confusion
from alexnet.analysis.curves import curves as drawn_curves
from alexnet.analysis.kernels import kernels as drawn_kernels
from alexnet.analysis.maps import maps
from alexnet.analysis.pictures import UNKNOWN, Pictures
from alexnet.analysis.predictions import mixed, predictions, wrong
from alexnet.analysis.saliency import last_maps, named_class, saliency
from alexnet.analysis.units import exciting, told, units
from alexnet.config import nearest
from alexnet.data.loader import Loader, Loading
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError, counted
from alexnet.evaluation import classifier_file, evaluate
from alexnet.evaluation.classifier import Classifier
from alexnet.training.run import Run, own_set

Kind = Literal["kernels", "curves", "predictions", "stages", "confusion", "units", "saliency"]

# What each kind of figure uses of what can be asked for.
USES: Mapping[str, frozenset[str]] = {
    "kernels": frozenset({"stage", "best"}),
    "curves": frozenset(),
    "predictions": frozenset({"images", "data", "split", "only_errors", "best", "device"}),
    "stages": frozenset({"images", "stage", "data", "split", "best", "device"}),
    "confusion": frozenset({"data", "split", "best", "device"}),
    "units": frozenset({"images", "stage", "data", "split", "best", "device"}),
    "saliency": frozenset({"images", "stage", "label", "data", "split", "best", "device"}),
}
_NAMES = {
    "images": "photographs",
    "stage": "--stage",
    "label": "--label",
    "data": "--data",
    "split": "--split",
    "only_errors": "--only-errors",
    "best": "--best",
    "device": "--device",
}
_EIGHT, _FOUR, _TWELVE = 8, 4, 12


@dataclass(frozen=True)
class Asked:
    """What a figure is to be of; None and empty where nothing was said."""

    run: str | Path
    images: tuple[str | Path, ...]
    stage: str | None
    label: str | None
    data: str | Path | None
    split: str | None
    only_errors: bool
    best: bool
    device: str
    progress: Callable[[int], object]

    def classifier(self) -> Classifier:
        """The classifier that was asked for."""
        return Classifier.load(self.run, self.device, self.best)

    @property
    def named(self) -> str:
        """The classifier, in words."""
        file = classifier_file.find(self.run, self.best)
        return f"Classifier {self.run}" + (f" ({file.name})" if Path(self.run).is_dir() else "")


def show(
    run: str | Path,
    kind: Kind,
    images: Sequence[str | Path] = (),
    *,
    stage: str | None = None,
    label: str | None = None,
    data: str | Path | None = None,
    split: str | None = None,
    only_errors: bool = False,
    best: bool = False,
    device: str = "auto",
    progress: Callable[[int], object] = lambda _: None,
) -> Figure:
    """The figure of a kind, its source at its foot: kernels (figure 3), curves, predictions (figure 4), the maps of
    stages, the confusion matrix, what units look for, or saliency (where the evidence lies).

    Args:
        run: a run's folder, a classifier file, or the name of one that comes with the package.
        images: photographs or folders of them, for the kinds that show pictures; by default of the prepared set.
        stage: whose kernels, maps or units; Grad-CAM's for saliency.
        label: for saliency, a class by its name or one of its words; by default each picture's most probable one.
        data: the prepared set; by default the one that the run learnt from.
        split: which of its splits, "val" by default.
        only_errors: of predictions, those that are wrong.
        best: of a run folder, take the classifier at the lowest validation error.
        progress: told the number of images of each batch, where a whole split is looked at.

    Raises:
        InputError: something is asked for that this kind does not use, or that is not there.
    """
    asked = Asked(run, tuple(images), stage, label, data, split, only_errors, best, device, progress)
    require_used(kind, asked)
    return _DRAWN[kind](asked)


def require_used(kind: str, asked: Asked) -> None:
    """Nothing when the figure uses all that is asked for.

    Raises:
        InputError: there is no such kind, it does not use something, or two things exclude each other.
    """
    if kind not in USES:
        raise InputError(f"there is no figure {kind!r}{nearest(kind, USES)}; there are {', '.join(USES)}.")
    given = {name for name in _NAMES if getattr(asked, name) and not (name == "device" and asked.device == "auto")}
    if unused := sorted(given - USES[kind]):
        usable = [_NAMES[name] for name in _NAMES if name in USES[kind]]
        uses = f"it takes {', '.join(usable)}" if usable else "it takes the run alone"
        raise InputError(f"{kind} does not use {' or '.join(_NAMES[name] for name in unused)}; {uses}.")
    if asked.images and (clash := sorted(given & {"data", "split", "only_errors"})):
        what = _NAMES[clash[0]]
        raise InputError(f"{what} is about a prepared set, whose labels are known; leave it or the photographs out.")


def images_to_see(run: str | Path, kind: str, images: Sequence[str | Path], data: Path | None, split: str) -> int:
    """How many images the figure looks at one by one, for a bar; 0 where it takes no time."""
    if kind not in ("confusion", "units") or images:
        return 0
    return prepared_set(run, data).counts.get(split, 0)


def prepared_set(run: str | Path, data: str | Path | None) -> PreparedSet:
    """The set `data`, or the one that the run learnt from.

    Raises:
        InputError: the run does not say, or its set is gone or is another now.
    """
    return PreparedSet.open(data) if data is not None else own_set(run)


def _kernels(asked: Asked) -> Figure:
    classifier = asked.classifier()
    figure = drawn_kernels(classifier.network, asked.stage)
    scale = "Each kernel is scaled by its own largest weight; mid-grey is zero"
    return drawing.heading(figure, "", f"{scale}. {asked.named}.")


def _curves(asked: Asked) -> Figure:
    if not Path(asked.run).is_dir():
        raise InputError(f"{asked.run} is no run folder: only a run has a journal to draw curves of.")
    run = Run.open(Path(asked.run))
    figure = drawn_curves(run.journal(), top5=len(run.data["classes"]) > 5)
    done = sum(line.get("event") == "epoch" for line in run.journal())
    counts = run.data.get("counts", {})
    of = f"{counts['val']:,} validation images" if counts.get("val") else "no validation images"
    source = (
        f"Journal of run {asked.run}: recipe {run.recipe.name}, {counted(done, 'epoch')}; {of} of {run.data['path']}"
    )
    return drawing.heading(figure, "", f"{source}. Training figures are of steps with augmentation and dropout.")


def _predictions(asked: Asked) -> Figure:
    classifier, seen = _seen(asked)
    order = wrong(classifier, seen) if asked.only_errors else _order(seen)
    if not order:
        raise InputError(f"the classifier is right about every image of the {seen.source}: no errors to show.")
    positions, images = seen.first(order, _EIGHT)
    labels = seen.labels[positions].tolist()
    figure = predictions(classifier, images, labels, [seen.names[i] for i in positions])
    title = "The most probable labels" + (" of pictures that it gets wrong" if asked.only_errors else "")
    true = "The true label" + (", the name of its folder," if asked.images else "")
    known = f"{true} stands below the picture, its bar is red. " if max(labels) != UNKNOWN else ""
    return drawing.heading(figure, title, known + _source(asked, seen, len(positions)))


def _stages(asked: Asked) -> Figure:
    classifier, seen = _seen(asked)
    positions, images = seen.first(_order(seen), _TWELVE if asked.images else 1)
    figure = maps(classifier, images, asked.stage, [seen.names[i] for i in positions])
    title = f"What {asked.stage} holds" if asked.stage else "The strongest maps of each stage"
    more = "one scale of colours for all maps" if asked.stage else "each stage from 0 (dark) to its own largest value"
    more += f"; the numbers are those of --edit {asked.stage or 'STAGE'}:NUMBER=zero"
    return drawing.heading(figure, title, f"{_source(asked, seen, len(positions))}; {more}")


def _confusion(asked: Asked) -> Figure:
    classifier, prepared = asked.classifier(), prepared_set(asked.run, asked.data)
    split = asked.split or "val"
    loader = Loader(prepared.split(split), Loading(), classifier.network.devices[0], cache="none")
    result = evaluate.evaluate([classifier], loader, classes=prepared.classes, progress=asked.progress)
    figure = drawn_confusion(result.confusion.numpy(), classifier.labels)
    return drawing.heading(figure, "", f"Shares of each true class, centre view. {_from(asked, prepared, split)}")


def _units(asked: Asked) -> Figure:
    classifier, seen = _seen(asked)
    found = exciting(classifier, seen, asked.stage, progress=asked.progress)
    figure = units(seen, found, classifier.network)
    explained = (
        "Strongest units first, with their responses to the first and the last patch; one patch a picture; grey: "
    )
    explained += "outside the view"
    return drawing.heading(
        figure, told(found, classifier.network), f"{explained}. {_source(asked, seen, found.looked_at)}"
    )


def _saliency(asked: Asked) -> Figure:
    classifier, seen = _seen(asked)
    stage = asked.stage or last_maps(classifier.network)
    label = None if asked.label is None else named_class(classifier, asked.label)
    positions, images = seen.first(_order(seen), _EIGHT if asked.images else _FOUR)
    labels = None if label is None else [label] * len(positions)
    figure = saliency(classifier, images, labels, [seen.names[i] for i in positions], stage)
    what = "the most probable label" if label is None else f"“{drawing.words(classifier.labels[label], 24)}”"
    title = f"Where the evidence for {what} lies"
    return drawing.heading(
        figure, title, f"Orange: the view that the network sees. {_source(asked, seen, len(positions))}"
    )


_DRAWN: Mapping[str, Callable[[Asked], Figure]] = {
    "kernels": _kernels,
    "curves": _curves,
    "predictions": _predictions,
    "stages": _stages,
    "confusion": _confusion,
    "units": _units,
    "saliency": _saliency,
}


def _seen(asked: Asked) -> tuple[Classifier, Pictures]:
    """The classifier, and the pictures that were asked for."""
    if asked.images:
        classifier = asked.classifier()
        return classifier, pictures.of_files(classifier, asked.images)
    prepared = prepared_set(asked.run, asked.data)
    classifier = asked.classifier()
    return classifier, pictures.of_split(classifier, prepared, asked.split or "val")


def _order(seen: Pictures) -> Sequence[int]:
    """The order that a few are taken in: evenly of classes or folders, or as they come where all are of one folder."""
    return mixed(seen.groups) if seen.groups.any() else range(len(seen))


def _source(asked: Asked, seen: Pictures, shown: int) -> str:
    """In words where pictures and answers are from, of files also how many are shown."""
    part = f"{counted(shown, 'picture')} of " if asked.images and len(seen) > 1 else ""
    if part and shown < len(seen) and not seen.groups.any():
        part = f"the first {part}"
    return f"{asked.named}; {part}{seen.source}; centre view"


def _from(asked: Asked, prepared: PreparedSet, split: str) -> str:
    return f"{asked.named}; {split} split of {prepared.path}"
