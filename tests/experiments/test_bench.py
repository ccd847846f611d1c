"""The bench: a run and a measurement are computed once, and named by what decides them."""

import os
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import alexnet
from alexnet import recipes
from alexnet.data.loader import Loading
from alexnet.errors import InputError
from alexnet.experiments import bench as bench_file
from alexnet.experiments import pictures
from alexnet.experiments.bench import Bench, Budget
from alexnet.model.alexnet import AlexNetConfig
from alexnet.training import run as run_file
from alexnet.training.finished import epochs
from alexnet.training.parts import NotFinite
from alexnet.training.recipe import Recipe, Seeds
from alexnet.training.run import unique_name

BUDGET = Budget("smoke", epochs=0.0, width=1 / 32, seeds=2)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return pictures.photographs(tmp_path_factory.mktemp("pictures"), train=20, val=10)


@pytest.fixture(scope="module")
def bench(prepared, tmp_path_factory):
    return Bench(prepared.path, tmp_path_factory.mktemp("runs"), BUDGET)


@pytest.fixture(scope="module")
def run(bench):
    return bench.train(bench.base, 1)


def test_a_budget_shrinks_width_epochs_and_schedule():
    recipe = Budget("reduced", epochs=0.25, width=1 / 8).shrink(recipes.named("smoke"))
    assert (recipe.model.width, recipe.schedule.epochs) == (1 / 64, 1)
    recipe = Budget("reduced", epochs=0.1).shrink(recipes.named("imagenette"))
    assert (recipe.schedule.epochs, recipe.schedule.warmup, recipe.model.width) == (4, pytest.approx(0.4), 1)
    assert bench_file.FULL.shrink(recipes.named("paper-2012")) == recipes.named("paper-2012")


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"width": 0.0}, {"epochs": -1.0}])
def test_an_impossible_budget_is_refused(wrong):
    with pytest.raises(InputError, match="at least one seed"):
        Budget("mine", **wrong)


def test_runs_are_named_by_all_that_decides_them(prepared, tmp_path):
    first = Recipe(name="mine", seeds=Seeds(3, 3))
    name = unique_name(first, prepared, None)
    assert name.startswith("mine-")
    assert name.endswith("-3")
    assert unique_name(replace(first, seeds=Seeds(4, 4)), prepared, None) == f"{name[:-1]}4"
    start = tmp_path / "start.safetensors"
    start.write_bytes(b"weights")
    others = [
        replace(first, loader=Loading(batch=64)),
        replace(first, model=AlexNetConfig(dropout=0.4)),
        replace(first, precision="bf16"),
        replace(first, seeds=Seeds(3, 4)),
    ]
    names = {name, unique_name(first, prepared, start), *(unique_name(other, prepared, None) for other in others)}
    assert len(names) == 6
    moved = start.rename(tmp_path / "elsewhere")
    assert unique_name(first, prepared, moved) in names


def test_with_rates_each_network_is_trained_at_the_one_that_errs_least_on_validation(prepared, tmp_path):
    tuned = Bench(prepared.path, tmp_path, replace(BUDGET, rates=(1e-6, 1.0, 4.0)))
    chosen = tuned.train(tuned.base, 1).recipe.optimiser.learning_rate
    own = tuned.base.optimiser.learning_rate
    tried = {recipe.optimiser.learning_rate: name for name, recipe in tuned.used.items() if recipe.seeds.weights == 0}
    assert set(tried) == {rate * own for rate in (1e-6, 1.0, 4.0)}
    last = {rate: epochs(tmp_path / name)[-1]["validation"] for rate, name in tried.items()}
    found = {rate: (line["top1_error"], line["loss"]) for rate, line in last.items()}
    assert found[chosen] == min(found.values())
    assert len(set(found.values())) == 3
    assert len(tuned.used) == 4
    assert tuned.tuned


def test_rates_are_multiples_above_0():
    with pytest.raises(InputError, match="multiples"):
        Budget("mine", rates=(1.0, 0.0))


def test_a_default_does_not_enter_the_name():
    assert run_file._changes(Loading()) == ["Loading", []]
    assert run_file._changes(Loading(batch=7)) == ["Loading", [["batch", 7]]]


def test_the_base_is_the_papers_for_a_thousand_classes_and_has_its_colours(bench):
    assert (bench.base.name, bench.base.views.colour) == ("imagenette", "paper")
    thousand = Bench(bench.data, bench.runs, BUDGET)
    thousand.__dict__["prepared"] = type("Set", (), {"classes": [None] * 1000})()
    assert thousand.base == recipes.named("paper-2012")


def test_a_run_is_finished_seeded_and_without_what_it_was_resumed_from(bench, run):
    assert run.recipe.seeds == Seeds(1, 1)
    assert run.recipe.model.classes == 10
    assert bench.used[run.name] == run.recipe
    assert len(epochs(run.path)) == 1
    assert not list(run.checkpoints.glob("step-*"))


def test_a_finished_run_is_not_trained_again_and_another_is(bench, run, monkeypatch):
    def trained(*_, **__):
        raise AssertionError("trained")

    monkeypatch.setattr(bench_file, "train", trained)
    again = Bench(bench.data, bench.runs, BUDGET)
    assert again.train(again.base, 1).path == run.path
    assert list(again.used) == [run.name]
    with pytest.raises(AssertionError, match="trained"):
        again.train(again.base, 2)
    (run.path / "finished.json").rename(run.path / "gone")
    with pytest.raises(AssertionError, match="trained"):
        again.train(again.base, 1)
    (run.path / "gone").rename(run.path / "finished.json")


