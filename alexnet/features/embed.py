"""The responses of a network's stages to a folder of pictures, an array or a split, in one pass, into a folder."""

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from alexnet import config, devices, files
from alexnet.config import nearest
from alexnet.data.progress import bar
from alexnet.data.views import Statistics, Views, centre_view
from alexnet.errors import InputError, counted
from alexnet.evaluation import classifier_file
from alexnet.evaluation.classifier import Classifier
from alexnet.evaluation.classifier_file import Description
from alexnet.evaluation.lesions import cut_off, lesion
from alexnet.features import stimuli
from alexnet.features.folder import FORMAT, Features, partial
from alexnet.features.growing import LOCK, Growing, alone, require_same, told
from alexnet.features.stimuli import Placing, Showing, Stimuli
from alexnet.model.network import Config, facts
from alexnet.model.rows import Rectifier, Tanh

BATCH = 128
"""Images in the network at once."""
_MULTIPLE = 32  # a short block is filled up to it: matrix products of few rows are rounded otherwise than those of many
_TOLD = 5
_GEOMETRIES = ("crop", "pad", "warp", "whole")


def embed(
    run: str | Path,
    source: str | Path | np.ndarray,
    features: str | Path,
    stages: str | Sequence[str] = (),
    *,
    split: str | None = None,
    half: bool = False,
    geometry: Placing | None = None,
    greyscale_as_is: bool = False,
    edit: Sequence[str] = (),
    untrained: int | None = None,
    best: bool = False,
    device: str = "auto",
) -> Features:
    """The features in the folder `features`: for each image of `source` the responses of `stages` to its centre view.

    Computed in float32. What cannot be read has no row, is told of, and stands in rejected.csv with the reason. The
    folder grows beside its place and is renamed when whole; after a kill the same call goes on and ends with the same
    bytes.

    Args:
        run: a run folder, a classifier file, or the name of one that ships.
        source: a folder of pictures (nested or flat); one picture; a .npy file, or an array, of images (uint8
            `[N,H,W,3]`, RGB); or a prepared set.
        stages: one name or several, as `Network.stages` has them; by default the last that is rectified: relu7, the
            paper's last hidden layer.
        split: of a prepared set; val when not given.
        half: keep float16 instead of float32.
        geometry: how pictures and arrays become the stored square, in place of the classifier's own way: crop, pad,
            warp; or whole, which shows all of a picture and one of the view's size pixel for pixel.
        greyscale_as_is: keep grey grey: one number, the mean level, is subtracted from all channels and positions in
            place of the mean image with its colours. Pictures with colour are refused.
        edit: lesions, as `alexnet.evaluation.lesions` has them: "conv3=zero", "conv3:0,5=zero", "tower2=zero".
        untrained: draw the weights anew from this seed as the network's initialisation says.
        best: of a run, the classifier at the lowest validation error.

    Raises:
        InputError: something given cannot be used; the features do not fit on the disk; `features` holds others.
    """
    place = devices.choose(device)
    if place.type == "cpu":
        devices.keep_pages()
    file, path = classifier_file.find(run, best), Path(features).absolute()
    classifier = configured(file, place, untrained, edit, greyscale_as_is)
    shown = opened(source, split, geometry, greyscale_as_is, classifier, place)
    chosen = wanted(stages, classifier.network.config)
    if said := cut_off(edit, classifier.network):
        _say(f"alexnet: {said}")
    plan = _plan(file, classifier, shown, chosen, place) | {
        **{"type": "float16" if half else "float32", "untrained": untrained, "edit": list(edit)}
    }
    if (path / "features.json").is_file():
        require_same(plan, files.read_json(path / "features.json"), path)
        _say(f"{path} is embedded already.")
    else:
        _check_place(path, source)
        _grow(path, plan, shown, classifier)
    return Features.open(path)


def passing(
    run: str | Path, source: str | Path, folder: Path, stages: str | Sequence[str], split: str | None, device: str
) -> Features:
    """What `embed` makes, in a new `folder` that will not be kept, and so is not named."""
    place, file = devices.choose(device), classifier_file.find(run)
    if place.type == "cpu":
        devices.keep_pages()
    classifier = configured(file, place, None, (), False)
    shown = opened(source, split, None, False, classifier, place)
    chosen = wanted(stages, classifier.network.config)
    _say(f"{run}: {', '.join(chosen)} of {_count(shown)}.")
    _grow(folder, _plan(file, classifier, shown, chosen, place), shown, classifier, kept=False)
    return Features.open(folder)


