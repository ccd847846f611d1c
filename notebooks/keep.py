"""Runs lessons from top to bottom and keeps their outputs in the files, small: `python notebooks/keep.py [LESSON ...]`.

Pictures are kept in 128 colours, what a cell prints as one text, and folders as they are seen from this one.
"""

import base64
import io
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).resolve().parent


def small(picture: str) -> str:
    """A PNG, base64 as notebooks have it, in 128 colours."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    file = io.BytesIO()
    image.quantize(128, dither=Image.Dither.NONE).save(file, "png", optimize=True)
    return base64.b64encode(file.getvalue()).decode()


def joined(outputs: list[Any]) -> list[Any]:
    """The outputs with what was printed in one piece, and pictures small."""
    found: list[Any] = []
    for output in outputs:
        if output.output_type == "stream":
            output.text = output.text.replace(f"{HERE}/", "").replace(f"{HERE.parent}/", "")
            if found and found[-1].output_type == "stream" and found[-1].name == output.name:
                found[-1].text += output.text
                continue
        elif "image/png" in output.data:
            output.data["image/png"] = small(output.data["image/png"])
        found.append(output)
    return found


def keep(path: Path) -> None:
    """Nothing; the lesson at `path` holds the outputs of a new run."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=3600, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = joined(cell.outputs)
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)
    print(f"{path.name}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    for lesson in [Path(name) for name in sys.argv[1:]] or sorted(HERE.glob("*.ipynb")):
        keep(lesson)
