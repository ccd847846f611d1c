"""Requests a second, p50 and p99 of `alexnet serve` at 1, 8 and 64 clients, beside the bare network; a JSON line each.

The network is the paper's, its weights drawn; the precision float32. The server is a process of its own on all cores;
so is the program that asks: each client sends a 500×375 JPEG (noise with a photograph's spectrum) as a raw body, reads
the answer, and sends the next at once, on one connection. The rival is the network alone in a third process, on a
ready batch of 64 (of 1, beside 1 client), timed between rounds while the server idles. `ratio` is ours over the
rival's images a second. At 1 client `over` is by how much a request's median exceeds the bare call's median: 0.15 is
the aim; at 64 clients the aim is a ratio of 0.85. Every answer is compared with the one that `Classifier.predict` gives
for its picture: `wrong` counts those that differ, `refused` those that were told to come again.

    python benchmarks/serve.py [--clients 1 8 64] [--seconds 15] [--rounds 3] [--picture 500 375] [--threads 2]
"""

import argparse
import contextlib
import http.client
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import torch
from PIL import Image

from alexnet import devices, machine
from alexnet.data.shards import ClassName
from alexnet.data.views import Statistics, Views
from alexnet.evaluation.classifier import Classifier
from alexnet.model.alexnet import AlexNet, AlexNetConfig

BATCH = 64
DIFFERENT = 32  # pictures
RAW = {"Content-Type": "image/jpeg"}
BARE = """
import sys, torch, json, statistics, time
from alexnet.evaluation.classifier import Classifier
from alexnet import devices
torch.set_num_threads({threads})
devices.keep_pages()
network = Classifier.load({file!r}, {device!r}).network
for line in sys.stdin:
    batch, seconds = int(line.split()[0]), float(line.split()[1])
    images = torch.randn(batch, 3, 224, 224, device=network.devices[0]).contiguous(memory_format=torch.channels_last)
    took = []
    with torch.no_grad():
        network(images).sum().item()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            begun = time.perf_counter()
            network(images).sum().item()
            took.append(time.perf_counter() - begun)
    print(json.dumps([batch * len(took) / sum(took), statistics.median(took)]), flush=True)
"""


def draw(number: int, width: int, height: int) -> bytes:
    """A JPEG, noise with a photograph's spectrum."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) + 1 / width
    white = np.random.default_rng(number).normal(size=(3, height, width))
    noise = np.fft.irfft2(np.fft.rfft2(white) / frequency, (height, width))
    pixels = (120 + 55 * noise / noise.std((1, 2), keepdims=True)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(file, "JPEG", quality=95)
    return file.getvalue()


def classifier(path: Path) -> Path:
    """A file with the paper's network, its weights drawn so that pictures are told apart."""
    network, generator = AlexNet(AlexNetConfig()), torch.Generator().manual_seed(0)
    for value in network.parameters():
        spread = (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.1
        value.data = torch.randn(value.shape, generator=generator) * spread
    statistics_ = Statistics(torch.full((3, 256, 256), 120.0), torch.eye(3, dtype=torch.float64))
    names = tuple(ClassName(str(number), str(number)) for number in range(1000))
    Classifier(network, Views(), statistics_, names).save(path)
    return path


@contextlib.contextmanager
def process(words: list[str], threads: int) -> Iterator[subprocess.Popen[str]]:
    """A Python process with so many threads for torch, ended with the block."""
    surroundings = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    command = [sys.executable, *words]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=surroundings
    ) as running:
        try:
            yield running
        finally:
            running.terminate()


class Client(threading.Thread):
    """Asks without pause until `end`."""

    def __init__(self, address: str, pictures: list[bytes], expected: list[float], first: int, end: float) -> None:
        super().__init__()
        self._address, self._pictures, self._expected = address, pictures, expected
        self._number, self._end = first, end
        self.took: list[float] = []
        self.wrong = self.refused = 0

    def run(self) -> None:
        place = urlsplit(self._address)
        way = http.client.HTTPConnection(str(place.hostname), place.port, timeout=120)
        while time.perf_counter() < self._end:
            number = self._number % len(self._pictures)
            self._number += 1
            begun = time.perf_counter()
            way.request("POST", "/v1/predict", self._pictures[number], RAW)
            response = way.getresponse()
            told = json.loads(response.read())
            self.took.append(time.perf_counter() - begun)
            if response.status in (429, 503):
                self.refused += 1
                time.sleep(float(response.headers["Retry-After"]))
            elif response.status != 200:
                self.wrong += 1
            else:
                best = told["results"][0]["predictions"][0]["probability"]
                self.wrong += abs(best - self._expected[number]) > 1e-4
        way.close()


