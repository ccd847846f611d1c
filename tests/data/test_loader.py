"""The loader: each image once, the same order everywhere, any position at once, and no thread left behind."""

import itertools
import threading
import time

import numpy as np
import pytest
import simplejpeg
import torch

from alexnet import distributed, machine, randomness
from alexnet.data.loader import Loader, Loading, part
from alexnet.data.packing import write_jpegs, write_raw
from alexnet.data.shards import Shards
from alexnet.errors import InputError

CPU = torch.device("cpu")


class FewShards:
    """Stands in for `Shards`: image i is filled with numbers decided by i; counts and can fail or be slow."""

    def __init__(self, count: int, encoding: str = "jpeg", size: int = 8) -> None:
        self.labels = np.arange(count, dtype=np.int64) % 7
        self.encoding, self.size = encoding, size
        self.images_read = 0
        self.broken: int | None = None
        self.seconds = 0.0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        return np.random.default_rng(index).integers(0, 256, (3, self.size, self.size), np.uint8)

    def read(self, indices: np.ndarray, out: np.ndarray) -> None:
        assert out.shape == (len(indices), 3, self.size, self.size)
        time.sleep(self.seconds)
        with self._lock:
            self.images_read += len(indices)
        for position, index in enumerate(indices.tolist()):
            if index == self.broken:
                raise InputError(f"image {index} of train/shard-00000.tar is damaged.")
            out[position] = self.image(index)


def made(shards: FewShards, batch: int = 8, order: str = "shuffled", **how) -> Loader:
    return Loader(shards, Loading(batch, order), CPU, **{"seed": 5, "threads": 2, "cache": "none", **how})


def workers() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("alexnet-loader")]


@pytest.fixture
def ranks(monkeypatch):
    """A function that makes this process rank `rank` of `world`."""

    def become(rank: int, world: int) -> None:
        monkeypatch.setattr(distributed, "rank", lambda: rank)
        monkeypatch.setattr(distributed, "world", lambda: world)

    return become


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_an_epoch_is_the_permutation_with_its_images_and_labels(encoding):
    shards = FewShards(43, encoding)
    loader = made(shards)
    order = randomness.permutation(5, "order", 3, 43)
    batches = list(loader.epoch(3))
    assert loader.batches == len(batches) == 6
    assert [batch.count for batch in batches] == [8, 8, 8, 8, 8, 3]
    assert np.array_equal(torch.cat([batch.indices for batch in batches]), order)
    for batch in batches:
        assert batch.images.dtype == torch.uint8
        for image, label, index in zip(batch.images, batch.labels, batch.indices.tolist(), strict=True):
            assert np.array_equal(image, shards.image(index))
            assert int(label) == shards.labels[index]


def test_epochs_differ_and_repeat():
    loader = made(FewShards(40))
    first, second, again = (torch.cat([b.indices for b in loader.epoch(epoch)]) for epoch in (0, 1, 0))
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    other = made(FewShards(40), seed=6)
    assert not torch.equal(first, torch.cat([b.indices for b in other.epoch(0)]))


def test_stored_order_is_the_same_every_epoch():
    loader = made(FewShards(20), order="stored")
    for epoch in (0, 4):
        assert torch.cat([batch.indices for batch in loader.epoch(epoch)]).tolist() == list(range(20))


@pytest.mark.parametrize("position", [0, 1, 4, 5, 6])
def test_any_position_is_entered_at_once(position):
    shards = FewShards(43)
    expected = [batch.indices.tolist() for batch in made(shards).epoch(1)][position:]
    shards.images_read = 0
    assert [batch.indices.tolist() for batch in made(shards).epoch(1, start=position)] == expected
    assert shards.images_read == max(43 - 8 * position, 0)


