"""Whole processes: killed without warning, and several that share the work."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors.torch import load_file

from alexnet.training.run import Run

SMALL = ["--model.width", "0.03", "--schedule.epochs", "2", "--machine.devices", "cpu", "--machine.threads", "1"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def launcher(world):
    # A machine that cannot look up its own name would wait half an hour for itself, were the address not given.
    alone = ["--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={world}"]
    # The dashes end torchrun's own options: it would take our --run for its --run-path.
    return [sys.executable, "-m", "torch.distributed.run", *alone, "-m", "--"]


def command(prepared, run, *more):
    return ["alexnet", "train", "smoke", "--data", str(prepared), "--run", str(run), *SMALL, *more]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_kill_9_at_any_moment_changes_nothing(prepared, tmp_path, precision):
    more = ("--precision", precision, "--machine.checkpoint-minutes", "0.001")
    subprocess.run([sys.executable, "-m", *command(prepared, tmp_path / "whole", *more)], env=ENVIRONMENT, check=True)
    killed, moments = 0, random.Random(precision)
    for _ in range(40):
        process = subprocess.Popen(
            [sys.executable, "-m", *command(prepared, tmp_path / "killed", *more)], env=ENVIRONMENT
        )
        while process.poll() is None and not (tmp_path / "killed" / "recipe.json").exists():
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 2.5))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed += 1
        if killed == 5:
            subprocess.run(
                [sys.executable, "-m", *command(prepared, tmp_path / "killed", *more)], env=ENVIRONMENT, check=True
            )
            break
    assert killed
    for name in ("journal.jsonl", "weights.safetensors", "best.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    last = [max((tmp_path / name / "checkpoints").glob("step-*.safetensors")) for name in ("whole", "killed")]
    assert last[0].name == last[1].name
    assert last[0].read_bytes() == last[1].read_bytes()


SHARED = """
import sys
from pathlib import Path
from alexnet import recipes
from alexnet.training.recipe import Machine
from alexnet.training.train import train
recipe = recipes.shorter(recipes.smaller(recipes.named("smoke"), 1 / 16), 3)
run = train(recipe, Path(sys.argv[1]), Path(sys.argv[2]), Machine(("cpu",), threads=1), shared=True)
print(len(run.journal()))
"""


def test_of_two_processes_that_share_a_run_one_trains_and_the_other_waits(prepared, tmp_path):
    words = [sys.executable, "-c", SHARED, str(prepared), str(tmp_path / "runs" / "run")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": ENVIRONMENT}
    both = [subprocess.Popen(words, **pipes) for _ in range(2)]
    told = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    lines = Run.open(tmp_path / "runs" / "run").journal()
    assert [out for out, _ in told] == [f"{len(lines)}\n"] * 2
    assert [line["epoch"] for line in lines if line["event"] == "epoch"] == [1, 2, 3]
    assert len(Run.open(tmp_path / "runs" / "run").environment()) == 1
    waited = [err.count("is being trained by another process; waiting for it.") for _, err in told]
    finished = [err.count("is finished already, after 3 epochs.") for _, err in told]
    assert sorted(finished) == [0, 1]
    # Whoever came when all was done had nothing to wait for.
    assert [number for number in waited if number] in ([], [1])


def test_a_run_in_use_is_refused_and_left_alone(prepared, tmp_path):
    long = ["--schedule.epochs", "1000", "--machine.devices", "cpu", "--machine.threads", "1"]
    first = [sys.executable, "-m", *command(prepared, tmp_path / "run")[:-6], *long]
    process = subprocess.Popen(first, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    try:
        while process.poll() is None and not (tmp_path / "run" / "timing.jsonl").exists():
            time.sleep(0.05)
        second = subprocess.run(first, env=ENVIRONMENT, capture_output=True, text=True)
        assert second.returncode == 1
        assert f"{tmp_path / 'run'} is being trained by another process; wait for it" in second.stderr
        assert "Traceback" not in second.stderr
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate()
    assert "stopped by SIGTERM" in told
    assert len(Run.open(tmp_path / "run").environment()) == 1


@pytest.mark.slow
def test_one_two_and_three_ranks_train_alike(prepared, tmp_path):
    """Dropout, crops, mirrors and colour are on; 81 images in batches of 32 leave shares of unequal size."""
    for world in (1, 2, 3):
        subprocess.run([*launcher(world), *command(prepared, tmp_path / str(world))], env=ENVIRONMENT, check=True)
    weights = {world: load_file(tmp_path / str(world) / "weights.safetensors") for world in (1, 2, 3)}
    journals = {world: Run.open(tmp_path / str(world)).journal() for world in (1, 2, 3)}
    for world in (2, 3):
        for key, value in weights[1].items():
            torch.testing.assert_close(weights[world][key], value, rtol=1e-4, atol=1e-6)
        for line, alone in zip(journals[world], journals[1], strict=True):
            assert line["step"] == alone["step"]
            part = "training" if line["event"] == "epoch" else None
            mine, theirs = (line[part], alone[part]) if part else (line, alone)
            assert mine["loss"] == pytest.approx(theirs["loss"], rel=1e-5)
            if line["event"] == "epoch":
                assert line["validation"]["images"] == alone["validation"]["images"] == 27
                assert line["validation"]["loss"] == pytest.approx(alone["validation"]["loss"], rel=1e-5)


@pytest.mark.slow
def test_equal_weights_give_equal_validation_figures_at_any_world_size(prepared, tmp_path):
    subprocess.run([sys.executable, "-m", *command(prepared, tmp_path / "run")], env=ENVIRONMENT, check=True)
    found = []
    for world in (1, 2, 3):
        arguments = ["alexnet", "evaluate", str(tmp_path / "run"), "--data", str(prepared), "--json"]
        done = subprocess.run(
            [*launcher(world), *arguments, "--device", "cpu"],
            env=ENVIRONMENT,
            check=True,
            capture_output=True,
            text=True,
        )
        found.append(json.loads(done.stdout))
    for other in found[1:]:
        assert other["images"] == found[0]["images"] == 27
        assert (other["top1_error"], other["top5_error"]) == (found[0]["top1_error"], found[0]["top5_error"])
        assert other["loss"] == pytest.approx(found[0]["loss"], rel=1e-5)
