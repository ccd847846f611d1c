"""CIFAR-10's binary version, byte for byte; the python version is refused."""

import os
from pathlib import Path

import numpy as np
import pytest

from alexnet.data import cifar10
from alexnet.data.prepare import list_source, prepare
from alexnet.errors import InputError


def write_batches(root: Path, count: int = 4) -> np.ndarray:
    """uint8 [6,count,3,32,32]: the pixels of the six batches written; picture i has the label i % 10."""
    root.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (6, count, 3, 32, 32), np.uint8)
    for name, batch in zip(cifar10.FILES, pixels, strict=True):
        labels = (np.arange(count) % 10).astype(np.uint8)
        (root / name).write_bytes(np.hstack([labels[:, None], batch.reshape(count, -1)]).tobytes())
    return pixels


def test_pixels_and_labels(tmp_path: Path) -> None:
    pixels = write_batches(tmp_path / "source", 12)
    prepared = prepare(tmp_path / "source", tmp_path / "set", images_per_shard=25)
    assert (prepared.size, prepared.encoding, prepared.counts) == (32, "raw", {"train": 60, "test": 12})
    assert [c.name for c in prepared.classes[:2]] == ["airplane", "automobile"]
    with pytest.raises(InputError, match="leave --size out"):
        prepare(tmp_path / "source", tmp_path / "other", size=32)
    test = prepared.split("test")
    np.testing.assert_array_equal(test.at(range(12)), pixels[5])
    assert test.labels.tolist() == [*range(10), 0, 1]
    assert test.paths[11] == "test_batch.bin/00011"
    train = prepared.split("train")
    for image, path, label in zip(train.at(range(60)), train.paths, train.labels, strict=True):
        batch, number = int(path[11]) - 1, int(path[-5:])
        np.testing.assert_array_equal(image, pixels[batch, number])
        assert label == number % 10
    np.testing.assert_allclose(prepared.statistics().mean, pixels[:5].mean((0, 1)), rtol=1e-6)


def test_holdout_takes_val_out_of_train(tmp_path: Path) -> None:
    write_batches(tmp_path / "source", 20)
    prepared = prepare(tmp_path / "source", tmp_path / "set", holdout=0.1)
    assert prepared.counts == {"train": 90, "val": 10, "test": 20}
    assert np.bincount(prepared.split("val").labels).tolist() == [1] * 10


def test_the_folder_above_and_the_names_file(tmp_path: Path) -> None:
    write_batches(tmp_path / "cifar-10-batches-bin")
    (tmp_path / "cifar-10-batches-bin/batches.meta.txt").write_text("\n".join("abcdefghij") + "\n\n")
    assert [c.name for c in list_source(tmp_path).classes] == list("abcdefghij")


def test_the_python_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data_batch_1").write_bytes(b"\x80\x02}q\x01(U")
    with pytest.raises(InputError, match=r"pickles.*https.*cifar-10-binary"):
        list_source(tmp_path)


def test_damage_is_named(tmp_path: Path) -> None:
    write_batches(tmp_path)
    path = tmp_path / "data_batch_3.bin"
    data = path.read_bytes()
    for wrong, reason in ((data[:-1], "cut short"), (b"", "cut short"), (b"\x63" + data[1:], "label 99")):
        path.write_bytes(wrong)
        with pytest.raises(InputError, match=f"data_batch_3.bin.*{reason}"):
            list_source(tmp_path)
    path.unlink()
    with pytest.raises(InputError, match=r"data_batch_3.bin is missing"):
        list_source(tmp_path)


@pytest.mark.skipif("ALEXNET_CIFAR10" not in os.environ, reason="ALEXNET_CIFAR10 names no folder")
def test_the_real_thing() -> None:
    source = cifar10.listing(Path(os.environ["ALEXNET_CIFAR10"]))
    assert len(source.items) == 60_000
    assert [c.name for c in source.classes] == list(cifar10._NAMES)
    labels = np.array([item.label for item in source.items if item.split == "train"])
    assert np.bincount(labels).tolist() == [5000] * 10
