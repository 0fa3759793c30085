"""Pictures that documents and viewers share: masks as outlines, and the looks of the sampler as a flashlight."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from boltzformer.image.geometry import Array
from boltzformer.image.intensity import Window
from boltzformer.image.slicing import SlicePlan
from boltzformer.types import LookTrace, SamplingTrace, Volume

ORANGE = (230, 159, 0)
WHITE = (255, 255, 255)
CYAN = (0, 255, 255)
GAP = 2
"""Black pixels beside every tile."""
DIM = 0.15
"""What is left of the light where nobody looked."""
FULL = 0.25
"""A place that this share of queries and heads visited is fully lit."""
FILLED = 110
"""Opacity of a mask that is laid over an image, of 255; its border is opaque."""
Picture = NDArray[np.uint8]
"""(rows, columns, 3)."""


def slice_picture(volume: Volume, plan: SlicePlan, window: Window, index: int) -> Picture:
    """The slice as the model sees it, upright, in gray or colour."""
    plane = window.apply(np.ascontiguousarray(plan.view.apply(volume.array)[plan.canonical_index(index)]))
    return plane if plane.ndim == 3 else np.repeat(plane[..., None], 3, axis=2)


def outlined(picture: Picture, mask: Array, colour: tuple[int, int, int] = ORANGE) -> Picture:
    """The picture with the mask's inner border drawn in."""
    drawn = picture.copy()
    drawn[border(mask)] = colour
    return drawn


def border(mask: Array) -> NDArray[np.bool_]:
    """The pixels of a mask that touch what is outside it."""
    inside = mask.astype(bool)
    padded = np.pad(inside, 1)
    core = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~core


def overlay(mask: NDArray[np.bool_], colour: str) -> NDArray[np.uint8]:
    """(rows, columns, 4): the mask in its colour ('#rrggbb'), to lay over the image."""
    picture = np.zeros((*mask.shape, 4), np.uint8)
    picture[mask] = (*bytes.fromhex(colour.lstrip("#")[:6]), FILLED)
    picture[border(mask), 3] = 255
    return picture


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
    picture: Picture,
    plan: SlicePlan,
    trace: SamplingTrace,
    mask: Array,
    *,
    columns: int = 3,
    width: int = 200,
    title: str = "",
) -> Picture:
    """The contact sheet of one slice and prompt: a flashlight, not a heat map. One equal tile per look.

    A place that nobody visited is dim, one that a quarter of the queries and heads visited is fully lit; the scale is
    the same in all tiles and all sheets. Cyan: the model's own guess that steered the look. White: the mask.
    """
    picture, mask = picture[plan.crop], mask[plan.crop]
    big = resized(picture, width - 2 * GAP)
    tiles = [
        _tile(big, plan, look, number, mask if number == len(trace.layers) else None)
        for number, look in enumerate(trace.layers, 1)
    ]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % columns)
    rows = [np.concatenate(tiles[start : start + columns], axis=1) for start in range(0, len(tiles), columns)]
    chance = float(np.mean([look.visited.mean() for look in trace.layers]))
    head = [_line(title, rows[0].shape[1])] if title else []
    return np.concatenate([*head, *rows, _legend(rows[0].shape[1], chance)])


def save(picture: Picture, path: Path) -> None:
    """As PNG."""
    Image.fromarray(picture).save(path)


def brightness(share: Array) -> NDArray[np.float32]:
    """Share of queries and heads that visited a place → how much of the image is shown there."""
    return (DIM + (1 - DIM) * np.minimum(share / FULL, 1)).astype(np.float32)


def look_tile(big: Picture, plan: SlicePlan, light: Array, guess: Array, mask: Array | None) -> Picture:
    """What the network saw of a slice (`plan.crop`, at any size), lit by token squares (h, w) from `DIM` to 1, with
    the guess in cyan and the mask in white.
    """
    rows, columns = big.shape[:2]
    lit = (big * on_slice(light, plan, rows, columns)[..., None]).astype(np.uint8)
    lit = outlined(lit, smooth_on_slice(guess, plan, rows, columns) >= 0.5, CYAN)
    if mask is not None:
        lit = outlined(lit, mask[np.ix_(_nearest(rows, mask.shape[0]), _nearest(columns, mask.shape[1]))], WHITE)
    return lit


