"""What this machine has: cores, memory, processor, packages, devices; and the doctor, who tells them all.

A process may use less than the machine has: what the scheduler and the process's control groups (version 2; those of
containers and of job queues) allow is counted.
"""

import importlib.metadata
import importlib.util
import math
import os
import platform
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch

import alexnet

# What needs it, the module that shows that it is there, and the extra that brings it.
_EXTRAS = (
    ("the demo's photographs (make demo)", "elpv_dataset", "demo"),
    ("the rivals (alexnet baseline)", "kornia", "baselines"),
    ("searches for settings (alexnet sweep --search)", "optuna", "sweep"),
    ("neighbours among over a million vectors", "faiss", "search"),
    ("ONNX (alexnet export, alexnet import)", "onnxruntime", "onnx"),
    ("Caffe's files (alexnet import)", "google.protobuf", "caffe"),
    ("serving (alexnet serve)", "fastapi", "serve"),
    ("the notebooks", "nbclient", "teach"),
    ("the tests (make test)", "pytest", "dev"),
    ("format, lint and types (make check)", "ruff", "dev"),
)
_PACKAGES = ("torch", "numpy", "simplejpeg", "pillow", "safetensors", "matplotlib", "tyro", "rich")
# The instructions that make training fast.
_INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "bf16", "sve")
_GIB = 1 << 30
_PROCESSES = Path("/proc")
_GROUPS = Path("/sys/fs/cgroup")


class Memory(NamedTuple):
    """Main memory in bytes."""

    total: int
    free: int


def cores() -> int:
    """How many cores this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for group in _groups():
        quota, _, period = _text(group / "cpu.max").partition(" ")
        if quota.isdecimal():  # else "max", or no limit is kept there
            count = min(count, math.ceil(int(quota) / int(period)))
    return max(1, count)


def memory() -> Memory | None:
    """What this process may use and what is left of it; nothing where the system does not tell.

    Files that the system keeps in memory only because there is room for them count as free.
    """
    facts = {name: int(rest.split()[0]) << 10 for name, rest in _fields(_PROCESSES / "meminfo").items()}
    if "MemTotal" not in facts:
        return None
    total, free = facts["MemTotal"], facts.get("MemAvailable", facts.get("MemFree", 0))
    for group in _groups():
        limit, used = _text(group / "memory.max").strip(), _text(group / "memory.current").strip()
        if limit.isdecimal() and used.isdecimal():
            statistics = dict(line.split() for line in _text(group / "memory.stat").splitlines())
            taken = int(used) - int(statistics.get("inactive_file", 0))
            total, free = min(total, int(limit)), min(free, int(limit) - taken)
    return Memory(total, max(0, free))


def processor() -> str:
    """The maker's name of the processor ("Intel(R) Xeon(R) ..."), or the kind of machine."""
    return _fields(_PROCESSES / "cpuinfo").get("model name") or platform.processor() or platform.machine()


def instructions() -> list[str]:
    """Of the instructions that make training fast, those which the processor has."""
    facts = _fields(_PROCESSES / "cpuinfo")
    flags = (facts.get("flags") or facts.get("Features") or "").split()
    return [name for name in _INSTRUCTIONS if name in flags]


def version(package: str) -> str | None:
    """The version of an installed package; nothing if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def doctor(folder: Path | str = ".") -> dict[str, Any]:
    """What this machine has, as JSON values; memory and disk in GiB, `folder` being on the disk asked about."""
    found = memory()
    return {
        "alexnet": alexnet.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": {"name": processor(), "cores": cores(), "instructions": instructions()},
        "memory": found and {"total": round(found.total / _GIB, 1), "available": round(found.free / _GIB, 1)},
        "disk": {"folder": str(Path(folder).resolve()), "free": round(shutil.disk_usage(folder).free / _GIB, 1)},
        "packages": {name: version(name) for name in _PACKAGES},
        "torch": {
            "cuda": torch.version.cuda,
            "threads": torch.get_num_threads(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        },
        "devices": _devices(),
        "missing": [
            {"for": purpose, "module": module, "command": f"pip install 'alexnet[{extra}]'"}
            for purpose, module, extra in _EXTRAS
            if not _present(module)
        ],
    }


def _present(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package that a module is of
        return False


def _devices() -> list[dict[str, Any]]:
    """The devices that `--machine.devices` and `--device` can name, the best first: what `auto` takes."""
    found: list[dict[str, Any]] = []
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(number)
        capability = f"{properties.major}.{properties.minor}"
        total = round(properties.total_memory / _GIB, 1)
        found.append({"device": f"cuda:{number}", "name": properties.name, "memory": total, "capability": capability})
    if torch.backends.mps.is_available():
        found.append({"device": "mps", "name": "Apple GPU (untested)"})
    return [*found, {"device": "cpu", "name": processor()}]


def _groups() -> list[Path]:
    """The folders of this process's control group and of those around it, whose limits hold as well."""
    lines = _text(_PROCESSES / "self" / "cgroup").splitlines()
    own = _GROUPS / next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    return [folder for folder in (own, *own.parents) if folder.is_relative_to(_GROUPS)]


def _fields(path: Path) -> dict[str, str]:
    """The lines "name: value" of a file, the last of each name."""
    lines = (line.partition(":") for line in _text(path).splitlines())
    return {name.strip(): value.strip() for name, colon, value in lines if colon}


def _text(path: Path) -> str:
    """What is in the file; nothing where there is none."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
