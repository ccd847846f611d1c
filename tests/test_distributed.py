"""Ranks and exact sums: alone in this process, and in groups of two and three."""

import json
import socket
import subprocess
import sys

import pytest
import torch

import alexnet
from alexnet import distributed
from alexnet.baselines.fitted import Baseline
from alexnet.baselines.pipelines import FisherVectors
from alexnet.errors import InputError

PROGRAM = """
import json, torch
from alexnet import distributed
with distributed.joined(torch.device("cpu")):
    rank, world = distributed.rank(), distributed.world()
    values = torch.tensor([1 + rank * 2.0**-52, 2.0**53], dtype=torch.float64)
    counts = torch.tensor([2**60 + rank])
    result = {
        "rank": rank,
        "world": world,
        "local": distributed.local_rank(),
        "shares": [distributed.share(count) for count in range(10)],
        "total": [value.hex() for value in distributed.total(values).tolist()],
        "untouched": values.tolist() == [1 + rank * 2.0**-52, 2.0**53],
        "counts": distributed.total(counts).item(),
        "one": distributed.any_true(rank == 1, torch.device("cpu")),
        "none": distributed.any_true(False, torch.device("cpu")),
    }
    distributed.wait()
result["after"] = distributed.world()
print("RESULT" + json.dumps(result))
"""


def spread(world: int) -> list[dict]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            env={**subprocess.os.environ, **common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(world)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * world
    lines = [line for output in outputs for line in output.splitlines() if line.startswith("RESULT")]
    return [json.loads(line.removeprefix("RESULT")) for line in lines]


def test_alone_each_function_is_the_identity():
    values = torch.tensor([1.5])
    with distributed.joined(torch.device("cpu")):
        assert (distributed.rank(), distributed.world()) == (0, 1)
        assert distributed.share(10) == (0, 10)
        assert distributed.total(values) is values
        assert distributed.any_true(True, torch.device("cpu"))
        assert not distributed.any_true(False, torch.device("cpu"))
        distributed.wait()


@pytest.mark.parametrize(
    "call",
    [
        lambda folder: alexnet.reproduce("counts", results=folder),
        lambda folder: alexnet.baseline("fisher-vectors", folder, folder / "out"),
        lambda folder: Baseline(FisherVectors(), (), 256, 1.0, []).evaluate(folder),
    ],
    ids=["reproduce", "baseline fit", "baseline evaluate"],
)
def test_what_is_not_spread_refuses_torchrun_before_it_writes(call, tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="is not spread by torchrun: start it once, without torchrun"):
        call(tmp_path)
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv("WORLD_SIZE", "1")
    distributed.require_alone("reproduce")


@pytest.mark.slow
@pytest.mark.parametrize("world", [2, 3])
def test_a_group_shares_all_and_sums_exactly(world):
    results = spread(world)
    assert [result["rank"] for result in results] == list(range(world))
    for result in results:
        assert result["world"] == world
        assert result["local"] == result["rank"]
        assert result["untouched"]
        assert result["one"]
        assert not result["none"]
        assert result["after"] == 1
        # float64 and int64 keep what float32 would lose.
        ulps = world * (world - 1) // 2
        assert result["total"] == [float(world + ulps * 2.0**-52).hex(), float(world * 2.0**53).hex()]
        assert result["counts"] == world * 2**60 + ulps
    for count in range(10):
        shares = [result["shares"][count] for result in results]
        assert [i for start, stop in shares for i in range(start, stop)] == list(range(count))
        sizes = [stop - start for start, stop in shares]
        assert max(sizes) - min(sizes) <= 1
