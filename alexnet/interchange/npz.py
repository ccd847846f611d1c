"""Dictionaries of numpy arrays (.npz): every header is read, and every size known, before any array is."""

import zipfile
import zlib
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from alexnet.errors import InputError
from alexnet.interchange.weights import LIMIT, Held, Weights, require_floating

CONVERSION = (
    "python -c \"import numpy as np; d = np.load('FILE', allow_pickle=True, encoding='latin1').item(); "
    "np.savez('FILE.npz', **{f'{k}.{i}': a for k, v in d.items() for i, a in "
    'enumerate(v.values() if isinstance(v, dict) else v)})"'
)
"""Makes a .npz of a pickled dictionary; it runs what the pickle says, so it is for a file from a source one trusts."""

CONVERSION_NPZ = (
    "python -c \"import numpy as np; d = np.load('FILE', allow_pickle=True, encoding='latin1'); "
    "np.savez('FILE.npz', **{k: d[k] for k in d if d[k].dtype != object}, **{f'{k}.{i}': a for k in d "
    "if d[k].dtype == object for v in [d[k].tolist()] for i, a in "
    'enumerate(v.values() if isinstance(v, dict) else v)})"'
)
"""The same of a .npz whose arrays hold objects."""

DESCRIPTION = "alexnet"
"""The name of the text array in which an export keeps the classifier's description."""

_MOST = 4096  # arrays of a file, and letters of a header
_RATIO, _SLACK = 64, 1 << 24  # weights hardly compress: more than this is a bomb
_TEXT = 1 << 26
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError)


def read_npz(path: Path) -> Weights:
    """The arrays of a .npz by name, and the description that an export keeps beside them.

    Raises:
        InputError: it is damaged, larger than it may be, or an array holds objects or no floating numbers.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            _require_size(path, archive)
            headers = {name: _header(path, name, archive, entry) for name, entry in members.items()}
            described = ""
            if DESCRIPTION in headers:
                shape, dtype = headers.pop(DESCRIPTION)
                if dtype.kind != "U" or shape or dtype.itemsize > _TEXT:
                    raise InputError(f"{path}: its description is no text of a possible length; take another copy.")
                described = str(_array(path, members[DESCRIPTION].filename, shape, dtype))
    except _DAMAGE as error:
        raise _damaged(path, error) from None
    held = {}
    for name, (shape, dtype) in headers.items():
        require_floating(dtype, name, path)
        held[name] = Held(shape, partial(_array, path, members[name].filename, shape, dtype))
    return Weights(held, described, reversed_channels=bool(described))  # Caffe's order, as export writes it


def read_npy(path: Path) -> Weights:
    """Never anything: a .npy holds one array, and a dictionary in it is a pickle.

    Raises:
        InputError: always; the sentence names the conversion.
    """
    try:
        with path.open("rb") as file:
            _, dtype = _read_header(file)
    except _DAMAGE as error:
        raise _damaged(path, error) from None
    if dtype.hasobject:
        raise _objects(path)
    raise InputError(f"{path} holds one array of {dtype}; weights are several arrays by name: give a .npz.")


def _require_size(path: Path, archive: zipfile.ZipFile) -> None:
    entries = archive.infolist()
    size = sum(entry.file_size for entry in entries)
    if len(entries) > _MOST or size > min(LIMIT, _RATIO * path.stat().st_size + _SLACK):
        raise InputError(f"{path} would unpack to more than a file of weights of its size can; refused.")
    if len({entry.filename for entry in entries}) < len(entries):
        raise InputError(f"{path} holds two arrays of one name; take another copy.")


def _header(
    path: Path, name: str, archive: zipfile.ZipFile, entry: zipfile.ZipInfo
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    with archive.open(entry) as file:
        shape, dtype = _read_header(file)
        size = entry.file_size - file.tell()
    if dtype.hasobject:
        raise _objects(path)
    wanted = dtype.itemsize
    for side in shape:  # by python's whole numbers, which do not overflow
        wanted *= side
    if wanted != size:
        raise InputError(f"{path}: {name!r} says {dtype} {list(shape)} and holds {size} bytes; take another copy.")
    return shape, dtype


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file, _MOST)
    elif version == (2, 0):
        shape, _, dtype = np.lib.format.read_array_header_2_0(file, _MOST)
    else:
        raise ValueError(f"format {version}")
    return shape, dtype


def _array(path: Path, member: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """The array whose header has been found to be this, or an error when the file has changed since."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(member) as file:
            found: np.ndarray = np.lib.format.read_array(file, allow_pickle=False, max_header_size=_MOST)
            file.read()  # to the end, where the checksum is compared
    except _DAMAGE as error:
        raise _damaged(path, error) from None
    if found.shape != shape or found.dtype != dtype:
        raise InputError(f"{path} has changed while it was read; try again.")
    return found


def _damaged(path: Path, error: Exception) -> InputError:
    reason = next(iter(str(error).splitlines()), type(error).__name__)
    return InputError(f"{path} is no file of numpy arrays, or a damaged one ({reason}); take another copy.")


def _objects(path: Path) -> InputError:
    conversion = CONVERSION_NPZ if path.suffix.lower() == ".npz" else CONVERSION
    return InputError(
        f"{path} holds python objects, a pickle, which can run code when it is read, and is refused. If you trust "
        f"where it comes from, make a .npz of plain arrays: {conversion.replace('FILE', str(path))}"
    )
