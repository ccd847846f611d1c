"""Preparation as a whole: exact, the same at any number of threads, restartable, and honest about what it refused."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet.data import finishing, packing, progress
from alexnet.data.decoding import encode
from alexnet.data.packing import Sums
from alexnet.data.prepare import list_source, prepare
from alexnet.data.shards import PreparedSet, verify
from alexnet.data.squaring import Squaring
from alexnet.errors import InputError

PROGRAM = "import sys; from alexnet.data.prepare import prepare; prepare(*sys.argv[1:], images_per_shard=4, workers=2)"


def noise(seed: int, height: int = 40, width: int = 50) -> Image.Image:
    """A picture of blocks, unlike every other."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR)


def write_folder(root: Path, count: int = 7) -> Path:
    """Three classes of `count` pictures, JPEG and PNG."""
    for label, name in enumerate("abc"):
        (root / name).mkdir(parents=True)
        for i in range(count):
            noise(100 * label + i).save(root / name / f"{i}.{'png' if i % 3 else 'jpg'}")
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def images(prepared: PreparedSet, split: str) -> dict[str, np.ndarray]:
    shards = prepared.split(split)
    return dict(zip(shards.paths, shards.at(range(len(shards))).transpose(0, 2, 3, 1), strict=True))


def test_pixels_labels_and_order(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source")
    raw = prepare(source, tmp_path / "raw", encoding="raw", holdout=0.2, images_per_shard=4)
    jpeg = prepare(source, tmp_path / "jpeg", holdout=0.2, images_per_shard=4)
    assert raw.counts == jpeg.counts == {"train": 18, "val": 3}
    for split in ("train", "val"):
        stored, encoded = images(raw, split), images(jpeg, split)
        assert list(stored) == list(encoded)
        for path, pixels in stored.items():
            expected = Squaring().of_file((source / path).read_bytes())
            np.testing.assert_array_equal(pixels, expected)
            np.testing.assert_array_equal(encoded[path], Squaring().of_file(encode(expected)))
        assert raw.split(split).labels.tolist() == ["abc".index(path[0]) for path in stored]
    assert list(raw.split("val").paths) == sorted(raw.split("val").paths)
    assert list(raw.split("train").paths) != sorted(raw.split("train").paths)
    other = prepare(source, tmp_path / "other", holdout=0.2, seed=1)
    assert list(other.split("train").paths) != list(raw.split("train").paths)
    np.testing.assert_array_equal(raw.statistics().mean, jpeg.statistics().mean)


def test_statistics_are_those_of_the_training_pixels(tmp_path: Path) -> None:
    prepared = prepare(
        write_folder(tmp_path / "source"), tmp_path / "set", encoding="raw", test=0.3, images_per_shard=3
    )
    pixels = np.stack(list(images(prepared, "train").values())).astype(np.float64)
    statistics = prepared.statistics()
    assert (statistics.mean.dtype.itemsize, statistics.covariance.dtype.itemsize) == (4, 8)
    np.testing.assert_allclose(statistics.mean, pixels.mean(0).transpose(2, 0, 1), rtol=1e-7)
    np.testing.assert_allclose(statistics.covariance, np.cov(pixels.reshape(-1, 3).T, bias=True), rtol=1e-12)


def test_sums_are_exact_in_the_worst_case() -> None:
    white = Sums.zero(256)
    for _ in range(3):
        white.add(np.full((256, 256, 3), 255, np.uint8))
    assert int(white.products[0, 1]) == 3 * 65536 * 255**2
    mean, covariance = white.statistics()
    assert (mean == 255).all()
    assert (covariance == 0).all()


def test_the_same_bytes_at_any_number_of_threads(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source")
    sets = [prepare(source, tmp_path / f"set{n}", holdout=0.2, images_per_shard=2, workers=n) for n in (1, 2, 5)]
    assert contents(sets[0].path) == contents(sets[1].path) == contents(sets[2].path)
    assert len({s.fingerprint for s in sets}) == 1
    assert verify(sets[0].path) == []
    description = json.loads((sets[0].path / "dataset.json").read_text())
    assert str(tmp_path) not in json.dumps(description)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set1", "set2", "set5", "source"]


def test_refused_files_are_listed_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_folder(tmp_path / "source")
    good = prepare(source, tmp_path / "good", images_per_shard=4)
    (source / "a/empty.jpg").write_bytes(b"")
    (source / "b/notes, mine.txt").write_text("no picture")
    data = (source / "c/0.jpg").read_bytes()
    (source / "c/half.jpg").write_bytes(data[: len(data) // 2])
    noise(0, 3, 2000).save(source / "c/wide.png")
    capsys.readouterr()
    prepared = prepare(source, tmp_path / "set", limit=5999, images_per_shard=4)
    assert (prepared.counts, prepared.rejected) == (good.counts, 4)
    with (prepared.path / "rejected.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["path", "reason"],
            ["a/empty.jpg", "empty file"],
            ["b/notes, mine.txt", "not an image (JPEG, PNG, GIF, BMP, TIFF, WEBP, PPM)"],
            ["c/half.jpg", "truncated"],
            ["c/wide.png", "2000×3 is over the limit of 5999 pixels"],
        ]
    mine, theirs = images(prepared, "train"), images(good, "train")
    assert mine.keys() == theirs.keys()
    assert all((mine[path] == theirs[path]).all() for path in mine)
    np.testing.assert_array_equal(prepared.statistics().mean, good.statistics().mean)
    output = capsys.readouterr()
    assert output.out == ""
    assert (
        f"4 files were refused, such as a/empty.jpg (empty file): see {prepared.path / 'rejected.csv'}." in output.err
    )
    assert "There is no val" in output.err
    assert "\x1b" not in output.err


def test_a_shard_may_end_up_empty(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", 2)
    for path in (source / "a").iterdir():
        path.write_bytes(b"x")
    for encoding in ("jpeg", "raw"):
        prepared = prepare(source, tmp_path / encoding, encoding=encoding, images_per_shard=1)  # type: ignore[arg-type]
        assert len(images(prepared, "train")) == 4
        assert len(prepared.description["splits"]["train"]["shards"]) == 6
        assert verify(prepared.path) == []


def test_classes_without_pictures_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_folder(tmp_path / "source", 2)
    for path in (source / "b").iterdir():
        path.write_bytes(b"x")
    prepare(source, tmp_path / "set")
    assert "1 class has no image in train, such as b." in capsys.readouterr().err
    for path in source.glob("*/*"):
        path.write_bytes(b"x")
    with pytest.raises(InputError, match=r"No training picture.*a/0.jpg \(not an image"):
        prepare(source, tmp_path / "none")


def test_one_picture_is_one_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "source/a").mkdir(parents=True)
    noise(0).save(tmp_path / "source/a/0.png")
    (tmp_path / "source/a/x").write_text("no picture")
    prepare(tmp_path / "source", tmp_path / "set")
    told = capsys.readouterr().err
    assert "1 train image of 1 class.\n" in told
    assert "1 file was refused, such as a/x (" in told


def test_identical_pictures_in_several_splits_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    for number, split in enumerate(("train", "val", "test")):
        write_folder(source / split, 2)
        for i, path in enumerate(sorted((source / split).glob("*/*"))):
            noise(i + 100 * number).save(path)
    noise(2000).save(source / "train/a/same.png")
    noise(2000).save(source / "train/b/again.bmp")
    noise(2000).save(source / "val/b/same.png", compress_level=1)
    noise(2000).save(source / "test/b/same.png")
    prepared = prepare(source, tmp_path / "set", images_per_shard=2)
    assert prepared.description["identical"] == 1
    with (prepared.path / "identical.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [
        ["1", "test", "test/b/same.png"], ["1", "train", "train/a/same.png"],
        ["1", "train", "train/b/again.bmp"], ["1", "val", "val/b/same.png"],
    ]  # fmt: skip
    assert "1 picture is in more than one split: see " in capsys.readouterr().err


def test_identical_pictures_of_two_classes_are_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    for number, (name, kind) in enumerate([("a", "png"), ("b", "bmp"), ("c", "png")]):
        (source / name).mkdir(parents=True)
        for i in range(3):
            noise(10 * number + i).save(source / name / f"{i}.png")
        if name != "c":
            noise(99).save(source / name / f"same.{kind}")
    noise(98).save(source / "c/twice.png")
    noise(98).save(source / "c/again.png")  # in one class, no label is wrong
    prepared = prepare(source, tmp_path / "set", images_per_shard=2)
    with (prepared.path / "identical.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [["1", "train", "a/same.png"], ["1", "train", "b/same.bmp"]]
    assert (prepared.description["identical"], prepared.description["contradicted"]) == (0, 1)
    told = capsys.readouterr().err
    assert "1 picture is in more than one class, a label is wrong: see " in told
    assert "more than one split" not in told
    (source / "b/same.bmp").unlink()
    assert "contradicted" not in prepare(source, tmp_path / "other").description


def test_prepared_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_folder(tmp_path / "source", 2)
    first = prepare(source, tmp_path / "set")
    times = {path: path.stat().st_mtime_ns for path in first.path.rglob("*")}
    capsys.readouterr()
    assert prepare(source, tmp_path / "set", workers=1).fingerprint == first.fingerprint
    assert "is prepared already" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in first.path.rglob("*")} == times
    with pytest.raises(InputError, match=r"\(--geometry was crop, now pad\); name another folder"):
        prepare(source, tmp_path / "set", geometry="pad")
    for options, change in (
        ({"filter": "opencv-linear"}, "--filter was area, now opencv-linear"),
        ({"holdout": 0.5}, "--holdout was 0.0, now 0.5"),
        ({"test": 0.5}, "--test was 0.0, now 0.5"),
        ({"group": "a"}, "--group was None, now a"),
        ({"seed": 1, "limit": 10**6}, "limit was 178956970, now 1000000; --seed was 0, now 1"),
    ):
        with pytest.raises(InputError, match=rf"was prepared differently \({change}\)"):
            prepare(source, tmp_path / "set", **options)
    (source / "a/0.jpg").unlink()
    with pytest.raises(InputError, match=r"\(the source's files are others\)"):
        prepare(source, tmp_path / "set")


def test_by_the_filter_of_others(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source")
    way = Squaring(48, "warp", "opencv-linear", orientation=False)
    options = {"geometry": "warp", "filter": "opencv-linear", "size": 48, "orientation": False}
    theirs = prepare(source, tmp_path / "theirs", encoding="raw", holdout=0.2, **options)
    assert theirs.squaring == PreparedSet.open(theirs.path).squaring == way
    for path, pixels in images(theirs, "val").items():
        np.testing.assert_array_equal(pixels, way.of_file((source / path).read_bytes()))
    described = json.loads((theirs.path / "dataset.json").read_text())
    assert (described["filter"], described["resizing"][:6]) == ("opencv-linear", "OpenCV")
    with pytest.raises(InputError, match=r"\(--filter was opencv-linear, now area\)"):
        prepare(source, theirs.path, encoding="raw", holdout=0.2, **(options | {"filter": "area"}))
    # Where it is "area" nothing of it is written, so that sets from before it are the same sets.
    assert b'"filter"' not in (prepare(source, tmp_path / "ours", holdout=0.2).path / "dataset.json").read_bytes()


def test_another_side_than_256(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source")
    small = prepare(source, tmp_path / "small", encoding="raw", size=48, holdout=0.2)
    assert small.size == 48
    assert tuple(small.statistics().mean.shape) == (3, 48, 48)
    for path, pixels in images(small, "val").items():
        np.testing.assert_array_equal(pixels, Squaring(48).of_file((source / path).read_bytes()))
    assert prepare(source, tmp_path / "small", encoding="raw", size=48, holdout=0.2).counts == small.counts
    with pytest.raises(InputError, match=r"was prepared differently \(--size was 48, now 256\)"):
        prepare(source, tmp_path / "small", encoding="raw", holdout=0.2)
    for size in (31, 257):
        with pytest.raises(InputError, match=rf"--size {size} must lie in 32\.\.256"):
            prepare(source, tmp_path / "other", size=size)


def test_places_that_will_not_do(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", 2)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("x")
    (tmp_path / "other.partial").mkdir()
    (tmp_path / "other.partial/thesis.tex").write_text("x")
    for name in ("full", "other"):
        with pytest.raises(InputError, match="is no prepared set"):
            prepare(source, tmp_path / name)
    with pytest.raises(InputError, match="lies in the source"):
        prepare(source, source / "prepared")
    with pytest.raises(InputError, match="is not a folder"):
        prepare(tmp_path / "nothing", tmp_path / "set")
    with pytest.raises(InputError, match="--quality 101"):
        prepare(source, tmp_path / "set", quality=101)
    (tmp_path / "empty").mkdir()
    prepared = prepare(source, tmp_path / "empty")
    with pytest.raises(InputError, match="prepared set already"):
        list_source(prepared.path)


def test_goes_on_without_redoing_finished_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_folder(tmp_path / "source")
    whole = prepare(source, tmp_path / "whole", holdout=0.2, images_per_shard=4)
    pack, packed, room = packing.pack, [], 3

    def count(*args: object) -> None:
        packed.append(args[2])
        if len(packed) > room:
            raise OSError(28, "No space left on device")
        pack(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(packing, "pack", count)
    with pytest.raises(InputError, match="No space left on device"):
        prepare(source, tmp_path / "set", holdout=0.2, images_per_shard=4, workers=1)
    with pytest.raises(InputError, match="not finished"):
        PreparedSet.open(tmp_path / "set")
    with pytest.raises(InputError, match=r"\(--seed was 0, now 1\)"):
        prepare(source, tmp_path / "set", holdout=0.2, images_per_shard=4, seed=1)
    packed, room = [], 100
    prepare(source, tmp_path / "set", holdout=0.2, images_per_shard=4, workers=1)
    assert packed == [12, 16, 0]
    assert contents(tmp_path / "set") == contents(whole.path)


@pytest.mark.parametrize("moment", ["described", "forgotten"])
def test_killed_at_the_very_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    source = write_folder(tmp_path / "source", 3)
    whole = prepare(source, tmp_path / "whole")
    if moment == "described":
        monkeypatch.setattr(packing, "forget", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    else:
        monkeypatch.setattr(Path, "replace", interrupted_for("set.partial"))
    with pytest.raises(KeyboardInterrupt):
        prepare(source, tmp_path / "set")
    monkeypatch.undo()
    monkeypatch.setattr(finishing, "describe", None)
    prepare(source, tmp_path / "set")
    assert contents(tmp_path / "set") == contents(whole.path)


def interrupted_for(name: str) -> object:
    """`Path.replace`, but stopped when it comes to the folder `name`."""
    replace = Path.replace

    def stopped(self: Path, target: Path) -> Path:
        if self.name == name:
            raise KeyboardInterrupt
        return replace(self, target)

    return stopped


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path) -> None:
    source = write_folder(tmp_path / "source", 60)
    whole = prepare(source, tmp_path / "whole", images_per_shard=4)
    kills = 0
    for _ in range(60):
        shards = len(list((tmp_path / "set.partial").glob("train/*.record.npz")))
        program = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(source), str(tmp_path / "set")],
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        deadline = time.monotonic() + 60
        while program.poll() is None and time.monotonic() < deadline:
            if len(list((tmp_path / "set.partial").glob("train/*.record.npz"))) >= shards + 7:
                time.sleep(0.003 * kills)
                program.send_signal(signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        if program.wait() == 0:
            break
    assert kills >= 3
    assert contents(tmp_path / "set") == contents(whole.path)


def test_the_bar_shows_speed_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with progress.bar("preparing", 100, 20) as advance:
        advance(30)
    assert "50/100" in screen.getvalue()
    assert "images/s" in screen.getvalue()


@pytest.mark.skipif("ALEXNET_SAMPLES" not in os.environ, reason="ALEXNET_SAMPLES names no folder")
def test_real_photographs(tmp_path: Path) -> None:
    for path in Path(os.environ["ALEXNET_SAMPLES"]).glob("*.JPEG"):
        folder = tmp_path / "source" / path.name.partition("_")[0]
        folder.mkdir(parents=True)
        (folder / path.name).symlink_to(path.resolve())
    prepared = prepare(tmp_path / "source", tmp_path / "set")
    assert (prepared.counts, prepared.rejected) == ({"train": 120}, 0)
    # cuda-convnet2's own mean over ImageNet is (127.3, 119.7, 104.9).
    np.testing.assert_allclose(prepared.statistics().channel_mean, (127.3, 119.7, 104.9), atol=12)
