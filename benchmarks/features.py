"""Images a second of `alexnet embed` beside the bare forward pass of the same network; a JSON line a source.

The network is the paper's, its weights drawn; the stage is relu7; the precision float32. The rival is the network
alone, called on one ready batch of 128 again and again. Ours is the whole pass from a source: reading, decoding, the
centre view, the network, rows in a file on the disk. `ratio` is ours over the rival's: 1 would be all that can be had.
What every call needs once (the classifier's file read and its checksum) is `start_seconds`, and not in the speed. The
two take turns in one process; the figures are medians over the rounds, the first one left out.

    python benchmarks/features.py [--sources raw jpeg folder] [--images 1024] [--rounds 5] [--threads 2] [--device auto]
"""

import argparse
import contextlib
import io
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import alexnet
from alexnet import devices, machine
from alexnet.data.shards import ClassName
from alexnet.data.views import Statistics, Views
from alexnet.evaluation.classifier import Classifier
from alexnet.features import embed as embedding
from alexnet.model.alexnet import AlexNet, AlexNetConfig

STAGE = "relu7"
DIFFERENT = 64  # pictures drawn; the others are copies


def draw(folder: Path, count: int) -> None:
    """Nothing; `folder` holds so many 500×375 JPEGs, noise with a photograph's spectrum, in two classes."""
    frequency = np.hypot(np.fft.fftfreq(375)[:, None], np.fft.rfftfreq(500)) + 1 / 500
    for number in range(count):
        path = folder / f"class{number % 2}" / f"{number:05d}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        if number >= DIFFERENT:
            first = number % DIFFERENT
            shutil.copyfile(folder / f"class{first % 2}" / f"{first:05d}.JPEG", path)
            continue
        white = np.random.default_rng(number).normal(size=(3, 375, 500))
        noise = np.fft.irfft2(np.fft.rfft2(white) / frequency, (375, 500))
        pixels = (120 + 55 * noise / noise.std((1, 2), keepdims=True)).clip(0, 255).astype(np.uint8)
        Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(path, quality=95)


def classifier(path: Path) -> Path:
    """A file with the paper's network, untrained."""
    statistics_ = Statistics(torch.full((3, 256, 256), 120.0), torch.eye(3, dtype=torch.float64))
    names = tuple(ClassName(str(number), str(number)) for number in range(1000))
    Classifier(AlexNet(AlexNetConfig()), Views(), statistics_, names).save(path)
    return path


def bare(file: Path, count: int, device: str) -> float:
    """Images a second of the network on a ready batch."""
    network = Classifier.load(file, device).network
    images = torch.randn(embedding.BATCH, 3, 224, 224, device=network.devices[0])
    images = images.contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        network(images).sum().item()
        begun = time.perf_counter()
        for _ in range(count // embedding.BATCH):
            last = network(images)
        last.sum().item()  # waits for the device
    return count // embedding.BATCH * embedding.BATCH / (time.perf_counter() - begun)


@contextlib.contextmanager
def timed(seconds: list[float]) -> Iterator[None]:
    """Within the block each pass of `embed` appends what it took, from its first image to the last on the disk."""
    fill = embedding._fill

    def pass_(*arguments: object) -> None:
        begun = time.perf_counter()
        fill(*arguments)  # type: ignore[arg-type]
        seconds.append(time.perf_counter() - begun)

    embedding._fill = pass_
    try:
        yield
    finally:
        embedding._fill = fill


def ours(file: Path, source: Path, out: Path, options: argparse.Namespace) -> tuple[float, float]:
    """(images a second of the pass, seconds of the rest of the call)."""
    seconds: list[float] = []
    split = None if source.name == "folder" else "train"
    begun = time.perf_counter()
    with timed(seconds), contextlib.redirect_stderr(io.StringIO()):
        made = alexnet.embed(file, source, out, [STAGE], split=split, device=options.device)
    whole = time.perf_counter() - begun
    shutil.rmtree(out)
    return len(made) / seconds[0], whole - seconds[0]


def embed_lines(root: Path, options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """A line for each source."""
    device = devices.choose(options.device)
    if device.type == "cpu":
        devices.keep_pages()
        torch.set_num_threads(options.threads)
    draw(root / "folder", options.images)
    file = classifier(root / "classifier.safetensors")
    for encoding in {"raw", "jpeg"} & set(options.sources):
        with contextlib.redirect_stderr(io.StringIO()):
            alexnet.prepare(root / "folder", root / encoding, encoding=encoding)
    rates: dict[str, list[tuple[float, float, float]]] = {source: [] for source in options.sources}
    for round_ in range(options.rounds + 1):
        for source, found in rates.items():
            rival = bare(file, options.images, options.device)
            found += [(*ours(file, root / source, root / "features", options), rival)] if round_ else []
    for source, found in rates.items():
        speed, start, rival = (statistics.median(values) for values in zip(*found, strict=True))
        words = "a folder of 500×375 JPEGs" if source == "folder" else f"{source} shards"
        yield {
            **{"what": "embed", "source": words, "stage": STAGE, "precision": "fp32", "images": options.images},
            **{"batch": embedding.BATCH, "device": str(device), "cpu": machine.processor(), "threads": options.threads},
            **{"rounds": options.rounds, "start_seconds": round(start, 2), "rival_is": "the bare forward pass"},
            **{"unit": "images/s", "ours": round(speed, 1), "rival": round(rival, 1), "ratio": round(speed / rival, 3)},
        }


def main() -> None:
    """Nothing; prints the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", nargs="*", choices=("raw", "jpeg", "folder"), default=["raw", "jpeg", "folder"])
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=machine.cores())
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    if options.images < embedding.BATCH:
        parser.error(f"--images must be at least {embedding.BATCH}")
    with tempfile.TemporaryDirectory() as folder:
        for line in embed_lines(Path(folder), options):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
