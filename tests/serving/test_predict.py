"""/v1/predict: the answers of `alexnet predict`, however the pictures come and however many at once."""

import numpy as np
import pytest
from PIL import Image

from alexnet.data.squaring import Squaring
from alexnet.serving.limits import Limits
from alexnet.serving.service import Service

PNG = {"content-type": "image/png"}
RAW = {"content-type": "application/octet-stream"}


def predicted(client, data, top=5):
    return client.service.classifier.predict([data], top=top)[0]


def same(answers, expected):
    assert [a["label"] for a in answers] == [label for label, _ in expected]
    assert [a["probability"] for a in answers] == pytest.approx([p for _, p in expected], abs=1e-5)


def test_one_raw_body_is_answered_as_predict_does(client, draw):
    data = draw(1)
    response = client.post("/v1/predict", content=data, headers=PNG)
    assert response.status_code == 200
    (result,) = response.json()["results"]
    assert result.keys() == {"name", "predictions"}
    assert result["name"] == "image 1"
    same(result["predictions"], predicted(client, data))


def test_a_form_of_many_is_answered_in_order_and_each_by_name(client, draw):
    files = [("images", (f"{seed}.png", draw(seed), "image/png")) for seed in range(9)]
    results = client.post("/v1/predict?top=3", files=files).json()["results"]
    assert [result["name"] for result in results] == [f"{seed}.png" for seed in range(9)]
    for seed, result in enumerate(results):
        same(result["predictions"], predicted(client, draw(seed), 3))
    assert len({result["predictions"][0]["probability"] for result in results}) == 9


def test_many_at_once_get_each_their_own_answer(client, draw):
    asked = [("POST", "/v1/predict", {"content": draw(seed), "headers": PNG}) for seed in range(100)]
    for seed, response in enumerate(client.many(asked)):
        assert response.status_code == 200
        same(response.json()["results"][0]["predictions"], predicted(client, draw(seed)))
    metrics = client.get("/metrics").text
    batches = float(next(line for line in metrics.splitlines() if line.startswith("alexnet_batch_pictures_count"))[29:])
    assert batches < 100  # some were computed together


def test_one_bad_picture_spoils_no_other(client, draw):
    files = [("images", ("good.png", draw(1))), ("images", ("bad.png", b"no picture")), ("other", b"ignored")]
    response = client.post("/v1/predict", files=files)
    good, bad = response.json()["results"]
    assert response.status_code == 200
    same(good["predictions"], predicted(client, draw(1)))
    assert bad == {"name": "bad.png", "error": next(client.service.classifier.predictions([b"no picture"])).error}


def test_pictures_become_squares_as_the_classifier_says(client, make_classifier, draw):
    small, data = make_classifier(), draw(1, size=(150, 260), kind="JPEG")
    small.squaring = Squaring(32, "warp", "opencv-linear")
    service = Service("small", small, Limits())
    asked = type(client)(service)
    (result,) = asked.post("/v1/predict", content=data, headers=RAW).json()["results"]
    same(result["predictions"], small.predict([data])[0])
    np.testing.assert_array_equal(service.load(data)(), small.squaring.of_file(data))
    assert (service.load(data)() != client.service.load(data)()).mean() > 0.5
    about = asked.get("/v1/about").json()
    assert (about["size"], about["geometry"], about["filter"]) == (32, "warp", "opencv-linear")
    service.close()


def test_top_beyond_the_classes_gives_all(client, draw):
    (result,) = client.post("/v1/predict?top=1000", content=draw(), headers=PNG).json()["results"]
    assert len(result["predictions"]) == 7
    assert sum(answer["probability"] for answer in result["predictions"]) == pytest.approx(1)


def test_abstaining_is_said_where_it_is_asked_for(client, draw):
    best = predicted(client, draw())[0][1]
    for threshold, expected in ((best - 0.01, False), (best + 0.01, True)):
        path = f"/v1/predict?abstain_below={threshold}"
        (result,) = client.post(path, content=draw(), headers=PNG).json()["results"]
        assert result["abstained"] is expected


def test_a_server_abstains_by_its_own_share_unless_a_request_names_another(make_client, draw):
    client = make_client(abstain_below=1)
    assert client.get("/v1/about").json()["abstain_below"] == 1
    for path in ("/v1/predict", "/v1/evidence"):
        for query, expected in (("", True), ("?abstain_below=0", False)):
            (result,) = client.post(path + query, content=draw(), headers=PNG).json()["results"]
            assert result["abstained"] is expected


def test_who_abstains_by_probabilities_that_nobody_fitted_is_told(client, make_client, draw):
    assert "note" not in client.post("/v1/predict", content=draw(), headers=PNG).json()
    calibrated = make_client()
    calibrated.service.classifier.temperature = 1.5
    for path in ("/v1/predict?abstain_below=0.5", "/v1/evidence?abstain_below=0.5"):
        assert "is not calibrated" in client.post(path, content=draw(), headers=PNG).json()["note"]
        assert "note" not in calibrated.post(path, content=draw(), headers=PNG).json()


def test_odd_pictures_get_the_right_answer(client, draw):
    odd = {
        "one pixel": draw(3, (1, 1)),
        "four inks": draw(4, kind="JPEG", mode="CMYK"),
        "grey": draw(5, mode="L"),
        "very wide": draw(6, (3, 900)),
        "animated": draw(7, kind="WEBP", save_all=True, append_images=[Image.new("RGB", (50, 40), "red")]),
    }
    for name, data in odd.items():
        response = client.post("/v1/predict", content=data, headers={"content-type": "application/octet-stream"})
        assert response.status_code == 200, name
        same(response.json()["results"][0]["predictions"], predicted(client, data))
