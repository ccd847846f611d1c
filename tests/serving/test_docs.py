"""docs/serving.md: its commands run as they are printed, in order; its tables tell of every address and limit."""

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from alexnet import cli
from alexnet.evaluation.classifier import Classifier
from alexnet.serving.limits import Limits
from alexnet.serving.telling import REASONS

ROOT = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:8000"
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
PYTHON = re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_commands_run_in_order(start, draw, make_classifier, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "first").mkdir(parents=True)
    make_classifier().save(tmp_path / "runs" / "first" / "weights.safetensors")
    (tmp_path / "photographs").mkdir()
    for number, name in enumerate(("one.jpg", "two.jpg", "photographs/1.jpg", "photographs/2.jpg")):
        Path(name).write_bytes(draw(number, (60, 80), "JPEG"))
    servers, answers = [], []
    for command in COMMANDS:
        if command.startswith("pip install"):
            continue
        if command.startswith("alexnet serve"):
            words = [str(Path(word).resolve()) if Path(word).exists() else word for word in shlex.split(command)[2:]]
            servers.append(start(*words))
        elif command.startswith("curl"):
            asked = shlex.split(command.replace(ADDRESS, servers[-1].address))
            found = subprocess.run([*asked, "-sS", "--fail"], capture_output=True, text=True, timeout=60)
            assert found.returncode == 0, found.stderr
            answers.append(found.stdout)
        else:
            assert cli.main(shlex.split(command)[1:]) == 0, capsys.readouterr().err
    best = Classifier.load("cifar10", "cpu").predict(["one.jpg"])[0][0][0]
    assert all(f'"label":"{best}"' in answer for answer in answers[:2])
    assert len(answers) == 4
    client = [sys.executable, "-c", PYTHON.replace(ADDRESS, servers[0].address)]
    told = subprocess.run(client, capture_output=True, text=True, timeout=60, check=True).stdout
    assert told.startswith(f"[{{'label': '{best}', 'probability': ")


def test_every_address_and_every_limit_is_told_of(client):
    for path in client.get("/openapi.json").json()["paths"]:
        assert f"`{path}" in PAGE or f"POST {path}" in PAGE or f"GET {path}" in PAGE or f", `{path}`" in PAGE, path
    usual = Limits()
    for field in fields(Limits):
        line = next(line for line in PAGE.splitlines() if f"`--limits.{field.name}" in line)
        assert str(getattr(usual, field.name)) in line


def test_every_reason_of_a_refusal_is_told_of():
    told = " ".join(PAGE.partition("refusals by reason: ")[2].partition(".")[0].split())
    assert told.split(", ") == list(REASONS)


def test_the_container_is_not_root_and_copies_what_it_needs():
    recipe = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^USER 10001$", recipe, re.MULTILINE)
    assert recipe.index("USER 10001") < recipe.index("ENTRYPOINT")
    kept = (ROOT / ".dockerignore").read_text().split()
    for line in re.findall(r"^COPY (.*)$", recipe, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists()
            assert f"!{name}" in kept
