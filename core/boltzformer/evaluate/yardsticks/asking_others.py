"""A model answers ReXGroundingCT's sentences and BiomedParse's pictures."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np

from boltzformer import io
from boltzformer.engine.engine import Engine
from boltzformer.errors import BoltzFormerError
from boltzformer.evaluate.yardsticks.asking import Question, masks_of
from boltzformer.evaluate.yardsticks.biomedparse import Picture, pictures_in
from boltzformer.evaluate.yardsticks.rex import FOLDER, findings_in
from boltzformer.io.findings import write_findings
from boltzformer.types import LabelMap

IMAGES = "images"
"""Where the scans lie, if not beside the JSON file."""


def rex_questions(data: Path, output: Path, blind: bool) -> list[Question]:
    """Every scan of the JSON file that is there, or whose mask is."""
    told = findings_in(data)
    images = {name: _image(data, name) for name in told}
    known = {name: path for name, path in images.items() if path is not None}
    if not known:
        raise BoltzFormerError(f"{data} holds no scan that its JSON file names: put them into {data / IMAGES}.")
    return [Question(name, partial(_find, path, told[name], output / name)) for name, path in known.items()]


def _image(data: Path, name: str) -> Path | None:
    return next((path for path in (data / IMAGES / name, data / name) if path.is_file()), None)


def _find(image: Path, sentences: Mapping[int, str], target: Path, engine: Engine, seed: int) -> None:
    volume = io.read(image)
    texts = list(sentences.values())
    prediction = masks_of(engine, volume, texts, seed, None)
    labels, order = prediction.labels(), [prompt.text for prompt in prediction.prompts]
    masks = np.stack([labels.mask(order.index(text) + 1) for text in texts]).astype(np.uint8)
    write_findings(target, masks, volume.grid)


def rex_has_truth(data: Path) -> bool:
    """Whether any scan can be scored."""
    return (data / FOLDER).is_dir()


def biomedparse_questions(data: Path, output: Path, blind: bool) -> list[Question]:
    """Picture by picture, all its targets at once."""
    by_image: dict[Path, list[Picture]] = {}
    for one in pictures_in(data):
        by_image.setdefault(one.image, []).append(one)
    return [Question(image.stem, partial(_mark, image, mine, output)) for image, mine in by_image.items()]


def _mark(image: Path, asked: list[Picture], output: Path, engine: Engine, seed: int) -> None:
    volume = io.read(image)
    prediction = masks_of(engine, volume, [one.prompt for one in asked], seed, None)
    labels, order = prediction.labels(), [prompt.text for prompt in prediction.prompts]
    for one in asked:
        mask = labels.mask(order.index(one.prompt) + 1)
        shown = LabelMap(mask[np.newaxis].astype(np.uint8) * np.uint8(255), volume.grid, {255: one.target})
        io.write(shown, output / one.mask.name, overwrite=True)