@pytest.mark.parametrize("world", [1, 2, 3, 7])
def test_ranks_share_each_batch_and_every_image_is_seen_once(ranks, world):
    shards = FewShards(43)
    alone = [batch.indices for batch in made(shards).epoch(2)]
    shares, seen = [], []
    for rank in range(world):
        ranks(rank, world)
        loader = made(shards)
        shares.append(list(loader.epoch(2)))
        seen += [batch.indices for batch in loader.in_order()]
    assert sorted(torch.cat(seen).tolist()) == list(range(43))
    for number, whole in enumerate(alone):
        parts = [share[number] for share in shares]
        assert torch.equal(torch.cat([part.indices for part in parts]), whole)
        assert all(part.count == len(whole) for part in parts)
        assert all(part.images.shape == (len(part.indices), 3, 8, 8) for part in parts)


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
@pytest.mark.parametrize("cache", ["memory", "device", "auto"])
def test_kept_images_are_the_same_and_are_read_once(cache, encoding):
    shards = FewShards(43, encoding)
    plain = [list(made(shards).epoch(epoch)) for epoch in range(3)]
    shards.images_read = 0
    loader = made(shards, cache=cache)
    kept = [list(loader.epoch(epoch)) for epoch in range(3)]
    assert shards.images_read == 43
    for a, b in zip(itertools.chain(*plain), itertools.chain(*kept), strict=True):
        assert torch.equal(a.images, b.images)
        assert a.images.stride() == b.images.stride()
        assert torch.equal(a.labels, b.labels)


def test_an_empty_share_may_be_the_first_batch_of_a_device_that_keeps_images(ranks):
    """One of three ranks at a last batch of two images, entered there; of no images it is true that all are kept."""
    ranks(0, 3)
    loader = made(FewShards(10))
    loader.cache = "device"
    (batch,) = loader.epoch(0, start=1)
    assert (batch.images.shape, batch.count) == ((0, 3, 8, 8), 2)


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_real_shards(tmp_path, encoding):
    """The format's own reader, in both layouts; what a thread finds damaged is named."""
    images = np.random.default_rng(0).integers(0, 256, (9, 3, 16, 16), np.uint8)
    members = [(f"{i}", 0, "p", simplejpeg.encode_jpeg(np.ascontiguousarray(images[i].T))) for i in range(9)]
    with (tmp_path / "s").open("wb") as file:
        if encoding == "jpeg":
            np.save(tmp_path / "index.npy", write_jpegs(file, members))
        else:
            write_raw(file, images, 16)
    np.save(tmp_path / "labels.npy", np.arange(9))
    (tmp_path / "paths.txt").write_text("p\n" * 9)
    shards = Shards(tmp_path, [("s", 9)], 16, encoding)
    expected = np.empty((9, 3, 16, 16), np.uint8)
    shards.read(np.arange(9), expected)
    for batch in Loader(shards, Loading(4), CPU, threads=2).epoch(0):
        assert np.array_equal(batch.images, expected[batch.indices.numpy()])
    if encoding == "jpeg":
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        data = bytearray((tmp_path / "s").read_bytes())
        data[512 : 512 + 100] = bytes(100)
        (tmp_path / "s").write_bytes(data)
        with pytest.raises(InputError, match="image 0"):
            list(Loader(Shards(tmp_path, [("s", 9)], 16, encoding), Loading(4), CPU, threads=2).epoch(0))
        assert not workers()


def test_a_kept_batch_may_be_changed_by_its_consumer():
    loader = made(FewShards(8), cache="memory")
    for batch in loader.epoch(0):
        expected = batch.images.clone()
        batch.images.zero_()
        batch.labels.zero_()
        batch.indices.zero_()
    again = next(iter(loader.epoch(0)))
    assert torch.equal(again.images, expected)
    assert int(again.labels.sum()) > 0


def test_auto_keeps_what_fits_into_a_quarter(monkeypatch):
    shards = FewShards(100)
    for free, expected in [(4 * 100 * 192, "memory"), (4 * 100 * 192 - 1, "none")]:
        monkeypatch.setattr(machine, "memory", lambda free=free: machine.Memory(1 << 40, free))
        assert made(shards, cache="auto").cache == expected
    monkeypatch.setattr(machine, "memory", lambda: None)
    assert made(shards, cache="auto").cache == "none"
    monkeypatch.setattr(machine, "memory", lambda: machine.Memory(1 << 40, 4 * 100 * 192))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert made(shards, cache="auto").cache == "none"


def test_closing_early_leaves_no_threads_and_reads_little():
    shards = FewShards(8000)
    iterator = made(shards).epoch(0)
    next(iterator)
    assert workers()
    iterator.close()
    assert not workers()
    assert shards.images_read <= 8 * 10


