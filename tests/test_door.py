"""The door: every promised name, imported only when it is used."""

import subprocess
import sys

import pytest

import alexnet
from alexnet.cli import COMMANDS, FUNCTIONS


@pytest.mark.parametrize("name", alexnet.__all__)
def test_each_name_leads_somewhere(name):
    assert getattr(alexnet, name) is not None
    assert name in dir(alexnet)


def test_each_command_is_a_public_function():
    assert all(callable(getattr(alexnet, FUNCTIONS.get(name, name))) for name in COMMANDS if name != "recipes")
    assert "demo" in alexnet.recipes.names()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        alexnet.trian  # noqa: B018


def test_neither_the_door_nor_the_overview_imports_torch():
    program = "import sys, alexnet, alexnet.cli; alexnet.cli.main(['--help']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)
