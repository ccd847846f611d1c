"""The loop: it learns, resumes exactly, does not depend on placement, and says what is wrong."""

import json
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from alexnet import recipes
from alexnet.data.loader import Batch, Loading
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.model.alexnet import AlexNetConfig, Initialisation
from alexnet.training import train as training
from alexnet.training.parts import NotFinite, Parts, class_weights
from alexnet.training.recipe import Loss, Machine, Recipe
from alexnet.training.run import Run
from alexnet.training.schedule import Milestone, Milestones, Plateau
from alexnet.training.step import gradient_step
from alexnet.training.train import Stopped, train

EACH_STEP = Machine(devices=("cpu",), checkpoint_minutes=0.0)
CPU = Machine(devices=("cpu",))


def tiny(precision="fp32") -> Recipe:
    """A thirty-second of the network for two epochs, dropout, crops, mirrors and colour on."""
    recipe = recipes.smaller(recipes.shorter(recipes.smoke(), 2), 1 / 32)
    return replace(recipe, precision=precision, model=replace(recipe.model, units=(512, 512)))


def outputs(run: Run) -> dict[str, bytes]:
    """The bytes of all that the seed decides."""
    files = [run.path / "journal.jsonl", *run.path.glob("*.safetensors"), max(run.checkpoints.glob("*.safetensors"))]
    return {file.name: file.read_bytes() for file in files}


def test_smoke_learns(larger, tmp_path):
    run = train(recipes.smoke(), larger, tmp_path / "run", CPU)
    epochs = [line for line in run.journal() if line["event"] == "epoch"]
    assert [line["epoch"] for line in epochs] == [1, 2, 3]
    assert epochs[-1]["training"]["images"] == 243
    assert epochs[-1]["validation"]["images"] == 81
    assert epochs[-1]["validation"]["top1_error"] <= 0.2
    assert epochs[-1]["rate"] == pytest.approx(epochs[0]["rate"] * 0.1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_resume_is_exact_from_any_step(prepared, tmp_path, precision, monkeypatch):
    whole = outputs(train(tiny(precision), prepared, tmp_path / "whole", CPU))
    real, calls = training.gradient_step, []

    def dies(*arguments):
        calls.append(0)
        if len(calls) in (1, 3, 4, 8):
            raise RuntimeError("killed")
        return real(*arguments)

    monkeypatch.setattr(training, "gradient_step", dies)
    for _ in range(4):
        with pytest.raises(RuntimeError, match="killed"):
            train(tiny(precision), prepared, tmp_path / "broken", EACH_STEP)
    run = train(tiny(precision), prepared, tmp_path / "broken", EACH_STEP)
    assert len(run.environment()) == 5
    resumed = outputs(run)
    assert resumed.keys() == whole.keys()
    assert all(resumed[name] == whole[name] for name in whole)


def test_a_finished_run_is_left_as_it_is(prepared, tmp_path):
    run = train(tiny(), prepared, tmp_path / "run", CPU)
    before = {f: (f.read_bytes(), f.stat().st_mtime_ns) for f in run.path.rglob("*.safetensors")}
    train(tiny(), prepared, tmp_path / "run", CPU)
    assert before == {f: (f.read_bytes(), f.stat().st_mtime_ns) for f in run.path.rglob("*.safetensors")}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_then_stops(prepared, tmp_path, monkeypatch, number):
    whole = outputs(train(tiny(), prepared, tmp_path / "whole", CPU))
    real, calls = training.gradient_step, []

    def signalled(*arguments):
        calls.append(0)
        if len(calls) == 2:
            os.kill(os.getpid(), number)
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training, "gradient_step", signalled)
        with pytest.raises(Stopped) as stopped:
            train(tiny(), prepared, tmp_path / "run", CPU)
    assert stopped.value.signal == number
    assert 2 <= len(calls) <= 3
    assert len(list((tmp_path / "run" / "checkpoints").glob("step-*.safetensors"))) == 1
    assert outputs(train(tiny(), prepared, tmp_path / "run", CPU)) == whole


def test_micro_batches_and_two_devices_change_only_rounding(prepared, tmp_path):
    machines = {
        "whole": CPU,
        "pieces": replace(CPU, micro_batch=5),
        "towers": replace(CPU, devices=("cpu", "cpu")),
    }
    weights = {
        name: load_file(train(tiny(), prepared, tmp_path / name, machine).path / "weights.safetensors")
        for name, machine in machines.items()
    }
    for name in ("pieces", "towers"):
        assert weights[name].keys() == weights["whole"].keys()
        for key, value in weights["whole"].items():
            torch.testing.assert_close(
                weights[name][key], value, rtol=1e-4, atol=1e-6, msg=lambda m, k=key: f"{k}: {m}"
            )


