"""Augmentation: one affine look at a picture, other gray values, a lesion pasted in. Torch only, on any device."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from boltzformer.knowledge.absent import empty_window
from boltzformer.learn.corpus import Picture
from boltzformer.learn.upright import UPRIGHT, UPSIDE_DOWN
from boltzformer.masks.objects import pieces

MIRRORED = frozenset({"brain", "breast", "chest", "fetus", "retina", "limb and neck", "neck", "spine", "liver"})
"""Anatomies where left and right may be exchanged: no target of theirs is named by its side."""
TURNED = frozenset({"cell", "tissue", "kidney", "blood", "skin", "colon", "neuron"})
"""Where there is neither up nor down: microscopy, skin, the inside of a colon."""
LESIONS = ("lesion", "tumor", "metastasis", "nodule", "exudate", "hemorrhage", "edema", "mass", "glioma", "ulcer")
"""Words in the names of targets that may be of any size where they are; organs are not."""
FARTHEST = 40
"""Pixels that a lesion spreads."""
FAINT = 6.0
"""Gray values between an object and its surroundings below which it is not made larger: nobody would see it."""
PLAIN = (20.0, 90.0)
"""Gray values by which an object that was made larger differs at least."""


@dataclass(frozen=True)
class Strength:
    """How much is changed."""

    rotation: float = 15.0
    """Degrees to either side."""
    zoom: float = 1.25
    """Whole images are shown between 1 / zoom and zoom of their size."""
    gamma: tuple[float, float] = (0.7, 1.5)
    noise: float = 0.04
    """Largest standard deviation, as a share of the gray scale; added to a third of the samples."""
    blur: float = 0.2
    """Share of the samples that are blurred."""
    paste: float = 0.3
    """Share of the samples that get another picture's lesion, where there is one."""
    grow: float = 0.0
    """Pasted lesions are made larger, up to this share of the picture."""
    spread: float = 0.0
    """Share of the samples whose own lesions are made larger where they are, as far as the tissue goes."""
    window: float = 0.0
    """Share of the samples that are shown darker, or brighter with white cut off, as other windows would."""
    whole: float = 0.5
    """Share of the samples that show the whole image; the others show a part, larger."""
    empty: float = 0.0
    """Share of the samples that show a part where the object in focus is not, so that its absence is learnt."""
    stored: float = 0.0
    """Share of the pictures that were set upright which are shown as they are stored, and half of it of other CT and
    MR that is shown upside down: users have such ones, and headers that lie."""
    long_side: tuple[int, int] = (256, 640)
    """Long side in pixels that an image is scaled to before a part is cut out."""


@dataclass(frozen=True)
class Look:
    """Where the pixels of a sample lie in its picture."""

    side: int
    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]
    """From the sample's −1…1 to the picture's −1…1, columns before rows."""
    scale: float
    """Pixels of the picture per pixel of the sample."""

    def of(self, picture: Picture) -> Tensor:
        """(3, side, side) in 0…255; black beyond the border."""
        source = picture.half if self.scale > 1.5 else picture.pixels
        return self._sampled(source).expand(3, -1, -1)

    def mask(self, mask: Tensor) -> Tensor:
        """(side / 2, side / 2): covered shares of 2×2 pixels; what is there at all reaches 1 somewhere."""
        plane = mask[None].float()
        plane = F.avg_pool2d(plane[None], round(self.scale), ceil_mode=True)[0] if self.scale > 1.5 else plane
        covered = F.avg_pool2d(self._sampled(plane), 2)[0]
        most = covered.max()
        return covered / most if 0 < most < 0.5 else covered

    def _sampled(self, source: Tensor) -> Tensor:
        matrix = torch.tensor([self.matrix], dtype=torch.float32, device=source.device)
        grid = F.affine_grid(matrix, [1, 1, self.side, self.side], align_corners=False)
        return F.grid_sample(source[None].float(), grid, mode="bilinear", align_corners=False)[0]


