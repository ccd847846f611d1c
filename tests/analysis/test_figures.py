"""The figures hold the numbers they were given, at any size, and survive names that are hard to draw."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from alexnet import drawing
from alexnet.analysis.confusion import confusion
from alexnet.analysis.curves import curves
from alexnet.analysis.kernels import kernels, mosaic
from alexnet.analysis.predictions import chosen, predictions
from alexnet.data.shards import ClassName
from alexnet.data.squaring import Squaring
from alexnet.data.views import Statistics, Views
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.cifar10 import Cifar10Config
from alexnet.model.network import Network

HARD = ["a$b$c^^_{", "中文类别", "x" * 90, "<b>&", "\udcff", ""]


def texts(figure):
    return [t.get_text() for axes in figure.axes for t in (*axes.texts, axes.title, axes.xaxis.label)] + [
        t.get_text() for axes in figure.axes for t in (*axes.get_xticklabels(), *axes.get_yticklabels())
    ]


def journal(epochs, rates, steps=50, validated=True, loss=lambda t: 2 - t):
    lines = []
    for epoch in range(epochs):
        for step in range(1, steps + 1):
            place = epoch + step / steps
            lines.append({"event": "step", "epoch": place, "step": step, "loss": loss(place), "top1_error": 0.5})
        figures = {"loss": 1.5, "top1_error": 0.25 + 0.1 / (epoch + 1), "top5_error": 0.1}
        lines.append(
            {"event": "epoch", "epoch": epoch + 1, "step": steps, "rate": rates[epoch], "training": figures}
            | {"validation": figures if validated else None}
        )
    return lines


def lines(axes, label):
    return next(line for line in axes.lines if str(line.get_label()).startswith(label))


def test_figures_need_no_screen_and_no_pyplot():
    program = "import sys, alexnet.analysis.report; sys.exit('matplotlib.pyplot' in sys.modules)"
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize(("kind", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_figure_becomes_a_file_of_each_kind(tmp_path, kind, start):
    figure = confusion(np.eye(6, dtype=int), HARD)
    drawing.save(figure, tmp_path / f"c.{kind}")
    assert (tmp_path / f"c.{kind}").read_bytes().startswith(start)


def test_curves_show_validation_and_each_drop_of_the_rate():
    figure = curves(journal(6, [0.1, 0.1, 0.01, 0.01, 0.001, 0.001]))
    loss, error = figure.axes
    assert lines(error, "validation").get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    assert lines(error, "validation").get_ydata()[-1] == pytest.approx(0.25 + 0.1 / 6)
    drops = [line.get_xdata()[0] for line in loss.lines if line.get_xdata()[0] == line.get_xdata()[-1]]
    assert drops == [2, 4]
    smooth = lines(loss, "training")
    middle = (smooth.get_xdata() > 1) & (smooth.get_xdata() < 5)
    assert np.allclose(smooth.get_ydata()[middle], 2 - smooth.get_xdata()[middle], atol=0.02)
    drawing.rendered(figure)


def test_a_rate_that_moves_every_epoch_has_no_drops():
    rates = [0.01 * 0.4**i for i in range(6)]
    axes = curves(journal(6, rates)).axes[0]
    assert [line for line in axes.lines if line.get_xdata()[0] == line.get_xdata()[-1]] == []


def test_curves_of_any_length_and_of_wild_losses():
    drawing.rendered(curves([]))
    drawing.rendered(curves(journal(1, [0.1])[:3]))
    drawing.rendered(curves(journal(1, [0.1], validated=False)))
    many = curves(journal(20, [0.1] * 20, steps=500, loss=lambda t: float("nan") if t > 19 else 1.0))
    assert len(lines(many.axes[0], "training").get_xdata()) <= 400
    drawing.rendered(many)
    wild = curves(journal(4, [0.1] * 4, loss=lambda t: 500.0 if t < 0.03 else 2.0))
    assert wild.axes[0].get_ylim()[1] < 10


def test_a_mosaic_holds_each_kernel_scaled_by_itself():
    weights = np.random.default_rng(0).normal(size=(7, 3, 5, 5)).astype(np.float32)
    weights[3] = 0
    weights[4] *= 1000
    picture = mosaic(weights, 4)
    assert picture.shape == (11, 23, 3)
    for i in range(7):
        top, left = i // 4 * 6, i % 4 * 6
        found = picture[top : top + 5, left : left + 5].transpose(2, 0, 1)
        largest = abs(weights[i]).max() or 1
        np.testing.assert_allclose(found, 0.5 + weights[i] / (2 * largest), atol=1e-6)
    assert (picture[5] == 1).all()
    assert (picture[:, 23 - 6 :][6:] == 1).all()


@pytest.mark.parametrize(
    ("config", "blocks"),
    [
        (AlexNetConfig(classes=3, units=(64, 64)), 2),
        (AlexNetConfig(classes=3, width=0.03), 2),
        (AlexNetConfig(classes=3, width=0.03, towers=1), 1),
        (Cifar10Config(), 1),
        (Cifar10Config(net="figure1"), 1),
    ],
)
def test_kernels_come_in_a_block_for_each_tower(config, blocks):
    network = Network(config)
    network.initialise(0)
    figure = kernels(network)
    assert len(figure.axes) == blocks
    each = network.rows[0].kernels // blocks
    assert all(f"{each} kernels" in axes.get_title(loc="left") for axes in figure.axes)
    weights = network.whole()["conv1.weight"].numpy()[each * (blocks - 1)]
    shown = figure.axes[-1].images[0].get_array()
    size = weights.shape[-1]
    expected = 0.5 + weights / (2 * abs(weights).max())
    np.testing.assert_allclose(shown[:size, :size].transpose(2, 0, 1), expected, atol=1e-6)
    drawing.rendered(figure)


@pytest.mark.parametrize(
    ("config", "stage", "told"),
    [
        (AlexNetConfig(classes=3, units=(64, 64)), "conv2", ("12 of 128 kernels of 5×5×48", "the 32 of 48 input maps")),
        (Cifar10Config(), "local4", ("12 of 32 kernels of 3×3×64 with the largest norm", "the 32 of 64 input maps")),
        (Cifar10Config(width=0.25), "conv2", ("the 12 of 16 kernels of 5×5×16", "for all 16 input maps")),
    ],
)
def test_deeper_kernels_are_told_of_in_full(config, stage, told):
    network = Network(config)
    network.initialise(0)
    figure = kernels(network, stage)
    figure.savefig(io.BytesIO())
    assert told[0] in figure.axes[0].get_title(loc="left")
    assert told[1] in figure.axes[-1].get_xlabel()
    for axes in figure.axes:
        for text in (axes._left_title, axes.xaxis.label):
            assert text.get_window_extent().x1 < figure.bbox.x1


def test_kernels_of_figure_3_are_three_rows_of_sixteen():
    network = Network(AlexNetConfig(classes=2, units=(8, 8)))
    assert kernels(network).axes[0].images[0].get_array().shape == (3 * 12 - 1, 16 * 12 - 1, 3)


def test_a_network_without_kernels_for_images_is_said():
    network = Network(Cifar10Config())
    network.rows = network.rows[-1:]
    with pytest.raises(InputError, match="no convolution that reads the images"):
        kernels(network)


def test_predictions_have_the_true_label_red_and_bars_as_long_as_probabilities():
    network = Network(Cifar10Config(classes=6, width=0.125))
    generator = torch.Generator().manual_seed(0)
    network.load_whole({n: torch.randn(v.shape, generator=generator) * 0.2 for n, v in network.whole().items()})
    statistics = Statistics(torch.full((3, 32, 32), 128.0), torch.eye(3, dtype=torch.float64))
    classes = tuple(ClassName(f"n{i}", word) for i, word in enumerate(HARD))
    classifier = Classifier(network, Views(crop=24, divisor=60.0), statistics, classes, squaring=Squaring(32))
    images = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8, generator=generator)
    probabilities = classifier.probabilities(images)
    labels = [int(row.argmax()) if i else int(row.argmin()) for i, row in enumerate(probabilities)]
    figure = predictions(classifier, images, labels, [f"folder/{word}.jpg" for word in [*HARD, "a", "b"]])
    charts = [axes for axes in figure.axes if not axes.images]
    assert len(charts) == len(figure.axes) - len(charts) == 8
    for i, axes in enumerate(charts):
        bars = axes.patches[5:]
        np.testing.assert_allclose([bar.get_width() for bar in bars], probabilities[i].topk(5).values, rtol=1e-6)
        reds = [bar.get_facecolor() == pytest.approx((0xE8 / 255, 0x73 / 255, 0x6C / 255, 1)) for bar in bars]
        assert reds == ([True] + [False] * 4 if i else [False] * 5)
    drawing.rendered(figure)


def test_chosen_images_are_of_many_classes_and_always_the_same():
    labels = np.repeat(np.arange(10), 50)
    picked = chosen(labels)
    assert picked == chosen(labels)
    assert len(set(labels[picked])) == 8
    two = chosen(np.array([0] * 99 + [1] * 5))
    assert len(two) == len(set(two)) == 8
    assert sum(position >= 99 for position in two) == 4
    assert chosen(np.array([1, 0, 1])) == [0, 1, 2]


def test_a_small_confusion_has_every_name_and_share():
    matrix = np.array([[79, 21], [11, 89]])
    found = texts(confusion(matrix, ["functional", "defective"]))
    assert {"79%", "21%", "11%", "89%", "functional", "defective"} <= set(found)


@pytest.mark.parametrize("classes", [2, 10, 30, 41, 1000])
def test_confusions_of_any_size_can_be_drawn(classes):
    matrix = np.random.default_rng(0).integers(0, 3, (classes, classes)) + 20 * np.eye(classes, dtype=int)
    matrix[classes - 1] = 0
    matrix[1] = [0] * classes
    matrix[1, 0] = 77
    names = [f"class {i}, and more" for i in range(classes)]
    figure = confusion(matrix, names)
    if classes > 40:
        assert any("77" in t and "class 1 taken for class 0" in t for t in texts(figure))
        assert any("0%  class 1" in t for t in texts(figure))
    drawing.rendered(figure)
