"""Sweeps: fields by name, grids that are kept and gone on with, runs ended by a rule, searches that are shared."""

import csv
import json
import math
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

import alexnet
from alexnet import cli, config, recipes
from alexnet.errors import InputError
from alexnet.experiments import bench, pictures
from alexnet.sweeps import plan, settings
from alexnet.sweeps import search as searching
from alexnet.sweeps import trial as trials
from alexnet.sweeps.outcome import Row, Sweep, best
from alexnet.sweeps.plan import Plan
from alexnet.sweeps.settings import Span
from alexnet.sweeps.sweep import sweep
from alexnet.sweeps.trial import trial
from alexnet.training.finished import finished
from alexnet.training.recipe import Machine

MACHINE = Machine(threads=1)
RATE = "optimiser.learning_rate"


@pytest.fixture(scope="session")
def drawn(tmp_path_factory) -> Path:
    return pictures.cifar10(tmp_path_factory.mktemp("cifar10"), train=250, test=10).path


def small(epochs):
    return recipes.shorter(recipes.smaller(recipes.named("cifar10-80sec"), 1 / 8), epochs)


# Fields and their values.


@pytest.mark.parametrize(
    ("recipe", "text", "expected"),
    [
        ("demo", "optimiser.learning-rate=0.003,0.01", (RATE, (0.003, 0.01))),
        ("demo", "optimiser.learning_rate=1", (RATE, (1.0,))),
        ("demo", "loader.batch=32, 64", ("loader.batch", (32, 64))),
        ("demo", "model.norm=true,False", ("model.norm", (True, False))),
        ("demo", "model.initialisation.weights=he", ("model.initialisation.weights", ("he",))),
        ("demo", "precision=fp32,bf16", ("precision", ("fp32", "bf16"))),
        ("demo", "schedule.decay=none,cosine", ("schedule.decay", ("none", "cosine"))),
        ("paper-2012", "schedule.patience=3,5", ("schedule.patience", (3, 5))),
        ("demo", "optimiser.learning-rate=0.02..0.04", (RATE, Span(0.02, 0.04, log=True))),
        ("demo", "optimiser.momentum=0.8..0.95", ("optimiser.momentum", Span(0.8, 0.95))),
        ("demo", "optimiser.weight-decay=1e-5..1e-2", ("optimiser.weight_decay", Span(1e-5, 1e-2, log=True))),
        ("demo", "loader.batch=8..256", ("loader.batch", Span(8, 256, whole=True, log=True))),
        ("demo", "loader.batch=32..64", ("loader.batch", Span(32, 64, whole=True))),
    ],
)
def test_values_are_read_by_the_types_of_fields(recipe, text, expected):
    name, found = settings.read(recipes.named(recipe), text)
    assert (name, found) == expected
    if not isinstance(found, Span):
        assert [type(value) for value in found] == [type(value) for value in expected[1]]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("optimiser.learing-rate=1", "no field 'optimiser.learing-rate' .did you mean 'optimiser.learning-rate'"),
        ("optimiser=1", "has no field 'optimiser'"),
        ("schedule.patience=3", "has no field 'schedule.patience'"),  # demo's schedule has milestones
        ("seeds.data=1", "--seeds says how many"),
        ("optimiser.learning-rate", "names no values"),
        ("optimiser.learning-rate=", "names no values"),
        ("optimiser.learning-rate=fast", "cannot be 'fast'; it takes a number"),
        ("loader.batch=0.5", "it takes an integer"),
        ("precision=fp16", "it takes fp32 or bf16"),
        ("model.kernels=96", "several values, which a sweep cannot change"),
        ("precision=fp32..bf16", "no values between others"),
        ("optimiser.learning-rate=0.1..0.01", "no span from a lower to a higher"),
    ],
)
def test_what_cannot_be_swept_is_said_with_the_way_out(text, sentence):
    with pytest.raises(InputError, match=sentence):
        settings.read(recipes.named("demo"), text)


def test_a_setting_changes_its_fields_and_no_other():
    base = recipes.named("demo")
    setting = {RATE: 0.5, "model.initialisation.bias": 1.0, "model.input": 112, "views.crop": 112, "precision": "fp32"}
    found = settings.changed(base, setting)
    assert found == replace(
        base,
        optimiser=replace(base.optimiser, learning_rate=0.5),
        model=replace(base.model, input=112, initialisation=replace(base.model.initialisation, bias=1.0)),
        views=replace(base.views, crop=112),
        precision="fp32",
    )
    with pytest.raises(InputError, match=r"optimiser\.momentum is 2"):
        settings.changed(base, {"optimiser.momentum": 2.0})
    with pytest.raises(InputError, match=r"optimiser\.learning-rate is 'x'; a value of type float"):
        settings.changed(base, {RATE: "x"})


