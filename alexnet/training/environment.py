"""Where a run computes: versions, machine and the code's commit. None of it goes into the recipe."""

import platform
import shlex
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from alexnet import distributed
from alexnet.machine import processor, version
from alexnet.training.recipe import Machine

_PACKAGES = ("alexnet", "torch", "numpy", "pillow", "simplejpeg", "safetensors")


def describe(machine: Machine, device: torch.device) -> dict[str, Any]:
    """One session of a run, as JSON values: command, commit, versions, devices, threads and the machine's fields."""
    return {
        "command": shlex.join(["alexnet", *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: version(name) or "not installed" for name in _PACKAGES},
        "system": platform.platform(),
        "device": str(device),
        "device_name": device_name(device),
        "threads": torch.get_num_threads(),
        "world": distributed.world(),
        "machine": asdict(machine),
    }


def commit() -> str:
    """The commit of this package's checkout, with "+changes" when files differ from it, else its version."""
    folder = Path(__file__).resolve().parents[1]
    try:
        # Fails for a copy that merely lies below somebody's repository.
        _git(folder, "ls-files", "--error-unmatch", "__init__.py")
        head = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return f"version {version('alexnet') or 'unknown'}"
    return head + ("+changes" if changed else "")


def device_name(device: torch.device) -> str:
    """The maker's name of a device ("NVIDIA H100 80GB HBM3", "Intel(R) Xeon(R) ...")."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor()


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
