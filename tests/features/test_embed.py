"""embed: rows are the network's own stages, in order, whatever the blocks and kills; nothing is lost in silence."""

import csv
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import alexnet
from alexnet.data.prepare import prepare
from alexnet.data.shards import ClassName, PreparedSet
from alexnet.data.squaring import Squaring
from alexnet.data.views import Statistics, Views
from alexnet.errors import InputError
from alexnet.evaluation.classifier import Classifier
from alexnet.evaluation.lesions import changes
from alexnet.features import embed as module
from alexnet.features.folder import Features
from alexnet.model.alexnet import AlexNet, AlexNetConfig, Initialisation
from alexnet.model.cifar10 import Cifar10Config
from alexnet.model.network import Network

SIZE, CROP, COUNT = 32, 24, 150


def save_classifier(
    path: Path,
    views: Views = Views(crop=CROP, divisor=60.0),  # noqa: B008
    squaring: Squaring = Squaring(SIZE),  # noqa: B008
) -> Path:
    """A narrow 11 % net with large random weights and a mean image with colours and a pattern."""
    network = Network(Cifar10Config(classes=3, width=0.125))
    generator = torch.Generator().manual_seed(0)
    network.load_whole({n: torch.randn(v.shape, generator=generator) * 0.2 for n, v in network.whole().items()})
    mean = 90 + torch.rand(3, SIZE, SIZE, generator=generator) * 60
    statistics = Statistics(mean, torch.eye(3, dtype=torch.float64))
    classes = tuple(ClassName(name, name) for name in "abc")
    Classifier(network, views, statistics, classes, squaring=squaring).save(path)
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_classifier(tmp_path_factory.mktemp("classifier") / "net.safetensors")


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(1).integers(0, 256, (COUNT, 40, 36, 3), np.uint8)


@pytest.fixture(scope="module")
def array(tmp_path_factory, pixels):
    path = tmp_path_factory.mktemp("array") / "stimuli.npy"
    np.save(path, pixels)
    return path


@pytest.fixture
def folder(tmp_path, pixels):
    """Ten pictures: three beside two folders, which hold the others, one of them deeper."""
    names = [
        "b.png",
        "a.png",
        "Z.png",
        "x/2.png",
        "x/10.png",
        "x/deep/0.png",
        "w/1.png",
        "w/2.png",
        "w/0.png",
        "x/1.png",
    ]
    root = tmp_path / "pictures"
    for name, image in zip(names, pixels, strict=False):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(root / name)
    return root


def content(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.iterdir()}


def test_rows_are_the_stages_of_the_classifier(run, folder, tmp_path):
    made = alexnet.embed(run, folder, tmp_path / "features", ["fc10", "conv1", "relu3"])
    assert made.stages == ("conv1", "relu3", "fc10")
    assert made.paths == (
        *("Z.png", "a.png", "b.png"),
        *("w/0.png", "w/1.png", "w/2.png", "x/1.png", "x/10.png", "x/2.png", "x/deep/0.png"),
    )
    assert made.labels == ("",) * 3 + ("w",) * 3 + ("x",) * 4
    classifier = Classifier.load(run, "cpu")
    expected = classifier.stages([folder / path for path in made.paths])
    for name in made.stages:
        assert made.stage(name).dtype == np.float32
        np.testing.assert_allclose(made.stage(name), expected[name].numpy(), rtol=1e-4, atol=1e-4)
    assert made.vectors("conv1").shape == (10, expected["conv1"][0].numel())
    assert np.array_equal(made.vectors("conv1")[3], made.stage("conv1")[3].ravel())


def test_what_is_recorded_says_where_the_numbers_come_from(run, folder, tmp_path):
    alexnet.embed(run, folder, tmp_path / "features", ["conv1"], edit=["conv1:0=zero"], untrained=4)
    described = json.loads((tmp_path / "features" / "features.json").read_text())
    assert described["classifier"]["path"] == str(run)
    assert described["classifier"]["sha256"] == alexnet.files.checksum(run)
    assert (described["edit"], described["untrained"]) == (["conv1:0=zero"], 4)
    assert (described["views"], described["type"], described["images"]) == ("centre", "float32", 10)
    assert described["source"]["kind"] == "folder"
    assert described["preprocessing"]["geometry"] == "crop"
    assert described["preprocessing"]["filter"] == "area"
    assert described["preprocessing"]["views"]["divisor"] == 60.0
    assert sorted(content(tmp_path / "features")) == ["conv1.npy", "features.json", "images.csv", "rejected.csv"]


