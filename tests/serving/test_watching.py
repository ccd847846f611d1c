"""What is told of a server: which classifier answers, whether it is ready, metrics, the log."""

import hashlib
import json
import re
import threading

import alexnet
from alexnet.serving.limits import Limits
from alexnet.serving.server import application
from alexnet.serving.service import Service
from alexnet.serving.telling import REASONS

RAW = {"content-type": "application/octet-stream"}


def test_it_is_ready_unless_its_queue_is_full(make_client, draw):
    client, go = make_client(queue=1, images=1), threading.Event()
    assert [client.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    answers = client.service.batcher.submit(lambda pixels: [go.wait(10)], [client.service.load(draw())])
    assert [client.get(path).status_code for path in ("/healthz", "/readyz")] == [200, 503]
    go.set()
    assert answers[0].result(10)
    assert client.get("/readyz").status_code == 200


def test_metrics_count_what_happened(make_client, draw):
    client = make_client()
    files = [("images", ("good.png", draw())), ("images", ("bad.png", b"x"))]
    client.post("/v1/predict", files=files)
    client.get("/nowhere/at/all")
    text = client.get("/metrics").text
    for line in (
        'alexnet_requests_total{path="/v1/predict",status="200"} 1.0',
        'alexnet_requests_total{path="other",status="404"} 1.0',
        'alexnet_pictures_total{outcome="answered"} 1.0',
        'alexnet_pictures_total{outcome="refused"} 1.0',
        "alexnet_batch_pictures_sum 1.0",
        "alexnet_queue_pictures 0.0",
    ):
        assert line in text
    assert "process_resident_memory_bytes" in text


def test_refusals_are_counted_by_reasons_that_are_few(make_client, draw):
    client = make_client(images=2, queue=2, megabytes=0.1)

    def refusals():
        found = re.findall(r'alexnet_refusals_total\{reason="(\w+)"\} (\S+)', client.get("/metrics").text)
        return {reason: float(count) for reason, count in found}

    nothing = dict.fromkeys(REASONS, 0.0)
    assert refusals() == nothing
    client.post("/v1/predict", content=draw(), headers=RAW)
    assert refusals() == nothing
    for path, content, headers, reason in (
        ("/v1/elsewhere", draw(), RAW, "address"),
        ("/v1/predict?topp=1", draw(), RAW, "parameter"),
        ("/v1/predict?top=0", draw(), RAW, "parameter"),
        ("/v1/embed?stage=relu9", draw(), RAW, "parameter"),
        ("/v1/predict", b"", RAW, "form"),
        ("/v1/predict", draw(), {"content-type": "text/x-anything"}, "type"),
        ("/v1/predict", bytes(200_000), RAW, "size"),
        ("/v1/predict", b"no picture", RAW, "pictures"),
    ):
        before = refusals()
        assert client.post(path, content=content, headers=headers).status_code >= 400
        assert {**before, reason: before[reason] + 1} == refusals()
    client.post("/v1/predict", files=[("images", ("a.png", draw()))] * 3)
    assert refusals()["images"] == 1
    assert refusals().keys() == set(REASONS)


def test_which_classifier_answers_is_told(client, make_classifier, tmp_path):
    told = make_classifier()
    told.commit, told.recipe, told.temperature = "c0ffee", {"name": "small", "seeds": [1]}, 1.25
    told.save(tmp_path / "small.safetensors")
    service = Service.open(tmp_path / "small.safetensors", Limits(), device="cpu")
    asked = type(client)(service)
    checksum = hashlib.sha256((tmp_path / "small.safetensors").read_bytes()).hexdigest()
    about = asked.get("/v1/about").json()
    assert (about["sha256"], about["commit"], about["recipe"]) == (checksum, "c0ffee", told.recipe)
    assert (about["temperature"], about["calibrated"], about["version"]) == (1.25, True, alexnet.__version__)
    (line,) = re.findall(r"^alexnet_classifier_info\{(.*)\} 1\.0$", asked.get("/metrics").text, re.MULTILINE)
    told = {"name": "small.safetensors", "sha256": checksum, "commit": "c0ffee", "version": alexnet.__version__}
    assert dict(re.findall(r'(\w+)="(.*?)"', line)) == {**told, "calibrated": "true"}
    service.close()
    assert client.get("/v1/about").json()["calibrated"] is False


def logged(client, capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_the_log_has_a_line_a_request_and_nothing_of_the_query(make_client, draw, capsys):
    client = make_client()
    client.post("/v1/predict?top=3", content=draw(), headers=RAW)
    assert logged(client, capsys) == []  # unless it is asked for
    client._app = application(client.service, log=True)
    files = [("images", ("private.png", draw())), ("images", ("bad.png", b"x"))]
    responses = [
        client.post("/v1/predict?top=3", files=files),
        client.post("/v1/predict?secret=word", content=draw(), headers=RAW),
        client.get("/no%0Awhere"),
    ]
    lines = logged(client, capsys)
    fields = [(line["method"], line["path"], line["status"], line["pictures"]) for line in lines]
    assert fields == [
        ("POST", "/v1/predict", 200, 2),
        ("POST", "/v1/predict", 400, 0),
        ("GET", "/no\nwhere", 404, 0),
    ]
    assert [line.get("refused") for line in lines] == [None, "parameter", "address"]
    for line, response in zip(lines, responses, strict=True):
        assert line["sent"] == len(response.content)
        assert line["ms"] >= 0
    assert lines[0]["received"] == int(responses[0].request.headers["content-length"])
    assert not re.search("secret|word|private", str(lines))