def test_flags_are_those_of_train(monkeypatch):
    called = []
    monkeypatch.setattr(alexnet, "train", lambda *given: called.append(given[0]) or type("R", (), {"path": Path()}))
    setting = {RATE: 0.5, "views.horizontal": False, "views.vertical": True, "model.initialisation.bias": 1.0}
    words = settings.flags(setting)
    cli.main(["train", "demo", "--data", "x", "--run", "y", *words])
    assert called == [settings.changed(recipes.named("demo"), setting)]


# Grids.


def test_a_grid_is_every_combination_for_every_seed_and_is_kept(drawn, tmp_path, monkeypatch):
    over = {"optimiser.learning-rate": (0.001, 0.003), "model.activation": ("relu", "tanh")}
    found = sweep(small(1), drawn, over, seeds=2, out=tmp_path, machine=MACHINE)
    combinations = [(rate, unit) for rate in (0.001, 0.003) for unit in ("relu", "tanh")]
    assert [tuple(row.setting.values()) for row in found.rows] == combinations
    for row in found.rows:
        lines = [(tmp_path / "runs" / name / "journal.jsonl").read_text().splitlines()[-1] for name in row.runs]
        assert row.errors == tuple(json.loads(line)["validation"]["top1_error"] for line in lines)
        written = json.loads((tmp_path / "runs" / row.runs[1] / "recipe.json").read_text())
        assert (written["optimiser"]["learning_rate"], written["model"]["activation"]) == tuple(row.setting.values())
        assert written["seeds"] == {"class": "Seeds", "weights": 1, "data": 1}
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["error"]) for row in rows] == pytest.approx([row.mean for row in found.rows])
    assert (tmp_path / "sweep.png").is_file()

    monkeypatch.setattr(trials, "train", lambda *_, **__: pytest.fail("what is finished is not trained again"))
    assert sweep(small(1), drawn, over, seeds=2, out=tmp_path, machine=MACHINE) == found


def test_a_finished_run_keeps_its_weights_alone_and_an_experiment_finds_it_finished(drawn, tmp_path, monkeypatch):
    base = small(1)
    found = trial(base, {}, 0, drawn, tmp_path, MACHINE)
    assert (found.run / "weights.safetensors").is_file()
    assert not list((found.run / "checkpoints").glob("step-*"))
    monkeypatch.setattr(bench, "train", lambda *_, **__: pytest.fail("what is finished is not trained again"))
    shared = bench.Bench(drawn, tmp_path, bench.Budget("full", seeds=1), MACHINE)
    assert shared.train(base, 0).path == found.run


def test_a_run_killed_before_its_last_weights_is_gone_on_with(drawn, tmp_path):
    """Its journal is whole: that alone finishes nothing."""
    folder = trial(small(1), {}, 0, drawn, tmp_path, MACHINE).run
    (folder / "finished.json").unlink()
    (folder / "weights.safetensors").unlink()
    again = trial(small(1), {}, 0, drawn, tmp_path, MACHINE)
    assert (again.run, len(again.epochs)) == (folder, 1)
    assert (folder / "weights.safetensors").is_file()
    assert (folder / "finished.json").is_file()