def test_a_folder_and_an_array_of_its_pixels_give_the_same_bytes(run, array, pixels, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number:03d}.png")
    of_folder = alexnet.embed(run, folder, tmp_path / "folder", ["conv1", "fc10"])
    of_file = alexnet.embed(run, array, tmp_path / "file", ["conv1", "fc10"])
    of_array = alexnet.embed(run, pixels, tmp_path / "array", ["conv1", "fc10"])
    for name in ("conv1.npy", "fc10.npy"):
        first, *others = ((made.path / name).read_bytes() for made in (of_folder, of_file, of_array))
        assert others == [first, first]
    assert of_folder.paths[7] == "007.png"
    assert of_file.paths[7] == "stimuli.npy[7]"
    assert set(of_array.labels) == {""}


def test_a_prepared_split_gives_the_rows_of_its_pictures(run, folder, tmp_path, capsys):
    for name in ("Z.png", "a.png", "b.png"):
        (folder / name).unlink()
    files_there = dict(zip(("w", "x"), (3, 4), strict=True))
    source = tmp_path / "large"
    shutil.copytree(folder, source)
    prepared = prepare(source, tmp_path / "prepared", encoding="raw", holdout=0.4, size=SIZE)
    made = alexnet.embed(run, prepared.path, tmp_path / "set", ["relu3"], split="train")
    whole = alexnet.embed(run, source, tmp_path / "all", ["relu3"])
    assert len(made) == prepared.counts["train"] < sum(files_there.values())
    for row, (path, label) in enumerate(zip(made.paths, made.labels, strict=True)):
        assert path.split("/")[0] == label
        assert np.array_equal(made.stage()[row], whole.stage()[whole.paths.index(path)])
    assert len(alexnet.embed(run, prepared.path, tmp_path / "val", ["relu3"])) == prepared.counts["val"]
    assert made.described["source"]["fingerprint"] == PreparedSet.open(prepared.path).fingerprint
    other = prepare(source, tmp_path / "other", encoding="raw", size=2 * SIZE)
    with pytest.raises(InputError, match=f"takes {SIZE}×{SIZE}: prepare the pictures with --size {SIZE}"):
        alexnet.embed(run, other.path, tmp_path / "none", split="train")
    with pytest.raises(InputError, match="has no split 'tset'"):
        alexnet.embed(run, prepared.path, tmp_path / "none", split="tset")
    for asked in ({"geometry": "pad"}, {"greyscale_as_is": True}):
        with pytest.raises(InputError, match="--geometry and --greyscale-as-is are for folders"):
            alexnet.embed(run, prepared.path, tmp_path / "none", **asked)


@pytest.mark.parametrize("batch", [32, 40, 96])
def test_bytes_do_not_depend_on_the_blocks(run, array, tmp_path, monkeypatch, batch):
    stages = ["conv1", "relu3", "fc10"]
    whole = alexnet.embed(run, array, tmp_path / "whole", stages)
    monkeypatch.setattr(module, "BATCH", batch)
    other = alexnet.embed(run, array, tmp_path / "other", stages)
    assert content(other.path) == content(whole.path)


def test_a_row_does_not_depend_on_the_images_beside_it(run, pixels, tmp_path):
    whole = alexnet.embed(run, pixels, tmp_path / "whole", ["fc10"])
    alone = alexnet.embed(run, pixels[77:78], tmp_path / "alone", ["fc10"])
    assert np.array_equal(alone.stage()[0], whole.stage()[77])


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_stopped_it_goes_on_with_the_same_bytes(run, array, tmp_path, monkeypatch, capsys, stop):
    stages = ["conv1", "fc10"]
    whole = alexnet.embed(run, array, tmp_path / "whole", stages)
    monkeypatch.setattr(module, "BATCH", 32)
    calls, isfinite = [], torch.isfinite

    def sixth(values):
        # In the third block, between its two stages: the fourth may be waiting for it, and must not be written.
        calls.append(1)
        if len(calls) == 6:
            raise stop
        return isfinite(values)

    with monkeypatch.context() as patched:
        patched.setattr(torch, "isfinite", sixth)
        with pytest.raises(KeyboardInterrupt if stop is KeyboardInterrupt else InputError):
            alexnet.embed(run, array, tmp_path / "again", stages)
    part = tmp_path / "again.partial"
    with pytest.raises(InputError, match="not finished: repeat its `alexnet embed` command"):
        Features.open(tmp_path / "again")
    with (part / "conv1.npy").open("ab") as file:
        file.write(b"what was written but not noted")
    (part / ".images.csv.xyz.part").touch()
    with pytest.raises(InputError, match=r"again.partial holds other features \(edit was \[\], now \['fc10=zero'\]\)"):
        alexnet.embed(run, array, tmp_path / "again", stages, edit=["fc10=zero"])
    capsys.readouterr()
    again = alexnet.embed(run, array, tmp_path / "again", stages)
    assert "after 64 images" in capsys.readouterr().err
    assert content(again.path) == content(whole.path)
    assert not part.exists()


