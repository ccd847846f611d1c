"""evaluate and predict, on a small prepared set and an untrained classifier."""

import io
import json
import re
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from alexnet import cli, recipes
from alexnet.data.prepare import prepare
from alexnet.data.shards import PreparedSet
from alexnet.training.recipe import Machine
from alexnet.training.run import learnt_from
from alexnet.training.train import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(run, prepared set, a picture) of sixteen pictures, after one epoch."""
    root = tmp_path_factory.mktemp("evaluation")
    rng = np.random.default_rng(0)
    for number in range(16):
        folder = root / "pictures" / ("dark" if number % 2 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 128, (40, 50, 3), np.uint8) + (0 if number % 2 else 100)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    prepare(root / "pictures", root / "prepared", holdout=0.25)
    recipe = recipes.shorter(recipes.named("smoke"), 1)
    train(recipe, root / "prepared", root / "run", Machine(devices=("cpu",)))
    return root / "run", root / "prepared", root / "pictures" / "dark" / "1.png"


def test_evaluate_prints_one_object_and_writes_files(trained, capsys):
    run, prepared, _ = trained
    assert cli.main(["evaluate", str(run), "--data", str(prepared), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {"top1_error", "top1_standard_error", "top5_error", "loss", "images", "views", "models"} <= result.keys()
    assert (result["images"], result["views"], result["models"]) == (4, "centre", 1)
    assert result["split"] == "val"
    assert result["always_one_error"] == 0.5
    assert result["data"] == {"path": str(prepared), "fingerprint": PreparedSet.open(prepared).fingerprint}
    assert json.loads((run / "evaluation-val-centre" / "evaluation.json").read_text()) == result
    assert (run / "evaluation-val-centre" / "confusion.csv").is_file()


def test_another_set_has_a_folder_of_its_own(trained, capsys, tmp_path):
    run, prepared, picture = trained
    own = run / "evaluation-val-centre"
    assert cli.main(["evaluate", str(run), "--data", str(shutil.copytree(prepared, tmp_path / "moved"))]) == 0
    assert f"by class     {own}\n" in capsys.readouterr().out, "the same set"
    kept = (own / "evaluation.json").read_bytes()
    others = [prepare(picture.parents[1], tmp_path / f"{n}" / "set", holdout=0.25, seed=n).path for n in (1, 2)]
    for other in others:
        assert cli.main(["evaluate", str(run), "--data", str(other)]) == 0
        fingerprint = PreparedSet.open(other).fingerprint
        folder = run / f"evaluation-val-centre-on-set-{fingerprint[:8]}"
        assert f"by class     {folder}\n" in capsys.readouterr().out
        assert json.loads((folder / "evaluation.json").read_text())["data"]["fingerprint"] == fingerprint
    assert (own / "evaluation.json").read_bytes() == kept


def test_several_runs_are_an_ensemble_and_write_where_asked(trained, capsys, tmp_path):
    run, prepared, _ = trained
    arguments = ["evaluate", str(run), str(run / "best.safetensors"), "--data", str(prepared), "--views", "ten"]
    assert cli.main([*arguments, "--save-probabilities"]) == 2
    assert cli.main([*arguments, "--save-probabilities", "--out", str(tmp_path / "out")]) == 0
    told, notes = capsys.readouterr()
    assert "4 images of val, ten views, 2 classifiers averaged" in told
    assert re.search(r"\ntop-1 error  0\.\d{4} ± 0\.\d{4} \(standard error\); always one answer: 0\.5000\n", told)
    assert "top-5" not in told
    assert "Nothing was written" not in notes
    assert np.load(tmp_path / "out" / "probabilities.npy").shape == (4, 2)


def test_several_runs_without_a_folder_say_that_nothing_was_written(trained, capsys):
    run, prepared, _ = trained
    before = set(run.rglob("*"))
    assert cli.main(["evaluate", str(run), str(run), "--data", str(prepared), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["models"] == 2
    assert err == "Nothing was written; --out FOLDER writes errors by class, confusion and answers.\n"
    assert set(run.rglob("*")) == before


def test_runs_that_learnt_from_another_division_are_told_of_once(trained, capsys, tmp_path):
    run, _, picture = trained
    other = prepare(picture.parents[1], tmp_path / "other", holdout=0.25, seed=1).path
    capsys.readouterr()
    arguments = [str(run), str(run), "--data", str(other), "--out", str(tmp_path / "out")]
    assert cli.main(["evaluate", *arguments]) == 0
    told = (
        f"alexnet: {run} learnt from another prepared set than {other}, perhaps from images that are in its val split"
    )
    err = capsys.readouterr().err
    assert err.startswith(told)
    assert len(err.splitlines()) == 1
    # A lone file does not say what it learnt from.
    shutil.copy(run / "best.safetensors", tmp_path / "lone.safetensors")
    (tmp_path / "data.json").write_text('["of another program"]')
    assert cli.main(["evaluate", str(tmp_path / "lone.safetensors"), "--data", str(other)]) == 0
    assert capsys.readouterr().err == ""


def test_a_start_that_learnt_from_another_division_is_told_of(trained, capsys, tmp_path):
    run, _, picture = trained
    mended = prepare(picture.parents[1], tmp_path / "mended", holdout=0.25, test=0.25, seed=1).path
    told = f"learnt from another prepared set than {mended}, perhaps from images that are in its"
    for start, new in ((run, tmp_path / "tuned"), (tmp_path / "tuned", tmp_path / "again")):
        capsys.readouterr()
        assert cli.main(["finetune", str(start), "--data", str(mended), "--run", str(new), "--epochs", "1"]) == 0
        name = run if start == run else f"the start of {start}"
        assert f"alexnet: {name} {told} val or test split: then" in capsys.readouterr().err
    # The set of the first run is two starts away.
    for command in ("evaluate", "calibrate"):
        cli.main([command, str(tmp_path / "again"), "--data", str(mended)])
        assert f"alexnet: the start of {tmp_path / 'again'} {told} val split: then" in capsys.readouterr().err
    again = tmp_path / "again"
    assert [len(learnt_from(again / f"{name}.safetensors")) for name in ("weights", "start")] == [3, 2]


def test_a_start_of_the_same_set_or_of_other_classes_is_not(trained, capsys, tmp_path):
    run, prepared, picture = trained
    shutil.copytree(picture.parents[1] / "dark", tmp_path / "others" / "night")
    shutil.copytree(picture.parents[1] / "light", tmp_path / "others" / "day")
    others = prepare(tmp_path / "others", tmp_path / "set", holdout=0.25).path
    for data in (prepared, others):
        new = tmp_path / f"tuned-{data.name}"
        capsys.readouterr()
        assert cli.main(["finetune", str(run), "--data", str(data), "--run", str(new), "--epochs", "1"]) == 0
        assert cli.main(["evaluate", str(new), "--data", str(data)]) == 0
        assert "learnt from" not in capsys.readouterr().err


def test_an_unfinished_run_is_told_of(trained, capsys, tmp_path):
    run = shutil.copytree(trained[0], tmp_path / "run")
    recipe = json.loads((run / "recipe.json").read_text())
    recipe["schedule"]["epochs"] = 60
    (run / "recipe.json").write_text(json.dumps(recipe))
    told = f"alexnet: {run} is unfinished (1 of 60 epochs): `alexnet resume {run}` goes on"
    capsys.readouterr()
    assert cli.main(["evaluate", str(run), str(run), "--data", str(trained[1]), "--json"]) == 0
    assert capsys.readouterr().err.startswith(f"{told}.\nNothing was written")
    arguments = ["calibrate", str(run), "--data", str(trained[1])]
    for out, more in (([], " and writes its classifier anew, at temperature 1"), (["--out", str(tmp_path / "x")], "")):
        cli.main([*arguments, *out])
        assert f"{told}{more}.\n" in capsys.readouterr().err
    assert cli.main(["evaluate", str(trained[0]), "--data", str(trained[1])]) == 0
    assert "unfinished" not in capsys.readouterr().err


def test_what_surrounds_a_classifier_may_be_unreadable(trained, capsys, tmp_path):
    run = shutil.copytree(trained[0], tmp_path / "run")
    (run / "weights.safetensors").rename(run / "best.safetensors")
    (run / "recipe.json").write_text('{"schedule": {"class": "of a later version"}}')
    (run / "journal.jsonl").write_text("no journal\n" * 2)
    for data in ('{"fingerprint": "a"}', "[]"):
        (run / "data.json").write_text(data)
        capsys.readouterr()
        assert cli.main(["evaluate", str(run), "--best", "--data", str(trained[1])]) == 0
        assert capsys.readouterr().err == ""


def test_evaluate_names_the_splits_there_are(trained, capsys):
    run, prepared, _ = trained
    assert cli.main(["evaluate", str(run), "--data", str(prepared), "--split", "tset"]) == 1
    assert "it has train, val" in capsys.readouterr().err


def test_evaluate_wants_a_run(capsys):
    assert cli.main(["evaluate", "--data", "set"]) == 2
    assert "at least one RUN" in capsys.readouterr().err


def test_a_bad_picture_stops_no_other(trained, capsys, tmp_path):
    run, _, picture = trained
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    assert cli.main(["predict", str(run), str(tmp_path / "bad.jpg"), str(picture), "absent.jpg", "--json"]) == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["image"] for line in lines] == [str(tmp_path / "bad.jpg"), str(picture), "absent.jpg"]
    assert [sorted(line.keys()) for line in lines] == [["error", "image"], ["image", "predictions"], ["error", "image"]]
    answers = lines[1]["predictions"]
    assert {answer["label"] for answer in answers} == {"dark", "light"}
    assert sum(answer["probability"] for answer in answers) == pytest.approx(1)


def test_a_folder_and_standard_input(trained, capsys, monkeypatch):
    run, _, picture = trained

    class Input:
        buffer = io.BytesIO(picture.read_bytes())

    monkeypatch.setattr(sys, "stdin", Input)
    assert cli.main(["predict", str(run), str(picture.parent), "-", "--top", "1", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["image"] for line in lines] == [*map(str, sorted(picture.parent.iterdir())), "-"]
    assert all(len(line["predictions"]) == 1 for line in lines)
    assert lines[-1]["predictions"][0]["label"] == lines[0]["predictions"][0]["label"]


def test_bars_for_people(trained, capsys):
    run, _, picture = trained
    assert cli.main(["predict", str(run), str(picture), "absent.jpg"]) == 1
    out, err = capsys.readouterr()
    assert str(picture) in out
    assert "█" in out
    assert "%" in out
    assert "absent.jpg: cannot be read" in err


def test_a_missing_classifier_is_1(capsys):
    assert cli.main(["predict", "nowhere", "a.jpg"]) == 1
    assert "nowhere is neither a run folder nor a classifier file" in capsys.readouterr().err
