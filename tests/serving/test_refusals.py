"""Bad requests: 4xx with one clear sentence, and the server answers the next one."""

import asyncio
import gzip
import struct
import time
import zlib

import httpx
import pytest

from alexnet.serving.bodies import base_name
from alexnet.serving.server import application

RAW = {"content-type": "application/octet-stream"}


def enormous(side=30_000):
    """A PNG that says it is so large, and whose pixels, all of one grey, take a few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1 << 20)))


def refused(response, status):
    assert response.status_code == status, response.text
    sentence = response.json()["error"]
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "Traceback" not in response.text
    return sentence


def still_up(client, draw):
    return client.post("/v1/predict", content=draw(), headers=RAW).status_code == 200


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no picture", "not an image"),
        (b"\xff\xd8\xff", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (enormous(), "30000×30000 is over the limit"),
    ],
)
def test_what_is_no_picture_has_its_reason(client, draw, data, words):
    assert words in refused(client.post("/v1/predict", content=data, headers=RAW), 422)
    assert still_up(client, draw)


def test_a_truncated_picture_is_refused(client, draw):
    for kind in ("PNG", "JPEG"):
        whole = draw(1, (300, 300), kind)
        response = client.post("/v1/predict", content=whole[: len(whole) // 2], headers=RAW)
        assert "truncated" in refused(response, 422)


def test_a_body_over_the_limit_is_refused_declared_or_not(make_client, draw):
    client = make_client(megabytes=0.01)

    async def pieces():
        for _ in range(30):
            yield bytes(1000)

    for content in (bytes(30_000), pieces(), bytes(10_000_000)):
        response = client.post("/v1/predict", content=content, headers=RAW)
        assert "over the limit of 0.01 MB" in refused(response, 413)
    assert still_up(client, draw)


def scanned(data, times):
    """A progressive JPEG whose last scan comes so many times more; it takes a hundred bytes each time."""
    last = data.rfind(b"\xff\xc4", 0, data.rfind(b"\xff\xda"))
    return data[:-2] + data[last:-2] * times + data[-2:]


def test_files_that_would_take_minutes_or_much_memory_are_refused(make_client, draw):
    client = make_client(megabytes=0.1)
    picture = draw(1, (60, 80), "JPEG", progressive=True)
    hostile = {
        "more than 100 scans": scanned(picture, 101),
        "more than 0.1 MB": gzip.compress(bytes(1 << 20)),
        "around another": gzip.compress(gzip.compress(picture)),
        "damaged gzip": b"\x1f\x8b" + picture,
    }
    for words, data in {**hostile, "scans": gzip.compress(scanned(picture, 101))}.items():
        assert words in refused(client.post("/v1/predict", content=data, headers=RAW), 422)
    same = [client.post("/v1/predict", content=data, headers=RAW).json() for data in (picture, gzip.compress(picture))]
    assert same[0] == same[1]
    assert same[0]["results"][0]["predictions"]


def test_all_bodies_together_have_a_limit(make_client, draw, monkeypatch):
    monkeypatch.setattr("alexnet.serving.bodies._BODIES", 0)
    response = make_client().post("/v1/predict", content=draw(), headers=RAW)
    assert "too much is being uploaded" in refused(response, 429)
    assert response.headers["retry-after"] == "1"


def test_a_compressed_body_is_refused_by_its_encoding(client, draw):
    response = client.post("/v1/predict", content=draw(), headers={**RAW, "content-encoding": "gzip"})
    assert "encoded as gzip is not taken" in refused(response, 415)
    assert client.post("/v1/predict", content=draw(), headers={**RAW, "content-encoding": "identity"}).is_success


def test_pixels_are_limited_before_they_are_decoded(make_client, draw):
    client = make_client(megapixels=0.01)
    assert "over the limit of 10000 pixels" in refused(
        client.post("/v1/predict", content=draw(0, (101, 100)), headers=RAW), 422
    )
    assert client.post("/v1/predict", content=draw(0, (100, 100)), headers=RAW).status_code == 200


def test_too_many_pictures_in_one_request(make_client, draw):
    client = make_client(images=3)
    files = [("images", (f"{i}.png", draw(i))) for i in range(4)]
    assert client.post("/v1/predict", files=files[:3]).status_code == 200
    assert "may bring 3 images" in refused(client.post("/v1/predict", files=files), 413)


@pytest.mark.parametrize("kind", ["application/json", "text/html", "application/x-www-form-urlencoded", "video/mp4"])
def test_other_content_is_refused_by_name(client, draw, kind):
    response = client.post("/v1/predict", content=draw(), headers={"content-type": kind})
    assert kind in refused(response, 415)


def test_requests_without_a_picture(client, draw):
    for options in ({}, {"content": b"", "headers": RAW}, {"files": {"photo": ("a.png", draw())}}):
        assert "no picture in the request" in refused(client.post("/v1/predict", **options), 400)


def test_a_field_of_another_name_is_told_the_right_one(client, draw):
    sentence = refused(client.post("/v1/predict", files={"image": ("a.png", draw())}), 400)
    assert sentence.endswith("its form has the field 'image'; call it 'images'.")
    both = [("image", ("a.png", draw())), ("images", ("b.png", draw()))]
    (result,) = client.post("/v1/predict", files=both).json()["results"]
    assert result["name"] == "b.png"


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        (b"--x\r\nrubbish", "multipart/form-data", "no boundary"),
        (b"rubbish", "multipart/form-data; boundary=x", "cannot be told apart"),
        (
            b'--x\r\nContent-Disposition: form-data; name="images"\r\n\r\nabc',
            "multipart/form-data; boundary=x",
            "short",
        ),
        (b"--x\r\n" + b"a" * 100_000, "multipart/form-data; boundary=x", "cannot be told apart"),
        (b"--x\r\nA: " + b"a" * 100_000 + b"\r\n\r\n", "multipart/form-data; boundary=x", "cannot be told apart"),
        (b"--x\r\n" + b"A: b\r\n" * 1000 + b"\r\n", "multipart/form-data; boundary=x", "cannot be told apart"),
    ],
)
def test_damaged_forms(client, content, kind, words):
    response = client.post("/v1/predict", content=content, headers={"content-type": kind})
    assert words in refused(response, 400)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\ship.png", "ship.png"),
        ("/absolute/./x.png", "x.png"),
        ("..", "image 1"),
        ("folder/", "image 1"),
        ("a" * 5000 + ".png", "a" * 120),
        ("schön \x07 \u202e.png", "schön  .png"),
    ],
)
def test_a_path_in_a_name_is_only_a_name(given, shown):
    assert base_name(given, 1) == shown


def test_a_path_in_a_name_is_cut_on_its_way_through(client, draw):
    (result,) = client.post("/v1/predict", files={"images": ("../../x/y.png", draw())}).json()["results"]
    assert result["name"] == "y.png"


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("POST", "/v1/predict?top=0", 422, "top: "),
        ("POST", "/v1/predict?top=many", 422, "top: "),
        ("POST", "/v1/predict?abstain_below=2", 422, "abstain_below: "),
        ("POST", "/v1/predict?topp=1", 400, "no parameter 'topp' (did you mean 'top'?); there are top, abstain_below"),
        ("POST", "/v1/evidence?abstain=0.5", 400, "did you mean 'abstain_below'?"),
        ("POST", "/v1/embed?top=1", 400, "no parameter 'top'"),
        ("POST", "/v1/embed?stage=relu9", 422, "no stage 'relu9'"),
        ("GET", "/v1/predict", 405, "does not take GET; /docs tells people, /openapi.json programs, what it takes."),
        (
            "POST",
            "/v1/neighbours",
            404,
            "at /v1/neighbours; /docs tells people, /openapi.json programs, what there is.",
        ),
        ("GET", "/../../etc/passwd", 404, "nothing at"),
        ("POST", "/v1/predict/", 404, "nothing at /v1/predict/"),
    ],
)
def test_wrong_questions(client, draw, method, path, status, words):
    ((response,)) = client.many([(method, path, {"content": draw(), "headers": RAW})])
    assert words in refused(response, status)


def test_what_may_be_asked_instead_is_named(client):
    assert client.get("/v1/predict").headers["allow"] == "POST"
    assert client.post("/v1/classes").headers["allow"] == "GET"


def test_a_full_queue_refuses_with_retry_after_and_answers_the_others(make_client, draw):
    client = make_client(queue=8, images=8)
    asked = [("POST", "/v1/predict", {"content": draw(seed), "headers": RAW}) for seed in range(60)]
    expected = [client.service.classifier.predict([draw(seed)])[0][0] for seed in range(60)]
    responses = client.many(asked)
    assert {response.status_code for response in responses} == {200, 429}
    for response, (label, probability) in zip(responses, expected, strict=True):
        if response.status_code == 429:
            assert "queue is full" in refused(response, 429)
            assert int(response.headers["retry-after"]) >= 1
        else:
            best = response.json()["results"][0]["predictions"][0]
            assert best == {"label": label, "probability": pytest.approx(probability, abs=1e-5)}
    assert client.service.batcher.held == 0
    assert still_up(client, draw)


def test_an_answer_that_takes_too_long_is_given_up(make_client, draw):
    client = make_client(seconds=0.3)
    quickly = client.service.predict

    def slowly(pixels):
        time.sleep(0.6)
        return quickly(pixels)

    client.service.predict = slowly
    response = client.post("/v1/predict", content=draw(), headers=RAW)
    assert "no answer within 0.3 seconds" in refused(response, 503)
    assert response.headers["retry-after"]


def upload(client, chunks, headers=RAW):
    """The response to a body whose pieces come by the async generator `chunks`, or what was raised."""

    async def run():
        transport = httpx.ASGITransport(application(client.service), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as http:
            return await http.post("/v1/predict", content=chunks(), headers=headers)

    return asyncio.run(run())


def test_a_slow_upload_is_cut_off(make_client, draw):
    client = make_client(seconds=0.3)

    async def slow():
        for piece in draw():
            await asyncio.sleep(0.05)
            yield bytes([piece])

    assert "upload took longer than 0.3 seconds" in refused(upload(client, slow), 408)


def test_a_client_that_vanishes_leaves_nothing_behind(client, draw):
    app = application(client.service)
    messages = iter([{"type": "http.request", "body": draw()[:50], "more_body": True}, {"type": "http.disconnect"}])
    sent = []

    async def receive():
        return next(messages)

    async def send(message):
        sent.append(message)

    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"},
        **{"path": "/v1/predict", "raw_path": b"/v1/predict", "query_string": b"", "root_path": ""},
        **{"headers": [(b"content-type", b"image/png")], "client": ("1.2.3.4", 5), "server": ("server", 80)},
    }
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 499
    assert client.service.batcher.held == 0
    assert still_up(client, draw)


def test_what_breaks_inside_is_500_with_a_sentence(make_client, draw):
    client = make_client()

    def breaks(pixels):
        raise RuntimeError("secret path /x/y")

    good, client.service.predict = client.service.predict, breaks
    response = client.post("/v1/predict", content=draw(), headers=RAW)
    assert "failed at this request" in refused(response, 500)
    assert "secret" not in response.text
    assert response.headers["x-content-type-options"] == "nosniff"
    client.service.predict = good
    assert still_up(client, draw)
