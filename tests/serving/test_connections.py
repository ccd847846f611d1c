"""Over real connections: HEAD, clients that go while their pictures wait, and those that never take their answer."""

import asyncio
import contextlib
import http.client
import socket
import threading
import time

import pytest

from alexnet.serving import serve
from alexnet.serving.limits import Limits
from alexnet.serving.service import Service

RAW = {"Content-Type": "application/octet-stream"}


@pytest.fixture
def listen(make_classifier):
    """A function: limits → (service, uvicorn's server, its port), served by a thread until the test ends."""
    with contextlib.ExitStack() as stack:

        def listening(**limits):
            service = Service("small", make_classifier(), Limits(**limits))
            listener = stack.enter_context(serve._listening("127.0.0.1", 0))
            server = serve.http_server(service)
            thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])))
            thread.start()

            def stop():
                server.should_exit = True
                thread.join(60)
                assert not thread.is_alive()

            stack.callback(stop)
            until(lambda: server.started)
            return service, server, listener.getsockname()[1]

        yield listening


def until(holds):
    latest = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < latest
        time.sleep(0.01)


def posted(port, path, body, kind="application/octet-stream"):
    """A connection over which a whole request was sent, its client slow to take what comes."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", port))
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


def test_head_is_answered_wherever_get_is(listen):
    _, _, port = listen()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for path in ("/", "/healthz", "/readyz", "/metrics", "/v1/about", "/v1/kernels", "/openapi.json"):
        connection.request("HEAD", path)
        response = connection.getresponse()
        assert response.status == 200, path
        assert int(response.headers["content-length"]) > 0
        assert response.read() == b""
    connection.request("HEAD", "/v1/predict")
    assert connection.getresponse().status == 405
    connection.close()


def test_who_goes_while_waiting_leaves_the_queue(listen, draw):
    service, _, port = listen(queue=8, images=8)
    go = threading.Event()
    held = service.batcher.submit(lambda pixels: [go.wait(30)], [service.load(draw())])  # the network is busy
    clients = [posted(port, "/v1/predict", draw(seed)) for seed in range(6)]
    until(lambda: service.batcher.held == 7)
    for client in clients[:5]:
        client.close()
    until(lambda: service.batcher.held == 2)
    go.set()
    assert held[0].result(30)
    assert clients[5].recv(12) == b"HTTP/1.1 200"
    clients[5].close()
    until(lambda: service.batcher.held == 0)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux cuts such connections off")
def test_who_never_takes_an_answer_is_cut_off(listen, draw, monkeypatch):
    monkeypatch.setattr(serve, "_UNREAD", 1)
    _, server, port = listen()
    part = b'--x\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n' + draw() + b"\r\n"
    client = posted(port, "/v1/embed?stage=conv1", part * 64 + b"--x--\r\n", "multipart/form-data; boundary=x")
    until(lambda: len(server.server_state.connections) == 1)
    until(lambda: not server.server_state.connections)  # without being cut off, for as long as the client likes
    client.close()