def test_what_differs_is_told_in_words(prepared, tmp_path):
    said = []
    bench = Bench(prepared.path, tmp_path, BUDGET, say=said.append)
    recipe = replace(bench.base, model=replace(bench.base.model, norm=False))
    bench.train(recipe)
    (line,) = said
    assert line.endswith(": model.norm False, views.colour paper")
    assert bench.differs(BUDGET.shrink(recipes.named("imagenette"))) == "as named"


@pytest.mark.parametrize("split", ["val", "train"])
def test_an_evaluation_is_that_of_the_command_and_is_kept(bench, run, split, monkeypatch):
    found = bench.evaluate(run, split=split, views="ten", probabilities=True)
    expected = alexnet.evaluate([run.path], bench.data, split=split, views="ten")
    approximate = {name: pytest.approx(value) for name, value in expected.to_json().items()}
    assert found.to_json() == approximate
    assert found.classes == expected.classes
    assert list(found.paths) == list(expected.paths)
    assert found.probabilities.shape == (found.images, 10)
    monkeypatch.setattr(bench_file, "evaluate", None)
    again = bench.evaluate(run, split=split, views="ten", probabilities=True)
    for name in ("labels", "answers", "losses", "top1_errors", "probabilities"):
        assert torch.equal(getattr(again, name), getattr(found, name)), name
    assert again.to_json() == found.to_json()
    with pytest.raises(TypeError):
        bench.evaluate(run, split=split, views="nine")


def test_the_first_images_alone(bench, run):
    whole, part = bench.evaluate(run, split="train"), bench.evaluate(run, split="train", first=7)
    assert part.images == 7
    assert torch.equal(part.top1_errors, whole.top1_errors[:7])
    assert part.top1_error == pytest.approx(float(whole.top1_errors[:7].mean()))
    assert list(part.paths) == list(whole.paths)[:7]


def test_what_is_kept_is_computed_once_for_each_that_decides(bench):
    calls = []

    def compute():
        calls.append(1)
        return {"a": torch.arange(3.0)[::2]}

    for decides in (["x", 1], ["x", 1], ["x", 2]):
        assert bench.kept("trial", decides, compute)["a"].tolist() == [0, 2]
    assert len(calls) == 2


def test_what_other_code_kept_is_left_alone_where_its_version_says_so(bench, monkeypatch):
    values = iter(([1.0], [2.0], [3.0]))

    def found(version, commit):
        monkeypatch.setattr(bench_file.environment, "commit", lambda: commit)
        bench.measured_by.clear()
        given = bench.kept("versions", ["x"], lambda: {"a": torch.tensor(next(values))}, version)["a"].item()
        return given, bench.measured_by

    assert found(1, "old") == (1.0, {"old"})
    assert found(1, "new") == (1.0, {"old"}), "it tells whose code measured it"
    assert found(2, "new") == (2.0, {"new"})
    assert found(2, "newer") == (2.0, {"new"})
    assert found(1, "newer") == (1.0, {"old"})


def test_what_was_kept_of_other_weights_is_computed_anew(bench, run, monkeypatch):
    weights, values = run.path / "weights.safetensors", iter("123456789")

    def found():
        return bench.kept("weighed", ["x"], lambda: {"a": torch.tensor(int(next(values)))}, runs=[run])["a"].item()

    assert [found(), found()] == [1, 1]
    own, times = weights.read_bytes(), (weights.stat().st_atime, weights.stat().st_mtime)
    state = load_file(weights)
    save_file({**state, "conv1.bias": state["conv1.bias"] + 1}, weights)
    assert [found(), found()] == [2, 2], "another run of the same name"
    weights.write_bytes(own)
    assert [found(), found()] == [3, 3]
    # Older code did not say of which weights; then the times of the files tell.
    (file,) = (bench.runs / "kept").glob("weighed-*")
    save_file({"a": torch.tensor(0)}, file, {"commit": "old"})
    os.utime(file, (times[0], times[1] + 10))
    os.utime(weights, times)
    assert found() == 0
    os.utime(weights, (times[0], times[1] + 20))
    assert [found(), found()] == [4, 4]
    gone = weights.rename(weights.with_suffix(".gone"))
    assert found() == 4, "there is nothing to compute it from"
    gone.rename(weights)
    os.utime(weights, times)


def test_an_evaluation_is_of_the_weights_that_the_run_has_now(prepared, bench, run, tmp_path):
    shutil.copytree(bench.runs, tmp_path / "runs")
    own = Bench(prepared.path, tmp_path / "runs", BUDGET)
    copied = own.train(own.base, 1)
    first = own.evaluate(copied).loss
    state, weights = load_file(copied.path / "weights.safetensors"), copied.path / "weights.safetensors"
    with safe_open(weights, "pt") as file:
        described = file.metadata()
    save_file({**state, "fc8.bias": state["fc8.bias"] + torch.arange(10.0)}, weights, described)
    assert own.evaluate(copied).loss != first


def test_a_run_that_breaks_is_named_without_advice(prepared, tmp_path):
    bench = Bench(prepared.path, tmp_path, BUDGET)
    hot = replace(bench.base, optimiser=replace(bench.base.optimiser, learning_rate=1e30), name="hot")
    with pytest.raises(NotFinite, match=r"^hot-[0-9a-f]{8}-0: .*not finite") as broken:
        bench.train(hot)
    assert "--optimiser" not in str(broken.value)
    assert [recipe.name for recipe in bench.used.values()] == ["hot"]
    assert not list(tmp_path.glob("*/finished.json"))


def test_what_was_kept_before_commits_were_is_read(bench):
    bench.kept("early", ["x"], lambda: {"a": torch.ones(2)})
    (file,) = (bench.runs / "kept").glob("early-*")
    save_file({"a": torch.zeros(2)}, file)
    bench.measured_by.clear()
    assert bench.kept("early", ["x"], dict)["a"].tolist() == [0, 0]
    assert bench.measured_by == {"unknown"}
