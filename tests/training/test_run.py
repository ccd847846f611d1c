"""A run's folder: what it says when another run is asked of it."""

import pytest

from alexnet import recipes
from alexnet.errors import InputError
from alexnet.training.run import Run

DATA = {"path": "set", "fingerprint": "0" * 64, "classes": ["a"], "counts": {"train": 1}, "start": None}


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
