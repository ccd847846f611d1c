"""The dispatch: exit codes, what goes to which stream, and help."""

import json
import os
import subprocess
import sys

import pytest
from PIL import Image

import alexnet
from alexnet import cli
from alexnet.cli import terminal
from alexnet.errors import InputError


def run(*arguments, **options):
    command = [sys.executable, "-m", "alexnet", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture
def report(monkeypatch):
    """Replaces `alexnet.report` by a function that ends as the test says."""

    def replace(error):
        def fake(run):
            raise error

        monkeypatch.setattr(alexnet, "report", fake, raising=False)

    return replace


def test_the_overview_names_every_command(capsys):
    assert cli.main(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(f"\n  {name}" in told for name in cli.COMMANDS)


def test_without_a_command_the_usage_is_wrong(capsys):
    assert cli.main([]) == 2
    assert "usage: alexnet COMMAND" in capsys.readouterr().out


def test_version(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"alexnet {alexnet.__version__}\n"


def test_an_unknown_command_suggests_the_nearest(capsys):
    assert cli.main(["evalute"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "did you mean 'evaluate'?" in err


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_each_commands_help_teaches_by_an_example(name, capsys):
    assert cli.main([name, "--help"]) == 0
    told = capsys.readouterr().out
    assert "Example" in told
    assert f"`alexnet {name}" in told


def test_bad_input_is_one_sentence_and_1(report, capsys):
    report(InputError("the run has no recipe.json."))
    assert cli.main(["report", "run"]) == 1
    assert capsys.readouterr() == ("", "alexnet: the run has no recipe.json.\n")


def test_any_other_failure_is_one_line_too(report, capsys):
    report(RuntimeError("out of memory\nand much more"))
    assert cli.main(["report", "run"]) == 1
    assert capsys.readouterr().err == "alexnet: RuntimeError: out of memory (--traceback shows where)\n"


def test_traceback_shows_where_wherever_it_stands(report):
    report(RuntimeError("out of memory"))
    for arguments in (["report", "run", "--traceback"], ["--traceback", "report", "run"]):
        with pytest.raises(RuntimeError):
            cli.main(arguments)


def test_ctrl_c_is_130(report, capsys):
    report(KeyboardInterrupt())
    assert cli.main(["report", "run"]) == 130
    assert capsys.readouterr().err == "alexnet: stopped\n"


def test_wrong_usage_is_2(capsys):
    assert cli.main(["report"]) == 2
    assert cli.main(["report", "run", "--tracebak"]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--epochs", "ten"], "--epochs: 'ten' is not a whole number."),
        (["--epochs", "1.5"], "--epochs: '1.5' is not a whole number."),
        (["--rate", "fast"], "--rate: 'fast' is not a number."),
        (["--rate", "None"], "--rate: 'None' is not a number."),
    ],
)
def test_what_is_no_number_is_told_in_a_sentence(words, sentence, capsys):
    def command(*, epochs: int | None = 3, rate: float = 1) -> int:
        print(json.dumps([epochs, rate]))
        return 0

    with pytest.raises(SystemExit, match="2"):
        terminal.parse(command, words, "train")
    told = capsys.readouterr().err
    assert sentence in told
    assert "errors" not in told
    assert "invalid literal" not in told
    assert terminal.parse(command, ["--epochs", "None", "--rate", "1e-3"], "train") == 0
    assert json.loads(capsys.readouterr().out) == [None, 0.001]


def test_only_rank_0_speaks_but_each_tells_its_errors(report, monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    assert cli.main(["--help"]) == 0
    report(InputError("no set."))
    assert cli.main(["report", "run"]) == 1
    terminal.note("once for all")
    assert capsys.readouterr() == ("", "alexnet (rank 1): no set.\n")


def test_json_has_no_nan(capsys):
    terminal.print_json({"loss": float("nan"), "errors": [1.0, float("inf")], "name": "é"})
    assert capsys.readouterr().out == '{"loss": null, "errors": [1.0, null], "name": "é"}\n'


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are text there")
def test_names_that_are_no_text_are_printed(tmp_path):
    name = os.fsdecode(b"caf\xe9.png")
    Image.new("RGB", (40, 40), "green").save(tmp_path / name)
    command = [sys.executable, "-m", "alexnet", "predict", "cifar10", str(tmp_path / name), "nowhere.png"]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8:strict", "PYTHONUTF8": "0"}
    plain = subprocess.run(command, capture_output=True, env=environment)
    assert (plain.returncode, plain.stderr) == (1, b"nowhere.png: cannot be read: No such file or directory\n")
    assert b"caf\xe9.png" in plain.stdout
    told = subprocess.run([*command, "--json"], capture_output=True, env=environment)
    assert (told.returncode, told.stderr) == (1, b"")
    first, second = [json.loads(line) for line in told.stdout.decode("utf-8").splitlines()]
    assert first["image"] == str(tmp_path / name)
    assert second["image"] == "nowhere.png"


def test_a_reader_that_leaves_is_no_error():
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "alexnet", "--help"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 141


def test_as_a_module_the_exit_code_reaches_the_shell():
    assert run("--version").returncode == 0
    done = run("verify", "nowhere")
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
