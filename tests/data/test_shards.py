"""The prepared set: what was written is read, from any number of threads, and damage is noticed."""

import io
import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
import torch
from safetensors.torch import save_file

from alexnet import files
from alexnet.data import packing, shards
from alexnet.data.shards import PreparedSet
from alexnet.errors import InputError

SIZE = 32
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 3, SIZE, SIZE), np.uint8)
LABELS = np.array([0, 1, 1, 0, 2, 2, 1], np.int64)
PATHS = ["a/é.jpg", "b/1.jpg", "b/, 2.jpg", "a/\udcff.jpg", "c/1.jpg", "c/2.jpg", "b/3.jpg"]


def jpegs() -> list[bytes]:
    return [simplejpeg.encode_jpeg(np.ascontiguousarray(image.transpose(1, 2, 0)), 95) for image in IMAGES]


def write_set(path: Path, encoding: str) -> PreparedSet:
    """A set of one split with shards of 4 and 3 images, written with the parts `prepare` uses."""
    folder = path / "train"
    folder.mkdir(parents=True)
    entries, places = [], []
    for number, part in enumerate([range(0, 4), range(4, 7)]):
        name = f"shard-{number:05d}.{'tar' if encoding == 'jpeg' else 'npy'}"
        with (folder / name).open("wb") as file:
            if encoding == "jpeg":
                data = jpegs()
                members = [(f"{i:08d}", int(LABELS[i]), PATHS[i], data[i]) for i in part]
                places.append(packing.write_jpegs(file, members))
            else:
                assert packing.write_raw(file, (IMAGES[i] for i in part), SIZE) == len(part)
        entries.append({"file": name, "images": len(part), "sha256": files.checksum(folder / name)})
    np.save(folder / "labels.npy", LABELS)
    (folder / "paths.txt").write_bytes("".join(p + "\n" for p in PATHS).encode("utf-8", "surrogateescape"))
    names = ["labels.npy", "paths.txt"]
    if encoding == "jpeg":
        np.save(folder / "index.npy", np.concatenate(places))
        names.append("index.npy")
    save_file(
        {"mean": torch.zeros(3, SIZE, SIZE), "covariance": torch.eye(3, dtype=torch.float64)},
        path / "statistics.safetensors",
    )
    description: dict[str, Any] = {
        "format": shards.FORMAT, "size": SIZE, "encoding": encoding, "geometry": "crop", "orientation": True,
        "rejected": 0, "classes": [{"name": n, "words": n.upper()} for n in "abc"],
        "files": {"statistics.safetensors": files.checksum(path / "statistics.safetensors")},
        "splits": {"train": {
            "images": 7, "shards": entries, "files": {name: files.checksum(folder / name) for name in names},
        }},
    }  # fmt: skip
    files.write_json(path / "dataset.json", description)
    return PreparedSet.open(path)


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_reads_what_was_written(tmp_path: Path, encoding: str) -> None:
    prepared = write_set(tmp_path / "set", encoding)
    train = prepared.split("train")
    assert (len(train), prepared.counts) == (7, {"train": 7})
    assert prepared.classes[1] == shards.ClassName("b", "B")
    assert list(train.paths) == PATHS
    assert train.paths[-1] == PATHS[-1]
    assert train.paths[1:3] == PATHS[1:3]
    np.testing.assert_array_equal(train.labels, LABELS)
    order = np.array([6, 0, 4, 3, 3])
    expected = IMAGES if encoding == "raw" else [simplejpeg.decode_jpeg(d).transpose(2, 0, 1) for d in jpegs()]
    planes = np.zeros((5, 3, SIZE, SIZE), np.uint8)
    channels_last = np.zeros((5, SIZE, SIZE, 3), np.uint8).transpose(0, 3, 1, 2)
    for out in (planes, channels_last):
        train.read(order, out)
        np.testing.assert_array_equal(out, [expected[i] for i in order])
    train.read(order[:0], planes[:0])
    assert float(prepared.statistics().covariance[1, 1]) == 1.0


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_threads_read_at_once(tmp_path: Path, encoding: str) -> None:
    train = write_set(tmp_path / "set", encoding).split("train")
    alone = np.zeros((7, 3, SIZE, SIZE), np.uint8)
    train.read(np.arange(7), alone)
    fresh = PreparedSet.open(tmp_path / "set").split("train")

    def task(seed: int) -> bool:
        order = np.random.default_rng(seed).permutation(7)
        out = np.zeros_like(alone)
        fresh.read(order, out)
        return bool((out == alone[order]).all())

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(task, range(40)))


def test_a_jpeg_shard_is_a_webdataset_tar(tmp_path: Path) -> None:
    prepared = write_set(tmp_path / "set", "jpeg")
    with tarfile.open(tmp_path / "set/train/shard-00000.tar") as tar:
        members = tar.getmembers()
        assert [m.name for m in members[:4]] == ["00000000.jpg", "00000000.cls", "00000000.json", "00000001.jpg"]
        assert all((m.mtime, m.uid, m.gid, m.uname) == (0, 0, 0, "") for m in members)
        contents = {m.name: tar.extractfile(m).read() for m in members}  # type: ignore[union-attr]
    assert contents["00000002.jpg"] == jpegs()[2] == prepared.split("train").jpeg(2)
    assert contents["00000002.cls"] == b"1"
    assert json.loads(contents["00000003.json"]) == {"path": PATHS[3]}


