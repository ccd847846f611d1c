"""Rank, world and exact sums over processes; alone, each function is the identity."""

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

from alexnet.errors import InputError

_PATIENCE = timedelta(minutes=30)
# A group that goes with the last object that averaged gradients through it waits for gloo's thread without letting go
# of Python's lock, which that thread may be waiting for; kept until the interpreter ends, it goes without the lock.
_ended: list[object] = []
atexit.register(_ended.clear)


def rank() -> int:
    """This process's number, 0 when alone."""
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes work together, 1 when alone."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_rank() -> int:
    """This process's number on its machine: the accelerator that is its own."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def require_alone(command: str, instead: str = "start it once, without torchrun") -> None:
    """Nothing where this process works by itself.

    Raises:
        InputError: `torchrun` started it beside others, which would do and write the same.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(f"`alexnet {command}` is not spread by torchrun: {instead}.")


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """Within the block the processes that `torchrun` started are one group (nccl on CUDA, else gloo)."""
    if device.type == "cuda":
        # Events, streams and nccl's barrier mean the current device, which would be cuda:0 for everyone.
        torch.cuda.set_device(device)
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        yield
        return
    if device.type == "cuda":
        dist.init_process_group("nccl", timeout=_PATIENCE, device_id=device)
    else:
        dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        _ended.append(dist.group.WORLD)
        dist.destroy_process_group()


def share(count: int) -> tuple[int, int]:
    """(start, stop) of this rank's contiguous part of `count` items: sizes differ by one at most, and may be 0."""
    return count * rank() // world(), count * (rank() + 1) // world()


def total(values: Tensor) -> Tensor:
    """`values` summed over the ranks, the same on each; integers and float64 keep their precision."""
    if world() == 1:
        return values
    values = values.clone()
    dist.all_reduce(values)
    return values


def any_true(flag: bool, device: torch.device) -> bool:
    """Whether `flag` is true on any rank, so that all stop at the same step."""
    if world() == 1:
        return flag
    return bool(total(torch.tensor([int(flag)], device=device)).item())


def wait() -> None:
    """Nothing, once every rank has come here."""
    if world() > 1:
        dist.barrier()
