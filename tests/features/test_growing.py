"""Growing features: one process at a time."""

import errno
import fcntl

import pytest

from alexnet import locks
from alexnet.errors import InputError
from alexnet.features import growing

OTHER = "is being embedded by another process; wait for it"


def test_a_folder_is_one_processs_at_a_time(tmp_path):
    folder = tmp_path / "some" / "features.partial"
    with growing.alone(folder):
        with pytest.raises(InputError, match=OTHER), growing.alone(folder):
            pass
        with pytest.raises(InputError, match=OTHER), growing.alone(folder):
            pass
        with growing.alone(tmp_path / "other.partial"):
            pass
    assert not folder.exists()
    with growing.alone(folder):
        (folder / "plan.json").touch()
    assert [path.name for path in folder.iterdir()] == ["plan.json"]
    with pytest.raises(KeyboardInterrupt), growing.alone(folder):
        raise KeyboardInterrupt
    with growing.alone(folder):
        folder.rename(tmp_path / "features")
    assert not folder.exists()


def test_the_lock_of_one_who_has_ended_is_worth_nothing(tmp_path, monkeypatch):
    flock, folder, calls = fcntl.flock, tmp_path / "features.partial", []

    def after_the_others_end(file, how):
        calls.append(how)
        if len(calls) == 1:
            (folder / growing.LOCK).unlink()
        flock(file, how)

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", after_the_others_end)
        with growing.alone(folder):
            assert len(calls) == 2, "what was locked was gone, so it was asked for anew"
            assert (folder / growing.LOCK).exists()
    with growing.alone(folder):
        (folder / growing.LOCK).unlink()
        (folder / growing.LOCK).touch()  # another's, who came after this one's was taken away
    assert (folder / growing.LOCK).exists()


def test_where_there_are_no_locks_nobody_is_kept_out(tmp_path, monkeypatch):
    def unknown(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    with monkeypatch.context() as patched:
        patched.setattr(fcntl, "flock", unknown)
        with growing.alone(tmp_path / "nfs"):
            assert (tmp_path / "nfs").is_dir()
    monkeypatch.setattr(locks, "_LOCKS", False)
    with growing.alone(tmp_path / "windows"), growing.alone(tmp_path / "windows"):
        assert list((tmp_path / "windows").iterdir()) == []
