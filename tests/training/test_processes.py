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
