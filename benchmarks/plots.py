"""Bars with a line at 1, as SVG and PNG from the same places: no library for plots is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import log10
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

ROW, LEFT, RIGHT, TOP, SIZE = 26, 470, 330, 56, 13
WIDE = 420
"""Of the bars' part."""
OURS, SLOWER, FLOOR, LINE, INK = "#3b6e8f", "#b0603a", "#c8d6df", "#555555", "#222222"


PLAIN = str.maketrans({"×": "x", "²": "^2", "…": "..."})
"""What Pillow's own font lacks."""


@dataclass(frozen=True)
class Bar:
    """A ratio and what it stands for."""

    name: str
    ratio: float
    beside: str
    share: float | None = None
    """Of what the machine could do at most."""


@dataclass(frozen=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    colour: str


@dataclass(frozen=True)
class Words:
    """Text that begins here, or ends here."""

    x: float
    y: float
    text: str
    ends: bool = False


def placed(bars: Sequence[Bar], title: str) -> tuple[int, int, list[Box], list[Words]]:
    """Width, height, and all that is drawn; the scale is logarithmic, as ratios are."""
    low = min(0.5, *(one.ratio for one in bars))
    high = max(2.0, *(one.ratio / (one.share or 1) for one in bars))

    def at(ratio: float) -> float:
        return LEFT + WIDE * (log10(ratio) - log10(low)) / (log10(high) - log10(low))

    height = TOP + ROW * len(bars) + 20
    boxes, words = list[Box](), [Words(12, 26, title)]
    for number, one in enumerate(bars):
        y = TOP + ROW * number
        if one.share:  # as quick as the floor would be
            boxes.append(Box(at(1), y + 3, at(one.ratio / one.share) - at(1), ROW - 6, FLOOR))
        first, last = sorted((at(1), at(one.ratio)))
        boxes.append(Box(first, y + 6, max(last - first, 1), ROW - 12, OURS if one.ratio >= 1 else SLOWER))
        reached = f", {100 * one.share:.0f} % of the floor" if one.share else ""
        words.append(Words(LEFT - 10, y + 17, one.name, ends=True))
        words.append(Words(LEFT + WIDE + 10, y + 17, f"{one.ratio:.2f} × {one.beside}{reached}"))
    boxes.append(Box(at(1), TOP - 6, 1, ROW * len(bars) + 12, LINE))
    return LEFT + WIDE + RIGHT, height, boxes, words


def draw(bars: Sequence[Bar], beside: Path, title: str) -> tuple[Path, Path]:
    """`beside`.svg and `beside`.png."""
    width, height, boxes, words = placed(bars, title)
    svg, png = beside.with_suffix(".svg"), beside.with_suffix(".png")
    shapes = [
        f'<rect x="{b.x:.1f}" y="{b.y:.1f}" width="{b.width:.1f}" height="{b.height:.1f}" fill="{b.colour}"/>'
        for b in boxes
    ]
    texts = [
        f'<text x="{w.x:.1f}" y="{w.y:.1f}" text-anchor="{"end" if w.ends else "start"}" fill="{INK}">'
        f"{escape(w.text)}</text>"
        for w in words
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    style = f'<rect width="{width}" height="{height}" fill="white"/><g font-family="sans-serif" font-size="{SIZE}">'
    svg.write_text("\n".join([head, style, *shapes, *texts, "</g></svg>\n"]), encoding="utf-8")
    image = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(SIZE)
    for b in boxes:
        pen.rectangle((b.x, b.y, b.x + b.width, b.y + b.height), fill=b.colour)
    for w in words:
        pen.text((w.x, w.y), w.text.translate(PLAIN), fill=INK, font=font, anchor="rs" if w.ends else "ls")
    image.save(png)
    return svg, png
