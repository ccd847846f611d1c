"""doctor: what this machine has, and what is missing for what."""

import sys
from typing import Any

import alexnet
from alexnet.cli import terminal
from alexnet.errors import counted


def doctor(arguments: list[str]) -> int:
    """`alexnet doctor`."""

    def command(*, json: terminal.Flag = False) -> int:
        """Say what this machine has (processor, memory, devices, versions), and what is missing for what.

        Example: `alexnet doctor`.

        Args:
            json: print one JSON object and nothing else.
        """
        found = alexnet.doctor()
        terminal.print_json(found) if json else _tell(found)
        return 0

    return terminal.parse(command, arguments, "doctor")


def _tell(found: dict[str, Any]) -> None:
    processor, memory, torch = found["processor"], found["memory"], found["torch"]
    instructions = ", ".join(processor["instructions"]) or "none that matter are known"
    threads = counted(torch["threads"], "thread")
    rows = [
        ("alexnet", found["alexnet"]),
        ("python", f"{found['python']} in {sys.prefix}"),
        ("system", found["system"]),
        ("processor", f"{processor['name']}, {counted(processor['cores'], 'core')}; {instructions}"),
        ("memory", f"{memory['available']} of {memory['total']} GiB available" if memory else "unknown"),
        ("disk", f"{found['disk']['free']} GiB free at {found['disk']['folder']}"),
        ("torch", f"{found['packages']['torch']}, CUDA {torch['cuda'] or 'not in this build'}, {threads}"),
        ("decoders", f"simplejpeg {found['packages']['simplejpeg']}, Pillow {found['packages']['pillow']}"),
    ]
    rows += [("device", _device(entry) + (" (auto)" if i == 0 else "")) for i, entry in enumerate(found["devices"])]
    rows += [("missing", f"for {entry['for']}: {entry['command']}") for entry in found["missing"]]
    for name, value in rows:
        print(f"{name:<11}{value}")


def _device(entry: dict[str, Any]) -> str:
    memory = f", {entry['memory']} GiB" if "memory" in entry else ""
    return f"{entry['device']}: {entry['name']}{memory}"
