"""State dicts in files: torch's .pth by its restricted reader, and .safetensors."""

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from alexnet.errors import InputError
from alexnet.interchange.weights import LIMIT, Held, Weights

_FLOATING = ("F64", "F32", "F16", "BF16")


def read_pth(path: Path) -> Weights:
    """The tensors of a state dict that torch saved, also where it lies under the key "state_dict".

    torch's weights_only reader takes the pickle's frame and builds nothing but tensors and plain containers: nothing
    that the pickle names is called.

    Raises:
        InputError: it is damaged, would run code, or holds other things than tensors.
    """
    size = _require_plain(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "Unsupported" in str(error):
            raise InputError(
                f"{path} is a pickle that would run code; only tensors are taken: save `model.state_dict()` instead."
            ) from None
        raise _damaged(path, error) from None
    except Exception as error:  # torch's readers raise a dozen kinds for damaged files
        raise _damaged(path, error) from None
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not found:
        raise InputError(f"{path} holds {type(found).__name__}; a state dict, tensors by name, was expected.")
    held = {str(name): _held(path, name, value) for name, value in found.items()}
    if sum(tensor.nbytes for tensor in found.values()) > size:  # one number may stand for all of a tensor
        raise InputError(f"{path} says more numbers than it holds; take another copy, of a plain `model.state_dict()`.")
    return Weights(held)


def read_safetensors(path: Path) -> Weights:
    """The tensors of a .safetensors, and the description of a classifier if it is one.

    Raises:
        InputError: it is damaged, or a tensor does not hold floating numbers.
    """
    held = {}
    try:
        with safe_open(path, framework="pt") as file:
            described = (file.metadata() or {}).get("alexnet", "")
            for name in file.keys():  # noqa: SIM118
                part = file.get_slice(name)
                if part.get_dtype() not in _FLOATING:
                    raise InputError(f"{path}: {name!r} holds {part.get_dtype()} where floating numbers were expected.")
                held[name] = Held(tuple(part.get_shape()), partial(_read_tensor, path, name))
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from None
    return Weights(held, described)


def _read_tensor(path: Path, name: str) -> np.ndarray:
    with safe_open(path, framework="pt") as file:
        return _array(file.get_tensor(name))


def _array(tensor: Tensor) -> np.ndarray:
    kept = tensor.detach()
    array: np.ndarray = (kept if kept.dtype == torch.float64 else kept.float()).numpy()
    return array


def _held(path: Path, name: object, value: object) -> Held:
    if not isinstance(value, Tensor) or not value.is_floating_point() or value.layout != torch.strided:
        kind = f"a {type(value).__name__}"
        if isinstance(value, Tensor):
            kind = f"a tensor of {value.dtype}" + (", sparse" if value.layout != torch.strided else "")
        raise InputError(f"{path}: {str(name)!r} is {kind} where a plain tensor of floating numbers was expected.")
    return Held(tuple(value.shape), partial(_array, value))


def _require_plain(path: Path) -> int:
    """The bytes of a file; its tensors are not compressed, as torch's never are: no few bytes can become many."""
    try:
        size = path.stat().st_size
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                said = sum(entry.file_size for entry in archive.infolist())
                if said > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                    raise InputError(
                        f"{path} is compressed inside or shares bytes, which torch never does; take another copy."
                    )
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise _damaged(path, error) from None
    if size > LIMIT:
        raise InputError(f"{path} is larger than any file of weights needs to be ({LIMIT >> 30} GiB); refused.")
    return size


def _damaged(path: Path, error: Exception) -> InputError:
    first = next(iter(str(error).splitlines()), "")
    reason = first if any(map(str.isalpha, first)) else type(error).__name__
    return InputError(f"{path} is no file of weights, or a damaged one ({reason[:120]}); take another copy.")