def test_an_exception_in_the_consumer_leaves_no_threads():
    def consume() -> None:
        for _ in made(FewShards(800)).epoch(0):
            raise KeyError("stop")

    with pytest.raises(KeyError):
        consume()
    assert not workers()


def test_an_error_in_a_thread_reaches_the_consumer():
    shards = FewShards(80)
    shards.broken = 33
    seen = []
    with pytest.raises(InputError, match="image 33 of train/shard-00000"):
        for batch in made(shards, order="stored").epoch(0):
            seen += batch.indices.tolist()
    assert seen == list(range(32))
    assert not workers()


def test_what_is_read_ahead_is_bounded():
    shards = FewShards(4000)
    loader = made(shards)
    for taken, _ in enumerate(loader.epoch(0), start=1):
        time.sleep(0.002)
        assert shards.images_read <= 8 * (taken + loader._ahead)
        if taken == 20:
            assert shards.images_read > 8 * 20
            break
    assert made(FewShards(10, size=256), batch=128)._ahead == 8
    assert made(FewShards(10, size=256), batch=1024)._ahead == 2


def test_waiting_is_counted():
    shards = FewShards(64)
    shards.seconds = 0.02
    loader = made(shards)
    assert loader.waiting == 0
    for _ in loader.epoch(0):
        pass
    assert loader.waiting > 0.1
    quick = made(FewShards(64))
    for _ in quick.epoch(0):
        time.sleep(0.01)
    assert quick.waiting < loader.waiting


def test_a_share_is_nested_and_of_every_class_and_decided_by_the_seed():
    labels = np.array([0] * 40 + [1] * 8 + [3])[randomness.permutation(0, "test", 0, 49)]
    parts = {share: part(labels, share, 7).tolist() for share in (0.125, 0.25, 0.5, 1)}
    assert parts[1] == list(range(49))
    counts = {share: np.bincount(labels[found], minlength=4).tolist() for share, found in parts.items()}
    assert counts == {0.125: [5, 1, 0, 1], 0.25: [10, 2, 0, 1], 0.5: [20, 4, 0, 1], 1: [40, 8, 0, 1]}
    assert all(found == sorted(set(found)) for found in parts.values())
    assert set(parts[0.125]) < set(parts[0.25]) < set(parts[0.5])
    assert part(labels, 0.5, 8).tolist() != parts[0.5]


@pytest.mark.parametrize("order", ["shuffled", "stored"])
def test_an_epoch_shows_the_share_and_evaluation_everything(order):
    shards = FewShards(70)
    loader = Loader(shards, Loading(8, order, share=0.5), CPU, seed=5, threads=2, cache="none")
    chosen = part(shards.labels, 0.5, 5).tolist()
    epochs = [torch.cat([b.indices for b in loader.epoch(e)]).tolist() for e in (0, 1)]
    assert loader.batches == 5
    assert len(chosen) == 35
    assert [sorted(found) for found in epochs] == [chosen, chosen]
    assert (epochs[0] == epochs[1] == chosen) == (order == "stored")
    assert [int(i) for b in loader.epoch(1, 3) for i in b.indices] == epochs[1][24:]
    assert [int(i) for b in loader.in_order() for i in b.indices] == list(range(70))


@pytest.mark.parametrize(("field", "value"), [("batch", 0), ("order", "random"), ("share", 0.0), ("share", 1.5)])
def test_fields_are_checked(field, value):
    with pytest.raises(InputError, match=f"loader.{field}"):
        Loading(**{field: value})


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("cache", ["none", "memory", "device"])
def test_on_a_cuda_device(cache):
    shards = FewShards(300)
    device = torch.device("cuda", 0)
    on_cpu, on_device = made(shards), Loader(shards, Loading(8), device, seed=5, threads=2, cache=cache)
    for epoch in range(2):
        for a, b in zip(on_cpu.epoch(epoch), on_device.epoch(epoch), strict=True):
            assert b.images.device == b.labels.device == b.indices.device == device
            assert torch.equal(a.images, b.images.cpu())
            assert torch.equal(a.labels, b.labels.cpu())
            assert a.images.stride() == b.images.stride()
