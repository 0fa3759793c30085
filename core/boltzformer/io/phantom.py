"""Volumes that need no file of the user's: generated ones with lesions of known kind, size and place, from a seed; and
the sample case that the package carries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltzformer import io
from boltzformer.image.geometry import Grid
from boltzformer.types import LabelMap, Volume

BRIGHT, DARK = "bright blob", "dark blob"
KINDS = (BRIGHT, DARK)
AIR, TISSUE, RIM = 60, 420, 720
"""The rim is as bright as fat: with it, the same window shows any slice, whether a bright lesion lies in it or not."""


@dataclass(frozen=True)
class Lesion:
    """A ball in the phantom."""

    kind: str
    centre: tuple[int, int, int]
    """Voxel i, j, k."""
    radius: float
    """In voxels."""


@dataclass(frozen=True)
class Phantom:
    """A volume and the truth about it."""

    volume: Volume
    labels: LabelMap
    """Label 1 = bright blob, 2 = dark blob."""
    lesions: tuple[Lesion, ...]


def phantom(
    seed: int = 0,
    shape: tuple[int, int, int] = (64, 96, 96),
    kinds: tuple[str, ...] = (BRIGHT, BRIGHT, DARK),
    grid: Grid | None = None,
) -> Phantom:
    """A textured ellipse of tissue in a bright rim that holds one ball per entry of `kinds`, none touching another."""
    rng = np.random.default_rng([seed, 0xB017])
    z, y, x = np.ogrid[: shape[0], : shape[1], : shape[2]]
    image = rng.normal(0, 25, shape).astype(np.float32) + _texture(rng, shape)
    outwards = ((y / shape[1] - 0.5) / 0.44) ** 2 + ((x / shape[2] - 0.5) / 0.4) ** 2
    inside = np.where(outwards < 0.85, np.float32(TISSUE), np.float32(RIM))
    image += np.where(outwards < 1, inside, np.float32(AIR))
    layers = np.zeros((1, *shape), np.uint8)
    lesions: list[Lesion] = []
    while len(lesions) < len(kinds):
        kind, radius = kinds[len(lesions)], float(rng.uniform(2.5, 5))
        k = int(rng.integers(round(radius) + 1, shape[0] - round(radius) - 1)) if shape[0] > 14 else shape[0] // 2
        angle, away = rng.uniform(0, 2 * np.pi), 0.28 * np.sqrt(rng.uniform())
        j, i = (int(n * (0.5 + away * f)) for n, f in ((shape[1], np.sin(angle)), (shape[2], np.cos(angle))))
        if any(
            np.hypot(np.hypot(i - a, j - b), k - c) < radius + o.radius + 4 for o in lesions for a, b, c in [o.centre]
        ):
            continue
        ball = (z - k) ** 2 + (y - j) ** 2 + (x - i) ** 2 <= radius**2
        image[ball] += 260 if kind == BRIGHT else -260
        layers[0][ball] = 1 + KINDS.index(kind)
        lesions.append(Lesion(kind, (i, j, k), radius))
    grid = grid or Grid.from_lps(shape, np.diag([1.0, 1.0, 2.5, 1.0]))
    volume = Volume(np.clip(image, 1, 1000).astype(np.int16), grid, "MR", f"phantom {seed}")
    return Phantom(volume, LabelMap(layers, grid, {1: BRIGHT, 2: DARK}), tuple(lesions))


def _texture(rng: np.random.Generator, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Slow waves, so that brightness alone does not tell tissue from lesion."""
    total = np.zeros(shape, np.float32)
    for _ in range(4):
        wave = sum(
            (np.arange(n) * rng.uniform(0.5, 2.5) * 2 * np.pi / n).reshape([-1 if a == axis else 1 for a in range(3)])
            for axis, n in enumerate(shape)
        )
        total += (15 * np.sin(wave + rng.uniform(0, 6))).astype(np.float32)
    return total


@dataclass(frozen=True)
class Sample:
    """A case, a prompt, and a slice that is worth opening at."""

    volume: Volume
    truth: LabelMap
    prompt: str
    index: int
    facts: dict[str, Any]


def sample() -> Sample:
    """Patient 19 of the Ljubljana MS database; excluded from all training."""
    folder = Path(str(files("boltzformer") / "assets" / "sample"))
    facts = json.loads((folder / "sample.json").read_text("utf-8"))
    volume, mask = io.read(folder / facts["image"]), io.read(folder / facts["label"])
    truth = LabelMap((mask.array > 0).astype("uint8")[None], volume.grid, {1: facts["target"]})
    return Sample(volume, truth, facts["prompt"], facts["slice"], facts)