def test_stopped_it_goes_on_in_blocks_of_another_size(run, folder, array, tmp_path, monkeypatch):
    shutil.move(folder / "Z.png", folder / "w")
    for name in ("a.png", "b.png"):
        shutil.move(folder / name, folder / "x")
    prepared = prepare(folder, tmp_path / "prepared", encoding="raw", size=SIZE).path
    responses = module.responses
    for source, split, blocks, calls in ((prepared, "train", (4, 3), 2), (array, None, (40, 32), 3)):
        out, left = tmp_path / f"{source.name}-stopped", iter(range(calls))
        whole = alexnet.embed(run, source, tmp_path / f"{source.name}-whole", ["fc10"], split=split)

        def stopping(*given, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return responses(*given)

        monkeypatch.setattr(module, "BATCH", blocks[0])
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(module, "responses", stopping)
            alexnet.embed(run, source, out, ["fc10"], split=split)
        monkeypatch.setattr(module, "BATCH", blocks[1])
        alexnet.embed(run, source, out, ["fc10"], split=split)
        assert content(out) == content(whole.path)
        monkeypatch.undo()


KILLED = """
import os, signal, sys
import alexnet
from alexnet.features import embed, growing
embed.BATCH, growing._SECONDS = 32, 0
left, fsync = int(sys.argv[4]), os.fsync
def counted(descriptor):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(descriptor)
os.fsync = counted
alexnet.embed(*sys.argv[1:4], ["conv1", "fc10"], device="cpu")
"""


@pytest.mark.slow
@pytest.mark.parametrize("dies", [16, 19])
def test_killed_again_and_again_it_ends_with_the_same_bytes(run, array, tmp_path, dies):
    # Each process dies before its n-th flush to the disk: within a block, a note, the end, or after the rename.
    whole = alexnet.embed(run, array, tmp_path / "whole", ["conv1", "fc10"], device="cpu")
    program = [sys.executable, "-c", KILLED, str(run), str(array), str(tmp_path / "killed"), str(dies)]
    codes = []
    while len(codes) < 9 and codes[-1:] != [0]:
        codes.append(subprocess.run(program, stderr=subprocess.DEVNULL).returncode)
    assert codes == [-9] * (len(codes) - 1) + [0]
    assert len(codes) > 2
    assert content(tmp_path / "killed") == content(whole.path)


def test_a_second_process_waits_for_the_first(run, array, tmp_path, monkeypatch):
    whole = alexnet.embed(run, array, tmp_path / "whole", ["fc10"])
    program = f"import alexnet; alexnet.embed({str(run)!r}, {str(array)!r}, {str(tmp_path / 'f')!r}, ['fc10'])"
    told, responses = [], module.responses

    def beside(*given):
        if len(told) == 1:  # its first block is read, and may be on the disk
            second = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
            told.append(second.stderr.splitlines()[-1])
        told.append("") if not told else None
        return responses(*given)

    monkeypatch.setattr(module, "BATCH", 64)
    monkeypatch.setattr(module, "responses", beside)
    first = alexnet.embed(run, array, tmp_path / "f", ["fc10"])
    assert told[1].endswith("f.partial is being embedded by another process; wait for it.")
    assert content(first.path) == content(whole.path)


def test_the_same_again_is_there_and_another_is_refused(run, array, tmp_path, capsys):
    alexnet.embed(run, array, tmp_path / "features", ["fc10"])
    before = content(tmp_path / "features")
    capsys.readouterr()
    moved = save_classifier(tmp_path / "moved.safetensors")
    alexnet.embed(moved, array, tmp_path / "features", ["fc10"])
    assert "is embedded already" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"stages was \['fc10'\], now \['conv1'\]"):
        alexnet.embed(run, array, tmp_path / "features", ["conv1"])
    with pytest.raises(InputError, match="type was float32, now float16"):
        alexnet.embed(run, array, tmp_path / "features", ["fc10"], half=True)
    assert content(tmp_path / "features") == before


