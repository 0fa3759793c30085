"""The pictures of a training in memory, drawn in balance, and the words that ask for what is in them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from boltzformer import io
from boltzformer.errors import BoltzFormerError
from boltzformer.knowledge.manifest import Row
from boltzformer.learn.upright import UPRIGHT, Turn, turn_of

BANDS = (0.001, 0.01, 0.1)
"""Borders between the sizes of objects, as shares of the image."""
BY_POSITION = -1
"""In place of a band: slices of one volume, where all places are as likely."""
SMALL_ENOUGH = 0.02
"""Objects up to this share of their image are pasted into others."""
MOST_PASTED = 3
"""Objects in one sample."""


@dataclass(frozen=True)
class Picture:
    """An image with the masks of all targets that are known to be in it."""

    pixels: Tensor
    """(C, H, W) uint8, one channel or three."""
    half: Tensor
    """(C, H / 2, W / 2) uint8: for samples that show it smaller, without aliasing."""
    masks: Mapping[str, Tensor]
    """target → (H, W) uint8 0/1."""
    prompts: Mapping[str, tuple[str, ...]]
    """target → phrasings, the usual one first."""
    group: str
    modality: str
    anatomy: str
    source: str
    centred: bool
    """Only ever pasted into other images."""
    index: int | None = None
    """Of a slice of a volume: its number. Its masks may be empty, and then their targets are known to be absent."""
    turn: Turn = UPRIGHT
    """How it was set upright."""


@dataclass(frozen=True)
class Choice:
    """What a sample shows."""

    picture: Picture
    focus: str
    """The target that it was drawn for."""
    asked: tuple[tuple[str, str], ...]
    """(target, phrasing) of each prompt; the last is absent, the others may be in a slice of a volume."""
    donors: tuple[Picture, ...]
    """Pictures whose objects of that target are pasted in."""


class Corpus:
    """All pictures, ready to be drawn from."""

    def __init__(
        self,
        rows: Sequence[Row],
        device: torch.device | str = "cpu",
        *,
        small: float = 1.0,
        volumes: Iterable[Picture] = (),
    ) -> None:
        """Targets that are usually under 1 % of their image are drawn `small` times as often."""
        self.pictures = (*_pictures(rows, torch.device(device)), *(_on(one, torch.device(device)) for one in volumes))
        shown = [picture for picture in self.pictures if not picture.centred]
        if not shown:
            raise BoltzFormerError("There is no image to train on: give a manifest with at least one mask.")
        self.targets = tuple(sorted({target for picture in self.pictures for target in picture.masks}))
        self._groups: dict[str, dict[str, dict[int, list[Picture]]]] = {}
        self._vacant: dict[tuple[str, str], list[Picture]] = {}
        sizes: dict[str, list[int]] = {}
        for picture in shown:
            for target, mask in picture.masks.items():
                share = float(mask.float().mean())
                if share == 0 and picture.index is not None:
                    self._vacant.setdefault((target, picture.group), []).append(picture)
                    continue
                bands = self._groups.setdefault(target, {}).setdefault(picture.group, {})
                bands.setdefault(band(share) if picture.index is None else BY_POSITION, []).append(picture)
                sizes.setdefault(target, []).append(band(share))
        self._drawn = tuple(sorted(self._groups))
        usual = {target: np.median(some) for target, some in sizes.items()}
        weights = np.array([math.sqrt(len(self._groups[t])) * (small if usual[t] < 2 else 1) for t in self._drawn])
        self._weights = weights / weights.sum()
        self._phrasings = {target: self._all_phrasings(target) for target in self.targets}
        self._modalities = {target: {p.modality for p in self.pictures if target in p.masks} for target in self.targets}
        self._sources: dict[str, set[str]] = {}
        for picture in self.pictures:
            self._sources.setdefault(picture.source, set()).update(picture.masks)
        self._donors: dict[tuple[str, str, str], list[Picture]] = {}
        for picture in self.pictures:
            for target, mask in picture.masks.items():
                if picture.index is None and (picture.centred or mask.float().mean() <= SMALL_ENOUGH):
                    self._donors.setdefault((target, picture.modality, picture.anatomy), []).append(picture)

    def choose(
        self,
        rng: np.random.Generator,
        *,
        present: int,
        paste: float,
        plain: float = 0.0,
        typed: float = 0.0,
        vacant: float = 0.0,
        healthy: bool = False,
    ) -> Choice:
        """A target by the root of its number of groups, then a group, a size, a picture; prompts for it.

        Of a volume a slice that holds it, by its place, or in `vacant` of the cases one that does not.
        """
        target = self._drawn[rng.choice(len(self._drawn), p=self._weights)]
        groups = self._groups[target]
        bands = groups[_pick(rng, sorted(groups))]
        some = bands[_pick(rng, sorted(bands))]
        if BY_POSITION in bands and rng.random() < vacant:
            some = self._vacant.get((target, some[0].group), some)
        picture = _pick(rng, some)
        others = sorted(set(picture.masks) - {target})
        rng.shuffle(others)
        wanted = [target, *others][:present]
        wanted += [target] * (present - len(wanted))
        asked = [(name, _phrase(rng, picture.prompts[name])) for name in wanted]
        absent = self._absent(rng, picture, healthy)
        asked.append((absent, _phrase(rng, self._phrasings[absent])))
        if plain:
            where = f"{picture.anatomy} {picture.modality}"
            asked = [(name, f"{name} in {where}" if rng.random() < plain else text) for name, text in asked]
        if typed:
            asked = [(name, _typed(rng, name, picture) if rng.random() < typed else text) for name, text in asked]
        donors: list[Picture] = []
        known = self._donors.get((target, picture.modality, picture.anatomy), [])
        if known and rng.random() < paste:
            donors = [_pick(rng, known) for _ in range(rng.integers(MOST_PASTED) + 1)]
        return Choice(picture, target, tuple(asked), tuple(donors))

    def _absent(self, rng: np.random.Generator, picture: Picture, healthy: bool = False) -> str:
        """A target that is provably not in the picture: labelled elsewhere in its source, or of another modality.

        With `healthy` also what its patient does not have.
        """
        hard = [name for name in sorted(self._sources[picture.source]) if not_here(name, picture.source, picture.masks)]
        if healthy:
            hard += sorted(healthy_of(picture, self._sources[picture.source]) & set(self.targets))
        easy = [name for name in self.targets if picture.modality not in self._modalities[name]]
        some = hard if hard and (not easy or rng.random() < 0.5) else easy
        return _pick(rng, some or [name for name in self.targets if name not in picture.masks] or list(self.targets))

    def _all_phrasings(self, target: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text for p in self.pictures for text in p.prompts.get(target, ())))


def not_here(target: str, source: str, present: Iterable[str]) -> bool:
    """Whether a target that is labelled elsewhere in a source is absent from an image where it is not.

    Two known exceptions: microaneurysms of idrid vanished when its images were made smaller, and the spinal canal of
    spider is missing on some images.
    """
    lost = ("microaneurysm", "idrid"), ("spinal canal", "spider")
    return target not in present and not any(target == name and source.startswith(where) for name, where in lost)


BRAIN = (
    frozenset({"brain tumor", "glioma", "tumor core", "brain metastasis"}),
    frozenset({"MS lesion"}),
    frozenset({"ischemic stroke lesion"}),
)
"""Diseases that patients of a study of brains were chosen for: of those with one, none has another."""
HEALTHY = {"pancreasct": frozenset({"liver tumor", "kidney stone"})}
"""What patients of a source were chosen not to have: kidney donors, and others without a disease of the abdomen."""


def healthy_of(picture: Picture, targets: AbstractSet[str]) -> frozenset[str]:
    """What is not in a picture because its patient has another disease, or none. `targets`: labelled in its source.

    Without these, a model meets brains without a tumour for the first time at its user's.
    """
    known = next((gone for name, gone in HEALTHY.items() if picture.source.startswith(name)), frozenset[str]())
    if picture.anatomy != "brain" or not picture.modality.startswith("MR"):
        return known
    return known.union(*(disease for disease in BRAIN if not disease & targets))


def band(share: float) -> int:
    """0…3: under 0.1 %, 1 %, 10 % of the image, or more."""
    return sum(share >= border for border in BANDS)


def _pictures(rows: Sequence[Row], device: torch.device) -> Iterable[Picture]:
    by_image: dict[Path, list[Row]] = {}
    for row in rows:
        if row.mask is not None:
            by_image.setdefault(row.image, []).append(row)
    for image, these in by_image.items():
        array = io.read(image).array
        if array.shape[0] != 1:
            raise BoltzFormerError(f"{image} is a volume: training takes 2-D images, so give its slices.")
        plane = array[0] if array.ndim == 4 else array[0][..., None]
        turn = turn_of(these[0].source, array[0])
        masks = {row.target: mask_of(row, plane.shape[:2]).numpy() for row in these}
        plane = turn.upright(plane)
        pixels = torch.from_numpy(np.ascontiguousarray(plane.transpose(2, 0, 1)).astype(np.uint8)).to(device)
        half = F.avg_pool2d(pixels[None].float(), 2, ceil_mode=True)[0].round().to(torch.uint8)
        first = these[0]
        yield Picture(
            pixels,
            half,
            {t: torch.from_numpy(np.ascontiguousarray(turn.upright(mask))).to(device) for t, mask in masks.items()},
            {row.target: row.prompts for row in these},
            first.group,
            first.modality,
            first.anatomy,
            first.source,
            first.centred,
            turn=turn,
        )


def _on(picture: Picture, device: torch.device) -> Picture:
    masks = {target: mask.to(device) for target, mask in picture.masks.items()}
    return replace(picture, pixels=picture.pixels.to(device), half=picture.half.to(device), masks=masks)


def mask_of(row: Row, shape: tuple[int, ...]) -> Tensor:
    """(H, W) uint8 0/1 of a row's mask, which must have the shape of its image."""
    assert row.mask is not None
    array = io.read(row.mask).array[0]
    plane = array if array.ndim == 2 else array.max(-1)
    if plane.shape != shape:
        raise BoltzFormerError(f"{row.mask} has {plane.shape} pixels, its image {shape}: give a mask of the same size.")
    return torch.from_numpy((plane > (0 if plane.max() < 128 else 127)).astype(np.uint8))


