"""Draws a ship by code, for a page that must show no one's photograph: `python examples/drawn_ship.py ship.png`."""

import sys
from pathlib import Path

from PIL import Image, ImageDraw


def ship(side: int = 256) -> Image.Image:
    """A picture of `side` by `side` pixels: a steamer on the sea under a pale sky."""
    picture = Image.new("RGB", (256, 256), (168, 200, 228))
    draw = ImageDraw.Draw(picture)
    for line in range(170):
        draw.line([(0, line), (256, line)], fill=(150 + line // 3, 188 + line // 4, 224))
    draw.rectangle([0, 168, 256, 256], fill=(38, 82, 120))
    for line in range(176, 256, 9):
        draw.arc([line % 50 - 60, line, line % 50 + 300, line + 14], 190, 340, fill=(76, 124, 160), width=2)
    draw.polygon([(28, 150), (232, 150), (206, 190), (58, 190)], fill=(44, 48, 58))
    draw.rectangle([28, 146, 232, 152], fill=(150, 42, 38))
    draw.rectangle([72, 118, 188, 146], fill=(240, 238, 230))
    draw.rectangle([92, 96, 164, 118], fill=(226, 224, 216))
    draw.rectangle([112, 58, 136, 96], fill=(186, 60, 44))
    draw.rectangle([112, 58, 136, 68], fill=(36, 36, 40))
    for x in range(82, 184, 16):
        draw.ellipse([x, 126, x + 8, 134], fill=(60, 90, 120))
    draw.line([(206, 146), (206, 74)], fill=(70, 60, 50), width=3)
    return picture.resize((side, side), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    ship().save(Path(sys.argv[1] if len(sys.argv) > 1 else "ship.png"))