def test_what_cannot_be_read_is_named_and_has_no_row(run, folder, tmp_path, capsys):
    whole = alexnet.embed(run, folder, tmp_path / "whole", ["conv1"])
    (folder / "notes.csv").write_text("a,b\n")
    (folder / "w" / "1a.png").write_bytes(b"")
    (folder / "x" / "gone.png").symlink_to("nowhere.png")
    (folder / ".hidden.png").touch()
    capsys.readouterr()
    made = alexnet.embed(run, folder, tmp_path / "features", ["conv1"])
    said = f"conv1 of 13 files: at most {(13 * 8 * CROP * CROP * 4 + 128) / 1e3:.1f} kB in {made.path}."
    assert said in capsys.readouterr().err
    shutil.rmtree(made.path)
    alexnet.embed(run, folder, tmp_path / "features", ["conv1"])
    assert made.paths == whole.paths
    assert np.array_equal(made.stage(), whole.stage())
    with (made.path / "rejected.csv").open(newline="") as file:
        header, *rejected = csv.reader(file)
    assert header == ["path", "reason"]
    assert [path for path, _ in rejected] == ["notes.csv", "w/1a.png", "x/gone.png"]
    assert made.described["rejected"] == 3
    told = capsys.readouterr().err
    assert "3 files have no row" in told
    assert all(f"{path}: {reason}" in told for path, reason in rejected)
    for path in folder.rglob("*.png"):
        path.unlink()
    with pytest.raises(InputError, match=r"no image of the source could be used; the first, notes.csv: not an image"):
        alexnet.embed(run, folder, tmp_path / "none", ["conv1"])
    assert not (tmp_path / "none.partial").exists()


def test_names_of_control_characters_are_refused_and_all_tables_stay_readable(run, folder, tmp_path):
    whole = alexnet.embed(run, folder, tmp_path / "whole", ["conv1"])
    odd = ["a\rb.png", "b\n2.png", "c\x1b[1m.png", "w/d\x85.png", "x\r/e.png"]
    (folder / "x\r").mkdir()
    for name in odd:
        shutil.copy(folder / "a.png", folder / name)
    made = alexnet.embed(run, folder, tmp_path / "features", ["conv1"])
    assert Features.open(made.path).paths == whole.paths
    assert np.array_equal(made.stage(), whole.stage())
    with (made.path / "rejected.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == [[name, "its name has a control character"] for name in odd]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text there")
def test_a_source_and_pictures_whose_names_are_no_text(run, folder, tmp_path):
    whole = alexnet.embed(run, folder, tmp_path / "whole", ["conv1"])
    folder = folder.rename(tmp_path / os.fsdecode(b"caf\xe9"))
    (folder / "b.png").rename(folder / os.fsdecode(b"b\xff.png"))
    made = alexnet.embed(run, folder, tmp_path / os.fsdecode(b"f\xe9"), ["conv1"])
    assert np.array_equal(made.stage(), whole.stage())
    assert made.paths[2] == os.fsdecode(b"b\xff.png")
    assert made.described["source"]["path"] == str(folder)
    assert json.loads((made.path / "features.json").read_text(encoding="utf-8")) == made.described
    assert alexnet.embed(run, folder, made.path, ["conv1"]).paths == made.paths


def test_a_block_without_a_readable_image(folder, tmp_path, monkeypatch):
    config = AlexNetConfig(classes=2, input=67, width=1 / 8, initialisation=Initialisation("he"))
    statistics = Statistics(torch.full((3, 80, 80), 100.0), torch.eye(3, dtype=torch.float64))
    names = (ClassName("a", "a"), ClassName("b", "b"))
    Classifier(AlexNet(config), Views(crop=67), statistics, names, squaring=Squaring(80)).save(
        tmp_path / "towers.safetensors"
    )
    whole = alexnet.embed(tmp_path / "towers.safetensors", folder, tmp_path / "whole", edit=["tower2=zero"])
    assert whole.stages == ("relu7",)
    assert np.abs(whole.stage()[:, 256:]).max() == 0 < whole.stage()[:, :256].max()
    for name in ("0.txt", "1.txt", "2.txt", "3.txt"):
        (folder / name).touch()
    monkeypatch.setattr(module, "BATCH", 2)
    made = alexnet.embed(tmp_path / "towers.safetensors", folder, tmp_path / "made", edit=["tower2=zero"])
    assert made.described["rejected"] == 4
    assert np.array_equal(made.stage(), whole.stage())


