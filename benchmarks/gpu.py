"""Runs everything that waits for a GPU, most valuable first, within a time given; repeating the command goes on.

    python benchmarks/gpu.py --hours 2 --out results/gpu

OUT/JOB/ receives what a job printed (output.txt), the journals, figures and JSON of its run and, in results/, those of
its experiments, no weights; done.json marks it as finished, and it is not run again. Prepared sets and runs live in
--work. When the time is up the job gets SIGTERM, saves and stops; the next time it goes on where it was. Data are found
by environment variables: ALEXNET_IMAGENETTE (a folder with train/ and val/), ALEXNET_CIFAR10 (the folder of the binary
batches), ALEXNET_PRETRAINING (photographs of other classes, a folder with train/ and val/).
"""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from alexnet import files

KEPT = {".json", ".jsonl", ".png", ".html", ".csv", ".txt"}
KEPT_BYTES = 4 << 20
GRACE_SECONDS = 90
ALEXNET = "{python} -m alexnet"


@dataclass(frozen=True)
class Job:
    """Commands in order, each of which costs nothing when it was finished before."""

    name: str
    commands: tuple[str, ...]
    """{python}, {work} (a folder of the job's own) and {ALEXNET_...} (a variable of the environment) are filled in."""

    @property
    def data(self) -> list[str]:
        """The environment's variables that name its data."""
        return sorted({name for command in self.commands for name in re.findall(r"\{(ALEXNET_\w+)\}", command)})


def whole_run(name: str, recipe: str, source: str, split: str, views: Sequence[str]) -> Job:
    """The main job from photographs to figures: prepare, train, evaluate."""
    run = "{work}/run --data {work}/prepared"
    evaluations = (f"{ALEXNET} evaluate {run} --split {split} --views {view} --json" for view in views)
    train = f"{ALEXNET} train {recipe} --data {{work}}/prepared --run {{work}}/run"
    return Job(name, (f"{ALEXNET} prepare {source} {{work}}/prepared", train, *evaluations))


def settings(program: str) -> tuple[str, ...]:
    """A benchmark's commands at both batches."""
    return tuple(f"{{python}} benchmarks/{program} --device cuda --batch {batch}" for batch in (128, 1024))


def solar_cells() -> Job:
    """The demo, its validation split and its pictures as in `make demo`."""
    job = whole_run("demo", "demo", "{work}/cells", "test", ("centre", "ten"))
    lay_out, prepare = "{python} examples/solar_cells.py {work}/cells", f"{job.commands[0]} --holdout 0.1 --size 230"
    return Job("demo", (lay_out, prepare, *job.commands[1:]))


def claims(name: str, source: str, *options: str) -> Job:
    """Every experiment of the paper that the data serve, in full."""
    prepare = " ".join([ALEXNET, "prepare", source, "{work}/prepared", *options])
    return Job(name, (prepare, f"{ALEXNET} reproduce all --data {{work}}/prepared --results {{work}}/results"))


def pretraining() -> Job:
    """The claims that pretrain on other photographs, which `claims` leaves aside."""
    prepare = f"{ALEXNET} prepare {{ALEXNET_IMAGENETTE}} {{work}}/prepared"
    others = f"{ALEXNET} prepare {{ALEXNET_PRETRAINING}} {{work}}/others"
    places = "--data {work}/prepared --pretrain-data {work}/others --results {work}/results"
    return Job(
        "pretraining", (prepare, others, *(f"{ALEXNET} reproduce {n} {places}" for n in ("table2", "more-data")))
    )


JOBS = (
    Job("tests", ("{python} -m pytest -q -m cuda",)),
    Job("step", settings("step.py")),
    Job("loader", settings("loader.py")),
    whole_run("imagenette", "imagenette", "{ALEXNET_IMAGENETTE}", "val", ("centre", "ten")),
    whole_run("cifar10", "cifar10-11pct", "{ALEXNET_CIFAR10}", "test", ("centre", "nine")),
    solar_cells(),
    claims("claims-cifar10", "{ALEXNET_CIFAR10}", "--holdout 0.1"),
    claims("claims-photographs", "{ALEXNET_IMAGENETTE}"),
    pretraining(),
    Job("features", ("{python} benchmarks/features.py --device cuda",)),
    Job("serve", ("{python} benchmarks/serve.py --device cuda",)),
)


