"""Checkpoints: exact, atomic, and the one before is used when the newest is damaged."""

import pytest
import torch

from alexnet.errors import InputError
from alexnet.training import checkpoint
from alexnet.training.checkpoint import Position


def save(folder, step):
    weights = {"conv1.weight": torch.full((2, 3), float(step))}
    velocities = {"conv1.weight": torch.full((2, 3), -float(step))}
    checkpoint.save(
        folder, Position(epoch=1, batch=step, step=step, errors=(0.5, 0.25)), weights, velocities, 10 * step
    )


def test_round_trip_is_exact(tmp_path):
    save(tmp_path, 3)
    position, weights, velocities, journal = checkpoint.newest(tmp_path)
    assert position == Position(epoch=1, batch=3, step=3, errors=(0.5, 0.25))
    assert torch.equal(weights["conv1.weight"], torch.full((2, 3), 3.0))
    assert torch.equal(velocities["conv1.weight"], torch.full((2, 3), -3.0))
    assert journal == 30


def test_two_are_kept_and_nothing_half_written_stays(tmp_path):
    for step in (1, 2, 10):
        save(tmp_path, step)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == [f"step-{step:09d}.{end}" for step in (2, 10) for end in ("json", "safetensors")]


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove", "json"])
def test_a_damaged_newest_is_noticed_and_the_one_before_used(tmp_path, damage, capsys):
    save(tmp_path, 1)
    save(tmp_path, 2)
    file = tmp_path / "step-000000002.safetensors"
    data = file.read_bytes()
    if damage == "flip":
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "truncate":
        file.write_bytes(data[:-5])
    elif damage == "remove":
        file.unlink()
    else:
        file.with_suffix(".json").write_text('{"position":')
    position, *_ = checkpoint.newest(tmp_path)
    assert position.step == 1
    assert "step-000000002.safetensors is damaged" in capsys.readouterr().err


def test_none_without_checkpoints_and_an_error_when_all_are_damaged(tmp_path):
    assert checkpoint.newest(tmp_path) is None
    save(tmp_path, 1)
    (tmp_path / "step-000000001.safetensors").write_bytes(b"")
    with pytest.raises(InputError, match="every checkpoint"):
        checkpoint.newest(tmp_path)


def test_tensors_without_their_json_do_not_exist(tmp_path):
    save(tmp_path, 1)
    save(tmp_path, 2)
    (tmp_path / "step-000000002.json").unlink()
    assert checkpoint.newest(tmp_path)[0].step == 1
