"""A small untrained classifier, pictures drawn for it, and a server in this process."""

import asyncio
import contextlib
import io
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from alexnet.data.shards import ClassName
from alexnet.data.squaring import Squaring
from alexnet.data.views import Statistics, Views
from alexnet.evaluation.classifier import Classifier
from alexnet.model.cifar10 import Cifar10Config
from alexnet.model.network import Network
from alexnet.serving.limits import Limits
from alexnet.serving.server import application
from alexnet.serving.service import Service

SIZE = 32


def classifier():
    """A narrow 11 % net with large random weights, so that its answers differ."""
    network = Network(Cifar10Config(classes=7, width=0.125))
    generator = torch.Generator().manual_seed(0)
    network.load_whole({n: torch.randn(v.shape, generator=generator) * 0.2 for n, v in network.whole().items()})
    statistics = Statistics(torch.rand(3, SIZE, SIZE, generator=generator) * 255, torch.eye(3, dtype=torch.float64))
    classes = tuple(ClassName(name, f"{name}, or such") for name in "abcdefg")
    return Classifier(network, Views(crop=24, divisor=60.0), statistics, classes, squaring=Squaring(SIZE))


def encoded(seed=0, size=(40, 50), kind="PNG", mode="RGB", **options):
    """An image file's bytes: smooth colours that differ by seed."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8))
    file = io.BytesIO()
    small.resize((size[1], size[0]), Image.Resampling.BICUBIC).convert(mode).save(file, kind, **options)
    return file.getvalue()


@contextlib.contextmanager
def opened(abstain_below=None, **limits):
    service = Service("small", classifier(), Limits(**limits), abstain_below=abstain_below)
    try:
        yield service
    finally:
        service.close()


class Client:
    """Requests to a server in this process, one or many at once."""

    def __init__(self, service):
        self.service = service
        self._app = application(service)

    def get(self, path):
        return self.many([("GET", path, {})])[0]

    def post(self, path, **options):
        return self.many([("POST", path, options)])[0]

    def many(self, requests):
        async def run():
            transport = httpx.ASGITransport(self._app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
                return await asyncio.gather(*(client.request(m, p, **options) for m, p, options in requests))

        return asyncio.run(run())


@pytest.fixture(scope="module")
def client():
    with opened() as service:
        yield Client(service)


@pytest.fixture
def make_client():
    with contextlib.ExitStack() as stack:
        yield lambda **limits: Client(stack.enter_context(opened(**limits)))


@pytest.fixture(scope="session")
def draw():
    return encoded


@pytest.fixture(scope="session")
def make_classifier():
    return classifier


class Process:
    """A server in a process of its own."""

    def __init__(self, *arguments):
        # -P, and nothing that lies where we are is taken for a package.
        command = [sys.executable, "-P", "-m", "alexnet", "serve", *map(str, arguments), "--port", "0"]
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        surroundings = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=self._log, text=True, env=surroundings, cwd=tempfile.gettempdir()
        )
        self.line = self._process.stdout.readline()
        self.address = self.line.rpartition(" ")[2].strip()
        self.pid = self._process.pid
        assert self.address.startswith("http://"), self.errors()

    def errors(self):
        self._log.seek(0)
        return self._log.read()

    def terminate(self):
        self._process.send_signal(signal.SIGTERM)

    def wait(self):
        return self._process.wait(120)

    def memory(self):
        """Megabytes."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024

    def end(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()


@pytest.fixture
def start():
    with contextlib.ExitStack() as stack:

        def started(*arguments):
            process = Process(*arguments)
            stack.callback(process.end)
            return process

        yield started
