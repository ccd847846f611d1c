"""The command line: each command is parsed, handed to the public function of the same name, and its result printed.

Exit codes: 0 done; 1 it failed, with one sentence on standard error; 2 wrong usage; 130 and 143 stopped by Ctrl-C
and SIGTERM, training saved. With `--json` standard output holds JSON alone.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import alexnet
from alexnet.cli import terminal
from alexnet.config import nearest
from alexnet.errors import InputError

# command: (the file that holds it, what it is for). The files are imported when needed: most need torch, seconds.
COMMANDS = {
    "prepare": ("data", "pack photographs (folders, ILSVRC archives, CIFAR-10) into a prepared set"),
    "verify": ("data", "compare a prepared set with its checksums"),
    "recipes": ("training", "list the named recipes, show one in full, or what differs between two"),
    "train": ("training", "train a recipe on a prepared set"),
    "resume": ("training", "go on with a run, exactly where it stopped"),
    "finetune": ("training", "go on from a trained classifier, on the same or other classes"),
    "evaluate": ("evaluation", "measure the errors of one run, or of several as an ensemble"),
    "calibrate": ("evaluation", "make probabilities mean what they say, and measure what abstaining gains"),
    "predict": ("evaluation", "name what photographs show"),
    "show": ("analysis", "draw a figure: kernels, curves, predictions, stages, confusion, units, saliency"),
    "summary": ("analysis", "tell what each row of a network is, and draw it as figure 2"),
    "embed": ("features", "write the responses of any stages to pictures, for other programs"),
    "similarity": ("search", "compare stages, seeds, recipes and measured responses"),
    "neighbours": ("search", "find the images nearest to others, by vectors or by codes"),
    "codes": ("search", "make short binary codes of vectors, and compare ways to search"),
    "export": ("interchange", "write a classifier for other programs: ONNX, Caffe, torchvision"),
    "import": ("interchange", "make a classifier of weights from elsewhere"),
    "serve": ("serving", "answer over HTTP, with a page for people"),
    "report": ("analysis", "draw a run's figures and report.html anew, also while it trains"),
    "baseline": ("baselines", "fit and measure the rivals in the paper's tables"),
    "sweep": ("sweep", "train a recipe at several settings, or search for the best"),
    "reproduce": ("claims", "re-run a claim of the paper, our number beside the paper's"),
    "doctor": ("machine", "say what this machine has, and what is missing for what"),
}

# Words that Python keeps for itself.
FUNCTIONS = {"import": "import_weights"}


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of the command that `arguments` (the process's own, when not given) ask for."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    traceback = "--traceback" in words
    words = [word for word in words if word != "--traceback"]
    with terminal.rank_0_speaks():
        terminal.take_any_name()
        try:
            code = _dispatch(words)
            sys.stdout.flush()
            return code
        except SystemExit as exit:
            return exit.code if isinstance(exit.code, int) else 1
        except BrokenPipeError:
            # The reader has gone (`alexnet recipes | head -1`); what Python flushes on leaving must go nowhere.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except KeyboardInterrupt:
            return terminal.fail("stopped", 130)
        except Exception as error:
            if traceback:
                raise
            return terminal.fail(_sentence(error), 1)


def _dispatch(words: list[str]) -> int:
    name, rest = (words[0], words[1:]) if words else ("--help", [])
    if name in ("-h", "--help"):
        print(_overview())
        return 0 if words else 2
    if name == "--version":
        print(f"alexnet {alexnet.__version__}")
        return 0
    if name not in COMMANDS:
        return terminal.fail(f"there is no command {name!r}{nearest(name, COMMANDS)}; `alexnet --help` lists them.", 2)
    chapter = importlib.import_module(f"alexnet.cli.{COMMANDS[name][0]}")
    command: Callable[[list[str]], int] = getattr(chapter, FUNCTIONS.get(name, name))
    return command(rest)


def _overview() -> str:
    lines = [f"  {name:<11}{phrase}" for name, (_, phrase) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: alexnet COMMAND [arguments] [--traceback]",
            "",
            "The network of Krizhevsky, Sutskever and Hinton (2012): from a folder of photographs to an answer.",
            "",
            *lines,
            "",
            "`alexnet COMMAND --help` explains a command. A first way through:",
            "  alexnet prepare photographs/ prepared/ --holdout 0.1 --test 0.1",
            "  alexnet train smoke --data prepared/ --run runs/first      (smoke: a small recipe, for trying things)",
            "  alexnet evaluate runs/first --data prepared/ --split test",
            "  alexnet predict runs/first picture.jpg",
        ]
    )


def _sentence(error: Exception) -> str:
    """What went wrong, in a line; where is for --traceback."""
    if isinstance(error, InputError):
        return str(error)
    first: Any = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first} (--traceback shows where)"