def test_a_raw_shard_is_an_ordinary_array(tmp_path: Path) -> None:
    write_set(tmp_path / "set", "raw")
    np.testing.assert_array_equal(np.load(tmp_path / "set/train/shard-00001.npy"), IMAGES[4:])


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_at_gives_what_read_writes_channels_last(tmp_path: Path, encoding: str) -> None:
    train = write_set(tmp_path / "set", encoding).split("train")
    whole = np.zeros((7, 3, SIZE, SIZE), np.uint8)
    train.read(np.arange(7), whole)
    for positions in ([5, 0, 5], np.array([6, 1]), range(7), []):
        found = train.at(positions)
        assert np.array_equal(found, whole[[*positions]])
        assert found.transpose(0, 2, 3, 1).flags.c_contiguous
    with pytest.raises(IndexError, match=r"0\.\.6"):
        train.at([7])


def test_indices_out_of_range_are_refused(tmp_path: Path) -> None:
    train = write_set(tmp_path / "set", "raw").split("train")
    for index in (-1, 7):
        with pytest.raises(IndexError):
            train.read(np.array([index]), np.zeros((1, 3, SIZE, SIZE), np.uint8))


def test_verify_names_what_changed(tmp_path: Path) -> None:
    write_set(tmp_path / "set", "jpeg")
    seen = io.BytesIO()
    assert shards.verify(tmp_path / "set", lambda n: seen.write(bytes(n))) == []
    assert seen.tell() == sum(f.stat().st_size for f in (tmp_path / "set").rglob("*.*") if f.name != "dataset.json")
    shard = tmp_path / "set/train/shard-00001.tar"
    data = bytearray(shard.read_bytes())
    data[700] ^= 1
    shard.write_bytes(data)
    (tmp_path / "set/train/labels.npy").unlink()
    assert sorted(shards.verify(tmp_path / "set")) == [
        "train/labels.npy is missing.",
        "train/shard-00001.tar has changed since it was written.",
    ]


def test_a_damaged_jpeg_is_named(tmp_path: Path) -> None:
    prepared = write_set(tmp_path / "set", "jpeg")
    shard = tmp_path / "set/train/shard-00001.tar"
    data = bytearray(shard.read_bytes())
    data[512:600] = bytes(88)
    shard.write_bytes(data)
    with pytest.raises(InputError, match=r"image 4 \(c/1.jpg\).*verify"):
        prepared.split("train").read(np.array([4]), np.zeros((1, 3, SIZE, SIZE), np.uint8))


def test_the_fingerprint_follows_the_content(tmp_path: Path) -> None:
    a, b = write_set(tmp_path / "a", "raw"), write_set(tmp_path / "b", "raw")
    assert a.fingerprint == b.fingerprint
    assert len(a.fingerprint) == 64
    b.description["splits"]["train"]["shards"][0]["sha256"] = "0" * 64
    assert shards.fingerprint(b.description) != a.fingerprint


def test_refusals(tmp_path: Path) -> None:
    prepared = write_set(tmp_path / "set", "raw")
    with pytest.raises(InputError, match=r"no split 'val'; it has train.*--holdout"):
        prepared.split("val")
    with pytest.raises(InputError, match=r"is not a prepared set; `alexnet prepare SOURCE \S*nothing` makes one\."):
        PreparedSet.open(tmp_path / "nothing")
    (tmp_path / "photos" / "cats").mkdir(parents=True)
    with pytest.raises(InputError, match=r"photos is not a prepared set; `alexnet prepare \S*photos PREPARED` makes"):
        PreparedSet.open(tmp_path / "photos")
    (tmp_path / "half.partial").mkdir()
    with pytest.raises(InputError, match="not finished"):
        PreparedSet.open(tmp_path / "half")
    np.save(tmp_path / "set/train/labels.npy", LABELS[:5])
    with pytest.raises(InputError, match="disagree"):
        PreparedSet.open(tmp_path / "set").split("train")


def test_webdataset_reads_a_jpeg_shard(tmp_path: Path) -> None:
    iterators = pytest.importorskip("webdataset.tariterators")
    write_set(tmp_path / "set", "jpeg")
    with (tmp_path / "set/train/shard-00001.tar").open("rb") as file:
        members = ({**member, "__url__": "shard"} for member in iterators.tar_file_iterator(file))
        samples = list(iterators.group_by_keys(members))
    assert [(s["__key__"], s["cls"], json.loads(s["json"])["path"]) for s in samples] == [
        (f"{i:08d}", str(LABELS[i]).encode(), PATHS[i]) for i in range(4, 7)
    ]
    assert [s["jpg"] for s in samples] == jpegs()[4:]
