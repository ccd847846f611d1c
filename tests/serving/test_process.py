"""A real process: its one line, its end under load, clients that vanish, memory that stays flat."""

import asyncio
import contextlib
import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch

from alexnet import cli
from alexnet.evaluation.classifier import Classifier
from alexnet.serving.limits import Limits
from alexnet.serving.serve import computing_alone, http_server
from alexnet.serving.service import Service

pytestmark = pytest.mark.slow
RAW = {"Content-Type": "application/octet-stream"}


class Asker(threading.Thread):
    """Asks without pause until it, or its connection, is told to stop or the server is gone; keeps every answer."""

    def __init__(self, address, pictures, start):
        super().__init__(daemon=True)
        self._place, self._pictures, self._number = urlsplit(address), pictures, start
        self.answers, self.broken, self.lost, self.stop = [], [], [], False

    def run(self):
        with contextlib.closing(http.client.HTTPConnection(self._place.hostname, self._place.port, timeout=60)) as way:
            while not self.stop and self._asked(way):
                pass

    def _asked(self, way):
        """Whether there was an answer; a connection refused, or closed before a word of one, was not accepted."""
        number = self._number % len(self._pictures)
        self._number += 7
        try:
            way.request("POST", "/v1/predict?top=1", self._pictures[number], RAW)
            response = way.getresponse()
        except OSError as error:  # RemoteDisconnected is one
            self.lost.append(error)
            return False
        try:
            self.answers.append((number, response.status, json.loads(response.read())))
        except (OSError, ValueError, http.client.HTTPException) as error:
            self.broken.append(error)
            return False
        if response.status == 429:
            time.sleep(0.05)
        return response.headers["connection"] != "close"


def expected(pictures):
    found = Classifier.load("cifar10", "cpu").predict(pictures, top=1)
    return [(label, pytest.approx(probability, abs=1e-5)) for ((label, probability),) in found]


def check(askers, right):
    """How many were answered, all rightly, or refused as a full queue refuses."""
    assert [asker.broken for asker in askers if asker.broken] == []
    answered = 0
    for number, status, told in (answer for asker in askers for answer in asker.answers):
        assert status in (200, 429, 503), told
        if status == 200:
            best = told["results"][0]["predictions"][0]
            assert (best["label"], best["probability"]) == right[number]
            answered += 1
    return answered


def test_it_stops_under_load_and_every_accepted_request_is_answered_rightly(start, draw):
    server = start("cifar10", "--limits.queue", "16", "--limits.images", "16", "--drain-seconds", "2")
    assert re.fullmatch(r"alexnet serves cifar10 at http://127\.0\.0\.1:\d+\n", server.line)
    pictures = [draw(number, (60, 80), "JPEG") for number in range(20)]
    askers = [Asker(server.address, pictures, number) for number in range(32)]
    for asker in askers:
        asker.start()
    latest = time.monotonic() + 60
    while sum(status == 200 for asker in askers for _, status, _ in asker.answers) < 50 and time.monotonic() < latest:
        time.sleep(0.05)
    server.terminate()
    assert server.wait() == 143
    for asker in askers:
        asker.join(60)
        assert not asker.is_alive()
    assert check(askers, expected(pictures)) >= 50
    assert [error for asker in askers for error in asker.lost] == []  # each was told before it sent one more
    assert server.errors() == ""


def test_as_many_answers_arrive_as_pictures_were_accepted(draw):
    service = Service.open("cifar10", Limits(queue=16, images=16), device="cpu")
    accepted, submit = [], service.batcher.submit

    def counting(compute, loads):
        answers = submit(compute, loads)
        accepted.extend(answers)
        return answers

    service.batcher.submit = counting
    server = http_server(service)
    listener = socket.create_server(("127.0.0.1", 0))
    running = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
    running.start()
    pictures = [draw(number, (60, 80), "JPEG") for number in range(20)]
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    askers = [Asker(address, pictures, number) for number in range(32)]
    for asker in askers:
        asker.start()
    latest = time.monotonic() + 60
    while len(accepted) < 50 and time.monotonic() < latest:
        time.sleep(0.05)
    server.should_exit = True
    for thread in (*askers, running):
        thread.join(60)
        assert not thread.is_alive()
    assert check(askers, expected(pictures)) == len(accepted) >= 50


