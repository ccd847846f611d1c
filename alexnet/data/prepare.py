"""`alexnet prepare`: one pass over a source to a prepared set, on all cores, which goes on where it was killed."""

import dataclasses
import sys
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from alexnet import config, devices, files, machine, randomness
from alexnet.data import cifar10, finishing, folders, ilsvrc, packing
from alexnet.data.decoding import LIMIT
from alexnet.data.packing import Settings
from alexnet.data.progress import bar
from alexnet.data.shards import FORMAT, SPLITS, PreparedSet, partial
from alexnet.data.source import Item, Source, divide
from alexnet.data.squaring import Filter, Geometry
from alexnet.errors import InputError

_DIVIDING = ("holdout", "test", "group", "seed")
_NO_FLAG = ("format", "limit", "images_per_shard")


def prepare(
    source: Path | str,
    prepared: Path | str,
    *,
    encoding: Literal["jpeg", "raw"] = "jpeg",
    geometry: Geometry = "crop",
    filter: Filter = "area",
    size: int | None = None,
    holdout: float = 0.0,
    test: float = 0.0,
    group: str | None = None,
    seed: int = 0,
    quality: int = 95,
    orientation: bool = True,
    limit: int = LIMIT,
    workers: int | None = None,
    images_per_shard: int = 1024,
) -> PreparedSet:
    """The prepared set in the folder `prepared`, made from `source` (docs/data.md).

    Notes and a progress bar go to standard error. Killed at any moment, the same call goes on and ends with the
    same bytes; once it is whole, the same call only says so.

    Args:
        source: a folder of classes, of ILSVRC archives, or of CIFAR-10's binary batches.
        encoding: JPEG, or raw uint8, which reads faster and is six times as large (CIFAR-10 is always raw).
        geometry: shorter side to 256 and the centre cut out, the paper's; the whole picture padded; or warped.
        filter: averaged over areas; or as torchvision or Caffe resize, to measure a classifier that came from there.
        size: another side than 256, down to 32: nearer to 224, crops hold more of the picture and differ less. Not
            for CIFAR-10, whose pixels stay as they are.
        holdout: the part of train that becomes val, stratified.
        test: the part of train that becomes test, stratified.
        group: a regular expression on paths; files of one group stay in one split.
        seed: decides the splits, and the order in which training images are stored.
        quality: of the JPEG encoding, 1 to 100.
        orientation: turn pictures as their EXIF tag says.
        limit: refuse pictures of more pixels than this.
        workers: threads, by default one a core.
        images_per_shard: how many pictures of the source make a shard.

    Raises:
        InputError: the source cannot be used, or `prepared` holds something else.
    """
    source, prepared = Path(source), Path(prepared).absolute()
    if workers is not None and workers < 1:
        raise InputError(f"--workers is {workers}; at least one thread is needed.")
    if not (1 <= quality <= 100 and images_per_shard >= 1):
        raise InputError(f"--quality {quality} must lie in 1..100, images_per_shard {images_per_shard} above 0.")
    listed = _sized(list_source(source), size)
    settings = Settings(
        "raw" if listed.decoded else encoding, geometry, filter, quality, orientation, limit,
        holdout, test, group, seed, images_per_shard,
    )  # fmt: skip
    listed = divide(listed, holdout=holdout, test=test, group=group, seed=seed)
    return _prepared(source, prepared, listed, settings, workers or machine.cores())


def _prepared(source: Path, prepared: Path, listed: Source, settings: Settings, workers: int) -> PreparedSet:
    """The set at `prepared`: what is there already if it is this one, or made now."""
    identity = {
        "format": FORMAT,
        "settings": settings.to_json(),
        "size": listed.size,
        "listing": listed.listing(),
    }
    if (prepared / "dataset.json").is_file():
        _compare(identity, files.read_json(prepared / "dataset.json"), prepared)
        _say(f"{prepared} is prepared already, from this source and with these settings.")
        return PreparedSet.open(prepared)
    _check_place(source, prepared)
    for note in listed.notes:
        _say(note)
    try:
        _make(listed, settings, identity, prepared, workers)
    except OSError as error:
        raise InputError(
            f"{partial(prepared)} could not be written ({error.strerror}); what is finished is kept, "
            "so repeat the command when that is mended."
        ) from error
    result = PreparedSet.open(prepared)
    for sentence in finishing.summary(result):
        _say(sentence)
    return result


def list_source(source: Path) -> Source:
    """What lies in the folder `source`, recognised by its files: ILSVRC archives, CIFAR-10, or folders of classes.

    Raises:
        InputError: there is no such folder, or it holds none of these.
    """
    if not source.is_dir():
        raise InputError(
            f"{source} is not a folder; SOURCE is a folder of class folders, of ILSVRC archives, or CIFAR-10."
        )
    if (source / "dataset.json").is_file():
        raise InputError(f"{source} is a prepared set already.")
    if ilsvrc.present(source):
        return ilsvrc.listing(source)
    for folder in (source, source / "cifar-10-batches-bin", source / "cifar-10-batches-py"):
        if cifar10.present(folder):
            return cifar10.listing(folder)
    return folders.listing(source)


