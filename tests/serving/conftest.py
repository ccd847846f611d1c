"""A small untrained classifier, pictures drawn for it, and a server in this process."""

import asyncio
import contextlib
import io

import httpx
import numpy as np
import pytest
import torch
from PIL import Image

from alexnet.data.shards import ClassName
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
    return Classifier(network, Views(crop=24, divisor=60.0), statistics, classes, size=SIZE)


def encoded(seed=0, size=(40, 50), kind="PNG", mode="RGB", **options):
    """An image file's bytes: smooth colours that differ by seed."""
    random = np.random.default_rng(seed)
    small = Image.fromarray(random.integers(0, 256, (4, 4, 3), np.uint8))
    file = io.BytesIO()
    small.resize((size[1], size[0]), Image.Resampling.BICUBIC).convert(mode).save(file, kind, **options)
    return file.getvalue()


@contextlib.contextmanager
def opened(**limits):
    service = Service("small", classifier(), Limits(**limits))
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
