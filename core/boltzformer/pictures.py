"""Pictures that documents and viewers share: masks as outlines, and the looks of the sampler as a flashlight."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from boltzformer.geometry import Array
from boltzformer.intensity import Window
from boltzformer.slicing import SlicePlan
from boltzformer.types import SamplingTrace, Volume

ORANGE = (230, 159, 0)
WHITE = (255, 255, 255)
Picture = NDArray[np.uint8]
"""(rows, columns, 3)."""


def slice_picture(volume: Volume, plan: SlicePlan, window: Window, index: int) -> Picture:
    """The slice as the model sees it, upright, in gray or colour."""
    plane = window.apply(np.ascontiguousarray(plan.view.apply(volume.array)[plan.canonical_index(index)]))
    return plane if plane.ndim == 3 else np.repeat(plane[..., None], 3, axis=2)


def outlined(picture: Picture, mask: Array, colour: tuple[int, int, int] = ORANGE) -> Picture:
    """The picture with the mask's inner border drawn in."""
    inside = mask.astype(bool)
    padded = np.pad(inside, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    drawn = picture.copy()
    drawn[inside & ~core] = colour
    return drawn


def captioned(picture: Picture, *lines: str, width: int = 400) -> Picture:
    """The picture brought to a width, with lines of text below."""
    height = round(picture.shape[0] * width / picture.shape[1])
    how = Image.Resampling.NEAREST if width > picture.shape[1] else Image.Resampling.BOX
    canvas = Image.new("RGB", (width, height + 14 * len(lines) + 4))
    canvas.paste(Image.fromarray(picture).resize((width, height), how))
    draw = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        draw.text((4, height + 2 + 14 * number), line, WHITE)
    return np.asarray(canvas)


def looks_picture(
    picture: Picture, plan: SlicePlan, trace: SamplingTrace, mask: Array, *, columns: int = 3, width: int = 200
) -> Picture:
    """All looks side by side: visited places lit, the rest at 15 %, one fixed scale; the answer in white at the end."""
    tiles: list[Picture] = []
    brightest = max(float(look.visited.max()) for look in trace.layers)
    for number, look in enumerate(trace.layers, 1):
        share = _on_slice(look.visited / brightest, plan)
        lit = (picture * (0.15 + 0.85 * share)[..., None]).astype(np.uint8)
        lit = outlined(lit, mask, WHITE) if number == len(trace.layers) else lit
        facts = f"temperature {look.temperature:.2f}", f"{look.visited.shape[0]} x {look.visited.shape[1]} places"
        tiles.append(captioned(lit, f"look {number}", *facts, width=width))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[start : start + columns], axis=1) for start in range(0, len(tiles), columns)]
    return np.concatenate(rows)


def beside(*pictures: Picture) -> Picture:
    """Pictures in one row."""
    height = max(picture.shape[0] for picture in pictures)
    return np.concatenate([np.pad(p, ((0, height - p.shape[0]), (0, 6), (0, 0))) for p in pictures], axis=1)


def _on_slice(tokens: Array, plan: SlicePlan) -> NDArray[np.float32]:
    """Token values as hard squares on the rows and columns of the slice."""
    side = max(plan.slice_shape)
    nearest = np.arange(side) * tokens.shape[0] // side
    top, left = ((side - n) // 2 for n in plan.slice_shape)
    rows, columns = plan.slice_shape
    return tokens[np.ix_(nearest, nearest)][top : top + rows, left : left + columns].astype(np.float32)
