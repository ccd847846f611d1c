"""The device is chosen as asked, and an absent one is refused in a sentence."""

import subprocess
import sys

import pytest
import torch

from alexnet import devices
from alexnet.errors import InputError


@pytest.mark.parametrize("name", ["cuda:99", "cdua", "", "cuda:x", "xpu"])
def test_an_absent_or_misspelt_device_is_an_input_error(name):
    with pytest.raises(InputError, match=f"device '{name}' is not available here; `alexnet doctor`"):
        devices.choose(name)


def test_cpu_is_the_cpu():
    assert devices.choose("cpu") == torch.device("cpu")


def test_auto_takes_the_best_there_is(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch, "empty", lambda *_, device: chosen.append(str(device)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    devices.choose()
    monkeypatch.setenv("LOCAL_RANK", "2")
    devices.choose()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    devices.choose()
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    devices.choose()
    assert chosen == ["cuda:0", "cuda:2", "mps", "cpu"]


def test_keep_pages_says_no_where_there_is_no_glibc(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert devices.keep_pages() is False


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_kept_pages_are_not_faulted_in_again():
    # In a process of its own: what mallopt sets cannot be unset.
    program = """
import resource, sys, torch
from alexnet import devices
if sys.argv[1] == "keep":
    assert devices.keep_pages()
def touch():
    torch.empty(16 << 20).fill_(1.0)
# The heap first settles on a place for them.
for _ in range(12):
    touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

    def faults(mode):
        return int(subprocess.run([sys.executable, "-c", program, mode], check=True, capture_output=True).stdout)

    assert faults("keep") < 200
    assert faults("plain") > 200
