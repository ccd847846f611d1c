"""Where a run computed: whose commit the code is of."""

import shutil
import subprocess
from pathlib import Path

import pytest

import alexnet
from alexnet.training import environment


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository that holds the package, which is imported from there."""
    package = tmp_path / "alexnet"
    package.mkdir()
    shutil.copy(alexnet.__file__, package)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "alexnet")
    git(tmp_path, "commit", "-q", "-m", "all")
    monkeypatch.setattr(environment, "__file__", str(package / "training" / "environment.py"))
    return tmp_path


def test_a_checkout_tells_its_commit_and_whether_files_differ_from_it(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert environment.commit() == head
    (checkout / "alexnet" / "__init__.py").write_text("")
    assert environment.commit() == head + "+changes"


def test_a_copy_below_another_repository_does_not_tell_its_commit(checkout: Path, monkeypatch) -> None:
    """A virtual environment in the user's own project, say."""
    installed = shutil.copytree(checkout / "alexnet", checkout / ".venv" / "alexnet")
    monkeypatch.setattr(environment, "__file__", str(installed / "training" / "environment.py"))
    assert environment.commit().startswith("version ")


@pytest.mark.parametrize("error", [FileNotFoundError(), subprocess.TimeoutExpired("git", 10)], ids=["none", "slow"])
def test_without_git_or_with_a_slow_one_the_version_is_told(checkout: Path, monkeypatch, error) -> None:
    def run(*_, **__):
        raise error

    monkeypatch.setattr(subprocess, "run", run)
    assert environment.commit().startswith("version ")
