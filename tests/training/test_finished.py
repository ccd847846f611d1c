"""A finished run that was lightened is never begun anew, and only a whole one counts as finished."""

import json
from dataclasses import replace

import pytest

from alexnet import config, locks, recipes
from alexnet.commands import resume
from alexnet.errors import InputError
from alexnet.training.finished import epochs, finish, finished, lighten, unfinished
from alexnet.training.recipe import Machine
from alexnet.training.run import lock
from alexnet.training.schedule import Plateau
from alexnet.training.train import train

CPU = Machine(devices=("cpu",), threads=1)


def tiny():
    return recipes.smaller(recipes.shorter(recipes.smoke(), 2), 1 / 32)


@pytest.fixture(scope="module")
def run(prepared, tmp_path_factory):
    return train(tiny(), prepared, tmp_path_factory.mktemp("runs") / "run", CPU, shared=True)


def contents(run):
    kept = (file for file in run.path.rglob("*") if file.is_file())
    return {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in kept}


def test_a_shared_run_is_finished_without_what_it_was_resumed_from(run):
    assert finished(run.path)
    assert json.loads((run.path / "finished.json").read_text()) == {"epochs": 2}
    assert not list(run.checkpoints.iterdir())
    assert not lock(run.path).exists()


def test_training_it_again_changes_nothing(run, prepared, capsys):
    before = contents(run)
    for again in (
        lambda: train(tiny(), prepared, run.path, CPU),
        lambda: train(tiny(), prepared, run.path, shared=True),
    ):
        assert again() == run
        assert f"{run.path} is finished already, after 2 epochs." in capsys.readouterr().err
    assert contents(run) == before
    other = replace(tiny(), optimiser=replace(tiny().optimiser, learning_rate=0.5))
    with pytest.raises(InputError, match=r"\(optimiser\.learning_rate: 0\.03 -> 0\.5\)"):
        train(other, prepared, run.path, CPU)
    assert contents(run) == before


def test_resuming_it_draws_its_report_and_changes_nothing_else(run):
    before = contents(run)
    assert resume(run.path, machine=CPU) == run
    after = contents(run)
    assert {file: after[file] for file in before} == before
    assert {file.suffix for file in after.keys() - before.keys()} <= {".png", ".html", ".svg"}


def test_half_a_journal_is_not_finished_and_is_trained_anew(prepared, tmp_path):
    run = train(tiny(), prepared, tmp_path / "run", CPU, shared=True)
    whole = (run.path / "journal.jsonl").read_bytes()
    lines = whole.splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if b'"event": "epoch"' in line)
    (run.path / "journal.jsonl").write_bytes(b"".join(lines[:last]))
    assert not finished(run.path)
    train(tiny(), prepared, run.path, CPU, shared=True)
    assert finished(run.path)
    assert (run.path / "journal.jsonl").read_bytes() == whole


def test_an_ordinary_run_keeps_what_it_is_resumed_from(prepared, tmp_path):
    run = train(tiny(), prepared, tmp_path / "run", CPU)
    assert not finished(run.path)
    assert list(run.checkpoints.glob("step-*"))
    finish(run.path)
    assert finished(run.path)
    assert len(epochs(run.path)) == 2


def test_a_run_is_unfinished_until_its_schedule_ends_it(prepared, tmp_path):
    run = train(tiny(), prepared, tmp_path / "run", CPU)
    assert unfinished(run.path) is None
    journal = run.path / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if '"event": "epoch"' in line)
    journal.write_text("".join(lines[: first + 3]))
    assert unfinished(run.path) == (1, 2)
    assert unfinished(tmp_path / "nowhere") is None
    # A plateau may end it early: here the error of the second epoch is no better.
    recipe = json.loads((run.path / "recipe.json").read_text())
    recipe["schedule"] = config.to_json(Plateau(9, drops=0, patience=1))
    (run.path / "recipe.json").write_text(json.dumps(recipe))
    assert unfinished(run.path) == (1, 9)
    journal.write_text("".join([*lines, lines[-1]]))
    assert unfinished(run.path) is None


def test_what_another_process_trains_is_not_lightened(tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    file = tmp_path / "run" / "checkpoints" / "step-000000001.safetensors"
    file.write_bytes(b"a gigabyte")
    with locks.alone(lock(tmp_path / "run")):
        lighten(tmp_path / "run")
        assert file.exists()
    lighten(tmp_path / "run")
    assert not file.exists()