def _phrase(rng: np.random.Generator, prompts: Sequence[str]) -> str:
    """The usual phrasing half of the time."""
    return prompts[0] if rng.random() < 0.5 else prompts[int(rng.integers(len(prompts)))]


TYPED = (
    "{name}",
    "{name} in {where}",
    "the {name} in {kind}",
    "{name} on {kind}",
    "{kind} of the {name}",
    "{kind} showing the {name}",
    "{kind} imaging of the {name} in the {anatomy}",
    "visualization of the {name} in {where}",
    "segmentation of the {name} in {where}",
    "presence of the {name} in {kind} images",
    "{anatomy} {kind} with {name}",
    "find the {name}",
)
"""As users and the field's test sets may put it. What stands around the name is of the picture, so it tells nothing of
whether the target is there."""


def _typed(rng: np.random.Generator, name: str, picture: Picture) -> str:
    """The name alone a third of the time, else in one of these sentences."""
    frame = TYPED[0] if rng.random() < 1 / 3 else _pick(rng, TYPED[1:])
    where = f"{picture.anatomy} {picture.modality}"
    text: str = frame.format(name=name, where=where, kind=picture.modality, anatomy=picture.anatomy)
    return text if rng.random() < 0.5 else text[:1].upper() + text[1:]


def _pick(rng: np.random.Generator, some: Sequence[Any]) -> Any:
    return some[int(rng.integers(len(some)))]


START, END = "<|start|>", "<|end|>"


def token_table(texts: Iterable[str], vocabulary: int) -> str:
    """The table as JSON for `TableTokenizer`; start and end are its last two ids."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    table = Tokenizer(models.BPE())
    table.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase(), normalizers.Strip()])
    table.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    table.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary - 2, initial_alphabet=sorted(alphabet), show_progress=False)
    table.train_from_iterator(sorted(set(texts)), trainer)
    table.add_special_tokens([START, END])
    ends = [(END, table.token_to_id(END)), (START, table.token_to_id(START))]
    table.post_processor = processors.TemplateProcessing(single=f"{START} $A {END}", special_tokens=ends)
    made: str = table.to_str()
    return made
