"""docs/misreadings.md: the tests that it names exist; and what no other test shows."""

import ast
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from alexnet import recipes
from alexnet.claims import tables
from alexnet.interchange.torchvision_state import TORCHVISION
from alexnet.model import layers
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.network import facts
from alexnet.model.rows import output_shape

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "misreadings.md").read_text(encoding="utf-8")
POINTS = re.split(r"\n\n(?=\*\*\")", PAGE)[1:]
REFERENCE = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ROWS = {row.name: row for row in AlexNetConfig().table()}


@cache
def defined(file):
    path = ROOT / file
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("file", "name"), sorted(set(REFERENCE.findall(PAGE))))
def test_what_the_page_names_exists(file, name):
    assert name in defined(file)


def test_a_test_that_is_gone_would_be_seen():
    assert "test_shapes_are_those_of_figure_3" not in defined("tests/paper/test_counts.py")
    assert not defined("tests/paper/test_count.py")


def test_each_point_has_its_test_and_each_test_here_its_point():
    assert len(POINTS) > 12
    for point in POINTS:
        assert REFERENCE.search(point), point.splitlines()[0]
    own = defined("tests/paper/test_misreadings.py") - {
        "test_what_the_page_names_exists",
        "test_a_test_that_is_gone_would_be_seen",
        "test_each_point_has_its_test_and_each_test_here_its_point",
    }
    named = {name for file, name in REFERENCE.findall(PAGE) if file == "tests/paper/test_misreadings.py"}
    assert named == {name for name in own if name.startswith("test_")}


def test_windows_of_11_at_stride_4_in_224_are_54():
    assert (224 - 11) / 4 + 1 == 54.25
    conv1 = ROWS["conv1"]
    assert output_shape(replace(conv1, before=0, after=0), (3, 224, 224)) == (96, 54, 54)
    assert (conv1.before, conv1.after) == (0, 3)
    assert output_shape(conv1, (3, 224, 224)) == (96, 55, 55)


def test_three_ways_to_55_are_three_functions():
    generator = torch.Generator().manual_seed(0)
    image, weight = (torch.randn(shape, generator=generator) for shape in ((1, 3, 227, 227), (4, 3, 11, 11)))
    inside = image[..., :224, :224]
    ways = [
        F.conv2d(F.pad(inside, (0, 3, 0, 3)), weight, stride=4),
        F.conv2d(F.pad(inside, (2, 2, 2, 2)), weight, stride=4),
        F.conv2d(image, weight, stride=4),
    ]
    assert {tuple(way.shape) for way in ways} == {(1, 4, 55, 55)}
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert float((ways[one] - ways[other]).abs().max()) > 1
    torch.testing.assert_close(ways[0][..., :54, :54], ways[2][..., :54, :54])


def test_the_abstracts_neurons_need_the_right_first_layer():
    others = 186_624 + 64_896 + 64_896 + 43_264 + 4096 + 4096 + 1000
    assert 55 * 48 * 96 == 253_440
    assert 253_440 + others == 622_312
    assert 650_000 <= 55 * 55 * 96 + others < 660_000


def test_the_order_of_pooling_and_norm_matters():
    maps = torch.randn(1, 96, 55, 55, generator=torch.Generator().manual_seed(0)).relu() * 100
    norm, pool = (layers.module(ROWS[name], (96, 55, 55)) for name in ("norm1", "pool1"))
    first, last = pool(norm(maps)), norm(pool(maps))
    assert float((first - last).abs().mean() / first.mean()) > 0.05


def test_torchs_norm_is_the_papers_with_five_times_alpha_and_k_2():
    tower = torch.randn(2, 48, 7, 7, generator=torch.Generator().manual_seed(0)) * 100
    expected = torch.zeros_like(tower)
    for i in range(48):
        near = tower[:, max(0, i - 2) : i + 3].square().sum(1)
        expected[:, i] = tower[:, i] / (2 + 1e-4 * near) ** 0.75
    torch.testing.assert_close(torch.nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)(tower), expected)
    assert not torch.allclose(torch.nn.LocalResponseNorm(5)(tower), expected, rtol=0.1)


def test_torchvisions_net_is_another():
    paper, theirs = ({fact.name: fact for fact in facts(config)} for config in (AlexNetConfig(), TORCHVISION))
    assert [theirs[f"conv{i}"].shape[0] for i in range(1, 6)] == [64, 192, 384, 256, 256]
    assert [paper[f"conv{i}"].shape[0] for i in range(1, 6)] == [96, 256, 384, 384, 256]
    assert {fact.towers for fact in theirs.values()} == {1}
    assert not [name for name in theirs if name.startswith("norm")]
    assert (sum(fact.parameters for fact in theirs.values()), sum(fact.parameters for fact in paper.values())) == (
        61_100_840,
        60_965_224,
    )


def test_on_inputs_of_unit_deviation_the_norm_sleeps():
    """Its denominator is all but the constant 2 ** 0.75; on maps of the size of 0..255 it is not."""
    norm = layers.module(ROWS["norm1"], (96, 5, 5))
    maps = torch.rand(1, 96, 5, 5, generator=torch.Generator().manual_seed(0)) + 0.5
    small, large = maps / norm(maps), 100 * maps / norm(100 * maps)
    assert float(small.max() / 2**0.75) < 1.001
    assert float(large.min() / 2**0.75) > 1.3


def test_torchs_sgd_differs_once_the_rate_drops():
    ours, theirs = (torch.nn.Parameter(torch.ones(1)) for _ in range(2))
    sgd = torch.optim.SGD([theirs], lr=0.01, momentum=0.9)
    velocity = 0.0
    for step in range(6):
        rate = 0.01 if step < 3 else 0.001
        sgd.param_groups[0]["lr"] = rate
        theirs.grad = torch.full((1,), 2.0)
        sgd.step()
        velocity = 0.9 * velocity - rate * 2.0
        with torch.no_grad():
            ours += velocity
        if step < 3:
            torch.testing.assert_close(ours, theirs)
    assert float((theirs - ours).detach()) > 0.05


def test_one_network_is_not_expected_at_15_3():
    said = recipes.description("paper-2012")
    assert "18.2" in said
    assert "17.0" in said
    assert "15.3" not in said
    (printed,) = (experiment.paper for experiment in tables.EXPERIMENTS if experiment.name == "table2")
    top1, top5 = printed.split(";")
    networks = re.findall(r"(one pretrained|one|five|seven) [\d.]+", top1)
    errors = dict(zip(networks, map(float, re.findall(r"[\d.]+\b(?!-)", top5.removeprefix(" top-5"))), strict=True))
    assert errors == {"one": 18.2, "five": 16.4, "one pretrained": 16.6, "seven": 15.4}, "15.3 of the test images"
