"""The other questions and facts: embed, evidence, neighbours, classes, the API's page."""

import base64
import io
import re
import shutil
import threading

import numpy as np
import pytest
from PIL import Image

import alexnet
from alexnet.analysis.saliency import evidence
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.features import index
from alexnet.serving import page, questions
from alexnet.serving.limits import Limits
from alexnet.serving.nearby import MOST
from alexnet.serving.service import Service

RAW = {"content-type": "application/octet-stream"}


def test_embed_gives_what_embed_writes(client, draw, make_classifier, tmp_path):
    make_classifier().save(tmp_path / "small.safetensors")
    (tmp_path / "pictures").mkdir()
    for number in range(3):
        (tmp_path / "pictures" / f"{number}.png").write_bytes(draw(number))
    for stage in (None, "conv1", "fc10"):
        stages = [stage] if stage else []
        written = alexnet.embed(
            tmp_path / "small.safetensors", tmp_path / "pictures", tmp_path / str(stage), stages, device="cpu"
        )
        files = [("images", (f"{number}.png", draw(number))) for number in range(3)]
        answer = client.post("/v1/embed" + (f"?stage={stage}" if stage else ""), files=files).json()
        assert answer["stage"] == written.stages[0]
        assert answer["shape"] == list(written.stage().shape[1:])
        given = np.array([result["vector"] for result in answer["results"]], np.float32)
        np.testing.assert_allclose(given, written.vectors(), rtol=1e-5, atol=1e-5)


def test_embed_and_neighbours_compute_what_was_asked_and_no_more(client, draw, embedded, monkeypatch):
    service, asked = serving(client, embedded[0], embedded[2])
    network, computed = service.classifier.network, []
    stages = network.stages

    def counting(views, names):
        computed.append(len(views))
        return stages(views, names)

    monkeypatch.setattr(network, "stages", counting)
    for path in ("/v1/embed", "/v1/neighbours"):
        assert asked.post(path, content=draw(), headers=RAW).status_code == 200
    assert computed == [1, 1]
    service.close()


def test_neighbours_are_called_as_predictions_call_them(client, draw, make_classifier, tmp_path):
    make_classifier().save(tmp_path / "small.safetensors")
    for number, name in enumerate(("a", "other")):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        (tmp_path / "pictures" / name / "1.png").write_bytes(draw(number))
    alexnet.embed(tmp_path / "small.safetensors", tmp_path / "pictures", tmp_path / "features", device="cpu")
    service, asked = serving(client, tmp_path / "small.safetensors", tmp_path / "features")
    (result,) = asked.post("/v1/neighbours", content=draw(0), headers=RAW).json()["results"]
    assert [near["label"] for near in result["neighbours"]] == ["a, or such", "other"]
    service.close()


def test_an_answer_of_embed_has_a_limit(make_client, draw, monkeypatch):
    monkeypatch.setattr("alexnet.serving.questions._NUMBERS", 100)
    files = [("images", (f"{number}.png", draw(number))) for number in range(2)]
    response = make_client().post("/v1/embed?stage=conv1", files=files)
    assert response.status_code == 413
    assert response.json()["error"] == "an answer of this stage has room for 1 image; send the others apart."


def decoded(url):
    assert url.startswith("data:image/png;base64,")
    return np.array(Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))))


def test_evidence_is_that_of_the_best_label(client, draw):
    files = [("images", (f"{number}.png", draw(number))) for number in range(4)]
    results = client.post("/v1/evidence?top=2", files=files).json()["results"]
    for number, result in enumerate(results):
        expected = evidence(client.service.classifier, draw(number))
        first = result["predictions"][0]
        assert (first["label"], first["probability"]) == (expected.label, pytest.approx(expected.probability, abs=1e-5))
        np.testing.assert_array_equal(decoded(result["picture"]), expected.pixels)
        opacity = decoded(result["evidence"])[..., 3] / 255.0
        np.testing.assert_allclose(opacity**2, expected.map, atol=0.005)
    assert len({result["evidence"] for result in results}) == 4


@pytest.fixture(scope="module")
def embedded(tmp_path_factory, make_classifier, draw):
    """(classifier file, pictures, features)."""
    root = tmp_path_factory.mktemp("embedded")
    make_classifier().save(root / "small.safetensors")
    for number in range(30):
        place = root / "pictures" / "xyz"[number % 3] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(draw(number))
    alexnet.embed(root / "small.safetensors", root / "pictures", root / "features", device="cpu")
    return root / "small.safetensors", root / "pictures", root / "features"


def serving(client_of, file, features, **options):
    service = Service.open(file, Limits(), features, device="cpu", **options)
    return service, type(client_of)(service)


