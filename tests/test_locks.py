"""Locks: one process at a time, the next once it ends in whatever way, and nobody kept out where there are none."""

import signal
import subprocess
import sys
import time

import pytest

from alexnet import locks

HOLDER = """
import sys, time
from pathlib import Path
from alexnet import locks
with locks.alone(Path(sys.argv[1])) as mine:
    print(mine, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def file(tmp_path):
    return tmp_path / "folder" / ".lock"


@pytest.fixture
def holder(file):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout.readline() == "True\n"
        yield process
        process.kill()


def test_it_is_had_by_one_and_gone_afterwards(file):
    with locks.alone(file) as mine:
        assert mine
        with locks.alone(file) as another:
            assert not another
        assert file.exists()
    assert not file.exists()


def test_what_another_process_has_is_not_had(file, holder):
    with locks.alone(file) as mine:
        assert not mine


@pytest.mark.parametrize("end", ["in order", "killed"])
def test_another_process_is_waited_for_which_is_said_once(file, holder, end):
    said = []

    def waiting():
        said.append(time.monotonic())
        holder.send_signal(signal.SIGKILL) if end == "killed" else holder.communicate("\n")

    with locks.alone(file, waiting) as mine:
        assert mine
        with locks.alone(file) as another:
            assert not another
    assert len(said) == 1
    assert not file.exists()


def test_where_nothing_can_be_locked_nobody_is_kept_out(file, monkeypatch):
    file.parent.write_text("no folder")
    with locks.alone(file) as mine:
        assert mine
    file.parent.unlink()
    with monkeypatch.context() as patch:
        patch.setattr(locks, "_LOCKS", False)
        with locks.alone(file) as one, locks.alone(file) as other:
            assert (one, other) == (True, True)
    monkeypatch.setattr(locks.fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError("no locks here")))
    with locks.alone(file) as one, locks.alone(file) as other:
        assert (one, other) == (True, True)