def look_at(
    picture: Picture, focus: str, side: int, strength: Strength, rng: np.random.Generator, *, whole: bool
) -> Look:
    """The whole picture, a part of it that likely shows the object in focus, or one that does not."""
    height, width = picture.pixels.shape[1:]
    free = None
    if strength.empty and rng.random() < strength.empty:
        free = empty_window(picture.masks[focus].cpu().numpy(), rng)
    if free is not None:
        left, top, *sides = free
        scale = 0.9 * min(sides) / side  # what is coarser than pixels must not reach beyond it
        centre = np.array([top + sides[1] / 2, left + sides[0] / 2])
    elif whole or rng.random() < strength.whole:
        scale = max(height, width) / side / float(np.exp(rng.uniform(-1, 1) * math.log(strength.zoom)))
        centre = np.array([height, width]) / 2 + rng.uniform(-0.06, 0.06, 2) * side * scale
    else:
        low, high = strength.long_side
        scale = max(height, width) / float(np.exp(rng.uniform(math.log(max(low, side)), math.log(max(high, side)))))
        reach, spots = side * scale, picture.masks[focus].nonzero()
        centre = rng.uniform(0, 1, 2) * (height, width)
        if len(spots) and rng.random() < 0.9:
            centre = spots[int(rng.integers(len(spots)))].cpu().numpy() + rng.uniform(-0.4, 0.4, 2) * reach
        for axis, length in enumerate((height, width)):  # no more black than needed
            room = min(reach / 2, length / 2)
            centre[axis] = np.clip(centre[axis], room, length - room)
    angle = math.radians(rng.uniform(-1, 1) * strength.rotation)
    flips, quarter = _flips(picture.anatomy, rng)
    upright = picture.turn == UPRIGHT
    odd = strength.stored and (not upright or picture.modality.startswith(("CT", "MR")))
    if odd and rng.random() < strength.stored / (2 if upright else 1):
        mirrored, quarter = (UPSIDE_DOWN if upright else picture.turn).back
        flips = (mirrored, False)
    angle += quarter * math.pi / 2
    across, down = (-1 if flip else 1 for flip in flips)
    reach_x, reach_y = side * scale / width, side * scale / height
    matrix = (
        (reach_x * math.cos(angle) * across, -reach_x * math.sin(angle) * down, 2 * centre[1] / width - 1),
        (reach_y * math.sin(angle) * across, reach_y * math.cos(angle) * down, 2 * centre[0] / height - 1),
    )
    return Look(side, matrix, scale)


def _flips(anatomy: str, rng: np.random.Generator) -> tuple[tuple[bool, bool], int]:
    """(left–right, up–down) and quarter turns, where anatomy allows."""
    a, b, c = rng.random(3)
    if anatomy in TURNED:
        return (a < 0.5, b < 0.5), int(c * 4)
    if anatomy in MIRRORED:
        return (a < 0.5, False), 0
    return (False, False), 0


def regrade(image: Tensor, strength: Strength, rng: np.random.Generator) -> Tensor:
    """Other gray values: gamma, contrast, brightness, blur, noise. (3, H, W) in 0…255 before and after."""
    low, high = strength.gamma
    gamma = float(np.exp(rng.uniform(math.log(low), math.log(high))))
    image = (image / 255).clamp(0, 1)
    if strength.window and rng.random() < strength.window:
        brightest = float(image.max())
        black, white = brightest * rng.uniform(0, 0.12), brightest * math.exp(rng.uniform(math.log(0.5), math.log(2)))
        image = ((image - black) / max(0.05, white - black)).clamp(0, 1)
    image = image**gamma
    contrast, brightness = rng.uniform(0.85, 1.15), rng.uniform(-0.06, 0.06)
    dark = image == 0  # the background of cut-out organs and of padding stays black
    image = ((image - 0.5) * contrast + 0.5 + brightness).masked_fill(dark, 0)
    if rng.random() < strength.blur:
        image = F.avg_pool2d(F.pad(image[None], (1, 1, 1, 1), mode="replicate"), 3, 1)[0]
    if rng.random() < 1 / 3:
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        noise = torch.randn(image.shape[1:], generator=generator).to(image.device)
        image = image + noise * float(rng.uniform(0, strength.noise))
    return image.clamp(0, 1) * 255


def spread(picture: Picture, target: str, rng: np.random.Generator, *, grow: float) -> Picture:
    """The picture's own lesions, larger where they are: up to that share of it, through tissue as bright."""
    whole = picture.masks[target]
    if not any(word in target for word in LESIONS) or not bool(whole.any()):
        return picture
    box = _around(whole, FARTHEST + 8)  # nothing changes beyond it, and the whole picture would take four times as long
    mask = whole[box].bool()
    gray, around = picture.pixels[:, *box].float().mean(0), _wider(mask, 5) & ~mask
    around &= gray > 0
    if not bool(around.any()):
        return picture
    inside, outside = float(gray[mask].mean()), float(gray[around].mean())
    contrast = inside - outside
    wanted = grow * math.exp(rng.uniform(-3, 0)) * whole.numel()
    if abs(contrast) < FAINT or int(mask.sum()) >= wanted:
        return picture
    taken = torch.zeros_like(mask)
    for name, other in picture.masks.items():
        taken |= (other[box] > 0) & (name != target)
    tissue = (gray > 0.6 * min(inside, outside)) & (gray < 1.3 * max(inside, outside)) & ~taken
    field = torch.from_numpy(rng.random((1, 1, 40, 40), np.float32)).to(gray.device)
    patches = F.interpolate(field, whole.shape, mode="bicubic")[0, 0][box]
    free = tissue & (patches > rng.uniform(0.2, 0.5))  # rather here
    larger = mask
    for step in range(FARTHEST):
        before, larger = larger, larger | (_wider(larger, 1, crosswise=step % 2 == 0) & free)
        if int(larger.sum()) >= wanted or torch.equal(before, larger):
            break
    larger = mask | ((F.avg_pool2d(larger[None].float(), 7, 1, 3)[0] > 0.5) & tissue)
    plain = math.copysign(max(abs(contrast), float(rng.uniform(*PLAIN))), contrast)
    change = (larger & ~mask) * (plain * float(rng.uniform(0.8, 1.1))) + mask * (plain - contrast)
    soft = F.avg_pool2d(F.pad(change[None], (2, 2, 2, 2)), 5, 1)
    pixels, made = picture.pixels.clone(), whole.clone()
    pixels[:, *box] = (pixels[:, *box].float() + soft).clamp(0, 255).round().to(torch.uint8)
    made[box] = larger.to(torch.uint8)
    return _with(picture, pixels, target, made)