def _plan(
    file: Path, classifier: Classifier, shown: Stimuli, stages: Mapping[str, Sequence[int]], device: torch.device
) -> dict[str, Any]:
    """What features.json says, but for its counts, of a network as its file has it."""
    return {
        **{"format": FORMAT, "type": "float32"},
        "stages": [{"name": name, "shape": list(shape)} for name, shape in stages.items()],
        **{"classifier": {"path": str(file.resolve()), "sha256": files.checksum(file)}, "untrained": None},
        **{"edit": [], "views": "centre", "device": device.type, "source": shown.described},
        "preprocessing": {**shown.preprocessing, "views": config.to_json(classifier.views)},
    }


def configured(file: Path, device: torch.device, untrained: int | None, edit: Sequence[str], grey: bool) -> Classifier:
    """The classifier of a file, as features.json describes what was asked: drawn anew, lesioned, its views grey."""
    classifier = Classifier.load(file, str(device))
    if untrained is not None:
        classifier.network.initialise(untrained)
    lesion(classifier.network, edit)
    if grey:
        classifier.views = _achromatic(classifier.views, classifier.statistics)
    return classifier


def opened(
    source: str | Path | np.ndarray,
    split: str | None,
    geometry: Placing | None,
    grey: bool,
    classifier: Classifier | Description,
    device: torch.device,
) -> Stimuli:
    """The source, by what it is; nothing of it is read yet but what tells it from others.

    Raises:
        InputError: it is nothing that can be shown to this classifier in this way.
    """
    prepared = isinstance(source, str | Path) and (Path(source) / "dataset.json").is_file()
    if prepared and (geometry or grey):
        raise InputError(
            f"{source} is a prepared set, its pictures cut already: --geometry and --greyscale-as-is are for folders "
            "of pictures and arrays."
        )
    if split is not None and not prepared:
        raise InputError(f"--split {split}: only a prepared set has splits; name the folder of the pictures wanted.")
    if geometry is not None and geometry not in _GEOMETRIES:
        raise InputError(f"geometry is {geometry!r}; it can be {', '.join(_GEOMETRIES)}.")
    views, level = classifier.views, None
    if grey and isinstance(views.mean, tuple):
        level = round(views.mean[0])
    squaring = classifier.squaring
    if geometry is not None and geometry != "whole":
        squaring = replace(squaring, geometry=geometry)
    showing = Showing(squaring, views.crop, geometry == "whole", level)
    if isinstance(source, np.ndarray):
        return stimuli.of_array(source, None, showing)
    path = Path(source)
    if prepared:
        return stimuli.of_prepared(path, split or "val", classifier.size, device)
    if not path.exists():
        raise InputError(
            f"{path} does not exist; SOURCE is a folder of pictures, a picture, a .npy file or a prepared set."
        )
    return stimuli.of_folder(path, showing) if path.is_dir() else stimuli.of_file(path, showing)


def _achromatic(views: Views, statistics: Statistics) -> Views:
    """`views` that subtract one number everywhere, and divide by one, so that grey has no colour afterwards."""
    mean = views.mean if isinstance(views.mean, tuple) else tuple(statistics.channel_mean.tolist())
    level = sum(mean) / 3
    divisor = sum(views.divisor) / 3 if isinstance(views.divisor, tuple) else views.divisor
    return replace(views, mean=(level, level, level), divisor=divisor)


def wanted(stages: str | Sequence[str], network: Config) -> dict[str, tuple[int, ...]]:
    """The shape of each stage asked for, in the network's order; of the last rectified one where none is named.

    Raises:
        InputError: the network has no such stage.
    """
    asked = [stages] if isinstance(stages, str) else stages
    shapes = {fact.name: fact.shape for fact in facts(network)}
    for name in asked:
        if name not in shapes:
            raise InputError(f"there is no stage {name!r}{nearest(name, shapes)}; there are {', '.join(shapes)}.")
    rectified = [row.name for row in network.table() if isinstance(row, Rectifier | Tanh)]
    chosen = set(asked or rectified[-1:] or list(shapes)[-1:])
    return {name: shape for name, shape in shapes.items() if name in chosen}


