"""Lays out the photographs of the package elpv-dataset as an image folder, for `alexnet prepare`.

2,624 electroluminescence photographs of solar cells, 300x300, grey (Deitsch et al., Solar Energy 185, 2019;
Buerhop-Lutz et al., 2018), under CC BY-NC-SA 4.0: not for commercial use. `pip install elpv-dataset` brings them.

    python examples/solar_cells.py OUT

makes OUT/train/{functional,defective} and OUT/test/{functional,defective}. A cell whose defect probability, as
experts judged it, is at least 0.5 is defective. The test split is a quarter, the same for everyone: stratified over
probability and kind of cell (mono- or polycrystalline), and decided by a hash of the file's name.
"""

import argparse
import hashlib
import importlib.util
import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

TEST_SHARE = 0.25
PUBLISHED = """\
Published on these photographs (Deitsch et al., 2019), top-1 error: 0.176 for an SVM on hand-made features, 0.116 for
a VGG-19 trained on ImageNet and fine-tuned. Always answering "functional" errs on 0.3125 of the test quarter."""


class Cell(NamedTuple):
    """One line of the package's labels.csv."""

    path: Path
    probability: float
    kind: str

    @property
    def label(self) -> str:
        """The class's name, the folder's too."""
        return "defective" if self.probability >= 0.5 else "functional"


def cells() -> list[Cell]:
    """The photographs of the installed package, by name."""
    found = importlib.util.find_spec("elpv_dataset")
    if found is None or found.origin is None:
        sys.exit("The photographs are missing: pip install elpv-dataset (or: pip install -e '.[demo]').")
    data = Path(found.origin).parent / "data"
    lines = (data / "labels.csv").read_text(encoding="utf-8").splitlines()
    fields = [line.split() for line in lines if line.strip()]
    return sorted(Cell(data / name, float(probability), kind) for name, probability, kind in fields)


def test_quarter(every: list[Cell]) -> set[Cell]:
    """The cells of the test split: a quarter of each stratum, and of all (largest remainders get one more)."""
    strata: dict[tuple[float, str], list[Cell]] = defaultdict(list)
    for cell in every:
        strata[cell.probability, cell.kind].append(cell)
    counts = {key: int(len(strata[key]) * TEST_SHARE) for key in sorted(strata)}
    missing = round(len(every) * TEST_SHARE) - sum(counts.values())
    by_remainder = sorted(counts, key=lambda key: counts[key] - len(strata[key]) * TEST_SHARE)
    for key in by_remainder[:missing]:
        counts[key] += 1
    return {cell for key, count in counts.items() for cell in sorted(strata[key], key=_drawn)[:count]}


def _drawn(cell: Cell) -> str:
    # A hash, not a generator: the same on every version of Python, and a cell's place depends on its name alone.
    return hashlib.sha256(f"2012 {cell.path.name}".encode()).hexdigest()


def lay_out(out: Path) -> None:
    """Nothing; `out` is the image folder, copied byte for byte, and appears by one rename."""
    every = cells()
    test = test_quarter(every)
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        aside.chmod(0o755)
        for cell in every:
            folder = aside / ("test" if cell in test else "train") / cell.label
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(cell.path, folder / cell.path.name)
        aside.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    print(f"{out}: {len(every) - len(test)} photographs to train with, {len(test)} to test, CC BY-NC-SA 4.0")


def main() -> None:
    """Reads the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", help="the folder to make")
    parser.add_argument("--published", action="store_true", help="print the published errors instead")
    arguments = parser.parse_args()
    if arguments.published:
        print(PUBLISHED)
    elif arguments.out is None:
        parser.error("OUT is missing: the folder to make")
    elif arguments.out.exists():
        print(f"{arguments.out} is there already.")
    else:
        lay_out(arguments.out)


if __name__ == "__main__":
    main()