def _sized(source: Source, size: int | None) -> Source:
    """`source` with images of that side, where one is asked for."""
    if size is None:
        return source
    if source.decoded:
        raise InputError(f"--size {size}: the pixels of CIFAR-10 are stored as they are; leave --size out.")
    if not 32 <= size <= 256:
        raise InputError(f"--size {size} must lie in 32..256.")
    return dataclasses.replace(source, size=size)


def stored_order(source: Source, seed: int) -> dict[str, list[Item]]:
    """The items of each split in the order they are stored: train shuffled once by `seed`, the others as listed."""
    splits = {split: [item for item in source.items if item.split == split] for split in SPLITS}
    train = splits["train"]
    splits["train"] = [train[i] for i in randomness.permutation(seed, "stored order", 0, len(train)).tolist()]
    return {split: items for split, items in splits.items() if items}


def _check_place(source: Path, prepared: Path) -> None:
    """Nothing, if a set can grow beside `prepared` and be renamed to it; else an InputError."""
    if prepared.resolve().is_relative_to(source.resolve()):
        raise InputError(f"{prepared} lies in the source, whose listing it would change; name a folder outside it.")
    growing = partial(prepared)
    begun = any((growing / name).is_file() for name in ("plan.json", "dataset.json"))
    inside = list(prepared.iterdir()) if prepared.is_dir() else []
    if growing.is_dir() and not begun:
        inside += [path for path in growing.iterdir() if not path.name.startswith(".")]
    if inside or prepared.is_file():
        where = inside[0].parent if inside else prepared
        raise InputError(f"{where} exists and is no prepared set; name a folder that does not exist yet.")


def _make(source: Source, settings: Settings, identity: dict[str, Any], prepared: Path, workers: int) -> None:
    """Nothing; the whole set grew in its partial folder and was renamed to `prepared`."""
    growing = partial(prepared)
    order = stored_order(source, settings.seed)
    if not (growing / "dataset.json").is_file():
        if (growing / "plan.json").is_file():
            _compare(identity, files.read_json(growing / "plan.json"), growing)
            _say(f"Going on with {growing}.")
        files.write_json(growing / "plan.json", identity)
        _pack(source, order, settings, growing, workers)
        files.write_json(growing / "dataset.json", finishing.describe(source, order, settings, identity, growing))
    else:
        _compare(identity, files.read_json(growing / "dataset.json"), growing)
    # From here on the description is on the disk, so the records have served.
    for folder in (growing, *(growing / split for split in order)):
        packing.forget(folder)
    (growing / "plan.json").unlink(missing_ok=True)
    growing.replace(prepared)
    files.flush(prepared.parent)


def _pack(source: Source, order: dict[str, list[Item]], settings: Settings, growing: Path, workers: int) -> None:
    """Nothing; every shard and its record is in the folder `growing`. Threads do: nearly all the work is done
    without the interpreter's lock."""
    step = settings.images_per_shard
    jobs = [
        (items[first : first + step], first, growing / split / packing.shard_name(first // step, settings.encoding))
        for split, items in order.items()
        for first in range(0, len(items), step)
    ]
    waiting = [job for job in jobs if packing.read(job[2]) is None]
    total = sum(map(len, order.values()))
    stop = threading.Event()
    devices.keep_pages()
    with bar("preparing", total, total - sum(len(job[0]) for job in waiting)) as advance:
        tick = _stoppable(advance, stop)
        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(packing.pack, source, *job, settings, tick) for job in waiting]
            try:
                for future in futures:
                    future.result()
            except BaseException:
                stop.set()
                pool.shutdown(cancel_futures=True)
                raise


def _stoppable(advance: Callable[[int], object], stop: threading.Event) -> Callable[[int], object]:
    def tick(count: int) -> None:
        if stop.is_set():
            raise CancelledError
        advance(count)

    return tick


def _compare(identity: dict[str, Any], other: Any, where: Path) -> None:
    """Nothing, if the set at `where` was begun from the same source with the same settings; else an InputError."""
    theirs = {key: other.get(key) for key in identity} if isinstance(other, dict) else {}
    found = {name: (old, new) for name, old, new in config.difference(theirs, identity)}
    if any(f"settings.{name}" in found for name in _DIVIDING):
        found.pop("listing", None)  # which file is in which split: these options alone change that
    if found:
        changes = "; ".join(_change(name, old, new) for name, (old, new) in found.items())
        raise InputError(f"{where} was prepared differently ({changes}); name another folder, or remove it first.")


def _change(name: str, old: Any, new: Any) -> str:
    if name == "listing":
        return "the source's files are others"
    setting = name.removeprefix("settings.")
    if setting == "filter":  # "area" is not written
        old, new = old or "area", new or "area"
    return f"{'' if setting in _NO_FLAG else '--'}{setting} was {old}, now {new}"


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)