def _check_place(path: Path, source: str | Path | np.ndarray) -> None:
    """Nothing, if features can grow beside `path` and be renamed to it."""
    if not isinstance(source, np.ndarray) and path.resolve().is_relative_to(Path(source).resolve()):
        raise InputError(f"{path} lies in the source, whose pictures it would be among; name a folder outside it.")
    growing = partial(path)
    begun = any((growing / name).is_file() for name in ("plan.json", "features.json"))
    strange = growing.is_dir() and not begun and any(entry.name != LOCK for entry in growing.iterdir())
    if path.is_file() or (path.is_dir() and any(path.iterdir())) or strange:
        where = growing if strange else path
        raise InputError(f"{where} exists and holds no features; name a folder that does not exist yet.")


def _grow(path: Path, plan: dict[str, Any], shown: Stimuli, classifier: Classifier, *, kept: bool = True) -> None:
    """Nothing; `path` holds the whole features, and it is told what has no row; where, if they are kept."""
    try:
        with alone(partial(path)):
            growing = Growing(partial(path), plan)
            if not (growing.folder / "features.json").is_file():
                names = [entry["name"] for entry in plan["stages"]]
                if kept:
                    most = "at most " if _may_lack(shown) else ""
                    _say(f"{', '.join(names)} of {_count(shown)}: {most}{told(growing.size(len(shown)))} in {path}.")
                _fill(growing, shown, classifier, names)
                growing.finish(shown.paths, shown.labels)
            growing.tidy()
            growing.folder.replace(path)
            files.flush(path.parent)
    except OSError as error:
        raise InputError(
            f"{partial(path)} could not be written ({error.strerror}); what is finished is kept, so repeat the "
            "command when that is mended."
        ) from error
    if growing.refused:
        have = "file has" if len(growing.refused) == 1 else "files have"
        where = f"; {path / 'rejected.csv'} says why, of each:" if kept else ":"
        _say(f"{len(growing.refused):,} {have} no row{where}")
        for place, reason in growing.refused[:_TOLD]:
            _say(f"  {shown.paths[place]}: {reason}")


def _fill(growing: Growing, shown: Stimuli, classifier: Classifier, names: Sequence[str]) -> None:
    """Nothing; all rows are written."""
    growing.require_space(len(shown))
    if growing.read:
        _say(f"Going on with {growing.folder}, after {counted(growing.read, 'image')}.")
    with growing.writing(), bar("embedding", len(shown), growing.read) as advance:
        # Unless all are read already: only a whole number of blocks can be gone on from.
        for block in shown.blocks(growing.read, BATCH) if growing.read < len(shown) else ():
            growing.append(block.count, block.refused, responses(classifier, block.images, names))
            advance(block.count)
    if not growing.rows:
        shutil.rmtree(growing.folder)
        (_, reason), *_ = growing.refused
        raise InputError(f"no image of the source could be used; the first, {shown.paths[0]}: {reason}.")


def _may_lack(shown: Stimuli) -> bool:
    """Whether some of it may be no picture, and so have no row."""
    return bool(shown.described["kind"] == "folder")


def _count(shown: Stimuli) -> str:
    return counted(len(shown), "file" if _may_lack(shown) else "image")


def responses(
    classifier: Classifier, images: Tensor, names: Sequence[str], *, filled_up: bool = True
) -> dict[str, Tensor]:
    """float32 `[N, ...]` by name, on the device: the stages `names` for the centre views of uint8 `[N,3,S,S]`.

    A row does not depend on how many images there are beside it, at least on a CPU.

    Args:
        filled_up: compute few images as part of a full block. Without that they are ready sooner, and their last
            digits are rounded as their number has it.
    """
    extra = -len(images) % _MULTIPLE if filled_up else 0
    if not len(images):
        extra = _MULTIPLE  # the network takes no empty batch
    device = classifier.network.devices[0]
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        views = centre_view(images.to(device), classifier.views, classifier.statistics)[:, 0]
        filled = F.pad(views, (0, 0, 0, 0, 0, 0, 0, extra)) if extra else views
        found = classifier.network.stages(filled, names)
        return {name: values[: len(images)] for name, values in found.items()}


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
