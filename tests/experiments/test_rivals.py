"""Rivals: what keeps one from being fitted is told in its row, and takes nothing else away."""

import pytest

from alexnet.baselines import fit
from alexnet.errors import InputError
from alexnet.experiments import pictures, rivals
from alexnet.experiments.bench import Bench, Budget


@pytest.mark.parametrize("where", ["baseline", "require_packages"])
def test_why_a_rival_could_not_be_fitted_is_what_is_found(tmp_path, monkeypatch, where):
    def refused(*_, **__):
        raise InputError("the vectors need 9 GB, where 1 GB are free.")

    monkeypatch.setattr(fit, "require_packages", lambda: None)
    monkeypatch.setattr(fit, where, refused)
    prepared = pictures.photographs(tmp_path / "set", train=10, val=10)
    bench = Bench(prepared.path, tmp_path / "runs", Budget("smoke", seeds=1))
    assert rivals.measured(bench, "fisher-vectors") == "the vectors need 9 GB, where 1 GB are free."
    assert not list(tmp_path.rglob("kept/*.safetensors"))