@pytest.mark.parametrize("geometry", [None, "pad", "whole"])
def test_pictures_are_resized_by_the_classifiers_filter(folder, tmp_path, geometry):
    way = Squaring(SIZE, "warp", "opencv-linear")
    run = save_classifier(tmp_path / "net.safetensors", squaring=way)
    made = alexnet.embed(run, folder, tmp_path / "features", ["conv1"], geometry=geometry)
    told = {name: made.described["preprocessing"][name] for name in ("size", "geometry", "filter", "orientation")}
    assert told == {"size": SIZE, "geometry": geometry or "warp", "filter": "opencv-linear", "orientation": True}
    classifier, start = Classifier.load(run, "cpu"), (SIZE - CROP) // 2
    if geometry == "whole":
        seen = [Squaring(CROP, "pad", "opencv-linear").of_file((folder / path).read_bytes()) for path in made.paths]
        pictures = [np.pad(each, ((start, start), (start, start), (0, 0))) for each in seen]
    else:
        classifier.squaring = dataclasses.replace(way, geometry=geometry or "warp")
        pictures = [folder / path for path in made.paths]
    expected = classifier.stages(pictures, "conv1")["conv1"].numpy()
    np.testing.assert_allclose(made.stage(), expected, rtol=1e-4, atol=1e-4)
    for found in alexnet.neighbours(tmp_path / "features", [folder / made.paths[-1]], 1):
        assert found.neighbours == ((made.paths[-1], 0),)


def test_features_from_before_filters_are_the_same_features(run, folder, tmp_path, capsys):
    alexnet.embed(run, folder, tmp_path / "features", ["conv1"])
    path = tmp_path / "features" / "features.json"
    described = json.loads(path.read_text())
    assert described["preprocessing"].pop("filter") == "area"
    path.write_text(json.dumps(described))
    capsys.readouterr()
    made = alexnet.embed(run, folder, tmp_path / "features", ["conv1"])
    assert "embedded already" in capsys.readouterr().err
    for found in alexnet.neighbours(tmp_path / "features", [folder / made.paths[-1]], 1):
        assert found.neighbours == ((made.paths[-1], 0),)


def test_whole_shows_all_of_a_picture_and_its_own_size_pixel_for_pixel(run, tmp_path):
    random = np.random.default_rng(2)
    exact = random.integers(0, 256, (2, CROP, CROP, 3), np.uint8)
    classifier = Classifier.load(run, "cpu")
    start = (SIZE - CROP) // 2

    def expected(seen: np.ndarray) -> np.ndarray:
        mean = classifier.statistics.mean[:, start : start + CROP, start : start + CROP]
        views = (torch.from_numpy(seen).permute(0, 3, 1, 2).float() - mean) / 60
        return classifier.network.stages(views, "conv1")["conv1"].detach().numpy()

    made = alexnet.embed(run, exact, tmp_path / "exact", ["conv1"], geometry="whole")
    np.testing.assert_allclose(made.stage(), expected(exact), rtol=1e-5, atol=1e-4)
    assert made.described["preprocessing"]["geometry"] == "whole"
    wide = random.integers(0, 256, (1, 12, CROP, 3), np.uint8)
    padded = np.full((1, CROP, CROP, 3), (127, 120, 105), np.uint8)
    padded[:, 6:18] = wide
    made = alexnet.embed(run, wide, tmp_path / "wide", ["conv1"], geometry="whole")
    np.testing.assert_allclose(made.stage(), expected(padded), rtol=1e-5, atol=1e-4)
    cropped = alexnet.embed(run, wide, tmp_path / "cropped", ["conv1"])
    assert not np.allclose(cropped.stage(), made.stage(), atol=0.1)


