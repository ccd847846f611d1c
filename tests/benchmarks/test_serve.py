"""The benchmark of the server: it runs, and every answer is the right one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "serve.py"


@pytest.mark.slow
def test_it_measures_and_every_answer_is_right():
    pytest.importorskip("fastapi")
    small = ["--clients", "1", "3", "--seconds", "1", "--rounds", "1", "--picture", "100", "75", "--threads", "1"]
    done = subprocess.run([sys.executable, PROGRAM, *small, "--device", "cpu"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["clients"] for line in lines] == [1, 3]
    for line in lines:
        assert line["ours"] > 0
        assert line["rival"] > 0
        assert line["ratio"] == pytest.approx(line["ours"] / line["rival"], rel=0.02)
        assert (line["wrong"], line["lost"]) == (0, 0)
