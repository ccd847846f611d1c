"""Images a second of the training step, beside the same network written plainly with torch's layers; a JSON line each.

Ours is the step that training takes: channels_last, keyed dropout, the paper's learning rule in torch's fused kernel,
kept pages, bf16 autocast or fp32. The rival is eager fp32 of nn.Conv2d(groups=2), nn.LocalResponseNorm, nn.MaxPool2d,
nn.Dropout and torch.optim.SGD. Each lives in a process of its own; they take turns, and the figures are medians over
the rounds. `peak_share` is ours, in floating-point operations, over a 4096 x 4096 x 4096 product's in that precision,
measured in the same turns. A last line compares the response norms alone, forward and backward, in bf16.

    python benchmarks/step.py [--device cpu] [--batch 128] [--precision bf16 fp32] [--rounds 7] [--compile]
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alexnet import devices, machine, randomness
from alexnet.model.alexnet import AlexNet, AlexNetConfig
from alexnet.model.network import facts
from alexnet.model.norms import ResponseNorm
from alexnet.model.rows import ResponseNorm as NormRow
from alexnet.training.optimiser import Optimiser, learning_rule, set_rates
from alexnet.training.schedule import Factors

SIDE = 4096


def plain() -> nn.Sequential:
    """The paper's network as one would write it with torch's own layers (its norms cross the towers)."""
    return nn.Sequential(
        *(nn.ZeroPad2d((0, 3, 0, 3)), nn.Conv2d(3, 96, 11, 4), nn.ReLU()),
        *(nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU()),
        *(nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0), nn.MaxPool2d(3, 2)),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten()),
        *(nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout()),
        nn.Linear(4096, 1000),
    )


def batch_of(count: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """(images, labels, indices), drawn."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, 224, 224, generator=generator) * 60
    labels = torch.randint(1000, (count,), generator=generator)
    return images.to(device), labels.to(device), torch.arange(count, device=device)


def ours(device: torch.device, batch: int, precision: str, compiled: bool) -> Callable[[], object]:
    """One training step of ours, ready to be called."""
    network, config = AlexNet(AlexNetConfig()).to(device).train(), Optimiser()
    rule = learning_rule(network, config)
    set_rates(rule, config, Factors())
    forward = torch.compile(network) if compiled else network
    images, labels, indices = batch_of(batch, device)

    def step() -> None:
        rule.zero_grad()
        keys = randomness.keys(0, "dropout", 0, indices)
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            logits = forward(images, keys)
        F.cross_entropy(logits.float(), labels).backward()
        rule.step()

    return step


def rival(device: torch.device, batch: int) -> Callable[[], object]:
    """One training step of the plain network, ready to be called."""
    network = plain().to(device)
    rule = torch.optim.SGD(network.parameters(), 0.01, 0.9, weight_decay=0.0005)
    images, labels, _ = batch_of(batch, device)

    def step() -> None:
        rule.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        rule.step()

    return step


def product(device: torch.device, precision: str) -> Callable[[], object]:
    """One 4096 x 4096 x 4096 matrix product, ready to be called."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(SIDE, SIDE, device=device, dtype=dtype) for _ in range(2))
    return lambda: a @ b


def norms(device: torch.device, batch: int, whose: str) -> Callable[[], object]:
    """Both response norms forward and backward on a batch, ours or torch's, ready to be called."""
    shapes = [(batch, 96, 55, 55), (batch, 256, 27, 27)]
    maps = [torch.randn(shape, device=device).bfloat16() for shape in shapes]
    layers: list[nn.Module] = [nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)] * 2
    if whose == "ours":
        maps = [m.contiguous(memory_format=torch.channels_last) for m in maps]
        layers = [ResponseNorm(NormRow("norm", towers=2), m.shape[1]).to(device) for m in maps]
    gradients = [torch.ones_like(m) for m in maps]
    leaves = [m.requires_grad_() for m in maps]

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            outputs = [layer(leaf) for layer, leaf in zip(layers, leaves, strict=True)]
        torch.autograd.grad(outputs, leaves, [g.to(o.dtype) for g, o in zip(gradients, outputs, strict=True)])

    return step


