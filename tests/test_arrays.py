"""Arrays in files: written whole, mapped, or refused in a sentence."""

import io
import os
import random
import warnings

import numpy as np
import pytest

from alexnet import arrays
from alexnet.errors import InputError


@pytest.mark.parametrize("shape", [(4, 3), (0, 3), (), (2, 1, 5)])
def test_an_array_is_mapped_as_it_was_saved(tmp_path, shape):
    saved = np.random.default_rng(0).random(shape).astype(np.float16)
    np.save(tmp_path / "a.npy", saved)
    mapped = arrays.mapped(tmp_path / "a.npy")
    assert (mapped.dtype, mapped.shape) == (saved.dtype, saved.shape)
    assert np.array_equal(mapped, saved)
    assert not mapped.flags.writeable


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32])
def test_a_file_written_whole_or_row_by_row_is_the_one_numpy_saves(tmp_path, dtype):
    array = np.random.default_rng(0).integers(0, 9, (4, 3, 2)).astype(dtype)
    np.save(tmp_path / "numpy.npy", array)
    arrays.write(tmp_path / "new" / "whole.npy", array)
    rows = b"".join(row.tobytes() for row in array)
    expected = (tmp_path / "numpy.npy").read_bytes()
    assert (tmp_path / "new" / "whole.npy").read_bytes() == expected
    assert arrays.header(array.dtype, array.shape) + rows == expected


def test_what_has_objects_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle=False"):
        arrays.write(tmp_path / "objects.npy", np.array([{}]))
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_array_is_told(tmp_path):
    np.savez(tmp_path / "several.npz", a=np.zeros(3), b=np.zeros(4))
    (tmp_path / "renamed.npy").write_bytes((tmp_path / "several.npz").read_bytes())
    for name in ("several.npz", "renamed.npy"):
        with pytest.raises(InputError, match=r"is an \.npz archive; save the array wanted alone, by numpy.save"):
            arrays.mapped(tmp_path / name)
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "pickle.npy").write_bytes(b"\x80\x04}.")
    (tmp_path / "empty.npy").touch()
    (tmp_path / "cut.zip").write_bytes((tmp_path / "several.npz").read_bytes()[:90])
    for name in ("objects.npy", "pickle.npy", "empty.npy", "cut.zip"):
        with pytest.raises(InputError, match=f"{name} is no .npy file of an array of numbers, or a damaged one: "):
            arrays.mapped(tmp_path / name)
    with pytest.raises(InputError, match=r"absent\.npy cannot be read: No such file"):
        arrays.mapped(str(tmp_path / "absent.npy"))
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        arrays.mapped(tmp_path)


def test_damage_anywhere_in_a_header_is_an_input_error_or_another_array(tmp_path):
    file = io.BytesIO()
    np.save(file, np.zeros((4, 3), np.float32))
    drawn, path, refused = random.Random(0), tmp_path / "damaged.npy", 0
    endless = file.getvalue().replace(b"(4, 3), }" + b" " * 29, b"(1%s, 3), }" % (b"0" * 29))
    for number in range(300):
        damaged = bytearray(endless if number == 0 else file.getvalue())
        for _ in range(drawn.choice([1, 2, 4]) if number else 0):
            damaged[drawn.randrange(128)] = drawn.choice(b"0123456789(){}[],'\"ib<OfV\n\\#\x00\xff")
        path.write_bytes(damaged)
        try:
            with warnings.catch_warnings(action="ignore"):  # numpy's, of a header of Python 2
                arrays.mapped(os.fspath(path))
        except InputError:
            refused += 1
        assert refused
    assert 200 < refused < 300
