"""show and summary: what is printed and written, and the exit codes."""

import json

import numpy as np
import pytest
from PIL import Image

from alexnet import cli


@pytest.fixture
def picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)).save("one.png")
    return "one.png"


@pytest.mark.parametrize(
    ("arguments", "file", "start"),
    [
        (["kernels"], "cifar10-kernels.png", b"\x89PNG"),
        (["kernels", "--stage", "conv2"], "cifar10-kernels-conv2.png", b"\x89PNG"),
        (["saliency", "one.png", "--label", "truck"], "cifar10-saliency-truck.png", b"\x89PNG"),
        (["saliency", "one.png", "--out", "figures/evidence.svg"], "figures/evidence.svg", b"<?xml"),
        (["stages", "one.png", "--stage", "pool1", "--out", "maps.pdf"], "maps.pdf", b"%PDF"),
    ],
)
def test_show_prints_the_file_it_wrote(picture, capsys, tmp_path, arguments, file, start):
    assert cli.main(["show", "cifar10", *arguments]) == 0
    assert capsys.readouterr().out == f"{file}\n"
    assert (tmp_path / file).read_bytes().startswith(start)


def test_a_wrong_ending_is_said_before_anything_is_computed(picture, capsys, tmp_path):
    assert cli.main(["show", "nothing", "kernels", "--out", "kernels.jpg"]) == 1
    assert "kernels.jpg ends in .jpg; a figure's file ends in .png, .svg, .pdf" in capsys.readouterr().err
    assert cli.main(["summary", "paper-2012", "--figure", "figure2"]) == 1
    assert "ends in nothing" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]


def test_wrong_usage_and_what_a_figure_does_not_use(picture, capsys):
    assert cli.main(["show", "cifar10", "kernel"]) == 2
    assert cli.main(["show", "cifar10"]) == 2
    capsys.readouterr()
    assert cli.main(["show", "cifar10", "kernels", "one.png"]) == 1
    assert capsys.readouterr().err == "alexnet: kernels does not use photographs; it takes --stage, --best.\n"


def test_summary_prints_the_table_or_json_alone(picture, capsys, tmp_path):
    assert cli.main(["summary", "paper-2012", "--figure", "two.svg"]) == 0
    out, err = capsys.readouterr()
    assert "60,965,224" in out.splitlines()[-1]
    assert err == "figure  two.svg\n"
    assert (tmp_path / "two.svg").read_text().startswith("<?xml")
    assert cli.main(["summary", "cifar10", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 2_112_970
    assert cli.main(["summary", "paper-2013"]) == 1
    assert "did you mean 'paper-2012'" in capsys.readouterr().err
