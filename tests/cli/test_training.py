"""recipes, train, resume, finetune: the recipe's own types are the flags."""

import json
import re
import signal
from pathlib import Path

import pytest

import alexnet
from alexnet import cli, config, recipes
from alexnet.training.recipe import Machine, Recipe
from alexnet.training.train import Stopped

WHERE = ["--data", "set", "--run", "new"]


class FakeRun:
    path = Path("new")


@pytest.fixture
def called(monkeypatch):
    """The arguments of the last call of train, resume or finetune, which do nothing."""
    calls = []

    def fake(*arguments):
        calls.append(arguments)
        return FakeRun()

    for name in ("train", "resume", "finetune"):
        monkeypatch.setattr(alexnet, name, fake, raising=False)
    return calls


@pytest.mark.parametrize("name", recipes.names())
def test_a_named_recipe_arrives_as_it_is(name, called):
    assert cli.main(["train", name, *WHERE]) == 0
    assert called == [(recipes.named(name), Path("set"), Path("new"), Machine())]


def test_flags_change_single_fields_of_recipe_and_machine(called, capsys):
    flags = ["--optimiser.learning-rate", "0.03", "--views.no-horizontal", "--precision", "fp32", "--seeds.data", "7"]
    machine = [
        "--machine.devices",
        "cuda:0",
        "cuda:1",
        "--machine.micro-batch",
        "16",
        "--machine.keep-epochs",
        "0",
        "5",
    ]
    assert cli.main(["train", "demo", *WHERE, *flags, *machine]) == 0
    recipe, _, _, where = called[0]
    assert config.difference(recipes.named("demo"), recipe) == [
        ("views.horizontal", True, False),
        ("optimiser.learning_rate", recipes.named("demo").optimiser.learning_rate, 0.03),
        ("precision", "bf16", "fp32"),
        ("seeds.data", 0, 7),
    ]
    assert where == Machine(devices=("cuda:0", "cuda:1"), micro_batch=16, keep_epochs=(0, 5))
    assert "report      new/report.html" in capsys.readouterr().out


def test_a_recipe_json_is_a_recipe(called, tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(config.to_json(recipes.named("code-2012"))))
    assert cli.main(["train", str(path), *WHERE]) == 0
    assert called[0][0] == recipes.named("code-2012")


