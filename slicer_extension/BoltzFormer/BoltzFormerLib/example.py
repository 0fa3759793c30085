"""The sample case that the package carries, shown at its finding."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from boltzformer.io.phantom import sample
from BoltzFormerLib.stage import SlicerImage, SlicerStage


def folder() -> Path:
    """Of the sample: image, mask, origin and licence."""
    return Path(str(files("boltzformer") / "assets" / "sample"))


def open_example(stage: SlicerStage) -> tuple[SlicerImage, int, str]:
    """→ the image, the row of its finding, and the prompt for it."""
    case = sample()
    image = stage.open(case.volume)
    return image, image.plan.canonical_index(case.index), case.prompt
