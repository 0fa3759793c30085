"""What a frozen image encoder makes of the pictures, kept on disk: as they are, and in three augmented versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from boltzformer.learn import augment
from boltzformer.learn.augment import Look, Strength
from boltzformer.learn.corpus import Picture
from boltzformer.learn.train import key
from boltzformer.model.boltzformer import BoltzFormer

VERSIONS = 4
"""Of each new picture; remembered ones are kept as they are."""


@dataclass(frozen=True)
class View:
    """One picture as the network sees it, and what its encoder made of that."""

    look: Look
    image: Tensor
    """(3, S, S)."""
    maps: tuple[Tensor, ...]
    """Fine to coarse, each (C, h, w)."""


class Features:
    """The kept views of all pictures, the first `new` of them augmented."""

    def __init__(
        self, folder: Path, pictures: Sequence[Picture], new: int, side: int, strength: Strength, seed: int
    ) -> None:
        self.folder, self.pictures, self.new = folder, tuple(pictures), new
        self.side, self.strength, self.seed = side, strength, seed
        folder.mkdir(parents=True, exist_ok=True)

    def versions(self, number: int) -> int:
        """How many views there are of a picture."""
        return VERSIONS if number < self.new else 1

    def _file(self, number: int, version: int) -> Path:
        return self.folder / f"{number:05d}-{version}.safetensors"

    @torch.no_grad()
    def keep(self, model: BoltzFormer, half: bool) -> None:
        """Encodes what is not there yet. A file appears whole or not at all."""
        device = next(model.parameters()).device
        for number in range(len(self.pictures)):
            for version in range(self.versions(number)):
                file = self._file(number, version)
                if file.is_file():
                    continue
                _, image = self._seen(number, version)
                with torch.autocast(device.type, torch.bfloat16, enabled=half):
                    maps = model.encoder_maps(image[None].to(device))
                kept = {str(level): one[0].to(torch.bfloat16).cpu().contiguous() for level, one in enumerate(maps)}
                part = file.with_name(f".{file.name}.part")
                save_file(kept, part)
                part.replace(file)

    def view(self, number: int, version: int) -> View:
        """Read back; a damaged file says so."""
        look, image = self._seen(number, version)
        try:
            kept = load_file(self._file(number, version))
        except (SafetensorError, OSError):
            self._file(number, version).unlink(missing_ok=True)
            raise
        return View(look, image, tuple(kept[str(level)].float() for level in range(len(kept))))

    def _seen(self, number: int, version: int) -> tuple[Look, Tensor]:
        picture = self.pictures[number]
        if version == 0:
            look = whole(picture, self.side)
            return look, look.of(picture)
        rng = np.random.default_rng(key(self.seed, number, version, 7))
        focus = sorted(picture.masks)[int(rng.integers(len(picture.masks)))]
        strength = replace(self.strength, whole=0.5)
        look = augment.look_at(picture, focus, self.side, strength, rng, whole=False)
        return look, augment.regrade(look.of(picture), strength, rng)


def whole(picture: Picture, side: int) -> Look:
    """All of a picture, in the middle of a square, as in use."""
    height, width = picture.pixels.shape[1:]
    longest = max(height, width)
    return Look(side, ((longest / width, 0.0, 0.0), (0.0, longest / height, 0.0)), longest / side)