def asked(address: str, clients: int, pictures: list[bytes], expected: list[float], seconds: float) -> dict[str, float]:
    """What so many clients found within `seconds`."""
    begun = time.perf_counter()
    all_ = [Client(address, pictures, expected, 7 * number, begun + seconds) for number in range(clients)]
    for client in all_:
        client.start()
    for client in all_:
        client.join()
    took = np.array([each for client in all_ for each in client.took])
    answered = len(took) - sum(client.refused for client in all_)
    return {
        **{"rate": answered / (time.perf_counter() - begun), "p50": float(np.percentile(took, 50))},
        **{"p99": float(np.percentile(took, 99)), "wrong": sum(client.wrong for client in all_)},
        **{"refused": sum(client.refused for client in all_)},
    }


def bare(rival: subprocess.Popen[str], batch: int, seconds: float) -> tuple[float, float]:
    """(images a second, median seconds a call) of the network alone."""
    assert rival.stdin is not None
    assert rival.stdout is not None
    print(batch, seconds, file=rival.stdin, flush=True)
    rate, median = json.loads(rival.stdout.readline())
    return rate, median


def lines(root: Path, options: argparse.Namespace) -> Iterator[dict[str, object]]:
    """A line for each number of clients."""
    file = classifier(root / "classifier.safetensors")
    device = str(devices.choose(options.device))
    pictures = [draw(number, *options.picture) for number in range(DIFFERENT)]
    expected = [answers[0][1] for answers in Classifier.load(file, device).predict(pictures, top=1)]
    assert len({round(each, 3) for each in expected}) > DIFFERENT // 4, "answers that cannot be told apart"
    serve = ["-m", "alexnet", "serve", str(file), "--port", "0", "--device", device]
    alone = ["-c", BARE.format(threads=options.threads, file=str(file), device=device)]
    found: dict[int, list[tuple[dict[str, float], float, float]]] = {clients: [] for clients in options.clients}
    with process(serve, options.threads) as server, process(alone, options.threads) as rival:
        assert server.stdout is not None
        address = server.stdout.readline().rpartition(" ")[2].strip()
        for round_ in range(options.rounds + 1):
            for clients, results in found.items():
                rate, median = bare(rival, 1 if clients == 1 else BATCH, options.seconds / 3)
                ours = asked(address, clients, pictures, expected, options.seconds)
                results += [(ours, rate, median)] if round_ else []
    for clients, results in found.items():
        ours = {name: statistics.median(each[name] for each, _, _ in results) for name in ("rate", "p50", "p99")}
        rate, median = (statistics.median(each[place] for each in results) for place in (1, 2))
        yield {
            **{"what": "serve", "clients": clients, "precision": "fp32", "device": device, "cpu": machine.processor()},
            **{
                "picture": "×".join(map(str, options.picture)),
                "threads": options.threads,
                "rounds": options.rounds,
                "rival_batch": 1 if clients == 1 else BATCH,
            },
            **{"rival_is": "the bare forward pass", "unit": "requests/s", "ours": round(ours["rate"], 1)},
            **{"rival": round(rate, 1), "ratio": round(ours["rate"] / rate, 3)},
            **{"p50_ms": round(1000 * ours["p50"], 1), "p99_ms": round(1000 * ours["p99"], 1)},
            **({"over": round(ours["p50"] / median - 1, 3)} if clients == 1 else {}),
            **{name: sum(each[name] for each, _, _ in results) for name in ("wrong", "refused")},
        }


def main() -> None:
    """Nothing; prints the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", nargs="*", type=int, default=[1, 8, 64])
    parser.add_argument("--seconds", type=float, default=15, help="of each round, at each number of clients")
    parser.add_argument("--rounds", type=int, default=3, help="and one before them that does not count")
    parser.add_argument("--picture", nargs=2, type=int, default=[500, 375], help="its width and height")
    parser.add_argument("--threads", type=int, default=machine.cores())
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for line in lines(Path(folder), options):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