def test_the_run_folder(prepared, tmp_path):
    run = train(tiny(), prepared, tmp_path / "run", replace(CPU, keep_epochs=(0, 2)))
    names = {file.name for file in run.path.iterdir()}
    assert {"recipe.json", "data.json", "environment.json", "journal.jsonl", "timing.jsonl", "checkpoints"} <= names
    assert {"weights.safetensors", "best.safetensors"} <= names
    kept = {file.name for file in run.checkpoints.glob("epoch-*")}
    assert kept == {"epoch-0000.safetensors", "epoch-0002.safetensors"}
    last = (run.checkpoints / "epoch-0002.safetensors").read_bytes()
    assert last == (run.path / "weights.safetensors").read_bytes()
    assert Run.open(run.path) == run
    assert run.recipe.model.classes == 3
    assert run.data["fingerprint"] == PreparedSet.open(prepared).fingerprint
    assert all(0 <= line["waiting_for_data"] <= 1 for line in run.timing())


def test_best_is_the_classifier_at_the_lowest_validation_error(prepared, tmp_path):
    run = train(tiny(), prepared, tmp_path / "run", replace(CPU, keep_epochs=(1, 2)))
    errors = [line["validation"]["top1_error"] for line in run.journal() if line["event"] == "epoch"]
    best = errors.index(min(errors)) + 1
    kept = (run.checkpoints / f"epoch-{best:04d}.safetensors").read_bytes()
    assert kept == (run.path / "best.safetensors").read_bytes()


def test_another_recipe_or_set_is_refused_with_what_differs(prepared, without_val, tmp_path):
    train(tiny(), prepared, tmp_path / "run", CPU)
    other = replace(tiny(), optimiser=replace(tiny().optimiser, learning_rate=0.5))
    with pytest.raises(InputError, match=r"\(optimiser\.learning_rate: 0\.03 -> 0\.5\)"):
        train(other, prepared, tmp_path / "run", CPU)
    with pytest.raises(InputError, match=r"data\.fingerprint"):
        train(tiny(), without_val, tmp_path / "run", CPU)


def test_a_folder_that_is_no_run_is_left_alone(prepared, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="is no run"):
        train(tiny(), prepared, tmp_path / "run", CPU)
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["thesis.tex"]


def test_a_plateau_asks_for_a_validation_split(without_val, tmp_path):
    with pytest.raises(InputError, match="--holdout"):
        train(replace(tiny(), schedule=Plateau(epochs=2)), without_val, tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def test_without_a_validation_split_milestones_train_and_the_last_is_the_best(without_val, tmp_path):
    run = train(tiny(), without_val, tmp_path / "run", CPU)
    assert (run.path / "best.safetensors").read_bytes() == (run.path / "weights.safetensors").read_bytes()
    assert all(line["validation"] is None for line in run.journal() if line["event"] == "epoch")


def test_a_crop_that_does_not_fit_the_network_is_refused():
    with pytest.raises(InputError, match=r"views\.crop is 224 but the network takes 227x227"):
        Recipe(model=AlexNetConfig(input=227, edges="none"))


def test_a_loss_that_is_not_finite_names_the_layer_and_keeps_the_checkpoint(prepared, tmp_path):
    hot = replace(tiny(), optimiser=replace(tiny().optimiser, learning_rate=1e30))
    with pytest.raises(InputError, match=r"not finite.*(conv|fc|relu|norm|pool)\d.*learning-rate"):
        train(hot, prepared, tmp_path / "run", EACH_STEP)
    state = load_file(max((tmp_path / "run" / "checkpoints").glob("step-*.safetensors")))
    assert state


def test_a_loss_at_chance_is_said_aloud(prepared, tmp_path, capsys):
    still = replace(
        tiny(), optimiser=replace(tiny().optimiser, learning_rate=0.0), loader=replace(tiny().loader, batch=1)
    )
    train(still, prepared, tmp_path / "run", CPU)
    assert "no better than guessing" in capsys.readouterr().err
    still = replace(still, model=replace(still.model, initialisation=Initialisation(bias=0.0, deviation=1e-9)))
    train(replace(still, loader=tiny().loader), prepared, tmp_path / "flat", CPU)
    told = capsys.readouterr().err
    assert "got the same answer; if that stays so, train for more epochs (--epochs), or lower the rate." in told


def test_class_weights_average_to_one_over_the_images():
    labels = [0] * 6 + [1] * 3 + [3]
    weights = class_weights(Loss("balanced"), labels, 4)
    assert weights[labels].mean() == pytest.approx(1.0)
    assert (weights[0] * 6).item() == pytest.approx((weights[3] * 1).item())
    assert class_weights(Loss(), labels, 4).tolist() == [1.0] * 4


def test_an_older_recipe_takes_defaults_aloud_and_a_newer_one_is_refused(prepared, tmp_path, capsys):
    run = train(tiny(), prepared, tmp_path / "run", CPU)
    file = run.path / "recipe.json"
    data = json.loads(file.read_text())
    del data["optimiser"]["frozen"]
    file.write_text(json.dumps(data))
    assert Run.open(run.path).recipe == run.recipe
    assert "optimiser.frozen" in capsys.readouterr().err
    data["optimiser"]["lerning_rate"] = 1.0
    file.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"'lerning_rate'.*did you mean 'learning_rate'"):
        Run.open(run.path)