def test_neighbours_are_those_of_the_command(client, draw, embedded, tmp_path):
    file, pictures, features = embedded
    service, asked = serving(client, file, features)
    queries = [pictures / "x" / "0.png", tmp_path / "new.png"]
    queries[1].write_bytes(draw(99))
    files = [("images", (query.name, query.read_bytes())) for query in queries]
    results = asked.post("/v1/neighbours?count=4", files=files).json()["results"]
    for result, found in zip(results, alexnet.neighbours(features, queries, 4, device="cpu"), strict=True):
        near = result["neighbours"]
        assert tuple((each["path"], pytest.approx(each["distance"], abs=1e-4)) for each in near) == found.neighbours
        assert tuple(each["label"] for each in near) == found.labels
    assert results[0]["neighbours"][0]["path"] == "x/0.png"
    picture = asked.get("/" + results[0]["neighbours"][0]["picture"])
    assert picture.headers["content-type"] == "image/jpeg"
    stored = service.classifier.pixels(queries[0])[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(np.array(Image.open(io.BytesIO(picture.content))).astype(int) - stored).mean() < 6
    assert asked.get("/v1/neighbours/30").status_code == 404
    assert asked.post(f"/v1/neighbours?count={MOST + 1}", files=files).status_code == 422
    assert asked.get("/v1/about").json()["neighbours"] is True
    service.close()


def test_an_index_is_opened_once_for_all_requests(client, draw, embedded, monkeypatch, capsys):
    pytest.importorskip("faiss")
    monkeypatch.setattr(index, "MOST", 10)
    service, asked = serving(client, embedded[0], embedded[2])
    assert capsys.readouterr().err.count("searched by index") == 1
    for seed in (1, 2):
        (result,) = asked.post("/v1/neighbours", content=draw(seed), headers=RAW).json()["results"]
        assert result["neighbours"][0]["path"].endswith(f"/{seed}.png")
    assert capsys.readouterr().err == ""
    service.close()


def test_neighbours_without_their_source_have_names_and_no_pictures(client, draw, embedded, tmp_path):
    file, pictures, features = embedded
    moved = tmp_path / "moved"
    shutil.move(pictures, moved)
    try:
        service, asked = serving(client, file, features)
        (result,) = asked.post("/v1/neighbours", content=draw(1), headers=RAW).json()["results"]
        assert result["neighbours"][0]["path"] == "y/1.png"
        assert {each["picture"] for each in result["neighbours"]} == {None}
        assert asked.get("/v1/neighbours/0").status_code == 404
        service.close()
        service, asked = serving(client, file, features, source=moved)
        assert asked.get("/v1/neighbours/0").status_code == 200
        service.close()
    finally:
        shutil.move(moved, pictures)


def test_features_of_another_or_changed_classifier_are_refused(embedded, make_classifier, tmp_path):
    file, pictures, features = embedded
    other = make_classifier()
    other.temperature = 2.0
    other.save(tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="are not of"):
        Service.open(tmp_path / "other.safetensors", Limits(), features, device="cpu")
    alexnet.embed(file, pictures, tmp_path / "lesioned", edit=["conv1=zero"], device="cpu")
    with pytest.raises(InputError, match="changed on the way"):
        Service.open(file, Limits(), tmp_path / "lesioned", device="cpu")
    with pytest.raises(InputError, match="no folder of features"):
        Service.open(file, Limits(), tmp_path / "nothing", device="cpu")


def test_classes_in_order(client):
    classes = client.get("/v1/classes").json()["classes"]
    assert [each["label"] for each in classes] == client.service.classifier.labels
    assert classes[0] == {"name": "a", "words": "a, or such", "label": "a, or such"}


def test_many_labels_are_told_of_beside_the_loop(make_client, draw, monkeypatch):
    told, best = [], questions.best

    def noting(*arguments):
        told.append(threading.current_thread() is threading.main_thread())
        return best(*arguments)

    monkeypatch.setattr(questions, "best", noting)
    client = make_client()
    for top in (5, 1000):
        assert client.post(f"/v1/predict?top={top}", content=draw(), headers=RAW).status_code == 200
    assert told == [True, False]


def test_every_answer_carries_the_policy_and_no_page_names_another_host(client):
    for path, (name, kind) in page.FILES.items():
        response = client.get(path)
        assert response.status_code == 200
        assert response.headers["content-type"] == kind
        policy = response.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        if name != "icon.svg":
            assert re.findall(r"(?:https?:)?//[a-z]", response.text) == []
            assert not re.search(r"<style|style=|<script>|\son\w+=", response.text)
    assert client.get("/nowhere").headers["x-content-type-options"] == "nosniff"


def test_openapi_tells_of_every_question(client):
    api = client.get("/openapi.json").json()
    body = api["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    assert "images" in body["multipart/form-data"]["schema"]["properties"]
    assert {"/v1/embed", "/v1/evidence", "/v1/classes", "/healthz", "/readyz", "/metrics"} <= api["paths"].keys()
    assert "/v1/neighbours" not in api["paths"]
    assert api["components"]["schemas"]["Predicted"]["properties"].keys() >= {"name", "predictions", "error"}


def test_the_kernels_are_the_networks_own(client):
    pixels = np.array(Image.open(io.BytesIO(client.get("/v1/kernels").content)))
    weights = client.service.classifier.network.whole()["conv1.weight"].numpy()
    first = weights[0] / np.abs(weights[0]).max()
    size = weights.shape[2]
    expected = np.rint(255 * (0.5 + 0.5 * first)).transpose(1, 2, 0)
    np.testing.assert_allclose(pixels[:size, :size, :3], expected, atol=1)
    assert (pixels[:size, :size, 3] == 255).all()
    assert (pixels[:, size, 3] == 0).all()  # between two


def test_kernels_are_called_worth_a_look_where_pictures_made_them(client):
    assert client.get("/v1/about").json()["kernels"] is False  # drawn at random
    service, asked = serving(client, "cifar10", None)
    assert asked.get("/v1/about").json()["kernels"] is True
    service.close()


def test_the_shipped_classifier_is_served_by_name(client, draw):
    service, asked = serving(client, "cifar10", None)
    (result,) = asked.post("/v1/predict", content=draw(), headers=RAW).json()["results"]
    assert result["predictions"][0]["label"] == Classifier.load("cifar10", "cpu").predict([draw()])[0][0][0]
    assert asked.get("/v1/about").json()["name"] == "cifar10"
    service.close()
