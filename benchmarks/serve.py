"""Requests a second, p50 and p99 of `alexnet serve` at 1, 8 and 64 clients, beside the bare network; a JSON line each.

The network is the paper's, its weights drawn; the precision float32. The server is a process of its own on all cores;
so is the program that asks: each client sends a 500×375 JPEG (noise with a photograph's spectrum, 110 KB, as ImageNet's
have on average) as a raw body, reads the answer, and sends the next at once, on one connection. The rival is the
network alone in a third process, on a ready batch of 64 (of 1, beside 1 client), timed in every round just before,
while the server idles. `ratio` is the median over rounds of ours over the rival's images a second, `ratios` the least
and the greatest. At 1 client `over` is, likewise by rounds, by how much a request's median exceeds the bare call's:
0.15 is the aim; at 64 clients the aim is a ratio of 0.85. `decoding_ms` is what one core takes to decode one such
picture, and `bound` the ratio of a server that did nothing but decode and compute on the same cores:
1 / (1 + decoding · rival / threads). Every answer is compared with the one that `Classifier.predict` gives for its
picture: `wrong` counts those that differ, `refused` those that were told to come again, `lost` those without an answer.

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
from alexnet.data.squaring import Squaring
from alexnet.data.views import Statistics, Views
from alexnet.evaluation.classifier import Classifier
from alexnet.model.alexnet import AlexNet, AlexNetConfig

BATCH = 64
DIFFERENT = 32  # pictures
QUALITY = 85  # makes files as large as ImageNet's of this size
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
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(file, "JPEG", quality=QUALITY)
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
        self.wrong = self.refused = self.lost = 0

    def run(self) -> None:
        place = urlsplit(self._address)
        with contextlib.closing(http.client.HTTPConnection(str(place.hostname), place.port, timeout=120)) as way:
            while time.perf_counter() < self._end:
                try:
                    self._ask(way, self._number % len(self._pictures))
                except (OSError, http.client.HTTPException):
                    self.lost += 1
                    way.close()  # the next request opens it anew
                self._number += 1

    def _ask(self, way: http.client.HTTPConnection, number: int) -> None:
        begun = time.perf_counter()
        way.request("POST", "/v1/predict", self._pictures[number], RAW)
        response = way.getresponse()
        told = json.loads(response.read())
        if response.status in (429, 503):
            self.refused += 1
            time.sleep(float(response.headers["Retry-After"]))
            return
        self.took.append(time.perf_counter() - begun)
        if response.status != 200:
            self.wrong += 1
        else:
            best = told["results"][0]["predictions"][0]["probability"]
            self.wrong += abs(best - self._expected[number]) > 1e-4


def asked(address: str, clients: int, pictures: list[bytes], expected: list[float], seconds: float) -> dict[str, float]:
    """What so many clients found within `seconds`."""
    begun = time.perf_counter()
    all_ = [Client(address, pictures, expected, 7 * number, begun + seconds) for number in range(clients)]
    for client in all_:
        client.start()
    for client in all_:
        client.join()
    took = np.array([each for client in all_ for each in client.took])
    return {
        **{"rate": len(took) / (time.perf_counter() - begun)},
        **{"p50": float(np.percentile(took, 50)), "p99": float(np.percentile(took, 99))},
        **{name: sum(getattr(client, name) for client in all_) for name in ("wrong", "refused", "lost")},
    }


def decoding(pictures: list[bytes]) -> float:
    """Seconds of one core that a picture takes to become the stored square, the median over pictures."""
    took = []
    for data in pictures:
        begun = time.thread_time()
        Squaring().of_file(data)
        took.append(time.thread_time() - begun)
    return statistics.median(took)


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
    decoded = decoding(pictures)
    for clients, results in found.items():
        ratios = [ours["rate"] / rate for ours, rate, _ in results]
        ours = {name: statistics.median(each[name] for each, _, _ in results) for name in ("rate", "p50", "p99")}
        rate = statistics.median(rate for _, rate, _ in results)
        over = statistics.median(ours["p50"] / median - 1 for ours, _, median in results)
        yield {
            **{"what": "serve", "clients": clients, "precision": "fp32", "device": device, "cpu": machine.processor()},
            **{"picture": "×".join(map(str, options.picture)), "threads": options.threads, "rounds": options.rounds},
            **{"rival_batch": 1 if clients == 1 else BATCH, "rival_is": "the bare forward pass"},
            **{"unit": "requests/s", "ours": round(ours["rate"], 1), "rival": round(rate, 1)},
            **{"ratio": round(statistics.median(ratios), 3)},
            **{"ratios": [round(min(ratios), 3), round(max(ratios), 3)]},
            **({"over": round(over, 3)} if clients == 1 else {}),
            **{"p50_ms": round(1000 * ours["p50"], 1), "p99_ms": round(1000 * ours["p99"], 1)},
            **{"decoding_ms": round(1000 * decoded, 2)},
            **(
                {"bound": round(1 / (1 + decoded * rate / options.threads), 3)}
                if clients > 1 and device == "cpu"
                else {}
            ),
            **{name: sum(int(each[name]) for each, _, _ in results) for name in ("wrong", "refused", "lost")},
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