def test_only_the_thread_of_the_batches_computes_on_several_cores():
    before = torch.get_num_threads()
    with computing_alone():
        service = Service.open("cifar10", Limits(), device="cpu", threads=3)

        def threads(pixels):
            return [torch.get_num_threads()] * len(pixels)

        (answer,) = service.batcher.submit(threads, [lambda: np.zeros((1, 1, 3), np.uint8)])
        assert answer.result(10) == 3
        assert torch.get_num_threads() == 1
        service.close()
    assert torch.get_num_threads() == before


def test_what_is_said_at_the_start_and_of_each_request(start, draw):
    server = start("cifar10", "--log", "--abstain-below", "1")
    place = urlsplit(server.address)
    with contextlib.closing(http.client.HTTPConnection(place.hostname, place.port, timeout=60)) as way:
        way.request("POST", "/v1/predict?top=1", draw(), RAW)
        assert json.loads(way.getresponse().read())["results"][0]["abstained"] is True
    server.terminate()
    assert server.wait() == 143
    note, line = server.errors().splitlines()
    assert note.startswith("alexnet: the classifier is not calibrated")
    assert (json.loads(line)["path"], json.loads(line)["status"]) == ("/v1/predict", 200)


def test_clients_that_vanish_mid_upload_harm_no_other(start, draw):
    server = start("cifar10")
    pictures = [draw(number, (60, 80)) for number in range(5)]
    place = urlsplit(server.address)
    asker = Asker(server.address, pictures, 0)
    asker.start()
    for number in range(60):
        with socket.create_connection((place.hostname, place.port)) as vanishing:
            head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: {10**6}\r\n\r\n"
            vanishing.sendall(head.encode()[: None if number % 3 else 40])
            vanishing.sendall(bytes(1000 * (number % 7)) if number % 3 else b"")
    latest = time.monotonic() + 60
    before = len(asker.answers)
    while len(asker.answers) < before + 5 and time.monotonic() < latest:
        time.sleep(0.05)
    asker.stop = True
    asker.join(60)
    assert check([asker], expected(pictures)) >= before + 5
    server.terminate()
    assert server.wait() == 143
    assert server.errors() == ""


def test_memory_stays_flat_over_bad_requests(start, draw):
    server = start("cifar10", "--limits.megapixels", "4")
    place = urlsplit(server.address)
    large = draw(1, (1900, 2000), "PNG")
    bad = [bytes(40 << 20), large, large[:-500], b"x" * (20 << 20), draw(2, (2100, 2100)), b"GIF89a" + bytes(10**6)]

    def around():
        statuses = []
        for data in bad:
            connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
            connection.request("POST", "/v1/predict", data, RAW)
            response = connection.getresponse()
            assert response.read()
            statuses.append(response.status)
            connection.close()
        return statuses

    for _ in range(4):
        assert around() == [413, 200, 422, 422, 422, 422]
    before = server.memory()
    for _ in range(12):
        around()
    # A body of 20 kept in each round would be 240; the arenas of four or five threads may keep the room of one each.
    assert server.memory() < before + 120
    server.terminate()
    assert server.wait() == 143


def test_a_second_server_at_one_address_says_so(start):
    server = start("cifar10")
    port = server.address.rpartition(":")[2]
    command = [sys.executable, "-m", "alexnet", "serve", "cifar10", "--port", port]
    second = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert second.returncode == 1
    assert re.fullmatch(rf"alexnet: 127\.0\.0\.1:{port} cannot be listened at \(.*\); --port .*\n", second.stderr)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing/here"], "nothing/here"),
        (["cifar10", "--features", "nothing/here"], "no folder of features"),
        (["cifar10", "--host", "999.1.1.1"], "no address to listen at"),
        (["cifar10", "--port", "80000"], "port is 80000; it must lie in 0..65535."),
        (["cifar10", "--limits.batch", "0"], "batch is 0"),
        (["cifar10", "--abstain-below", "80"], "--abstain-below is 80"),
        (["cifar10", "--drain-seconds", "-1"], "drain_seconds is -1"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(arguments, words, capsys):
    assert cli.main(["serve", *arguments]) in (1, 2)
    assert words in capsys.readouterr().err
