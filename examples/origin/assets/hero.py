"""Makes the hero in every width and format: `python hero.py`, with Pillow 11.3 or later."""

from math import pi, sin
from pathlib import Path

from PIL import Image

WIDTHS = [320, 640, 1280]
FORMATS = {
    "jpg": {"quality": 72, "optimize": True, "progressive": True},
    "webp": {"quality": 68, "method": 6},
    "avif": {"quality": 52, "speed": 3},
}
WARP, WEFT, EDGE = (44, 60, 158), (205, 180, 132), (226, 92, 74)
THREADS = 24


def pixel(x: float, y: float) -> tuple[int, int, int]:
    """The colour at a place from 0 to 1: threads of two directions that pass over each other by turns."""
    across, down = x * THREADS, y * THREADS * 9 / 16
    is_warp = (int(across) + int(down)) % 2 == 0
    roundness = sin(pi * (across % 1)) if is_warp else sin(pi * (down % 1))
    bend = sin(pi * (down % 1)) if is_warp else sin(pi * (across % 1))
    colour = (EDGE if x > 1 - 2 / THREADS else WARP) if is_warp else WEFT
    light = 0.35 + 0.45 * roundness + 0.2 * bend
    return tuple(round(part * light) for part in colour)


def draw(width: int) -> Image.Image:
    """The picture at a width, drawn at twice its size so that threads have smooth edges."""
    wide, high = width * 2, width * 9 // 16 * 2
    image = Image.new("RGB", (wide, high))
    image.putdata([pixel(x / wide, y / high) for y in range(high) for x in range(wide)])
    return image.resize((width, width * 9 // 16), Image.Resampling.LANCZOS)


for width in WIDTHS:
    image = draw(width)
    for ending, options in FORMATS.items():
        image.save(Path(__file__).parent / f"hero-{width}.{ending}", **options)