@pytest.mark.parametrize("mean", ["at_crop", "channel", (100.0, 130.0, 145.0)])
def test_grey_stays_grey_where_asked(tmp_path, mean):
    run = save_classifier(tmp_path / "net.safetensors", Views(crop=CROP, mean=mean, divisor=(50.0, 60.0, 70.0)))
    classifier = Classifier.load(run, "cpu")
    channels = torch.tensor(mean) if isinstance(mean, tuple) else classifier.statistics.mean.mean((1, 2))
    level = float(channels.mean())
    grey = np.zeros((2, 20, 40, 3), np.uint8) + np.array([40, 200], np.uint8)[:, None, None, None]
    made = alexnet.embed(run, grey, tmp_path / "grey", ["conv1"], greyscale_as_is=True)
    seen = torch.stack([torch.full((3, CROP, CROP), (value - level) / 60) for value in (40, 200)])
    expected = classifier.network.stages(seen, "conv1")["conv1"].detach().numpy()
    np.testing.assert_allclose(made.stage(), expected, rtol=1e-4, atol=1e-3)
    # Padding, by default a brown grey, is of the mean level: nothing, once that is subtracted.
    padded = alexnet.embed(run, grey, tmp_path / "padded", ["conv1"], greyscale_as_is=True, geometry="whole")
    bias = classifier.network.whole()["conv1.bias"].numpy()
    corner = padded.stage()[:, :, 0, 0] - bias
    assert np.abs(corner).max() <= np.abs(expected - bias[:, None, None]).max() * 0.5 / 40 + 1e-3


def test_colour_is_refused_where_grey_was_asked_for(run, tmp_path):
    pair = np.full((2, 30, 30, 3), 70, np.uint8)
    pair[1, 3, 4, 2] += 1
    made = alexnet.embed(run, pair, tmp_path / "features", ["conv1"], greyscale_as_is=True)
    assert made.paths == ("[0]",)
    assert '[1],"it has colour' in (made.path / "rejected.csv").read_text()
    assert made.described["preprocessing"]["greyscale_as_is"] is True


def test_lesions_and_untrained_networks(run, pixels, tmp_path):
    images = pixels[:5]
    classifier = Classifier.load(run, "cpu")
    edited = alexnet.embed(run, images, tmp_path / "edited", ["relu3"], edit=["conv1:0,3=zero", "conv2=zero"])
    edit = changes(["conv1:0,3=zero", "conv2=zero"], classifier.network)
    expected = classifier.stages(list(images), "relu3", edit)["relu3"].numpy()
    np.testing.assert_allclose(edited.stage(), expected, rtol=1e-4, atol=1e-4)
    plain = alexnet.embed(run, images, tmp_path / "plain", ["relu3"])
    assert not np.allclose(plain.stage(), edited.stage())
    drawn = [alexnet.embed(run, images, tmp_path / f"drawn{seed}", ["relu3"], untrained=seed) for seed in (5, 6)]
    classifier.network.initialise(5)
    expected = classifier.stages(list(images), "relu3")["relu3"].numpy()
    np.testing.assert_allclose(drawn[0].stage(), expected, rtol=1e-4, atol=1e-4)
    assert not np.array_equal(drawn[0].stage(), drawn[1].stage())


def test_it_is_told_where_a_lesion_leaves_nothing_of_a_stage(run, pixels, tmp_path, capsys):
    alexnet.embed(run, pixels[:3], tmp_path / "some", ["fc10"], edit=["conv2:0-2=zero"])
    assert "silenced" not in capsys.readouterr().err
    blind = alexnet.embed(run, pixels[:3], tmp_path / "none", ["fc10"], edit=["conv2=zero"])
    assert "alexnet: conv2 is silenced whole, so that it and every stage after it" in capsys.readouterr().err
    assert np.ptp(blind.stage(), axis=0).max() == 0


def test_one_stage_may_be_a_lone_name(run, pixels, tmp_path):
    one, same = (alexnet.embed(run, pixels[:3], tmp_path / str(i), x) for i, x in enumerate(("conv1", ["conv1"])))
    assert content(one.path) == content(same.path)


def test_one_picture_is_a_source_of_one_image(run, folder, tmp_path):
    whole = alexnet.embed(run, folder / "x", tmp_path / "whole", "fc10")
    for geometry in (None, "whole"):
        one = alexnet.embed(run, folder / "x" / "2.png", tmp_path / f"one-{geometry}", "fc10", geometry=geometry)
        assert (one.paths, one.labels) == (("2.png",), ("",))
        assert (one.stage()[0] == whole.stage()[whole.paths.index("2.png")]).all() == (geometry is None)
        found = alexnet.neighbours(one.path, folder / "x" / "2.png", out=tmp_path / "near.png")
        assert found[0].neighbours == (("2.png", 0),)


