"""Over real connections: HEAD, clients that go or never take their answer, a server that stops, one that fails."""

import asyncio
import contextlib
import http.client
import signal
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
    """A function: drain_seconds and limits → (service, uvicorn's server, its port), served by a thread."""
    with contextlib.ExitStack() as stack:

        def listening(drain_seconds=0, **limits):
            service = Service("small", make_classifier(), Limits(**limits))
            listener = stack.enter_context(serve._listening("127.0.0.1", 0))
            server = serve.http_server(service, drain_seconds)
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


@pytest.fixture
def connected():
    """A function: port → a connection to it, closed when the test ends."""
    with contextlib.ExitStack() as stack:
        yield lambda port: stack.enter_context(
            contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30))
        )


def answered(way, method, path, body=None):
    """(status, the header Connection)."""
    way.request(method, path, body, RAW if body else {})
    response = way.getresponse()
    response.read()
    return response.status, response.headers["connection"]


def test_who_waits_while_the_server_stops_is_told_to_close(listen, connected, draw):
    service, server, port = listen()
    go = threading.Event()
    service.batcher.submit(lambda pixels: [go.wait(30)], [service.load(draw())])  # the network is busy
    client = posted(port, "/v1/predict", draw())
    until(lambda: service.batcher.held == 2)
    server.should_exit = True
    until(lambda: service.stopping)
    time.sleep(0.3)  # the listener is closed by now
    with pytest.raises(ConnectionRefusedError):
        connected(port).connect()
    go.set()
    answer = b""
    while part := client.recv(4096):
        answer += part
    client.close()
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.lower().count(b"\r\nconnection: close\r\n") == 1


def test_while_it_drains_it_takes_all_and_says_that_it_is_not_ready(listen, connected, draw):
    _, server, port = listen(drain_seconds=20)
    kept, idle = connected(port), connected(port)
    for way in (kept, idle):
        assert answered(way, "GET", "/readyz") == (200, None)
    server.handle_exit(signal.SIGTERM, None)
    for way in (kept, connected(port)):  # one from before, one from after
        assert answered(way, "GET", "/readyz") == (503, "close")
        assert way.sock is None  # closed in order, so that the next is asked over a new one
        assert answered(way, "POST", "/v1/predict", draw()) == (200, "close")
        assert answered(way, "POST", "/v1/predict", b"no picture") == (422, "close")
    assert answered(idle, "POST", "/v1/predict", draw()) == (200, "close")
    server.force_exit = True  # a second Ctrl-C ends it


def test_what_breaks_inside_is_in_the_log_with_its_place(listen, connected, draw, capfd):
    service, _, port = listen()

    def breaks(pixels):
        raise RuntimeError("no memory at all")

    service.predict = breaks
    assert answered(connected(port), "POST", "/v1/predict", draw())[0] == 500
    log = []  # it is written after the answer

    def whole():
        log.append(capfd.readouterr().err)
        return "RuntimeError: no memory at all\n" in "".join(log)

    until(whole)
    assert service.telling.registry.get_sample_value("alexnet_refusals_total", {"reason": "failed"}) == 1
    assert "Traceback" in "".join(log)
    assert "in breaks" in "".join(log)