def test_a_missing_recipe_json_is_1(called, capsys):
    assert cli.main(["train", "nowhere/recipe.json", *WHERE]) == 1
    assert "nowhere/recipe.json does not exist" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["papr-2012", *WHERE], "did you mean 'paper-2012'?"),
        (["demo", *WHERE, "--optimiser.learing-rate", "1"], "--optimiser.learning-rate"),
        (["demo", *WHERE, "--schedule.patience", "1"], "--schedule"),
        (["demo", *WHERE, "--precision", "fp16"], "fp32"),
        (["demo", *WHERE, "--optimiser.learning-rate", "fast"], "--optimiser.learning-rate"),
        (["demo", "--data", "set"], "--run"),
        (WHERE, "train wants RECIPE first"),
        ([], "train wants RECIPE first"),
    ],
)
def test_wrong_usage_is_2_and_shows_the_way(arguments, told, called, capsys):
    assert cli.main(["train", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert told in err
    assert called == []


def test_fields_that_do_not_fit_together_are_1(called, capsys):
    assert cli.main(["train", "demo", *WHERE, "--views.crop", "200"]) == 1
    assert "views.crop is 200" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value", "told"),
    [
        ("threads", "0", "machine.threads is 0; it must be at least 1, or not be given"),
        ("micro-batch", "-1", "machine.micro_batch is -1; it must be at least 1, or not be given"),
        ("checkpoint-minutes", "-0.5", "machine.checkpoint_minutes is -0.5; it must be at least 0"),
        ("checkpoint-minutes", "nan", "machine.checkpoint_minutes is nan"),
        ("keep-epochs", "-1", r"machine.keep_epochs is [-1]; epochs count from 0"),
    ],
)
def test_a_machine_that_cannot_be_is_1(flag, value, told, called, capsys):
    assert cli.main(["train", "demo", *WHERE, f"--machine.{flag}", value]) == 1
    assert told in capsys.readouterr().err
    assert called == []


def test_resume(called):
    assert cli.main(["resume", "old"]) == 0
    assert cli.main(["resume", "old", "--data", "moved", "--machine.threads", "2"]) == 0
    assert called == [(Path("old"), None, Machine()), (Path("old"), Path("moved"), Machine(threads=2))]


@pytest.mark.parametrize("words", [["--epochs", "3"], ["--epochs=3"], ["--schedule.epochs", "3"]])
def test_resume_cannot_change_the_length(words, called, capsys):
    assert cli.main(["resume", "old", *words]) == 2
    err = capsys.readouterr().err
    assert "resume goes on to the end that its run was given; `alexnet train RECIPE --run NEW --epochs N`" in err
    assert "keep-epochs" not in err
    assert called == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_after_saving(number, code, monkeypatch, capsys):
    def stopped(*_):
        raise Stopped(number)

    monkeypatch.setattr(alexnet, "resume", stopped, raising=False)
    assert cli.main(["resume", "old"]) == code
    assert signal.Signals(number).name in capsys.readouterr().err


def test_finetune_wants_a_classifier_first(called, capsys):
    assert cli.main(["finetune", *WHERE]) == 2
    assert cli.main(["finetune", "nowhere", *WHERE]) == 1
    assert called == []
    assert "nowhere is neither a run folder nor a classifier file" in capsys.readouterr().err


def test_finetune_tells_what_its_rate_suits(capsys):
    assert cli.main(["finetune", "--help"]) == 0
    told = " ".join(re.sub(r"[│\s]+", " ", capsys.readouterr().out).split())
    rate = recipes.finetuning(Recipe().model, Recipe().views).optimiser.learning_rate
    assert f"The rate, {rate}, suits a large network" in told
    assert "--optimiser.learning-rate 0.01" in told


def test_recipes_lists_all_with_cost_and_expected_number(capsys):
    assert cli.main(["recipes"]) == 0
    told = capsys.readouterr().out
    assert all(f"{name} " in told for name in recipes.names())
    assert cli.main(["recipes", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in listed] == list(recipes.names())
    assert all(entry["what"] and entry["cost"] and entry["expected"] and entry["command"] for entry in listed)


@pytest.mark.parametrize("names", [["papr-2012"], ["code-2012", "papr-2012"], ["papr-2012", "code-2012"]])
def test_recipes_of_an_unknown_name_is_wrong_usage_as_for_train(names, capsys):
    assert cli.main(["recipes", *names]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "there is no recipe 'papr-2012' (did you mean 'paper-2012'?)" in err
    assert cli.main(["recipes", "nowhere/recipe.json"]) == 1


def test_recipes_shows_one_and_compares_two(capsys):
    assert cli.main(["recipes", "demo", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert config.from_json(type(recipes.named("demo")), shown, "x") == recipes.named("demo")
    assert cli.main(["recipes", "demo"]) == 0
    assert f'"learning_rate": {recipes.named("demo").optimiser.learning_rate}' in capsys.readouterr().out
    assert cli.main(["recipes", "paper-2012", "code-2012"]) == 0
    assert "optimiser.bias_rate: 1.0 in paper-2012, 2.0 in code-2012" in capsys.readouterr().out
    assert cli.main(["recipes", "demo", "demo"]) == 0
    assert "compute the same" in capsys.readouterr().out
    assert cli.main(["recipes", "a", "b", "c"]) == 2


@pytest.mark.parametrize(
    ("name", "flags", "told"),
    [
        ("smoke", ["--schedule.epochs", "60"], "milestones at 2 stay as for 3 epochs. --epochs 60 "),
        ("imagenette", ["--schedule.epochs=20"], "a warm-up of 4 epochs stay as for 40 epochs. --epochs 20 "),
        ("imagenette", ["--schedule.epochs", "20", "--schedule.warmup", "2"], ""),
        ("paper-2012", ["--schedule.epochs", "20"], ""),
        ("smoke", ["--epochs", "60"], ""),
    ],
)
def test_a_schedule_whose_end_alone_moves_is_told_of(name, flags, told, called, capsys):
    assert cli.main(["train", name, *WHERE, *flags]) == 0
    err = capsys.readouterr().err
    assert told in err
    assert bool(told) == ("--schedule.epochs moves only the end" in err)


@pytest.mark.parametrize(
    ("flag", "meant"),
    [
        ("--optimizer.lr", "--optimiser.learning-rate"),
        ("--optimizer.lr=0.02", "--optimiser.learning-rate"),
        ("--optimiser.lr", "--optimiser.learning-rate"),
        ("--lr", "--optimiser.learning-rate"),
        ("--learning_rate", "--optimiser.learning-rate"),
        ("--batch-size", "--loader.batch"),
        ("--views.color", "--views.colour"),
    ],
)
def test_flags_by_others_words_are_understood_and_refused(flag, meant, called, capsys):
    assert cli.main(["train", "demo", *WHERE, flag, "1"]) == 2
    assert capsys.readouterr().err.endswith(f"alexnet: did you mean {meant}?\n")
    assert cli.main(["train", "demo", *WHERE, "--precision", "fp16"]) == 2
    assert "did you mean" not in capsys.readouterr().err
    assert called == []
