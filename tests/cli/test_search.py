"""similarity, neighbours and codes on the command line."""

import json

import numpy as np
import pytest
from PIL import Image

import alexnet
from alexnet import cli


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Pictures of two classes, [colours] among their names, and features of two stages."""
    root = tmp_path_factory.mktemp("search")
    random = np.random.default_rng(0)
    for number in range(24):
        path = root / "pictures" / ("light" if number % 2 else "[red]") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((random.integers(0, 100, (32, 32, 3)) + 150 * (number % 2)).astype(np.uint8)).save(path)
    alexnet.embed("cifar10", root / "pictures", root / "features", ["relu2", "fc10"])
    alexnet.embed("cifar10", root / "pictures", root / "others", ["fc10"])
    return root


def run(capsys, *words):
    capsys.readouterr()
    code = cli.main([str(word) for word in words])
    return code, *capsys.readouterr()


def test_similarity(place, capsys, tmp_path):
    np.save(tmp_path / "voxels.npy", np.random.default_rng(0).normal(size=(24, 9)))
    words = ("similarity", place / "features", "--with", tmp_path / "voxels.npy")
    code, out, err = run(capsys, *words)
    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [
        ["relu2", "fc10"],
        ["relu2", "measured"],
        ["fc10", "measured"],
    ]
    assert "24 images; --out FOLDER writes" in err
    assert "measured voxels: taken for responses" in err
    code, out, _ = run(capsys, *words, "--json", "--out", tmp_path / "out", "--stage", "fc10")
    assert json.loads(out)["names"] == ["fc10", "measured voxels"]
    assert (tmp_path / "out" / "similarity.png").is_file()
    assert run(capsys, "similarity")[0] == 2
    code, out, err = run(capsys, "similarity", place / "features", "--stage", "fc10")
    assert (code, out) == (1, "")
    assert "there is one set of responses; two are needed" in err


def test_neighbours(place, capsys, tmp_path):
    query = place / "pictures" / "[red]" / "4.png"
    code, out, _ = run(capsys, "neighbours", place / "features", query, "--stage", "fc10", "--k", 2)
    assert code == 0
    assert out.splitlines()[0] == str(query)
    assert out.splitlines()[1].split() == ["0.000", "[red]/4.png", "([red])"]
    (tmp_path / "bad.png").write_text("text")
    words = ("neighbours", place / "others", query, tmp_path / "bad.png")
    code, out, err = run(capsys, *words, "--json", "--out", tmp_path / "near.svg")
    first, second = map(json.loads, out.splitlines())
    assert code == 1
    assert err == ""
    assert first["neighbours"][0] == {"path": "[red]/4.png", "distance": 0.0}
    assert len(first["neighbours"]) == 6
    assert second.keys() == {"image", "error"}
    assert (tmp_path / "near.svg").is_file()
    code, out, err = run(capsys, *words, "--out", tmp_path / "near.png")
    assert code == 1
    assert out.splitlines()[-1] == str(tmp_path / "near.png")
    assert "bad.png: " in err
    assert run(capsys, "neighbours", place / "features")[0] == 2
    code, out, err = run(capsys, "neighbours", place / "others", query, "--k", 0)
    assert (code, out) == (1, "")
    assert "k is 0; at least one neighbour is asked for" in err


def test_codes(place, capsys, tmp_path):
    code, out, err = run(capsys, "codes", "fit", place / "others", tmp_path / "codes", "--bits", 16)
    assert (code, out) == (0, f"{tmp_path / 'codes'}\n")
    assert "epoch 25: error" in err
    code, out, _ = run(capsys, "codes", "fit", place / "others", tmp_path / "codes", "--bits", 16, "--json")
    assert json.loads(out)["bits"] == 16
    code, out, _ = run(capsys, "neighbours", tmp_path / "codes", place / "pictures" / "light" / "1.png", "--json")
    assert {"path": "light/1.png", "distance": 0.0} in json.loads(out)["neighbours"]
    code, out, _ = run(capsys, "neighbours", tmp_path / "codes", place / "pictures" / "light" / "1.png")
    assert out.splitlines()[1].split()[0] == "0"
    words = ("codes", "evaluate", place / "features", place / "others", "--stage", "fc10", "--no-pixels")
    code, out, _ = run(capsys, *words, "--bits", "8,16", "--k", 3, "--json")
    assert [way["search"] for way in json.loads(out)["searches"]] == [
        "fc10",
        "fc10, 8 bits",
        "fc10, 16 bits",
        "fc10, 8 random projections",
        "fc10, 16 random projections",
    ]
    code, out, _ = run(capsys, *words, "--bits", "8")
    assert code == 0
    assert "precision at 6" in out
    code, _, err = run(capsys, *words, "--bits", "eight")
    assert code == 1
    assert "whole numbers with commas" in err
    code, out, err = run(capsys, "codes", "fit", place / "others", tmp_path / "odd", "--bits", 12)
    assert (code, out) == (1, "")
    assert "12 bits: a code has 8 to 1024 bits, a multiple of 8" in err


def test_codes_wants_a_verb(capsys):
    assert run(capsys, "codes")[0] == 2
    code, out, _ = run(capsys, "codes", "--help")
    assert code == 0
    assert "codes evaluate" in out