def test_half_rounds_and_refuses_what_it_cannot_hold(run, pixels, tmp_path):
    whole = alexnet.embed(run, pixels[:3], tmp_path / "whole")
    half = alexnet.embed(run, pixels[:3], tmp_path / "half", half=True)
    assert half.stages == whole.stages == ("relu4",)
    assert half.stage().dtype == np.float16
    assert np.array_equal(half.stage(), whole.stage().astype(np.float16))
    classifier = Classifier.load(run, "cpu")
    classifier.views = dataclasses.replace(classifier.views, divisor=1e-4)
    classifier.save(tmp_path / "loud.safetensors")
    with pytest.raises(InputError, match=r"conv1 has a response beyond what float16 holds \(65,504\); embed without"):
        alexnet.embed(tmp_path / "loud.safetensors", pixels[:3], tmp_path / "loud", ["conv1"], half=True)


def test_it_says_its_size_and_refuses_what_has_no_room(run, array, tmp_path, monkeypatch, capsys):
    alexnet.embed(run, array, tmp_path / "features", ["conv1"])
    rows = COUNT * 8 * CROP * CROP * 4
    assert (tmp_path / "features" / "conv1.npy").stat().st_size == rows + 128
    assert f"conv1 of 150 images: {(rows + 128) / 1e6:.1f} MB in {tmp_path / 'features'}." in capsys.readouterr().err
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=rows - 1))
    with pytest.raises(InputError, match=r"need 2.8 MB in .*, where 2.8 MB are free; choose fewer or later stages"):
        alexnet.embed(run, array, tmp_path / "large", ["conv1"])


@pytest.mark.parametrize(
    ("array", "match"),
    [
        (np.zeros((2, 8, 8, 3)), r"the array is float64 \[2, 8, 8, 3\]; images are uint8"),
        (np.zeros((2, 8, 8), np.uint8), r"repeat a grey channel three times"),
        (np.zeros((2, 3, 8, 8), np.uint8), "put the channels last"),
        (np.zeros((0, 8, 8, 3), np.uint8), "holds no images"),
    ],
)
def test_arrays_that_are_no_images_are_refused(run, tmp_path, array, match):
    with pytest.raises(InputError, match=match):
        alexnet.embed(run, array, tmp_path / "features")


def test_what_cannot_be_asked_is_told(run, folder, array, tmp_path):
    out = tmp_path / "features"
    with pytest.raises(InputError, match=r"no stage 'relu44' \(did you mean 'relu4'\?\); there are conv1"):
        alexnet.embed(run, folder, out, ["relu44"])
    with pytest.raises(InputError, match="no stage 'conv7'"):
        alexnet.embed(run, folder, out, edit=["conv7=zero"])
    with pytest.raises(InputError, match="--split val: only a prepared set has splits"):
        alexnet.embed(run, array, out, split="val")
    with pytest.raises(InputError, match="nowhere does not exist; SOURCE is"):
        alexnet.embed(run, tmp_path / "nowhere", out)
    (tmp_path / "notes.txt").write_text("no picture")
    with pytest.raises(InputError, match=r"notes.txt is neither a folder nor a picture nor an array file: .*not an im"):
        alexnet.embed(run, tmp_path / "notes.txt", out)
    with pytest.raises(InputError, match="geometry is 'fit'; it can be crop, pad, warp, whole"):
        alexnet.embed(run, folder, out, geometry="fit")
    with pytest.raises(InputError, match="lies in the source"):
        alexnet.embed(run, folder, folder / "features")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no visible files"):
        alexnet.embed(run, tmp_path / "empty", out)
    with pytest.raises(InputError, match="exists and holds no features"):
        alexnet.embed(run, array, folder)
    np.save(tmp_path / "objects.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(InputError, match="neither a folder nor a picture nor an array file"):
        alexnet.embed(run, tmp_path / "objects.npy", out)
    np.savez(tmp_path / "several.npz", np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(InputError, match=r"nor a picture nor an array file.*is an .npz archive; save the array"):
        alexnet.embed(run, tmp_path / "several.npz", out)
    assert not out.exists()