class Runner:
    """Runs jobs until a moment on the monotonic clock, or until told to stop."""

    def __init__(self, out: Path, work: Path, until: float) -> None:
        self.out, self.work, self.until = out, work, until
        self.stopped = False
        self._process: subprocess.Popen[bytes] | None = None

    def stop(self, *_: object) -> None:
        """Nothing; the command that runs is asked to save and end, and no other begins."""
        self.stopped = True
        if self._process:
            self._process.terminate()

    def run(self, job: Job) -> str:
        """What became of the job: "done", "done before", "skipped: ...", "failed: ..." or "unfinished"."""
        folder = self.out / job.name
        if (folder / "done.json").is_file():
            return "done before"
        for name in job.data:
            if not os.environ.get(name):
                return f"skipped: {name} names no folder"
        folder.mkdir(parents=True, exist_ok=True)
        (self.work / job.name).mkdir(parents=True, exist_ok=True)
        started = time.monotonic()
        with (folder / "output.txt").open("ab") as output:
            for command in job.commands:
                if self.stopped or time.monotonic() >= self.until:
                    return "unfinished"
                code = self._finish(self._filled(job, command), output.fileno())
                self._collect(job)
                if self.stopped:
                    return "unfinished"
                if code:
                    return f"failed: {command} ended with {code}; {folder / 'output.txt'} tells"
        seconds = round(time.monotonic() - started, 1)
        finished = datetime.now(UTC).isoformat(timespec="seconds")
        record = {"commands": job.commands, "seconds_of_last_call": seconds, "finished": finished}
        files.write_json(folder / "done.json", record)
        return "done"

    def _filled(self, job: Job, command: str) -> list[str]:
        places = {"{python}": sys.executable, "{work}": str(self.work / job.name)}
        places |= {f"{{{name}}}": os.environ[name] for name in job.data}
        words = shlex.split(command)
        for place, value in places.items():
            words = [word.replace(place, value) for word in words]
        return words

    def _finish(self, words: list[str], output: int) -> int:
        """The command's exit code; at the end of the time it is told to stop, and after a grace killed."""
        os.write(output, f"$ {shlex.join(words)}\n".encode())
        # A session of its own: Ctrl-C reaches it through this program, once.
        self._process = subprocess.Popen(words, stdout=output, stderr=output, start_new_session=True)
        try:
            return self._process.wait(max(0.0, self.until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.stop()
        try:
            return self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _collect(self, job: Job) -> None:
        """Copies what people read of the job's run and results; pixels and weights stay in the work folder."""
        work, out = self.work / job.name, self.out / job.name
        found = [(path, out / path.relative_to(work / "run")) for path in sorted((work / "run").rglob("*"))]
        # Below it are the runs and smaller results, which the result files tell of.
        found += [(path, out / path.relative_to(work)) for path in sorted((work / "results").glob("*"))]
        for path, target in found:
            if path.is_file() and path.suffix in KEPT and path.stat().st_size <= KEPT_BYTES:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)


def run_all(jobs: Sequence[Job], runner: Runner) -> int:
    """0, or 1 when a job failed; each job's end is printed."""
    failed = False
    for job in jobs:
        print(f"{job.name}: ...", file=sys.stderr, flush=True)
        result = runner.run(job)
        failed = failed or result.startswith("failed")
        print(f"{job.name}: {result}", flush=True)
        if result == "unfinished":
            print("The time is up or a signal came; the same command goes on.")
            break
    return int(failed)


def machine(out: Path) -> bool:
    """Whether there is a CUDA device; OUT/machine.json tells what the machine has."""
    told = subprocess.run([sys.executable, "-m", "alexnet", "doctor", "--json"], check=True, stdout=subprocess.PIPE)
    found = json.loads(told.stdout)
    files.write_json(out / "machine.json", found)
    return any(entry["device"].startswith("cuda") for entry in found["devices"])


def main() -> int:
    """Reads the arguments and runs the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default=Path("results/gpu"))
    parser.add_argument("--work", type=Path, default=Path("runs/gpu"), help="prepared sets and runs, with weights")
    parser.add_argument("--only", nargs="*", choices=[job.name for job in JOBS], help="these jobs alone")
    arguments = parser.parse_args()
    if not machine(arguments.out):
        print("There is no CUDA device that this build of torch can use; `alexnet doctor` tells more.", file=sys.stderr)
        return 1
    runner = Runner(arguments.out, arguments.work, time.monotonic() + 3600 * arguments.hours)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, runner.stop)
    return run_all([job for job in JOBS if not arguments.only or job.name in arguments.only], runner)


if __name__ == "__main__":
    sys.exit(main())
