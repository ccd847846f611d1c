"""An editable install is found from everywhere, the folder that holds the clone included."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_script_beside_the_clone_finds_the_package(tmp_path):
    setuptools = pytest.importorskip("setuptools")
    if int(setuptools.__version__.split(".")[0]) < 77:
        pytest.skip("pyproject.toml asks for setuptools 77")
    clone, site = tmp_path / "alexnet", tmp_path / "site"
    (clone / "alexnet").mkdir(parents=True)
    site.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "alexnet/__init__.py"):
        (clone / name).write_bytes((ROOT / name).read_bytes())
    build = f"from setuptools.build_meta import build_editable; build_editable({str(site)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=clone, check=True, capture_output=True)
    (wheel,) = site.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    (tmp_path / "script.py").write_text("from alexnet import __version__, __file__ as file; print(file)")
    # -I and -S keep this environment's own alexnet away; what Python does with a script's folder is done by hand.
    program = "import site, sys; sys.path.insert(0, sys.argv[1]); site.addsitedir(sys.argv[2]); import runpy; "
    program += "runpy.run_path(sys.argv[1] + '/script.py')"
    words = [sys.executable, "-I", "-S", "-c", program, str(tmp_path), str(site)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert re.sub(r"\s", "", done.stdout) == str(clone / "alexnet" / "__init__.py"), done.stderr
