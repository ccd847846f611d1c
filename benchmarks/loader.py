"""Images a second from shards, beside a folder of originals read by Pillow and torch's DataLoader; a JSON line each.

Both read the same photographs, 500×375 JPEGs, in shuffled order, in this one run, in turns; the figures are medians
over the rounds, from files that the system already holds in memory. Each comparison is of like with like:

- "loader": uint8 batches on the device. Ours are the stored 256×256, as the training loop takes them, cropped and
  mirrored afterwards on the device; the rival's are its 224×224 random crops, mirrored, before it makes floats of them.
- "loader and views": float32 `[N,3,224,224]` less each channel's mean, randomly cropped and mirrored, on the device.

Nothing is kept decoded between epochs (cache "none"). Preparation, which is done once, is not counted.
The originals are photographs of the folder ALEXNET_SAMPLES or ALEXNET_IMAGENETTE where set, otherwise drawn.

    python benchmarks/loader.py [--images 1024] [--rounds 5] [--threads 2] [--batch 128] [--device auto]
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from alexnet import devices, machine
from alexnet.data.loader import Loader, Loading
from alexnet.data.prepare import prepare
from alexnet.data.shards import PreparedSet
from alexnet.data.views import Views, random_view

MEAN = (123.7, 116.3, 103.5)
WIDTH, HEIGHT = 500, 375


def photographs() -> tuple[str, list[Path]]:
    """What the originals are, in words, and the files they come from."""
    for name in ("ALEXNET_SAMPLES", "ALEXNET_IMAGENETTE"):
        if name in os.environ:
            found = sorted(
                path for path in Path(os.environ[name]).rglob("*") if path.suffix.lower() in (".jpeg", ".jpg")
            )
            found = found[:: max(1, len(found) // 1000)]
            same = [path for path in found if Image.open(path).size == (WIDTH, HEIGHT)]
            if len(same) >= 20:
                return f"the {len(same)} photographs of {name} that are {WIDTH}×{HEIGHT}, byte for byte, repeated", same
            return f"{len(found)} photographs of {name}, cut and scaled to {WIDTH}×{HEIGHT}, quality 95", found
    return f"drawn: noise with a photograph's spectrum, {WIDTH}×{HEIGHT}, quality 95", []


def original(sources: list[Path], number: int) -> bytes:
    """A 500×375 JPEG: a photograph as it is if it has that size, else its central 4:3 part; or one that is drawn."""
    if sources:
        source = sources[number % len(sources)]
        picture = Image.open(source)
        if picture.size == (WIDTH, HEIGHT):
            return source.read_bytes()
        picture = ImageOps.fit(picture.convert("RGB"), (WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    else:
        frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)) + 1 / WIDTH
        white = np.random.default_rng(number).normal(size=(3, HEIGHT, WIDTH))
        noise = np.fft.irfft2(np.fft.rfft2(white) / frequency, (HEIGHT, WIDTH))
        pixels = 120 + 55 * noise / noise.std((1, 2), keepdims=True)
        picture = Image.fromarray(np.ascontiguousarray(pixels.clip(0, 255).astype(np.uint8).transpose(1, 2, 0)))
    jpeg = io.BytesIO()
    picture.save(jpeg, "JPEG", quality=95)
    return jpeg.getvalue()


def write_originals(folder: Path, sources: list[Path], count: int, threads: int) -> float:
    """The mean size of a file in kB; `folder` holds `count` originals in ten classes."""

    def write(number: int) -> int:
        return (folder / f"class{number % 10}" / f"{number:05d}.JPEG").write_bytes(original(sources, number))

    for number in range(10):
        (folder / f"class{number}").mkdir(parents=True)
    with ThreadPoolExecutor(threads) as pool:
        return sum(pool.map(write, range(count))) / count / 1000


class ImageFolder(Dataset[tuple[Tensor, int]]):
    """The rival: open, shorter side to 256, random crop of 224, mirror, less the mean; as everyone writes it."""

    def __init__(self, folder: Path, as_float: bool) -> None:
        self.files = [(path, number) for number, cls in enumerate(sorted(folder.iterdir())) for path in cls.iterdir()]
        self.mean = torch.tensor(MEAN)[:, None, None]
        self.as_float = as_float

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        path, label = self.files[index]
        picture = Image.open(path).convert("RGB")
        scale = 256 / min(picture.size)
        picture = picture.resize(
            (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BILINEAR
        )
        left = int(torch.randint(picture.width - 224 + 1, ()))
        top = int(torch.randint(picture.height - 224 + 1, ()))
        picture = picture.crop((left, top, left + 224, top + 224))
        if torch.rand(()) < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
        return (pixels.float() - self.mean if self.as_float else pixels), label


def rivals_epoch(loader: DataLoader[tuple[Tensor, int]], device: torch.device) -> Iterator[Tensor]:
    for images, labels in loader:
        labels.to(device, non_blocking=True)
        yield images.to(device, non_blocking=True)


def our_epoch(loader: Loader, epoch: int, prepared: PreparedSet, views: Views | None) -> Iterator[Tensor]:
    statistics = prepared.statistics()
    for batch in loader.epoch(epoch):
        if views is None:
            yield batch.images
        else:
            yield random_view(batch.images, batch.indices, views, statistics, seed=0, epoch=epoch)[:, 0]


def rate(batches: Iterator[Tensor], device: torch.device) -> float:
    """Images a second, counted until the device has them all."""
    begun = time.perf_counter()
    count = sum(len(images) for images in batches)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return count / (time.perf_counter() - begun)


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Prints a line for each kind of shard and of batch."""
    device = devices.choose(options.device)
    torch.set_num_threads(options.threads)
    made_of, sources = photographs()
    kilobytes = write_originals(folder / "originals", sources, options.images, options.threads)
    prepared: dict[str, PreparedSet] = {}
    for encoding in ("jpeg", "raw"):
        with contextlib.redirect_stderr(io.StringIO()):
            prepared[encoding] = prepare(folder / "originals", folder / encoding, encoding=encoding)
    views = {"loader": None, "loader and views": Views(mean=MEAN, colour="none")}
    rates: dict[tuple[str, str], list[float]] = {key: [] for key in itertools.product(("jpeg", "raw", "rival"), views)}
    rival = {
        what: DataLoader(
            ImageFolder(folder / "originals", as_float=view is not None), options.batch, shuffle=True,
            num_workers=options.threads, persistent_workers=True, pin_memory=device.type == "cuda",
        )
        for what, view in views.items()
    }  # fmt: skip
    ours = {
        encoding: Loader(a_set.split("train"), Loading(options.batch), device, threads=options.threads, cache="none")
        for encoding, a_set in prepared.items()
    }
    for round_ in range(options.rounds + 1):  # the first is to warm up
        for what, view in views.items():
            found = {"rival": rate(rivals_epoch(rival[what], device), device)}
            for encoding, repeats in (("jpeg", 4), ("raw", 16)):
                epochs = (our_epoch(ours[encoding], e, prepared[encoding], view) for e in range(repeats))
                found[encoding] = rate(itertools.chain.from_iterable(epochs), device)
            for name, value in found.items():
                rates[name, what] += [value] if round_ else []
    for what, encoding in itertools.product(views, prepared):
        our, their = statistics.median(rates[encoding, what]), statistics.median(rates["rival", what])
        line = {
            "what": what, "source": f"{encoding} shards", "originals": made_of, "original_kB": round(kilobytes, 1),
            "images": options.images, "threads": options.threads, "rival_workers": options.threads,
            "batch": options.batch, "device": str(device), "cpu": machine.processor(), "rounds": options.rounds,
            "unit": "images/s", "ours": round(our), "rival": round(their), "ratio": round(our / their, 1),
        }  # fmt: skip
        print(json.dumps(line, ensure_ascii=False), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="our threads, and the rival's worker processes")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    devices.keep_pages()
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), options)


if __name__ == "__main__":
    main()
