"""A page in one file: no script, no other host, light or dark as the reader's device is, readable on a phone."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2430; --muted: #667085; --line: #e3e6eb; --page: #fff; --card: #f6f7f9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ec; --muted: #98a1b0; --line: #333a46; --page: #14171c; --card: #1d2128; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 62rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .7rem; }
p.under { color: var(--muted); margin: .2rem 0 1.2rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem; }
.tile { background: var(--card); border-radius: .6rem; padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.45rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile span { color: var(--muted); font-size: .85rem; }
figure { margin: 0 0 1.6rem; } figure img { width: 100%; background: #fff; border-radius: .6rem; padding: .6rem; }
figure.narrow img { max-width: 38rem; }
figcaption, .note { color: var(--muted); font-size: .9rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
table.numbers th, table.numbers td { text-align: right; white-space: nowrap; } th { font-weight: 600; }
pre, code { font: .85rem/1.45 ui-monospace, monospace; }
pre { overflow-x: auto; background: var(--card); padding: .8rem; border-radius: .6rem; }
code { overflow-wrap: anywhere; }
summary { cursor: pointer; margin: .6rem 0; }
h3 { font-size: 1rem; margin: 1.6rem 0 .5rem; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: .8rem; }
.gallery figure { margin: 0; padding: .6rem; background: var(--card); border-radius: .6rem; }
.gallery figure img { padding: 0; flex: 1; min-width: 0; border-radius: .3rem; image-rendering: auto; }
.gallery img.small { image-rendering: pixelated; }
.gallery .pair { display: flex; gap: .4rem; margin-bottom: .4rem; }
.gallery b { color: var(--ink); } .gallery span { display: block; }
"""


def page(title: str, under: str, parts: Iterable[str]) -> bytes:
    """The whole page, UTF-8; `parts` are pieces of HTML from the functions below, titles are plain text."""
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    body = f'<h1>{escape(title)}</h1>\n<p class="under">{escape(under)}</p>\n' + "\n".join(parts)
    text = (
        f'<!doctype html>\n<html lang="en"><head>{head}<title>{escape(title)}</title><style>{_STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )
    # A path may hold bytes that are no text; the page says so rather than fail.
    return text.encode("utf-8", "replace")


def heading(text: str) -> str:
    """A heading."""
    return f"<h2>{escape(text)}</h2>"


def subheading(text: str) -> str:
    """A smaller heading."""
    return f"<h3>{escape(text)}</h3>"


def note(text: str) -> str:
    """A small grey paragraph."""
    return f'<p class="note">{escape(text)}</p>'


def tiles(values: Sequence[tuple[str, str]]) -> str:
    """Large numbers with their names, (number, name) each."""
    cells = "".join(f'<div class="tile"><b>{escape(v)}</b><span>{escape(n)}</span></div>' for v, n in values)
    return f'<div class="tiles">{cells}</div>'


def picture(png: bytes, caption: str, narrow: bool = False) -> str:
    """A picture, inside the page, with a caption."""
    data = base64.b64encode(png).decode()
    kind = ' class="narrow"' if narrow else ""
    image = f'<img alt="{escape(caption)}" src="data:image/png;base64,{data}">'
    return f"<figure{kind}>{image}<figcaption>{escape(caption)}</figcaption></figure>"


@dataclass(frozen=True)
class Card:
    """A picture, perhaps several, with words below."""

    pictures: Sequence[tuple[bytes, str]]
    """(a PNG or JPEG file's bytes, what it shows) each."""
    heading: str
    lines: Sequence[str]
    path: str


def gallery(cards: Iterable[Card]) -> str:
    """Cards side by side, as many as the page is wide."""
    return '<div class="gallery">' + "\n".join(map(_card, cards)) + "</div>"


def _card(card: Card) -> str:
    images = []
    for data, alt in card.pictures:
        kind, small = ("jpeg", "") if data.startswith(b"\xff\xd8") else ("png", ' class="small"')
        source = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
        images.append(f'<img{small} alt="{escape(alt)}" src="{source}">')
    words = "".join(f"<span>{escape(line)}</span>" for line in card.lines)
    caption = f"<b>{escape(card.heading)}</b>{words}<code>{escape(card.path)}</code>"
    return f'<figure><div class="pair">{"".join(images)}</div><figcaption>{caption}</figcaption></figure>'


def numbers(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of numbers."""
    head = "".join(f"<th>{escape(name)}</th>" for name in header)
    body = "\n".join("<tr>" + "".join(f"<td>{escape(v)}</td>" for v in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table class="numbers"><tr>{head}</tr>\n{body}</table></div>'


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A table of names and values."""
    body = "\n".join(f"<tr><th>{escape(n)}</th><td><code>{escape(v)}</code></td></tr>" for n, v in rows)
    return f"<table>{body}</table>"


def folded(summary: str, content: str) -> str:
    """HTML that opens at a touch."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>"


def verbatim(text: str) -> str:
    """Text as it is, in a fixed font."""
    return f"<pre>{escape(text)}</pre>"
