"""Codes: bits against loops, what a fit must reach, the same seed the same codes, folders and damage."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from alexnet.errors import InputError
from alexnet.features import coder as module
from alexnet.features.coder import Coder, Settings, fit, projections
from alexnet.features.codes import Codes, codes, poor
from alexnet.features.hamming import hamming

QUICK = Settings(bits=16, hidden=32, epochs=6)


def crowds(count=200, length=24, groups=8, seed=0):
    """float32 `[count, length]` about `groups` centres, and the group of each."""
    random = np.random.default_rng(seed)
    group = random.integers(0, groups, count)
    centres = 4 * np.random.default_rng(99).normal(size=(groups, length))
    return (centres[group] + random.normal(size=(count, length)) + 50).astype(np.float32), group


def bits_of(packed):
    return [[int(bit) for byte in row for bit in f"{byte:08b}"] for row in packed.tolist()]


def test_a_code_is_the_signs_of_the_sums_first_bit_highest():
    random = np.random.default_rng(0)
    weights = [random.normal(size=(5, 3)), random.normal(size=(16, 5))]
    biases = [random.normal(size=5), random.normal(size=16)]
    layers = tuple((torch.tensor(w).float(), torch.tensor(b).float()) for w, b in zip(weights, biases, strict=True))
    vectors = random.normal(size=(9, 3))
    expected = []
    for vector in vectors:
        hidden = [
            max(0.0, sum(w * (v - 1) for w, v in zip(row, vector, strict=True)) + b)
            for row, b in zip(weights[0], biases[0], strict=True)
        ]
        sums = [
            sum(w * h for w, h in zip(row, hidden, strict=True)) + b
            for row, b in zip(weights[1], biases[1], strict=True)
        ]
        expected.append([int(s > 0) for s in sums])
    assert bits_of(Coder(torch.ones(3), layers).encode(vectors)) == expected


def test_the_same_seed_gives_the_same_codes_and_another_others():
    vectors, _ = crowds()
    first, second, other = (fit(vectors, dataclasses.replace(QUICK, seed=seed)) for seed in (3, 3, 4))
    torch.rand(5)  # torch's own generator is neither read nor moved on
    assert first[0].encode(vectors).tobytes() == second[0].encode(vectors).tobytes()
    assert first[1] == second[1]
    assert first[0].encode(vectors).tobytes() != other[0].encode(vectors).tobytes()
    state = torch.get_rng_state()
    fit(vectors, QUICK)
    assert torch.equal(torch.get_rng_state(), state)


def test_codes_of_a_fit_keep_crowds_together_and_rebuild_better():
    vectors, group = crowds(600)
    fresh, theirs = crowds(100, seed=5)
    coder, history = fit(vectors, dataclasses.replace(QUICK, epochs=60, rate=1e-2))
    assert history[-1].validation < 0.5 * history[0].validation
    assert history[-1].validation < 0.4  # of the variance: two bits are too few for eight crowds, sixteen are enough
    found = hamming(coder.encode(fresh), coder.encode(vectors), 6)
    assert (group[found.indices] == theirs[:, None]).mean() > 0.95
    scaled, _ = fit(vectors * 1000 - 7, dataclasses.replace(QUICK, epochs=60, rate=1e-2))
    again = hamming(scaled.encode(fresh * 1000 - 7), scaled.encode(vectors * 1000 - 7), 6)
    assert (group[again.indices] == theirs[:, None]).mean() > 0.95


def test_the_epoch_that_rebuilds_the_held_out_vectors_best_is_kept(monkeypatch):
    vectors, _ = crowds(60)
    real, seen = module._error, []

    def error(held, layers, *decoder):
        seen.append(layers)
        return {2: 0.1}.get(len(seen), real(held, layers, *decoder) + 1)

    monkeypatch.setattr(module, "_error", error)
    coder, history = fit(vectors, QUICK)
    assert [each.epoch for each in history] == [1, 2, 3, 4, 5, 6]
    assert torch.equal(coder.layers[1][0], seen[1][1][0])
    assert not torch.equal(seen[1][1][0], seen[5][1][0])


def test_only_so_many_vectors_are_learnt_from(monkeypatch):
    vectors, _ = crowds(500)
    counts = []
    real = module._fit
    monkeypatch.setattr(module, "_fit", lambda chosen, *rest: counts.append(len(chosen)) or real(chosen, *rest))
    fit(vectors, dataclasses.replace(QUICK, most=24 * 100, epochs=1))
    assert counts == [100]


def test_projections_are_the_floor():
    vectors, _ = crowds()
    coder = projections(vectors, 64)
    packed = coder.encode(vectors)
    assert packed.shape == (200, 8)
    assert packed.tobytes() == projections(vectors, 64).encode(vectors).tobytes()
    assert packed.tobytes() != projections(vectors, 64, seed=1).encode(vectors).tobytes()
    share = np.mean(bits_of(packed))
    assert 0.4 < share < 0.6  # centred, though the vectors lie about 50


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"bits": 12}, "12 bits"),
        ({"bits": 0}, "0 bits"),
        ({"epochs": 0}, "above 0"),
        ({"batch": 1}, "above 1"),
        ({"noise": -1.0}, "noise 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(change, match):
    with pytest.raises(InputError, match=match):
        Settings(**change)


def test_vectors_that_have_no_codes_are_refused():
    vectors, _ = crowds(30)
    with pytest.raises(InputError, match="at least 20"):
        fit(vectors[:10], QUICK)
    with pytest.raises(InputError, match="all the same"):
        fit(np.ones((30, 4), np.float32), QUICK)
    with pytest.raises(InputError, match="not finite"):
        fit(np.where(vectors > 55, np.nan, vectors), QUICK)
    coder = projections(vectors, 8)
    with pytest.raises(InputError, match=r"\[30, 3\] for codes of vectors of length 24"):
        coder.encode(vectors[:, :3])
    with pytest.raises(InputError, match="not finite"):
        coder.encode(np.full((2, 24), np.inf))


@pytest.fixture
def features(tmp_path):
    """A folder of features as `embed` writes it, of vectors that are drawn."""
    vectors, group = crowds()
    folder = tmp_path / "features"
    folder.mkdir()
    np.save(folder / "relu7.npy", vectors)
    rows = "".join(f"{i},{g}/{i}.png,{g}\n" for i, g in enumerate(group))
    (folder / "images.csv").write_text(f"row,path,label\n{rows}")
    described = {"format": 1, "type": "float32", "images": 200, "stages": [{"name": "relu7", "shape": [24]}]}
    (folder / "features.json").write_text(json.dumps(described))
    return folder


def test_a_folder_of_codes_is_read_as_it_was_written_and_needs_no_features(features, tmp_path):
    made = codes(features, tmp_path / "codes", QUICK)
    vectors = np.load(features / "relu7.npy")
    (features / "relu7.npy").unlink()
    found = Codes.open(tmp_path / "codes")
    assert found.packed.tobytes() == fit(vectors, QUICK)[0].encode(vectors).tobytes() == made.packed.tobytes()
    assert found.coder.encode(vectors[:7]).tobytes() == found.packed[:7].tobytes()
    assert (found.stage, len(found), found.paths[3], found.described["images"]) == ("relu7", 200, made.paths[3], 200)
    assert found.paths[3] == f"{found.labels[3]}/3.png"
    assert len(found.fitted["epochs"]) == 6


def test_it_is_told_where_nothing_was_learnt(features, tmp_path):
    longer = dataclasses.replace(QUICK, epochs=60, rate=1e-2)
    assert poor(codes(features, tmp_path / "codes", longer)) is None
    np.save(features / "relu7.npy", np.random.default_rng(0).normal(size=(200, 24)).astype(np.float32))
    made = codes(features, tmp_path / "noise", QUICK)
    error = min(each["validation"] for each in made.fitted["epochs"])
    assert error > 1
    assert poor(made).startswith(f"the held-out error is {error:.2f}, and 1 is that of the mean alone: from 200 vec")


def test_the_same_codes_are_not_fitted_again_and_others_not_over_them(features, tmp_path, monkeypatch):
    codes(features, tmp_path / "codes", QUICK)
    monkeypatch.setattr("alexnet.features.codes.fit", lambda *_: pytest.fail("fitted again"))
    codes(features, tmp_path / "codes", QUICK)
    with pytest.raises(InputError, match="fitted otherwise"):
        codes(features, tmp_path / "codes", dataclasses.replace(QUICK, seed=1))


def test_what_a_kill_left_is_written_over_and_strangers_files_are_not(features, tmp_path):
    codes(features, tmp_path / "codes", QUICK)
    (tmp_path / "codes" / "codes.json").unlink()
    codes(features, tmp_path / "codes", QUICK)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("dear")
    with pytest.raises(InputError, match="holds no codes"):
        codes(features, tmp_path / "other", QUICK)
    with pytest.raises(InputError, match="holds no codes"):
        codes(features, tmp_path / "other" / "thesis.txt", QUICK)
    assert (tmp_path / "other" / "thesis.txt").read_text() == "dear"


def test_a_damaged_description_is_told_of(features, tmp_path):
    codes(features, tmp_path / "codes", QUICK)
    file = tmp_path / "codes" / "codes.json"
    whole = json.loads(file.read_text())
    for name in ("stage", "features", "fitted"):
        file.write_text(json.dumps({key: value for key, value in whole.items() if key != name}))
        with pytest.raises(InputError, match=f"codes.json is damaged: it lacks {name}; fit the codes anew"):
            Codes.open(tmp_path / "codes")
    for name, value in (("stage", 7), ("features", None), ("fitted", []), ("fitted", {"epochs": []})):
        file.write_text(json.dumps({**whole, name: value}))
        with pytest.raises(InputError, match=f"codes.json is damaged: {name} is"):
            Codes.open(tmp_path / "codes")


@pytest.mark.parametrize("name", ["codes.npy", "coder.safetensors", "images.csv"])
def test_damaged_codes_are_told_of(features, tmp_path, name):
    codes(features, tmp_path / "codes", QUICK)
    file = tmp_path / "codes" / name
    file.write_bytes(file.read_bytes()[: len(file.read_bytes()) // 2])
    with pytest.raises(InputError, match="damaged"):
        Codes.open(tmp_path / "codes")
    file.unlink()
    with pytest.raises(InputError, match="damaged"):
        Codes.open(tmp_path / "codes")
    with pytest.raises(InputError, match="is no folder of codes"):
        Codes.open(tmp_path)
    np.save(tmp_path / "codes" / "codes.npy", np.array([{}]), allow_pickle=True)
    (tmp_path / "codes" / "codes.json").write_text('{"format": 2}')
    with pytest.raises(InputError, match="another format"):
        Codes.open(tmp_path / "codes")