def serve(what: str, device: torch.device, options: argparse.Namespace) -> None:
    """Nothing; for each line read, does the work once and prints the seconds it took."""
    if not what.startswith("rival"):
        devices.keep_pages()
    works = {
        "ours": lambda: ours(device, options.batch, options.precision[0], options.compile),
        "rival": lambda: rival(device, options.batch),
        "product": lambda: product(device, options.precision[0]),
        "norms": lambda: norms(device, options.batch, "ours"),
        "rival norms": lambda: norms(device, options.batch, "torch"),
    }
    work = works[what]()
    for _ in sys.stdin:
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        print(time.perf_counter() - started, flush=True)


def in_turns(names: list[str], options: argparse.Namespace, precision: str) -> dict[str, float]:
    """Median seconds of each work by name, each in its own process, taking turns."""
    fixed = ["--device", options.device, "--batch", str(options.batch), "--precision", precision]
    command = [sys.executable, __file__, *fixed, *(["--compile"] if options.compile else []), "--serve"]
    pipe = subprocess.PIPE
    workers = {name: subprocess.Popen([*command, name], stdin=pipe, stdout=pipe, text=True) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    try:
        for turn in range(-2, options.rounds):
            for name, worker in workers.items():
                print(turn, file=worker.stdin, flush=True)
                line = worker.stdout.readline()
                if not line:
                    raise SystemExit(f"{name}: the measuring process ended early.")
                if turn >= 0:
                    seconds[name].append(float(line))
    finally:
        for worker in workers.values():
            worker.stdin.close()
            worker.wait()
    return {name: statistics.median(times) for name, times in seconds.items()}


def computer(device: torch.device) -> dict[str, object]:
    """What computes, for the JSON line."""
    has = machine.instructions()
    units = [unit for unit in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if unit in has][:1]
    cpu = {"cpu": " ".join([machine.processor(), *units]), "cores": machine.cores()}
    return cpu | ({"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {})


def operations() -> int:
    """Floating-point operations of a step on one image: forward, and two gradients but for conv1's one."""
    rows = {fact.name: fact.multiply_adds for fact in facts(AlexNetConfig())}
    return 6 * sum(rows.values()) - 2 * rows["conv1"]


def line(options: argparse.Namespace, what: str, precision: str, pair: tuple[float, float]) -> dict[str, object]:
    """One measurement as JSON: `pair` is seconds of ours and of the rival."""
    speeds = [options.batch / value for value in pair]
    return {
        **{"what": what, "precision": precision, "batch": options.batch, "device": options.device},
        **computer(torch.device(options.device)),
        **{"compiled": options.compile, "unit": "images/s", "ours": round(speeds[0], 1), "rival": round(speeds[1], 1)},
        "ratio": round(speeds[0] / speeds[1], 2),
    }


def main() -> None:
    """Nothing; prints the JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", nargs="+", choices=("bf16", "fp32"), default=["bf16", "fp32"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, devices.choose(options.device), options)
        return
    for precision in options.precision:
        seconds = in_turns(["ours", "rival", "product"], options, precision)
        found = line(options, "step", precision, (seconds["ours"], seconds["rival"]))
        peak = 2 * SIDE**3 / seconds["product"]
        share = operations() * options.batch / seconds["ours"] / peak
        print(json.dumps({**found, "peak_gflops": round(peak / 1e9), "peak_share": round(share, 3)}), flush=True)
    seconds = in_turns(["norms", "rival norms"], options, "bf16")
    print(json.dumps(line(options, "response norms", "bf16", (seconds["norms"], seconds["rival norms"]))), flush=True)


if __name__ == "__main__":
    main()
