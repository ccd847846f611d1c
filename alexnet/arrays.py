"""Arrays in `.npy` files: written whole, written row by row, and mapped or refused in a sentence."""

import io
import tokenize
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from alexnet import files
from alexnet.errors import InputError

HEADER = 128
"""Bytes of a file before its first row, where `header` wrote them."""


def write(path: Path, array: np.ndarray) -> None:
    """Nothing; the file `path` holds `array`, whole."""
    with files.write_aside(path) as aside, aside.open("wb") as file:
        np.save(file, array, allow_pickle=False)


def header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """The `HEADER` bytes that stand before the rows of an array, for a file whose rows are written one by one."""
    buffer = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, described)
    assert len(buffer.getvalue()) == HEADER
    return buffer.getvalue()


def mapped(path: str | Path) -> np.ndarray:
    """The array in a `.npy` file, of its own shape and type, memory-mapped and read only.

    Raises:
        InputError: there is no such file, or it is damaged, an archive (.npz) or of Python's objects.
    """
    try:
        # Unlike np.load it opens nothing else: no archive, no pickle.
        array: np.ndarray = np.lib.format.open_memmap(path, mode="r")
        return array
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from None
    # numpy parses the header as a piece of Python, and what is none ends in any of these.
    except (ValueError, TypeError, OverflowError, EOFError, tokenize.TokenError) as error:
        if zipfile.is_zipfile(path):
            raise InputError(f"{path} is an .npz archive; save the array wanted alone, by numpy.save.") from None
        raise InputError(f"{path} is no .npy file of an array of numbers, or a damaged one: {error}.") from None