def _tile(big: Picture, plan: SlicePlan, look: LookTrace, number: int, mask: Array | None) -> Picture:
    """One look: hard token squares of light, the lines, and the look's numbers below."""
    lit = look_tile(big, plan, brightness(look.visited), look.guess, mask)
    tokens = f"{look.visited.shape[0]} x {look.visited.shape[1]} places of {look.scale} px"
    lines = f"look {number}, temperature {look.temperature:.2f}", tokens
    return np.pad(captioned(lit, *lines, width=big.shape[1]), ((0, 2 * GAP), (GAP, GAP), (0, 0)))


def _legend(width: int, chance: float) -> Picture:
    """The one brightness scale, with the level that looking at random would give."""
    canvas = Image.new("RGB", (width, 64))
    draw = ImageDraw.Draw(canvas)
    left, right = 8, min(width - 8, 300)
    ramp = 255 * brightness(np.linspace(0, FULL, right - left))
    canvas.paste(Image.fromarray(np.repeat(ramp[None].astype(np.uint8), 12, axis=0)), (left, 2))
    at = left + round(chance / FULL * (right - left))
    draw.line([(at, 0), (at, 18)], ORANGE, 2)
    draw.text((left, 16), "0 %", WHITE)
    draw.text((right - 24, 16), f"{100 * FULL:.0f} %", WHITE)
    draw.text((at + 4, 16), f"chance {100 * chance:.0f} %", ORANGE)
    draw.text((left, 30), "light: share of queries and heads that looked there", WHITE)
    draw.text((left, 44), "cyan: the guess that steered the look", CYAN)
    draw.text((left + 230, 44), "white: the mask", WHITE)
    return np.asarray(canvas)


def _line(text: str, width: int) -> Picture:
    canvas = Image.new("RGB", (width, 20))
    ImageDraw.Draw(canvas).text((8, 4), text, WHITE)
    return np.asarray(canvas)


def resized(picture: Picture, width: int) -> Picture:
    """To a width; pixels stay squares where it grows."""
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    how = Image.Resampling.NEAREST if width > picture.shape[1] else Image.Resampling.BOX
    return np.asarray(Image.fromarray(picture).resize((width, height), how))


def beside(*pictures: Picture) -> Picture:
    """Pictures in one row."""
    height = max(picture.shape[0] for picture in pictures)
    return np.concatenate([np.pad(p, ((0, height - p.shape[0]), (0, 6), (0, 0))) for p in pictures], axis=1)


def on_slice(tokens: Array, plan: SlicePlan, rows: int, columns: int) -> NDArray[np.float32]:
    """Token values as hard squares on a picture of the slice with so many rows and columns."""
    down, across = (_in_square(plan, axis, n) for axis, n in enumerate((rows, columns)))
    nearest = np.ix_(*((at * tokens.shape[0]).astype(int) for at in (down, across)))
    return tokens[nearest].astype(np.float32)


def smooth_on_slice(tokens: Array, plan: SlicePlan, rows: int, columns: int) -> NDArray[np.float32]:
    """Token values between the middles of their squares, for a line that does not follow the squares."""
    values = tokens.astype(np.float32)
    for axis, n in enumerate((rows, columns)):
        side = tokens.shape[axis]
        at = np.clip(_in_square(plan, axis, n) * side - 0.5, 0, side - 1)
        low = np.minimum(at.astype(int), max(side - 2, 0))
        share = (at - low).astype(np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        high = np.minimum(low + 1, side - 1)
        values = values.take(low, axis) * (1 - share) + values.take(high, axis) * share
    return values


def _in_square(plan: SlicePlan, axis: int, count: int) -> NDArray[np.float64]:
    """Middles of `count` rows or columns of a slice's picture, as shares 0…1 of the padded square."""
    side, length = max(plan.crop_shape), plan.crop_shape[axis]
    return ((side - length) // 2 + (np.arange(count) + 0.5) * length / count) / side


def _nearest(count: int, length: int) -> NDArray[np.intp]:
    return (np.arange(count) * length // count).astype(np.intp)
