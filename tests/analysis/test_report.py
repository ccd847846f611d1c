"""The report of a finished, a living and an odd run, without training one."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from alexnet import config
from alexnet.analysis.report import report
from alexnet.data.prepare import prepare
from alexnet.data.shards import PreparedSet
from alexnet.data.views import Views
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.model.alexnet import AlexNetConfig
from alexnet.model.network import Network
from alexnet.training.recipe import Recipe
from alexnet.training.run import Run

CLASSES = ["<script>alert(1)</script>", "b$b$"]


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Prepared sets of 12 pictures: with val and test splits, with neither, and with test alone."""
    folder = tmp_path_factory.mktemp("sets")
    random = np.random.default_rng(0)
    for label, name in enumerate(("a", "b")):
        (folder / "source" / name).mkdir(parents=True)
        for i in range(6):
            pixels = random.integers(0, 128, (40, 50, 3), np.uint8) + 100 * label
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "source" / name / f"{i}.png")
    prepare(folder / "source", folder / "split", encoding="raw", holdout=0.3, test=0.3, workers=1)
    prepare(folder / "source", folder / "whole", encoding="raw", workers=1)
    prepare(folder / "source", folder / "tested", encoding="raw", test=0.3, workers=1)
    return folder


def make_run(path, prepared, epochs=2):
    """A run folder as training leaves it after `epochs`."""
    model = AlexNetConfig(classes=2, width=0.03)
    recipe = Recipe(name="a <recipe>", model=model, views=Views(divisor=60.0))
    data = {"path": str(prepared.path), "fingerprint": prepared.fingerprint, "classes": CLASSES, "start": None}
    data["counts"] = prepared.counts
    session = {
        "command": "alexnet train <x> --run y",
        "commit": "c0ffee",
        "packages": {"torch": "9.9"},
        "device": "cpu",
    }
    run = Run.create(path, recipe, data, session)
    figures = {"loss": 0.7, "top1_error": 0.5, "top5_error": 0.0, "images": 8}
    with (path / "journal.jsonl").open("w") as file:
        for epoch in range(epochs):
            for step in (1, 2):
                line = {"event": "step", "epoch": epoch + step / 2, "step": step, "loss": 0.7, "top1_error": 0.5}
                file.write(json.dumps(line) + "\n")
            validation = {**figures, "top1_error": 0.4321 + 0.1 * epoch} if "val" in prepared.counts else None
            line = {"event": "epoch", "epoch": epoch + 1, "step": 2, "rate": 0.01, "training": figures}
            file.write(json.dumps({**line, "validation": validation}) + "\n")
        file.write('{"event": "st')
    timing = {"epoch": 1, "steps": 2, "seconds": 60.0, "images_per_second": 123.0, "waiting_for_data": 0.25}
    (path / "timing.jsonl").write_text(json.dumps(timing) + "\n")
    if epochs:
        network = Network(model)
        network.initialise(0)
        classes = prepared.classes
        Classifier(network, recipe.views, prepared.statistics(), classes, recipe=config.to_json(recipe)).save(
            run.path / "weights.safetensors"
        )
    return run


def text_of(path):
    return re.sub(r"base64,[\w+/=]+", "base64,", path.read_text())


def test_a_report_holds_numbers_and_figures_and_needs_no_other_host(sets, tmp_path):
    make_run(tmp_path / "run", PreparedSet.open(sets / "split"))
    path = report(tmp_path / "run", "cpu")
    assert path == tmp_path / "run" / "report.html"
    text = text_of(path)
    for said in ("0.5321", "± 0.1764", "lowest top-1 error, after epoch 1", "123", "25.0%", "1 min 00 s", "c0ffee"):
        assert said in text, said
    for said in (
        "run run, 2 of at most",
        "alexnet train &lt;x&gt;",
        "torch 9.9",
        "a &lt;recipe&gt;",
        "validation images",
    ):
        assert said in text, said
    assert "<th>val. top-1</th><th>images/s</th>" in text
    assert "top-5" not in text
    assert "<script" not in text
    assert not re.search(r"https?://|src=\"(?!data:)|<link|@import|url\(", text)
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    assert text.count("<img") == 4
    for name in ("curves", "kernels", "predictions", "confusion"):
        assert (tmp_path / "run" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_more_than_five_classes_have_a_top_5_error(sets, tmp_path):
    run = make_run(tmp_path / "run", PreparedSet.open(sets / "split"), epochs=1)
    (run.path / "data.json").write_text(json.dumps({**run.data, "classes": list("abcdef")}))
    text = text_of(report(run.path, "cpu"))
    assert "<th>val. top-1</th><th>val. top-5</th><th>images/s</th>" in text
    assert "validation top-5 error" in text


def test_the_test_split_is_never_looked_at(sets, tmp_path, monkeypatch):
    looked, split = [], PreparedSet.split
    monkeypatch.setattr(PreparedSet, "split", lambda self, name: looked.append(name) or split(self, name))
    for name, expected in (("split", ["val"]), ("whole", ["train"]), ("tested", ["train"])):
        looked.clear()
        make_run(tmp_path / name, PreparedSet.open(sets / name))
        text = text_of(report(tmp_path / name, "cpu"))
        assert looked == expected
        assert ("training images (the set has no validation split)" in text) == (name != "split")


def test_a_living_run_has_a_report_before_its_first_epoch_ends(sets, tmp_path):
    make_run(tmp_path / "run", PreparedSet.open(sets / "split"), epochs=0)
    text = text_of(report(str(tmp_path / "run"), "cpu"))
    assert "The other figures come with the first finished epoch" in text
    assert text.count("<img") == 1


def test_a_set_that_is_gone_or_another_costs_only_its_pictures(sets, tmp_path):
    for name, path, reason in (
        ("gone", tmp_path / "nowhere", "is not a prepared set"),
        ("other", sets / "whole", "no longer"),
    ):
        run = make_run(tmp_path / name, PreparedSet.open(sets / "split"))
        data = {**run.data, "path": str(path)}
        (run.path / "data.json").write_text(json.dumps(data))
        text = text_of(report(run.path, "cpu"))
        assert "No pictures: " in text
        assert reason in text
        assert text.count("<img") == 2


def test_a_damaged_classifier_costs_only_its_figures(sets, tmp_path):
    run = make_run(tmp_path / "run", PreparedSet.open(sets / "split"))
    (run.path / "weights.safetensors").write_bytes(b"abc")
    assert "is no classifier file, or a damaged one" in text_of(report(run.path, "cpu"))


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"is no run: it has no recipe\.json"):
        report(tmp_path)


def test_a_report_leaves_the_classifier_as_it_was(sets, tmp_path):
    run = make_run(tmp_path / "run", PreparedSet.open(sets / "split"))
    before = (run.path / "weights.safetensors").read_bytes()
    state = torch.get_rng_state()
    report(run.path, "cpu")
    assert torch.equal(torch.get_rng_state(), state)
    assert (run.path / "weights.safetensors").read_bytes() == before
