"""doctor: what this machine has, and what is missing for what."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import alexnet
from alexnet.cli import terminal

# What needs it, the module that shows that it is there, and the extra that brings it.
_EXTRAS = (
    ("the demo's photographs (make demo)", "elpv_dataset", "demo"),
    ("the tests (make test)", "pytest", "dev"),
    ("format, lint and types (make check)", "ruff", "dev"),
)
_PACKAGES = ("torch", "numpy", "simplejpeg", "pillow", "safetensors", "matplotlib", "tyro", "rich")
_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "bf16", "sve")
_GIB = 1 << 30


def doctor(arguments: list[str]) -> int:
    """`alexnet doctor`."""

    def command(*, json: terminal.Flag = False) -> int:
        """Say what this machine has (processor, memory, devices, versions), and what is missing for what.

        Example: `alexnet doctor`.

        Args:
            json: print one JSON object alone.
        """
        found = alexnet.doctor()
        terminal.print_json(found) if json else _tell(found)
        return 0

    return terminal.parse(command, arguments, "doctor")


def examine(folder: Path = Path()) -> dict[str, Any]:
    """What this machine has, as JSON values; memory and disk in GiB, `folder` being on the disk asked about."""
    import torch

    return {
        "alexnet": alexnet.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": _processor(),
        "memory": _memory(),
        "disk": {"folder": str(folder.resolve()), "free": round(shutil.disk_usage(folder).free / _GIB, 1)},
        "packages": {name: _version(name) for name in _PACKAGES},
        "torch": {
            "cuda": torch.version.cuda,
            "threads": torch.get_num_threads(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        },
        "devices": _devices(),
        "missing": [
            {"for": purpose, "module": module, "command": f"pip install 'alexnet[{extra}]'"}
            for purpose, module, extra in _EXTRAS
            if importlib.util.find_spec(module) is None
        ],
    }


def _processor() -> dict[str, Any]:
    """Its name, the cores this process may use, and the instructions that make training fast."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        text = ""
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = fields.get("model name") or platform.processor() or platform.machine()
    return {"name": name, "cores": cores, "instructions": [flag for flag in _FLAGS if flag in flags]}


def _memory() -> dict[str, float] | None:
    """Total and available, where the system tells."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    found = {"total": kilobytes["MemTotal"], "available": kilobytes.get("MemAvailable", kilobytes["MemFree"])}
    return {key: round(value / (1 << 20), 1) for key, value in found.items()}


def _devices() -> list[dict[str, Any]]:
    """The devices that `--machine.devices` and `--device` can name, the best first: what `auto` takes."""
    import torch

    found: list[dict[str, Any]] = []
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        properties = torch.cuda.get_device_properties(number)
        capability = f"{properties.major}.{properties.minor}"
        memory = round(properties.total_memory / _GIB, 1)
        found.append({"device": f"cuda:{number}", "name": properties.name, "memory": memory, "capability": capability})
    if torch.backends.mps.is_available():
        found.append({"device": "mps", "name": "Apple GPU (untested)"})
    return [*found, {"device": "cpu", "name": _processor()["name"]}]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _tell(found: dict[str, Any]) -> None:
    processor, memory, torch = found["processor"], found["memory"], found["torch"]
    instructions = ", ".join(processor["instructions"]) or "none that matter are known"
    rows = [
        ("alexnet", found["alexnet"]),
        ("python", f"{found['python']} in {sys.prefix}"),
        ("system", found["system"]),
        ("processor", f"{processor['name']}, {processor['cores']} cores; {instructions}"),
        ("memory", f"{memory['available']} of {memory['total']} GiB available" if memory else "unknown"),
        ("disk", f"{found['disk']['free']} GiB free at {found['disk']['folder']}"),
        (
            "torch",
            f"{found['packages']['torch']}, CUDA {torch['cuda'] or 'not in this build'}, {torch['threads']} threads",
        ),
        ("decoders", f"simplejpeg {found['packages']['simplejpeg']}, Pillow {found['packages']['pillow']}"),
    ]
    rows += [("device", _device(entry) + (" (auto)" if i == 0 else "")) for i, entry in enumerate(found["devices"])]
    rows += [("missing", f"for {entry['for']}: {entry['command']}") for entry in found["missing"]]
    for name, value in rows:
        print(f"{name:<11}{value}")


def _device(entry: dict[str, Any]) -> str:
    memory = f", {entry['memory']} GiB" if "memory" in entry else ""
    return f"{entry['device']}: {entry['name']}{memory}"
