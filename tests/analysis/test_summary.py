"""The table's numbers against the paper's, and figure 2 drawn from it for every recipe."""

import io
import itertools
import json
import math

import pytest
from matplotlib.transforms import Bbox

import alexnet
from alexnet import drawing, recipes
from alexnet.analysis.figure2 import figure2, layout, read
from alexnet.errors import InputError
from alexnet.model.rows import Dense


def words(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_papers_rows_by_tower():
    found = alexnet.summary("paper-2012")
    assert (found.parameters, found.multiply_adds, found.towers) == (60_965_224, 724_406_816, 2)
    rows = {row["name"]: row for row in found.to_json()["rows"]}
    assert list(rows)[:5] == ["conv1", "relu1", "norm1", "pool1", "conv2"]
    conv5 = rows["conv5"]
    assert (conv5["receptive_field"], conv5["stride"]) == (163, 16)
    assert (conv5["output"], conv5["output_by_tower"]) == ([256, 13, 13], [128, 13, 13])
    assert (conv5["parameters"], conv5["parameters_by_tower"]) == (442_624, 221_312)
    assert conv5["multiply_adds"] == 13 * 13 * 256 * 192 * 9
    assert (rows["fc6"]["receptive_field"], rows["fc6"]["stride"]) == (224, None)
    assert rows["fc8"]["towers"] == 1
    json.dumps(found.to_json())


def test_the_table_has_a_line_a_row_and_totals():
    lines = str(alexnet.summary("paper-2012")).splitlines()
    assert len(lines) == 22 + 4
    conv3 = next(line for line in lines if line.startswith("conv3"))
    for cell in (
        "384 kernels 3×3, reads both towers",
        "2 × 13×13×192",
        "442,560",
        "885,120",
        "149,520,384",
        "99",
        "16",
    ):
        assert cell in conv3
    assert lines[-1].split() == ["in", "all", "60,965,224", "724,406,816"]
    assert max(map(len, lines)) <= 130
    one = str(alexnet.summary("one-tower")).splitlines()
    assert one[0].split() == ["row", "computes", "output", "parameters", "multiply-adds", "field", "stride"]
    assert one[-1].split() == ["in", "all", "61,100,840", "714,188,480"]


def test_a_network_is_named_in_every_way(tmp_path):
    classifier = alexnet.Classifier.load("cifar10")
    classifier.save(tmp_path / "one.safetensors")
    recipe = recipes.named("cifar10-11pct")
    parameters = alexnet.summary("cifar10-11pct").parameters
    sources = ("cifar10", str(tmp_path / "one.safetensors"), tmp_path / "one.safetensors", recipe, recipe.model)
    assert {alexnet.summary(source).parameters for source in sources} == {parameters}
    assert alexnet.summary(tmp_path / "one.safetensors").name == "one.safetensors"
    with pytest.raises(InputError, match=r"cifar is no recipe, run folder or classifier file .did you mean 'cifar10'"):
        alexnet.summary("cifar")


@pytest.mark.parametrize("name", recipes.names())
def test_figure_2_of_every_recipe_has_its_numbers(name):
    found = alexnet.summary(name)
    figure = figure2(found)
    drawn = words(figure)
    weighted = [fact for fact in found.rows if fact.parameters]
    for fact in weighted:
        assert fact.name in drawn
        assert drawn.count(str(fact.tower_shape[0])) >= fact.towers
    kernels = {f"{row.size}×{row.size}" for row in found.config.table() if hasattr(row, "kernels")}
    assert kernels <= set(drawn)
    assert ("tower 2" in drawn) == (found.towers == 2)
    assert drawn.count("dense") == sum(isinstance(row, Dense) for row in found.config.table())
    assert f"{found.parameters:,} parameters" in figure.get_suptitle()


def test_figure_2_of_the_paper():
    found = alexnet.summary("paper-2012")
    drawn = words(figure2(found))
    for text, times in {
        "224": 2,
        "55": 4,
        "27": 4,
        "13": 12,
        "48": 2,
        "128": 4,
        "192": 4,
        "2048": 4,
        "1000": 1,
    }.items():
        assert drawn.count(text) == times, text
    assert {"stride of 4", "max pooling", "tower 1", "image", "11×11", "5×5", "3×3"} <= set(drawn)
    drawing.rendered(figure2(found), "svg")


@pytest.mark.parametrize("name", recipes.names())
def test_no_line_of_figure_2_runs_through_a_number(name):
    figure = figure2(alexnet.summary(name))
    figure.savefig(io.BytesIO(), dpi=100)
    (axes,) = figure.axes
    crossed = set()
    for text in axes.texts:
        if not text.get_text().isdigit():
            continue
        room = text.get_window_extent().transformed(axes.transData.inverted())
        # Of the room of a line of text digits fill the middle.
        room = Bbox.from_extents(room.x0, room.y0 + 0.2 * room.height, room.x1, room.y1 - 0.2 * room.height)
        assert axes.viewLim.x0 <= room.x0 < room.x1 <= axes.viewLim.x1
        if any(line.get_path().intersects_bbox(room, filled=False) for line in axes.lines):
            crossed.add(text.get_text())
    assert crossed == set()


def test_boxes_stand_apart_and_kernels_are_true_to_scale():
    volumes = layout(alexnet.summary("paper-2012"))
    assert [len(volume.boxes) for volume in volumes] == [1, 2, 2, 2, 2, 2, 2, 2, 1]
    for before, volume in itertools.pairwise(volumes):
        assert before.boxes[0].at(1, 1, 1)[0] < volume.boxes[0].x
    for volume in volumes:
        if len(volume.boxes) == 2:
            above, below = volume.boxes
            assert below.at(1, 1, 1)[1] < above.y
    conv1, conv2, conv3 = volumes[1:4]
    # A 5 x 5 kernel after pooling 3 / 2 reads 11 positions, a 3 x 3 kernel 7.
    assert (read(conv1), read(conv2), read(conv3)) == (11, 11, 7)
    assert conv2.boxes[0].height / conv1.boxes[0].height == pytest.approx(math.sqrt(27 / 55))
