"""Which device computes, how many threads, and what makes a CPU fast."""

import ctypes
import sys

import torch

from alexnet import distributed
from alexnet.errors import InputError

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def choose(name: str = "auto") -> torch.device:
    """The device called `name`; `auto` takes cuda, then mps, then cpu, and `cuda` is this rank's own.

    Raises:
        InputError: this machine, or this build of torch, has no such device.
    """
    if name == "auto":
        accelerator = "mps" if torch.backends.mps.is_available() else "cpu"
        name = "cuda" if torch.cuda.is_available() else accelerator
    if name == "cuda" and torch.cuda.is_available():
        name = f"cuda:{distributed.local_rank() % torch.cuda.device_count()}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(
            f"device {name!r} is not available here; `alexnet doctor` lists what is, and `auto` takes the best."
        ) from None
    if device.type == "cuda":
        # Float32 means float32: cuDNN would otherwise convolve in TF32, whose products keep 10 bits.
        torch.backends.cudnn.allow_tf32 = False
    return device


def keep_pages() -> bool:
    """Whether glibc was told to keep freed memory for the next tensor or picture.

    Otherwise each tensor above 32 MB is mapped, page-faulted and unmapped anew at every step, which nearly halves
    the speed of training on a CPU and takes a fifth from that of evaluation and a third from that of squaring pictures
    (docs/log.md). Memory is then not returned to the system before the process ends.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, 2**31 - 1))