def test_a_run_that_breaks_is_a_row_that_cannot_be_best(drawn, tmp_path, monkeypatch):
    base = small(1)
    found = sweep(base, drawn, {RATE: (1e30, 0.001)}, out=tmp_path, machine=MACHINE)
    assert [row.state for row in found.rows] == ["broken", "finished"]
    assert not list(tmp_path.glob("runs/*/checkpoints/step-*"))
    assert found.rows[0].mean is None
    assert found.best is found.rows[1]
    monkeypatch.setattr(trials, "train", lambda *_, **__: pytest.fail("what broke is not trained again"))
    assert sweep(base, drawn, {RATE: (1e30, 0.001)}, out=tmp_path, machine=MACHINE) == found


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"over": {}}, "needs values to try"),
        ({"over": {RATE: (0.1,)}, "seeds": 0}, "at least 1"),
        ({"over": {RATE: (0.1,)}, "search": 0}, "at least 1"),
        ({"over": {RATE: Span(0.1, 1.0)}}, "add --search 30"),
        ({"over": {"optimiser.momentum": (0.9, 1.5)}}, "momentum is 1.5"),
        ({"over": {"no.such": (1,)}}, "has no field"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anything_trains(given, sentence, drawn, tmp_path):
    with pytest.raises(InputError, match=sentence):
        sweep(small(1), drawn, **{"out": tmp_path, **given})
    assert not (tmp_path / "runs").exists()


def test_torchrun_is_refused(drawn, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="start the same --search several times"):
        sweep(small(1), drawn, {RATE: (0.1,)}, out=tmp_path)


# What is said of rows.


def row(rate, *errors, state="finished"):
    return Row({RATE: rate}, errors, state, 3, tuple(f"run-{i}" for i in range(max(1, len(errors)))))


def test_the_best_is_the_finished_setting_of_lowest_mean():
    rows = (row(0.1, 0.2, 0.4), row(0.2, 0.25, 0.31), row(0.3, 0.1, state="pruned"), row(0.4, state="broken"))
    found = Sweep(rows, Path("o"), ("alexnet", "train", "demo", "--data", "my set"))
    assert found.best is rows[1]
    assert found.ready == "alexnet train demo --data 'my set' --optimiser.learning-rate 0.2"
    assert rows[1].mean == pytest.approx(0.28)
    assert rows[1].spread == pytest.approx(math.sqrt(2 * 0.03**2))
    assert (rows[3].mean, rows[2].spread) == (None, None)
    assert found.to_json()["best"]["setting"] == {"optimiser.learning-rate": 0.2}
    assert Sweep(rows[2:], Path("o"), ()).ready is None


def test_of_equal_errors_the_lower_loss_is_best_and_of_equal_losses_the_first():
    rows = [replace(row(rate, 0.2, 0.3), losses=losses) for rate, losses in ((1, (1, 2)), (2, (1, 1.5)), (3, (1.5, 1)))]
    assert best([*rows, row(4, 0.3)]) is rows[1]
    assert best([*rows, replace(row(4, 0.1, 0.2), losses=(9, 9))]).setting == {RATE: 4}
    assert best([row(1, state="broken"), row(2, 0.1, state="pruned")]) is None


def test_the_picture_shows_each_run_and_each_mean():
    rows = tuple(row(rate, error, error + 0.1) for rate, error in ((0.001, 0.5), (0.01, 0.3), (0.1, 0.4)))
    (axes,) = Sweep((*rows, row(1.0, state="broken")), Path(), ()).picture().axes
    assert axes.get_xscale() == "log"
    dots = next(line for line in axes.lines if line.get_label() == "to the end")
    assert sorted(dots.get_ydata()) == pytest.approx([0.3, 0.4, 0.4, 0.5, 0.5, 0.6])
    means = next(line for line in axes.lines if len(line.get_xdata()) == 3)
    assert list(means.get_ydata()) == pytest.approx([0.55, 0.35, 0.45])


def test_words_stand_side_by_side_in_the_picture():
    rows = [Row({"precision": word}, (0.1,), "finished", 1, ("r",)) for word in ("fp32", "bf16")]
    (axes,) = Sweep(tuple(rows), Path(), ()).picture().axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["fp32", "bf16"]


# Runs that a rule ends.


@pytest.mark.slow
def test_a_rule_ends_a_run_after_an_epoch_and_a_later_one_lets_it_go_on(drawn, tmp_path):
    base, asked = small(4), []

    def two(epochs):
        asked.append(len(epochs))
        return len(epochs) == 2

    ended = trial(base, {}, 0, drawn, tmp_path, MACHINE, stop=two)
    assert (ended.state, len(ended.epochs)) == ("stopped", 2)
    assert asked == [1, 2]
    again = trial(base, {}, 0, drawn, tmp_path, MACHINE, stop=two)
    assert again == ended

    # Four epochs may be over before the rule is asked of two.
    assert list(ended.run.glob("checkpoints/step-*")) or finished(ended.run)
    whole = trial(base, {}, 0, drawn, tmp_path, MACHINE, stop=lambda _: False)
    assert (whole.state, len(whole.epochs)) == ("finished", 4)
    assert not list(ended.run.glob("checkpoints/step-*"))
    undisturbed = trial(base, {}, 0, drawn, tmp_path / "other", MACHINE)
    files = [each.run / "weights.safetensors" for each in (whole, undisturbed)]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.slow
def test_a_run_that_breaks_in_its_own_process_is_told_of(drawn, tmp_path):
    found = trial(small(3), {RATE: 1e30}, 0, drawn, tmp_path, MACHINE, stop=lambda _: False)
    assert found.state == "broken"
    with pytest.raises(InputError, match="cuda:9"):
        trial(small(3), {}, 0, drawn, tmp_path, Machine(devices=("cuda:9",)), stop=lambda _: False)


def test_the_process_that_trains_is_of_this_package_wherever_it_starts(drawn, tmp_path, monkeypatch):
    (tmp_path / "alexnet").mkdir()
    (tmp_path / "alexnet" / "__init__.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    nowhere = Machine(devices=("cuda:99",))
    with pytest.raises(InputError, match="cuda:99"):
        trial(small(2), {}, 0, drawn, tmp_path / "runs", nowhere, stop=lambda _: False)


PROGRAM = """
import sys
from pathlib import Path
from alexnet import cli, config, recipes
from alexnet.sweeps.trial import trial
from alexnet.training.recipe import Machine
base = recipes.shorter(recipes.smaller(recipes.named("cifar10-80sec"), 1 / 8), 2000)
trial(base, {}, 0, Path(sys.argv[1]), Path(sys.argv[2]), Machine(threads=1), stop=lambda _: False)
"""


@pytest.mark.slow
def test_the_process_that_trains_saves_and_stops_when_its_parent_is_killed(drawn, tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", PROGRAM, drawn, tmp_path])
    try:
        _until(lambda: any('"epoch", "epoch": 1' in text for text in _journals(tmp_path)))
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    _until(lambda: list(tmp_path.glob("*/checkpoints/step-*.json")))
    length = [len(text) for text in _journals(tmp_path)]
    time.sleep(1)
    assert [len(text) for text in _journals(tmp_path)] == length


def _journals(folder):
    return [path.read_text() for path in folder.glob("*/journal.jsonl")]


def _until(happens):
    end = time.monotonic() + 300
    while not happens():
        assert time.monotonic() < end, "it did not happen in five minutes"
        time.sleep(0.1)


# Searches.


def test_a_search_stays_in_its_span_goes_on_and_tells_of_what_others_tried(drawn, tmp_path):
    pytest.importorskip("optuna")
    over = {RATE: Span(1e-4, 1e-2, log=True), "model.activation": ("relu", "tanh")}
    three = sweep(small(1), drawn, over, search=3, out=tmp_path, machine=MACHINE)
    assert len(three.rows) == 3
    assert all(1e-4 <= row.setting[RATE] <= 1e-2 for row in three.rows)
    assert {row.setting["model.activation"] for row in three.rows} <= {"relu", "tanh"}
    five = sweep(small(1), drawn, over, search=5, out=tmp_path, machine=MACHINE)
    assert five.rows[:3] == three.rows
    assert len({row.setting[RATE] for row in five.rows}) == 5
    other = sweep(small(1), drawn, over, search=3, out=tmp_path / "again", machine=MACHINE)
    assert other.rows == three.rows, "what is drawn is a function of the trial's number and the results"


def test_what_was_interrupted_is_tried_again_and_what_others_try_is_not(drawn, tmp_path, monkeypatch):
    optuna = pytest.importorskip("optuna")
    over, base = {RATE: Span(1e-4, 1e-2, log=True)}, small(1)
    seen = []

    def interrupted(base, setting, *_, **__):
        seen.append(setting[RATE])
        raise KeyboardInterrupt

    # Two are being tried: one by a process of this machine that was killed, one on another machine, which may live.
    study = searching._study(planned(base, drawn, over, tmp_path))
    for host in (searching.socket.gethostname(), "elsewhere"):
        one = study.ask()
        one.set_user_attr("process", [host, _dead()])
        tried = one.suggest_float(RATE, 1e-4, 1e-2, log=True)
        seen.append(tried)
    monkeypatch.setattr(plan, "trial", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(base, drawn, over, search=3, out=tmp_path, machine=MACHINE)
    assert seen[2] == seen[0]
    monkeypatch.undo()
    found = sweep(base, drawn, over, search=3, out=tmp_path, machine=MACHINE)
    assert [row.setting[RATE] == seen[0] for row in found.rows] == [True, False]
    states = [one.state.name for one in searching._study(planned(base, drawn, over, tmp_path)).trials]
    assert states.count("RUNNING") == 1
    assert optuna.trial.TrialState.WAITING not in states


def test_a_killed_process_is_seen_to_once_by_searches_that_begin_together(drawn, tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    over, base = {RATE: Span(1e-4, 1e-2, log=True)}, small(1)
    study, other = (searching._study(planned(base, drawn, over, tmp_path)) for _ in range(2))
    one = study.ask()
    one.suggest_float(RATE, 1e-4, 1e-2, log=True)
    one.set_user_attr("process", [searching.socket.gethostname(), 0])

    def lives(_):  # while the first looks, the other sees to it
        monkeypatch.setattr(searching, "_lives", lambda _: False)
        searching._revive(other)
        return False

    monkeypatch.setattr(searching, "_lives", lives)
    searching._revive(study)
    assert [each.state.name for each in study.trials] == ["FAIL", "WAITING"]


def test_while_others_are_at_every_setting_there_are_no_rows_and_no_files(drawn, tmp_path):
    pytest.importorskip("optuna")
    over, base = {RATE: Span(1e-4, 1e-2, log=True)}, small(1)
    study = searching._study(planned(base, drawn, over, tmp_path))
    one = study.ask()
    one.set_user_attr("process", ["elsewhere", 1])
    assert sweep(base, drawn, over, search=1, out=tmp_path, machine=MACHINE).rows == ()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(("sweep", "recipe"))] == []


def test_what_was_killed_between_its_row_and_its_end_has_one_row(drawn, tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    over, base = {RATE: Span(1e-4, 1e-2, log=True)}, small(1)
    study = searching._study(planned(base, drawn, over, tmp_path))
    one = study.ask()
    rate = one.suggest_float(RATE, 1e-4, 1e-2, log=True)
    one.set_user_attr("process", [searching.socket.gethostname(), _dead()])
    one.set_user_attr("row", config.to_json(row(rate, 0.5)))

    def pretended(base, setting, seed, *_, **__):
        return trials.Trial(setting, base, Path("run"), "finished", ({"validation": {"top1_error": 0.5, "loss": 1.0}},))

    monkeypatch.setattr(plan, "trial", pretended)
    found = sweep(base, drawn, over, search=1, out=tmp_path, machine=MACHINE)
    assert [each.setting[RATE] for each in found.rows] == [rate]


def planned(base, drawn, over, out):
    return Plan(base, drawn, over, 1, out, MACHINE, lambda _: None)


def _dead():
    """The number of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_falls_behind_the_median_is_pruned(drawn, tmp_path, monkeypatch):
    """Errors are the rate, at every epoch: a rate above the median of five finished ends after a fifth."""
    pytest.importorskip("optuna")
    base, lasted = small(10), {}

    def pretended(base, setting, seed, data, runs, machine, *, stop=None, say=None):
        lines = []
        for _ in range(base.schedule.epochs):
            lines.append({"validation": {"top1_error": setting[RATE], "loss": 1.0}})
            if stop and stop(lines):
                break
        lasted[setting[RATE]] = len(lines)
        state = "finished" if len(lines) == base.schedule.epochs else "stopped"
        run = runs / f"{setting[RATE]}"
        (run / "checkpoints").mkdir(parents=True)
        (run / "checkpoints" / "step-000000001.safetensors").write_bytes(b"a gigabyte")
        return trials.Trial(setting, base, run, state, tuple(lines))

    monkeypatch.setattr(plan, "trial", pretended)
    found = sweep(base, drawn, {RATE: Span(0.01, 0.9)}, search=20, out=tmp_path)
    finished = []
    for row in found.rows:
        rate = row.setting[RATE]
        behind = len(finished) >= 5 and rate > statistics.median(finished)
        assert row.state == ("pruned" if behind else "finished")
        assert lasted[rate] == (2 if behind else 10)
        assert bool(list(tmp_path.glob(f"runs/{rate}/checkpoints/*"))) == (not behind), "nobody goes on with it"
        finished += [] if behind else [rate]
    assert {"pruned", "finished"} == {row.state for row in found.rows}


def test_without_optuna_a_search_says_what_to_install(drawn, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError, match=r"pip install 'alexnet\[sweep\]'"):
        sweep(small(1), drawn, {RATE: Span(0.1, 1.0)}, search=2, out=tmp_path)


def test_a_row_survives_the_study_file():
    one = row(0.1, 0.2, 0.4)
    kept = json.loads(json.dumps(config.to_json(one)))
    assert config.from_json(Row, kept, "row") == one