def _around(mask: Tensor, margin: int) -> tuple[slice, slice]:
    """Rows and columns of everything in a mask, and so many more on every side."""
    found = [mask.amax(axis).nonzero()[:, 0] for axis in (1, 0)]
    ends = [(max(0, int(one[0]) - margin), int(one[-1]) + 1 + margin) for one in found]
    return slice(*ends[0]), slice(*ends[1])


def _wider(mask: Tensor, by: int, *, crosswise: bool = False) -> Tensor:
    plane, side = mask[None].float(), 2 * by + 1
    if crosswise:
        across, down = F.max_pool2d(plane, (1, side), 1, (0, by)), F.max_pool2d(plane, (side, 1), 1, (by, 0))
        return torch.maximum(across, down)[0] > 0
    return F.max_pool2d(plane, side, 1, by)[0] > 0


def _with(picture: Picture, pixels: Tensor, target: str, mask: Tensor) -> Picture:
    half = F.avg_pool2d(pixels[None].float(), 2, ceil_mode=True)[0].round().to(torch.uint8)
    return replace(picture, pixels=pixels, half=half, masks={**picture.masks, target: mask}, centred=False)


def paste(picture: Picture, donor: Picture, target: str, rng: np.random.Generator, *, grow: float = 0.0) -> Picture:
    """The donor's object of this target, with a feathered edge, where the surroundings are about as bright.

    With `grow`, one of its objects alone, made larger: up to that share of the picture, and plain to see.
    """
    mask = donor.masks[target]
    if grow and bool(mask.any()):
        found = pieces(mask.cpu().numpy())
        mask = torch.from_numpy((found == rng.integers(1, found.max() + 1)).astype(np.uint8)).to(mask.device)
    spots = mask.nonzero()
    if donor.pixels.shape[0] != picture.pixels.shape[0] or not len(spots):
        return picture
    margin = 6
    (top, left), (bottom, right) = (spots.amin(0) - margin).clamp(min=0).tolist(), (spots.amax(0) + margin + 1).tolist()
    piece, shape = donor.pixels[:, top:bottom, left:right].float(), mask[top:bottom, left:right].float()
    if rng.random() < 0.5:
        piece, shape = piece.flip(-1), shape.flip(-1)
    times = grow * picture.pixels[0].numel() / max(1.0, float(shape.sum()))
    if times > 1:
        wider = math.sqrt(math.exp(rng.uniform(0, math.log(times))))
        wide = [max(1, round(length * wider * rng.uniform(0.8, 1.25))) for length in shape.shape]
        piece = F.interpolate(piece[None], wide, mode="bilinear", align_corners=False)[0]
        shape = F.interpolate(shape[None, None], wide, mode="bilinear", align_corners=False)[0, 0].gt(0.5).float()
    height, width = shape.shape
    room = picture.pixels.shape[1] - height, picture.pixels.shape[2] - width
    if min(room) <= 0 or shape.mean() == 0:
        return picture
    around = shape == 0
    own = piece.mean(0)[around] if bool(around.any()) else piece.mean(0)
    wanted = float(own.mean())
    if grow:
        contrast = abs(float(piece.mean(0)[~around].mean()) - wanted)
        if contrast < FAINT:
            return picture
        piece = wanted + (piece - wanted) * min(4.0, max(1.0, float(rng.uniform(*PLAIN)) / contrast))
    places = rng.integers(0, room, (24, 2))
    gray = picture.pixels.float().mean(0)
    there = [gray[y : y + height, x : x + width][around] for y, x in places]
    # As bright, and as even: half tissue and half air is as bright as something, too.
    unlike = [
        abs(float(one.mean()) - wanted) + abs(float(one.std(correction=0) - own.std(correction=0))) for one in there
    ]
    y, x = places[int(np.argmin(unlike))]
    window = slice(y, y + height), slice(x, x + width)
    taken = any(bool(other[window][shape > 0].any()) for other in picture.masks.values())
    if taken or not min(unlike) <= 40:
        return picture
    soft = F.avg_pool2d(F.pad(F.max_pool2d(shape[None, None], 3, 1, 1), (2, 2, 2, 2)), 5, 1)[0]  # (1, h, w)
    pixels, new = picture.pixels.clone(), picture.masks.get(target, torch.zeros_like(gray, dtype=torch.uint8)).clone()
    below = pixels[:, window[0], window[1]].float()
    offset = below[:, around].mean() - wanted
    pixels[:, window[0], window[1]] = (
        (soft * (piece + offset) + (1 - soft) * below).clamp(0, 255).round().to(torch.uint8)
    )
    new[window] |= (shape > 0).to(torch.uint8)
    return _with(picture, pixels, target, new)
