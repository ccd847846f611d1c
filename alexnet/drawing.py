"""The look that all figures share. Figures are made without pyplot: no screen, no global state, any thread."""

import io
import textwrap
import warnings
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from alexnet import files
from alexnet.errors import InputError

INK, MUTED, GRID = "#1f2430", "#6b7280", "#e3e6eb"
BLUE, ORANGE = "#2563a8", "#d97706"
_RESOLUTION = 160  # dots an inch: a figure 7 inches wide is sharp on a phone's screen and in a printed column
_PER_INCH = 20  # letters of the smallest size
_KINDS = (".png", ".svg", ".pdf")


def figure(width: float, height: float) -> Figure:
    """An empty white figure of `width` by `height` inches."""
    return Figure(figsize=(width, height), facecolor="white", layout="constrained")


def plain(axes: Axes) -> Axes:
    """`axes` with a left and a bottom line, a faint horizontal grid and small grey labels."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=8, length=3)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    return axes


def bare(axes: Axes) -> Axes:
    """`axes` without ticks or lines, for a picture."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def title(axes: Axes, text: str) -> None:
    """Nothing; `text` stands above `axes`, on the left."""
    axes.set_title(text, loc="left", fontsize=10, color=INK, fontweight="bold", parse_math=False)


def heading(drawing: Figure, text: str, source: str = "") -> Figure:
    """`drawing` with `text` as its title, top left, and small and grey at its foot where its numbers come from."""
    width = float(drawing.get_size_inches()[0])
    larger = max(1.0, width / 9)  # as a wide figure is printed smaller
    if text:
        literal(drawing.suptitle(text, x=0.01, ha="left", fontsize=11 * larger, fontweight="bold", color=INK))
    if source:
        letters = int(width / larger * _PER_INCH)
        lines = "\n".join(textwrap.wrap(cut(source, 4 * letters), letters, break_on_hyphens=False))
        literal(drawing.supxlabel(lines, x=0.01, ha="left", fontsize=6.5 * larger, color=MUTED))
    return drawing


def words(text: str, length: int) -> str:
    """A class's words for a label: the first synonym, cut to `length` characters."""
    return cut(text.split(",")[0].strip(), length)


def cut(text: str, length: int) -> str:
    """`text` cut to `length` characters; bytes of a file's name that are no text become question marks."""
    first = text.encode("utf-8", "replace").decode()
    return first if len(first) <= length else first[: length - 1].rstrip() + "…"


def literal(text: Text) -> Text:
    """`text` with dollar signs as they are: names of classes and files are not formulas."""
    text.set_parse_math(False)
    return text


def require_kind(path: Path) -> None:
    """Nothing when a figure can be saved as `path`.

    Raises:
        InputError: its ending is not one of those that `save` knows.
    """
    if path.suffix.lower() not in _KINDS:
        raise InputError(f"{path} ends in {path.suffix or 'nothing'}; a figure's file ends in {', '.join(_KINDS)}.")


def rendered(drawing: Figure, kind: str = "png") -> bytes:
    """The bytes of `drawing` as "png", "svg" or "pdf"."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A class named in a script that the font lacks is drawn as boxes; that is no reason to disturb a run.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        drawing.savefig(buffer, format=kind, dpi=_RESOLUTION)
    return buffer.getvalue()


def save(drawing: Figure, path: Path) -> None:
    """Nothing; `drawing` is in the file `path`, whose ending (.png, .svg or .pdf) says how."""
    files.write_bytes(path, rendered(drawing, path.suffix.lstrip(".").lower()))
