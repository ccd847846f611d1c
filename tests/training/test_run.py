"""A run's folder: what it says when another run is asked of it."""

from dataclasses import replace

import pytest

from alexnet import recipes
from alexnet.errors import InputError
from alexnet.training.run import Run

DATA = {"path": "set", "fingerprint": "0" * 64, "classes": ["a"], "counts": {"train": 1}, "start": None}


def test_lists_are_counted_or_named_and_not_shown(tmp_path):
    smoke = recipes.named("smoke")
    run = Run.create(tmp_path / "run", smoke, DATA, {})
    with pytest.raises(InputError, match=r"\(schedule\.epochs: 3 -> 60; and 1 more\)"):
        run.require_same(recipes.shorter(smoke, 60), DATA)
    never = replace(smoke, schedule=replace(smoke.schedule, milestones=()))
    with pytest.raises(InputError, match=r"ask for \(schedule\.milestones\)\. Give"):
        run.require_same(never, DATA)


def test_of_many_differences_three_are_shown(tmp_path):
    run = Run.create(tmp_path / "run", recipes.named("code-2012"), DATA, {})
    run.require_same(recipes.named("code-2012"), {**DATA, "path": "moved"})
    other = {**DATA, "fingerprint": "1" * 64}
    with pytest.raises(InputError, match=r"holds another run .*`alexnet finetune` goes on") as error:
        run.require_same(recipes.named("smoke"), other)
    told = str(error.value)
    assert "(data.fingerprint: '0000" in told
    assert "...; name: 'code-2012' -> 'smoke'; " in told
    assert told.count(" -> ") == 3
    count = 1 + len(recipes.difference(recipes.named("code-2012"), recipes.named("smoke"))) + 1
    assert f"; and {count - 3} more)" in told
    assert len(told) < 500
