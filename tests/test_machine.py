"""What this machine has, as a laid-out /proc and control groups tell it."""

import os

import pytest
import torch

from alexnet import machine

GIB = 1 << 30


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A function that writes a file of /proc or of the control groups that the machine is read from."""
    monkeypatch.setattr(machine, "_PROCESSES", tmp_path / "proc")
    monkeypatch.setattr(machine, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)

    def write(name, text):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    write("proc/meminfo", f"MemTotal:  {64 << 20} kB\nMemFree:  {1 << 20} kB\nMemAvailable:  {32 << 20} kB\n")
    return write


def test_without_limits_the_machine_and_the_scheduler_decide(system):
    assert machine.cores() == 6
    assert machine.memory() == machine.Memory(64 * GIB, 32 * GIB)
    system("groups/memory.max", "max\n")
    system("groups/cpu.max", "max 100000\n")
    assert machine.cores() == 6
    assert machine.memory() == machine.Memory(64 * GIB, 32 * GIB)


def test_what_a_container_has_taken_is_not_left_but_files_kept_in_memory_are(system):
    system("groups/memory.max", f"{8 * GIB}\n")
    system("groups/memory.current", f"{7 * GIB}\n")
    assert machine.memory() == machine.Memory(8 * GIB, 1 * GIB)
    system("groups/memory.stat", f"anon {3 * GIB}\nfile {4 * GIB}\ninactive_file {2 * GIB}\n")
    assert machine.memory() == machine.Memory(8 * GIB, 3 * GIB)
    system("groups/memory.current", f"{11 * GIB}\n")
    assert machine.memory().free == 0


@pytest.mark.parametrize(("quota", "expected"), [("200000", 2), ("250000", 3), ("5000", 1), ("900000", 6)])
def test_a_container_s_quota_of_time_counts_as_cores(system, quota, expected):
    system("groups/cpu.max", f"{quota} 100000\n")
    assert machine.cores() == expected


def test_the_limits_of_every_group_around_the_process_hold(system):
    system("proc/self/cgroup", "4:memory:/old\n0::/jobs/7/step\n")
    system("groups/jobs/7/cpu.max", "300000 100000\n")
    system("groups/jobs/7/step/cpu.max", "max 100000\n")
    system("groups/jobs/memory.max", f"{16 * GIB}\n")
    system("groups/jobs/memory.current", "0\n")
    system("groups/other/cpu.max", "100000 100000\n")
    assert machine.cores() == 3
    assert machine.memory() == machine.Memory(16 * GIB, 16 * GIB)


def test_the_processor(system):
    system("proc/cpuinfo", "model name\t: A: B\nflags\t: fpu avx2 amx_tile\n\nmodel name\t: A: B\n")
    assert machine.processor() == "A: B"
    assert machine.instructions() == ["avx2", "amx_tile"]
    system("proc/cpuinfo", "processor : 0\nFeatures : fp asimd\n")
    assert machine.processor()
    assert machine.instructions() == ["asimd"]


def test_versions():
    assert machine.version("torch").split("+")[0] == torch.__version__.split("+")[0]
    assert machine.version("no-such-package") is None