def test_a_run_begins_from_a_classifier_with_a_new_last_layer_where_classes_differ(prepared, tmp_path):
    first = train(tiny(), prepared, tmp_path / "first", CPU)
    start = first.path / "weights.safetensors"
    still = replace(tiny(), optimiser=replace(tiny().optimiser, learning_rate=0.0))
    second = train(still, prepared, tmp_path / "second", CPU, start)
    before, after = load_file(start), load_file(second.path / "weights.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    classifier = Classifier.load(second.path)
    assert [entry["name"] for entry in classifier.lineage] == ["smoke"]
    assert second.data["start"]["checksum"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_network_changes_only_rounding(prepared, tmp_path):
    plain = load_file(train(tiny(), prepared, tmp_path / "plain", CPU).path / "weights.safetensors")
    compiled = train(tiny(), prepared, tmp_path / "compiled", replace(CPU, compile=True))
    for key, value in load_file(compiled.path / "weights.safetensors").items():
        torch.testing.assert_close(value, plain[key], rtol=1e-4, atol=1e-6)


def test_what_does_not_fit_leaves_no_folder(prepared, tmp_path):
    typo = replace(tiny(), optimiser=replace(tiny().optimiser, frozen=("conv9",)))
    with pytest.raises(InputError, match="conv9"):
        train(typo, prepared, tmp_path / "run", CPU)
    late = replace(tiny(), schedule=Milestones(2, (Milestone(1, layers={"conv9": 0.0}),)))
    with pytest.raises(InputError, match="schedule names the layer 'conv9'"):
        train(late, prepared, tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def test_a_network_broken_by_the_last_step_is_not_published(prepared, tmp_path):
    hot = replace(tiny(), optimiser=replace(tiny().optimiser, learning_rate=1e38), loader=Loading(batch=128))
    with pytest.raises(NotFinite, match="not finite"):
        train(hot, prepared, tmp_path / "run", CPU)
    assert not list((tmp_path / "run").rglob("*.safetensors"))


def test_what_a_kill_left_behind_is_cleared(prepared, tmp_path):
    run = train(tiny(), prepared, tmp_path / "run", CPU)
    left = [run.path / ".weights.safetensors.x.part", run.checkpoints / "step-000000999.safetensors"]
    for file in left:
        file.write_bytes(b"half")
    train(tiny(), prepared, tmp_path / "run", CPU)
    assert not any(file.exists() for file in left)


def test_a_rank_without_images_computes_a_gradient_of_zero(prepared, tmp_path):
    """The last batch of an epoch may have fewer images than there are ranks."""
    recipe = training.fitted(tiny(), PreparedSet.open(prepared))
    parts = Parts.assemble(recipe, PreparedSet.open(prepared), CPU, [torch.device("cpu")], None)
    for piece in (None, 4):
        parts.micro_batch = piece
        before = parts.network.whole()
        empty = Batch(
            torch.zeros(0, 3, 256, 256, dtype=torch.uint8), torch.zeros(0, dtype=int), torch.zeros(0, dtype=int), 1
        )
        told = gradient_step(parts, empty, 0, 1.0, False)
        assert told.sums == (0.0, 0.0, 0.0, 0.0)
        assert all(p.grad is not None and not p.grad.any() for p in parts.network.parameters())
        assert before.keys() == parts.network.whole().keys()


def test_a_signal_in_the_middle_of_validation_is_not_forgotten(prepared, tmp_path, monkeypatch):
    real = training.evaluate

    def signalled(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return real(*arguments)

    monkeypatch.setattr(training, "evaluate", signalled)
    with pytest.raises(Stopped):
        train(tiny(), prepared, tmp_path / "run", CPU)
    monkeypatch.undo()
    whole = train(tiny(), prepared, tmp_path / "whole", CPU)
    assert outputs(train(tiny(), prepared, tmp_path / "run", CPU)) == outputs(whole)


def test_a_number_of_classes_that_is_not_the_sets_is_changed_aloud(prepared, capsys):
    recipe = replace(tiny(), model=replace(tiny().model, classes=7))
    assert training.fitted(recipe, PreparedSet.open(prepared)).model.classes == 3
    assert "has 3 classes; model.classes 7 becomes 3" in capsys.readouterr().err
    assert training.fitted(tiny(), PreparedSet.open(prepared)).model.classes == 3
    assert capsys.readouterr().err == ""
