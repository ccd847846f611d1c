"""The runner of GPU jobs, with trivial jobs on the CPU."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("gpu", ROOT / "benchmarks" / "gpu.py")
gpu = importlib.util.module_from_spec(SPEC)
sys.modules["gpu"] = gpu
SPEC.loader.exec_module(gpu)

COUNT = "{python} -c \"open('{work}/count', 'a').write('x')\""
STUBBORN = """{python} -c "
import pathlib, signal, sys, time
def stop(*_):
    pathlib.Path('{work}/saved').touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
if pathlib.Path('{work}/saved').exists():
    sys.exit(0)
pathlib.Path('{work}/started').touch()
time.sleep(60)
" """


@pytest.fixture
def runner(tmp_path):
    return gpu.Runner(tmp_path / "out", tmp_path / "work", time.monotonic() + 60)


def test_a_job_is_done_once(runner, tmp_path):
    job = gpu.Job("count", (COUNT, "{python} -c 'print(\"hello\")'"))
    assert runner.run(job) == "done"
    assert runner.run(job) == "done before"
    assert (tmp_path / "work" / "count" / "count").read_text() == "x"
    output = (tmp_path / "out" / "count" / "output.txt").read_text()
    assert output.startswith("$ ")
    assert output.endswith("hello\n")
    assert json.loads((tmp_path / "out" / "count" / "done.json").read_text())["commands"] == list(job.commands)


def test_a_failure_is_told_and_the_others_run(runner, tmp_path, capsys):
    jobs = [gpu.Job("bad", ("{python} -c 'raise SystemExit(3)'", COUNT)), gpu.Job("good", (COUNT,))]
    assert gpu.run_all(jobs, runner) == 1
    assert "bad: failed: {python} -c 'raise SystemExit(3)' ended with 3" in capsys.readouterr().out
    assert not (tmp_path / "out" / "bad" / "done.json").exists()
    assert not (tmp_path / "work" / "bad" / "count").exists()
    assert (tmp_path / "out" / "good" / "done.json").exists()


def test_a_job_without_its_data_is_skipped_with_a_sentence(runner, monkeypatch):
    monkeypatch.delenv("ALEXNET_NOWHERE", raising=False)
    job = gpu.Job("data", ("{python} -c 'import sys; assert sys.argv[1] == \"/some where\"' {ALEXNET_NOWHERE}",))
    assert runner.run(job) == "skipped: ALEXNET_NOWHERE names no folder"
    monkeypatch.setenv("ALEXNET_NOWHERE", "/some where")
    assert runner.run(job) == "done"


def test_at_the_end_of_the_time_a_job_saves_and_the_next_call_goes_on(tmp_path):
    out, work = tmp_path / "out", tmp_path / "work"
    jobs = [gpu.Job("long", (STUBBORN,)), gpu.Job("next", (COUNT,))]
    started = time.monotonic()
    assert gpu.run_all(jobs, gpu.Runner(out, work, started + 1.5)) == 0
    assert time.monotonic() - started < 30
    assert (work / "long" / "saved").exists()
    assert not (out / "next").exists()
    again = gpu.Runner(out, work, time.monotonic() + 60)
    assert [again.run(job) for job in jobs] == ["done", "done"]


def test_what_people_read_is_collected_and_weights_are_not(runner, tmp_path):
    make = "{python} -c \"import pathlib; r = pathlib.Path('{work}/run'); (r / 'a').mkdir(parents=True);"
    make += " [(r / n).write_bytes(b'x' * s) for n, s in (('journal.jsonl', 9), ('a/b.png', 9), ('w.safetensors', 9),"
    make += " ('big.html', (4 << 20) + 1))]\""
    assert runner.run(gpu.Job("files", (make,))) == "done"
    found = {str(p.relative_to(tmp_path / "out/files")) for p in (tmp_path / "out/files").rglob("*") if p.is_file()}
    assert found == {"journal.jsonl", "a/b.png", "done.json", "output.txt"}


def test_the_results_of_experiments_come_home_and_their_runs_do_not(runner, tmp_path):
    make = "{python} -c \"import pathlib; r = pathlib.Path('{work}/results'); (r / 'runs' / 'a').mkdir(parents=True);"
    make += " [(r / n).write_bytes(b'x') for n in ('lrn.json', 'lrn-gap.png', 'runs/a/journal.jsonl')]\""
    assert runner.run(gpu.Job("claims", (make,))) == "done"
    out = tmp_path / "out" / "claims"
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found == {"results/lrn.json", "results/lrn-gap.png", "done.json", "output.txt"}


def test_the_table_has_each_job_once_and_its_programs_exist():
    assert len({job.name for job in gpu.JOBS}) == len(gpu.JOBS)
    for job in gpu.JOBS:
        for command in job.commands:
            program = command.split()[1]
            assert program == "-m" or (ROOT / program).is_file()


@pytest.mark.slow
def test_without_a_gpu_it_says_so(tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "benchmarks/gpu.py", "--out", tmp_path / "out", "--work", tmp_path / "work"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert "no CUDA device" in done.stderr
    assert json.loads((tmp_path / "out" / "machine.json").read_text())["devices"][-1]["device"] == "cpu"
